"""What counts as a failure, and of which kind."""

from __future__ import annotations

from typing import Literal

from inframind.traces.records import SOLVED_ONLY, SolvedKeys, Trajectory, solved_of

FailureKind = Literal["failed", "late", "wrong"]
"""No answer; an answer after its deadline, or none because of it; an answer in time that was judged wrong."""
_COUNTS = ("ok", "late", "failed")


def failure_of(run: Trajectory, keys: SolvedKeys = SOLVED_ONLY) -> FailureKind | None:
    """How a run failed, or None where it did not, or nobody can say: open, cancelled early, or without a verdict."""
    if run.status == "cancelled" and run.latency_s >= run.budget_s:
        return "late"
    if run.status not in _COUNTS:
        return None
    if run.status == "failed":
        return "failed"
    if not run.on_time:
        return "late"
    return "wrong" if solved_of(run.outcomes, keys) is False else None
