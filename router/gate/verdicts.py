"""What the gate says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from inframind.traces.shelf import RolloutEvent

BY = "gate"
Act = Literal["wait", "advance", "promote", "settle", "roll_back"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is to be done, and the event that does it.

    Attributes:
        act: ``wait``, ``advance`` to the next share, ``promote`` (proof is there), ``settle`` (after the holdback) or
            ``roll_back``; what *would* be done, where the roll-out is frozen.
        reason: a sentence for people.
        figures: what it was decided on.
        event: to be appended after the roll-out's last event; None to wait, or frozen.
    """

    act: Act
    reason: str
    figures: Mapping[str, float]
    event: RolloutEvent | None = None
