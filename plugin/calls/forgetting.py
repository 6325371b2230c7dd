"""Mean and spread of what is seen now and then, the latest counting most."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(slots=True)
class ForgettingMean:
    """Weighted mean and standard deviation; each value weighs half of one that came ``half_life`` values later.

    West's update (Communications of the ACM 22(9), 1979) with a weight that decays: the mean of one value is that
    value, and equal values have no spread.

    Attributes:
        half_life: values after which a value counts half.
        weight: of all values so far; at most ``1 / (1 - 2 ** (-1 / half_life))``.
        mean: of the values; 0 before the first.
    """

    half_life: float = 20.0
    weight: float = 0.0
    mean: float = 0.0
    _squares: float = 0.0

    def note(self, value: float) -> None:
        """Take a value in."""
        decay = 0.5 ** (1.0 / self.half_life)
        self.weight = decay * self.weight + 1.0
        off = value - self.mean
        self.mean += off / self.weight
        self._squares = decay * self._squares + off * (value - self.mean)

    @property
    def spread(self) -> float:
        """Standard deviation; 0 until there are two different values."""
        return math.sqrt(max(self._squares, 0.0) / self.weight) if self.weight else 0.0
