"""Routed nodes whose servers fail: who learns of it, and where the next call goes."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

import pytest
from langchain.chat_models import init_chat_model
from langgraph.graph import START, StateGraph
from langgraph.types import RetryPolicy
from openai import OpenAIError

from inframind.plugin.config import settings_from
from inframind.plugin.graphs.live_runs import LiveRuns
from inframind.plugin.graphs.route import route
from inframind.plugin.mind import InfraMind
from inframind.plugin.retry import retry_on

pytest.importorskip("langchain_openai", reason="needs langchain-openai")

ASK: Any = {"question": "How many?", "notes": []}


class LaterClock:
    """Real time, and what was skipped of it."""

    skipped_s = 0.0

    def now_s(self) -> float:
        return time.monotonic() + self.skipped_s

    def wall_s(self) -> float:
        return time.time() + self.skipped_s


def graph_of(followed: Any, notes: Any, **options: Any) -> Any:
    """One node, whose model is made configurable."""
    model = init_chat_model(
        "theirs",
        model_provider="openai",
        base_url=followed.servers[0].base_url,
        configurable_fields=("model", "base_url"),
        **followed.wires,
    )

    async def node(state: Any) -> Any:
        return {"notes": [(await model.ainvoke(state["question"])).response_metadata["model_name"]]}

    return StateGraph(notes).add_node("n", node, **options).add_edge(START, "n").compile()


def refusing(status: int) -> Any:
    async def script(wire: Any) -> None:
        await wire.fail(status)

    return script


async def outcomes(graph: Any, count: int) -> list[str]:
    """The model that answered, or the error, of so many invocations."""
    found: list[str] = []
    for _ in range(count):
        try:
            found += (await graph.ainvoke(ASK))["notes"]
        except OpenAIError as error:
            found.append(str(getattr(error, "status_code", type(error).__name__)))
    return found


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_server_that_keeps_failing_is_avoided(
    follow: Any, notes: Any, answer: Any, status: int
) -> None:
    followed = await follow(refusing(status), answer(), settings={"fleet": {"breaker": {"open_s": 60.0}}})
    graph = route(graph_of(followed, notes), followed.live)
    assert await outcomes(graph, 6) == [str(status)] * 3 + ["m1"] * 3
    await followed.settled()


@pytest.mark.parametrize("status", [400, 401, 404])
async def test_a_server_that_refuses_a_request_is_not_blamed(
    follow: Any, notes: Any, answer: Any, status: int
) -> None:
    followed = await follow(refusing(status), answer())
    graph = route(graph_of(followed, notes), followed.live)
    assert await outcomes(graph, 4) == [str(status)] * 4
    await followed.settled()


async def test_where_nobody_listens_one_failure_is_enough(follow: Any, notes: Any) -> None:
    followed = await follow()
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        places = [
            {"name": "e0", "base_url": dead, "model": "m0", "metrics": False},
            {"name": "e1", "base_url": followed.servers[1].base_url, "model": "m1", "metrics": False},
        ]
        settings = {
            "endpoints": places,
            "traces": {"url": "memory:"},
            "fleet": {"breaker": {"open_s": 60.0}},
        }
        async with InfraMind(settings_from(settings)) as mind:
            graph = route(graph_of(followed, notes), LiveRuns(mind.calls, mind.portal))
            first, *others = await outcomes(graph, 4)
    assert "ConnectionError" in first and others == ["m1"] * 3


async def test_an_answer_closes_the_breaker_again(follow: Any, notes: Any, answer: Any) -> None:
    followed = await follow(answer(), answer(), settings={"fleet": {"breaker": {"open_s": 0.001}}})
    fleet = followed.mind.calls.services.fleet
    for _ in range(3):
        fleet.note_outcome("e0", ConnectionError(), sent_s=fleet.clock.now_s())
    while fleet.snapshot().loads["e0"].breaker == "open":
        pass
    assert await outcomes(route(graph_of(followed, notes), followed.live), 1) == ["m0"]
    assert fleet.snapshot().loads["e0"].breaker == "closed"


@pytest.mark.parametrize("is_seen", [True, False])
async def test_a_failed_server_is_tried_again_once_it_is_seen(follow: Any, notes: Any, is_seen: bool) -> None:
    is_up = True

    async def script(wire: Any) -> None:
        if wire.asked.body is not None:
            await wire.whole("yes")
        elif is_up:
            await wire.reply(200, b"vllm:num_requests_running 0\nvllm:num_requests_waiting 0\n", "text/plain")
        else:
            await wire.fail(500)

    followed = await follow(script, script)
    places = [
        {"name": f"e{i}", "base_url": server.base_url, "model": f"m{i}"}
        for i, server in enumerate(followed.servers)
    ]
    clock = LaterClock()
    settings = settings_from({"endpoints": places, "traces": {"url": "memory:"}})
    async with InfraMind(settings, clock=clock) as mind:
        await mind.fleet.watch(first_readings_s=5.0)
        is_up = is_seen
        for _ in range(3):
            mind.fleet.note_outcome("e0", ConnectionError(), sent_s=clock.now_s())
        clock.skipped_s += 10.0
        while is_seen and (mind.fleet.snapshot().loads["e0"].age_s or 0.0) > 1.0:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        graph = route(graph_of(followed, notes), LiveRuns(mind.calls, mind.portal))
        assert await outcomes(graph, 1) == ["m0" if is_seen else "m1"]


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_our_retry_policy_moves_a_node_to_another_model_within_its_run(
    follow: Any, notes: Any, answer: Any, status: int
) -> None:
    followed = await follow(refusing(status), answer())
    policy = RetryPolicy(max_attempts=2, initial_interval=0.0, jitter=False, retry_on=retry_on)
    graph = route(graph_of(followed, notes, retry_policy=policy), followed.live)
    assert await outcomes(graph, 1) == ["m1"]
    assert (await followed.trace()).status == "ok"


@pytest.mark.parametrize("status", [400, 401, 404])
async def test_our_retry_policy_lets_refusals_through(
    follow: Any, notes: Any, answer: Any, status: int
) -> None:
    followed = await follow(refusing(status), answer())
    policy = RetryPolicy(max_attempts=2, initial_interval=0.0, jitter=False, retry_on=retry_on)
    graph = route(graph_of(followed, notes, retry_policy=policy), followed.live)
    assert await outcomes(graph, 1) == [str(status)]
    assert [len(server.asked) for server in followed.servers] == [1, 0]
    await followed.settled()
