"""Virtual time: the loop's clock jumps, in order, and stands still for what is outside the loop."""

from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframind.errors import ConfigError
from inframind.simulator.virtual import EPOCH_S, VirtualClock, VirtualLoop, run_in_virtual_time


def test_a_sleep_takes_its_time_on_the_clock_and_none_in_the_world() -> None:
    async def main(clock: VirtualClock) -> tuple[float, float]:
        await asyncio.sleep(86_400)
        return clock.now_s(), clock.wall_s()

    began_s = time.monotonic()
    assert run_in_virtual_time(main) == (86_400, EPOCH_S + 86_400)
    assert time.monotonic() - began_s < 3_600


@given(st.lists(st.floats(0, 1e6), max_size=20))
def test_timers_fire_in_order_at_their_instants(delays_s: list[float]) -> None:
    async def main(clock: VirtualClock) -> list[tuple[float, float]]:
        fired: list[tuple[float, float]] = []

        async def wait(delay_s: float) -> None:
            await asyncio.sleep(delay_s)
            fired.append((delay_s, clock.now_s()))

        await asyncio.gather(*map(wait, delays_s))
        return fired

    fired = run_in_virtual_time(main)
    assert [delay_s for delay_s, _ in fired] == sorted(delays_s)
    assert [at_s for _, at_s in fired] == pytest.approx([delay_s for delay_s, _ in fired], abs=1e-6)


def test_a_timeout_fires_at_its_deadline() -> None:
    async def main(clock: VirtualClock) -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(7.5):
                await asyncio.Event().wait()
        return clock.now_s()

    assert run_in_virtual_time(main) == 7.5


def test_the_clock_stands_still_while_a_thread_works() -> None:
    async def main(clock: VirtualClock) -> list[tuple[str, float]]:
        story: list[tuple[str, float]] = []

        async def tick() -> None:
            await asyncio.sleep(1)
            story.append(("timer", clock.now_s()))

        ticking = asyncio.create_task(tick())
        await asyncio.to_thread(time.sleep, 0.05)
        story.append(("thread", clock.now_s()))
        await ticking
        return story

    assert run_in_virtual_time(main) == [("thread", 0.0), ("timer", 1.0)]


def test_an_idle_loop_says_so_instead_of_hanging(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inframind.simulator.virtual.STANDSTILL_S", 0.01)

    async def main(clock: VirtualClock) -> None:
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="virtual time stands still"):
        run_in_virtual_time(main)


def test_an_error_of_the_main_coroutine_comes_through() -> None:
    async def main(clock: VirtualClock) -> None:
        await asyncio.sleep(3)
        raise ValueError("as it was")

    with pytest.raises(ValueError, match="as it was"):
        run_in_virtual_time(main)


def test_the_clock_only_moves_forward() -> None:
    clock = VirtualClock(epoch_s=100.0)
    clock.advance(2.5)
    assert (clock.now_s(), clock.wall_s()) == (2.5, 102.5)
    for seconds in (-1.0, float("nan")):
        with pytest.raises(ConfigError, match="only moves forward"):
            clock.advance(seconds)


def test_the_loop_tells_the_time_of_its_clock() -> None:
    clock = VirtualClock()
    clock.advance(42.0)
    loop = VirtualLoop(clock)
    try:
        assert loop.time() == 42.0
    finally:
        loop.close()
