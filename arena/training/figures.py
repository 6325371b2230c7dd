"""What an epoch came to: one line of the curves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from inframind.arena.results.episodes import Episode
from inframind.arena.training.environment import PlayedSweep
from inframind.traces.records import Trajectory


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochFigures:
    """An epoch of training; shares and mixes are of its own runs, while the policy explored.

    Attributes:
        epoch: 0-based.
        runs: workflows since training began, this epoch included.
        on_time_success: share solved within the budget.
        accuracy: share solved.
        slo_attainment: share answered within the budget.
        latency_mean_s: mean seconds to the answer.
        calls: mean calls per workflow.
        models: share of the calls, by model.
        strategies: share of the calls, by strategy.
        topologies: share of the workflows, by topology.
        multipliers: what being late costs, by budget tier.
        curves: losses, entropies and the like, by name.
        smoothed: mean on-time success of the latest epochs: what is selected by.
        is_best: whether it was the best so far by that.
    """

    epoch: int
    runs: int
    on_time_success: float
    accuracy: float
    slo_attainment: float
    latency_mean_s: float
    calls: float
    models: Mapping[str, float]
    strategies: Mapping[str, float]
    topologies: Mapping[str, float]
    multipliers: tuple[float, ...]
    curves: Mapping[str, float] = field(default_factory=dict)
    smoothed: float = 0.0
    is_best: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> EpochFigures:
        """What `as_dict` gave, also after JSON."""
        return cls(**{**data, "multipliers": tuple(data["multipliers"])})


def figures_of(
    epoch: int,
    runs_before: int,
    played: Sequence[PlayedSweep],
    multipliers: tuple[float, ...],
    curves: Sequence[Mapping[str, float]],
) -> EpochFigures:
    """Sum an epoch up."""
    episodes: list[Episode] = [episode for sweep in played for episode in sweep.episodes]
    traces: list[Trajectory] = [trace for sweep in played for trace in sweep.trajectories]
    steps = [step for trace in traces for step in trace.steps]
    return EpochFigures(
        epoch=epoch,
        runs=runs_before + len(episodes),
        on_time_success=_mean(episode.solved and episode.is_on_time for episode in episodes),
        accuracy=_mean(episode.solved for episode in episodes),
        slo_attainment=_mean(episode.is_on_time for episode in episodes),
        latency_mean_s=_mean(episode.latency_s for episode in episodes),
        calls=len(steps) / max(len(traces), 1),
        models=_shares(step.model for step in steps),
        strategies=_shares(step.strategy for step in steps),
        topologies=_shares(trace.topology for trace in traces),
        multipliers=multipliers,
        curves=_means(curves),
    )


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return float(np.mean(listed)) if listed else 0.0


def _shares(names: Iterable[str]) -> dict[str, float]:
    counts = Counter(name for name in names if name)
    return {name: count / counts.total() for name, count in sorted(counts.items())}


def _means(curves: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = sorted({name for one in curves for name in one})
    return {name: _mean(one[name] for one in curves if name in one) for name in names}
