"""What is left of a run's budget reaches the servers with every call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from langchain_core.tools import tool
from tests.plugin.middleware.agents import ASK, SkippingClock, make_agent, only_trace, react

from inframind.errors import InvalidBudget
from inframind.plugin.middleware import InfraMindMiddleware
from inframind.simulator.engine_profile import EngineProfile
from inframind.simulator.fleet import SimulatedFleet
from inframind.simulator.model import SimReply, SimRequest
from inframind.simulator.server import ServerSpec


def slow_tool(clock: SkippingClock, took_s: float) -> Any:
    @tool
    def weather(city: str) -> str:
        """The weather, after a while."""
        clock.skipped_s += took_s
        return f"rain in {city}"

    return weather


def chats(mind: Any) -> list[Any]:
    return [asked for server in mind.servers for asked in server.asked if asked.body is not None]


async def test_slo_headers_shrink_as_the_runs_budget_is_spent(make_mind: Any, run: Any) -> None:
    clock = SkippingClock()
    mind = await make_mind(react, clock=clock)
    await run(make_agent(mind, tools=[slow_tool(clock, 60)], budget_s=100), ASK)
    first, second = chats(mind)
    before_ms, after_ms = (float(asked.headers["x-slo-ttft-ms"]) for asked in (first, second))
    assert 49_000 < before_ms <= 50_000 and 19_000 < after_ms <= 20_000
    assert float(first.headers["x-slo-tpot-ms"]) > float(second.headers["x-slo-tpot-ms"])


async def test_priority_is_sent_where_the_endpoint_schedules_by_it(
    serve: Any, make_mind: Any, run: Any
) -> None:
    for schedules in (True, False):
        server = await serve(react)
        endpoint = {"name": "e", "base_url": server.base_url, "model": "m", "metrics": False}
        mind = await make_mind(settings={"endpoints": [{**endpoint, "priority": schedules}]})
        await run(make_agent(mind), ASK)
        assert ["priority" in asked.body for asked in server.asked] == [schedules, schedules]


async def test_a_run_that_has_less_time_left_is_more_urgent(serve: Any, make_mind: Any, run: Any) -> None:
    server = await serve(react)
    endpoint = {"name": "e", "base_url": server.base_url, "model": "m", "metrics": False, "priority": True}
    mind = await make_mind(settings={"endpoints": [endpoint]})
    for budget_s in (500, 300):
        await run(make_agent(mind, tools=(), budget_s=budget_s), ASK)
    patient, urgent = (asked.body["priority"] for asked in server.asked)
    assert urgent < patient


@dataclass
class Context:
    """What an application's agent is invoked with."""

    budget_s: float


async def test_an_agents_context_may_name_the_budget(make_mind: Any, run: Any) -> None:
    mind = await make_mind(react)
    agent = make_agent(mind, budget_s=100, context_schema=Context)
    state = await run(agent, ASK, context=Context(budget_s=7))
    assert state["inframind"]["budget_s"] == (await only_trace(mind)).budget_s == 7.0


async def test_without_any_word_the_configured_budget_holds(make_mind: Any, run: Any) -> None:
    mind = await make_mind(react, settings={"run": {"budget_s": 33}})
    state = await run(make_agent(mind), ASK)
    assert state["inframind"]["budget_s"] == 33.0


async def test_a_run_that_took_longer_is_late(make_mind: Any, run: Any) -> None:
    clock = SkippingClock()
    mind = await make_mind(react, clock=clock)
    await run(make_agent(mind, tools=[slow_tool(clock, 60)], budget_s=50), ASK)
    trace = await only_trace(mind)
    assert trace.status == "late" and trace.latency_s > 60


@pytest.mark.parametrize("budget_s", [0, -1, float("nan"), float("inf")])
async def test_an_impossible_budget_is_refused_at_once(make_mind: Any, budget_s: float) -> None:
    with pytest.raises(InvalidBudget):
        InfraMindMiddleware(await make_mind(react), budget_s=budget_s)


class Clerk:
    """A simulated model that asks for the weather, and then tells it."""

    def reply(self, request: SimRequest) -> SimReply:
        last = request.messages[-1]
        if last["role"] == "tool":
            return SimReply(text=f"It is {last['content']}")
        return SimReply(text='<tool_call>{"name": "weather", "arguments": {"city": "Oslo"}}</tool_call>')


async def test_an_agent_works_on_a_simulated_fleet_that_schedules_by_priority(
    make_mind: Any, run: Any
) -> None:
    profile = EngineProfile(
        step_base_s=0.01,
        per_prefill_token_s=1e-5,
        per_decode_token_s=1e-4,
        kv_blocks=4096,
        scheduling_policy="priority",
    )
    specs = [ServerSpec(name=name, model=name, profile=profile) for name in ("small", "large")]
    async with SimulatedFleet(specs, Clerk(), speed=50.0) as fleet:
        endpoints = [
            {"name": name, "base_url": url, "model": name, "priority": True, "capabilities": ["tools"]}
            for name, url in fleet.base_urls.items()
        ]
        mind = await make_mind(settings={"endpoints": endpoints})
        state = await run(make_agent(mind, budget_s=30), ASK)
        trace = await only_trace(mind)
    assert state["messages"][-1].content == "It is rain in Oslo"
    assert [step.error for step in trace.steps] == ["", ""] and trace.status == "ok"
