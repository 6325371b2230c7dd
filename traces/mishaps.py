"""What went wrong in a run, and whether it got over it: read from its trace, where each error stands once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from inframind.traces.records import Step, Trajectory


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorEvent:
    """One thing that went wrong.

    Attributes:
        kind: ``attempt`` (a try that failed over), ``step`` (a call without an answer), ``tool`` or ``run``.
        error: class name.
        detail: its message, or "".
        where: endpoint, node or tool, or "".
        step_id: the step it belongs to, or None.
        at_s: seconds after arrival.
        recovered: whether what it belongs to ended well all the same: an attempt when its step was answered, a step or
            a tool when the run was. A run's own error is never recovered.
    """

    kind: Literal["attempt", "step", "tool", "run"]
    error: str
    detail: str
    where: str
    step_id: int | None
    at_s: float
    recovered: bool


def errors_of(trajectory: Trajectory) -> tuple[ErrorEvent, ...]:
    """Everything that went wrong in a run, in order of time."""
    is_answered = trajectory.status in ("ok", "late") and bool(trajectory.text)
    events = [
        *(event for step in trajectory.steps for event in _of_step(step, is_answered)),
        *_of_tools(trajectory, is_answered),
        *_of_run(trajectory),
    ]
    return tuple(sorted(events, key=lambda event: event.at_s))


def _of_step(step: Step, is_answered: bool) -> Iterator[ErrorEvent]:
    at_s = step.started_s
    for attempt in step.attempts:
        at_s += attempt.elapsed_s
        yield ErrorEvent(
            kind="attempt",
            error=attempt.error,
            detail=attempt.detail,
            where=attempt.endpoint,
            step_id=step.step_id,
            at_s=at_s,
            recovered=not step.error,
        )
    if step.error:
        yield ErrorEvent(
            kind="step",
            error=step.error,
            detail=step.error_detail,
            where=step.node,
            step_id=step.step_id,
            at_s=step.finished_s,
            recovered=is_answered,
        )


def _of_tools(trajectory: Trajectory, is_answered: bool) -> Iterator[ErrorEvent]:
    for tool in trajectory.tools:
        if tool.error:
            yield ErrorEvent(
                kind="tool",
                error=tool.error,
                detail=tool.error_detail,
                where=tool.name,
                step_id=tool.step_id,
                at_s=tool.finished_s,
                recovered=is_answered,
            )


def _of_run(trajectory: Trajectory) -> Iterator[ErrorEvent]:
    if trajectory.error:
        yield ErrorEvent(
            kind="run",
            error=trajectory.error,
            detail=trajectory.error_detail,
            where="",
            step_id=None,
            at_s=trajectory.latency_s,
            recovered=False,
        )
