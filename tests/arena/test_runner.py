from __future__ import annotations

import asyncio

import pytest

from inframind.arena.results.episodes import Answer, Episode
from inframind.arena.runner import Offer, run_workload
from inframind.errors import DeadlineExceeded, FleetExhausted
from inframind.fleet.clock import SystemClock
from inframind.simulator.items import Item

ITEMS = [
    Item(item_id=name, question=f"{name}?", answer="1", level=level)
    for level, name in enumerate(("a", "b", "c"), 1)
]
AT_ONCE = [0.0, 0.0, 0.0]


def answer(latency_s: float = 0.0, *, solved: bool = True, is_late: bool = False) -> Answer:
    return Answer(is_late=is_late, solved=solved, latency_s=latency_s, topology="IO", trace_id="t")


def ignore(event: Offer | Episode) -> None:
    pass


async def test_arrivals_do_not_wait_for_answers() -> None:
    last_has_come = asyncio.Event()

    async def solve(item: Item, budget_s: float) -> Answer:
        if item.item_id == "c":
            last_has_come.set()
        await last_has_come.wait()
        return answer()

    async with asyncio.timeout(10):
        episodes = await run_workload(solve, ITEMS, AT_ONCE, [9.0] * 3, SystemClock(), ignore)

    assert [episode.item_id for episode in episodes] == ["a", "b", "c"]


async def test_every_offered_question_is_accounted_for() -> None:
    async def solve(item: Item, budget_s: float) -> Answer:
        if item.item_id == "a":
            raise DeadlineExceeded("trace-a", budget_s, 2.0)
        if item.item_id == "b":
            raise FleetExhausted(())
        return answer(solved=False)

    a, b, c = await run_workload(solve, ITEMS, AT_ONCE, [60.0] * 3, SystemClock(), ignore)

    assert (a.status, a.trace_id, a.is_answered) == ("late", "trace-a", False)
    assert (b.status, b.error[:15], b.is_answered) == ("failed", "FleetExhausted:", False)
    assert (c.status, c.solved, c.level, c.error) == ("ok", False, 3, "")


async def test_an_answer_beyond_its_budget_is_late_whatever_the_contender_says() -> None:
    async def solve(item: Item, budget_s: float) -> Answer:
        return answer(latency_s=5.0)

    in_time, too_late, _ = await run_workload(solve, ITEMS, AT_ONCE, [60.0, 4.0, 60.0], SystemClock(), ignore)

    assert (in_time.status, too_late.status) == ("ok", "late")
    assert too_late.solved and too_late.is_answered and not too_late.is_on_time


async def test_a_sender_that_falls_behind_shows_in_the_latency() -> None:
    clock = SystemClock()

    class BehindClock(SystemClock):
        """Says at first that it is ten seconds earlier: every arrival is due long before it is sent."""

        asked = 0

        def now_s(self) -> float:
            self.asked += 1
            return clock.now_s() - (10.0 if self.asked == 1 else 0.0)

    async def solve(item: Item, budget_s: float) -> Answer:
        return answer(latency_s=1.0)

    (episode,) = await run_workload(solve, ITEMS[:1], [0.0], [5.0], BehindClock(), ignore)

    assert episode.lag_s >= 10.0
    assert episode.latency_s == episode.lag_s + 1.0
    assert episode.status == "late"


async def test_events_tell_of_every_arrival_and_every_end() -> None:
    events: list[tuple[str, int]] = []

    async def solve(item: Item, budget_s: float) -> Answer:
        return answer()

    await run_workload(
        solve, ITEMS, AT_ONCE, [1.0] * 3, SystemClock(),
        lambda event: events.append((type(event).__name__, event.index)),
    )  # fmt: skip

    assert sorted(events) == sorted((kind, index) for kind in ("Offer", "Episode") for index in range(3))


async def test_a_defect_ends_the_workload() -> None:
    async def solve(item: Item, budget_s: float) -> Answer:
        raise ZeroDivisionError

    with pytest.raises(ExceptionGroup) as caught:
        await run_workload(solve, ITEMS, AT_ONCE, [1.0] * 3, SystemClock(), ignore)

    assert caught.value.subgroup(ZeroDivisionError) is not None


async def test_unequal_lengths_are_refused() -> None:
    async def solve(item: Item, budget_s: float) -> Answer:
        return answer()

    with pytest.raises(ValueError, match="zip"):
        await run_workload(solve, ITEMS, [0.0], [1.0], SystemClock(), ignore)
