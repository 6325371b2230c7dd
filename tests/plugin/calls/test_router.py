"""Single calls of applications, over real sockets: decided, sent, recorded, stored."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from inframind.errors import ConfigError, DeadlineExceeded, EndpointError, FleetExhausted, UnknownModel
from inframind.plugin.calls.asked import AUTO
from inframind.plugin.calls.router import CallRouter
from inframind.plugin.calls.runs import Runs
from inframind.plugin.calls.site import CallSite
from inframind.router.latency import estimate_tokens
from inframind.router.recorded_views import RecordedViews
from inframind.traces.figures import run_of

RUN = "0123456789abcdef" * 2
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}


def site(**values: Any) -> CallSite:
    return CallSite(**values)


@pytest.fixture
async def mind(make_mind: Any, say: Any, clock: Any) -> Any:
    return await make_mind(say(lambda asked: "one"), say(lambda asked: "two"), clock=clock)


def asked_of(mind: Any) -> list[int]:
    return [len(server.asked) for server in mind.servers]


async def stored(mind: Any, trace_id: str = "") -> Any:
    if trace_id:
        return await mind.store.get(trace_id)
    (summary,) = await mind.store.list()
    return await mind.store.get(summary.trace_id)


async def test_a_call_outside_any_run_is_a_trace_of_its_own(mind: Any, ask: Any) -> None:
    routed = await mind.calls.call(ask(), site(node="draft", role="Writer", call_id=RUN, metadata={"k": 1}))
    trace = await stored(mind)
    (decision,), (step,) = trace.decisions, trace.steps
    assert (trace.trace_id, trace.status, trace.question, trace.metadata) == (
        RUN,
        "ok",
        "How many?",
        {"k": 1},
    )
    assert (step.node, step.role, step.model, step.text) == (
        "draft",
        "Writer",
        decision.choice["model"],
        trace.text,
    )
    assert routed.account == {
        "trace_id": RUN,
        "decision_id": decision.decision_id,
        "model": step.model,
        "strategy": step.strategy,
        "probability": decision.probability,
        "policy": decision.policy,
        "policy_version": decision.policy_version,
        "endpoint": step.endpoint,
    }
    assert decision.seen["node"] == "draft" and "share_s" not in decision.seen


async def test_a_call_with_another_question_than_its_run_is_recorded_with_its_own_domain(
    mind: Any, ask: Any
) -> None:
    code = "Write a Python function that adds two numbers:\n```python\ndef add(a, b):\n```"
    for text in ("Tell me about the sea.", code, "Tell me about the sea."):
        await mind.calls.call(ask(text), site(trace_id=RUN))
    trace = await stored(mind, RUN)
    views = [step.view for step in RecordedViews(mind.calls.services.decider.actions).steps(trace)]
    assert trace.domain == "general"
    assert [view.query.domain for view in views] == ["general", "code", "general"]
    assert [view.query.prompt_tokens for view in views] == [
        estimate_tokens([text]) for text in ("Tell me about the sea.", code, "Tell me about the sea.")
    ]
    assert "domain" not in trace.decisions[0].seen


@pytest.mark.parametrize("model", ["m0", "m1"])
async def test_a_caller_who_names_a_model_gets_it(mind: Any, ask: Any, model: str) -> None:
    routed = await mind.calls.call(ask(model=model), site())
    assert routed.account["model"] == model
    assert asked_of(mind) == [int(model == "m0"), int(model == "m1")]
    reasons = (await stored(mind)).decisions[0].masked
    assert reasons.count("not asked for") == len(reasons) - 1


async def test_nothing_is_added_to_an_application_s_own_prompts(mind: Any, ask: Any) -> None:
    routed = await mind.calls.call(ask("As it is."), site())
    (asked,) = [asked for server in mind.servers for asked in server.asked]
    assert asked.body["messages"] == [{"role": "user", "content": "As it is."}]
    assert routed.account["strategy"] == "Plain" and "temperature" not in asked.body


async def test_a_strategy_that_is_asked_for_adds_its_instruction(mind: Any, ask: Any) -> None:
    routed = await mind.calls.call(ask("Say.", strategy="Flash"), site())
    (asked,) = [asked for server in mind.servers for asked in server.asked]
    instruction = mind.calls.services.decider.actions.strategies["Flash"].instruction
    assert asked.prompt == f"Say.\n\n{instruction}"
    assert routed.account["strategy"] == "Flash" and asked.step["strategy"] == "Flash"


@pytest.mark.parametrize("full", [{"tools": [TOOL]}, {"response_format": {"type": "json_object"}}])
async def test_beside_tools_and_fixed_forms_there_is_no_room_for_a_strategy(
    mind: Any, ask: Any, full: dict[str, Any]
) -> None:
    routed = await mind.calls.call(ask("Say.", strategy=AUTO, **full), site())
    (asked,) = [asked for server in mind.servers for asked in server.asked]
    assert (asked.prompt, routed.account["strategy"]) == ("Say.", "Plain")
    assert {name: asked.body[name] for name in full} == full


async def test_with_room_all_strategies_are_candidates(mind: Any, ask: Any) -> None:
    await mind.calls.call(ask(strategy=AUTO), site())
    assert "not asked for" not in (await stored(mind)).decisions[0].masked


@pytest.mark.parametrize(
    ("wrong", "error"), [({"model": "gpt-9"}, UnknownModel), ({"strategy": "Loud"}, ConfigError)]
)
async def test_a_name_that_there_is_not_fails_before_anything_is_sent(
    mind: Any, ask: Any, wrong: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error) as caught:
        await mind.calls.call(ask(**wrong), site(call_id=RUN))
    assert (asked_of(mind), await mind.store.count(), caught.value.trace_id) == ([0, 0], 0, "")


async def test_a_callers_mistake_leaves_a_run_that_is_joined_as_it_was(mind: Any, ask: Any) -> None:
    await mind.calls.call(ask(), site(trace_id=RUN))
    with pytest.raises(UnknownModel):
        await mind.calls.call(ask(model="gpt-9"), site(trace_id=RUN))
    trace = await stored(mind, RUN)
    assert (trace.status, len(trace.steps), len(trace.decisions)) == ("ok", 1, 1)


@pytest.mark.parametrize("calls_before", [0, 1])
async def test_a_callers_mistake_is_no_failure_of_the_block_that_it_ends(
    mind: Any, ask: Any, calls_before: int
) -> None:
    with pytest.raises(UnknownModel):
        async with mind.run(trace_id=RUN):
            for _ in range(calls_before):
                await mind.calls.call(ask(), site())
            await mind.calls.call(ask(model="gpt-9"), site())
    assert await mind.store.count() == calls_before
    if calls_before:
        trace = await stored(mind, RUN)
        assert (trace.status, trace.error, len(trace.steps)) == ("cancelled", "UnknownModel", 1)
        assert not run_of(trace).counts


async def test_what_only_some_models_can_do_goes_to_them(
    make_mind: Any, serve: Any, say: Any, ask: Any
) -> None:
    servers = [await serve(say(lambda asked: "ok")) for _ in range(2)]
    endpoints = [
        {
            "name": f"e{k}",
            "base_url": server.base_url,
            "model": f"m{k}",
            "metrics": False,
            "size_b": 3 + 20 * k,
        }
        for k, server in enumerate(servers)
    ]
    endpoints[1]["capabilities"] = ["tools"]
    mind = await make_mind(settings={"endpoints": endpoints})
    routed = await mind.calls.call(ask(tools=[TOOL], needs=frozenset({"tools"})), site())
    assert routed.account["model"] == "m1"
    decision = (await stored(mind)).decisions[0]
    assert decision.seen["needs"] == ["tools"] and "capability missing" in decision.masked


async def test_what_no_model_says_that_it_can_do_is_left_to_the_server(mind: Any, ask: Any) -> None:
    await mind.calls.call(ask(tools=[TOOL], needs=frozenset({"tools"})), site())
    decision = (await stored(mind)).decisions[0]
    assert decision.seen["needs"] == ["tools"] and "capability missing" not in decision.masked


# Runs -------------------------------------------------------------------------------------------------------


async def test_calls_of_one_run_share_a_trace_and_know_what_they_followed(mind: Any, ask: Any) -> None:
    with mind.run("the task", budget_s=30, metadata={"user": "u"}) as run:
        await mind.calls.call(ask("plan"), site(node="plan"))
        await asyncio.gather(*(mind.calls.call(ask(f"work {k}"), site(node="work")) for k in range(3)))
        assert (await mind.store.get(run.trace_id)).status == "open"
        await mind.calls.call(ask("write"), site(node="write"))
    await mind.calls.services.drain()
    trace = await stored(mind)
    assert (trace.trace_id, trace.status, trace.question, trace.budget_s) == (
        run.trace_id,
        "ok",
        "the task",
        30.0,
    )
    assert trace.metadata["user"] == "u" and len({d.decision_id for d in trace.decisions}) == 5
    parents = {step.step_id: (step.node, step.parents) for step in trace.steps}
    assert parents == {
        0: ("plan", ()),
        1: ("work", (0,)),
        2: ("work", (0,)),
        3: ("work", (0,)),
        4: ("write", (1, 2, 3)),
    }
    assert trace.final_step_id == 4


async def test_calls_that_name_a_run_join_it_and_another_process_goes_on_with_it(mind: Any, ask: Any) -> None:
    await mind.calls.call(ask("first", budget_s=40), site(trace_id=RUN, node="a"))
    await mind.calls.call(ask("second", budget_s=5), site(trace_id=RUN, node="b"))
    other = CallRouter(mind.calls.services, Runs(mind.calls.services))
    await other.call(ask("third"), site(trace_id=RUN, node="c"))
    trace = await stored(mind)
    assert (trace.trace_id, trace.question, trace.budget_s, trace.status) == (RUN, "first", 40.0, "ok")
    assert [(step.step_id, step.node, step.parents) for step in trace.steps] == [
        (0, "a", ()),
        (1, "b", (0,)),
        (2, "c", (1,)),
    ]
    assert [decision.decision_id for decision in trace.decisions] == [f"{RUN}-{k}" for k in range(3)]


async def test_a_run_that_breaks_off_is_stored_as_failed(mind: Any, ask: Any) -> None:
    with pytest.raises(ZeroDivisionError), mind.run():
        await mind.calls.call(ask(), site())
        raise ZeroDivisionError
    await mind.calls.services.drain()
    trace = await stored(mind)
    assert (trace.status, trace.error, len(trace.steps)) == ("failed", "ZeroDivisionError", 1)


# Budgets ----------------------------------------------------------------------------------------------------


async def test_after_a_soft_budget_the_fastest_choice_is_made_and_the_run_is_late(
    mind: Any, ask: Any, clock: Any
) -> None:
    with mind.run(budget_s=10):
        await mind.calls.call(ask(strategy=AUTO), site())
        clock.ahead_s += 11
        routed = await mind.calls.call(ask(strategy=AUTO), site())
    await mind.calls.services.drain()
    trace = await stored(mind)
    decision = trace.decisions[1]
    allowed = [place for place, reason in enumerate(decision.masked) if not reason]
    assert allowed == [decision.chosen]
    assert decision.latency_q90_s[decision.chosen] == min(decision.latency_q90_s)
    assert (trace.status, trace.steps[1].error, routed.completion.text) == ("late", "", trace.text)
    # Both models are alike: which of them is a matter of chance.
    assert decision.seen["degraded"].endswith(f"/{trace.decisions[0].choice['strategy']}")
    assert "degraded" not in trace.decisions[0].seen


async def test_after_a_hard_budget_nothing_is_sent(mind: Any, ask: Any, clock: Any) -> None:
    with pytest.raises(DeadlineExceeded) as caught, mind.run(budget_s=10, hard=True) as run:
        await mind.calls.call(ask(), site())
        clock.ahead_s += 11
        await mind.calls.call(ask(), site())
    await mind.calls.services.drain()
    assert caught.value.trace_id == run.trace_id and sum(asked_of(mind)) == 1
    assert [step.error for step in (await stored(mind)).steps] == ["", "DeadlineExceeded"]


async def test_a_hard_budget_cuts_a_call_that_hangs(make_mind: Any, ask: Any) -> None:
    async def hang(wire: Any) -> None:
        await wire.gone()

    mind = await make_mind(hang)
    with pytest.raises(EndpointError), mind.run(budget_s=0.2, hard=True):
        await mind.calls.call(ask(), site())
    await mind.calls.services.drain()
    assert (await stored(mind)).steps[0].error == "EndpointTimeout"


async def test_a_call_s_own_timeout_holds_within_any_budget(make_mind: Any, ask: Any) -> None:
    async def hang(wire: Any) -> None:
        await wire.gone()

    mind = await make_mind(hang)
    with pytest.raises(EndpointError):
        await mind.calls.call(ask(timeout_s=0.1, budget_s=60), site())
    assert (await stored(mind)).status == "failed"


# What goes wrong --------------------------------------------------------------------------------------------


async def test_a_cancelled_call_leaves_its_trace_and_lets_go_of_its_slot(make_mind: Any, ask: Any) -> None:
    begun = asyncio.Event()

    async def half(wire: Any) -> None:
        await wire.begin()
        await wire.piece("half")
        begun.set()
        await wire.gone()

    mind = await make_mind(half)
    task = asyncio.create_task(mind.calls.call(ask(), site()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await mind.calls.services.drain()
    trace = await stored(mind)
    assert (trace.status, [step.error for step in trace.steps]) == ("cancelled", ["CancelledError"])
    assert mind.fleet.snapshot().loads["e0"].in_flight == 0


async def test_a_refused_call_is_not_tried_elsewhere_and_a_busy_one_is(
    make_mind: Any, say: Any, ask: Any
) -> None:
    status = 400

    async def refuse(wire: Any) -> None:
        await wire.fail(status)

    mind = await make_mind(refuse, say(lambda asked: "ok"))
    with pytest.raises(EndpointError) as caught:
        await mind.calls.call(ask(model="m0"), site(call_id=RUN))
    assert (caught.value.status, asked_of(mind)) == (400, [1, 0])
    assert (await stored(mind, RUN)).status == "failed"
    status = 503
    with pytest.raises(FleetExhausted):
        await mind.calls.call(ask(model="m0"), site())
    assert asked_of(mind)[1] == 0, "a caller who names a model gets no other"


async def test_a_failed_call_in_a_run_leaves_the_run_open_for_what_the_application_makes_of_it(
    make_mind: Any, ask: Any
) -> None:
    answers = iter([400])

    async def fail_once(wire: Any) -> None:
        status = next(answers, 0)
        await (wire.fail(status) if status else wire.answer("ok"))

    mind = await make_mind(fail_once)
    with mind.run() as run:
        with pytest.raises(EndpointError):
            await mind.calls.call(ask(), site())
        assert (await stored(mind, run.trace_id)).status == "open"
        await mind.calls.call(ask(), site())
    await mind.calls.services.drain()
    trace = await stored(mind)
    assert (trace.status, [bool(step.error) for step in trace.steps]) == ("ok", [True, False])


# Again ------------------------------------------------------------------------------------------------------


async def test_a_task_that_is_executed_again_decides_the_same_and_is_credited_once(
    mind: Any, ask: Any
) -> None:
    def execution(number: int) -> CallSite:
        return site(thread_id="t", task_id="task", execution=numbers[number], node="n")

    numbers = [object(), object(), object()]
    with mind.run():
        made = [await mind.calls.call(ask(text), execution(0)) for text in ("a", "b", "a")]
        again = [await mind.calls.call(ask(text), execution(1)) for text in ("a", "b", "a")]
        other = await mind.calls.call(ask("c"), execution(2))
    await mind.calls.services.drain()
    trace = await stored(mind)
    assert [routed.account["decision_id"] for routed in made] == [
        routed.account["decision_id"] for routed in again
    ]
    assert len({routed.account["decision_id"] for routed in [*made, other]}) == 4
    assert (len(trace.decisions), len(trace.steps)) == (4, 4)
    assert sorted(step.step_id for step in trace.steps) == [0, 1, 2, 3]


async def test_a_call_that_failed_is_decided_anew_when_its_task_is_tried_again(
    make_mind: Any, ask: Any
) -> None:
    answers = iter([400])

    async def fail_once(wire: Any) -> None:
        status = next(answers, 0)
        await (wire.fail(status) if status else wire.answer("ok"))

    mind = await make_mind(fail_once)
    with mind.run():
        with pytest.raises(EndpointError):
            await mind.calls.call(ask(), site(thread_id="t", task_id="task", execution=object()))
        await mind.calls.call(ask(), site(thread_id="t", task_id="task", execution=object()))
    await mind.calls.services.drain()
    assert len({step.decision_id for step in (await stored(mind)).steps}) == 2


async def test_an_untracked_call_that_is_executed_again_goes_on_in_its_trace(mind: Any, ask: Any) -> None:
    for _ in range(2):
        await mind.calls.call(ask(), site(thread_id="t", task_id="task", execution=object()))
    trace = await stored(mind)
    assert (len(trace.decisions), len(trace.steps)) == (1, 1)


async def test_a_conversation_goes_back_to_the_replica_that_has_read_it(
    make_mind: Any, serve: Any, say: Any, ask: Any
) -> None:
    servers = [await serve(say(lambda asked: "ok")) for _ in range(3)]
    endpoints = [
        {"name": f"e{k}", "base_url": server.base_url, "model": "m", "metrics": False}
        for k, server in enumerate(servers)
    ]
    mind = await make_mind(settings={"endpoints": endpoints})
    first = await mind.calls.call(ask("hello " * 50), site(thread_id="t"))
    others = [f"e{k}" for k in range(3) if f"e{k}" != first.account["endpoint"]]
    again = await mind.calls.call(ask("hello " * 60), site(thread_id="t"))
    assert again.account["endpoint"] == first.account["endpoint"] not in others
    decision = (await stored(mind, again.account["trace_id"])).decisions[0]
    assert decision.seen["warm_model"] == "m" and decision.seen["warm_tokens"] == 8
    elsewhere = await mind.calls.call(ask("hello"), site(thread_id="another"))
    assert "warm_model" not in (await stored(mind, elsewhere.account["trace_id"])).decisions[0].seen


async def test_a_call_that_is_executed_again_and_fails_says_so_in_its_own_trace(
    make_mind: Any, ask: Any
) -> None:
    answers = iter([200, 400])

    async def fail_later(wire: Any) -> None:
        await (wire.answer("ok") if next(answers) == 200 else wire.fail(400))

    mind = await make_mind(fail_later)
    runs = iter(["ab" * 16, "cd" * 16])

    def again() -> CallSite:
        return site(thread_id="t", task_id="task", execution=object(), trace_id=next(runs))

    await mind.calls.call(ask(), again())
    with pytest.raises(EndpointError) as caught:
        await mind.calls.call(ask(), again())
    trace = await stored(mind)
    assert (trace.trace_id, trace.status, caught.value.trace_id) == ("ab" * 16, "failed", "ab" * 16)
    assert [step.error for step in trace.steps] == ["EndpointRejected"]


@pytest.mark.parametrize("is_tracked", [True, False])
async def test_a_call_whose_listener_raises_leaves_its_trace(mind: Any, ask: Any, is_tracked: bool) -> None:
    async def careless(delta: Any) -> None:
        raise ZeroDivisionError("a listener's own")

    with pytest.raises(ZeroDivisionError):
        if is_tracked:
            with mind.run():
                await mind.calls.call(ask(), site(), careless)
        else:
            await mind.calls.call(ask(), site(), careless)
    await mind.calls.services.drain()
    trace = await stored(mind)
    assert (trace.status, [step.error for step in trace.steps]) == ("failed", ["ZeroDivisionError"])
    assert [load.in_flight for load in mind.fleet.snapshot().loads.values()] == [0, 0]


async def test_a_call_s_own_timeout_does_not_make_its_run_late(make_mind: Any, ask: Any) -> None:
    hangs = iter([True])

    async def hang_once(wire: Any) -> None:
        await (wire.gone() if next(hangs, False) else wire.answer("ok"))

    mind = await make_mind(hang_once)
    with mind.run(budget_s=60) as run:
        with pytest.raises(EndpointError):
            await mind.calls.call(ask(timeout_s=0.05), site())
        await mind.calls.call(ask(), site())
    await mind.calls.services.drain()
    trace = await stored(mind, run.trace_id)
    assert (trace.status, [step.error for step in trace.steps]) == ("ok", ["EndpointTimeout", ""])


async def test_a_run_that_goes_on_in_another_process_is_not_late_for_a_call_s_own_timeout(
    make_mind: Any, ask: Any
) -> None:
    hangs = iter([True])

    async def hang_once(wire: Any) -> None:
        await (wire.gone() if next(hangs, False) else wire.answer("ok"))

    mind = await make_mind(hang_once)
    with pytest.raises(EndpointError):
        await mind.calls.call(ask(timeout_s=0.05), site(trace_id=RUN))
    elsewhere = CallRouter(mind.calls.services, Runs(mind.calls.services))
    await elsewhere.call(ask(), site(trace_id=RUN))
    trace = await stored(mind, RUN)
    assert (trace.status, [step.error for step in trace.steps]) == ("ok", ["EndpointTimeout", ""])
