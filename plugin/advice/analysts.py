"""Who looks at runs: reads the latest ones, has them analysed in a thread, and keeps what is found."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pydantic import ValidationError

from inframind.advisor.analysing import analyse
from inframind.advisor.analysis import Analysis
from inframind.advisor.options.config import AnalysisConfig
from inframind.errors import ConfigError
from inframind.fleet.clock import Clock
from inframind.plugin.advice.freshness import Freshness, freshness_of, served
from inframind.plugin.latest_runs import Progress, latest_runs
from inframind.router.actions import ActionSpace
from inframind.router.policy import Policy
from inframind.router.rulebook import DOMAINS
from inframind.router.rules import RoutingRule
from inframind.traces.configurations import Configuration
from inframind.traces.outcome_graph import KeptAnalysis, OutcomeGraph
from inframind.traces.records import SolvedKeys, Trajectory
from inframind.traces.store import TraceStore

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class InForce:
    """Who decides now.

    Attributes:
        policy: bound to what may be chosen.
        rules: under which it serves.
    """

    policy: Policy
    rules: tuple[RoutingRule, ...]


@dataclass(frozen=True, kw_only=True)
class AnalystConfig:
    """What is read.

    Attributes:
        last: latest runs.
        window_s: age of the oldest, in seconds.
        keys: which feedback is a verdict.
        exploration: share of decisions that are drawn evenly.
        greedy: whether the policy's best candidate is always taken.
        is_careful: whether the 90 % quantile of a step must fit the time that is left, or the median.
        shares_segments: whether all people are of one segment.
        analysis: how changes are found.
    """

    last: int
    window_s: float
    keys: SolvedKeys
    exploration: float
    greedy: bool
    is_careful: bool
    shares_segments: bool
    analysis: AnalysisConfig


class Analyst:
    """Makes analyses, and knows the latest.

    Args:
        store: where traces are.
        graph: of that store.
        actions: gives what may be chosen.
        in_force: gives who decides.
        config: what is read.
        clock: time.
        rng: breaks ties.
    """

    def __init__(
        self,
        store: TraceStore,
        graph: OutcomeGraph,
        *,
        actions: Callable[[], ActionSpace],
        in_force: Callable[[], Awaitable[InForce]],
        config: AnalystConfig,
        clock: Clock,
        rng: np.random.Generator,
    ) -> None:
        self._store, self._graph = store, graph
        self._actions, self._in_force = actions, in_force
        self._config, self._clock, self._rng = config, clock, rng
        self._latest: tuple[int, Analysis | None] | None = None
        self._configurations: dict[str, Configuration] = {}
        self._of_runs: dict[str, Mapping[str, Any]] = {}

    def segment_of(self, segment: str) -> str:
        """The segment by which is learned."""
        return "" if self._config.shares_segments else segment

    def require_domain(self, domain: str) -> None:
        """Refuse a domain that no question has.

        Raises:
            ConfigError: which there are.
        """
        known = {"", *DOMAINS, *self._actions().roles} if domain else {""}
        if domain not in known:
            fix = f"there is none; there are {', '.join(sorted(known - {''}))}"
            raise ConfigError("domain", domain, fix)

    async def latest(self) -> Analysis | None:
        """The newest analysis, whoever made it; None, too, where this release cannot read it: a new one is made.

        Raises:
            StoreError: the store cannot be read.
        """
        return (await self.newest())[1]

    async def newest(self) -> tuple[int, Analysis | None]:
        """The same with its number; 0 before the first.

        Raises:
            StoreError: the store cannot be read.
        """
        kept = await self._graph.latest_analysis()
        if kept is None:
            return 0, None
        if self._latest is None or self._latest[0] != kept.number:
            self._latest = (kept.number, _analysis_of(kept))
        return self._latest

    async def freshness(self, analysis: Analysis) -> Freshness:
        """How an analysis stands to the store.

        Raises:
            StoreError: the store cannot be read.
        """
        return await freshness_of(analysis, self._store, under=_advice_of((await self._in_force()).rules))

    @property
    def window_s(self) -> float:
        """Age in seconds of the oldest runs that are read."""
        return self._config.window_s

    async def configuration(self, analysis: Analysis) -> Configuration | None:
        """That of an analysis, or None where it is not known.

        Raises:
            StoreError: the store cannot be read.
        """
        own_id = analysis.configuration_id
        if own_id and own_id not in self._configurations:
            found = await self._graph.known_configuration(own_id)
            self._configurations = {own_id: found} if found else {}
        return self._configurations.get(own_id)

    async def analyse(self, *, last: int | None, tell: Progress) -> Analysis:
        """See `AdviceDesk.analyse`."""
        since_s, most = self._clock.wall_s() - self._config.window_s, last or self._config.last
        stored = await self._store.count()  # before they are read: what comes meanwhile is newer
        runs = await latest_runs(self._store, since_s=since_s, most=most, tell=tell)
        actions, force, previous = self._actions(), await self._in_force(), await self.latest()
        own_id = _latest_configuration(runs)
        documents = await self._documents({run.configuration for run in runs if run.configuration})
        tell("analysing", 0, 1)
        found = await asyncio.to_thread(
            analyse,
            runs,
            actions=actions,
            policy=force.policy,
            rules=force.rules,
            configuration_id=own_id,
            keys=self._config.keys,
            exploration=self._config.exploration,
            greedy=self._config.greedy,
            is_careful=self._config.is_careful,
            previous=previous,
            now_s=self._clock.wall_s(),
            rng=np.random.default_rng(self._rng.integers(2**63)),
            config=self._config.analysis,
            documents=documents,
        )
        tell("analysing", 1, 1)
        found = replace(found, stored=stored, under=_advice_of(force.rules))
        kept = KeptAnalysis(
            at_s=found.at_s, configuration_id=found.configuration_id, document=found.to_json()
        )
        self._latest = ((await self._graph.keep_analysis(kept)).number, found)
        return found

    async def _documents(self, names: Collection[str]) -> dict[str, Mapping[str, Any]]:
        """What the configurations of these ids are, as far as the store knows them; those of the last time are kept."""
        known = {name: one for name, one in self._of_runs.items() if name in names}
        for name in sorted(set(names) - set(known)):
            found = await self._graph.known_configuration(name)
            if found is not None:
                known[name] = found.document
        self._of_runs = known
        return known


def _analysis_of(kept: KeptAnalysis) -> Analysis | None:
    try:
        return Analysis.from_json(kept.document)
    except ValidationError:
        _log.warning("analysis %d was made by another release, and cannot be read", kept.number)
        return None


def _latest_configuration(runs: Sequence[Trajectory]) -> str:
    """That of the latest run, but not of what is only tried: a change is offered for what serves."""
    known = (run for run in runs if run.configuration)
    latest = next(iter(served(runs)), None) or next(known, None)
    return latest.configuration if latest else ""


def _advice_of(rules: Iterable[RoutingRule]) -> tuple[str, ...]:
    """Whose rules these are, as far as they are advice."""
    return tuple(sorted({rule.advice for rule in rules if rule.advice}))
