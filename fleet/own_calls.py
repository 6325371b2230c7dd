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

    def since(self, at_s: float) -> tuple[int, int]:
        """Calls sent and calls ended after ``at_s``; both at most for the last 30 s."""
        with self._lock:
            return _later_than(self._sent_s, at_s), _later_than(self._ended_s, at_s)

    def _note(self, events_s: deque[float], now_s: float) -> None:
        with self._lock:
            while events_s and events_s[0] < now_s - _HORIZON_S:
                events_s.popleft()
            events_s.append(now_s)


def _later_than(events_s: deque[float], at_s: float) -> int:
    count = 0
    for event_s in reversed(events_s):
        if event_s <= at_s:
            break
        count += 1
    return count
