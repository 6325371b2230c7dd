"""Versions and bounds in words, the same in every reason."""

from __future__ import annotations

from inframind.router.confidence import Interval

_DIGITS = 8


def short(version: str) -> str:
    """The first digits of a version; "" is the configured policy."""
    return version[:_DIGITS] or "the configured policy"


def points(interval: Interval) -> str:
    """An interval in percentage points; shares differ by a hundred of them at most."""
    if interval.low <= -1.0 or interval.high >= 1.0:
        return "too early to say by how much it differs"
    return f"{100 * interval.low:+.1f} to {100 * interval.high:+.1f} points"
