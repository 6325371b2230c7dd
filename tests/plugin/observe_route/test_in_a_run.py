"""Graphs that are watched inside `InfraMind.run`: their calls are in its trace, however late they are recorded."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from langchain_core.language_models import FakeListChatModel
from langgraph.graph import START, MessagesState, StateGraph

ASK: Any = {"messages": [("user", "How many?")]}


def watched(mind: Any) -> Any:
    model = FakeListChatModel(responses=["four"])

    async def node(state: MessagesState) -> Any:
        return {"messages": [await model.ainvoke(state["messages"])]}

    return mind.observe(StateGraph(MessagesState).add_node("n", node).add_edge(START, "n").compile())


class BusyPortal:
    """A background loop that does nothing else until it is let go."""

    def __init__(self, mind: Any) -> None:
        self._gate, self._mind = threading.Event(), mind

    async def hold(self) -> None:
        loop = await asyncio.to_thread(self._mind.portal.run, _running_loop())
        loop.call_soon_threadsafe(self._gate.wait)

    def let_go(self) -> None:
        self._gate.set()


async def _running_loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


@pytest.mark.parametrize("is_async", [False, True], ids=["with", "async with"])
async def test_the_last_call_is_in_the_trace_though_the_background_loop_is_busy(
    make_mind: Any, say: Any, is_async: bool
) -> None:
    mind = await make_mind(say(lambda asked: "x"))
    graph, portal = watched(mind), BusyPortal(mind)
    await graph.ainvoke(ASK)  # whatever is begun with the first call is there
    await portal.hold()

    async def run() -> str:
        if is_async:
            async with mind.run() as scope:
                await graph.ainvoke(ASK)
        else:
            with mind.run() as scope:
                await graph.ainvoke(ASK)
        return str(scope.trace_id)

    task = asyncio.create_task(run())
    for _ in range(100):
        await asyncio.sleep(0)
    portal.let_go()
    trace = await mind.atrace(await task)
    assert [(step.node, step.text) for step in trace.steps] == [("n", "four")]
    assert (trace.status, len(trace.metadata["shadow"])) == ("ok", 1)
