"""Every contender on every workload, run here, in worker processes or on a cluster.

A workload is a pair of seed and rate. Workloads share nothing but the scenario and the training answers, so results do
not depend on where or in which order they run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from inframind.arena.bound import on_time_success_bound
from inframind.arena.contenders.blind import NoForecast
from inframind.arena.contenders.contender import Contender, Setting, TrainingGrid, Truth
from inframind.arena.contenders.registry import contenders_by_name, expand_groups
from inframind.arena.contenders.training import record_grid
from inframind.arena.engines import LOCAL, EngineConfig, InProcess
from inframind.arena.grading import RememberingGrader
from inframind.arena.results.tables import Bound, Evaluation, Fact, Run
from inframind.arena.scenario import Scenario
from inframind.arena.virtual_run import run_virtually
from inframind.arena.workload import budgets_from
from inframind.fleet.endpoints import group_by_model
from inframind.graphs.assembly import Parts
from inframind.graphs.prompts import PromptBuilder
from inframind.router.actions import ActionSpace
from inframind.router.latency import LatencyModel
from inframind.router.policy import Policy

TRAINING_SEED = 1_000_003
"""Of the servers' replies to training questions, and of the draws that contenders learn from."""
BUDGETS_SHOWN = 2_000
"""Draws from which contenders may learn how budgets are distributed."""
BOUND = "work-conserving oracle"
"""Name of the bound."""

OnRun = Callable[[Run], None]


def evaluate(
    scenario: Scenario,
    contenders: Sequence[str],
    *,
    on_run: OnRun = lambda run: None,
    engine: EngineConfig = LOCAL,
    facts: Mapping[str, Fact] | None = None,
) -> Evaluation:
    """Run every contender at every seed and rate of the scenario, and bound what any could reach.

    Args:
        scenario: what they meet.
        contenders: names and groups, as for `named_contenders`.
        on_run: told of each run that is done.
        engine: where they run. The results are the same.
        facts: to keep with the results.

    Raises:
        ConfigError: a contender that does not exist or cannot be made, or an engine that is not installed.
    """
    contenders = named_contenders(contenders, scenario)
    stage = Stage.of(scenario)
    stage.rehearse(contenders)
    done = dict(_play_all(stage, contenders, engine, on_run))
    played = [done[workload] for workload in _workloads(scenario)]
    return Evaluation(
        runs=tuple(run for one in played for run in one.runs),
        facts=facts or {},
        bounds=tuple(_bound_at(rate_per_min, played) for rate_per_min in scenario.rates_per_min),
    )


def n_runs(scenario: Scenario, contenders: Sequence[str]) -> int:
    """Number of runs of an evaluation, for progress."""
    return len(named_contenders(contenders, scenario)) * len(_workloads(scenario))


def named_contenders(contenders: Sequence[str], scenario: Scenario) -> tuple[str, ...]:
    """Names of those who take part, groups such as ``fixed`` spelled out for the scenario's fleet.

    Raises:
        ConfigError: as `contenders_by_name`.
    """
    names = expand_groups(contenders, _actions(scenario))
    contenders_by_name(names)
    return names


def _workloads(scenario: Scenario) -> list[tuple[int, float]]:
    return list(product(scenario.seeds, scenario.rates_per_min))


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """A workload that is done.

    Attributes:
        runs: one per contender.
        bound: on the expected share of its questions that are solved in time.
    """

    runs: tuple[Run, ...]
    bound: float


def _bound_at(rate_per_min: float, played: Sequence[Played]) -> Bound:
    """The mean over the seeds."""
    bounds = [one.bound for one in played if one.runs[0].rate_per_min == rate_per_min]
    return Bound(name=BOUND, rate_per_min=rate_per_min, on_time_success=float(np.mean(bounds)))


def _play_all(
    stage: Stage, contenders: tuple[str, ...], engine: EngineConfig, on_run: OnRun
) -> Iterator[tuple[tuple[int, float], Played]]:
    """Workloads as they are done."""
    workloads = _workloads(stage.scenario)
    with engine.open(len(workloads)) as opened:
        if isinstance(opened, InProcess):
            grader = RememberingGrader()
            for workload in workloads:
                yield workload, stage.play(contenders, *workload, on_run=on_run, grader=grader)
            return
        for place, played in opened.run(_play, [(stage, contenders, *workload) for workload in workloads]):
            for run in played.runs:
                on_run(run)
            yield workloads[place], played


def _play(stage: Stage, contenders: tuple[str, ...], seed: int, rate_per_min: float) -> Played:
    return stage.play(contenders, seed, rate_per_min)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A scenario, and what contenders may learn from before they meet it.

    Attributes:
        scenario: what they meet.
        training: graded answers to the training questions.
    """

    scenario: Scenario
    training: TrainingGrid

    @classmethod
    def of(cls, scenario: Scenario) -> Stage:
        """Record the answers to the scenario's training questions."""
        parts = Parts(endpoints=scenario.endpoints(_no_urls(scenario)))
        training = record_grid(
            scenario.training_items,
            _actions(scenario),
            scenario.outcomes,
            prompts=PromptBuilder(parts.roles),
            grader=RememberingGrader(),
            seed=TRAINING_SEED,
        )
        return cls(scenario=scenario, training=training)

    def setting(self, seed: int, *, sees_truth: bool = False) -> Setting:
        """What a contender's policy is made from; the truth is for oracles and bounds alone."""
        budgets_rng, own_rng = np.random.default_rng((TRAINING_SEED, seed)).spawn(2)
        return Setting(
            actions=_actions(self.scenario),
            training=self.training,
            budgets_s=budgets_from(self.scenario.budgets).draw(BUDGETS_SHOWN, budgets_rng),
            rng=own_rng,
            truth=self._truth() if sees_truth else None,
            profiles=self.scenario.profiles_by_name,
            seed=seed,
        )

    def _truth(self) -> Truth:
        return Truth(
            outcomes=self.scenario.outcomes,
            parameters=self.scenario.parameters,
            items={item.item_id: item for item in self.scenario.items},
        )

    def rehearse(self, contenders: Sequence[str]) -> None:
        """Make every contender once, so that one that cannot be made says so before others have run for hours."""
        for contender in contenders_by_name(contenders):
            self._policy(contender, self.scenario.seeds[0])

    def _policy(self, contender: Contender, seed: int) -> Policy:
        return contender.make(self.setting(seed, sees_truth=contender.sees_truth))

    def _latency(self, contender: Contender, seed: int) -> LatencyModel | None:
        """Its own, none that forecasts, or (None) one that is fresh."""
        if contender.latency is not None:
            return contender.latency(self.setting(seed, sees_truth=contender.sees_truth))
        return None if contender.takes_forecasts else self._no_forecast()

    def _no_forecast(self) -> NoForecast:
        """For those who never look: nothing is masked as too slow."""
        actions = _actions(self.scenario)
        return NoForecast(len(actions.models), len(actions.strategies))

    def play(
        self,
        contenders: Sequence[str],
        seed: int,
        rate_per_min: float,
        *,
        on_run: OnRun = lambda run: None,
        grader: RememberingGrader | None = None,
    ) -> Played:
        """Every contender on one workload, each with a policy of its own, and the bound on all of them."""
        grader = grader or RememberingGrader()
        runs = []
        for contender in contenders_by_name(contenders):
            runs.append(self._run(contender, seed, rate_per_min, grader))
            on_run(runs[-1])
        return Played(runs=tuple(runs), bound=self._bound(seed, rate_per_min))

    def _run(self, contender: Contender, seed: int, rate_per_min: float, grader: RememberingGrader) -> Run:
        ran = run_virtually(
            self.scenario,
            self._policy(contender, seed),
            seed=seed,
            rate_per_min=rate_per_min,
            grader=grader,
            latency=self._latency(contender, seed),
            decide=contender.decide,
        )
        return Run(
            contender=contender.name,
            family=contender.family,
            seed=seed,
            rate_per_min=rate_per_min,
            episodes=ran.episodes,
            timeline=ran.timeline,
        )

    def _bound(self, seed: int, rate_per_min: float) -> float:
        workload = self.scenario.workload(seed, rate_per_min)
        bound = on_time_success_bound(
            self.setting(seed, sees_truth=True), workload.items, workload.arrivals_s, workload.budgets_s
        )
        return min(1.0, bound)


def _actions(scenario: Scenario) -> ActionSpace:
    parts = Parts(endpoints=scenario.endpoints(_no_urls(scenario)))
    return parts.action_space(group_by_model(parts.endpoints))


def _no_urls(scenario: Scenario) -> Mapping[str, str]:
    """Addresses for endpoints that nobody is going to call."""
    return {spec.name: "http://nowhere.invalid/v1" for spec in scenario.specs()}
