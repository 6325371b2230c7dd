"""Priority by slack, for servers that schedule by priority: lower is sooner, hopeless ones last.

Plain earliest-deadline-first collapses under overload, because it serves what is already lost first. The
order here is by the latest instant at which the remaining work can still begin; work whose instant has passed
goes behind everything that can still be saved.
"""

from __future__ import annotations

EPOCH_S = 1_735_689_600
"""2025-01-01 UTC: keeps tenths of a second since then well inside 32 bits."""
HOPELESS = 2**30
"""Added to the priority of work that is already lost."""


def slack_priority(wall_s: float, remaining_s: float, predicted_s: float) -> int:
    """Priority of a call, comparable between routers whose wall clocks agree.

    Args:
        wall_s: now, in seconds since the Unix epoch.
        remaining_s: time left until the workflow's deadline.
        predicted_s: predicted seconds of all work that remains, this call included.
    """
    slack_s = remaining_s - predicted_s
    latest_start = round((wall_s + slack_s - EPOCH_S) * 10)
    return latest_start if slack_s >= 0 else latest_start + HOPELESS
