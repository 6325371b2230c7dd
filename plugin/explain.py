"""A trace in words: what was seen, what was masked, what was chosen with which probability, and why."""

from __future__ import annotations

from inframind.traces.records import Decision, Trajectory


def explain_trajectory(trajectory: Trajectory) -> str:
    """The whole run as text, decision by decision."""
    head = f"trace {trajectory.trace_id}: {trajectory.status}, {trajectory.topology}, {trajectory.latency_s:.2f} s"
    return "\n\n".join([head, *(_explain(decision) for decision in trajectory.decisions)])


def _explain(decision: Decision) -> str:
    return (
        f"{decision.kind} at {decision.made_s:.2f} s: {decision.action} with p = {decision.probability:.3f}"
    )
