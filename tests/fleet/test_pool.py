"""The fleet as one thing to call: failover, limits, deadlines, and what a snapshot knows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from inframind.errors import (
    ConfigError,
    EndpointError,
    EndpointTimeout,
    FleetExhausted,
    UnknownModel,
)
from inframind.fleet.breaker import BreakerConfig
from inframind.fleet.clock import Deadline, SystemClock
from inframind.fleet.endpoints import EndpointSpec
from inframind.fleet.messages import ChatRequest, Completion, Delta
from inframind.fleet.pool import Fleet, FleetConfig

CLOCK = SystemClock()
HELLO = ChatRequest(messages=[{"role": "user", "content": "hello"}], expected_output_tokens=100)
QUICK = FleetConfig(backoff_s=0.001)


def within(budget_s: float = 10.0) -> Deadline:
    return Deadline.after(budget_s, CLOCK)


class Rig:
    """A fleet whose endpoints do what each one's script says; servers by endpoint name."""

    def __init__(self, serve: Any) -> None:
        self._serve = serve
        self.servers: dict[str, Any] = {}
        self.specs: list[EndpointSpec] = []
        self.fleets: list[Fleet] = []

    async def add(self, name: str, script: Any, model: str = "m", **spec: Any) -> None:
        self.servers[name] = await self._serve(script)
        self.specs.append(
            EndpointSpec.model_validate(
                {
                    "name": name,
                    "base_url": self.servers[name].base_url,
                    "model": model,
                    "metrics": False,
                    **spec,
                }
            )
        )

    def fleet(self, config: FleetConfig = QUICK) -> Fleet:
        self.fleets.append(Fleet(self.specs, clock=CLOCK, rng=np.random.default_rng(0), config=config))
        return self.fleets[-1]

    @property
    def asked(self) -> dict[str, int]:
        return {name: len(server.asked) for name, server in self.servers.items()}


@pytest.fixture
async def rig(serve: Any) -> AsyncIterator[Rig]:
    rig = Rig(serve)
    yield rig
    for fleet in rig.fleets:
        assert all(load.in_flight == 0 == load.waiting_here for load in fleet.snapshot().loads.values())
        assert all(load.in_flight_tokens == 0 for load in fleet.snapshot().loads.values())
        await fleet.aclose()


async def ok(wire: Any) -> None:
    await wire.answer("ok")


def failing(status: int) -> Any:
    async def script(wire: Any) -> None:
        await wire.fail(status)

    return script


async def drop(wire: Any) -> None:
    wire.drop()


async def garbage(wire: Any) -> None:
    await wire.reply(200, b"<html>")


async def half_then_drop(wire: Any) -> None:
    await wire.begin()
    await wire.piece("half")
    wire.drop()


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (failing(429), "EndpointOverloaded"),
        (failing(503), "EndpointOverloaded"),
        (failing(500), "EndpointServerError"),
        (drop, "EndpointUnreachable"),
        (garbage, "EndpointProtocolError"),
        (half_then_drop, "EndpointUnreachable"),
    ],
)
async def test_what_may_heal_elsewhere_goes_to_the_replica_and_then_to_the_next_model(
    rig: Rig, bad: Any, error: str
) -> None:
    await rig.add("a1", bad)
    await rig.add("spare", ok, model="other")
    await rig.add("a2", bad)
    completion = await rig.fleet().complete(HELLO, ["m", "other"], within())
    assert (completion.text, completion.endpoint) == ("ok", "spare")
    tried = [(attempt.endpoint, attempt.model, attempt.error) for attempt in completion.attempts]
    assert tried == [("a1", "m", error), ("a2", "m", error)]
    assert all(attempt.elapsed_s >= 0 and attempt.detail for attempt in completion.attempts)
    assert rig.asked == {"a1": 1, "a2": 1, "spare": 1}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
async def test_what_would_come_back_is_not_tried_again(rig: Rig, status: int) -> None:
    await rig.add("a1", failing(status))
    await rig.add("a2", ok)
    with pytest.raises(EndpointError) as caught:
        await rig.fleet().complete(HELLO, ["m"], within())
    assert (caught.value.status, rig.asked) == (status, {"a1": 1, "a2": 0})


async def test_an_error_that_ends_the_call_remembers_the_earlier_ones(rig: Rig) -> None:
    await rig.add("a", failing(503))
    await rig.add("b", failing(400), model="other")
    with pytest.raises(EndpointError) as caught:
        await rig.fleet().complete(HELLO, ["m", "other"], within())
    assert [error.endpoint for error in caught.value.earlier] == ["a"]


async def test_after_the_first_piece_has_been_seen_an_error_is_final(rig: Rig) -> None:
    await rig.add("a", half_then_drop)
    await rig.add("b", ok)
    seen: list[str] = []

    async def on_delta(delta: Delta) -> None:
        seen.append(delta.text)

    with pytest.raises(EndpointError) as caught:
        await rig.fleet().complete(HELLO, ["m"], within(), on_delta=on_delta)
    assert (caught.value.partial_text, seen, rig.asked) == ("half", ["half"], {"a": 1, "b": 0})


async def test_before_the_first_piece_a_stream_fails_over_like_any_call(rig: Rig) -> None:
    await rig.add("a", drop)
    await rig.add("b", ok)
    seen: list[str] = []

    async def on_delta(delta: Delta) -> None:
        seen.append(delta.text)

    completion = await rig.fleet().complete(HELLO, ["m"], within(), on_delta=on_delta)
    assert (completion.endpoint, seen) == ("b", ["ok"])


async def test_the_deadline_is_total_over_all_tries(rig: Rig) -> None:
    async def slow_failure(wire: Any) -> None:
        await asyncio.sleep(0.15)
        await wire.fail(503)

    async def trickle(wire: Any) -> None:
        await wire.begin()
        await wire.piece("part")
        await wire.gone()

    await rig.add("a", slow_failure)
    await rig.add("b", trickle, model="other")
    began_s = CLOCK.now_s()
    with pytest.raises(EndpointTimeout) as caught:
        await rig.fleet().complete(HELLO, ["m", "other"], within(0.4))
    assert caught.value.partial_text == "part"
    assert [error.endpoint for error in caught.value.earlier] == ["a"]
    assert 0.4 <= CLOCK.now_s() - began_s < 5


async def test_a_second_pass_finds_an_endpoint_that_has_recovered(rig: Rig) -> None:
    async def recovering(wire: Any) -> None:
        await (wire.fail(503) if len(rig.servers["a"].asked) == 1 else wire.answer("back"))

    await rig.add("a", recovering)
    completion = await rig.fleet().complete(HELLO, ["m"], within())
    assert (completion.text, len(completion.attempts)) == ("back", 1)


@pytest.mark.parametrize(
    ("passes", "max_attempts", "asked"), [(1, 6, 2), (2, 6, 4), (3, 5, 5), (2, 1, 1), (2, 2, 2)]
)
async def test_tries_end_with_the_passes_or_the_attempts(
    rig: Rig, passes: int, max_attempts: int, asked: int
) -> None:
    await rig.add("a", failing(503))
    await rig.add("b", failing(429))
    config = FleetConfig(passes=passes, max_attempts=max_attempts, backoff_s=0.001)
    with pytest.raises(FleetExhausted) as caught:
        await rig.fleet(config).complete(HELLO, ["m"], within())
    assert len(caught.value.failures) == sum(rig.asked.values()) == asked


async def test_no_wait_follows_the_last_attempt(rig: Rig) -> None:
    await rig.add("a", failing(503))
    config = FleetConfig(passes=2, max_attempts=1, backoff_s=3600.0)
    with pytest.raises(FleetExhausted):
        await asyncio.wait_for(rig.fleet(config).complete(HELLO, ["m"], within(7200.0)), 20)


async def test_breakers_open_one_by_one_and_then_nothing_is_sent(rig: Rig) -> None:
    await rig.add("a", failing(500))
    fleet = rig.fleet(FleetConfig(breaker=BreakerConfig(failure_threshold=2), backoff_s=0.001))
    with pytest.raises(FleetExhausted, match="every candidate failed"):
        await fleet.complete(HELLO, ["m"], within())
    assert fleet.snapshot().loads["a"].breaker == "open" and not fleet.snapshot().loads["a"].is_available
    with pytest.raises(FleetExhausted, match="breaker of every candidate is open") as caught:
        await fleet.complete(HELLO, ["m"], within())
    assert caught.value.failures == () and rig.asked == {"a": 2}


async def test_busy_and_refusing_endpoints_open_no_breaker(rig: Rig) -> None:
    await rig.add("a", failing(429))
    await rig.add("b", failing(400), model="other")
    fleet = rig.fleet(FleetConfig(breaker=BreakerConfig(failure_threshold=1), backoff_s=0.001))
    for model in ("m", "other") * 3:
        with pytest.raises((FleetExhausted, EndpointError)):
            await fleet.complete(HELLO, [model], within())
    assert {load.breaker for load in fleet.snapshot().loads.values()} == {"closed"}


async def test_calls_that_wait_for_a_slot_time_out_there(rig: Rig) -> None:
    async def hang(wire: Any) -> None:
        await wire.gone()

    await rig.add("a", hang, max_concurrency=1)
    fleet = rig.fleet()
    holder = asyncio.create_task(fleet.complete(HELLO, ["m"], within(30)))
    while not rig.servers["a"].asked:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    load = fleet.snapshot().loads["a"]
    assert (load.in_flight, load.in_flight_tokens) == (1, 100)
    with pytest.raises(EndpointTimeout):
        await fleet.complete(HELLO, ["m"], within(0.05))
    assert rig.asked == {"a": 1}
    holder.cancel()
    await asyncio.gather(holder, return_exceptions=True)


async def test_the_replica_with_the_warm_cache_is_preferred_while_it_is_not_much_busier(rig: Rig) -> None:
    waiting = asyncio.Event()

    async def hold_then_answer(wire: Any) -> None:
        if wire.asked.prompt == "hold":
            await waiting.wait()
        await wire.answer("ok")

    await rig.add("a1", hold_then_answer, max_concurrency=8)
    await rig.add("a2", hold_then_answer, max_concurrency=8)
    fleet = rig.fleet()
    hold = ChatRequest(messages=[{"role": "user", "content": "hold"}], expected_output_tokens=1)
    used: list[str] = []
    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            used.append((await fleet.complete(HELLO, ["m"], within(), prefer="a2")).endpoint)
            group.create_task(fleet.complete(hold, ["m"], within(), prefer="a2"))
            while sum(load.in_flight for load in fleet.snapshot().loads.values()) < len(used):  # noqa: ASYNC110
                await asyncio.sleep(0)
        waiting.set()
    # Loyalty is worth a quarter of the slots: two of eight; at the third call the other replica is as near.
    assert used == ["a2", "a2", "a1", "a2"]


async def test_the_warm_replica_s_model_is_tried_in_its_turn(rig: Rig) -> None:
    await rig.add("a", ok)
    await rig.add("b", ok, model="other")
    completion = await rig.fleet().complete(HELLO, ["m", "other"], within(), prefer="b")
    assert completion.endpoint == "a"


async def test_a_warm_replica_that_fails_or_is_unknown_does_not_stop_the_call(rig: Rig) -> None:
    await rig.add("a1", ok)
    await rig.add("a2", failing(503))
    completion = await rig.fleet().complete(HELLO, ["m"], within(), prefer="a2")
    assert (completion.endpoint, [attempt.endpoint for attempt in completion.attempts]) == ("a1", ["a2"])
    assert (await rig.fleet().complete(HELLO, ["m"], within(), prefer="gone")).endpoint == "a1"


async def test_the_free_replica_is_preferred_and_the_urgent_call_goes_first(rig: Rig) -> None:
    release, order = asyncio.Event(), []

    async def held(wire: Any) -> None:
        order.append(wire.asked.body["seed"])
        await release.wait()
        await wire.answer("ok")

    await rig.add("a", held, max_concurrency=1)
    await rig.add("b", held, max_concurrency=1)
    fleet = rig.fleet()

    def call(seed: int, priority: int) -> asyncio.Task[Completion]:
        request = ChatRequest(messages=HELLO.messages, seed=seed)
        return asyncio.create_task(fleet.complete(request, ["m"], within(), priority=priority))

    first = [call(1, 0), call(2, 0)]
    while sum(rig.asked.values()) < 2:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    assert rig.asked == {"a": 1, "b": 1}
    later = [call(3, 9), call(4, 5), call(5, 1), call(6, 7)]
    while sum(load.waiting_here for load in fleet.snapshot().loads.values()) < 4:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    release.set()
    await asyncio.gather(*first, *later)
    assert order.index(5) < order.index(6) and order.index(4) < order.index(3)


async def test_slots_and_tokens_come_back_after_any_end_of_hundreds_of_calls(rig: Rig) -> None:
    async def moody(wire: Any) -> None:
        seed = wire.asked.body["seed"]
        if seed % 5 == 0:
            return await wire.fail(503)
        if seed % 5 == 1:
            return wire.drop()
        if seed % 5 == 2:
            return await wire.gone()
        return await wire.answer("ok")

    for name in ("a", "b", "c"):
        await rig.add(name, moody, max_concurrency=4)
    fleet = rig.fleet(FleetConfig(backoff_s=0.001, breaker=BreakerConfig(failure_threshold=1000)))

    async def call(seed: int) -> object:
        return await fleet.complete(ChatRequest(messages=HELLO.messages, seed=seed), ["m"], within(8))

    tasks = [asyncio.create_task(call(seed)) for seed in range(300)]
    hanging = [task for seed, task in enumerate(tasks) if seed % 5 == 2]
    while any(task not in hanging and not task.done() for task in tasks):
        await asyncio.sleep(0.01)
        for task in hanging[:5]:
            task.cancel()
        hanging = [task for task in hanging if not task.cancelled() and not task.done()]
    for task in hanging:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    kinds = {type(result).__name__ for result in results}
    assert kinds <= {"Completion", "FleetExhausted", "CancelledError"}
    assert sum(isinstance(result, Completion) for result in results) == 120
    assert max(server.peak for server in rig.servers.values()) <= 4


async def test_a_snapshot_says_none_for_what_was_never_read(rig: Rig) -> None:
    await rig.add("a", ok)
    load = rig.fleet().snapshot().loads["a"]
    assert (load.age_s, load.running, load.waiting, load.kv_cache_usage) == (None, None, None, None)
    assert load.as_dict()["age_s"] is None


async def test_a_reading_has_an_age_that_grows(rig: Rig) -> None:
    page = (
        b"# TYPE vllm:num_requests_running gauge\n"
        b'vllm:num_requests_running{engine="0",model_name="m"} 3.0\n'
        b"# TYPE vllm:num_requests_waiting gauge\n"
        b'vllm:num_requests_waiting{engine="0",model_name="m"} 2.0\n'
    )

    async def metrics(wire: Any) -> None:
        await wire.reply(200, page, "text/plain; version=0.0.4")

    await rig.add("a", metrics, metrics=True)
    fleet = rig.fleet(FleetConfig(scrape_interval_s=30.0))
    await fleet.watch()
    await fleet.watch()
    while fleet.snapshot().loads["a"].age_s is None:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    first, second = (fleet.snapshot().loads["a"] for _ in range(2))
    assert (first.running, first.waiting) == (3.0, 2.0)
    assert first.age_s is not None and second.age_s is not None
    assert 0 <= first.age_s < second.age_s


async def test_closing_on_another_loop_leaves_the_reader_of_this_one_alone(rig: Rig) -> None:
    async def metrics(wire: Any) -> None:
        await wire.reply(200, b"", "text/plain")

    await rig.add("a", metrics, metrics=True)
    fleet = rig.fleet(FleetConfig(scrape_interval_s=0.01))
    await fleet.watch()

    async def elsewhere() -> None:
        await fleet.watch()
        await fleet.aclose()

    await asyncio.to_thread(asyncio.run, elsewhere())
    before = len(rig.servers["a"].asked)
    while len(rig.servers["a"].asked) < before + 2:  # noqa: ASYNC110
        await asyncio.sleep(0.005)


async def test_an_unknown_model_is_the_callers_mistake(rig: Rig) -> None:
    await rig.add("a", ok)
    with pytest.raises(UnknownModel, match="serves m"):
        await rig.fleet().complete(HELLO, ["m", "missing"], within())
    assert rig.asked == {"a": 0}


@pytest.mark.parametrize("field", ["scrape_interval_s", "max_attempts", "passes", "backoff_s"])
def test_impossible_settings_are_refused(field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        FleetConfig(**{field: 0})
    assert caught.value.field == f"fleet.{field}"
