"""FullConnected: agent k sees the outputs of all earlier agents; a judge decides.

::

    question ─> agent 0 ─> agent 1 ─> agent 2 ─> judge
                   └──────────────────^ │
                   (every earlier output)

Calls: N, + 1 for the judge when N > 1. Serial depth: the same.
"""

from __future__ import annotations

from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

from inframind.graphs.kit import AGENT, Path, TopologyKit, team_size
from inframind.graphs.state import TopologyState
from inframind.router.topology import JUDGE, CallGraph, TopologySpec, call_name


def draw_full(agents: int, rounds: int) -> CallGraph:
    """N calls in a row, each shown all before it, and the judge when N > 1."""
    calls = tuple(call_name(seat, 1) for seat in range(agents)) + ((JUDGE,) if agents > 1 else ())
    edges = tuple((calls[i], calls[j]) for j in range(len(calls)) for i in range(j))
    return CallGraph(calls, edges)


FULL_CONNECTED = TopologySpec(
    name="FullConnected",
    description="every agent sees all earlier answers; a judge decides",
    draw=draw_full,
    min_planned_team=2,
)


def build_full_connected(kit: TopologyKit) -> StateGraph[Any, Any, Any, Any]:
    """The graph, uncompiled."""

    def ask_next(state: TopologyState) -> list[Send] | str:
        drafts, agents = state.get("drafts", []), team_size(state)
        seat = len(drafts)
        if seat == agents:
            return JUDGE
        after = agents - 1 - seat
        task = "build_on" if drafts else "alone"
        return [kit.task(state, seat, task=task, peers=drafts, calls_after=after, is_last=after == 0)]

    graph = kit.new_graph()
    graph.add_node(AGENT, kit.agent)
    graph.add_node(JUDGE, kit.judge)
    graph.add_conditional_edges(START, Path(ask_next), [AGENT, JUDGE])
    graph.add_conditional_edges(AGENT, Path(ask_next), [AGENT, JUDGE])
    graph.add_edge(JUDGE, END)
    return graph
