"""What a learner's round came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from inframind.plugin.online.learner_state import LearnerState
from inframind.router.gate.verdicts import Verdict
from inframind.router.guards.drift import Drift
from inframind.router.online.protocol import LabelledRun
from inframind.traces.shelf import RolloutEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What one round came to.

    Attributes:
        learned: runs learned from.
        labelled: of them, with a label.
        unreadable: runs that are passed over for good, for they cannot be read.
        state: where the learner stands.
        published: version that became a candidate, or "".
        verdict: what the gate said, or None where nothing is judged.
        events: that were appended.
        drifts: streams that are no longer what they were.
    """

    learned: int = 0
    labelled: int = 0
    unreadable: int = 0
    state: LearnerState
    published: str = ""
    verdict: Verdict | None = None
    events: tuple[RolloutEvent, ...] = ()
    drifts: tuple[Drift, ...] = ()

    @property
    def taken(self) -> int:
        """Lessons that will not come again."""
        return self.learned + self.unreadable


@dataclass(frozen=True, slots=True)
class Taught:
    """What became of a batch."""

    lessons: Sequence[LabelledRun] = ()
    unreadable: int = 0
    drifts: Sequence[Drift] = ()
