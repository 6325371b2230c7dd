"""Learning to route from recorded answers: expectations, cascades of several shapes, and which serves which price.

Q = questions, A = arms, K = prices of cost, H = shapes of cascades.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from inframind.arena.replay.contenders import Answered, Consult, cost_unit
from inframind.arena.replay.desk import Desk
from inframind.arena.replay.environment import ReplayOptions, answered
from inframind.arena.replay.front import Front
from inframind.arena.replay.learned_router import LearnedRouter, QuestionReader, play_cascade
from inframind.arena.replay.table import ReplayTable
from inframind.errors import ConfigError
from inframind.router.cascade import Cascade, CascadeConfig, fit_cascade
from inframind.router.outcome_model import OutcomeConfig, OutcomeModel, Recorded, column_means, fit_outcomes

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PRICES = tuple(float(price) for price in np.r_[0.001, np.geomspace(0.003, 30.0, 36)])
"""Prices of cost, in quality per mean cost of a recorded answer; the first one is the headline."""
CASCADES = (
    CascadeConfig(depth=1, candidates=12),
    CascadeConfig(depth=2, candidates=10),
    CascadeConfig(depth=3, candidates=6),
)
"""Shapes to choose from, simplest first."""


@dataclass(frozen=True, kw_only=True)
class LearnedConfig:
    """How the router learns.

    Raises:
        ConfigError: an option is out of range.
    """

    prices: tuple[float, ...] = PRICES
    """Of cost, in quality per mean cost of a recorded answer; the first one is the headline."""
    outcomes: OutcomeConfig = field(default_factory=OutcomeConfig)
    """Of the outcome model."""
    cascades: tuple[CascadeConfig, ...] = CASCADES
    """Shapes to choose from, simplest first."""
    folds: int = 5
    """Of the cross-validation that chooses a shape per price."""
    window: int = 5
    """Neighbouring prices that are judged together, since neighbours are alike and chance is not."""

    standard_errors: float = 0.5
    """How far behind the best shape a simpler one may be."""

    def __post_init__(self) -> None:
        if self.standard_errors < 0:
            raise ConfigError("standard_errors", self.standard_errors, "give 0 or more")
        if not self.prices or min(self.prices) <= 0:
            raise ConfigError("prices", self.prices, "give one or more numbers above 0")
        if not self.cascades:
            raise ConfigError("cascades", self.cascades, "give at least one shape")
        if self.folds < 2:
            raise ConfigError("folds", self.folds, "give at least 2")
        if self.window < 1 or self.window % 2 == 0:
            raise ConfigError("window", self.window, "give an odd number, such as 5")


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnProgress:
    """How far learning has come: ``done`` of ``total`` steps, and what came last."""

    done: int
    total: int
    what: str


OnProgress = Callable[[LearnProgress], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnReport:
    """What was learned, as cross-validation inside the training questions saw it.

    Attributes:
        questions, arms: how many.
        text_penalty: of the text columns; the largest one to choose from leaves text out.
        traits: number of traits.
        prices: of cost, in the table's unit (K).
        calls: most calls per question at each price (K).
        quality: mean at each price (K).
        cost: mean at each price (K).
        best_quality: mean of the arm that is best throughout.
        best_cost: its mean cost.
    """

    questions: int
    arms: int
    text_penalty: float
    traits: int
    prices: tuple[float, ...]
    calls: tuple[int, ...]
    quality: tuple[float, ...]
    cost: tuple[float, ...]
    best_quality: float
    best_cost: float

    def knob_within(self, below: float) -> int:
        """The price that costs least of those within ``below`` of the best arm's quality; else the best one's."""
        quality, cost = np.array(self.quality), np.array(self.cost)
        good = quality >= self.best_quality - below
        return int(np.where(good, cost, np.inf).argmin() if good.any() else quality.argmax())

    def cost_share(self, below: float) -> float | None:
        """Least cost within ``below`` of the best arm's quality, over that arm's cost; None when out of reach."""
        cost = Front.over(self.cost, self.quality).cost_at(self.best_quality - below)
        return None if cost is None or not self.best_cost else cost / self.best_cost


@dataclass(frozen=True, slots=True)
class Learned:
    """The learned router; the knob is the price of cost."""

    name: str = "learned"
    config: LearnedConfig = field(default_factory=LearnedConfig)

    @property
    def knobs(self) -> tuple[float, ...]:
        """Prices."""
        return self.config.prices

    def learn(self, train: Answered, rng: np.random.Generator) -> Consult:
        """Fit, and choose shapes inside the training questions."""
        router, _ = learn_router(train, self.config, rng)
        return router.consult


def train_on_table(
    table: ReplayTable,
    config: LearnedConfig | None = None,
    seed: int = 0,
    on_progress: OnProgress | None = None,
    *,
    cost: str | None = None,
) -> tuple[LearnedRouter, LearnReport]:
    """Learn from all questions of a table.

    Args:
        table: recorded answers, with a cost.
        config: how; None takes the defaults.
        seed: of the folds.
        on_progress: told after each step.
        cost: ``cost``, ``seconds`` or ``tokens``; None takes what most outcomes come with.

    Raises:
        ConfigError: the table records no cost, or leaves nothing to choose.
    """
    known = answered(table, ReplayOptions(cost=cost))
    return learn_router(known, config or LearnedConfig(), np.random.default_rng(seed), on_progress)


def learn_router(
    train: Answered,
    config: LearnedConfig,
    rng: np.random.Generator,
    on_progress: OnProgress | None = None,
) -> tuple[LearnedRouter, LearnReport]:
    """Learn from answered questions.

    Raises:
        ConfigError: nothing has a cost, or there are too few questions for the folds.
    """
    if train.cost is None:
        raise ConfigError("cost", None, "record a cost, seconds or tokens: a router without one has no price")
    if len(train.quality) < 2 * config.folds:
        fix = f"record at least {2 * config.folds} questions to learn from, or ask for fewer folds"
        raise ConfigError("questions", len(train.quality), fix)
    tell = _Teller(config.folds + 1, on_progress)
    fold = rng.permutation(np.arange(len(train.quality)) % config.folds)
    shape = len(config.cascades), len(config.prices), len(fold)
    value, cost = np.zeros(shape), np.zeros(shape)
    for number in range(config.folds):
        held_out = np.flatnonzero(fold == number)
        fitted = _fit(train.take(np.flatnonzero(fold != number)), config, rng)
        value[:, :, held_out], cost[:, :, held_out] = _judge(fitted, train.take(held_out))
        tell(f"fold {number + 1} of {config.folds}")
    prices = np.array(config.prices) / cost_unit(train)
    shape_of_price = _simplest_good(value - prices[:, None] * cost, config)
    fitted = _fit(train, config, rng)
    tell("all questions")
    router = LearnedRouter(
        arms=train.asked.arms,
        reader=fitted.reader,
        outcomes=fitted.outcomes,
        cascades=fitted.cascades,
        shape_of_price=shape_of_price,
    )
    return router, _report(train, router, value, cost)


@dataclass(slots=True)
class _Teller:
    total: int
    on_progress: OnProgress | None
    done: int = 0

    def __call__(self, what: str) -> None:
        self.done += 1
        if self.on_progress is not None:
            self.on_progress(LearnProgress(done=self.done, total=self.total, what=what))


@dataclass(frozen=True, slots=True)
class _Fitted:
    reader: QuestionReader
    outcomes: OutcomeModel
    cascades: tuple[Cascade, ...]


def _fit(train: Answered, config: LearnedConfig, rng: np.random.Generator) -> _Fitted:
    if train.cost is None:
        raise ConfigError("cost", None, "record a cost, seconds or tokens: a router without one has no price")
    reader = QuestionReader.of(train.asked)
    recorded = Recorded(
        columns=reader.read(train.asked), n_text=reader.n_text, quality=train.value, cost=train.cost
    )
    outcomes, outlook = fit_outcomes(recorded, config.outcomes, rng)
    prices = np.array(config.prices) / cost_unit(train)
    cascades = tuple(
        fit_cascade(recorded, outlook, train.replies, prices, shape) for shape in config.cascades
    )
    return _Fitted(reader, outcomes, cascades)


def _judge(fitted: _Fitted, judged: Answered) -> tuple[Floats, Floats]:
    """Value and cost (H, K, Q) of every shape at every price on questions that it did not learn from."""
    outlook = fitted.outcomes.predict(fitted.reader.read(judged.asked))
    n_prices = len(fitted.cascades[0].prices)
    values, costs = [], []
    for cascade in fitted.cascades:
        desk = Desk(n_prices, judged.replies, judged.asked.allowed)
        chosen = np.stack(
            [play_cascade(cascade, price, judged.asked, outlook, desk) for price in range(n_prices)]
        )
        values.append(_realised(judged, chosen, desk))
        costs.append(desk.total(judged.cost))
    return np.stack(values), np.stack(costs)


def _realised(judged: Answered, chosen: Ints, desk: Desk) -> Floats:
    """Quality of the chosen answers (K, Q), 0 where there is none or the calls took longer than the budget."""
    quality = judged.quality[np.arange(chosen.shape[1]), chosen]
    in_time = np.ones(chosen.shape, dtype=bool)
    if judged.asked.budgets_s is not None:
        in_time = desk.total(judged.seconds) <= judged.asked.budgets_s
    return np.where((chosen >= 0) & in_time, quality, 0.0)


def _simplest_good(net: Floats, config: LearnedConfig) -> Ints:
    """For each price, the first shape whose net value (H, K, Q) is within some standard errors of the best one's.

    The one-standard-error rule of Breiman et al. (1984, "Classification and Regression Trees"), with errors of the
    paired difference. Net values are averaged over neighbouring prices, fewer of them at the ends.
    """
    n_prices = net.shape[1]
    near = np.abs(np.arange(n_prices)[:, None] - np.arange(n_prices)) <= config.window // 2
    smooth = np.einsum("kj,hjq->hkq", near / near.sum(axis=1, keepdims=True), net)
    best = smooth.mean(axis=2).argmax(axis=0)
    behind = smooth[best, np.arange(n_prices)] - smooth
    error = behind.std(axis=2) / np.sqrt(net.shape[2])
    good: Ints = (behind.mean(axis=2) <= config.standard_errors * error).argmax(axis=0)
    return good


def _report(train: Answered, router: LearnedRouter, value: Floats, cost: Floats) -> LearnReport:
    prices = np.arange(len(router.shape_of_price))
    mean_quality = column_means(train.value, default=0.0)
    best = int(mean_quality.argmax())
    return LearnReport(
        questions=len(train.quality),
        arms=len(router.arms),
        text_penalty=router.outcomes.quality.penalty,
        traits=router.outcomes.basis.shape[1],
        prices=tuple(float(price) for price in router.cascades[0].prices),
        calls=tuple(router.cascades[shape].config.depth for shape in router.shape_of_price),
        quality=tuple(float(one) for one in value[router.shape_of_price, prices].mean(axis=1)),
        cost=tuple(float(one) for one in cost[router.shape_of_price, prices].mean(axis=1)),
        best_quality=float(mean_quality[best]),
        best_cost=float(router.outcomes.mean_cost[best]),
    )
