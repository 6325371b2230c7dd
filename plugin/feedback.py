"""Feedback in a caller's words, as an `Outcome`: said once, so that every door counts it the same way."""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any, TypedDict, Unpack

from langchain_core.messages import AIMessage

from inframind.errors import ConfigError
from inframind.fleet.clock import Clock
from inframind.plugin.references import FeedbackTarget
from inframind.traces.content import HashedContent
from inframind.traces.records import Outcome
from inframind.traces.store import TraceStore

Value = str | float | Mapping[str, Any]


class Feedback(TypedDict, total=False):
    """What may be said about a run, in LangSmith's words.

    ``solved``: whether it was solved; or ``key``: what is judged, with ``score``: a number or True/False,
    ``value``: a label, a number or a mapping (kept as text, what is no text as JSON), or just a ``comment``: free
    text. ``source``: who says so. ``feedback_id``: saying it again under the same id replaces it; without one there
    is one per trace, key and source, so that saying the same thing twice counts once.
    """

    solved: bool | None
    key: str | None
    score: float | None
    value: Value | None
    comment: str | None
    feedback_id: str | None
    source: str


class FeedbackAbout(Feedback, total=False):
    """`Feedback`, and by name what it is about: one of the attributes of `FeedbackTarget`."""

    trace_id: str | None
    message: AIMessage | None
    message_id: str | None
    run_id: uuid.UUID | str | None
    thread_id: str | None


async def record_feedback(
    store: TraceStore,
    about: AIMessage | uuid.UUID | str | None = None,
    *,
    clock: Clock,
    trace_id: str | None = None,
    message: AIMessage | None = None,
    message_id: str | None = None,
    run_id: uuid.UUID | str | None = None,
    thread_id: str | None = None,
    tell: Callable[[str, Outcome], None] | None = None,
    content: HashedContent | None = None,
    **said: Unpack[Feedback],
) -> Outcome:
    """Say how a run turned out: early, late, out of order, or again to replace what was said.

    Feedback on a run or message that is not known yet waits in the store, and joins when its trace comes.

    Args:
        store: where the traces are.
        about: a trace id (or its beginning), a message, a message's id or a run's UUID; or else one of the names.
        clock: for the time of recording.
        trace_id: see `FeedbackTarget`, like the next four.
        message: an answer.
        message_id: an answer's id.
        run_id: a run's UUID.
        thread_id: a thread, for its latest run.
        tell: is told the trace and the outcome, where the trace is known.
        content: leaves comments out, where texts are not kept.
        said: see `Feedback`.

    Raises:
        ValueError: nothing is said, or two things at once.
        ConfigError: what it is about is not said once, or not in its form; a score that is not a finite number.
        UnknownTrace: a thread without a known run, or the beginning of no stored trace's id.
    """
    outcome = outcome_of(recorded_at_s=clock.wall_s(), **said)
    names = (trace_id, message, message_id, run_id, thread_id)
    if about is not None and any(name is not None for name in names):
        raise ConfigError("feedback", str(about)[:80], "say what it is about once: by position or by name")
    target = (
        FeedbackTarget(
            trace_id=trace_id, message=message, message_id=message_id, run_id=run_id, thread_id=thread_id
        )
        if about is None
        else FeedbackTarget.of(about)
    )
    reference = await target.resolve(store)
    await store.add_outcome(reference, outcome if content is None else content.outcome(outcome))
    if tell is not None and (known := await store.trace_of(reference)) is not None:
        tell(known, outcome)
    return outcome


def outcome_of(
    *,
    recorded_at_s: float,
    solved: bool | None = None,
    key: str | None = None,
    score: float | None = None,
    value: Value | None = None,
    comment: str | None = "",
    feedback_id: str | None = None,
    source: str = "api",
) -> Outcome:
    """The outcome that this `Feedback` is.

    Its own id, where none is given, says nothing of the trace: said early of a run and again of the trace that the
    run turned out to be part of, it still counts once.

    Raises:
        ValueError: neither, or both.
        ConfigError: a verdict that is neither True nor False, a score that is not a finite number, or a value that
            JSON cannot say.
    """
    if (solved is None) == (key is None):
        raise ValueError("give either solved=True/False, or key= with score=, value= or comment=")
    if solved is not None and (score is not None or value is not None):
        raise ValueError("solved= says it all; give score= or value= with key= instead")
    if solved is not None:
        key, score = "solved", _verdict(solved)
    elif score is None and value is None and not comment:
        raise ValueError(f"feedback {key!r} needs a score=, a value= or a comment=")
    return Outcome(
        feedback_id=feedback_id or f"{source}/{key}",
        key=str(key),
        score=None if score is None else _number(score),
        value=None if value is None else as_text(value),
        comment=comment or "",
        source=source,
        recorded_at_s=recorded_at_s,
    )


def as_text(value: Value) -> str:
    """A value as the store keeps it: text as it is, anything else as JSON with its keys in order.

    Raises:
        ConfigError: a number that is not finite, or something else that JSON cannot say.
    """
    if isinstance(value, str):
        return value
    plain = dict(value) if isinstance(value, Mapping) else value
    try:
        return json.dumps(plain, allow_nan=False, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise ConfigError(
            "value", type(value).__name__, f"give text, a number or plain data ({error})"
        ) from None


def _verdict(solved: bool) -> float:
    if solved not in (True, False):
        raise ConfigError("solved", solved, "give True or False; a share or a grade is score= with key=")
    return float(solved)


def _number(score: float) -> float:
    if not isinstance(score, Real) or not -sys.float_info.max <= score <= sys.float_info.max:
        raise ConfigError("score", score, "give a finite number")
    return float(score)
