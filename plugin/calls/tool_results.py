"""What a call's messages say of the tools that ran before it: for applications in which nothing else tells."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import takewhile

from inframind.fleet.messages import Message
from inframind.plugin.calls.asked import AskedCall, text_of
from inframind.traces.records import Step, ToolCall

TOOL_ERROR = "ToolError"
"""Error of a tool of which only its result is known."""
_DETAIL_CHARS = 500


def asking_step(steps: Iterable[Step]) -> Step | None:
    """The latest step that ended by asking for tools, or None."""
    asking = [step for step in steps if step.finish_reason == "tool_calls"]
    return max(asking, key=lambda step: step.finished_s, default=None)


def tools_in(asked: AskedCall, steps: Sequence[Step], now_s: float) -> Iterator[ToolCall]:
    """The tools whose results a call is given, as the latest messages say.

    Args:
        asked: the call.
        steps: of its run so far.
        now_s: seconds after the run's arrival.
    """
    results = list(takewhile(lambda message: message.get("role") == "tool", reversed(asked.messages)))
    if not results:
        return
    names = _names(asked.messages)
    by = asking_step(steps)
    for result in reversed(results):
        call_id = str(result.get("tool_call_id") or "")
        has_failed = call_id in asked.failed_tools
        yield ToolCall(
            call_id=call_id,
            name=names.get(call_id, ""),
            step_id=by.step_id if by else None,
            started_s=by.finished_s if by else now_s,
            finished_s=now_s,
            error=TOOL_ERROR if has_failed else "",
            error_detail=text_of(result)[:_DETAIL_CHARS] if has_failed else "",
        )


def _names(messages: Sequence[Message]) -> Mapping[str, str]:
    """Names of the tools that were asked for, by the id of the call."""
    return {
        str(call["id"]): str(call["function"]["name"])
        for message in messages
        for call in message.get("tool_calls") or ()
    }
