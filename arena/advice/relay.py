"""A topology that wastes its budget: it says that its agents speak side by side, and lets them speak in turn, often.

Such a thing is easily built: a loop that was added later, and a description that nobody changed.
"""

from __future__ import annotations

from typing import Any

from inframind.graphs.kit import AGENT, Path, TopologyKit, team_size
from inframind.graphs.state import TopologyState
from inframind.router.topology import CallGraph, TopologySpec, call_name

LAPS = 5
"""How often the agents really speak."""


def draw_relay(agents: int, rounds: int) -> CallGraph:
    """What it says of itself: N calls side by side."""
    return CallGraph(tuple(call_name(seat, 1) for seat in range(agents)), ())


RELAY = TopologySpec(
    name="Relay",
    description="the agents hand the answer round; the last one answers",
    draw=draw_relay,
    min_planned_team=2,
)


def build_relay(kit: TopologyKit) -> Any:
    """The graph, uncompiled: agent after agent, `LAPS` times round, each shown what was said last."""

    def ask_next(state: TopologyState) -> Any:
        drafts, agents = state.get("drafts", []), team_size(state)
        lap, seat = divmod(len(drafts), agents)
        if lap == LAPS:
            return str(kit.close.name)
        task = "build_on" if drafts else "alone"
        return [kit.task(state, seat, task=task, round_number=lap + 1, peers=drafts[-1:])]

    graph = kit.new_graph()
    close = str(kit.close.name)
    graph.add_node(AGENT, kit.agent)
    graph.add_node(close, kit.close)
    graph.set_conditional_entry_point(Path(ask_next), [AGENT, close])
    graph.add_conditional_edges(AGENT, Path(ask_next), [AGENT, close])
    graph.set_finish_point(close)
    return graph
