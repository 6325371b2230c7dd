"""Threads that are resumed or replayed from an older checkpoint: whose trace is that?"""

from __future__ import annotations

from typing import Any

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, interrupt

from inframind.plugin.graphs.tracker import budgeted

THREAD: Any = {"configurable": {"thread_id": "t"}}


def waiting_graph(followed: Any, notes: Any) -> Any:
    """A call, a question to a person, and another call."""
    model = followed.mind.chat_model()

    async def before(state: Any) -> Any:
        return {"notes": [(await model.ainvoke(state["question"])).text]}

    async def after(state: Any) -> Any:
        return {"notes": [(await model.ainvoke(interrupt("go on?"))).text]}

    builder = StateGraph(notes).add_node("before", before).add_node("after", after)
    builder.add_edge(START, "before").add_edge("before", "after")
    return budgeted(builder.compile(InMemorySaver()), followed.live)


async def ask(graph: Any, question: str) -> Any:
    """Ask, and hand back where the graph waits."""
    await graph.ainvoke({"question": question, "notes": []}, THREAD)
    return (await graph.aget_state(THREAD)).config


async def test_an_older_turn_that_is_resumed_does_not_join_the_turn_that_waits(
    follow: Any, notes: Any
) -> None:
    followed = await follow()
    graph = waiting_graph(followed, notes)
    first = await ask(graph, "one")
    await graph.ainvoke(Command(resume="yes"), THREAD)
    await ask(graph, "two")
    await graph.ainvoke(Command(resume="again"), first)
    one, two, again = await followed.traces()
    assert [(one.question, len(one.steps)), (two.question, len(two.steps))] == [("one", 2), ("two", 1)]
    assert (two.status, again.status, len(again.steps)) == ("open", "ok", 1)


async def test_the_turn_that_waits_is_still_resumed_from_its_own_checkpoint(follow: Any, notes: Any) -> None:
    followed = await follow()
    graph = waiting_graph(followed, notes)
    first = await ask(graph, "one")
    await graph.ainvoke(Command(resume="yes"), THREAD)
    second = await ask(graph, "two")
    await graph.ainvoke(Command(resume="again"), first)
    await graph.ainvoke(Command(resume="yes"), second)
    two = (await followed.traces())[1]
    assert (two.question, two.status, len(two.steps)) == ("two", "ok", 2)


async def test_a_turn_whose_state_was_changed_while_it_waited_is_the_same_turn(
    follow: Any, notes: Any
) -> None:
    followed = await follow()
    graph = waiting_graph(followed, notes)
    await ask(graph, "one")
    changed = await graph.aupdate_state(THREAD, {"question": "other"}, as_node="before")
    await graph.ainvoke(Command(resume="yes"), changed)
    trace = await followed.trace()
    assert (trace.status, len(trace.steps)) == ("ok", 2)
