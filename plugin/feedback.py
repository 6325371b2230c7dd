"""Feedback in a caller's words, as an `Outcome`: said once, so that every door counts it the same way."""

from __future__ import annotations

import math
import uuid
from typing import TypedDict

from inframind.errors import ConfigError
from inframind.traces.records import Outcome


class Feedback(TypedDict, total=False):
    """What may be said about a run.

    ``solved``: whether it was solved; or ``key``: what is judged, with ``score``: a number, or ``value``: a label.
    ``comment``: free text. ``source``: who says so. ``feedback_id``: saying it again under the same id replaces
    it; without one there is one per trace, key and source, so that saying the same thing twice counts once.
    """

    solved: bool | None
    key: str | None
    score: float | None
    value: str | None
    comment: str
    feedback_id: str | None
    source: str


def feedback_outcome(
    trace_id: str,
    *,
    recorded_at_s: float,
    solved: bool | None = None,
    key: str | None = None,
    score: float | None = None,
    value: str | None = None,
    comment: str = "",
    feedback_id: str | None = None,
    source: str = "api",
) -> Outcome:
    """The outcome that this `Feedback` is.

    Raises:
        ValueError: neither, or both.
        ConfigError: a score that is not a finite number.
    """
    if (solved is None) == (key is None):
        raise ValueError("give either solved=True/False, or key= with score= or value=")
    if solved is not None and (score is not None or value is not None):
        raise ValueError("solved= says it all; give score= or value= with key= instead")
    if solved is not None:
        key, score = "solved", float(solved)
    elif score is None and value is None:
        raise ValueError(f"feedback {key!r} needs a score= or a value=")
    if score is not None and not math.isfinite(score):
        raise ConfigError("score", score, "give a finite number")
    return Outcome(
        feedback_id=feedback_id or str(uuid.uuid5(uuid.NAMESPACE_OID, f"{trace_id}/{key}/{source}")),
        key=str(key),
        score=score,
        value=value,
        comment=comment,
        source=source,
        recorded_at_s=recorded_at_s,
    )
