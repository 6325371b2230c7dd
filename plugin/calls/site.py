"""Where in an application a call is made: the graph's node, its thread, its task, and the run it belongs to."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from inframind.plugin.calls.scope import RunScope

OWN_METADATA = "inframind"
"""Key of a node's metadata under which its author speaks to us: ``{"role": ..., "strategy": ..., "model": ...}``."""
TRACE_METADATA = "inframind_trace_id"
"""Key of a run's metadata that names its trace: 32 hex digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSite:
    """Where a call is made. What is not known is "".

    Attributes:
        node: name of the LangGraph node.
        role: role that the node's metadata names.
        thread_id: the conversation.
        task_id: LangGraph's id of the node's task; the same before an interrupt and after it.
        execution: identity of this execution of the task; a resumed or retried task has another.
        trace_id: trace that the caller names for the run, or the root run's id where that is known (32 hex digits).
        call_id: LangChain's id of the model run (32 hex digits).
        scope: the run, where somebody keeps track of it.
        metadata: plain data of the run's and the node's metadata, for the trace.
    """

    node: str = ""
    role: str = ""
    thread_id: str = ""
    task_id: str = ""
    execution: object = None
    trace_id: str = ""
    call_id: str = ""
    scope: RunScope | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@runtime_checkable
class KnowsRuns(Protocol):
    """A callback handler that keeps track of runs; a chat model finds it among its run's handlers."""

    def scope_of(self, run_id: uuid.UUID | None, parent_run_id: uuid.UUID | None) -> RunScope | None:
        """The application's run that a run of a model belongs to, or None for one that it does not know.

        Args:
            run_id: of the model's run; a streamed one may not have begun yet.
            parent_run_id: of what called the model, or None at the root.
        """
        ...


def way_to(metadata: Mapping[str, Any]) -> list[str]:
    """Names of the nodes that lead to a call, outermost first; empty outside a graph.

    LangGraph keeps the way as ``team:<task id>|solve:<task id>|plan:<task id>``, with numbers between where one task
    runs several graphs.
    """
    way = str(metadata.get("langgraph_checkpoint_ns") or "").split("|")
    return [part.partition(":")[0] for part in way if part and not part.isdigit()]


def node_name(metadata: Mapping[str, Any]) -> str:
    """A node's name, with those of the graphs around it: every agent's own node is called ``model``.

    ``research/model`` within a graph of agents, ``model`` in the agent's own graph; "" outside a graph.
    """
    return "/".join(way_to(metadata)) or str(metadata.get("langgraph_node") or "")
