"""What can be seen of replies without knowing whether they are right: length, time, and which of them agree.

N = questions, A = arms, C = columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from inframind.router.outcome_model import column_means

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NOT_SEEN = -2
"""An answer that nobody has asked for, or that was not recorded."""
UNREADABLE = -1
"""A reply that no answer could be read from."""
_FURTHEST = 3.0
"""Deviations from the mean beyond which an amount tells nothing more."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Replies:
    """Replies that were paid for.

    Attributes:
        amounts: such as completion tokens and seconds, by name, each (N, A), NaN where not seen.
        answers: a number per distinct answer to a question (N, A), `UNREADABLE` or `NOT_SEEN`; None when answers are
            not recorded. Numbers of different questions are unrelated.
    """

    amounts: Mapping[str, Floats]
    answers: Ints | None = None

    @property
    def n_questions(self) -> int:
        """N; 0 when nothing is recorded of replies."""
        matrices = [*self.amounts.values(), *([] if self.answers is None else [self.answers])]
        return len(matrices[0]) if matrices else 0

    def take(self, rows: Ints) -> Replies:
        """Some of the questions, by index."""
        answers = None if self.answers is None else self.answers[rows]
        return Replies(amounts={name: values[rows] for name, values in self.amounts.items()}, answers=answers)

    def unseen(self) -> Replies:
        """The same shape before anyone was asked."""
        answers = None if self.answers is None else np.full(self.answers.shape, NOT_SEEN)
        return Replies(
            amounts={name: np.full(values.shape, np.nan) for name, values in self.amounts.items()},
            answers=answers,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReplyScale:
    """What is usual for an amount of each arm.

    Attributes:
        mean: of its logarithm, by name, each (A).
        spread: of its logarithm, by name, each (A).
    """

    mean: Mapping[str, Floats]
    spread: Mapping[str, Floats]

    @classmethod
    def of(cls, replies: Replies) -> ReplyScale:
        """As in these replies."""
        logs = {name: np.log1p(values) for name, values in replies.amounts.items()}
        mean = {name: column_means(values, default=0.0) for name, values in logs.items()}
        return cls(
            mean=mean,
            spread={
                name: np.sqrt(column_means((values - mean[name]) ** 2, default=0.0))
                for name, values in logs.items()
            },
        )

    def columns(self, replies: Replies, called: Sequence[int], n: int) -> Floats:
        """What the called arms' replies say (n, C); an arm that is not called is not looked at.

        Amounts in units of what is usual, whether each answer could be read, whether each two agree, and whether all
        of three do.
        """
        columns = [
            self._standard(name, values[:, arm], arm)
            for name, values in replies.amounts.items()
            for arm in called
        ]
        if replies.answers is not None:
            columns += _answer_columns(replies.answers[:, list(called)])
        return np.stack(columns, axis=1) if columns else np.empty((n, 0))

    def _standard(self, name: str, values: Floats, arm: int) -> Floats:
        spread = self.spread[name][arm]
        if not spread > 0:
            return np.zeros(len(values))
        standard = (np.log1p(values) - self.mean[name][arm]) / spread
        shown: Floats = np.nan_to_num(np.clip(standard, -_FURTHEST, _FURTHEST))
        return shown


def _answer_columns(answers: Ints) -> list[Floats]:
    """Of the answers of the called arms (N, number of arms)."""
    each = range(answers.shape[1])
    agree = [
        (answers[:, one] == answers[:, other]) & (answers[:, one] >= 0)
        for one, other in combinations(each, 2)
    ]
    everyone = [np.all(agree, axis=0)] if len(agree) > 1 else []
    unreadable = [answers[:, one] == UNREADABLE for one in each]
    return [column.astype(np.float64) for column in (*unreadable, *agree, *everyone)]
