"""Versions and bounds in words, the same in every reason."""

from __future__ import annotations

from inframind.router.confidence import Interval

_DIGITS = 8
_WIDEST = 0.2
"""Of an interval that says something."""


def short(version: str) -> str:
    """The first digits of a version; "" is the configured policy."""
    return version[:_DIGITS] or "the configured policy"


def points(interval: Interval) -> str:
    """An interval in percentage points; shares differ by a hundred of them at most."""
    if interval.low <= -1.0 and interval.high >= 1.0:
        return "too early to say by how much it differs"
    low, high = max(interval.low, -1.0), min(interval.high, 1.0)
    return f"{100 * low:+.1f} to {100 * high:+.1f} points"


def so_far(interval: Interval) -> str:
    """What is known of an improvement: its interval, once that says something."""
    if interval.high - interval.low > _WIDEST:
        return "too early to tell how good it is"
    return points(interval)
