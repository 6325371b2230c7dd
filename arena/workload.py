"""What is offered: when questions arrive, and how much time each of them has."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inframind.errors import ConfigError

Seconds = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PoissonArrivals:
    """Arrivals that know nothing of each other: exponential gaps with mean ``60 / rate_per_min`` seconds.

    Raises:
        ConfigError: the rate is not a positive, finite number.
    """

    rate_per_min: float
    """Mean number of arrivals a minute."""

    def __post_init__(self) -> None:
        if not 0 < self.rate_per_min < math.inf:
            raise ConfigError("rate", self.rate_per_min, "give a positive number of questions a minute")

    def draw(self, n: int, rng: np.random.Generator) -> Seconds:
        """Offsets of ``n`` arrivals from the start, ascending, in seconds."""
        return np.cumsum(rng.exponential(60.0 / self.rate_per_min, size=n))


@dataclass(frozen=True, slots=True)
class LogUniform:
    """Budgets whose logarithm is uniform: as many between 2 and 4 seconds as between 10 and 20.

    Raises:
        ConfigError: a bound that is not positive and finite, or bounds the wrong way round.
    """

    low_s: float
    """Least budget in seconds."""
    high_s: float
    """Largest budget in seconds."""

    def __post_init__(self) -> None:
        if not 0 < self.low_s < math.inf:
            raise ConfigError("budget-min", self.low_s, "give a positive number of seconds")
        if not self.low_s <= self.high_s < math.inf:
            raise ConfigError("budget-max", self.high_s, f"give at least budget-min = {self.low_s:g} seconds")

    def draw(self, n: int, rng: np.random.Generator) -> Seconds:
        """``n`` budgets in seconds."""
        return np.exp(rng.uniform(math.log(self.low_s), math.log(self.high_s), size=n))
