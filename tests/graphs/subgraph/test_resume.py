"""A run that is executed again: after an interrupt, a restart or a retry. One trace, one decision per call."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, RetryPolicy, Send, interrupt
from tests.graphs.subgraph.office import Office, asking, parent

from inframind.errors import ConfigError, StoreError
from inframind.graphs.kit import AGENT
from inframind.graphs.registry import TopologyRegistry
from inframind.graphs.state import RouteContext
from inframind.router.recorded_views import decided_at_s
from inframind.router.topology import CallGraph, TopologySpec, call_name
from inframind.traces.memory import MemoryStore
from inframind.traces.records import Trajectory

CONFIG: Any = {"configurable": {"thread_id": "t"}}
APPROVED = RouteContext(domain="math", topology="Approved", team_size=2)
DEBATED = RouteContext(domain="math", topology="Debate", team_size=2)


def decided(trace: Trajectory) -> list[tuple[str, str]]:
    return [(decision.decision_id, decision.action) for decision in trace.decisions]


def own(build: Any) -> TopologyRegistry:
    def draw(agents: int, rounds: int) -> CallGraph:
        return CallGraph(tuple(call_name(seat, 1) for seat in range(agents)), ())

    return TopologyRegistry().register(TopologySpec(name="Own", description="mine", draw=draw), build)


OWN = RouteContext(domain="math", topology="Own", team_size=2)


@dataclass
class SettableClock:
    """The machine's clock, which a test may set forward."""

    ahead_s: float = 0.0

    def now_s(self) -> float:
        return time.monotonic() + self.ahead_s

    def wall_s(self) -> float:
        return time.time() + self.ahead_s


@pytest.mark.parametrize("checkpointer", [None, True, False])
async def test_whatever_our_graph_checkpoints_the_same_is_decided_after_resume(
    office: Office, checkpointer: bool | None
) -> None:
    saver = InMemorySaver()
    app = parent(office.mind(), checkpointer=checkpointer).compile(checkpointer=saver)
    await app.ainvoke(asking(), CONFIG, context=APPROVED)
    before = await office.only_trace()
    app = parent(office.mind(), checkpointer=checkpointer).compile(checkpointer=saver)
    state = await app.ainvoke(Command(resume="yes"), CONFIG, context=APPROVED)
    after = await office.only_trace()
    assert (before.status, after.status, len(office.wire.asked)) == ("open", "ok", 3)
    assert decided(after)[:2] == decided(before) and len(after.decisions) == 3
    assert [step.step_id for step in after.steps] == [0, 1] and after.steps[1].parents == (0,)
    assert state["messages"][-1].text == after.text == after.steps[1].text
    (replaced,) = after.metadata["inframind"]["replaced"]
    assert replaced["decision_id"] == before.steps[0].decision_id == after.steps[0].decision_id


async def test_what_a_person_takes_is_not_the_runs_time(office: Office) -> None:
    clock, saver = SettableClock(), InMemorySaver()
    context = RouteContext(topology="Approved", team_size=2, budget_s=30.0)
    app = parent(office.mind(clock=clock)).compile(checkpointer=saver)
    await app.ainvoke(asking(), CONFIG, context=context)
    clock.ahead_s = 86_400.0
    app = parent(office.mind(clock=clock)).compile(checkpointer=saver)
    await app.ainvoke(Command(resume="yes"), CONFIG, context=context)
    trace = await office.only_trace()
    assert trace.status == "ok" and trace.on_time and trace.latency_s < 30.0
    assert 86_400.0 <= trace.metadata["inframind"]["waited_s"] < 86_500.0
    assert all(0 <= step.started_s <= step.finished_s < 30.0 for step in trace.steps)
    plan, last = (decided_at_s(trace, trace.decisions[place]) - trace.arrived_at_s for place in (0, -1))
    assert plan < 30.0 and 86_400.0 <= last < 86_500.0


@pytest.mark.parametrize("checkpointer", [None, False])
async def test_a_parents_node_that_asks_us_and_then_waits_leaves_one_trace(
    office: Office, checkpointer: bool | None
) -> None:
    routed = office.mind().graph().compile(checkpointer=checkpointer)

    async def solve(state: MessagesState) -> Any:
        answer = await routed.ainvoke({"messages": state["messages"]}, context=DEBATED)
        interrupt("fine?")
        return {"messages": answer["messages"][-1]}

    builder = StateGraph(MessagesState)
    builder.add_node("solve", solve)
    builder.add_edge(START, "solve")
    app = builder.compile(checkpointer=InMemorySaver())
    await app.ainvoke(asking(), CONFIG)
    before = await office.only_trace()
    state = await app.ainvoke(Command(resume="yes"), CONFIG)
    after = await office.only_trace()
    assert (before.status, after.status) == ("ok", "ok") and decided(after) == decided(before)
    assert state["messages"][-1].text == after.text


@pytest.mark.parametrize("checkpointer", [None, False])
async def test_two_questions_of_one_node_are_two_runs_though_they_read_the_same(
    office: Office, checkpointer: bool | None
) -> None:
    routed = office.mind().graph().compile(checkpointer=checkpointer)

    async def vote(state: MessagesState) -> Any:
        context = RouteContext(topology="IO", team_size=1)
        for _ in range(2):
            await routed.ainvoke({"messages": state["messages"]}, context=context)
        return {}

    builder = StateGraph(MessagesState)
    builder.add_node("vote", vote)
    builder.add_edge(START, "vote")
    await builder.compile(checkpointer=InMemorySaver()).ainvoke(asking(), CONFIG)
    assert await office.store.count() == 2 and len(office.wire.asked) == 2


async def test_questions_that_a_parent_sends_side_by_side_are_runs_of_their_own(office: Office) -> None:
    def split(state: MessagesState) -> list[Send]:
        return [Send("solve", asking("How many?")) for _ in range(3)]

    builder = StateGraph(MessagesState, context_schema=RouteContext)
    builder.add_node("solve", office.mind().graph().compile())
    builder.add_conditional_edges(START, split, ["solve"])
    app = builder.compile(checkpointer=InMemorySaver())
    state = await app.ainvoke(asking(), CONFIG, context=DEBATED)
    traces = [await office.store.get(summary.trace_id) for summary in await office.store.list()]
    assert [trace.status for trace in traces] == ["ok"] * 3
    answers = [message.text for message in state["messages"] if message.type == "ai"]
    assert sorted(answers) == sorted(trace.text for trace in traces) and len(set(answers)) == 3


@pytest.mark.parametrize("checkpointer", [None, True, False])
async def test_each_turn_of_a_thread_is_a_run_of_its_own(office: Office, checkpointer: bool | None) -> None:
    app = parent(office.mind(), checkpointer=checkpointer).compile(checkpointer=InMemorySaver())
    for turn in (1, 2):
        await app.ainvoke(asking(f"Question {turn}?"), CONFIG, context=DEBATED)
    traces = [await office.store.get(summary.trace_id) for summary in await office.store.list()]
    assert {trace.question for trace in traces} == {"Question 1?", "Question 2?"}
    assert [trace.status for trace in traces] == ["ok", "ok"]


@pytest.mark.parametrize("saver", [None, InMemorySaver()])
async def test_a_node_that_is_retried_decides_the_same_and_is_credited_once(
    office: Office, saver: Any
) -> None:
    failures = [ConnectionError("scripted"), ConnectionError("scripted")]

    def build(kit: Any) -> Any:
        async def ask_twice(state: Any, config: RunnableConfig) -> Any:
            sends = [kit.task(state, seat, task="alone", is_last=True) for seat in (0, 1)]
            updates = await asyncio.gather(*(kit.agent.ainvoke(send.arg, config) for send in sends))
            if failures:
                raise failures.pop()
            return {"drafts": [draft for update in updates for draft in update["drafts"]]}

        graph = kit.new_graph()
        policy = RetryPolicy(initial_interval=0.0, jitter=False)
        graph.add_node("ask", RunnableLambda(_sync_is_not_used, afunc=ask_twice), retry_policy=policy)
        graph.add_node("close", kit.close)
        graph.add_edge(START, "ask")
        graph.add_edge("ask", "close")
        graph.add_edge("close", END)
        return graph

    office.registry = own(build)
    app = parent(office.mind()).compile(checkpointer=saver)
    await app.ainvoke(asking(), CONFIG, context=OWN)
    trace = await office.only_trace()
    assert trace.status == "ok" and len(office.wire.asked) == 6
    assert [decision.kind for decision in trace.decisions] == ["plan", "step", "step"]
    assert sorted(step.position for step in trace.steps) == [0, 1]
    assert [step.decision_id for step in sorted(trace.steps, key=lambda step: step.step_id)] == [
        decision.decision_id for decision in trace.decisions[1:]
    ]
    assert len(trace.metadata["inframind"]["replaced"]) == 4


def _sync_is_not_used(state: Any) -> Any:
    raise NotImplementedError


async def test_calls_that_resume_side_by_side_go_on_with_one_trace(office: Office) -> None:
    def build(kit: Any) -> Any:
        def wait(state: Any) -> Any:
            interrupt("go?")
            return {}

        def everyone(state: Any) -> list[Send]:
            return [kit.task(state, seat, task="alone", is_last=True) for seat in range(2)]

        graph = kit.new_graph()
        graph.add_node("wait", wait)
        graph.add_node(AGENT, kit.agent)
        graph.add_node("close", kit.close)
        graph.add_edge(START, "wait")
        graph.add_conditional_edges("wait", everyone, [AGENT])
        graph.add_edge(AGENT, "close")
        graph.add_edge("close", END)
        return graph

    office.registry = own(build)
    saver = InMemorySaver()
    await parent(office.mind()).compile(checkpointer=saver).ainvoke(asking(), CONFIG, context=OWN)
    await parent(office.mind()).compile(checkpointer=saver).ainvoke(Command(resume=1), CONFIG, context=OWN)
    trace = await office.only_trace()
    assert [decision.kind for decision in trace.decisions] == ["plan", "step", "step"]
    assert sorted(step.step_id for step in trace.steps) == [0, 1]


async def test_a_fleet_that_changed_meanwhile_is_decided_on_anew(office: Office) -> None:
    saver = InMemorySaver()
    await parent(office.mind()).compile(checkpointer=saver).ainvoke(asking(), CONFIG, context=APPROVED)
    before = await office.only_trace()
    app = parent(office.mind(models=2)).compile(checkpointer=saver)
    await app.ainvoke(Command(resume="yes"), CONFIG, context=APPROVED)
    after = await office.only_trace()
    assert after.status == "ok" and len(after.decisions) == 3
    assert after.decisions[1].decision_id == before.decisions[1].decision_id
    assert {action.split("/")[0] for action in after.decisions[1].actions} == {"m0", "m1"}
    assert after.steps[0].model in ("m0", "m1") and len(after.steps) == 2


@dataclass
class SlowStore(MemoryStore):
    """Does not finish to store an open trace before the test says so; remembers how each was stored."""

    begun: asyncio.Event = field(default_factory=asyncio.Event)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    stored: list[tuple[str, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    async def put(self, trajectory: Trajectory) -> None:
        if trajectory.status == "open":
            self.begun.set()
            await self.gate.wait()
        self.stored.append((trajectory.status, len(trajectory.steps)))
        await super().put(trajectory)


async def test_no_call_waits_for_the_store_and_the_end_of_the_run_is_stored_last(office: Office) -> None:
    office.store = store = SlowStore()

    async def answer_the_first_during_a_write_and_let_it_end_with_the_last() -> None:
        await store.begun.wait()
        if len(office.wire.asked) == 3:
            store.gate.set()

    office.wire.on_asked = answer_the_first_during_a_write_and_let_it_end_with_the_last
    app = parent(office.mind()).compile(checkpointer=InMemorySaver())
    async with asyncio.timeout(60):
        await app.ainvoke(asking(), CONFIG, context=RouteContext(topology="Chain", team_size=3))
    assert store.stored[-1] == ("ok", 3)
    assert {status for status, _ in store.stored[:-1]} == {"open"}


async def test_a_run_is_in_the_store_while_it_goes_on(office: Office) -> None:
    seen: list[tuple[str, int]] = []

    def build(kit: Any) -> Any:
        async def look(state: Any) -> Any:
            await mind._services.drain()
            trace = await office.only_trace()
            seen.append((trace.status, len(trace.steps)))
            return {}

        graph = kit.new_graph()
        graph.add_node(AGENT, kit.agent)
        graph.add_node("look", look)
        graph.add_node("close", kit.close)
        graph.add_conditional_edges(START, lambda state: [kit.task(state, 0, task="alone")], [AGENT])
        graph.add_edge(AGENT, "look")
        graph.add_edge("look", "close")
        graph.add_edge("close", END)
        return graph

    office.registry = own(build)
    mind = office.mind()
    await parent(mind).compile(checkpointer=InMemorySaver()).ainvoke(asking(), CONFIG, context=OWN)
    assert seen == [("open", 1)]


@dataclass
class FullStore(MemoryStore):
    """Has no room for open traces."""

    asked: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        super().__init__()

    async def put(self, trajectory: Trajectory) -> None:
        if trajectory.status == "open":
            self.asked.set()
            raise StoreError("write", "disk full")
        await super().put(trajectory)


async def test_a_store_that_fails_meanwhile_is_told_of_and_the_run_goes_on(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    office.store = store = FullStore()
    office.wire.on_asked = store.asked.wait
    app = parent(office.mind()).compile(checkpointer=InMemorySaver())
    await app.ainvoke(asking(), CONFIG, context=DEBATED)
    assert (await office.only_trace()).status == "ok"
    assert any("disk full" in record.getMessage() for record in caplog.records)


async def test_an_interrupt_without_a_checkpointer_ends_the_run(office: Office) -> None:
    await office.mind().graph().compile().ainvoke(asking(), context=APPROVED)
    trace = await office.only_trace()
    assert (trace.status, trace.error, len(trace.steps)) == ("cancelled", "GraphInterrupt", 1)


async def test_the_key_of_the_runs_own_records_is_not_for_callers(office: Office) -> None:
    context = RouteContext(metadata={"inframind": 1})
    with pytest.raises(ConfigError, match="choose another key"):
        await office.mind().graph().compile().ainvoke(asking(), context=context)


async def test_a_breakpoint_of_the_applications_own_is_resumed_with_one_trace(office: Office) -> None:
    graph = office.mind().graph().compile(checkpointer=InMemorySaver(), interrupt_before=["respond"])
    waiting = await graph.ainvoke(asking(), CONFIG, context=DEBATED)
    assert "inframind" not in waiting
    state = await graph.ainvoke(None, CONFIG, context=DEBATED)
    trace = await office.only_trace()
    assert (trace.status, state["messages"][-1].text) == ("ok", trace.text)
    assert [decision.kind for decision in trace.decisions].count("plan") == 1


async def test_a_run_that_failed_is_resumed_under_its_trace(office: Office) -> None:
    down = [True]

    def build(kit: Any) -> Any:
        def flaky(state: Any) -> Any:
            if down:
                raise ZeroDivisionError
            return {}

        graph = kit.new_graph()
        graph.add_node(AGENT, kit.agent)
        graph.add_node("flaky", flaky)
        graph.add_node("close", kit.close)
        graph.add_conditional_edges(START, lambda state: [kit.task(state, 0, task="alone")], [AGENT])
        graph.add_edge(AGENT, "flaky")
        graph.add_edge("flaky", "close")
        graph.add_edge("close", END)
        return graph

    office.registry = own(build)
    app = parent(office.mind()).compile(checkpointer=InMemorySaver())
    with pytest.raises(ZeroDivisionError):
        await app.ainvoke(asking(), CONFIG, context=OWN)
    failed = await office.only_trace()
    down.clear()
    await app.ainvoke(None, CONFIG, context=OWN)
    ended = await office.only_trace()
    assert (failed.status, ended.status, ended.error) == ("failed", "ok", "")
    assert decided(ended) == decided(failed) and ended.steps == failed.steps


async def test_a_finished_run_keeps_nothing_in_memory(office: Office) -> None:
    mind, saver = office.mind(), InMemorySaver()
    app = parent(mind).compile(checkpointer=saver)
    await app.ainvoke(asking(), CONFIG, context=APPROVED)
    services = mind._services
    assert services._runs == {} and services._journal.pending() == (), "waiting for a person costs no memory"
    await app.ainvoke(Command(resume="yes"), CONFIG, context=APPROVED)
    assert services._runs == {} and services._journal.pending() == ()
