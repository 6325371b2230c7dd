"""IO: every agent sees the question only; several are isolated, and a judge decides between them.

::

    question ─┬─> agent 0 ─┐
              ├─> agent 1 ─┼─> judge        (one agent: its answer, no judge)
              └─> agent 2 ─┘

Calls: 1, or N + 1. Serial depth: 1, or 2.
"""

from __future__ import annotations

from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

from inframind.graphs.kit import AGENT, Path, TopologyKit, team_size
from inframind.graphs.state import TopologyState
from inframind.router.topology import JUDGE, CallGraph, TopologySpec, call_name


def draw_isolated(agents: int, rounds: int) -> CallGraph:
    """N calls side by side, and a judge who sees all of them when N > 1."""
    drafts = tuple(call_name(seat, 1) for seat in range(agents))
    if agents == 1:
        return CallGraph(drafts, ())
    return CallGraph((*drafts, JUDGE), tuple((draft, JUDGE) for draft in drafts))


IO = TopologySpec(
    name="IO",
    description="one agent answers from the question alone; several answer apart and a judge decides",
    draw=draw_isolated,
)


def build_io(kit: TopologyKit) -> StateGraph[Any, Any, Any, Any]:
    """The graph, uncompiled."""
    return build_isolated(kit, task="alone")


def build_isolated(kit: TopologyKit, *, task: str) -> StateGraph[Any, Any, Any, Any]:
    """IO's graph with another task for the agents."""

    def ask_everyone(state: TopologyState) -> list[Send]:
        return [kit.task(state, seat, task=task, is_last=True) for seat in range(team_size(state))]

    graph = kit.new_graph()
    graph.add_node(AGENT, kit.agent)
    graph.add_node(JUDGE, kit.judge)
    graph.add_conditional_edges(START, Path(ask_everyone), [AGENT])
    graph.add_edge(AGENT, JUDGE)
    graph.add_edge(JUDGE, END)
    return graph
