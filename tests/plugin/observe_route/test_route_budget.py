"""What routed nodes decide by, and what is learned of them: as for calls of our own, node by node."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.chat_models import init_chat_model
from langgraph.graph import START, StateGraph

from inframind.plugin.calls.budget import NodeCosts
from inframind.plugin.calls.router import CallRouter
from inframind.plugin.calls.runs import Runs
from inframind.plugin.calls.visits import Visit, needed_s
from inframind.plugin.config import settings_from
from inframind.plugin.graphs.choices import NodeChooser
from inframind.plugin.graphs.live_runs import LiveRuns
from inframind.plugin.graphs.route import route
from inframind.plugin.mind import InfraMind
from inframind.router.views import Query

pytest.importorskip("langchain_openai", reason="needs langchain-openai")

ASK: Any = {"question": "How many?", "notes": []}
TOOL = {"type": "function", "function": {"name": "f", "description": "f", "parameters": {"type": "object"}}}


def configurable(followed: Any) -> Any:
    return init_chat_model(
        "theirs",
        model_provider="openai",
        base_url=followed.servers[0].base_url,
        configurable_fields=("model", "base_url"),
        **followed.wires,
    )


def asking(notes: Any, model: Any) -> Any:
    """A graph of one node, which is called as an agent's own is."""

    async def node(state: Any) -> Any:
        answer = await model.ainvoke(state["question"])
        return {"notes": [answer.response_metadata["model_name"]]}

    return StateGraph(notes).add_node("model", node).add_edge(START, "model").compile()


def team(notes: Any, **graphs: Any) -> Any:
    builder, before = StateGraph(notes), START
    for name, graph in graphs.items():
        builder.add_node(name, graph).add_edge(before, name)
        before = name
    return builder.compile(name="team")


async def taken(graph: Any) -> tuple[str, str]:
    """The models of the first and of the last node; a graph that is a node adds what was there once more."""
    notes = (await graph.ainvoke(ASK))["notes"]
    return notes[0], notes[-1]


def mind_of(followed: Any, **second: Any) -> InfraMind:
    """A mind on the same servers, of which the second is told apart."""
    places: list[dict[str, Any]] = [
        {"name": f"e{i}", "base_url": server.base_url, "model": f"m{i}", "metrics": False}
        for i, server in enumerate(followed.servers)
    ]
    places[1] |= second
    return InfraMind(settings_from({"endpoints": places, "traces": {"url": "memory:"}}))


async def test_nodes_of_one_name_are_decided_and_learned_apart(follow: Any, notes: Any) -> None:
    followed = await follow()
    model, costs, nodes = configurable(followed), NodeCosts(), ["research/model", "sums/model"]
    graph = team(notes, research=asking(notes, model), sums=asking(notes, model))
    async with mind_of(followed, size_b=70) as mind:
        calls = CallRouter(mind.calls.services, Runs(mind.calls.services, costs))
        await route(graph, LiveRuns(calls, mind.portal)).ainvoke(ASK)
        (found,) = await mind.atraces()
        trace = await mind.atrace(found.trace_id)
    assert [decision.seen["node"] for decision in trace.decisions] == nodes
    assert [step.node for step in trace.steps] == nodes
    for step, decision in zip(trace.steps, trace.decisions, strict=True):
        need_s = needed_s(step, decision)
        assert costs.known_s("team", step.node) == pytest.approx(need_s)
        assert need_s != pytest.approx(step.latency_s)
    assert costs.known_nodes == len(nodes)


async def test_what_a_node_needs_is_not_taken_for_a_need_of_its_namesake(follow: Any, notes: Any) -> None:
    followed = await follow()
    model = configurable(followed)
    graph = team(notes, research=asking(notes, model.bind_tools([TOOL])), sums=asking(notes, model))
    async with mind_of(followed, capabilities=["tools"]) as mind:
        routed = route(graph, LiveRuns(mind.calls, mind.portal))
        assert [await taken(routed) for _ in range(2)] == [("m0", "m0"), ("m1", "m0")]


async def test_options_name_nodes_without_the_graphs_around_them(follow: Any, notes: Any) -> None:
    followed = await follow()
    model = configurable(followed)
    graph = team(notes, research=asking(notes, model), sums=asking(notes, model))
    routed = route(graph, followed.live, skip="model")
    assert await taken(routed) == ("theirs", "theirs")
    routed = route(graph, followed.live, only="model", needs={"model": []})
    assert await taken(routed) == ("m0", "m0")


@pytest.mark.parametrize(("slowness", "aim_s"), [(1.0, 6.0), (3.0, 2.0), (0.75, 8.0), (0.2, 12.0)])
async def test_a_node_that_is_slower_than_predicted_decides_as_if_it_had_less(
    make_mind: Any, say: Any, slowness: float, aim_s: float
) -> None:
    mind, costs = await make_mind(say(lambda asked: "x")), NodeCosts()
    visits = [Visit("plan", 0, 3), Visit("write", 3, 6)]
    for visit in visits:
        costs.note_node("g", visit.node, visit.needed_s, slowness)
    costs.note_run("g", visits)
    runs = Runs(mind.calls.services, costs)
    scope = runs.open("ab" * 16, Query(text="q"), budget_s=12.0, graph="g", is_tracked=True)
    choice = NodeChooser(CallRouter(mind.calls.services, runs)).choose(scope, "plan", ASK, {}, ())
    seen = choice.decision.seen
    assert seen["share_s"] == pytest.approx(6.0, rel=0.05)
    assert seen["remaining_s"] == pytest.approx(aim_s, rel=0.05)
    assert seen.get("slowness", 1.0) == pytest.approx(slowness)
