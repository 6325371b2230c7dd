"""A configuration file and a store of each kind, and advice that somebody could have been given."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inframind.advisor.analysis import Analysis
from inframind.advisor.option import Option
from inframind.plugin.advice.assembly import advice_desk
from inframind.plugin.advice.desk import AdviceDesk
from inframind.plugin.config import load_settings
from inframind.plugin.online.assembly import learner_service
from inframind.plugin.online.learning import LearnerService
from inframind.router.rules import RoutingRule
from inframind.traces.advice import AdviceEvent, Prediction
from inframind.traces.configurations import Configuration, configuration_of
from inframind.traces.outcome_graph import KeptAnalysis, OutcomeGraph
from inframind.traces.outcome_graphs import graph_of
from inframind.traces.records import Decision, Outcome, Trajectory
from inframind.traces.shelf import RolloutEvent, Shelf, Stage
from inframind.traces.shelves import shelf_of
from inframind.traces.store import TraceStore, open_store

PLAIN = """# Our servers.
[[endpoints]]
name = "small-0"  # on the left
base_url = "http://127.0.0.1:9/v1"
model = "small"
size_b = 3.0

[[endpoints]]
name = "large-0"
base_url = "http://127.0.0.1:9/v1"
model = "large"
size_b = 30.0
"""
ONLINE = (
    PLAIN
    + """
[policy]
name = "learned"
exploration = 0.05

[online]
enabled = true
learner = "separate"

[online.gate]
epsilon = 0.1
least_runs = 40
least_labels = 30
settle_s = 2.0
alarm_s = 1.0

[traces]
url = "memory:"
"""
).replace('url = "memory:"', 'url = "sqlite:///traces.db"')
"""Tries what is accepted."""
NO_LARGE = RoutingRule(name="no large model", avoid_models=frozenset({"large"}))
NO_DEBATE = RoutingRule(name="no debate", avoid_topologies=frozenset({"Debate"}))


class HandClock:
    """Time that stands still until somebody moves it."""

    def __init__(self) -> None:
        self.at_s = 1_700_000_000.0

    def now_s(self) -> float:
        return self.at_s

    def wall_s(self) -> float:
        return self.at_s

    def pass_s(self, seconds: float) -> None:
        self.at_s += seconds


def prediction(**values: Any) -> Prediction:
    given: dict[str, Any] = {
        "metric": "success", "before": 0.5, "change": 0.1, "low": 0.05, "high": 0.15, "runs": 500,
        "affected": 200, "effective_size": 150.0, "method": "dr",
    }  # fmt: skip
    return Prediction(**{**given, **values})


def option(number: int, *rules: RoutingRule, **values: Any) -> Option:
    given: dict[str, Any] = {
        "option_id": f"{number:012x}", "kind": "model_switch", "cluster_id": "", "domain": "", "rules": rules,
        "title": f"Change number {number}", "reason": "Runs say so.", "predictions": (prediction(),),
        "evidence": (f"{number:032x}",),
    }  # fmt: skip
    return Option(**{**given, **values})


def run(number: int, at_s: float, *, version: str = "", configuration: str = "", **other: Any) -> Trajectory:
    """A run that a version decided."""
    decision = Decision(
        decision_id="d", kind="step", made_s=0.0, policy="learned", policy_version=version[:12],
        features_version="1", actions=("a",), probabilities=(1.0,), masked=("",), chosen=0,
        probability=1.0, choice={},
    )  # fmt: skip
    values: dict[str, Any] = {
        "trace_id": f"{number:032x}", "question": "q", "arrived_at_s": at_s, "budget_s": 10.0, "latency_s": 1.0,
        "decisions": (decision,), "configuration": configuration, **other,
    }  # fmt: skip
    return Trajectory(**values)


def verdict(solved: bool, at_s: float) -> tuple[Outcome, ...]:
    return (Outcome(feedback_id="f", key="solved", score=float(solved), source="api", recorded_at_s=at_s),)


@dataclass
class Office:
    """One application: its file, its store, and who works there."""

    file: Path
    store: TraceStore
    clock: HandClock = field(default_factory=HandClock)
    runs: Any = field(default_factory=lambda: itertools.count(1))

    @property
    def graph(self) -> OutcomeGraph:
        return graph_of(self.store)

    @property
    def shelf(self) -> Shelf:
        return shelf_of(self.store)

    def desk(self, *, file: bool = True, **parts: Any) -> AdviceDesk:
        """A new one, which knows nothing but what is kept."""
        file_or_none = self.file if file else None
        rng = np.random.default_rng(7)
        return advice_desk(
            load_settings(self.file), self.store, clock=self.clock, rng=rng, file=file_or_none, **parts
        )

    def learner(self) -> LearnerService:
        """A new one: it tends advice between its rounds."""
        from inframind.plugin.advice.assembly import action_space_of

        settings = load_settings(self.file)
        return learner_service(
            settings, self.store, action_space_of(settings), holder="a test", clock=self.clock
        )

    async def keep(self, *options: Option, configuration_id: str = "", **values: Any) -> Analysis:
        """An analysis as if it had been made now."""
        given: dict[str, Any] = {
            "at_s": self.clock.wall_s(), "configuration_id": configuration_id, "runs": 500, "labelled": 500,
            "failures": 100, "since_s": self.clock.wall_s() - 3600, "until_s": self.clock.wall_s(),
        }  # fmt: skip
        made = Analysis(**{**given, **values}, options=options)
        await self.graph.keep_analysis(
            KeptAnalysis(at_s=made.at_s, configuration_id=configuration_id, document=made.to_json())
        )
        return made

    async def offered(self, *rules: RoutingRule) -> str:
        """Id of a recommendation of these rules that was shown."""
        await self.keep(option(1, *(rules or (NO_LARGE,))))
        (made,) = await self.desk().recommend()
        return made.recommendation_id

    async def kinds(self) -> list[str]:
        """What happened, in order."""
        return [event.kind for event in await self.graph.advice_events()]

    async def events(self, kind: str) -> list[AdviceEvent]:
        return [event for event in await self.graph.advice_events() if event.kind == kind]

    async def serve(self, n: int, version: str, arm: str, *, right: float, **other: Any) -> None:
        """Runs of a version, dealt out by the roll-out as it is, of which this share is right."""
        rollout = await self.shelf.rollout()
        dealt = {
            "event": rollout.number, "candidate": rollout.candidate, "arm": arm, "share": rollout.share,
        }  # fmt: skip
        for place in range(n):
            self.clock.pass_s(0.01)
            at_s = self.clock.wall_s()
            is_right = int((place + 1) * right) > int(place * right)
            await self.store.put(
                run(
                    next(self.runs), at_s, version=version, outcomes=verdict(is_right, at_s),
                    metadata={"inframind": {"dealt": dealt}} if rollout.candidate else {}, **other,
                )
            )  # fmt: skip

    async def configure(self, *rules: RoutingRule, **policy: Any) -> Configuration:
        """A configuration that decided runs."""
        document = {"rules": [rule.to_plain() for rule in rules], "policy": {"name": "learned", **policy}}
        made = configuration_of(document)
        await self.graph.add_configuration(made, at_s=self.clock.wall_s())
        return made

    async def happen(self, version: str, stage: Stage, share: float = 0.0, by: str = "user:ann") -> None:
        number = (await self.shelf.rollout()).number
        event = RolloutEvent(
            at_s=self.clock.wall_s(), version=version, stage=stage, share=share, by=by, reason="a test"
        )
        await self.shelf.append(event, after=number)


_URLS: dict[str, Callable[[pytest.FixtureRequest], str]] = {
    "memory": lambda _: "memory:",
    "sqlite": lambda request: f"sqlite:///{request.getfixturevalue('tmp_path') / 'traces.db'}",
    "postgresql": lambda request: str(request.getfixturevalue("fresh_postgres")),
}


@pytest.fixture(params=_URLS)
def url(request: pytest.FixtureRequest) -> str:
    """Where an empty store is, of each kind."""
    return _URLS[request.param](request)


@pytest.fixture
async def store(url: str) -> AsyncIterator[TraceStore]:
    """An empty store of each kind."""
    async with open_store(url) as opened:
        yield opened


@pytest.fixture
def office(tmp_path: Path, store: TraceStore) -> Office:
    """Without ``[online]``, with a store of each kind."""
    file = tmp_path / "inframind.toml"
    file.write_text(PLAIN)
    return Office(file=file, store=store)


@pytest.fixture
def online(office: Office) -> Office:
    """With ``[online]``: what is accepted is tried."""
    office.file.write_text(ONLINE)
    return office


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Office]:
    """With ``[online]``, in memory: for what has nothing to do with stores."""
    file = tmp_path / "inframind.toml"
    file.write_text(ONLINE)
    async with open_store("memory:") as opened:
        yield Office(file=file, store=opened)


@pytest.fixture
async def plain(tmp_path: Path) -> AsyncIterator[Office]:
    """Without ``[online]``, in memory."""
    file = tmp_path / "inframind.toml"
    file.write_text(PLAIN)
    async with open_store("memory:") as opened:
        yield Office(file=file, store=opened)
