"""Every kind of store, empty, its outcome graph, and what tests put into it."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from inframind.traces.advice import AdviceEvent, Prediction, Recommendation
from inframind.traces.configurations import Configuration, configuration_of
from inframind.traces.outcome_graph import OutcomeGraph
from inframind.traces.outcome_graphs import graph_of
from inframind.traces.records import Outcome, Step, Trajectory
from inframind.traces.store import TraceStore, open_store

_schemas = itertools.count()


def _sqlite(request: pytest.FixtureRequest) -> str:
    return f"sqlite:///{request.getfixturevalue('tmp_path') / 'traces.db'}"


def _postgresql(request: pytest.FixtureRequest) -> str:
    """A schema of its own: cheaper than a database."""
    import psycopg

    uri = request.getfixturevalue("postgres")
    name = f"graph_{next(_schemas)}"
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
    return f"{uri}{'&' if '?' in uri else '?'}options=-csearch_path%3D{name}"


_URLS: dict[str, Callable[[pytest.FixtureRequest], str]] = {
    "memory": lambda _: "memory:",
    "sqlite": _sqlite,
    "postgresql": _postgresql,
}


@pytest.fixture(params=_URLS)
def url(request: pytest.FixtureRequest) -> str:
    """Where an empty store is, of each kind."""
    return _URLS[request.param](request)


@pytest.fixture(params=["sqlite", "postgresql"])
def shared_url(request: pytest.FixtureRequest) -> str:
    """Where an empty store is that several stores can open, of each such kind."""
    return _URLS[request.param](request)


@pytest.fixture
def postgres_url(request: pytest.FixtureRequest) -> str:
    """An empty store in PostgreSQL."""
    return _postgresql(request)


@pytest.fixture
def sqlite_path(tmp_path: Path) -> Path:
    """Where a store in a file may be."""
    return tmp_path / "traces.db"


@pytest.fixture
async def store(url: str) -> AsyncIterator[TraceStore]:
    """An empty store of each kind."""
    async with open_store(url) as opened:
        yield opened


@pytest.fixture
def graph(store: TraceStore) -> OutcomeGraph:
    """Its outcome graph."""
    return graph_of(store)


class Made:
    """What tests put into graphs."""

    @staticmethod
    def document(n: int, **changes: Any) -> dict[str, Any]:
        models = [{"name": "small", "temperature": 0.2}, {"name": "large", "temperature": 0.7 + n}]
        return {"models": models, "max_team": 3, "policy": {"name": "learned", "version": f"v{n}"}, **changes}

    @classmethod
    def configuration(cls, n: int, **changes: Any) -> Configuration:
        return configuration_of(cls.document(n, **changes))

    @classmethod
    async def add(cls, graph: OutcomeGraph, *numbers: int) -> list[str]:
        """Add configurations, first seen at instant ``n`` each; their ids."""
        for n in numbers:
            await graph.add_configuration(cls.configuration(n), at_s=float(n))
        return [cls.configuration(n).configuration_id for n in numbers]

    @staticmethod
    def trace_id(n: int) -> str:
        return f"{n:032x}"

    @staticmethod
    def run(n: int, configuration: str = "", **changes: Any) -> Trajectory:
        fields = {
            "trace_id": f"{n:032x}",
            "question": "q",
            "arrived_at_s": 1000.0 + n,
            "budget_s": 10.0,
            "latency_s": 2.0,
            "topology": "Solo",
            "configuration": configuration,
            "cost": 0.5,
        }
        return Trajectory(**{**fields, **changes})

    @staticmethod
    def step(completion_tokens: int | None) -> Step:
        return Step(
            step_id=0,
            node="agent_0",
            kind="agent",
            position=0,
            round=1,
            role="Solver",
            parents=(),
            decision_id="d0",
            model="small",
            strategy="Plain",
            started_s=0.0,
            finished_s=1.0,
            completion_tokens=completion_tokens,
        )

    @staticmethod
    def verdict(score: float | None, *, at_s: float = 5.0, key: str = "solved", name: str = "f") -> Outcome:
        return Outcome(feedback_id=name, key=key, score=score, recorded_at_s=at_s)

    @classmethod
    async def runs(
        cls, store: TraceStore, first: int, *, right: int, wrong: int, configuration: str = "", **changes: Any
    ) -> None:
        """Put runs with verdicts, numbered from ``first`` on."""
        for k in range(right + wrong):
            verdict = cls.verdict(1.0 if k < right else 0.0)
            await store.put(cls.run(first + k, configuration, outcomes=(verdict,), **changes))

    @staticmethod
    def prediction(**changes: Any) -> Prediction:
        fields = {
            "metric": "success",
            "before": 0.5,
            "change": 0.25,
            "low": 0.125,
            "high": 0.375,
            "runs": 100,
            "affected": 40,
            "effective_size": 30.5,
            "method": "doubly robust",
        }
        return Prediction(**{**fields, **changes})

    @classmethod
    def advice(cls, n: int, **changes: Any) -> Recommendation:
        fields = {
            "recommendation_id": f"{n:06x}" + "0" * 26,
            "made_at_s": 100.0 + n,
            "kind": "balanced",
            "configuration_id": "c" * 64,
            "title": f"title {n}",
            "reason": "because",
            "rules": ({"name": "no-small", "when": {"domain": "math"}, "avoid": {"models": ["small"]}},),
            "predictions": (cls.prediction(), cls.prediction(metric="cost", objection="too few runs")),
            "evidence": (f"{n:032x}",),
            "features": (0.5, 1.0, -2.25),
            "features_version": "1",
            "chosen_by": "ranker",
            "probability": 0.25,
        }
        return Recommendation(**{**fields, **changes})

    @staticmethod
    def event(of: Recommendation, kind: Any, **changes: Any) -> AdviceEvent:
        return AdviceEvent(
            **{"recommendation_id": of.recommendation_id, "kind": kind, "at_s": 7.0, "by": "user", **changes}
        )


@pytest.fixture
def made() -> type[Made]:
    """Makes configurations, runs, verdicts, recommendations and events."""
    return Made
