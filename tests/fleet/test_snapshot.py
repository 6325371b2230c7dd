"""The load between two readings: what was read, corrected by what we sent and got back since."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframind.fleet.clock import Deadline, SystemClock
from inframind.fleet.endpoints import EndpointSpec
from inframind.fleet.messages import ChatRequest
from inframind.fleet.own_calls import OwnCalls
from inframind.fleet.pool import Fleet, FleetConfig
from inframind.fleet.snapshot import EndpointLoad, FleetSnapshot


def load(**values: Any) -> EndpointLoad:
    return EndpointLoad(**{"endpoint": "e", "model": "m", "age_s": 0.2, **values})


@pytest.mark.parametrize(
    ("values", "running_now", "waiting_now"),
    [
        ({"running": 5.0, "waiting": 0.0}, 5, 0),
        ({"running": 5.0, "waiting": 0.0, "sent_since": 3}, 8, 0),
        ({"running": 5.0, "waiting": 0.0, "ended_since": 2}, 3, 0),
        ({"running": 5.0, "waiting": 4.0, "sent_since": 3}, 5, 7),
        ({"running": 5.0, "waiting": 4.0, "ended_since": 3}, 5, 1),
        ({"running": 5.0, "waiting": 4.0, "ended_since": 6}, 3, 0),
        ({"running": 5.0, "waiting": 0.0, "in_flight": 9}, 9, 0),
        ({"running": 1.0, "waiting": 0.0, "ended_since": 4}, 0, 0),
        ({"age_s": None, "in_flight": 7, "sent_since": 3}, 7, 0),
    ],
)
def test_what_we_sent_and_got_back_corrects_a_reading(
    values: dict[str, Any], running_now: float, waiting_now: float
) -> None:
    here = load(**values)
    assert (here.running_now, here.waiting_now) == (running_now, waiting_now)


counts = st.integers(0, 200)


@given(running=counts, waiting=counts, sent=counts, ended=counts, in_flight=counts)
def test_a_dead_reckoned_load_is_never_negative_nor_below_our_own_calls(
    running: int, waiting: int, sent: int, ended: int, in_flight: int
) -> None:
    here = load(
        running=float(running),
        waiting=float(waiting),
        sent_since=sent,
        ended_since=ended,
        in_flight=in_flight,
    )
    assert here.running_now >= 0 and here.waiting_now >= 0
    assert here.running_now + here.waiting_now == here.requests_now
    assert here.requests_now == max(running + waiting + sent - ended, in_flight)


@given(running=counts, waiting=counts, sent=counts)
def test_every_call_sent_makes_a_replica_less_attractive(running: int, waiting: int, sent: int) -> None:
    before = load(running=float(running), waiting=float(waiting), sent_since=sent)
    after = load(running=float(running), waiting=float(waiting), sent_since=sent + 1)
    assert after.occupancy > before.occupancy


def test_a_burst_since_the_reading_moves_the_choice_of_replica() -> None:
    stormed = load(endpoint="a", running=2.0, waiting=0.0, sent_since=10)
    calm = load(endpoint="b", running=4.0, waiting=0.0)
    snapshot = FleetSnapshot(taken_s=0.0, loads={"a": stormed, "b": calm})
    assert snapshot.least_loaded("m") is calm


def test_only_what_happened_after_the_reading_counts() -> None:
    calls = OwnCalls()
    for at_s in (1.0, 2.0, 3.0):
        calls.note_sent(at_s)
    calls.note_ended(3.5)
    assert [calls.since(at_s, 4.0) for at_s in (0.0, 1.0, 2.5, 3.0, 4.0)] == [
        (3, 1),
        (2, 1),
        (1, 1),
        (0, 1),
        (0, 0),
    ]


def test_what_is_older_than_any_useful_reading_is_dropped() -> None:
    calls = OwnCalls()
    for at_s in range(100):
        calls.note_sent(float(at_s))
    assert calls.since(-1.0, 99.0) == (31, 0)


async def test_a_fleet_reckons_with_its_own_calls_until_the_next_reading(serve: Any) -> None:
    page = (
        b'vllm:num_requests_running{engine="0",model_name="m"} 3.0\n'
        b'vllm:num_requests_waiting{engine="0",model_name="m"} 0.0\n'
    )
    held = asyncio.Event()

    async def script(wire: Any) -> None:
        if wire.asked.path.endswith("/metrics"):
            await wire.reply(200, page, "text/plain; version=0.0.4")
        else:
            await held.wait()
            await wire.answer("ok")

    server = await serve(script)
    clock = SystemClock()
    spec = EndpointSpec(name="a", base_url=server.base_url, model="m")
    fleet = Fleet(
        [spec], clock=clock, rng=np.random.default_rng(0), config=FleetConfig(scrape_interval_s=60.0)
    )
    await fleet.watch(first_readings_s=5.0)
    hello = ChatRequest(messages=[{"role": "user", "content": "hello"}])
    calls = [asyncio.create_task(fleet.complete(hello, ["m"], Deadline.after(10.0, clock))) for _ in range(2)]
    async with asyncio.timeout(10):
        while server.present < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    busy = fleet.snapshot().loads["a"]
    held.set()
    await asyncio.gather(*calls)
    idle = fleet.snapshot().loads["a"]
    await fleet.aclose()
    assert (busy.sent_since, busy.ended_since, busy.running_now) == (2, 0, 5.0)
    assert (idle.sent_since, idle.ended_since, idle.running_now) == (2, 2, 3.0)
