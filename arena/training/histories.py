"""Several trainings of one kind as one: means over the seeds and how far they can be trusted, epoch by epoch.

E = epochs, S = seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inframind.arena.results.statistics import half_width
from inframind.arena.training.figures import EpochFigures
from inframind.errors import ConfigError

Floats = NDArray[np.float64]
History = Sequence[EpochFigures]
"""The epochs of one training, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """A figure over the epochs.

    Attributes:
        mean_E: over the seeds that got that far; NaN where none has the figure.
        half_E: half the 95 % interval of the mean (Student's t over the seeds); NaN with fewer than three.
    """

    mean_E: Floats
    half_E: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Histories:
    """Trainings that differ in their seed alone.

    Attributes:
        name: of what they share.
        seeds: one history each; they may end at different epochs.

    Raises:
        ConfigError: no history, or one without epochs.
    """

    name: str
    seeds: tuple[History, ...]

    def __post_init__(self) -> None:
        if not self.seeds or not all(self.seeds):
            raise ConfigError(f"runs.{self.name}", len(self.seeds), "give trainings of at least one epoch")

    @property
    def runs_E(self) -> Floats:
        """Workflows up to the end of each epoch, as in the longest training."""
        return np.array([one.runs for one in max(self.seeds, key=len)], dtype=np.float64)

    def band(self, figure: Callable[[EpochFigures], float]) -> Band:
        """One figure over the epochs."""
        values_SE = np.full((len(self.seeds), len(self.runs_E)), np.nan)
        for values_E, history in zip(values_SE, self.seeds, strict=True):
            values_E[: len(history)] = [figure(one) for one in history]
        return _band(values_SE)

    def names(self, part: Callable[[EpochFigures], Mapping[str, float]]) -> list[str]:
        """Everything that a part of the figures ever names, in alphabetical order."""
        return sorted({name for history in self.seeds for one in history for name in part(one)})

    @property
    def best(self) -> tuple[EpochFigures, ...]:
        """The epoch of each training that is kept (S)."""
        return tuple(max(history, key=lambda one: one.smoothed) for history in self.seeds)

    @property
    def last(self) -> tuple[EpochFigures, ...]:
        """The epoch at which each training ended (S)."""
        return tuple(history[-1] for history in self.seeds)


def _band(values_SE: Floats) -> Band:
    is_known_SE = ~np.isnan(values_SE)
    n_E = is_known_SE.sum(axis=0)
    sum_E = np.where(is_known_SE, values_SE, 0.0).sum(axis=0)
    return Band(mean_E=np.where(n_E > 0, sum_E / np.maximum(n_E, 1), np.nan), half_E=half_width(values_SE.T))
