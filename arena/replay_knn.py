"""Contenders that look at the question: what did the arms make of questions like this one?

Q = questions, A = arms, N = neighbours, K = knob settings.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inframind.arena.replay_contenders import (
    LAMBDAS,
    Answered,
    Asked,
    Choose,
    arm_costs,
    arm_values,
    best_allowed,
    cost_unit,
    net_value,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FLOORS = tuple(step / 20 for step in range(19, 0, -1))
"""Least predicted values that a sweep goes through, most demanding first."""
WEIGHTS = (4.0, 16.0, 64.0, 256.0)
"""Neighbours that an arm's mean may count as, least first."""
_BLOCK = 512
"""Questions that are compared at once, to bound memory."""


@dataclass(frozen=True, slots=True)
class Knn:
    """The best predicted value less the price of the predicted cost; the knob is the price (`LAMBDAS`).

    Neighbours are at most a quarter of the training questions: more would not be near.
    """

    name: str = "knn"
    neighbours: int = 32
    knobs: tuple[float, ...] = LAMBDAS

    def fit(self, train: Answered, rng: np.random.Generator) -> Choose:
        """Keep the training questions."""
        outlook = _Outlook.tuned(train, self.neighbours, rng)
        unit = cost_unit(train)

        def choose(asked: Asked, rng: np.random.Generator) -> Ints:
            value, cost = outlook.predict(asked)
            return np.stack(
                [best_allowed(net_value(value, cost, price, unit), asked.allowed) for price in self.knobs]
            )

        return choose


@dataclass(frozen=True, slots=True)
class JustEnough:
    """The cheapest arm whose predicted value reaches a floor, else the best predicted one; the knob is the floor."""

    name: str = "just_enough"
    neighbours: int = 32
    knobs: tuple[float, ...] = FLOORS

    def fit(self, train: Answered, rng: np.random.Generator) -> Choose:
        """Keep the training questions."""
        outlook = _Outlook.tuned(train, self.neighbours, rng)

        def choose(asked: Asked, rng: np.random.Generator) -> Ints:
            value, cost = outlook.predict(asked)
            thrift = 2.0 - cost / max(float(cost.max()), 1e-300)
            return np.stack(
                [
                    best_allowed(np.where(value >= floor, thrift, value - 1.0), asked.allowed)
                    for floor in self.knobs
                ]
            )

        return choose


@dataclass(frozen=True, slots=True)
class _Outlook:
    """What to expect of every arm on a question: the mean over its neighbours, drawn towards the arm's mean.

    The arm's mean counts as ``weight`` neighbours. Little of it makes the choice follow chance: the best of many
    noisy means is seldom the best arm.
    """

    train: Answered
    neighbours: int
    weight: float

    @classmethod
    def tuned(cls, train: Answered, neighbours: int, rng: np.random.Generator) -> _Outlook:
        """With the weight that chooses best on a third of the training questions, learning from the others."""
        order = rng.permutation(len(train.quality))
        held_out = len(order) // 3
        if not held_out:
            return cls(train, neighbours, WEIGHTS[0])
        rest, judged = train.take(order[held_out:]), train.take(order[:held_out])
        worth = [cls(rest, neighbours, weight).chosen_value(judged) for weight in WEIGHTS]
        return cls(train, neighbours, WEIGHTS[int(np.argmax(worth))])

    def chosen_value(self, judged: Answered) -> float:
        """Mean value of the arms that look best."""
        value, _ = self.predict(judged.asked)
        chosen = best_allowed(value, judged.asked.allowed)
        return float(judged.value[np.arange(len(chosen)), chosen].mean())

    def predict(self, asked: Asked) -> tuple[Floats, Floats]:
        """Value and cost (Q, A) of each."""
        value = np.empty(asked.allowed.shape)
        cost = np.empty(asked.allowed.shape)
        mean_costs = arm_costs(self.train)
        for block in _blocks(len(value)):
            near = self._nearest(asked.vectors[block])
            allowed = self.train.asked.allowed[near]
            budgets_s = None if asked.budgets_s is None else asked.budgets_s[block]
            prior = self._values_in_general(budgets_s)
            value[block] = _drawn_mean(self._values(near, budgets_s), allowed, prior, self.weight)
            near_cost = np.zeros(allowed.shape) if self.train.cost is None else self.train.cost[near]
            cost[block] = _drawn_mean(near_cost, allowed, mean_costs, self.weight)
        return value, cost

    def _nearest(self, vectors: NDArray[np.float32]) -> Ints:
        known = self.train.asked.vectors
        n = max(1, min(self.neighbours, len(known) // 4))
        # The squared length of the question itself is the same for all candidates and left out.
        distance = (known**2).sum(axis=1) - 2.0 * vectors @ known.T
        return np.argpartition(distance, n - 1, axis=1)[:, :n]

    def _values(self, near: Ints, budgets_s: Floats | None) -> Floats:
        """Value of the neighbours' answers (Q, N, A), had they had the question's budget."""
        quality = self.train.quality[near]
        if budgets_s is None or self.train.seconds is None:
            return quality
        return np.where(self.train.seconds[near] <= budgets_s[:, None, None], quality, 0.0)

    def _values_in_general(self, budgets_s: Floats | None) -> Floats:
        """What each arm is worth on the whole: (A), or (Q, A) with budgets."""
        allowed = self.train.asked.allowed
        worth = arm_values(self.train.quality, allowed)
        if budgets_s is None or self.train.seconds is None:
            return worth
        columns = zip(self.train.seconds.T, self.train.quality.T, allowed.T, strict=True)
        on_time = [
            _on_time_share(seconds[rows], quality[rows], budgets_s) for seconds, quality, rows in columns
        ]
        return worth * np.stack(on_time, axis=1)


def _on_time_share(seconds: Floats, quality: Floats, budgets_s: Floats) -> Floats:
    """Share of an arm's quality that came within each budget (Q); 1 for an arm that never had any."""
    order = np.argsort(seconds)
    gained = np.concatenate([[0.0], np.cumsum(quality[order])])
    within = gained[np.searchsorted(seconds[order], budgets_s, side="right")]
    share: Floats = within / gained[-1] if gained[-1] > 0 else np.ones(len(budgets_s))
    return share


def _drawn_mean(values: Floats, allowed: NDArray[np.bool_], prior: Floats, weight: float) -> Floats:
    """Mean over the neighbours, (Q, N, A) to (Q, A), with ``weight`` more neighbours that say ``prior``."""
    total = np.where(allowed, values, 0.0).sum(axis=1)
    mean: Floats = (total + weight * prior) / (allowed.sum(axis=1) + weight)
    return mean


def _blocks(n: int) -> Iterator[slice]:
    return (slice(start, min(start + _BLOCK, n)) for start in range(0, n, _BLOCK))
