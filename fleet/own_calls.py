"""When our own calls to an endpoint were sent and ended, for what a metrics page cannot know yet."""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right

_HORIZON_S = 30.0
"""Older events are dropped: a reading of that age says nothing about the load now."""


class OwnCalls:
    """Counts calls sent and ended since an instant. Safe to use from several threads."""

    def __init__(self) -> None:
        self._sent_s: list[float] = []
        self._ended_s: list[float] = []
        self._lock = threading.Lock()

    def note_sent(self, now_s: float) -> None:
        """A call goes out."""
        self._note(self._sent_s, now_s)

    def note_ended(self, now_s: float) -> None:
        """A call came back, well or not."""
        self._note(self._ended_s, now_s)

    def since(self, at_s: float, now_s: float) -> tuple[int, int]:
        """Calls sent and calls ended after ``at_s``, both at most for the 30 s before ``now_s``."""
        until_s = now_s - _HORIZON_S
        sent_s, ended_s = self._sent_s, self._ended_s
        with self._lock:
            for events_s in (sent_s, ended_s):
                if events_s and events_s[0] < until_s:
                    _forget_until(until_s, events_s)
            return len(sent_s) - bisect_right(sent_s, at_s), len(ended_s) - bisect_right(ended_s, at_s)

    def _note(self, events_s: list[float], now_s: float) -> None:
        with self._lock:
            _forget_until(now_s - _HORIZON_S, events_s)
            events_s.append(now_s)


def _forget_until(until_s: float, events_s: list[float]) -> None:
    del events_s[: bisect_left(events_s, until_s)]
