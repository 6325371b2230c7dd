"""Who takes part in a replay: what a contender is given, what it gives back, and those that never read a question.

Q = questions, A = arms, K = knob settings of one contender.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from inframind.arena.replay.desk import Desk
from inframind.arena.replay.front import upper_front
from inframind.router.policy_parts import best_of_rows
from inframind.router.replies import Replies

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

ABSTAIN = -1
"""The choice of a contender that has nothing to choose."""
LAMBDAS = (0.0, 0.001, 0.003, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 3.0, 10.0, 100.0)
"""Prices of cost, in value per mean cost of a choice, that a sweep goes through."""
MIXTURE_KNOBS = tuple(step / 24 for step in range(25))
NO_REPLIES = Replies(amounts={})
"""Nothing can be seen of replies."""
PRIOR_QUESTIONS = 4.0
"""Weight of what is known in general against what was recorded, in questions."""
_TIE = 1e-9
"""Price of cost when cost does not count: of two equal arms take the cheaper one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Questions before anyone has answered them.

    Attributes:
        question_ids: (Q).
        questions: texts (Q), None where there is none.
        strata: (Q).
        arms: names (A).
        vectors: the questions as numbers (Q, D); D may be 0.
        context: what is known at dispatch (Q, A, F); F may be 0.
        allowed: arms whose outcome is recorded (Q, A).
        budgets_s: seconds that each question has (Q); None when time does not count.
    """

    question_ids: tuple[str, ...]
    questions: tuple[str | None, ...]
    strata: tuple[str, ...]
    arms: tuple[str, ...]
    vectors: NDArray[np.float32]
    context: Floats
    allowed: Bools
    budgets_s: Floats | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """Questions and what came of every arm, NaN where ``asked.allowed`` is false.

    Attributes:
        asked: the questions.
        quality: 0 to 1 (Q, A).
        cost: (Q, A); None when nothing has a cost.
        seconds: (Q, A); None when time does not count.
        replies: what can be seen of every arm's reply.
    """

    asked: Asked
    quality: Floats
    cost: Floats | None
    seconds: Floats | None
    replies: Replies = NO_REPLIES

    @property
    def value(self) -> Floats:
        """What a contender is after (Q, A): quality, and none for an answer beyond the budget."""
        if self.asked.budgets_s is None or self.seconds is None:
            return self.quality
        late = self.seconds > self.asked.budgets_s[:, None]
        return np.where(late & self.asked.allowed, 0.0, self.quality)

    def take(self, rows: Ints) -> Answered:
        """Some of the questions, by index."""
        asked = self.asked
        return Answered(
            asked=Asked(
                question_ids=tuple(asked.question_ids[row] for row in rows),
                questions=tuple(asked.questions[row] for row in rows),
                strata=tuple(asked.strata[row] for row in rows),
                arms=asked.arms,
                vectors=asked.vectors[rows],
                context=asked.context[rows],
                allowed=asked.allowed[rows],
                budgets_s=None if asked.budgets_s is None else asked.budgets_s[rows],
            ),
            quality=self.quality[rows],
            cost=None if self.cost is None else self.cost[rows],
            seconds=None if self.seconds is None else self.seconds[rows],
            replies=self.replies.take(rows),
        )


Choose = Callable[[Asked, np.random.Generator], Ints]
"""One arm per knob setting and question (K, Q): an allowed one, or `ABSTAIN`."""


class ReplayContender(Protocol):
    """One that learns from recorded answers and then chooses an arm for each new question."""

    @property
    def name(self) -> str:
        """Unique, lower case."""
        ...

    @property
    def knobs(self) -> tuple[float, ...]:
        """Settings (K) between quality and thrift; the first is the contender's headline."""
        ...

    def fit(self, train: Answered, rng: np.random.Generator) -> Choose:
        """Learn from the training questions; they are all that may be learned from."""
        ...


Consult = Callable[[Asked, Desk, np.random.Generator], Ints]
"""One arm per knob setting and question (K, Q), one of those bought at the desk for that knob and question."""


@runtime_checkable
class SequentialContender(Protocol):
    """One that may look at an arm's reply before it asks another, and pays for all that it asks."""

    @property
    def name(self) -> str:
        """Unique, lower case."""
        ...

    @property
    def knobs(self) -> tuple[float, ...]:
        """Settings (K) between quality and thrift; the first is the contender's headline."""
        ...

    def learn(self, train: Answered, rng: np.random.Generator) -> Consult:
        """Learn from the training questions; they are all that may be learned from."""
        ...


AnyContender = ReplayContender | SequentialContender


def best_arms(scores: Floats, allowed: Bools) -> Ints:
    """The best-scored allowed arm of each question, `ABSTAIN` where none is: (..., Q, A) to (..., Q)."""
    return np.where(allowed.any(axis=-1), best_of_rows(scores, allowed), ABSTAIN)


def net_value(value: Floats, cost: Floats | None, price: float, unit: float) -> Floats:
    """``value - price * cost / unit``; of equal values the cheaper one stays ahead at a price of 0."""
    return value if cost is None else value - max(price, _TIE) * cost / unit


def arm_values(value: Floats, allowed: Bools) -> Floats:
    """What each arm is worth on average (A), as if all had answered the same questions.

    Each answer counts against the mean of its question over the arms, so that an arm that was only asked easy
    questions does not shine; the mean difference is drawn towards 0 by `PRIOR_QUESTIONS`.
    """
    known = np.where(allowed, value, 0.0)
    per_question = known.sum(axis=1) / np.maximum(allowed.sum(axis=1), 1)
    lead = np.where(allowed, value - per_question[:, None], 0.0).sum(axis=0)
    worth: Floats = per_question.mean() + lead / (allowed.sum(axis=0) + PRIOR_QUESTIONS)
    return worth


def arm_costs(train: Answered) -> Floats:
    """`mean_costs` of the training answers (A); 0 when nothing has a cost."""
    if train.cost is None:
        return np.zeros(len(train.asked.arms))
    return mean_costs(train.cost, train.asked.allowed)


def mean_costs(cost: Floats, allowed: Bools) -> Floats:
    """What each arm costs on average (A), as if all had answered the same questions.

    An arm's costs over the mean costs of its questions, times the mean over all questions. An arm without any
    answer counts as the dearest.
    """
    known = np.where(allowed, cost, 0.0)
    per_question = known.sum(axis=1) / np.maximum(allowed.sum(axis=1), 1)
    usual = (allowed * per_question[:, None]).sum(axis=0)
    means: Floats = per_question.mean() * np.divide(
        known.sum(axis=0), usual, out=np.zeros(len(usual)), where=usual > 0
    )
    means[~allowed.any(axis=0)] = means.max()
    return means


def cost_unit(train: Answered) -> float:
    """Mean cost of a recorded answer, the unit in which cost is weighed; 1 when everything is free."""
    if train.cost is None:
        return 1.0
    mean = float(train.cost[train.asked.allowed].mean())
    return mean if mean > 0 else 1.0


@dataclass(frozen=True, slots=True)
class Always:
    """One arm, whatever is asked; where it is not recorded, no choice."""

    arm: str
    knobs: tuple[float, ...] = (0.0,)

    @property
    def name(self) -> str:
        """``always``, and the arm."""
        return f"always {self.arm}"

    def fit(self, train: Answered, rng: np.random.Generator) -> Choose:
        """Nothing to learn."""
        arm = train.asked.arms.index(self.arm)
        return lambda asked, _: np.where(asked.allowed[:, arm], arm, ABSTAIN)[None]


@dataclass(frozen=True, slots=True)
class BestConstant:
    """The arm that was worth most on the training questions; where it is not recorded, the next best one."""

    name: str = "best_constant"
    knobs: tuple[float, ...] = (0.0,)

    def fit(self, train: Answered, rng: np.random.Generator) -> Choose:
        """Rank the arms."""
        worth = arm_values(train.value, train.asked.allowed)
        return partial(_by_rank, net_value(worth, arm_costs(train), 0.0, cost_unit(train)))


@dataclass(frozen=True, slots=True)
class Cheapest:
    """The arm that cost least on the training questions; where it is not recorded, the next cheapest one."""

    name: str = "cheapest"
    knobs: tuple[float, ...] = (0.0,)

    def fit(self, train: Answered, rng: np.random.Generator) -> Choose:
        """Rank the arms."""
        return partial(_by_rank, -arm_costs(train))


def _by_rank(scores: Floats, asked: Asked, _: np.random.Generator) -> Ints:
    return best_arms(scores, asked.allowed)[None]


@dataclass(frozen=True, slots=True)
class Uniform:
    """Any allowed arm, all equally likely."""

    name: str = "random"
    knobs: tuple[float, ...] = (0.0,)

    def fit(self, train: Answered, rng: np.random.Generator) -> Choose:
        """Nothing to learn."""
        return lambda asked, rng: best_arms(rng.random(asked.allowed.shape), asked.allowed)[None]


@dataclass(frozen=True, slots=True)
class BestPerStratum:
    """The best constant arm of each stratum: what knowing the benchmark alone, and not the question, is worth.

    A stratum without training questions goes by all of them.
    """

    name: str = "best_per_benchmark"
    knobs: tuple[float, ...] = (0.0,)

    def fit(self, train: Answered, rng: np.random.Generator) -> Choose:
        """Rank the arms, stratum by stratum."""
        strata = np.array(train.asked.strata)
        overall = arm_values(train.value, train.asked.allowed)
        worth = {
            stratum: arm_values(train.value[rows], train.asked.allowed[rows])
            for stratum in set(train.asked.strata)
            for rows in [np.flatnonzero(strata == stratum)]
        }
        costs, unit = arm_costs(train), cost_unit(train)

        def choose(asked: Asked, rng: np.random.Generator) -> Ints:
            scores = np.stack([worth.get(stratum, overall) for stratum in asked.strata])
            return best_arms(net_value(scores, costs, 0.0, unit), asked.allowed)[None]

        return choose


@dataclass(frozen=True, slots=True)
class Mixture:
    """A coin between two fixed arms: the baseline that reads nothing, and that a router has to beat.

    The arms worth mixing are those on the upper concave hull of mean value over mean cost on the training
    questions. The knob walks along the hull from the most valuable arm (0) to the cheapest worthwhile one (1). Its
    settings are the hull's arms alone: their mixtures are what lies between them on the front, without the luck of
    the coin. Where the arm is not recorded, the one that does best at the same price of cost takes its place.
    """

    name: str = "mixture"
    knobs: tuple[float, ...] = MIXTURE_KNOBS

    def fit(self, train: Answered, rng: np.random.Generator) -> Choose:
        """Find the hull."""
        worth, costs = arm_values(train.value, train.asked.allowed), arm_costs(train) / cost_unit(train)
        prices = _prices_of_hull(costs, worth)
        places = [round(knob * (len(prices) - 1)) for knob in self.knobs]
        scores = [net_value(worth, costs, prices[place], 1.0) for place in places]
        return lambda asked, _: np.stack([best_arms(row, asked.allowed) for row in scores])


def _prices_of_hull(costs: Floats, worth: Floats) -> Floats:
    """A price of cost for each arm on the hull, most valuable first, at which that arm does best."""
    hull = upper_front(costs, worth)
    slopes = np.diff(worth[hull]) / np.diff(costs[hull])
    between = (slopes[:-1] + slopes[1:]) / 2
    prices: Floats = np.concatenate([[0.0], between, 2 * slopes[-1:]])
    return prices
