"""Chain: agent k sees the output of agent k - 1 (of the last one that did not fail); the last one answers.

::

    question ─> agent 0 ─> agent 1 ─> agent 2 ─> answer

Calls: N. Serial depth: N.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

from inframind.graphs.kit import AGENT, Path, TopologyKit, team_size
from inframind.graphs.state import TopologyState
from inframind.router.topology import CallGraph, TopologySpec, call_name

CLOSE = "close"


def draw_chain(agents: int, rounds: int) -> CallGraph:
    """N calls, one after the other."""
    calls = tuple(call_name(seat, 1) for seat in range(agents))
    return CallGraph(calls, tuple(pairwise(calls)))


CHAIN = TopologySpec(
    name="Chain",
    description="every agent improves on the one before; the last answers",
    draw=draw_chain,
    min_planned_team=2,
)


def build_chain(kit: TopologyKit) -> StateGraph[Any, Any, Any, Any]:
    """The graph, uncompiled."""

    def ask_next(state: TopologyState) -> list[Send] | str:
        seat, agents = len(state.get("drafts", [])), team_size(state)
        if seat == agents:
            return CLOSE
        after = agents - 1 - seat
        drafts = state.get("drafts", [])
        peers = drafts[max((place for place, draft in enumerate(drafts) if draft["text"]), default=0) :]
        task = "build_on" if peers else "alone"
        return [kit.task(state, seat, task=task, peers=peers, calls_after=after, is_last=after == 0)]

    graph = kit.new_graph()
    graph.add_node(AGENT, kit.agent)
    graph.add_node(CLOSE, kit.close)
    graph.add_conditional_edges(START, Path(ask_next), [AGENT, CLOSE])
    graph.add_conditional_edges(AGENT, Path(ask_next), [AGENT, CLOSE])
    graph.add_edge(CLOSE, END)
    return graph
