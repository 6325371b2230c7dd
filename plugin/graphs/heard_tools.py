"""The tools that run while a graph is followed, with their times."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from uuid import UUID

from langgraph.errors import GraphBubbleUp

from inframind.graphs.recorder import RunRecorder
from inframind.plugin.calls.tool_results import TOOL_ERROR, asking_step
from inframind.traces.records import ToolCall

KEPT = 10_000
"""Most tools in progress that are remembered: of the others, nobody says when they end."""


@dataclass(slots=True)
class HeardTools:
    """Tools in progress, by LangChain run id."""

    _open: OrderedDict[UUID, tuple[RunRecorder, ToolCall]]

    def __init__(self) -> None:
        self._open = OrderedDict()

    def begin(self, run_id: UUID, recorder: RunRecorder, name: str, call_id: str) -> None:
        """A tool begins."""
        by, now_s = asking_step(recorder.steps), recorder.since_arrival_s()
        tool = ToolCall(
            call_id=call_id or run_id.hex,
            name=name,
            step_id=by.step_id if by else None,
            started_s=now_s,
            finished_s=now_s,
        )
        self._open[run_id] = recorder, tool
        if len(self._open) > KEPT:
            self._open.popitem(last=False)

    def end(self, run_id: UUID, output: object = None, error: BaseException | None = None) -> None:
        """It has ended; what it was interrupted by for a person's sake is no error, and no end."""
        recorder, tool = self._open.pop(run_id, (None, None))
        if recorder is None or tool is None or isinstance(error, GraphBubbleUp):
            return
        has_failed = error is None and getattr(output, "status", "") == "error"
        recorder.put_tool(
            replace(
                tool,
                finished_s=recorder.since_arrival_s(),
                error=type(error).__name__ if error else TOOL_ERROR if has_failed else "",
                error_detail=str(error) if error else str(getattr(output, "content", "")) * has_failed,
            )
        )
