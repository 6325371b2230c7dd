"""Limits on calls in flight: never exceeded, most urgent first, no slot lost."""

from __future__ import annotations

import asyncio
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inframind.errors import ConfigError
from inframind.fleet.limits import ConcurrencyLimit


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_the_most_urgent_waiter_is_served_first_and_ties_in_order_of_arrival() -> None:
    limit, served = ConcurrencyLimit(1), []

    async def call(name: str, priority: int) -> None:
        await limit.acquire(priority)
        served.append(name)
        limit.release()

    await limit.acquire()
    waiting = [("late", 9), ("first", 1), ("second", 1), ("urgent", -5)]
    tasks = [asyncio.create_task(call(*who)) for who in waiting]
    await settle()
    assert (limit.held, limit.waiting, limit.is_full) == (1, 4, True)
    limit.release()
    await asyncio.gather(*tasks)
    assert served == ["urgent", "first", "second", "late"]
    assert (limit.held, limit.waiting, limit.is_full) == (0, 0, False)


@settings(max_examples=40, deadline=None)
@given(
    size=st.integers(1, 4),
    calls=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 6), st.booleans()), max_size=25),
)
def test_never_more_holders_than_slots_and_none_lost_when_cancelled(
    size: int, calls: list[tuple[int, int, bool]]
) -> None:
    async def scenario() -> None:
        limit, holders, peak = ConcurrencyLimit(size), 0, 0

        async def call(priority: int, turns: int) -> None:
            nonlocal holders, peak
            await limit.acquire(priority)
            holders += 1
            peak = max(peak, holders)
            try:
                for _ in range(turns):
                    await asyncio.sleep(0)
            finally:
                holders -= 1
                limit.release()

        tasks = []
        for priority, turns, is_cancelled in calls:
            tasks.append(asyncio.create_task(call(priority, turns)))
            await asyncio.sleep(0)
            if is_cancelled:
                tasks[len(tasks) // 2].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert peak <= size
        assert (limit.held, limit.waiting) == (0, 0)

    asyncio.run(scenario())


async def test_a_slot_handed_to_a_caller_that_is_being_cancelled_goes_on_to_the_next() -> None:
    limit = ConcurrencyLimit(1)
    await limit.acquire()
    doomed = asyncio.create_task(limit.acquire())
    heir = asyncio.create_task(limit.acquire())
    await settle()
    limit.release()
    doomed.cancel()
    await heir
    assert doomed.cancelled() and (limit.held, limit.waiting) == (1, 0)


async def test_two_event_loops_share_one_limit() -> None:
    limit = ConcurrencyLimit(1)
    await limit.acquire()
    other = threading.Thread(target=asyncio.run, args=(limit.acquire(),))
    other.start()
    while not limit.waiting:  # noqa: ASYNC110 (the other loop has no event for it)
        await asyncio.sleep(0.001)
    limit.release()
    await asyncio.to_thread(other.join)
    assert (limit.held, limit.waiting) == (1, 0)


async def test_a_waiter_whose_loop_was_closed_does_not_take_the_slot_with_it() -> None:
    limit = ConcurrencyLimit(1)
    await limit.acquire()

    def abandon() -> None:
        loop = asyncio.new_event_loop()
        waiting = limit.acquire()
        task = loop.create_task(waiting)
        loop.call_soon(loop.stop)
        loop.run_forever()
        loop.close()
        task.get_coro().close()  # type: ignore[union-attr]
        task._log_destroy_pending = False  # type: ignore[attr-defined]

    await asyncio.to_thread(abandon)
    limit.release()
    assert limit.held == 0


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_is_refused(limit: int) -> None:
    with pytest.raises(ConfigError, match="max_concurrency"):
        ConcurrencyLimit(limit)
