"""Endpoints to avoid: tried only when no other of any candidate is left."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from inframind.fleet.clock import Deadline, SystemClock
from inframind.fleet.endpoints import EndpointSpec
from inframind.fleet.messages import ChatRequest, Completion
from inframind.fleet.pool import Fleet, FleetConfig

CLOCK = SystemClock()
HELLO = ChatRequest(messages=[{"role": "user", "content": "hello"}])


async def ok(wire: Any) -> None:
    await wire.answer("ok")


async def busy(wire: Any) -> None:
    await wire.fail(503)


class Fleets:
    def __init__(self, serve: Any) -> None:
        self._serve, self.made = serve, []

    async def __call__(self, **scripts: Any) -> Fleet:
        """An endpoint per script; ``m0`` is the first one of model ``m``."""
        specs = [
            EndpointSpec(
                name=name, base_url=(await self._serve(script)).base_url, model=name[0], metrics=False
            )
            for name, script in scripts.items()
        ]
        fleet = Fleet(specs, clock=CLOCK, rng=np.random.default_rng(0), config=FleetConfig(backoff_s=0.001))
        self.made.append(fleet)
        return fleet


@pytest.fixture
async def make_fleet(serve: Any) -> AsyncIterator[Fleets]:
    fleets = Fleets(serve)
    yield fleets
    for fleet in fleets.made:
        await fleet.aclose()


async def complete(fleet: Fleet, *models: str, **options: Any) -> Completion:
    return await fleet.complete(HELLO, models, Deadline.after(10.0, CLOCK), **options)


def tried(completion: Completion) -> list[str]:
    return [*(attempt.endpoint for attempt in completion.attempts), completion.endpoint]


async def test_another_replica_of_the_model_is_called(make_fleet: Any) -> None:
    fleet = await make_fleet(m0=ok, m1=ok)
    assert [tried(await complete(fleet, "m", avoid={"m0"})) for _ in range(3)] == [["m1"]] * 3


async def test_another_model_is_called_before_it(make_fleet: Any) -> None:
    fleet = await make_fleet(m0=ok, m1=busy, n0=ok)
    assert tried(await complete(fleet, "m", "n", avoid={"m0"})) == ["m1", "n0"]


async def test_it_is_called_when_nothing_else_is_left(make_fleet: Any) -> None:
    fleet = await make_fleet(m0=ok, m1=busy, n0=busy)
    assert tried(await complete(fleet, "m", "n", avoid={"m0"})) == ["m1", "n0", "m0"]


async def test_it_is_called_where_there_is_no_other(make_fleet: Any) -> None:
    fleet = await make_fleet(m0=ok)
    assert tried(await complete(fleet, "m", avoid={"m0"})) == ["m0"]


async def test_a_warm_cache_does_not_outweigh_it(make_fleet: Any) -> None:
    fleet = await make_fleet(m0=ok, m1=ok)
    assert tried(await complete(fleet, "m", avoid={"m0"}, prefer="m0")) == ["m1"]
