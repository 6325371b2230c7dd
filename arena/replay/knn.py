"""Contenders that look at the question: what did the arms make of questions like this one?

Q = questions, A = arms, N = neighbours, K = knob settings.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inframind.arena.replay.contenders import (
    LAMBDAS,
    Answered,
    Asked,
    Choose,
    arm_costs,
    arm_values,
    best_arms,
    cost_unit,
    net_value,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Vectors = NDArray[np.float32]

FLOORS = tuple(step / 20 for step in range(19, 0, -1))
"""Least predicted values that a sweep goes through, most demanding first."""
NEIGHBOURS = (16, 64, 256)
"""Sizes of a neighbourhood to choose from."""
WEIGHTS = (4.0, 16.0, 64.0, 256.0)
"""Neighbours that an arm's overall mean may count as, to choose from."""
_BLOCK = 512
"""Questions that are compared at once, to bound memory."""


@dataclass(frozen=True, slots=True)
class Knn:
    """The best predicted value less the price of the predicted cost; the knob is the price (`LAMBDAS`)."""

    name: str = "knn"
    neighbours: tuple[int, ...] = NEIGHBOURS
    knobs: tuple[float, ...] = LAMBDAS

    def fit(self, train: Answered, rng: np.random.Generator) -> Choose:
        """Keep the training questions."""
        outlook = _Outlook.tuned(train, self.neighbours, rng)
        unit = cost_unit(train)

        def choose(asked: Asked, rng: np.random.Generator) -> Ints:
            value, cost = outlook.predict(asked)
            return np.stack(
                [best_arms(net_value(value, cost, price, unit), asked.allowed) for price in self.knobs]
            )

        return choose


@dataclass(frozen=True, slots=True)
class JustEnough:
    """The cheapest arm whose predicted value reaches a floor, else the best predicted one; the knob is the floor."""

    name: str = "just_enough"
    neighbours: tuple[int, ...] = NEIGHBOURS
    knobs: tuple[float, ...] = FLOORS

    def fit(self, train: Answered, rng: np.random.Generator) -> Choose:
        """Keep the training questions."""
        outlook = _Outlook.tuned(train, self.neighbours, rng)

        def choose(asked: Asked, rng: np.random.Generator) -> Ints:
            value, cost = outlook.predict(asked)
            thrift = 2.0 - cost / max(float(cost.max()), 1e-300)
            return np.stack(
                [
                    best_arms(np.where(value >= floor, thrift, value - 1.0), asked.allowed)
                    for floor in self.knobs
                ]
            )

        return choose


@dataclass(frozen=True, slots=True)
class _Sums:
    """What the neighbours of some questions (Q) say about the arms (A).

    Attributes:
        value: sum over the neighbours (Q, A).
        cost: sum over the neighbours (Q, A).
        count: neighbours that the arm answered (Q, A).
        usual_value: what the arm is worth on the whole, with the question's budget (Q, A).
        usual_cost: what the arm costs on the whole (A).
    """

    value: Floats
    cost: Floats
    count: Floats
    usual_value: Floats
    usual_cost: Floats

    def values(self, weight: float) -> Floats:
        """Mean value (Q, A), as if ``weight`` more neighbours said what is usual."""
        mean: Floats = (self.value + weight * self.usual_value) / (self.count + weight)
        return mean

    def costs(self, weight: float) -> Floats:
        """Mean cost (Q, A), likewise."""
        mean: Floats = (self.cost + weight * self.usual_cost) / (self.count + weight)
        return mean


@dataclass(frozen=True, slots=True)
class _Outlook:
    """What to expect of every arm on a question: the mean over its neighbours, drawn towards the arm's mean.

    The arm's mean counts as ``weight`` neighbours. With little of it the choice follows chance: the best of many
    noisy means is seldom the best arm.
    """

    train: Answered
    neighbours: int
    weight: float

    @classmethod
    def tuned(cls, train: Answered, neighbours: Sequence[int], rng: np.random.Generator) -> _Outlook:
        """With what chooses best on a third of the training questions, learning from the others."""
        order = rng.permutation(len(train.quality))
        held_out = len(order) // 3
        if not held_out:
            return cls(train, neighbours[0], WEIGHTS[0])
        rest, judged = train.take(order[held_out:]), train.take(order[:held_out])
        worth = {
            (near, weight): _chosen_value(sums.values(weight), judged)
            for near in neighbours
            for sums in [_sums(rest, judged.asked, near)]
            for weight in WEIGHTS
        }
        return cls(train, *max(worth, key=worth.__getitem__))

    def predict(self, asked: Asked) -> tuple[Floats, Floats]:
        """Value and cost (Q, A) of each arm."""
        sums = _sums(self.train, asked, self.neighbours)
        return sums.values(self.weight), sums.costs(self.weight)


def _chosen_value(predicted: Floats, judged: Answered) -> float:
    """Mean value of the arms that look best."""
    chosen = best_arms(predicted, judged.asked.allowed)
    return float(judged.value[np.arange(len(chosen)), chosen].mean())


def _sums(train: Answered, asked: Asked, neighbours: int) -> _Sums:
    known = np.where(train.asked.allowed, train.quality, 0.0)
    costs = np.zeros(known.shape) if train.cost is None else np.where(train.asked.allowed, train.cost, 0.0)
    value, cost, count = (np.empty(asked.allowed.shape) for _ in range(3))
    for block in _blocks(len(value)):
        near = _nearest(train.asked.vectors, asked.vectors[block], neighbours)
        is_near = np.zeros((len(near), len(known)))
        np.put_along_axis(is_near, near, 1.0, axis=1)
        cost[block], count[block] = is_near @ costs, is_near @ train.asked.allowed
        if train.seconds is None or asked.budgets_s is None:
            value[block] = is_near @ known
        else:
            # NaN seconds, of an arm that did not answer, are never within a budget.
            on_time = train.seconds[near] <= asked.budgets_s[block][:, None, None]
            value[block] = np.where(on_time, known[near], 0.0).sum(axis=1)
    return _Sums(value, cost, count, _usual_values(train, asked.budgets_s, len(value)), arm_costs(train))


def _nearest(known: Vectors, vectors: Vectors, neighbours: int) -> Ints:
    """Indices of the nearest known vectors (Q, N), at most a quarter of them: more would not be near."""
    n = max(1, min(neighbours, len(known) // 4))
    # The squared length of the question itself is the same for all candidates and left out.
    distance = (known**2).sum(axis=1) - 2.0 * vectors @ known.T
    return np.argpartition(distance, n - 1, axis=1)[:, :n]


def _usual_values(train: Answered, budgets_s: Floats | None, n: int) -> Floats:
    """What each arm is worth on the whole (Q, A), with the budgets of n = Q questions."""
    allowed = train.asked.allowed
    worth = arm_values(train.quality, allowed)
    if budgets_s is None or train.seconds is None:
        return np.broadcast_to(worth, (n, len(worth)))
    columns = zip(train.seconds.T, train.quality.T, allowed.T, strict=True)
    on_time = [_on_time_share(seconds[rows], quality[rows], budgets_s) for seconds, quality, rows in columns]
    return worth * np.stack(on_time, axis=1)


def _on_time_share(seconds: Floats, quality: Floats, budgets_s: Floats) -> Floats:
    """Share of an arm's quality that came within each budget (Q); 1 for an arm that never had any."""
    order = np.argsort(seconds)
    gained = np.concatenate([[0.0], np.cumsum(quality[order])])
    within = gained[np.searchsorted(seconds[order], budgets_s, side="right")]
    share: Floats = within / gained[-1] if gained[-1] > 0 else np.ones(len(budgets_s))
    return share


def _blocks(n: int) -> Iterator[slice]:
    return (slice(start, min(start + _BLOCK, n)) for start in range(0, n, _BLOCK))
