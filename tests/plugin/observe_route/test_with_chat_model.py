"""The tracker and the observer beside models that we route ourselves."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
from langchain_core.tools import tool
from langgraph.graph import START, StateGraph
from langgraph.types import Send

from inframind.plugin.graphs.observe import observe
from inframind.plugin.graphs.route import route
from inframind.plugin.graphs.tracker import budgeted

ASK: Any = {"question": "How many?", "notes": []}


def graph_of(notes: Any, model: Any) -> Any:
    """A plan, three branches side by side, and a tool that asks the model itself."""

    @tool
    def lookup(text: str) -> str:
        """Looks something up."""
        return str(model.invoke(f"tool: {text}").text)

    def node(name: str) -> Any:
        return lambda state: {"notes": [str(model.invoke(f"{name}: {state['question']}").text)]}

    builder = StateGraph(notes).add_node("plan", node("plan")).add_node("branch", node("branch"), defer=False)
    builder.add_node("lookup", lambda state: {"notes": [lookup.invoke(state["question"])]}, defer=True)
    builder.add_edge(START, "plan").add_edge("branch", "lookup")
    builder.add_conditional_edges("plan", lambda state: [Send("branch", state) for _ in range(3)])
    return builder.compile(name="mixed")


@pytest.mark.parametrize("is_sync", [True, False])
async def test_calls_of_our_chat_model_share_the_runs_trace(follow: Any, notes: Any, is_sync: bool) -> None:
    followed = await follow()
    graph = budgeted(graph_of(notes, followed.mind.chat_model()), followed.live, budget_s=30)
    run_id = uuid.uuid4()
    if is_sync:
        await asyncio.to_thread(graph.invoke, ASK, {"run_id": run_id})
    else:
        await graph.ainvoke(ASK, {"run_id": run_id})
    trace = await followed.trace()
    assert (trace.trace_id, trace.status, trace.budget_s) == (run_id.hex, "ok", 30.0)
    assert sorted(step.node for step in trace.steps) == ["branch"] * 3 + ["lookup", "plan"]
    assert len(trace.decisions) == 5 and trace.metadata["graph"] == "mixed"


async def test_a_cancelled_call_leaves_a_cancelled_run(follow: Any, notes: Any) -> None:
    waiting = asyncio.Event()

    async def hang(wire: Any) -> None:
        waiting.set()
        await wire.gone()

    followed = await follow(hang)
    model = followed.mind.chat_model()

    async def node(state: Any) -> Any:
        return {"notes": [(await model.ainvoke(state["question"])).text]}

    graph = budgeted(StateGraph(notes).add_node("n", node).add_edge(START, "n").compile(), followed.live)
    task = asyncio.create_task(graph.ainvoke(ASK))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await followed.mind.calls.services.drain()
    assert (await followed.trace()).status == "cancelled"


async def test_the_observer_leaves_calls_that_we_route_to_their_own_traces(follow: Any, notes: Any) -> None:
    followed = await follow()
    ours, theirs = followed.mind.chat_model(), followed.client(1)

    async def node(state: Any) -> Any:
        return {"notes": [(await model.ainvoke(state["question"])).text for model in (ours, theirs)]}

    graph = StateGraph(notes).add_node("n", node).add_edge(START, "n").compile()
    await observe(graph, followed.live, followed.decide).ainvoke(ASK)
    traces = await followed.traces()
    observed = [trace for trace in traces if trace.metadata.get("mode") == "observe"]
    routed = [trace for trace in traces if trace not in observed]
    assert [[step.model for step in trace.steps] for trace in (*observed, *routed)] == [["m1"], ["m0"]]
    assert [len(trace.decisions) for trace in (*observed, *routed)] == [0, 1]


async def test_our_chat_model_in_a_routed_graph_routes_each_call_itself(follow: Any, notes: Any) -> None:
    followed = await follow()
    graph = route(graph_of(notes, followed.mind.chat_model()), followed.live, budget_s=30)
    await graph.ainvoke(ASK)
    trace = await followed.trace()
    assert (len(trace.steps), len(trace.decisions)) == (5, 5)
    assert {step.decision_id for step in trace.steps} == {one.decision_id for one in trace.decisions}
