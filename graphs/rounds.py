"""Topologies that go round by round: everyone at once, a pacer between the rounds, a judge at the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

from inframind.graphs.kit import AGENT, PACE, Path, TopologyKit, current_round, last_round, team_size
from inframind.graphs.state import Draft, TopologyState
from inframind.router.topology import JUDGE

Visible = Callable[[int, list[Draft]], list[Draft]]
"""Seat and the last round's drafts to what that seat is shown."""


def build_rounds(kit: TopologyKit, *, task: str, visible: Visible) -> StateGraph[Any, Any, Any, Any]:
    """A graph of rounds.

    Args:
        kit: the topology's parts.
        task: what is asked from the second round on; in the first everyone answers alone.
        visible: what a seat is shown from the second round on.
    """

    def first_round(state: TopologyState) -> list[Send]:
        return _ask(state, 1, "alone")

    def next_round_or_judge(state: TopologyState) -> list[Send] | str:
        number = state.get("round", 1)
        return _ask(state, number, task) if number > current_round(state) else JUDGE

    def _ask(state: TopologyState, number: int, task_name: str) -> list[Send]:
        drafts = last_round(state) if number > 1 else []
        return [
            kit.task(
                state,
                seat,
                task=task_name,
                round_number=number,
                peers=visible(seat, drafts),
                calls_after=max(kit.spec.rounds - number, 0),
                is_last=number == kit.spec.max_rounds,
            )
            for seat in range(team_size(state))
        ]

    graph = kit.new_graph()
    graph.add_node(AGENT, kit.agent)
    graph.add_node(PACE, kit.pace)
    graph.add_node(JUDGE, kit.judge)
    graph.add_conditional_edges(START, Path(first_round), [AGENT])
    graph.add_edge(AGENT, PACE)
    graph.add_conditional_edges(PACE, Path(next_round_or_judge), [AGENT, JUDGE])
    graph.add_edge(JUDGE, END)
    return graph
