"""Register a topology of your own: two agents answer apart, a third builds on both.

Run: python examples/03_own_topology.py
"""

from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

from inframind import InfraMind, TopologyRegistry, settings_from
from inframind.arena.playground import simulated_endpoints
from inframind.graphs.kit import TopologyKit
from inframind.graphs.state import TopologyState
from inframind.router.topology import CallGraph, TopologySpec, expected_graph
from inframind.simulator.items import generate_item


def draw(agents: int, rounds: int) -> CallGraph:
    """Everyone but the last answers apart; the last sees them all."""
    calls = tuple(f"agent-{seat}/r1" for seat in range(agents))
    return CallGraph(calls, tuple((call, calls[-1]) for call in calls[:-1]))


FUNNEL = TopologySpec(name="Funnel", description="all but one apart, the last builds on them", draw=draw)


def build(kit: TopologyKit) -> StateGraph[Any, Any, Any, Any]:
    """The graph that makes exactly the calls of `draw`."""

    def apart(state: TopologyState) -> list[Send]:
        seats = range(len(state["run"]["team"]) - 1)
        return [kit.task(state, seat, task="alone", calls_after=1) for seat in seats] or [together(state)]

    def together(state: TopologyState) -> Send:
        last = len(state["run"]["team"]) - 1
        return kit.task(state, last, task="build_on", peers=state.get("drafts", []), is_last=True)

    def together_or_close(state: TopologyState) -> Send | str:
        return "close" if len(state["drafts"]) == len(state["run"]["team"]) else together(state)

    graph = kit.new_graph()
    graph.add_node("agent", kit.agent)
    graph.add_node("gather", lambda state: {})  # runs once when all agents of a step are done
    graph.add_node("close", kit.close)
    graph.add_conditional_edges(START, apart, ["agent"])
    graph.add_edge("agent", "gather")
    graph.add_conditional_edges("gather", together_or_close, ["agent", "close"])
    graph.add_edge("close", END)
    return graph


def main() -> None:
    item = generate_item(seed=5, level=4)
    with simulated_endpoints([item]) as endpoints:
        settings = settings_from({"endpoints": endpoints, "traces": {"url": "memory:"}})
        with InfraMind(settings, topologies=TopologyRegistry().register(FUNNEL, build)) as mind:
            result = mind.invoke(item.question, topology="Funnel", team_size=3, question_id=item.item_id)
            trace = mind.trace(result.trace_id)
            print(f"{result.answer} after {len(trace.steps)} calls, {trace.serial_depth} of them in a row")
            assert len(trace.steps) == expected_graph(FUNNEL, trace).calls


if __name__ == "__main__":
    main()
