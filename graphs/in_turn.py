"""Topologies whose agents speak one after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

from inframind.graphs.kit import AGENT, Node, Path, TopologyKit, team_size
from inframind.graphs.state import Draft, TopologyState

Heard = Callable[[list[Draft]], list[Draft]]
"""All drafts so far to those that the next agent waits for and is shown."""


def build_in_turn(kit: TopologyKit, *, heard: Heard, end: Node) -> StateGraph[Any, Any, Any, Any]:
    """A graph of agents in a row.

    Args:
        kit: the topology's parts.
        heard: which earlier drafts the next agent hears.
        end: the node after the last agent.
    """
    end_name = str(end.name)

    def ask_next(state: TopologyState) -> list[Send] | str:
        drafts, agents = state.get("drafts", []), team_size(state)
        seat = len(drafts)
        if seat == agents:
            return end_name
        after = agents - 1 - seat
        task = "build_on" if drafts else "alone"
        return [kit.task(state, seat, task=task, peers=heard(drafts), calls_after=after, is_last=after == 0)]

    graph = kit.new_graph()
    graph.add_node(AGENT, kit.agent)
    graph.add_node(end_name, end)
    graph.add_conditional_edges(START, Path(ask_next), [AGENT, end_name])
    graph.add_conditional_edges(AGENT, Path(ask_next), [AGENT, end_name])
    graph.add_edge(end_name, END)
    return graph
