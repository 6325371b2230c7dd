"""An agent that waits for a person goes on in the same run: same decisions, one credit, the wait not counted."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, HumanInTheLoopMiddleware
from langchain_core.messages import AIMessage, HumanMessage, RemoveMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph.message import REMOVE_ALL_MESSAGES
from langgraph.types import Command, interrupt
from tests.plugin.middleware.agents import (
    ASK,
    SkippingClock,
    make_agent,
    only_trace,
    react,
    statuses,
    weather,
)

from inframind.plugin.chat import ChatInfraMind
from inframind.traces.memory import MemoryStore

APPROVED = Command(resume={"decisions": [{"type": "approve"}]})


def asks_first() -> Any:
    return HumanInTheLoopMiddleware(interrupt_on={"weather": True})


async def begin_and_go_on(
    run: Any, agent: Any, thread: Any, clock: SkippingClock, resume: Any = APPROVED
) -> Any:
    paused = await run(agent, ASK, thread)
    assert paused["__interrupt__"]
    clock.skipped_s += 86_400
    return await run(agent, resume, thread)


@pytest.mark.parametrize("is_outside", [True, False])
async def test_a_resumed_agent_goes_on_in_the_same_run(
    make_mind: Any, run: Any, thread: Any, is_outside: bool
) -> None:
    clock = SkippingClock()
    mind = await make_mind(react, clock=clock)
    around = (
        {"before": (asks_first(),), "after": ()} if is_outside else {"before": (), "after": (asks_first(),)}
    )
    agent = make_agent(mind, *around["before"], after=around["after"], checkpointer=InMemorySaver())
    state = await begin_and_go_on(run, agent, thread, clock)
    trace = await only_trace(mind)
    assert state["messages"][-1].content == "It is said to be: rain in Oslo"
    assert (trace.status, len(trace.decisions), len(trace.steps)) == ("ok", 2, 2)
    assert trace.latency_s < 60 and trace.budget_s == 60


async def test_the_trace_of_a_run_that_waits_is_open_and_stored(
    make_mind: Any, run: Any, thread: Any
) -> None:
    mind = await make_mind(react)
    await run(make_agent(mind, asks_first(), checkpointer=InMemorySaver()), ASK, thread)
    trace = await only_trace(mind)
    assert (trace.status, len(trace.steps)) == ("open", 1)


async def test_a_person_takes_time_in_a_tool_that_does_not_count(
    make_mind: Any, run: Any, thread: Any
) -> None:
    @tool
    def weather(city: str) -> str:
        """Ask somebody."""
        return str(interrupt(f"How is it in {city}?"))

    clock = SkippingClock()
    mind = await make_mind(react, clock=clock)
    agent = make_agent(mind, tools=[weather], checkpointer=InMemorySaver())
    state = await begin_and_go_on(run, agent, thread, clock, Command(resume="fine"))
    assert state["messages"][-1].content == "It is said to be: fine"
    left_ms = float(mind.servers[0].asked[-1].headers["x-slo-ttft-ms"])
    assert 25_000 < left_ms <= 30_000


class AsksAfterCall(AgentMiddleware[Any, Any, Any]):
    """Shows every answer to a person, inside the model's node: that node is executed again when they have seen it."""

    def wrap_model_call(self, request: Any, handler: Any) -> Any:
        response = handler(request)
        interrupt("fine?")
        return response

    async def awrap_model_call(self, request: Any, handler: Any) -> Any:
        response = await handler(request)
        interrupt("fine?")
        return response


async def test_a_model_node_that_is_executed_again_decides_the_same_and_is_credited_once(
    make_mind: Any, run: Any, thread: Any
) -> None:
    mind = await make_mind(*[react] * 4, clock=(clock := SkippingClock()))
    agent = make_agent(mind, AsksAfterCall(), tools=(), checkpointer=InMemorySaver())
    await begin_and_go_on(run, agent, thread, clock, Command(resume="yes"))
    trace = await only_trace(mind)
    assert sorted(len(server.asked) for server in mind.servers) == [0, 0, 0, 2]
    assert (trace.status, len(trace.decisions), len(trace.steps)) == ("ok", 1, 1)
    assert trace.latency_s < 60


async def test_another_process_that_executes_the_first_call_again_goes_on_with_its_run(
    make_mind: Any, run: Any, thread: Any
) -> None:
    store, saver = MemoryStore(), InMemorySaver()
    here, there = await make_mind(react, store=store), await make_mind(react, store=store)
    await run(make_agent(here, after=(AsksAfterCall(),), tools=(), checkpointer=saver), ASK, thread)
    assert await statuses(here) == ["open"]
    agent = make_agent(there, after=(AsksAfterCall(),), tools=(), checkpointer=saver)
    state = await run(agent, Command(resume="yes"), thread)
    assert (await only_trace(there)).trace_id == state["inframind"]["trace_id"]
    assert await statuses(there) == ["ok"]


async def test_a_turn_after_one_that_still_waits_is_a_run_of_its_own(
    make_mind: Any, run: Any, thread: Any
) -> None:
    @tool
    def weather(city: str) -> str:
        """Ask somebody."""
        return str(interrupt(f"How is it in {city}?"))

    mind = await make_mind(react)
    agent = make_agent(mind, tools=[weather], checkpointer=InMemorySaver())
    for _ in range(2):
        assert (await run(agent, ASK, thread))["__interrupt__"]
    assert await statuses(mind) == ["open", "open"]
    state = await run(agent, Command(resume="fine"), thread)
    assert await statuses(mind) == ["ok", "open"]
    assert (await mind.store.get(state["inframind"]["trace_id"])).status == "ok"


class SpeaksForTheUser(AgentMiddleware[Any, Any, Any]):
    """Rewrites the history before every call, as a summary does."""

    def before_model(self, state: Any, runtime: Any) -> Any:
        """Say it in other words."""
        said = [message for message in state["messages"] if message.type != "human"]
        return {"messages": [RemoveMessage(REMOVE_ALL_MESSAGES), HumanMessage("So far: weather"), *said]}


async def test_a_history_that_is_rewritten_begins_no_turn(make_mind: Any, run: Any, thread: Any) -> None:
    mind = await make_mind(react)
    agent = make_agent(mind, SpeaksForTheUser(), asks_first(), checkpointer=InMemorySaver())
    await begin_and_go_on(run, agent, thread, SkippingClock())
    trace = await only_trace(mind)
    assert (trace.status, len(trace.steps)) == ("ok", 2)


async def test_another_process_goes_on_with_what_was_left(make_mind: Any, run: Any, thread: Any) -> None:
    store, saver, clock = MemoryStore(), InMemorySaver(), SkippingClock()
    here = await make_mind(react, store=store, clock=clock)
    there = await make_mind(react, store=store, clock=clock)
    paused = await run(make_agent(here, asks_first(), checkpointer=saver), ASK, thread)
    clock.skipped_s += 86_400
    state = await run(make_agent(there, asks_first(), checkpointer=saver), APPROVED, thread)
    trace = await only_trace(there)
    assert paused["inframind"]["trace_id"] == state["inframind"]["trace_id"] == trace.trace_id
    assert (trace.status, len(trace.steps)) == ("ok", 2) and trace.latency_s < 60


async def test_a_tool_that_merely_takes_its_time_counts(make_mind: Any, run: Any, thread: Any) -> None:
    clock = SkippingClock()

    @tool
    def weather(city: str) -> str:
        """Take a while."""
        clock.skipped_s += 20
        return f"rain in {city}"

    mind = await make_mind(react, clock=clock)
    await run(make_agent(mind, tools=[weather], checkpointer=InMemorySaver()), ASK, thread)
    assert (await only_trace(mind)).latency_s > 20


async def test_two_threads_that_wait_at_once_keep_their_runs_apart(make_mind: Any, run: Any) -> None:
    mind = await make_mind(react)
    agent = make_agent(mind, asks_first(), checkpointer=InMemorySaver())
    threads = [{"configurable": {"thread_id": name}} for name in "ab"]
    await asyncio.gather(*(run(agent, ASK, each) for each in threads))
    states = await asyncio.gather(*(run(agent, APPROVED, each) for each in threads))
    traces = [await mind.store.get(state["inframind"]["trace_id"]) for state in states]
    assert len({trace.trace_id for trace in traces}) == 2
    assert [(trace.status, len(trace.steps)) for trace in traces] == [("ok", 2), ("ok", 2)]


@pytest.mark.parametrize("is_sync", [True, False])
async def test_tokens_come_once_before_and_after_the_wait(make_mind: Any, thread: Any, is_sync: bool) -> None:
    mind = await make_mind(react)
    agent = make_agent(mind, asks_first(), checkpointer=InMemorySaver())

    async def streamed(given: Any) -> list[str]:
        options: Any = {"stream_mode": "messages"}
        if is_sync:
            parts = await asyncio.to_thread(lambda: list(agent.stream(given, thread, **options)))
        else:
            parts = [part async for part in agent.astream(given, thread, **options)]
        return [part.content for part, _ in parts if isinstance(part, AIMessage) and part.content]

    assert await streamed(ASK) == []
    assert await streamed(APPROVED) == ["It is ", "said ", "to be: ", "rain in Oslo"]
    assert await statuses(mind) == ["ok"]


async def test_what_is_tried_again_from_a_checkpoint_after_the_end_is_a_run_of_its_own(
    make_mind: Any, run: Any, thread: Any
) -> None:
    mind = await make_mind(react)
    agent = make_agent(mind, checkpointer=InMemorySaver())
    first = await run(agent, ASK, thread)
    before = await only_trace(mind)
    past = [state async for state in agent.aget_state_history(thread) if state.next == ("model",)]
    again = await run(agent, None, past[0].config)
    assert again["messages"][-1].content == first["messages"][-1].content
    assert await mind.store.get(before.trace_id) == before
    branch = await mind.store.get(again["inframind"]["trace_id"])
    assert (branch.status, len(branch.decisions), len(branch.steps)) == ("ok", 1, 1)


async def test_a_turn_that_is_tried_again_from_its_first_call_is_a_run_of_its_own(
    make_mind: Any, run: Any, thread: Any
) -> None:
    mind = await make_mind(react)
    agent = make_agent(mind, checkpointer=InMemorySaver())
    await run(agent, ASK, thread)
    before = await only_trace(mind)
    past = [state async for state in agent.aget_state_history(thread) if state.next == ("model",)]
    again = await run(agent, None, past[-1].config)
    assert await mind.store.get(before.trace_id) == before
    branch = await mind.store.get(again["inframind"]["trace_id"])
    assert (branch.status, len(branch.decisions), len(branch.steps)) == ("ok", 2, 2)


async def test_a_thread_from_before_the_agent_was_routed_can_be_resumed(
    make_mind: Any, run: Any, thread: Any
) -> None:
    mind, saver = await make_mind(react), InMemorySaver()
    unrouted = create_agent(
        ChatInfraMind(mind=mind), [weather], checkpointer=saver, interrupt_before=["tools"]
    )
    await run(unrouted, ASK, thread)
    state = await run(make_agent(mind, checkpointer=saver), None, thread)
    trace = await mind.store.get(state["inframind"]["trace_id"])
    assert (trace.status, len(trace.steps)) == ("ok", 1)
