"""The middleware beside LangChain's own retries and fallbacks, in both orders."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.agents.middleware import ModelFallbackMiddleware, ModelRetryMiddleware
from tests.plugin.middleware.agents import ASK, Unrouted, failing, make_agent, only_trace, unavailable

from inframind.plugin.chat import ChatInfraMind

ORDERS = pytest.mark.parametrize("is_outside", [True, False], ids=["outside", "inside"])


def beside(mind: Any, other: Any, is_outside: bool, **options: Any) -> Any:
    if is_outside:
        return make_agent(mind, other, **options)
    return make_agent(mind, after=(other,), **options)


def fallback(text: str = "from elsewhere") -> Any:
    return Unrouted(responses=[text])


@ORDERS
async def test_a_fallback_answers_where_the_fleet_does_not(
    make_mind: Any, run: Any, is_outside: bool
) -> None:
    mind = await make_mind(unavailable)
    agent = beside(mind, ModelFallbackMiddleware(fallback()), is_outside, tools=())
    state = await run(agent, ASK)
    assert state["messages"][-1].content == "from elsewhere"
    assert state["inframind"]["decision"] is None
    trace = await only_trace(mind)
    assert (trace.status, len(trace.decisions), trace.steps[0].error != "") == ("failed", 1, True)


@ORDERS
async def test_a_fallback_is_not_asked_while_the_fleet_answers(
    make_mind: Any, run: Any, is_outside: bool
) -> None:
    mind = await make_mind(failing(0))
    state = await run(beside(mind, ModelFallbackMiddleware(fallback()), is_outside), ASK)
    assert state["messages"][-1].content == "It is said to be: rain in Oslo"


@ORDERS
async def test_a_second_fallback_is_reached_too(make_mind: Any, run: Any, is_outside: bool) -> None:
    mind = await make_mind(unavailable)
    broken = ChatInfraMind(mind=mind, model="m0")
    agent = beside(mind, ModelFallbackMiddleware(broken, fallback()), is_outside, tools=())
    assert (await run(agent, ASK))["messages"][-1].content == "from elsewhere"


@ORDERS
async def test_a_routed_fallback_answers_within_the_same_run(
    make_mind: Any, run: Any, is_outside: bool
) -> None:
    mind = await make_mind(unavailable, failing(0))
    own, spare = ChatInfraMind(mind=mind, model="m0"), ChatInfraMind(mind=mind, model="m1")
    agent = beside(mind, ModelFallbackMiddleware(spare), is_outside, model=own, tools=())
    state = await run(agent, ASK)
    trace = await only_trace(mind)
    assert [(step.model, step.error != "") for step in trace.steps] == [("m0", True), ("m1", False)]
    assert trace.status == "ok" and state["inframind"]["decision"]["model"] == "m1"


@ORDERS
async def test_every_attempt_of_a_retry_decides_anew_and_the_failed_one_is_recorded(
    make_mind: Any, run: Any, is_outside: bool
) -> None:
    mind = await make_mind(failing(2))  # one call tries an endpoint twice
    retry = ModelRetryMiddleware(max_retries=2, initial_delay=0.0, retry_on=(Exception,))
    state = await run(beside(mind, retry, is_outside, tools=()), ASK)
    trace = await only_trace(mind)
    assert state["messages"][-1].content == "no tools"
    assert [step.error != "" for step in trace.steps] == [True, False]
    assert [step.decision_id for step in trace.steps] == [d.decision_id for d in trace.decisions]
    assert (trace.status, state["inframind"]["decision"]["decision_id"]) == (
        "ok",
        trace.decisions[1].decision_id,
    )


@ORDERS
async def test_a_retry_that_gives_up_leaves_a_failed_run(make_mind: Any, run: Any, is_outside: bool) -> None:
    mind = await make_mind(unavailable)
    retry = ModelRetryMiddleware(max_retries=1, initial_delay=0.0, retry_on=(Exception,))
    state = await run(beside(mind, retry, is_outside, tools=()), ASK)
    trace = await only_trace(mind)
    assert "failed after 2 attempts" in state["messages"][-1].content
    assert (trace.status, len(trace.decisions), len(trace.steps)) == ("failed", 2, 2)


async def test_middleware_of_two_agents_do_not_mind_each_other(make_mind: Any, run: Any) -> None:
    mind = await make_mind(failing(0))
    retry, spare = ModelRetryMiddleware(max_retries=1), ModelFallbackMiddleware(fallback())
    agent = make_agent(mind, retry, after=(spare,), name="clerk")
    state = await run(agent, ASK)
    assert (state["messages"][-1].name, state["messages"][-1].content) == (
        "clerk",
        "It is said to be: rain in Oslo",
    )
