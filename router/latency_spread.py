"""How far calls fall from their prediction: fading means, and quantiles that follow the calls."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from inframind.router.latency import Array
from inframind.router.latency_ridge import Places, require_forgetting

Z90 = 1.2815515655446004
"""Standard normal quantile of 0.9."""


class FadingMean:
    """Exponentially forgetting means, one per place on the first axis.

    Args:
        shape: places, and what is averaged at each.
        forgetting: weight that old values keep with each new one.
    """

    def __init__(self, shape: tuple[int, ...], forgetting: float) -> None:
        require_forgetting(forgetting)
        self._forgetting = forgetting
        self.weight: Array = np.zeros(shape)
        self._sum: Array = np.zeros(shape)

    def observe(self, place: int, value: float | Array) -> None:
        """One more value at a place."""
        self.fade(place)
        self.weight[place] += 1.0
        self._sum[place] += value

    def fade(self, place: int) -> None:
        """One more call at a place that says nothing about the value."""
        self.weight[place] *= self._forgetting
        self._sum[place] *= self._forgetting

    def mean(self, prior_calls: float, prior_value: float = 0.0) -> Array:
        """Means, drawn towards ``prior_value`` with the weight of so many calls."""
        mean: Array = (self._sum + prior_calls * prior_value) / (self.weight + prior_calls)
        return mean

    def fit(self, places: Places, values: Array) -> None:
        """Replace everything by the mean of these values, at no more than its long-run weight; one value a place."""
        count = np.bincount(places, minlength=len(self.weight)).astype(np.float64)
        longest = 1 / (1 - self._forgetting) if self._forgetting < 1 else np.inf
        totals = np.bincount(places, weights=values, minlength=len(self.weight))
        self.weight = np.minimum(count, longest)
        self._sum = totals * self.weight / np.maximum(count, 1)

    def sums(self) -> dict[str, Array]:
        """Everything learned, by name."""
        return {"weight": self.weight.copy(), "sum": self._sum.copy()}

    def restore(self, sums: Mapping[str, Array], places: Places, places_there: Places) -> None:
        """Take the places ``places_there`` of another's sums as the places ``places`` of this one."""
        self.weight[places] = sums["weight"][places_there]
        self._sum[places] = sums["sum"][places_there]


class QuantileTracker:
    """The median and the 90 % quantile of standardised errors, per model, started from the normal ones.

    Each call moves a quantile up by ``share`` of a step when it lies above, and down by the rest when it does
    not (Robbins-Monro; Gibbs and Candes 2021 for why coverage then holds under drift). The step is that of an
    estimate with ``prior_calls`` behind it, and never falls below 1 / ``memory``.

    Args:
        models: number of models.
        prior_calls: weight of the normal quantiles.
        memory: calls after which an old call no longer counts.
    """

    def __init__(self, models: int, prior_calls: float, memory: float) -> None:
        self._prior_calls, self._memory = prior_calls, memory
        self._calls = np.zeros(models)
        self._values = np.tile(_NORMAL, (models, 1))

    def observe(self, model: int, standardised: float) -> None:
        """One more error, in units of its predicted spread."""
        self._calls[model] += 1
        step = max(1 / (self._calls[model] + self._prior_calls), 1 / self._memory)
        is_below = standardised <= self._values[model]
        self._values[model] += step * (_SHARES - is_below) / _DENSITY

    def fit(self, models: Places, standardised: Array) -> None:
        """Replace everything by the quantiles of these errors, drawn towards those of all models."""
        pooled = np.quantile(standardised, _SHARES)
        for model in range(len(self._calls)):
            here = standardised[models == model]
            own = np.quantile(here, _SHARES) if len(here) else pooled
            total = len(here) + self._prior_calls
            self._values[model] = (len(here) * own + self._prior_calls * pooled) / total
            self._calls[model] = len(here)

    def values(self) -> Array:
        """Median and 90 % quantile (models, 2); never in the wrong order."""
        return np.maximum.accumulate(self._values, axis=1)

    def sums(self) -> dict[str, Array]:
        """Everything learned, by name."""
        return {"calls": self._calls.copy(), "values": self._values.copy()}

    def restore(self, sums: Mapping[str, Array], places: Places, places_there: Places) -> None:
        """Take the models ``places_there`` of another's sums as the models ``places`` of this one."""
        self._calls[places] = sums["calls"][places_there]
        self._values[places] = sums["values"][places_there]


_SHARES = np.array([0.5, 0.9])
_NORMAL = np.array([0.0, Z90])
_DENSITY = np.array([0.3989422804014327, 0.17549833193248])
"""Of the standard normal at its quantiles: what turns a share into a distance."""
