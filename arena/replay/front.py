"""Quality against cost: the front that a set of choices spans when any two of them may be mixed at random.

K = points, in any order. Mixing needs no knowledge of the question, so every contender is credited with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def upper_front(costs: ArrayLike, values: ArrayLike) -> Ints:
    """Indices of the points on the upper concave hull, from the most valuable to the cheapest.

    The points between two neighbours of the result are what random mixtures of the two reach in expectation;
    nothing lies above. Andrew's monotone chain (Information Processing Letters 9, 1979), its upper half, up to the
    most valuable point.
    """
    cost, value = np.asarray(costs, dtype=float), np.asarray(values, dtype=float)
    chain: list[int] = []
    for point in np.lexsort((-value, cost)):
        if chain and value[point] <= value[chain[-1]]:
            continue
        while len(chain) > 1 and not _turns_right(cost, value, chain[-2], chain[-1], point):
            chain.pop()
        chain.append(int(point))
    return np.array(chain[::-1], dtype=np.int64)


def _turns_right(cost: Floats, value: Floats, first: int, middle: int, last: int) -> bool:
    up = (value[middle] - value[first]) * (cost[last] - cost[first])
    across = (value[last] - value[first]) * (cost[middle] - cost[first])
    return bool(up > across)


@dataclass(frozen=True, slots=True)
class Front:
    """A concave, rising front.

    Attributes:
        costs: ascending (K).
        values: ascending (K).
    """

    costs: tuple[float, ...]
    values: tuple[float, ...]

    @classmethod
    def over(cls, costs: Sequence[float], values: Sequence[float]) -> Front:
        """The front over some points."""
        on_it = upper_front(costs, values)[::-1]
        return cls(
            costs=tuple(float(costs[index]) for index in on_it),
            values=tuple(float(values[index]) for index in on_it),
        )

    def value_at(self, cost: float) -> float:
        """Most value in expectation at a mean cost; 0 below the least cost."""
        return float(np.interp(cost, self.costs, self.values, left=0.0))

    def cost_at(self, value: float) -> float | None:
        """Least mean cost that reaches a value in expectation; None when nothing does."""
        if value > self.values[-1]:
            return None
        return float(np.interp(value, self.values, self.costs))

    def mean_value(self, low: float, high: float) -> float | None:
        """Area under the front between two costs over their distance; None unless ``low < high``.

        Where the front has no point yet, its value counts as 0.
        """
        if not low < high:
            return None
        inside = [cost for cost in self.costs if low < cost < high]
        start = max(low, min(self.costs[0], high))
        grid = np.unique([start, *inside, high])
        heights = np.array([self.value_at(cost) for cost in grid])
        area = np.diff(grid) * (heights[:-1] + heights[1:]) / 2
        return float(area.sum()) / (high - low)
