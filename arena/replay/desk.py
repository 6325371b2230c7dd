"""Where a contender pays for replies before it sees them.

K = knob settings, Q = questions, A = arms.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from inframind.router.replies import Replies

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Desk:
    """Sells replies, one arm at a time; every knob setting has an account of its own.

    Attributes:
        n_knobs: K.
        bought: replies that were paid for (K, Q, A).
    """

    n_knobs: int
    _replies: Replies
    _allowed: Bools
    bought: Bools = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "bought", np.zeros((self.n_knobs, *self._allowed.shape), dtype=bool))

    def buy(self, knob: int, questions: Ints, arm: int, seen: Replies) -> None:
        """Pay for the replies of an arm, and write them into ``seen``.

        Args:
            knob: whose account.
            questions: by index.
            arm: whose replies.
            seen: what this knob setting has seen so far, of all questions.

        Raises:
            ValueError: an outcome is not recorded, or was bought before.
        """
        if not self._allowed[questions, arm].all():
            raise ValueError(f"arm {arm} is not recorded for all of these questions: buy where it is allowed")
        if self.bought[knob, questions, arm].any():
            raise ValueError(f"arm {arm} was asked before: a second call is recorded for no question")
        self.bought[knob, questions, arm] = True
        for name, values in self._replies.amounts.items():
            seen.amounts[name][questions, arm] = values[questions, arm]
        if self._replies.answers is not None and seen.answers is not None:
            seen.answers[questions, arm] = self._replies.answers[questions, arm]

    def buy_chosen(self, chosen: Ints) -> None:
        """Pay for one arm per knob setting and question (K, Q), unseen; nothing is bought where it is negative."""
        knobs, questions = np.nonzero(chosen >= 0)
        self.bought[knobs, questions, chosen[knobs, questions]] = True

    def total(self, amounts: Floats | None) -> Floats:
        """Of all that was bought (K, Q), from (Q, A); 0 when the amount does not count."""
        if amounts is None:
            return np.zeros(self.bought.shape[:2])
        total: Floats = np.einsum("kqa,qa->kq", self.bought.astype(np.float64), np.nan_to_num(amounts))
        return total

    def unseen(self) -> Replies:
        """A sheet for `buy` to write into."""
        return self._replies.unseen()
