"""Several ways at once: graphs inside graphs, a graph that is watched and routed, and a run around a graph."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler, CallbackManager
from langgraph.graph import START, StateGraph

from inframind.errors import ConfigError, InfraMindError
from inframind.plugin.graphs.observe import observe
from inframind.plugin.graphs.route import route
from inframind.plugin.graphs.shadow import shadows_of
from inframind.plugin.graphs.tracker import budgeted

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
    assert [step.node for step in trace.steps] == ["before", "inner/inside"]
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


def named(way: str, graph: Any, followed: Any, **terms: Any) -> Any:
    if way == "observe":
        return watched(graph, followed)
    return (route if way == "route" else budgeted)(graph, followed.live, **terms)


@pytest.mark.parametrize(
    ("ways", "budget_s"),
    [
        ([("route", {}), ("budget", {"budget_s": 5})], 5.0),
        ([("budget", {"budget_s": 5}), ("route", {})], 5.0),
        ([("route", {"budget_s": 9}), ("budget", {"budget_s": 5})], 5.0),
        ([("budget", {"budget_s": 5}), ("route", {"budget_s": 9})], 9.0),
        ([("observe", {}), ("budget", {"budget_s": 5})], 5.0),
        ([("budget", {"budget_s": 5}), ("observe", {})], 5.0),
        ([("observe", {}), ("route", {"budget_s": 5})], 5.0),
        ([("budget", {"budget_s": 5}), ("observe", {}), ("route", {})], 5.0),
    ],
)
async def test_the_outermost_budget_that_is_named_holds(
    follow: Any, notes: Any, ways: Any, budget_s: float
) -> None:
    followed = await follow()
    graph = line(notes, only=followed.mind.chat_model()).compile()
    for way, terms in ways:
        graph = named(way, graph, followed, **terms)
    await graph.ainvoke(ASK)
    trace = await followed.trace()
    assert (trace.budget_s, len(trace.steps)) == (budget_s, 1)


async def test_one_invocations_own_budget_holds_before_all(follow: Any, notes: Any) -> None:
    followed = await follow()
    graph = named("budget", line(notes, only=followed.mind.chat_model()).compile(), followed, budget_s=9)
    graph = named("route", graph, followed, budget_s=7)
    await graph.ainvoke(ASK, {"metadata": {"inframind_budget_s": 3}})
    assert (await followed.trace()).budget_s == 3.0


async def test_a_graph_keeps_its_own_budget_when_another_is_put_around_it(follow: Any, notes: Any) -> None:
    followed = await follow()
    inner = named("budget", line(notes, only=followed.mind.chat_model()).compile(), followed, budget_s=9)
    named("budget", inner, followed, budget_s=5)
    await inner.ainvoke(ASK)
    assert (await followed.trace()).budget_s == 9.0


async def test_other_handlers_of_a_graph_stay(follow: Any, notes: Any) -> None:
    heard: list[str] = []

    class Mine(BaseCallbackHandler):
        def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
            heard.append("call")

    followed = await follow()
    plain = line(notes, only=followed.client()).compile()
    manager = CallbackManager([], inheritable_handlers=[])
    manager.add_handler(Mine())
    for callbacks in ([Mine()], manager):
        graph = named("observe", plain.with_config(callbacks=callbacks), followed)
        await named("budget", graph, followed, budget_s=5).ainvoke(ASK)
    assert heard == ["call"] * 2
    assert [(trace.budget_s, len(trace.steps)) for trace in await followed.traces()] == [(5.0, 1)] * 2


@pytest.mark.parametrize("way", ["route", "observe", "budget"])
async def test_a_graph_that_is_not_compiled_is_refused(follow: Any, notes: Any, way: str) -> None:
    followed = await follow()
    with pytest.raises(ConfigError, match=r"graph = 'StateGraph': compile it first: builder.compile\(\)"):
        named(way, line(notes, only=followed.client()), followed)


async def test_a_routed_graphs_hard_budget_is_hard(follow: Any, notes: Any) -> None:
    async def slow(wire: Any) -> None:
        await wire.gone()

    followed = await follow(slow, slow)
    graph = line(notes, only=followed.mind.chat_model()).compile()
    with pytest.raises(InfraMindError):
        await named("route", graph, followed, budget_s=0.05, hard=True).ainvoke(ASK)
    await followed.settled()


async def test_feedback_on_a_graphs_run_finds_the_run_around_it(follow: Any, notes: Any) -> None:
    followed = await follow()
    graph, graph_run = watched(line(notes, only=followed.client()).compile(), followed), uuid.uuid4()
    with followed.mind.run("all of it") as scope:
        await graph.ainvoke(ASK, {"run_id": graph_run})
    await followed.settled()
    assert await followed.mind.store.trace_of(f"run:{graph_run.hex}") == scope.trace_id
