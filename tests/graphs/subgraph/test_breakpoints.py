"""Runs that an application's own breakpoints hold up are in memory for a while, and in the store for good."""

from __future__ import annotations

from typing import Any

from langgraph.checkpoint.memory import InMemorySaver
from tests.graphs.subgraph.office import Office, asking

from inframind.graphs.state import RouteContext

CONTEXT = RouteContext(domain="math", topology="IO", team_size=1)


def thread(name: str) -> Any:
    return {"configurable": {"thread_id": name}}


async def test_of_too_many_held_up_runs_the_one_seen_longest_ago_goes_on_from_the_store(
    office: Office,
) -> None:
    mind = office.mind()
    services, saver = mind.calls.services, InMemorySaver()
    services.runs_kept = 2
    graph = mind.graph().compile(checkpointer=saver, interrupt_before=["respond"])
    for name in "abc":
        await graph.ainvoke(asking(f"How many {name}?"), thread(name), context=CONTEXT)
    await services.drain()
    assert [recorder.query.text for recorder in services._runs.values()] == ["How many b?", "How many c?"]
    left = {trace.question: trace async for trace in office.store.iter()}["How many a?"]
    assert (left.status, left.error, len(left.steps)) == ("open", "", 1)
    await graph.ainvoke(None, thread("a"), context=CONTEXT)
    ended = await mind.atrace(left.trace_id)
    assert (ended.status, ended.steps) == ("ok", left.steps)
    assert ended.decisions == left.decisions
    for name in "bc":
        await graph.ainvoke(None, thread(name), context=CONTEXT)
    assert {trace.status async for trace in office.store.iter()} == {"ok"} and not services._runs


async def test_a_run_that_goes_on_is_not_the_one_seen_longest_ago(office: Office) -> None:
    mind = office.mind()
    services = mind.calls.services
    services.runs_kept = 2
    graph = mind.graph().compile(checkpointer=InMemorySaver(), interrupt_before=["respond", "IO"])
    for name in ("a", "b"):
        await graph.ainvoke(asking(f"How many {name}?"), thread(name), context=CONTEXT)
    await graph.ainvoke(None, thread("a"), context=CONTEXT)
    await graph.ainvoke(asking("How many c?"), thread("c"), context=CONTEXT)
    assert [recorder.query.text for recorder in services._runs.values()] == ["How many a?", "How many c?"]


async def test_a_run_that_nobody_can_go_on_with_is_cancelled_when_it_is_let_go(office: Office) -> None:
    mind = office.mind()
    services = mind.calls.services
    services.runs_kept = 1
    graph = mind.graph().compile(interrupt_before=["respond"])
    for name in "ab":
        await graph.ainvoke(asking(f"How many {name}?"), context=CONTEXT)
    await services.drain()
    trace = await office.only_trace()
    assert (trace.question, trace.status, trace.error) == ("How many a?", "cancelled", "CancelledError")
    assert "took its place" in trace.error_detail and len(trace.steps) == 1
