"""A topology of one's own that has a defect, or is cancelled outside any call: the trace is kept all the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from langgraph.graph import END, START

from inframind.graphs.kit import AGENT
from inframind.graphs.registry import TopologyRegistry
from inframind.graphs.state import RouteContext
from inframind.router.topology import CallGraph, TopologySpec, call_name

TRACE_ID = "ab" * 16
CONTEXT = RouteContext(topology="Own", team_size=1, trace_id=TRACE_ID)
QUESTION: Any = {"messages": [("user", "How many?")]}
SPEC = TopologySpec(
    name="Own",
    description="one agent, and a node that is not ours",
    draw=lambda agents, rounds: CallGraph((call_name(0, 1),), ()),
)


def with_node(node: Callable[[Any], Any]) -> TopologyRegistry:
    """A topology that makes one call and then goes through ``node``."""

    def build(kit: Any) -> Any:
        graph = kit.new_graph()
        graph.add_node(AGENT, kit.agent)
        graph.add_node("own", node)
        graph.add_conditional_edges(START, lambda state: [kit.task(state, 0, task="alone")], [AGENT])
        graph.add_edge(AGENT, "own")
        graph.add_edge("own", END)
        return graph

    return TopologyRegistry().register(SPEC, build)


def broken(state: Any) -> Any:
    raise ZeroDivisionError


async def test_through_the_front_door_the_defect_is_raised_and_the_trace_says_so(
    make_mind: Any, say: Any
) -> None:
    mind = await make_mind(say(lambda asked: "\\boxed{1}"), topologies=with_node(broken))
    with pytest.raises(ZeroDivisionError):
        await mind.ainvoke("How many?", topology="Own", team_size=1)
    (summary,) = await mind.store.list()
    trace = await mind.store.get(summary.trace_id)
    assert (trace.status, trace.error, len(trace.steps)) == ("failed", "ZeroDivisionError", 1)


async def test_in_a_graph_used_alone_the_trace_is_stored_too(make_mind: Any, say: Any) -> None:
    mind = await make_mind(say(lambda asked: "\\boxed{1}"), topologies=with_node(broken))
    with pytest.raises(ZeroDivisionError):
        await mind.graph().compile().ainvoke(QUESTION, context=CONTEXT)
    trace = await mind.atrace(TRACE_ID)
    assert (trace.status, trace.error, len(trace.steps)) == ("failed", "ZeroDivisionError", 1)


async def test_cancelled_between_two_calls_of_a_graph_used_alone_the_trace_is_stored_too(
    make_mind: Any, say: Any
) -> None:
    inside = asyncio.Event()

    async def wait(state: Any) -> Any:
        inside.set()
        await asyncio.Event().wait()

    mind = await make_mind(say(lambda asked: "\\boxed{1}"), topologies=with_node(wait))
    run = asyncio.create_task(mind.graph().compile().ainvoke(QUESTION, context=CONTEXT))
    await inside.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    await mind._services.drain()
    trace = await mind.atrace(TRACE_ID)
    assert (trace.status, len(trace.steps)) == ("cancelled", 1)
