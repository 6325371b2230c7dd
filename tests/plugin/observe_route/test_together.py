"""Several ways at once: graphs inside graphs, a graph that is watched and routed, and a run around a graph."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from langgraph.graph import START, StateGraph

from inframind.plugin.graphs.observe import observe
from inframind.plugin.graphs.route import route
from inframind.plugin.graphs.shadow import shadows_of

ASK: Any = {"question": "How many?", "notes": []}


def line(notes: Any, **models: Any) -> Any:
    """A node per model, one after the other, uncompiled."""
    builder, before = StateGraph(notes), START
    for name, model in models.items():

        async def node(state: Any, name: str = name, model: Any = model) -> Any:
            return {"notes": [(await model.ainvoke(f"{name}: {state['question']}")).text]}

        builder.add_node(name, node)
        builder.add_edge(before, name)
        before = name
    return builder


def watched(graph: Any, followed: Any) -> Any:
    return observe(graph, followed.live, followed.decide)


async def test_a_watched_graph_inside_a_watched_graph_is_recorded_once(follow: Any, notes: Any) -> None:
    followed = await follow()
    inner = watched(line(notes, inside=followed.client()).compile(), followed)
    outer = line(notes, before=followed.client()).add_node("inner", inner).add_edge("before", "inner")
    await watched(outer.compile(), followed).ainvoke(ASK)
    trace = await followed.trace()
    assert [step.node for step in trace.steps] == ["before", "inside"]
    assert shadows_of(trace).keys() == {0, 1}


@pytest.mark.parametrize("is_watched_first", [True, False])
async def test_a_watched_and_routed_graph_records_each_call_once(
    follow: Any, notes: Any, is_watched_first: bool
) -> None:
    followed = await follow()
    chat_models = pytest.importorskip("langchain.chat_models", reason="needs langchain")
    configurable = chat_models.init_chat_model(
        "m0",
        model_provider="openai",
        base_url=followed.servers[0].base_url,
        configurable_fields=("model", "base_url"),
        **followed.wires,
    )
    graph = line(notes, routed=configurable, other=followed.client()).compile()
    if is_watched_first:
        graph = route(watched(graph, followed), followed.live, only=["routed"])
    else:
        graph = watched(route(graph, followed.live, only=["routed"]), followed)
    await graph.ainvoke(ASK)
    trace = await followed.trace()
    (decision,) = trace.decisions
    assert [(step.node, step.decision_id) for step in trace.steps] == [
        ("routed", decision.decision_id),
        ("other", ""),
    ]
    assert shadows_of(trace).keys() == {1}


async def test_feedback_on_a_graphs_run_finds_the_run_around_it(follow: Any, notes: Any) -> None:
    followed = await follow()
    graph, graph_run = watched(line(notes, only=followed.client()).compile(), followed), uuid.uuid4()
    with followed.mind.run("all of it") as scope:
        await graph.ainvoke(ASK, {"run_id": graph_run})
    await followed.settled()
    assert await followed.mind.store.trace_of(f"run:{graph_run.hex}") == scope.trace_id
