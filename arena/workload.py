"""What is offered: when questions arrive, and how much time each of them has. Which ones: `query_mix`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from inframind.arena.arrivals import BurstyArrivals, RecordedArrivals, Seconds, require_rate
from inframind.errors import ConfigError


class Arrivals(Protocol):
    """When questions arrive."""

    def draw(self, n: int, rng: np.random.Generator) -> Seconds:
        """Offsets of ``n`` arrivals from the start, ascending, in seconds."""
        ...


class Budgets(Protocol):
    """How much time questions have."""

    def draw(self, n: int, rng: np.random.Generator) -> Seconds:
        """``n`` budgets in seconds."""
        ...


@dataclass(frozen=True, slots=True)
class PoissonArrivals:
    """Arrivals that know nothing of each other: exponential gaps with mean ``60 / rate_per_min`` seconds.

    Raises:
        ConfigError: the rate is not a positive, finite number.
    """

    rate_per_min: float
    """Mean number of arrivals a minute."""

    def __post_init__(self) -> None:
        require_rate(self.rate_per_min)

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


@dataclass(frozen=True, slots=True)
class Tiers:
    """Budgets from a few classes of service.

    Raises:
        ConfigError: a budget that is not positive and finite, weights that are negative, all zero, or not one per
            budget.
    """

    budgets_s: tuple[float, ...]
    """Seconds, one per tier."""
    weights: tuple[float, ...] = ()
    """How often each comes, in any unit; empty makes all equally likely."""

    def __post_init__(self) -> None:
        if not self.budgets_s or not all(0 < budget_s < math.inf for budget_s in self.budgets_s):
            raise ConfigError("tiers", self.budgets_s, "give positive numbers of seconds, such as 5, 30, 300")
        if not self.weights:
            return
        if len(self.weights) != len(self.budgets_s) or not all(
            0 <= weight < math.inf for weight in self.weights
        ):
            raise ConfigError(
                "weights", self.weights, f"give {len(self.budgets_s)} numbers from 0 on, one per tier"
            )
        if not sum(self.weights) > 0:
            raise ConfigError("weights", self.weights, "give at least one tier a weight above 0")

    def draw(self, n: int, rng: np.random.Generator) -> Seconds:
        """``n`` budgets in seconds."""
        weights = np.array(self.weights or (1.0,) * len(self.budgets_s))
        return rng.choice(np.array(self.budgets_s, dtype=float), size=n, p=weights / weights.sum())


@dataclass(frozen=True, slots=True)
class FixedBudget:
    """The same budget for every question.

    Raises:
        ConfigError: it is not positive and finite.
    """

    budget_s: float

    def __post_init__(self) -> None:
        if not 0 < self.budget_s < math.inf:
            raise ConfigError("budget", self.budget_s, "give a positive number of seconds")

    def draw(self, n: int, rng: np.random.Generator) -> Seconds:
        """``n`` budgets in seconds."""
        return np.full(n, float(self.budget_s))


ARRIVALS_FIX = (
    "give poisson, bursty, bursty:ratio=4,share=0.2,dwell=30, recorded:PATH or recorded:PATH@START_SECONDS"
)
BUDGETS_FIX = "give loguniform:5,300, tiers:5,10,30, tiers:5=2,30=1 (with weights) or fixed:30, in seconds"
_BURSTY_OPTIONS = {"ratio": "burst_ratio", "share": "burst_share", "dwell": "burst_s"}


def arrivals_from(text: str, rate_per_min: float) -> Arrivals:
    """Arrivals as written on the command line, such as ``bursty:ratio=4,dwell=30``.

    Raises:
        ConfigError: there are no such arrivals, or a value is out of range.
        InvalidItems: the recording cannot be read.
    """
    kind, _, rest = text.partition(":")
    if kind == "poisson" and not rest:
        return PoissonArrivals(rate_per_min)
    if kind == "bursty":
        return BurstyArrivals.around(rate_per_min, **_bursty_options(text, rest))
    if kind == "recorded" and rest:
        path, at, start_s = rest.rpartition("@")
        if not at or not _is_number(start_s):
            return RecordedArrivals.read(Path(rest), rate_per_min)
        return RecordedArrivals.read(Path(path), rate_per_min, float(start_s))
    raise ConfigError("arrivals", text, ARRIVALS_FIX)


def budgets_from(text: str) -> Budgets:
    """Budgets as written on the command line, such as ``loguniform:5,300``.

    Raises:
        ConfigError: there are no such budgets, or a value is out of range.
    """
    kind, _, rest = text.partition(":")
    cells = rest.split(",")
    if kind == "loguniform" and len(cells) == 2:
        return LogUniform(*(_number("budgets", text, cell, BUDGETS_FIX) for cell in cells))
    if kind == "tiers" and rest:
        return _tiers(text, cells)
    if kind == "fixed" and len(cells) == 1:
        return FixedBudget(_number("budgets", text, rest, BUDGETS_FIX))
    raise ConfigError("budgets", text, BUDGETS_FIX)


def _bursty_options(text: str, rest: str) -> dict[str, float]:
    options: dict[str, float] = {}
    for part in filter(None, rest.split(",")):
        name, _, value = part.partition("=")
        if name.strip() not in _BURSTY_OPTIONS:
            raise ConfigError("arrivals", text, ARRIVALS_FIX)
        options[_BURSTY_OPTIONS[name.strip()]] = _number("arrivals", text, value, ARRIVALS_FIX)
    return options


def _tiers(text: str, cells: Sequence[str]) -> Tiers:
    pairs = [cell.partition("=") for cell in cells]
    budgets_s = tuple(_number("budgets", text, budget_s, BUDGETS_FIX) for budget_s, _, _ in pairs)
    weighted = [bool(equals) for _, equals, _ in pairs]
    if not any(weighted):
        return Tiers(budgets_s)
    if not all(weighted):
        raise ConfigError("budgets", text, "give every tier a weight, or none")
    return Tiers(budgets_s, tuple(_number("budgets", text, weight, BUDGETS_FIX) for _, _, weight in pairs))


def _number(field: str, text: str, cell: str, fix: str) -> float:
    if not _is_number(cell):
        raise ConfigError(field, text, fix)
    return float(cell)


def _is_number(cell: str) -> bool:
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False
