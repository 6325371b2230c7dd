"""The states of the routed graph and of its topologies. Everything in them is plain data, safe to checkpoint."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, NotRequired, TypedDict

from langgraph.graph import MessagesState


@dataclass(frozen=True, kw_only=True)
class RouteContext:
    """What a caller may say about one run; LangGraph's ``context``.

    A graph with a context of its own reaches the routed node by making it a subclass of this one. LangGraph makes
    one of a plain dict where the graph's ``context_schema`` is this class or a subclass. Any other context, a dict
    of another schema too, is left alone, and the defaults apply. A run that is resumed keeps what it was begun
    with, whatever the context says then.
    """

    budget_s: float | None = None
    """Latency budget in seconds; None takes the configured default."""
    domain: str | None = None
    """``math``, ``code``, ``knowledge`` or ``general``; None guesses from the question."""
    topology: str | None = None
    """A topology by name; None lets the planner choose."""
    team_size: int | None = None
    """Number of agents; None lets the planner choose."""
    question_id: str = ""
    """The caller's own id of the question."""
    trace_id: str | None = None
    """32 lowercase hex digits; None makes a new one."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Plain data to keep with the trace (thread id, user, tags)."""


class Run(TypedDict):
    """What the nodes of one run share: the plan, as plain data."""

    trace_id: str
    question: str
    question_id: str
    domain: str
    budget_s: float
    arrived_at_s: float
    topology: str
    team: list[str]
    history: list[dict[str, str]]
    instructions: str


class Draft(TypedDict):
    """One call's result, as the other calls see it.

    ``seat`` is 0-based, ``round`` 1-based; ``answer`` is "" when the text has none; ``error`` is "" unless the
    call failed, and then the text may be partial or empty.
    """

    step_id: int
    kind: str
    seat: int
    round: int
    role: str
    text: str
    answer: str
    error: str
    message_id: str


class AgentTask(TypedDict):
    """What one agent call is sent: its seat, what it sees, and what is asked of it."""

    run: Run
    seat: int
    round: int
    task: str
    peers: list[Draft]
    depth_left: int
    is_final: bool


class RoutedState(MessagesState):
    """State of the routed graph: a `MessagesState`, and a plain-data account of the last run."""

    run: NotRequired[Run]
    final: NotRequired[Draft | None]
    inframind: NotRequired[dict[str, Any]]


class RoutedOutput(MessagesState):
    """What the routed graph gives back to its parent."""

    inframind: NotRequired[dict[str, Any]]


class TopologyState(TypedDict):
    """State of a topology's graph."""

    run: Run
    drafts: Annotated[list[Draft], operator.add]
    round: NotRequired[int]
    final: NotRequired[Draft | None]


class TopologyInput(TypedDict):
    """What a topology's graph takes from its parent."""

    run: Run


class TopologyOutput(TypedDict):
    """What a topology's graph gives back to its parent."""

    final: Draft | None
