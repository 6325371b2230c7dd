"""Multipliers: what being late costs, adjusted from what was seen, one update per epoch or per batch.

A multiplier is the one part of the reward library with a memory. Its state is a few lists of floats, for checkpoints.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from inframind.errors import ConfigError
from inframind.rewards.arrays import Array, Ints, floats, require_all_between, require_between
from inframind.rewards.functions import HIGHEST_MULTIPLIER, LOWEST_MULTIPLIER
from inframind.rewards.outcomes import RunOutcomes

MultiplierState = dict[str, list[float]]

DEFAULT_EDGES_S = (10.0, 30.0, 100.0)
"""Budget tiers: below 10 s, 10 to 30 s, 30 to 100 s, 100 s and more; an edge belongs to the tier above it."""


class Multiplier(Protocol):
    """Prices lateness by budget."""

    @property
    def values(self) -> tuple[float, ...]:
        """The multipliers as they are now."""
        ...

    def of(self, budget_s_B: Array) -> Array:
        """The multiplier (B) of each sample's budget."""
        ...

    def update(self, outcomes: RunOutcomes) -> None:
        """Adjust to what was seen; give whole runs, not steps, or long workflows count more than once."""
        ...

    def state(self) -> MultiplierState:
        """Everything that an equal multiplier needs to go on from here."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PidConfig:
    """A controller of the share of late runs.

    Raises:
        ConfigError: a number is outside its range, or the bounds and the start are not in order.
    """

    target: float = 0.05
    """Share of late runs to hold, 0 to 1."""
    ki: float = 0.25
    """Gain on the sum of errors."""
    kp: float = 1.0
    """Gain on the error."""
    kd: float = 0.0
    """Gain on the change of the error."""
    lowest: float = LOWEST_MULTIPLIER
    """Lower bound of the integral and of the multiplier; `on_time` accepts no lower one than the default."""
    highest: float = HIGHEST_MULTIPLIER
    """Upper bound of both; `on_time` accepts no higher one than the default."""
    start: float = 0.5
    """The multiplier before the first update."""

    def __post_init__(self) -> None:
        require_between("target", self.target, 0, 1)
        for gain in ("ki", "kp", "kd"):
            require_between(gain, getattr(self, gain), 0)
        _check_bounds(self.lowest, self.start, self.highest)


class TieredMultiplier:
    """One PID controller per budget tier, on the share of late runs: holds P(L > B) in each tier near a target.

    With ``e = mean(v) - target`` over the samples of a tier::

        I      <- clip(I + ki e)
        lambda <- clip(I + kp e + kd (e - e_before))

    Clipping the integral too keeps it from winding up. Tiers without samples keep what they have. Update once per
    epoch with all of its samples: updated after each arrival rate, it swings with the rate.

    Source: Stooke et al. 2020 (arXiv 2007.03964), per tier because one multiplier holds the average only.
    """

    def __init__(self, edges_s: Sequence[float] = DEFAULT_EDGES_S, config: PidConfig | None = None) -> None:
        """Start every tier at ``config.start``.

        Args:
            edges_s: ascending positive budgets in seconds that part the tiers; empty for one tier.
            config: the controller of each tier, or None for the defaults.

        Raises:
            ConfigError: the edges are not positive and ascending.
        """
        edges = floats("edges_s", tuple(edges_s))
        if any(low >= high for low, high in itertools.pairwise((0.0, *edges))):
            raise ConfigError("edges_s", tuple(edges_s), "give positive, ascending seconds")
        self.config = config or PidConfig()
        self._edges_s = edges
        tiers = len(edges) + 1
        self._lambda = np.full(tiers, self.config.start)
        self._integral = np.full(tiers, self.config.start)
        self._error = np.zeros(tiers)
        self._updates = np.zeros(tiers)

    @classmethod
    def restored(
        cls, config: PidConfig, edges_s: Sequence[float], state: Mapping[str, Sequence[float]]
    ) -> TieredMultiplier:
        """The multiplier whose `state` this was.

        Raises:
            ConfigError: the state is of other edges, lacks something, or lies outside the configured bounds.
        """
        restored = cls(edges_s, config)
        stored_edges_s = _stored(state, "edges_s", len(restored._edges_s))
        if not np.array_equal(stored_edges_s, restored._edges_s):
            raise ConfigError("edges_s", tuple(edges_s), f"the state was saved with {tuple(stored_edges_s)}")
        tiers = len(restored._lambda)
        restored._lambda = _within(state, "multiplier", tiers, config.lowest, config.highest)
        restored._integral = _within(state, "integral", tiers, config.lowest, config.highest)
        restored._error = _within(state, "error", tiers, -1.0, 1.0)
        restored._updates = _within(state, "updates", tiers, 0.0, np.inf)
        return restored

    @property
    def edges_s(self) -> tuple[float, ...]:
        """Budgets in seconds that part the tiers."""
        return tuple(self._edges_s.tolist())

    @property
    def values(self) -> tuple[float, ...]:
        """The multiplier of each tier, shortest budgets first."""
        return tuple(self._lambda.tolist())

    def tier_of(self, budget_s_B: Array) -> Ints:
        """The tier (B) of each budget, 0 for the shortest."""
        return np.searchsorted(self._edges_s, budget_s_B, side="right").astype(np.int64, copy=False)

    def of(self, budget_s_B: Array) -> Array:
        """The multiplier (B) of each budget's tier."""
        return self._lambda[self.tier_of(budget_s_B)]

    def update(self, outcomes: RunOutcomes) -> None:
        """Adjust each tier to its share of late runs."""
        tier_B = self.tier_of(outcomes.budget_s_B)
        late_B = outcomes.is_late_B
        for tier in np.unique(tier_B).tolist():
            self._adjust(tier, float(late_B[tier_B == tier].mean()) - self.config.target)

    def state(self) -> MultiplierState:
        """Everything that `restored` needs."""
        return {
            "edges_s": self._edges_s.tolist(),
            "multiplier": self._lambda.tolist(),
            "integral": self._integral.tolist(),
            "error": self._error.tolist(),
            "updates": self._updates.tolist(),
        }

    def _adjust(self, tier: int, error: float) -> None:
        config = self.config
        change = error - self._error[tier] if self._updates[tier] else 0.0
        integral = self._clip(self._integral[tier] + config.ki * error)
        self._integral[tier] = integral
        self._lambda[tier] = self._clip(integral + config.kp * error + config.kd * change)
        self._error[tier] = error
        self._updates[tier] += 1

    def _clip(self, value: float) -> float:
        return min(max(value, self.config.lowest), self.config.highest)


class DualAscent:
    """One multiplier for all, by plain dual ascent on the mean share of the budget.

    ::

        lambda <- clip(lambda + rate (mean(L / B) - 1), lowest, highest)

    Source: the reference system's released training; kept to compare with.

    Known failure: it constrains the mean over mixed budgets, where long budgets hide the late short ones; and at
    the published rate an epoch moves it by about 0.02.
    """

    def __init__(
        self, rate: float = 1e-3, start: float = 0.2, lowest: float = 0.0, highest: float = 1.0
    ) -> None:
        """Start at ``start``.

        Raises:
            ConfigError: the rate is negative, or the bounds and the start are not in order.
        """
        require_between("rate", rate, 0)
        _check_bounds(lowest, start, highest)
        self.rate, self.lowest, self.highest = rate, lowest, highest
        self._lambda = start

    @classmethod
    def restored(
        cls,
        state: Mapping[str, Sequence[float]],
        *,
        rate: float = 1e-3,
        lowest: float = 0.0,
        highest: float = 1.0,
    ) -> DualAscent:
        """The multiplier whose `state` this was.

        Raises:
            ConfigError: the state lacks something, or lies outside the bounds.
        """
        (start,) = _within(state, "multiplier", 1, lowest, highest).tolist()
        return cls(rate, start, lowest, highest)

    @property
    def values(self) -> tuple[float, ...]:
        """The one multiplier."""
        return (self._lambda,)

    def of(self, budget_s_B: Array) -> Array:
        """The multiplier, once for each budget (B)."""
        return np.full(len(budget_s_B), self._lambda)

    def update(self, outcomes: RunOutcomes) -> None:
        """One step along the mean of L/B - 1; none for an empty batch."""
        if len(outcomes):
            excess = float(np.mean(outcomes.latency_s_B / outcomes.budget_s_B)) - 1.0
            self._lambda = min(max(self._lambda + self.rate * excess, self.lowest), self.highest)

    def state(self) -> MultiplierState:
        """Everything that `restored` needs beside the constants."""
        return {"multiplier": [self._lambda]}


@dataclass(frozen=True, slots=True)
class FixedMultiplier:
    """A multiplier that never moves: for rewards that ignore it, and to show what the controller adds.

    Attributes:
        value: the multiplier.

    Raises:
        ConfigError: it is negative or not finite.
    """

    value: float = 0.5

    def __post_init__(self) -> None:
        require_between("value", self.value, 0)

    @property
    def values(self) -> tuple[float, ...]:
        """The one multiplier."""
        return (self.value,)

    def of(self, budget_s_B: Array) -> Array:
        """The multiplier, once for each budget (B)."""
        return np.full(len(budget_s_B), self.value)

    def update(self, outcomes: RunOutcomes) -> None:
        """Nothing to adjust."""

    def state(self) -> MultiplierState:
        """The value."""
        return {"multiplier": [self.value]}


def _check_bounds(lowest: float, start: float, highest: float) -> None:
    require_between("lowest", lowest, 0)
    require_between("highest", highest, lowest)
    require_between("start", start, lowest, highest)


def _within(
    state: Mapping[str, Sequence[float]], field: str, length: int, lowest: float, highest: float
) -> Array:
    values = _stored(state, field, length)
    require_all_between(f"state.{field}", values, lowest, highest)
    return values


def _stored(state: Mapping[str, Sequence[float]], field: str, length: int) -> Array:
    if field not in state:
        raise ConfigError(f"state.{field}", None, f"the state needs it; it has {', '.join(sorted(state))}")
    values = floats(f"state.{field}", list(state[field]))
    if len(values) != length:
        raise ConfigError(f"state.{field}", f"{len(values)} values", f"give {length}")
    return values
