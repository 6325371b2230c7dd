"""The loop: play an epoch, learn from it, keep the best policy by on-time success, stop when it gets no better."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from inframind.arena.training.curriculum import Curriculum, Sweep
from inframind.arena.training.environment import PlayedSweep
from inframind.arena.training.figures import EpochFigures, figures_of
from inframind.arena.training.rollouts import Rollouts
from inframind.errors import ConfigError
from inframind.router.latency_learned import LearnedLatencyModel
from inframind.router.latency_state import LatencyState
from inframind.router.learning.protocol import RoutingLearner
from inframind.router.learning.training_state import TrainingState


@dataclass(frozen=True, kw_only=True)
class SelectionConfig:
    """Which policy is kept, and when to stop.

    Raises:
        ConfigError: a window or a patience of less than one epoch, or a share outside [0, 1].
    """

    window: int = 4
    """Epochs whose on-time success is averaged: one epoch alone is mostly noise."""
    patience: int = 12
    """Epochs without a better average after which training stops."""
    not_before: float = 0.6
    """Share of the training before which it never stops: exploration has to cool down first."""

    def __post_init__(self) -> None:
        if self.window < 1 or self.patience < 1:
            raise ConfigError("window, patience", (self.window, self.patience), "use at least one epoch")
        if not 0 <= self.not_before <= 1:
            raise ConfigError("not_before", self.not_before, "use a share from 0 to 1")


class Trainer:
    """Trains one learner in one environment. Deterministic: same seed, same policy.

    Args:
        learner: what learns.
        rollouts: play sweeps.
        latency: predicts for the policy; learns from every call, and goes with the policy.
        curriculum: what is asked.
        selection: what is kept.
        seed: of the workloads.
    """

    def __init__(
        self,
        learner: RoutingLearner,
        rollouts: Rollouts,
        latency: LearnedLatencyModel,
        *,
        curriculum: Curriculum | None = None,
        selection: SelectionConfig | None = None,
        seed: int = 0,
    ) -> None:
        self.learner, self.latency = learner, latency
        self.curriculum = curriculum or Curriculum()
        self._rollouts, self._seed = rollouts, seed
        self._selection = selection or SelectionConfig()
        self.history: list[EpochFigures] = []

    def epochs(self) -> Iterator[EpochFigures]:
        """Train, one epoch after each ``next``; the last one is the last of the curriculum, or where it stopped."""
        while len(self.history) < self.curriculum.epochs and not self.has_stalled:
            yield self._epoch(len(self.history))

    @property
    def best(self) -> EpochFigures | None:
        """The epoch whose average was best; None before the first."""
        return max(self.history, key=lambda one: one.smoothed, default=None)

    @property
    def has_stalled(self) -> bool:
        """Whether the average has not risen for as long as patience lasts."""
        if not self.history or self.best is None:
            return False
        done = len(self.history) / self.curriculum.epochs
        waited = self.history[-1].epoch - self.best.epoch
        return done >= self._selection.not_before and waited >= self._selection.patience

    def save_policy(self, path: Path, facts: Mapping[str, object]) -> Path:
        """Write the policy as it is now, with what the latency model knows."""
        return self.learner.save_policy(path, latency=self.latency.state(), facts=facts)

    def state(self) -> TrainingState:
        """Everything that is needed to go on."""
        inner = self.learner.state()
        progress = {
            "learner": dict(inner.progress),
            "latency": self.latency.state().to_json(),
            "history": [one.as_dict() for one in self.history],
        }
        return replace(inner, progress=progress)

    def restore(self, state: TrainingState, latency: Callable[[LatencyState], LearnedLatencyModel]) -> None:
        """Go on from where a training of the same configuration stopped.

        Args:
            state: what `state` gave.
            latency: makes a latency model that knows what an earlier one knew.
        """
        progress = state.progress
        self.learner.restore(replace(state, progress=progress["learner"]))
        self.latency = latency(LatencyState.from_json(progress["latency"]))
        self.history = [EpochFigures.from_dict(one) for one in progress["history"]]

    def _epoch(self, epoch: int) -> EpochFigures:
        progress = self.curriculum.progress(epoch)
        played: list[PlayedSweep] = []
        curves: list[Mapping[str, float]] = []
        for sweeps in _groups(self.curriculum.sweeps(epoch, self._seed), self._rollouts.at_once):
            behaviour = self.learner.behaviour(progress)
            for one in self._rollouts.play(behaviour, sweeps, self.latency):
                curves.append(self.learner.learn(one.trajectories, one.solved, progress))
                played.append(one)
        self.learner.end_epoch()
        figures = figures_of(epoch, self._runs, played, self.learner.multipliers, curves)
        self.history.append(self._judged(figures))
        return self.history[-1]

    @property
    def _runs(self) -> int:
        return self.history[-1].runs if self.history else 0

    def _judged(self, figures: EpochFigures) -> EpochFigures:
        smoothed = _average(self.history, figures, self._selection.window)
        before = self.best
        return replace(figures, smoothed=smoothed, is_best=before is None or smoothed > before.smoothed)


def _groups(sweeps: Iterator[Sweep], size: int) -> Iterator[list[Sweep]]:
    while group := list(islice(sweeps, size)):
        yield group


def _average(history: Sequence[EpochFigures], figures: EpochFigures, window: int) -> float:
    recent = [one.on_time_success for one in [*history, figures][-window:]]
    return float(np.mean(recent))
