"""What is kept from one decision to the next: questions, and what was made of the plans on offer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from inframind.router.actions import PlannerAction

QUESTIONS_KEPT = 256
"""Questions whose share of the sums is kept; a workflow asks about one question several times."""

_Plans = tuple[PlannerAction, ...]
_Made = TypeVar("_Made")


class LastSeen(Generic[_Made]):
    """What was made of the plans on offer, which mostly are those of the last decision: told apart by identity.

    To hash thirty plans takes longer than to value them.
    """

    def __init__(self, make: Callable[[_Plans], _Made]) -> None:
        self._make = make
        self._last: tuple[_Plans, _Made] | None = None

    def __call__(self, plans: _Plans) -> _Made:
        """What is made of these plans."""
        last = self._last
        if last is None or last[0] is not plans:
            last = self._last = (plans, self._make(plans))
        return last[1]
