"""What of a table can be played, by the options: who may choose what, and who is asked what in each split.

S = seeds, Q = questions of the table, A = arms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from inframind.arena.replay.contenders import Answered, Asked
from inframind.arena.replay.table import ReplayTable
from inframind.arena.replay.text_features import context_vectors, text_vectors
from inframind.arena.workload import Budgets, LogUniform
from inframind.errors import ConfigError
from inframind.router.replies import NOT_SEEN, Replies

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

DEFAULT_BUDGETS = LogUniform(5, 300)
_SPLIT, _BUDGETS = 1, 2
"""Streams of chance of a seed; those of contenders are named by their checksums."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOptions:
    """How a table is replayed.

    Raises:
        ConfigError: an option is out of range.
    """

    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """One split into training and test questions, and one draw of budgets, each."""
    train_share: float = 0.5
    """Share of the questions of each stratum to learn from."""
    cost: str | None = None
    """``cost``, ``seconds``, ``tokens`` or ``none``; None takes what most outcomes come with."""
    budgets: Budgets | None = DEFAULT_BUDGETS
    """Of the questions, where the table records seconds; None lets time not count."""
    targets: tuple[float, ...] = (0.02, 0.05)
    """How far below the best constant arm, in the goal, to ask for the least cost."""
    resamples: int = 400
    """Bootstrap resamples per interval."""

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise ConfigError("seeds", self.seeds, "give one or more different whole numbers from 0 on")
        if not 0 < self.train_share < 1:
            raise ConfigError("train_share", self.train_share, "give a share between 0 and 1, such as 0.5")
        if not all(0 <= target < 1 for target in self.targets):
            raise ConfigError("targets", self.targets, "give shares from 0 up to 1, such as 0.02")
        if self.resamples < 1:
            raise ConfigError("resamples", self.resamples, "give at least 1; 400 are a good start")


def answered(table: ReplayTable, options: ReplayOptions | None = None) -> Answered:
    """All questions of a table that can be played, with what came of them; time does not count.

    Raises:
        ConfigError: the cost is not recorded, or the table leaves nothing to choose.
    """
    options = options or ReplayOptions()
    environment = Environment.of(table, replace(options, budgets=None))
    everyone = np.arange(len(environment.table.question_ids))
    return environment.answered(None, environment.vectors(everyone))


@dataclass(frozen=True, slots=True)
class Round:
    """One seed: who is asked what.

    Attributes:
        seed: of the split and the budgets.
        train: the questions to learn from.
        test: the others.
        test_rows: their indices in the table.
        budgets_s: of all questions (Q); None when time does not count.
    """

    seed: int
    train: Answered
    test: Answered
    test_rows: Ints
    budgets_s: Floats | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Environment:
    """The part of a table that can be played.

    Attributes:
        table: without the questions and arms that have nothing to choose.
        allowed: what may be chosen (Q, A).
        cost_kind: kind of cost.
        cost: (Q, A); None when nothing has a cost.
        seconds: (Q, A); None when time does not count.
    """

    table: ReplayTable
    allowed: Bools
    cost_kind: str
    cost: Floats | None
    seconds: Floats | None

    @classmethod
    def of(cls, table: ReplayTable, options: ReplayOptions) -> Environment:
        """What may be chosen, by the options.

        Raises:
            ConfigError: the cost is not recorded, or there is nothing left to choose or to split.
        """
        kind = options.cost or table.best_cost()
        cost = table.costs(kind)
        seconds = table.seconds if options.budgets is not None else None
        allowed = table.recorded
        for needed in (cost, seconds):
            if needed is not None:
                allowed = allowed & ~np.isnan(needed)
        questions, arms = np.flatnonzero(allowed.any(axis=1)), np.flatnonzero(allowed.any(axis=0))
        if len(questions) < 2 or len(arms) < 2:
            raise ConfigError(
                "table",
                table.name,
                f"record at least 2 questions and 2 arms with their {kind}, or choose another cost",
            )
        cells = np.ix_(questions, arms)
        return cls(
            table=table.take(questions, arms),
            allowed=allowed[cells],
            cost_kind=kind,
            cost=None if cost is None else cost[cells],
            seconds=None if seconds is None else seconds[cells],
        )

    @cached_property
    def _text_vectors(self) -> NDArray[np.float32] | None:
        """The questions' texts as numbers (Q, D); None without texts."""
        return text_vectors(self.table)

    @property
    def has_vectors(self) -> bool:
        """Whether questions can be compared."""
        return bool(self.vectors(np.arange(len(self.table.question_ids))).shape[1] > 0)

    def vectors(self, train: Ints) -> NDArray[np.float32]:
        """The questions as numbers (Q, D), on scales that the training questions set."""
        return context_vectors(self.table, train) if self._text_vectors is None else self._text_vectors

    def draw(self, seed: int, options: ReplayOptions) -> Round:
        """Split the questions, stratum by stratum, and draw their budgets."""
        n = len(self.table.question_ids)
        train = _stratified(self.table.strata, options.train_share, np.random.default_rng([seed, _SPLIT]))
        budgets_s = None
        if self.seconds is not None and options.budgets is not None:
            budgets_s = options.budgets.draw(n, np.random.default_rng([seed, _BUDGETS]))
        test = np.setdiff1d(np.arange(n), train)
        answered = self.answered(budgets_s, self.vectors(train))
        return Round(seed, answered.take(train), answered.take(test), test, budgets_s)

    def answered(self, budgets_s: Floats | None, vectors: NDArray[np.float32]) -> Answered:
        """All questions with what came of them; nothing shows where a choice is not allowed."""

        def shown(matrix: Floats) -> Floats:
            return np.where(self.allowed, matrix, np.nan)

        return Answered(
            asked=Asked(
                question_ids=self.table.question_ids,
                questions=self.table.questions,
                strata=self.table.strata,
                arms=self.table.arms,
                vectors=vectors,
                context=self.table.context,
                allowed=self.allowed,
                budgets_s=budgets_s,
            ),
            quality=shown(self.table.quality),
            cost=None if self.cost is None else shown(self.cost),
            seconds=None if self.seconds is None else shown(self.seconds),
            replies=self._replies(),
        )

    def _replies(self) -> Replies:
        """What can be seen of replies: their length, the seconds they took, and which answers agree."""
        amounts = {"completion_tokens": self.table.completion_tokens, "seconds": self.table.seconds}
        answers = self.table.answers
        return Replies(
            amounts={
                name: np.where(self.allowed, values, np.nan)
                for name, values in amounts.items()
                if values is not None
            },
            answers=None if answers is None else np.where(self.allowed, answers, NOT_SEEN),
        )


def _stratified(strata: Sequence[str], share: float, rng: np.random.Generator) -> Ints:
    """Indices of that share of each stratum, as near as whole questions come; neither none nor all of them."""
    labels = np.array(strata)
    parts = [rng.permutation(np.flatnonzero(labels == stratum)) for stratum in sorted(set(strata))]
    ends = np.rint(np.cumsum([len(part) for part in parts]) * share).astype(np.int64)
    ends[-1] = np.clip(ends[-1], 1, len(labels) - 1)
    sizes = np.diff(ends, prepend=0)
    return np.sort(np.concatenate([part[:size] for part, size in zip(parts, sizes, strict=True)]))
