"""The virtual wire: what a real client meets at it, and that it is the fleet of the HTTP servers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import numpy as np
import pytest

from inframind.errors import (
    ConfigError,
    EndpointProtocolError,
    EndpointServerError,
    EndpointTimeout,
    EndpointUnauthorized,
    EndpointUnreachable,
    FleetExhausted,
)
from inframind.fleet.clock import Deadline, SystemClock
from inframind.fleet.endpoints import EndpointSpec
from inframind.fleet.messages import ChatRequest, Completion
from inframind.fleet.pool import Fleet, FleetConfig
from inframind.simulator.engine_profile import EngineProfile
from inframind.simulator.faults import Fault
from inframind.simulator.fleet import SimulatedFleet
from inframind.simulator.model import EchoModel
from inframind.simulator.server import ServerSpec
from inframind.simulator.virtual import VirtualClock, run_in_virtual_time
from inframind.simulator.virtual_fleet import DOMAIN, VirtualFleet

# A step takes 100 ms, whatever is in it.
PROFILE = EngineProfile(
    step_base_s=0.1,
    per_prefill_token_s=0.0,
    per_decode_token_s=0.0,
    kv_blocks=1024,
    max_num_seqs=2,
    max_model_len=4096,
    max_num_queued_reqs=4,
)
SPEC = ServerSpec(name="one", model="m", profile=PROFILE)
Use = Callable[[VirtualFleet, Fleet, VirtualClock], Awaitable[Any]]


def in_fleet(use: Use, *specs: ServerSpec, **options: Any) -> Any:
    """What ``use`` makes of a virtual fleet, a real client on its wire, and the clock."""

    async def main(clock: VirtualClock) -> Any:
        virtual = VirtualFleet(specs or (SPEC,), EchoModel(), clock=clock)
        endpoints = [
            EndpointSpec(name=spec.name, base_url=virtual.base_urls[spec.name], model=spec.model, **options)
            for spec in specs or (SPEC,)
        ]
        config = FleetConfig(passes=1, max_attempts=1)
        fleet = Fleet(endpoints, clock=clock, rng=np.random.default_rng(0), config=config, wire=virtual)
        try:
            return await use(virtual, fleet, clock)
        finally:
            await fleet.aclose()
            virtual.close()

    return run_in_virtual_time(main)


async def ask(fleet: Fleet, clock: VirtualClock, words: int = 5, budget_s: float = 60.0) -> Completion:
    request = ChatRequest(messages=[{"role": "user", "content": "word " * words}])
    return await fleet.complete(request, ["m"], Deadline.after(budget_s, clock))


def test_a_call_takes_one_step_for_each_token() -> None:
    async def use(virtual: VirtualFleet, fleet: Fleet, clock: VirtualClock) -> Completion:
        return await ask(fleet, clock)

    completion = in_fleet(use)
    assert completion.usage is not None
    assert completion.timings.ttft_s == pytest.approx(0.1)
    assert completion.timings.total_s == pytest.approx(0.1 * completion.usage.completion_tokens)


def test_a_third_call_waits_for_a_slot() -> None:
    async def use(virtual: VirtualFleet, fleet: Fleet, clock: VirtualClock) -> list[float]:
        completions = await asyncio.gather(*(ask(fleet, clock) for _ in range(3)))
        return sorted(completion.timings.ttft_s or 0.0 for completion in completions)

    first, second, third = in_fleet(use)
    assert first == second == pytest.approx(0.1)
    assert third > 0.2


def test_the_deadline_cuts_a_call_and_the_engine_forgets_it() -> None:
    async def use(virtual: VirtualFleet, fleet: Fleet, clock: VirtualClock) -> tuple[float, int]:
        with pytest.raises(EndpointTimeout):
            await ask(fleet, clock, words=500, budget_s=1.05)
        return clock.now_s(), virtual.servers["one"].driver.in_flight

    assert in_fleet(use) == (pytest.approx(1.05), 0)


def test_the_metrics_reader_sees_what_runs_and_what_waits() -> None:
    async def use(virtual: VirtualFleet, fleet: Fleet, clock: VirtualClock) -> tuple[Any, Any]:
        await fleet.watch()
        calls = [asyncio.create_task(ask(fleet, clock, words=50)) for _ in range(4)]
        await asyncio.sleep(1.0)
        load = fleet.snapshot().loads["one"]
        await asyncio.gather(*calls)
        return load.running, load.waiting

    assert in_fleet(use) == (2.0, 2.0)


FAULTS: list[tuple[Fault, type[Exception]]] = [
    (Fault.REFUSE, EndpointUnreachable),
    (Fault.GARBAGE, EndpointProtocolError),
    (Fault.DROP, EndpointUnreachable),
    (Fault.DIE, EndpointServerError),
    (Fault.STALL, EndpointTimeout),
]


@pytest.mark.parametrize(("fault", "kind"), FAULTS, ids=[fault.value for fault, _ in FAULTS])
def test_faults_reach_the_client_as_over_sockets(fault: Fault, kind: type[Exception]) -> None:
    async def use(virtual: VirtualFleet, fleet: Fleet, clock: VirtualClock) -> type[Exception]:
        virtual.servers["one"].faults.inject(fault)
        try:
            await ask(fleet, clock, budget_s=5.0)
        except FleetExhausted as error:
            return type(error.failures[0])
        except EndpointTimeout as error:
            return type(error)
        raise AssertionError("nothing was raised")

    assert in_fleet(use) is kind


def test_a_full_queue_is_refused() -> None:
    async def use(virtual: VirtualFleet, fleet: Fleet, clock: VirtualClock) -> int:
        results = await asyncio.gather(*(ask(fleet, clock) for _ in range(6)), return_exceptions=True)
        return sum(isinstance(result, FleetExhausted) for result in results)

    assert in_fleet(use) == 2


def test_a_wrong_key_is_refused() -> None:
    async def use(virtual: VirtualFleet, fleet: Fleet, clock: VirtualClock) -> None:
        with pytest.raises(EndpointUnauthorized):
            await ask(fleet, clock)

    in_fleet(use, ServerSpec(name="one", model="m", profile=PROFILE, api_key="secret"))


def test_other_routes_are_served_too() -> None:
    async def use(virtual: VirtualFleet, fleet: Fleet, clock: VirtualClock) -> Any:
        client = virtual.http_client(fleet.endpoints[0])
        async with client:
            response = await client.get(f"{virtual.base_urls['one']}/models")
        return response.json()["data"][0]["id"]

    assert in_fleet(use) == "m"


@pytest.mark.parametrize("path", ["/v1/models", "/health", "/metrics"])
def test_a_server_that_refuses_closes_every_connection(path: str) -> None:
    async def use(virtual: VirtualFleet, fleet: Fleet, clock: VirtualClock) -> tuple[int, dict[Fault, int]]:
        faults = virtual.servers["one"].faults
        async with virtual.http_client(fleet.endpoints[0]) as client:
            faults.inject(Fault.REFUSE, times=1)
            with pytest.raises(httpx2.RemoteProtocolError, match="closed the connection"):
                await client.get(f"http://one.{DOMAIN}{path}")
            return (await client.get(f"http://one.{DOMAIN}{path}")).status_code, faults.met

    assert in_fleet(use) == (200, {Fault.REFUSE: 1})


def test_the_load_of_a_server_that_refuses_cannot_be_read() -> None:
    async def use(virtual: VirtualFleet, fleet: Fleet, clock: VirtualClock) -> str:
        source = virtual.metrics_source(fleet.endpoints[0], clock)
        virtual.servers["one"].faults.inject(Fault.REFUSE)
        assert source.at_hand() is None
        with pytest.raises(EndpointUnreachable) as raised:
            await source.read()
        return raised.value.endpoint

    assert in_fleet(use) == "one"


def test_a_fault_of_chats_leaves_other_routes_alone() -> None:
    async def use(virtual: VirtualFleet, fleet: Fleet, clock: VirtualClock) -> int:
        virtual.servers["one"].faults.inject(Fault.DROP)
        async with virtual.http_client(fleet.endpoints[0]) as client:
            return (await client.get(f"{virtual.base_urls['one']}/models")).status_code

    assert in_fleet(use) == 200


def test_an_endpoint_of_another_host_is_named() -> None:
    virtual = VirtualFleet([SPEC], EchoModel(), clock=VirtualClock())
    with pytest.raises(ConfigError, match="base_url of elsewhere"):
        virtual.http_client(EndpointSpec(name="elsewhere", base_url="http://gpu-0:8000/v1", model="m"))


@pytest.mark.parametrize("specs", [(), (SPEC, SPEC)])
def test_servers_need_names_of_their_own(specs: tuple[ServerSpec, ...]) -> None:
    with pytest.raises(ConfigError, match="name of its own"):
        VirtualFleet(specs, EchoModel(), clock=VirtualClock())


async def test_answers_and_token_counts_are_those_of_the_http_fleet() -> None:
    clock = SystemClock()
    async with SimulatedFleet([SPEC], EchoModel(), speed=200.0) as http:
        endpoint = EndpointSpec(name="one", base_url=http.base_urls["one"], model="m")
        fleet = Fleet([endpoint], clock=clock)
        request = ChatRequest(messages=[{"role": "user", "content": "word " * 7}])
        over_http = await fleet.complete(request, ["m"], Deadline.after(30.0, clock))
        await fleet.aclose()

    async def use(virtual: VirtualFleet, fleet: Fleet, clock: VirtualClock) -> Completion:
        return await ask(fleet, clock, words=7)

    in_virtual_time = await asyncio.to_thread(in_fleet, use)
    assert (in_virtual_time.text, in_virtual_time.usage) == (over_http.text, over_http.usage)
