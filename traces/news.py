"""What of a run has been exported before: runs come again as they grow, and each part must be counted once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from inframind.traces.records import Decision, Skip, Trajectory
from inframind.traces.spans import SpanRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What of a run has not been exported before.

    Attributes:
        spans: of the steps that are new.
        decisions: that are new.
        skips: that are new.
        has_ended_first: whether the run has ended, and had not when it came before.
        is_run_due: whether the run's own span is to be exported: the run has ended, or ended before and has grown.
    """

    spans: tuple[SpanRecord, ...]
    decisions: tuple[Decision, ...]
    skips: tuple[Skip, ...]
    has_ended_first: bool
    is_run_due: bool


@dataclass(slots=True)
class Exported:
    """What of a run has been exported."""

    steps: set[int] = field(default_factory=set)
    decisions: int = 0
    skips: int = 0
    has_ended: bool = False

    def news_of(self, trajectory: Trajectory, spans: Sequence[SpanRecord]) -> News:
        """What is new, which is then known; nothing, where the run comes as it was before."""
        new_spans = tuple(span for span in spans if span.step_id not in self.steps)
        decisions, skips = trajectory.decisions[self.decisions :], trajectory.skips[self.skips :]
        has_ended = trajectory.status != "open"
        has_ended_first = has_ended and not self.has_ended
        self.steps.update(step.step_id for step in trajectory.steps)
        self.decisions = max(self.decisions, len(trajectory.decisions))
        self.skips = max(self.skips, len(trajectory.skips))
        self.has_ended = self.has_ended or has_ended
        return News(
            spans=new_spans,
            decisions=decisions,
            skips=skips,
            has_ended_first=has_ended_first,
            is_run_due=has_ended_first or (has_ended and bool(new_spans or decisions or skips)),
        )
