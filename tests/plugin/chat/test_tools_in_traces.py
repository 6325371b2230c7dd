"""Which tools ran, for how long and with what success stands in the trace."""

from __future__ import annotations

from typing import Any

from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

from inframind.plugin.chat.model import ChatInfraMind
from inframind.traces.mishaps import errors_of
from inframind.traces.records import Trajectory

CALLS = [
    {"index": n, "id": f"call-{name}", "type": "function", "function": {"name": name, "arguments": "{}"}}
    for n, name in enumerate(("weather", "traffic"))
]


@tool
def weather() -> str:
    """Says that it rains."""
    return "rain"


@tool
def traffic() -> str:
    """Fails."""
    raise ValueError("no such road")


async def asks_for_tools(wire: Any) -> None:
    """Asks for both tools, and answers once it has their results."""
    has_results = any(message["role"] == "tool" for message in wire.asked.body["messages"])
    said = {"content": "Take an umbrella."} if has_results else {"content": None, "tool_calls": CALLS}
    choice = {
        "index": 0,
        "message": {"role": "assistant", **said},
        "finish_reason": "stop" if has_results else "tool_calls",
    }
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    await wire.reply(200, {"id": "r1", "model": wire.model, "choices": [choice], "usage": usage})


def agent(model: ChatInfraMind) -> Any:
    def think(state: MessagesState) -> dict[str, Any]:
        return {"messages": [model.bind_tools([weather, traffic]).invoke(state["messages"])]}

    builder = StateGraph(MessagesState)
    builder.add_node("think", think)
    builder.add_node("tools", ToolNode([weather, traffic], handle_tool_errors=True))
    builder.add_edge(START, "think")
    builder.add_conditional_edges("think", tools_condition)
    builder.add_edge("tools", "think")
    return builder.compile()


def seen(run: Trajectory) -> dict[str, Any]:
    return {one.name: (one.call_id, one.step_id, one.error, one.succeeded) for one in run.tools}


WANTED = {
    "weather": ("call-weather", 0, "", True),
    "traffic": ("call-traffic", 0, "ToolError", False),
}
ASK: Any = {"messages": [("user", "How is the way to work?")]}


async def test_a_followed_graph_s_tools_are_timed(make_model: Any) -> None:
    model = await make_model(asks_for_tools)
    mind = model.mind
    await mind.budget(agent(model)).ainvoke(ASK)
    await mind.settle()
    (run,) = [run async for run in mind.store.iter()]
    assert seen(run) == {
        **WANTED,
        "traffic": ("call-traffic", 0, "ValueError", False),
    }
    first = run.steps[0]
    assert all(first.finished_s <= tool.started_s <= tool.finished_s for tool in run.tools)
    (event,) = errors_of(run)
    assert (event.kind, event.where, event.recovered) == ("tool", "traffic", True)
    assert "no such road" in event.detail


async def test_in_a_block_results_tell_of_the_tools(make_model: Any) -> None:
    model = await make_model(asks_for_tools)
    mind = model.mind
    async with mind.run("commute"):
        await agent(model).ainvoke(ASK)
    await mind.settle()
    (run,) = [run async for run in mind.store.iter()]
    assert seen(run) == WANTED
    assert all(tool.finished_s >= run.steps[0].finished_s == tool.started_s for tool in run.tools)


async def test_a_call_of_its_own_tells_what_it_was_given(make_model: Any) -> None:
    model = await make_model(asks_for_tools)
    await agent(model).ainvoke(ASK)
    await model.mind.settle()
    runs = [run async for run in model.mind.store.iter()]
    assert sorted(len(run.tools) for run in runs) == [0, 2]
    assert [tool.step_id for run in runs for tool in run.tools] == [None, None]
