"""Where a run hangs in other people's traces: span ids, and the W3C ``traceparent`` header.

Header values follow https://www.w3.org/TR/trace-context/. Nothing here needs OpenTelemetry: who has an active span
has imported it already.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

METADATA_KEY = "otel"
"""Key of a trajectory's metadata under which its `SpanParent` is kept, as plain data."""

_TRACE_ID = re.compile(r"(?!0{32})[0-9a-f]{32}")
_SPAN_ID = re.compile(r"(?!0{16})[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class SpanParent:
    """A span that others hang under.

    Attributes:
        trace_id: 32 lowercase hex digits.
        span_id: 16 lowercase hex digits.
        sampled: whether its trace is recorded.
    """

    trace_id: str
    span_id: str
    sampled: bool = True

    def to_plain(self) -> dict[str, Any]:
        """Plain data, for metadata and state."""
        return {"trace_id": self.trace_id, "span_id": self.span_id, "sampled": self.sampled}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any]) -> SpanParent | None:
        """The parent kept in a run's metadata; None where there is none, or what is there names no valid span.

        Metadata belongs to the caller, who may keep something else under our key: that must not end a run.
        """
        plain = metadata.get(METADATA_KEY)
        if not isinstance(plain, Mapping):
            return None
        return _valid(plain.get("trace_id"), plain.get("span_id"), bool(plain.get("sampled", True)))


def _valid(trace_id: object, span_id: object, sampled: bool) -> SpanParent | None:
    if not isinstance(trace_id, str) or not isinstance(span_id, str):
        return None
    if not _TRACE_ID.fullmatch(trace_id) or not _SPAN_ID.fullmatch(span_id):
        return None
    return SpanParent(trace_id, span_id, sampled)


def current_parent() -> SpanParent | None:
    """The application's active OpenTelemetry span, to hang a run under; None where there is none."""
    if "opentelemetry.trace" not in sys.modules:
        return None
    from opentelemetry import trace

    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return SpanParent(
        trace.format_trace_id(context.trace_id),
        trace.format_span_id(context.span_id),
        context.trace_flags.sampled,
    )


def otel_trace_id(trace_id: str) -> str:
    """Our trace id where it is a W3C one, else 32 hex digits that always follow from it."""
    return (
        trace_id if _TRACE_ID.fullmatch(trace_id) else blake2b(trace_id.encode(), digest_size=16).hexdigest()
    )


def run_span_id(trace_id: str) -> str:
    """Id of a run's own span, 16 hex digits."""
    return _span_id(f"{trace_id}/run")


def agent_span_id(trace_id: str, step_id: int) -> str:
    """Id of the span of the agent that makes a step."""
    return _span_id(f"{trace_id}/{step_id}/agent")


def chat_span_id(trace_id: str, step_id: int) -> str:
    """Id of the span of a step's call: known while the call is in flight, long before the span is written."""
    return _span_id(f"{trace_id}/{step_id}/chat")


def step_headers(trace_id: str, step_id: int, metadata: Mapping[str, Any]) -> dict[str, str]:
    """Headers that make the server's own span a child of the step's call.

    Args:
        trace_id: the run.
        step_id: the step.
        metadata: the run's; the span that the run hangs under is in it, if there is one.
    """
    parent = SpanParent.from_metadata(metadata) if METADATA_KEY in metadata else None
    trace, sampled = (parent.trace_id, parent.sampled) if parent else (otel_trace_id(trace_id), True)
    return {"traceparent": f"00-{trace}-{chat_span_id(trace_id, step_id)}-{'01' if sampled else '00'}"}


def _span_id(name: str) -> str:
    return blake2b(name.encode(), digest_size=8).hexdigest()
