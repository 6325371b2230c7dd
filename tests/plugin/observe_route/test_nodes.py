"""What `route` takes for granted of LangGraph: when this fails, `nodes.py` has to be looked at again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.graph import START, StateGraph
from langgraph.pregel._read import PregelNode

from inframind.errors import ConfigError
from inframind.plugin.graphs.nodes import WrappedNode, node_names, require_known, with_nodes


class Numbered(WrappedNode):
    """Puts a number into the config."""

    def config_for(self, state: Any, config: RunnableConfig) -> RunnableConfig:
        return {**config, "configurable": {**config.get("configurable", {}), "number": 7}}


def numbered(name: str, inner: Runnable[Any, Any], metadata: Mapping[str, Any]) -> Runnable[Any, Any]:
    return Numbered(inner, name)


async def fluent(state: Any, config: RunnableConfig) -> Any:
    return {"notes": [str(config["configurable"].get("number"))]}


def plain(state: Any, config: RunnableConfig) -> Any:
    return {"notes": [str(config["configurable"].get("number"))]}


def test_a_compiled_graphs_nodes_are_what_we_know(notes: Any) -> None:
    graph = StateGraph(notes).add_node("n", plain).add_edge(START, "n").compile()
    assert {type(node) for node in graph.nodes.values()} == {PregelNode}
    require_known(PregelNode)


def test_nodes_of_another_kind_are_refused_by_name() -> None:
    class Other:
        """A node as some later LangGraph may have it."""

        def __init__(self, *, body: Any) -> None:
            self.body = body

    with pytest.raises(ConfigError, match="langgraph"):
        require_known(Other)


async def test_wrapped_nodes_run_under_the_config_they_are_given(notes: Any) -> None:
    inner = StateGraph(notes).add_node("inner", plain).add_edge(START, "inner").compile()
    builder = StateGraph(notes).add_node("a", fluent).add_node("sub", inner).add_node("c", plain)
    graph = builder.add_edge(START, "a").add_edge("a", "sub").add_edge("sub", "c").compile()
    wrapped = with_nodes(graph, numbered)
    assert list(node_names(wrapped)) == ["a", "sub", "inner", "c"]
    asked: Any = {"question": "", "notes": []}
    assert (await wrapped.ainvoke(asked))["notes"] == [
        "7"
    ] * 4  # the subgraph hands back what it was given, too
    assert (await graph.ainvoke(asked))["notes"] == ["None"] * 4


async def test_a_cancelled_node_is_cancelled_inside(notes: Any) -> None:
    waiting, ended = asyncio.Event(), asyncio.Event()

    async def hang(state: Any) -> Any:
        waiting.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    graph = with_nodes(StateGraph(notes).add_node("n", hang).add_edge(START, "n").compile(), numbered)
    task = asyncio.create_task(graph.ainvoke({"question": "", "notes": []}))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_a_nodes_timeout_still_holds(notes: Any) -> None:
    builder = StateGraph(notes).add_node("n", fluent, timeout=30.0).add_edge(START, "n")
    wrapped = with_nodes(builder.compile(), numbered)
    assert (await wrapped.ainvoke({"question": "", "notes": []}))["notes"] == ["7"]
