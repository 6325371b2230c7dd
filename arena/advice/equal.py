"""An application whose models and strategies are all the same but for their names: nothing there is worth choosing.

Whatever is recommended there is recommended by chance, and chance has no favourites. Runs are served once; a sample of
them with new verdicts, drawn without a look at who answered, is as good as a new season and takes no time.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from inframind.advisor.option import Option
from inframind.advisor.options.config import AnalysisConfig
from inframind.arena.advice.defects import DefectWorld, defect_named
from inframind.arena.advice.season import serve_season
from inframind.arena.advice.trial import analysed
from inframind.router.rules import RoutingRule
from inframind.traces.memory import MemoryStore
from inframind.traces.query import TraceQuery
from inframind.traces.records import Outcome, Trajectory

EQUALS = ("amber", "birch", "cedar", "dogwood")
"""Models that differ in name."""
SOLVED, LABELLED = 0.6, 0.6
"""Share of runs that are right, and of those that somebody says it of."""


def equal_world() -> DefectWorld:
    """Four models and two strategies that do the same, with time enough for all."""
    world = defect_named("control")
    scenario = world.scenario
    model, traits = scenario.profiles[0], scenario.parameters.model_traits(scenario.profiles[0].name)
    same = scenario.parameters.strategy_traits("Plain")
    parameters = replace(
        scenario.parameters,
        models=dict.fromkeys(EQUALS, traits),
        strategies=dict.fromkeys(scenario.parameters.strategies, same),
    )
    return replace(
        world,
        name="equal",
        title="all models and strategies are the same",
        scenario=replace(
            scenario,
            profiles=tuple(replace(model, name=name) for name in EQUALS),
            parameters=parameters,
            budgets="loguniform:120,300",
        ),
        parts=replace(world.parts, registry=world.parts.registry.only(("IO",))),
    )


def served_equals(world: DefectWorld, *, seeds: Iterable[int], runs: int) -> tuple[Trajectory, ...]:
    """Runs of a few seasons, without verdicts."""
    store = MemoryStore(max_traces=1_000_000, through_codec=False)
    for seed in seeds:
        serve_season(world, store, seed=seed, runs=runs, labelled=0.0)

    async def all_of() -> tuple[Trajectory, ...]:
        return tuple([run async for run in store.iter(TraceQuery(oldest_first=True))])

    return asyncio.run(all_of())


def drawn_season(served: Sequence[Trajectory], runs: int, rng: np.random.Generator) -> tuple[Trajectory, ...]:
    """So many of the runs, any of them several times, with verdicts that have nothing to do with who answered."""
    places = rng.integers(len(served), size=runs)
    is_labelled, is_solved = rng.random(runs) < LABELLED, rng.random(runs) < SOLVED
    return tuple(
        _judged(served[place], rng.bytes(16).hex(), solved=bool(solved) if labelled else None)
        for place, labelled, solved in zip(places, is_labelled, is_solved, strict=True)
    )


def _judged(run: Trajectory, trace_id: str, *, solved: bool | None) -> Trajectory:
    if solved is None:
        return replace(run, trace_id=trace_id)
    verdict = Outcome(
        feedback_id=trace_id,
        key="solved",
        score=float(solved),
        source="grader:arena",
        recorded_at_s=run.arrived_at_s + run.latency_s,
    )
    return replace(run, trace_id=trace_id, outcomes=(verdict,))


@dataclass(slots=True, kw_only=True)
class Shares:
    """What recommendations speak for and against, by name.

    Attributes:
        favoured: how often each model was one that steps would be moved to, the parts of one change adding up to 1.
        avoided: how often each was one that they would be moved from, likewise.
        options: changes that were counted.
    """

    favoured: Counter[str] = field(default_factory=Counter)
    avoided: Counter[str] = field(default_factory=Counter)
    options: int = 0

    def count(self, options: Iterable[Option], models: Sequence[str]) -> None:
        """Add the options that move steps between models."""
        for option in options:
            left = _left_by(option.rules, models)
            if 0 < len(left) < len(models):
                self.options += 1
                _share(self.favoured, left)
                _share(self.avoided, [model for model in models if model not in left])

    def ratio(self, of: Mapping[str, float], models: Sequence[str]) -> float:
        """Largest over smallest share; infinite where some model has none."""
        counts = [of.get(model, 0.0) for model in models]
        return max(counts) / min(counts) if min(counts) > 0 else float("inf")


CREDULOUS = AnalysisConfig(delta=0.999, least_gain=0.0, least_saving=0.0, margin=0.5)
"""Believes next to anything: what a model that is liked without reason would show in."""


def recommended_in(
    world: DefectWorld,
    runs: Sequence[Trajectory],
    rng: np.random.Generator,
    config: AnalysisConfig | None = None,
) -> tuple[Option, ...]:
    """What an advisor would recommend after these runs."""
    return analysed(world, runs, rng=rng, config=config).options


def _left_by(rules: Sequence[RoutingRule], models: Sequence[str]) -> list[str]:
    """Models that rules say nothing against; one of whose strategies is avoided is spoken against too."""
    left = list(models)
    for rule in rules:
        against = {action.partition("/")[0] for action in rule.avoid_actions}
        against |= rule.avoid_models | rule.avoid_endpoints
        left = [
            one for one in left if one not in against and (not rule.only_models or one in rule.only_models)
        ]
    return left


def _share(counter: Counter[str], names: Sequence[str]) -> None:
    for name in names:
        counter[name] += 1 / len(names)  # type: ignore[assignment]
