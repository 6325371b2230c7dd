"""Which run a call belongs to: one deadline and one trace for all the calls of a run."""

from __future__ import annotations

import asyncio
import time
import uuid
from contextlib import aclosing, suppress
from itertools import pairwise
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, Send, interrupt

from inframind.errors import ConfigError, DeadlineExceeded, InvalidBudget
from inframind.plugin.calls.asked import AskedCall
from inframind.plugin.calls.site import CallSite, KnowsRuns
from inframind.plugin.graphs.live_runs import LiveRuns, RunTerms
from inframind.plugin.graphs.tracker import budgeted
from inframind.plugin.mind import InfraMind
from inframind.router.recorded_views import decided_at_s


class Handlers(BaseCallbackHandler):
    """Nothing but a place among the handlers."""


def scope_in(config: RunnableConfig) -> Any:
    """What a model that is called under this config learns of its run, as `ChatInfraMind` asks for it."""
    manager: Any = config["callbacks"]
    knowing = [handler for handler in manager.handlers if isinstance(handler, KnowsRuns)]
    found = [handler.scope_of(uuid.uuid4(), manager.parent_run_id) for handler in knowing]
    return next((scope for scope in found if scope is not None), None)


def ask(mind: InfraMind, config: RunnableConfig, prompt: str, node: str) -> Any:
    """A routed call, made as the chat model makes it."""
    asked = AskedCall(messages=[{"role": "user", "content": prompt}], question=prompt)
    return mind.calls.call(asked, CallSite(node=node, scope=scope_in(config)))


def calling(mind: InfraMind, node: str) -> Any:
    """A node that makes one routed call."""

    async def run(state: Any, config: RunnableConfig) -> Any:
        routed = await ask(mind, config, f"{node}: {state['question']}", node)
        return {"notes": [routed.completion.text]}

    return run


def line(mind: InfraMind, notes: Any, *names: str) -> Any:
    """Nodes one after the other."""
    builder = StateGraph(notes)
    for name in names:
        builder.add_node(name, calling(mind, name))
    builder.add_edge(START, names[0])
    for before, after in pairwise(names):
        builder.add_edge(before, after)
    return builder


async def test_a_run_is_one_trace_with_one_deadline(follow: Any, notes: Any) -> None:
    followed = await follow()
    graph = line(followed.mind, notes, "plan", "draft", "check").compile(name="writer")
    tracked = budgeted(graph, followed.live, budget_s=30)
    run_id = uuid.uuid4()
    result = await tracked.ainvoke({"question": "Why?", "notes": []}, {"run_id": run_id})
    assert [note.strip() for note in result["notes"]] == ["<plan: Why?>", "<draft: Why?>", "<check: Why?>"]
    trace = await followed.trace()
    assert (trace.trace_id, trace.question, trace.budget_s) == (run_id.hex, "Why?", 30.0)
    assert [step.node for step in trace.steps] == ["plan", "draft", "check"]
    assert [step.parents for step in trace.steps] == [(), (0,), (1,)]
    assert (trace.status, len(trace.decisions), trace.metadata["graph"]) == ("ok", 3, "writer")
    remaining = [decision.seen["run_remaining_s"] for decision in trace.decisions]
    assert remaining == sorted(remaining, reverse=True) and remaining[0] <= 30


async def test_the_graph_keeps_its_type_and_its_own_callbacks(follow: Any, notes: Any) -> None:
    followed = await follow()
    own = Handlers()
    graph = line(followed.mind, notes, "n").compile().with_config(callbacks=[own])
    tracked = budgeted(graph, followed.live)
    assert type(tracked) is type(graph)
    assert tracked.config["callbacks"][0] is own and len(tracked.config["callbacks"]) == 2
    assert graph.config["callbacks"] == [own]


async def test_parallel_branches_and_subgraphs_are_one_run(follow: Any, notes: Any) -> None:
    followed = await follow()
    inner = line(followed.mind, notes, "inner").compile(name="inner graph")
    builder = line(followed.mind, notes, "plan")
    builder.add_node("branch", calling(followed.mind, "branch")).add_node("sub", inner)
    builder.add_conditional_edges("plan", lambda state: [Send("branch", state) for _ in range(5)])
    builder.add_edge("branch", "sub")
    tracked = budgeted(builder.compile(), followed.live, budget_s=30)
    await tracked.ainvoke({"question": "Why?", "notes": []})
    trace = await followed.trace()
    assert sorted(step.node for step in trace.steps) == [*["branch"] * 5, "inner", "plan"]
    assert len({step.step_id for step in trace.steps}) == 7


async def test_concurrent_runs_are_kept_apart(follow: Any, notes: Any) -> None:
    followed = await follow()
    tracked = budgeted(line(followed.mind, notes, "a", "b").compile(), followed.live)
    await asyncio.gather(*(tracked.ainvoke({"question": f"q{i}", "notes": []}) for i in range(12)))
    traces = await followed.traces()
    assert sorted(trace.question for trace in traces) == sorted(f"q{i}" for i in range(12))
    for trace in traces:
        assert [step.text.strip() for step in trace.steps] == [
            f"<a: {trace.question}>",
            f"<b: {trace.question}>",
        ]


async def test_a_synchronous_graph_in_threads_is_tracked_too(follow: Any, notes: Any) -> None:
    followed = await follow()
    mind = followed.mind

    def node(state: Any, config: RunnableConfig) -> Any:
        routed = mind.portal.run(ask(mind, config, state["question"], "branch"))
        return {"notes": [routed.completion.text]}

    builder = StateGraph(notes).add_node("branch", node)
    builder.add_conditional_edges(START, lambda state: [Send("branch", state) for _ in range(4)])
    tracked = budgeted(builder.compile(), followed.live)

    def run() -> None:
        for number in range(3):
            tracked.invoke({"question": f"q{number}", "notes": []})

    await asyncio.gather(*(asyncio.to_thread(run) for _ in range(3)))
    traces = await followed.traces()
    assert len(traces) == 9 and {len(trace.steps) for trace in traces} == {4}


async def test_an_interrupt_stops_the_clock_and_a_resume_goes_on(follow: Any, notes: Any) -> None:
    clock = SettableClock()
    followed = await follow(clock=clock)
    builder = line(followed.mind, notes, "plan")

    async def confirm(state: Any, config: RunnableConfig) -> Any:
        said = interrupt("go on?")
        routed = await ask(followed.mind, config, said, "confirm")
        return {"notes": [routed.completion.text]}

    builder.add_node("confirm", confirm).add_edge("plan", "confirm")
    tracked = budgeted(builder.compile(InMemorySaver()), followed.live, budget_s=30)
    run_id, config = uuid.uuid4(), {"configurable": {"thread_id": "t"}}
    await tracked.ainvoke({"question": "Why?", "notes": []}, {**config, "run_id": run_id})
    waiting = await followed.trace()
    assert (waiting.trace_id, waiting.status, len(waiting.steps)) == (run_id.hex, "open", 1)
    clock.skipped_s += 3_600
    resumed_id = uuid.uuid4()
    await tracked.ainvoke(Command(resume="yes"), {**config, "run_id": resumed_id})
    trace = await followed.trace()
    assert (trace.trace_id, trace.status, trace.budget_s) == (run_id.hex, "ok", 30.0)
    assert [step.node for step in trace.steps] == ["plan", "confirm"]
    assert trace.latency_s < 30 and trace.metadata["inframind"]["waited_s"] >= 3_600
    plan, confirm = (decided_at_s(trace, decision) - trace.arrived_at_s for decision in trace.decisions)
    assert plan < 30 and confirm >= 3_600
    for alias in (f"run:{resumed_id.hex}", "thread:t"):
        assert await followed.mind.store.trace_of(alias) == run_id.hex


async def test_a_new_message_in_an_interrupted_thread_is_a_new_run(follow: Any, notes: Any) -> None:
    followed = await follow()
    builder = line(followed.mind, notes, "plan", "check")
    graph = builder.compile(InMemorySaver(), interrupt_before=["check"])
    tracked = budgeted(graph, followed.live)
    config = {"configurable": {"thread_id": "t"}}
    await tracked.ainvoke({"question": "one", "notes": []}, config)
    await tracked.ainvoke({"question": "two", "notes": []}, config)
    await tracked.ainvoke(None, config)
    one, two = await followed.traces()
    assert (one.question, one.status, len(one.steps)) == ("one", "open", 1)
    assert (two.question, two.status, len(two.steps)) == ("two", "ok", 2)


class Passed:
    """A graph that waits for a person or fails between two calls, as the test says."""

    def __init__(self, followed: Any, notes: Any, *, checkpointer: Any) -> None:
        self.does = "wait"
        builder = line(followed.mind, notes, "before").add_node("check", self._check)
        builder.add_edge("before", "check")

        async def after(state: Any, config: RunnableConfig) -> Any:
            return {"notes": [(await ask(followed.mind, config, "Why?", "after")).completion.text]}

        builder.add_node("after", after).add_edge("check", "after")
        self._graph = budgeted(builder.compile(checkpointer), followed.live)

    def _check(self, state: Any) -> Any:
        if self.does == "wait":
            interrupt("go on?")
        if self.does == "fail":
            raise LookupError("theirs")
        return {}

    async def run(self, does: str, asked: Any) -> None:
        self.does = does
        with suppress(LookupError):
            await self._graph.ainvoke(asked, {"configurable": {"thread_id": "t"}})


async def test_a_failed_run_that_is_resumed_is_not_taken_for_one_that_waited_before(
    follow: Any, notes: Any
) -> None:
    followed = await follow()
    graph = Passed(followed, notes, checkpointer=InMemorySaver())
    await graph.run("wait", {"question": "one", "notes": []})
    await graph.run("fail", {"question": "two", "notes": []})
    await graph.run("go", None)
    waited, failed, resumed = await followed.traces()
    assert (waited.status, [step.node for step in waited.steps]) == ("open", ["before"])
    assert (failed.status, resumed.status) == ("failed", "ok")
    assert [step.node for step in resumed.steps] == ["after"]


async def test_a_run_that_waits_is_resumed_after_another_graph_of_its_name_and_thread_has_run(
    follow: Any, notes: Any
) -> None:
    followed = await follow()
    graph, other = (Passed(followed, notes, checkpointer=InMemorySaver()) for _ in range(2))
    await graph.run("wait", {"question": "one", "notes": []})
    await other.run("go", {"question": "two", "notes": []})
    await graph.run("go", Command(resume="yes"))
    one, two = await followed.traces()
    assert [(trace.status, trace.question, len(trace.steps)) for trace in (one, two)] == [
        ("ok", "one", 2),
        ("ok", "two", 2),
    ]


async def test_an_interrupt_that_nobody_can_resume_ends_the_run(follow: Any, notes: Any) -> None:
    followed = await follow()
    builder = line(followed.mind, notes, "plan").add_node("wait", lambda state: interrupt("go on?"))
    graph = budgeted(builder.add_edge("plan", "wait").compile(), followed.live)
    await graph.ainvoke({"question": "Why?", "notes": []})
    trace = await followed.trace()
    assert (trace.status, len(trace.steps)) == ("cancelled", 1)
    assert "nobody can resume it" in trace.error_detail


async def test_an_invocation_may_have_another_budget(follow: Any, notes: Any) -> None:
    followed = await follow()
    inner = line(followed.mind, notes, "inner").compile()
    graph = line(followed.mind, notes, "plan").add_node("sub", inner).add_edge("plan", "sub").compile()
    tracked = budgeted(graph, followed.live, budget_s=30)
    await tracked.ainvoke({"question": "Why?", "notes": []}, {"metadata": {"inframind_budget_s": 5}})
    trace = await followed.trace()
    assert trace.budget_s == 5.0
    assert all(decision.seen["run_remaining_s"] <= 5 for decision in trace.decisions)


@pytest.mark.parametrize("budget_s", [0, -1, float("nan"), float("inf"), "5", True])
async def test_an_impossible_budget_is_refused_before_the_first_node(
    follow: Any, notes: Any, budget_s: Any
) -> None:
    followed = await follow()
    graph = line(followed.mind, notes, "n").compile()
    with pytest.raises(InvalidBudget):
        budgeted(graph, followed.live, budget_s=budget_s)
    tracked = budgeted(graph, followed.live)
    with pytest.raises(InvalidBudget):
        await tracked.ainvoke({"question": "", "notes": []}, {"metadata": {"inframind_budget_s": budget_s}})
    assert followed.asked() == [] and await followed.traces() == []


async def test_a_hard_budget_fails_calls_once_it_is_spent(follow: Any, notes: Any) -> None:
    clock = SettableClock()
    followed = await follow(clock=clock)

    async def slow(state: Any) -> Any:
        clock.skipped_s += 31

    builder = line(followed.mind, notes, "plan").add_node("slow", slow).add_edge("plan", "slow")
    builder.add_node("late", calling(followed.mind, "late")).add_edge("slow", "late")
    with pytest.raises(DeadlineExceeded):
        await budgeted(builder.compile(), followed.live, budget_s=30, hard=True).ainvoke(
            {"question": "Why?", "notes": []}
        )
    trace = await followed.trace()
    assert (trace.status, trace.error, len(followed.asked())) == ("failed", "DeadlineExceeded", 1)


async def test_a_run_that_is_cancelled_ends(follow: Any, notes: Any) -> None:
    followed = await follow()
    waiting = asyncio.Event()

    async def hang(state: Any) -> Any:
        waiting.set()
        await asyncio.Event().wait()

    builder = line(followed.mind, notes, "plan").add_node("hang", hang).add_edge("plan", "hang")
    task = asyncio.create_task(
        budgeted(builder.compile(), followed.live).ainvoke({"question": "Why?", "notes": []})
    )
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await followed.trace()).status == "cancelled"
    assert followed.live.in_memory == 0


async def test_a_failing_node_fails_the_run_with_the_applications_own_error(follow: Any, notes: Any) -> None:
    followed = await follow()

    async def fail(state: Any) -> Any:
        raise LookupError("theirs")

    builder = line(followed.mind, notes, "plan").add_node("fail", fail).add_edge("plan", "fail")
    with pytest.raises(LookupError, match="theirs"):
        await budgeted(builder.compile(), followed.live).ainvoke({"question": "Why?", "notes": []})
    trace = await followed.trace()
    assert (trace.status, trace.error, len(trace.steps)) == ("failed", "LookupError", 1)


async def test_a_run_without_a_call_leaves_no_trace(follow: Any, notes: Any) -> None:
    followed = await follow()
    graph = StateGraph(notes).add_node("n", lambda state: {"notes": ["x"]}).add_edge(START, "n").compile()
    await budgeted(graph, followed.live).ainvoke({"question": "Why?", "notes": []})
    assert await followed.traces() == []


async def test_the_budget_around_a_graph_holds_inside_it(follow: Any, notes: Any) -> None:
    followed = await follow()
    tracked = budgeted(line(followed.mind, notes, "a").compile(), followed.live, budget_s=30)
    with followed.mind.run("all of it", budget_s=9) as scope:
        await tracked.ainvoke({"question": "one", "notes": []})
        await tracked.ainvoke({"question": "two", "notes": []})
    await followed.mind.calls.services.drain()
    trace = await followed.trace()
    assert (trace.trace_id, trace.budget_s, len(trace.steps)) == (scope.trace_id, 9.0, 2)


async def test_a_tracked_graph_inside_a_tracked_graph_is_the_same_run(follow: Any, notes: Any) -> None:
    followed = await follow()
    inner = budgeted(line(followed.mind, notes, "inner").compile(), followed.live, budget_s=5)
    graph = line(followed.mind, notes, "plan").add_node("sub", inner).add_edge("plan", "sub").compile()
    await budgeted(graph, followed.live, budget_s=30).ainvoke({"question": "Why?", "notes": []})
    trace = await followed.trace()
    assert (trace.budget_s, [step.node for step in trace.steps]) == (30.0, ["plan", "inner"])


async def test_invocations_that_name_a_trace_share_it(follow: Any, notes: Any) -> None:
    followed = await follow()
    tracked = budgeted(line(followed.mind, notes, "a").compile(), followed.live)
    named = uuid.uuid4()
    for question in ("one", "two"):
        await tracked.ainvoke(
            {"question": question, "notes": []}, {"metadata": {"inframind_trace_id": str(named)}}
        )
        await followed.settled()
    trace = await followed.trace()
    assert (trace.trace_id, trace.status) == (named.hex, "ok")
    assert [step.text.strip() for step in trace.steps] == ["<a: one>", "<a: two>"]
    with pytest.raises(ConfigError):
        await tracked.ainvoke({"question": "", "notes": []}, {"metadata": {"inframind_trace_id": "mine"}})


async def test_nothing_stays_in_memory_once_runs_have_ended(follow: Any, notes: Any) -> None:
    followed = await follow()
    tracked = budgeted(line(followed.mind, notes, "a").compile(), followed.live)
    for _ in range(20):
        await tracked.ainvoke({"question": "Why?", "notes": []})
    async with aclosing(tracked.astream({"question": "left", "notes": []})) as parts:
        async for _ in parts:
            break
    assert followed.live.in_memory == 0


async def test_runs_that_never_end_are_forgotten_oldest_first(follow: Any) -> None:
    followed = await follow()
    live = LiveRuns(followed.mind.calls, followed.mind.portal, kept=3)
    roots = [uuid.uuid4() for _ in range(5)]
    for root in roots:
        live.begin(root, {}, {}, "g", RunTerms())
        live.join(uuid.uuid4(), root)
    assert [live.of(root, None) is not None for root in roots] == [False, False, True, True, True]
    assert live.in_memory == 6


class SettableClock:
    """The machine's clock, from which a test skips time."""

    def __init__(self) -> None:
        self.skipped_s = 0.0

    def now_s(self) -> float:
        return time.monotonic() + self.skipped_s

    def wall_s(self) -> float:
        return time.time() + self.skipped_s
