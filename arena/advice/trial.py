"""From defect to cure: serve, analyse, recommend, let a hidden person accept, apply, serve again beside a twin.

What the change brought is measured on fresh requests that meet a service with the accepted rules and its twin without
them, one by one: whatever else is different about the second day is the same for both.

**The application goes on.** Its latency model was at work before the first day, and knows on the next what it has
learned by then. What a change does hangs on that: a model that cuts its answers is quick, so that whoever has learned
it masks it less, has more runs cut, and gains more when they no longer are. A twin that had forgotten it would gain
other than was promised for the service that was looked at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from inframind.advisor.analysing import analyse
from inframind.advisor.analysis import Analysis
from inframind.advisor.options.config import AnalysisConfig
from inframind.advisor.ranking.changes import rules_of
from inframind.advisor.recommending import Ranking, RankingConfig
from inframind.arena.advice.defects import DefectWorld
from inframind.arena.advice.people import Person
from inframind.arena.advice.season import DAY_S, MIDNIGHT_S, ServedSeason, serve_season
from inframind.arena.grading import RememberingGrader
from inframind.fleet.endpoints import group_by_model
from inframind.graphs.assembly import PolicyToBind
from inframind.router.actions import ActionSpace
from inframind.router.latency_state import LatencyState
from inframind.router.policy import Policy
from inframind.router.rules import RoutingRule
from inframind.traces.advice import KINDS, Recommendation
from inframind.traces.memory import MemoryStore
from inframind.traces.query import TraceQuery
from inframind.traces.records import Trajectory

_DAY_BEFORE, _NEXT_DAY = 250_000, 500_000
"""Added to a trial's seed for the day before the first, and for the day after."""
_ERRORS = 1.96
"""Standard errors on either side of a measurement that hold the truth 95 times in 100."""


@dataclass(frozen=True, kw_only=True)
class TrialConfig:
    """How long a trial is.

    Attributes:
        before: runs that are analysed.
        after: runs that are served with the change, and as many without.
        earlier: runs of the day before, which nobody looks at: by them the latency model gets to know the fleet. With 0
            it starts the first day with what is shipped.
        labelled: share of the first that get a label.
        with_cure: whether a third service does what somebody would do who knows what is wrong.
    """

    before: int = 2400
    after: int = 480
    earlier: int = 480
    labelled: float = 0.6
    with_cure: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trial:
    """What came of one.

    Attributes:
        world: where.
        seed: of all chance.
        before: the day that was analysed.
        analysis: what was found.
        analysing_s: real seconds that it took.
        recommended: in the order in which they were shown.
        accepted: what the person accepted, or None.
        twin: the day after, without a change.
        after: the same with what was accepted; the twin where nothing was.
        cured: the same with the cure, where that was asked for.
    """

    world: DefectWorld
    seed: int
    before: ServedSeason
    analysis: Analysis
    analysing_s: float
    recommended: tuple[Recommendation, ...]
    accepted: Recommendation | None
    twin: ServedSeason
    after: ServedSeason
    cured: ServedSeason | None = None

    @property
    def gain(self) -> float:
        """Relative change of success: with the change over without, less 1."""
        return _gain(self.after, self.twin)

    @property
    def cure_gain(self) -> float:
        """The same of the cure; NaN where that was not tried."""
        return float("nan") if self.cured is None else _gain(self.cured, self.twin)

    @property
    def change(self) -> tuple[float, float]:
        """Change of success in shares of runs, and its standard error, by the same requests with and without."""
        change_N = self.after.success.astype(float) - self.twin.success.astype(float)
        return float(change_N.mean()), float(change_N.std(ddof=1) / np.sqrt(len(change_N)))

    @property
    def is_kept(self) -> bool | None:
        """Whether the promised change of success may be what came; None where nothing was accepted, or promised.

        Both are uncertain: the promise by its interval, and what came because it is some hundred requests. They agree
        where they differ by no more than 95 differences in 100 of such two would.
        """
        promised = self.accepted.prediction("success") if self.accepted else None
        if promised is None or not promised.is_enough:
            return None
        came, error = self.change
        side = promised.high - promised.change if came > promised.change else promised.change - promised.low
        return abs(came - promised.change) <= float(np.hypot(side, _ERRORS * error))

    @property
    def naming_place(self) -> int | None:
        """0-based place of the first failure pattern whose main trait names what is planted, or None."""
        planted = self.world.planted
        if planted is None:
            return None
        found = (
            place for place, one in enumerate(self.analysis.clusters) if planted.is_named_by(one.main_trait)
        )
        return next(found, None)

    @property
    def is_accepted(self) -> bool:
        """Whether the accepted change is about what is planted."""
        return self.accepted is not None and self._forbids(rules_of(self.accepted.rules))

    @property
    def is_named(self) -> bool:
        """Whether any change that could be recommended is about it."""
        return any(self._forbids(option.rules) for option in self.analysis.options)

    @property
    def is_shown(self) -> bool:
        """Whether any of those that were shown is."""
        return any(self._forbids(rules_of(one.rules)) for one in self.recommended)

    def _forbids(self, rules: Sequence[RoutingRule]) -> bool:
        planted = self.world.planted
        return planted is not None and any(planted.forbids(rule) for rule in rules)


def run_trial(
    world: DefectWorld,
    person: Person,
    *,
    seed: int,
    config: TrialConfig | None = None,
    grader: RememberingGrader | None = None,
) -> Trial:
    """Serve a day or two, ask for advice on the last, follow it or not, and serve the next.

    Args:
        world: where.
        person: who accepts.
        seed: of all chance.
        config: how long.
        grader: hand one over to several trials, and verdicts are remembered.
    """
    config, grader = config or TrialConfig(), grader or RememberingGrader()
    store = MemoryStore(max_traces=config.before, through_codec=False)
    before = serve_season(
        world,
        store,
        seed=seed,
        runs=config.before,
        labelled=config.labelled,
        grader=grader,
        known=_known_by_then(world, seed, config.earlier, grader),
    )
    runs = asyncio.run(_all_of(store))
    return follow(world, before, runs, person, seed=seed, config=config, grader=grader)


def follow(
    world: DefectWorld,
    before: ServedSeason,
    runs: Sequence[Trajectory],
    person: Person,
    *,
    seed: int,
    config: TrialConfig,
    grader: RememberingGrader,
) -> Trial:
    """The rest of a trial, after a day that was served already; see `run_trial`."""
    rng = np.random.default_rng((seed, 7))
    began_s = perf_counter()
    analysis = analysed(world, runs, rng=rng)
    analysing_s = perf_counter() - began_s
    recommended = _recommended(analysis, person, rng)
    accepted = best_liked(person, recommended, float(rng.random()))

    def next_day(rules: Sequence[RoutingRule]) -> ServedSeason:
        return serve_season(
            world,
            MemoryStore(max_traces=1, through_codec=False),
            seed=_NEXT_DAY + seed,
            runs=config.after,
            rules=rules,
            day=1,
            grader=grader,
            known=before.latency,
        )

    twin = next_day(())
    cure = (world.planted.cure,) if config.with_cure and world.planted is not None else None
    return Trial(
        world=world,
        seed=seed,
        before=before,
        analysis=analysis,
        analysing_s=analysing_s,
        recommended=recommended,
        accepted=accepted,
        twin=twin,
        after=twin if accepted is None else next_day(rules_of(accepted.rules)),
        cured=None if cure is None else next_day(cure),
    )


def _known_by_then(
    world: DefectWorld, seed: int, runs: int, grader: RememberingGrader
) -> LatencyState | None:
    """What the latency model has learned from some runs of the day before the first; None of none, or without one."""
    if not (runs and world.forecasts):
        return None
    store = MemoryStore(max_traces=1, through_codec=False)
    return serve_season(world, store, seed=_DAY_BEFORE + seed, runs=runs, day=-1, grader=grader).latency


def analysed(
    world: DefectWorld,
    runs: Sequence[Trajectory],
    *,
    rng: np.random.Generator,
    config: AnalysisConfig | None = None,
) -> Analysis:
    """What an advisor finds in runs of a world, knowing what is configured there."""
    actions, decide = actions_of(world), world.parts.decide
    return analyse(
        runs,
        actions=actions,
        policy=_bound(world.policy(), actions),
        configuration_id=runs[-1].configuration,
        exploration=decide.exploration,
        greedy=decide.greedy,
        is_careful=decide.is_careful,
        now_s=MIDNIGHT_S + DAY_S,
        rng=rng,
        config=config,
    )


def actions_of(world: DefectWorld) -> ActionSpace:
    """What may be chosen in a world."""
    urls = {spec.name: "http://nowhere.invalid/v1" for spec in world.specs()}
    parts = world.parts_at(urls)
    return parts.action_space(group_by_model(parts.endpoints))


def best_liked(person: Person, recommended: Sequence[Recommendation], mood: float) -> Recommendation | None:
    """What somebody accepts who reads all and takes what they like best, if they would accept it at all."""
    if not recommended:
        return None
    best = max(recommended, key=person.utility)
    return best if person.chance(best) > mood else None


def _bound(policy: Policy | PolicyToBind, actions: ActionSpace) -> Policy:
    return policy.bind(actions) if isinstance(policy, PolicyToBind) else policy


async def _all_of(store: MemoryStore) -> list[Trajectory]:
    return [run async for run in store.iter(TraceQuery(oldest_first=True))]


def _recommended(analysis: Analysis, person: Person, rng: np.random.Generator) -> tuple[Recommendation, ...]:
    ranking = Ranking(RankingConfig(most=len(KINDS)))
    return ranking.recommend(
        analysis,
        segment=person.segment,
        now_s=analysis.at_s,
        rng=rng,
        new_id=lambda: rng.bytes(16).hex(),
    )


def _gain(with_change: ServedSeason, without: ServedSeason) -> float:
    return float(with_change.success.mean() / without.success.mean()) - 1.0
