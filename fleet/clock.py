"""Time as an argument: every component asks a `Clock`, none calls ``time`` itself."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """Two readings of time; a virtual fleet supplies its own."""

    def now_s(self) -> float:
        """Monotonic seconds, on the same axis as the running event loop's ``time()``."""
        ...

    def wall_s(self) -> float:
        """Seconds since the Unix epoch, for records that people and other machines read."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now_s(self) -> float:
        """Monotonic seconds (`time.monotonic`, which is asyncio's own axis)."""
        return time.monotonic()

    def wall_s(self) -> float:
        """Seconds since the Unix epoch."""
        return time.time()


@dataclass(frozen=True, slots=True)
class Deadline:
    """An absolute instant on the clock's monotonic axis, and the budget that it came from.

    Attributes:
        at_s: instant on ``clock.now_s()``'s axis.
        budget_s: seconds from arrival to the instant.
    """

    at_s: float
    budget_s: float

    @classmethod
    def after(cls, budget_s: float, clock: Clock) -> Deadline:
        """The deadline of something that arrives now with ``budget_s`` seconds to spend."""
        return cls(at_s=clock.now_s() + budget_s, budget_s=budget_s)

    def remaining_s(self, clock: Clock) -> float:
        """Seconds left; negative once the deadline has passed."""
        return self.at_s - clock.now_s()
