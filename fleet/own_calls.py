"""When our own calls to an endpoint were sent and ended, for what a metrics page cannot know yet."""

from __future__ import annotations

import threading
from collections import deque

_HORIZON_S = 30.0
"""Older events are dropped: a reading of that age says nothing about the load now."""


class OwnCalls:
    """Counts calls sent and ended since an instant. Safe to use from several threads."""

    def __init__(self) -> None:
        self._sent_s: deque[float] = deque()
        self._ended_s: deque[float] = deque()
        self._lock = threading.Lock()

    def note_sent(self, now_s: float) -> None:
        """A call goes out."""
        self._note(self._sent_s, now_s)

    def note_ended(self, now_s: float) -> None:
        """A call came back, well or not."""
        self._note(self._ended_s, now_s)

    def since(self, at_s: float, now_s: float) -> tuple[int, int]:
        """Calls sent and calls ended after ``at_s``, both at most for the 30 s before ``now_s``."""
        with self._lock:
            _forget_until(now_s - _HORIZON_S, self._sent_s, self._ended_s)
            return _later_than(self._sent_s, at_s), _later_than(self._ended_s, at_s)

    def _note(self, events_s: deque[float], now_s: float) -> None:
        with self._lock:
            _forget_until(now_s - _HORIZON_S, events_s)
            events_s.append(now_s)


def _forget_until(until_s: float, *kinds: deque[float]) -> None:
    for events_s in kinds:
        while events_s and events_s[0] < until_s:
            events_s.popleft()


def _later_than(events_s: deque[float], at_s: float) -> int:
    count = 0
    for event_s in reversed(events_s):
        if event_s <= at_s:
            break
        count += 1
    return count
