"""Retention, abandoned runs and lessons that an older version did not write down: the same in every store."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import delete, text

from inframind.traces.query import TraceQuery
from inframind.traces.records import Outcome, Trajectory
from inframind.traces.shelves import shelf_of
from inframind.traces.sql_store import SqlStore
from inframind.traces.sql_tables import lessons
from inframind.traces.store import TraceStore, open_store


def trajectory(n: int, **changes: Any) -> Trajectory:
    fields = {"trace_id": f"{n:032x}", "question": "q", "arrived_at_s": float(n), "budget_s": 1.0}
    return Trajectory(**{**fields, **changes})


def solved(at_s: float) -> Outcome:
    return Outcome(feedback_id="f", key="solved", score=1.0, recorded_at_s=at_s)


async def ids(store: TraceStore) -> list[int]:
    return [int(t.trace_id, 16) async for t in store.iter(TraceQuery(oldest_first=True))]


async def counts(store: TraceStore) -> dict[str, int]:
    found = await shelf_of(store).lesson_counts(now_s=1000.0, patience_s=500.0)
    return {state: number for state, number in found.items() if number}


async def test_prune_forgets_what_is_old_with_all_that_belongs_to_it(store: TraceStore) -> None:
    for n in range(1, 5):
        await store.put(trajectory(n))
        await store.add_outcome(f"{n:032x}", solved(1.0))
        await store.add_alias(f"thread:{n}", f"{n:032x}")
    await store.add_outcome("thread:unknown", solved(1.0))
    assert await store.prune(before_s=3.0) == 2
    assert await ids(store) == [3, 4]
    assert [await store.trace_of(f"thread:{n}") for n in (2, 3)] == [None, f"{3:032x}"]
    assert await counts(store) == {"matured": 2}
    assert await store.count_pending() == 1
    await store.put(trajectory(1))
    assert (await store.get(f"{1:032x}")).outcomes == ()


async def test_a_dry_run_of_prune_counts_and_forgets_nothing(store: TraceStore) -> None:
    for n in range(1, 5):
        await store.put(trajectory(n))
    assert await store.prune(before_s=3.0, dry_run=True) == 2
    assert await store.count() == 4


async def test_writers_go_on_while_many_batches_are_pruned(store: TraceStore) -> None:
    await asyncio.gather(*(store.put(trajectory(n)) for n in range(450)))
    pruned, *_ = await asyncio.gather(
        store.prune(before_s=440.0), *(store.put(trajectory(n)) for n in range(1000, 1040))
    )
    assert pruned == 440
    assert await ids(store) == [*range(440, 450), *range(1000, 1040)]


async def test_open_runs_that_nobody_resumes_are_closed_and_are_lessons(store: TraceStore) -> None:
    await store.put(trajectory(1, status="open", answer="half"))
    await store.put(trajectory(2, status="failed", error="FleetExhausted"))
    await store.put(trajectory(9, status="open"))
    await store.add_outcome(f"{1:032x}", solved(2.0))
    assert await counts(store) == {"unheard": 1}
    assert await store.close_abandoned(before_s=5.0) == 1
    closed = await store.get(f"{1:032x}")
    assert (closed.status, closed.error_detail, closed.answer) == ("cancelled", "nobody resumed it", "half")
    assert closed.outcomes == (solved(2.0),)
    assert [s.status for s in await store.list()] == ["open", "failed", "cancelled"]
    assert await counts(store) == {"unheard": 1, "matured": 1}
    assert await store.close_abandoned(before_s=5.0) == 0


async def test_a_run_that_is_resumed_after_all_ends_as_if_it_had_stayed_open(store: TraceStore) -> None:
    await store.put(trajectory(1, status="open"))
    await store.close_abandoned(before_s=5.0)
    await store.put(trajectory(1, answer="42"))
    assert await store.get(f"{1:032x}") == trajectory(1, answer="42")
    assert await counts(store) == {"unheard": 1}


async def test_lessons_that_nobody_wrote_down_are_adopted(disk_url: str) -> None:
    async with open_store(disk_url) as store:
        assert isinstance(store, SqlStore)
        for n in range(1, 6):
            await store.put(trajectory(n, status="open" if n == 5 else "ok"))
        await store.add_outcome(f"{3:032x}", solved(7.0))
        await store.add_outcome(f"{4:032x}", solved(8.0))
        await store.write([(delete(lessons).where(lessons.c.arrived_at_s < 4.0), {})])
        await store.transact("test", lambda c: c.execute(text("UPDATE lessons SET heard_at_s = NULL")))
        assert await store.adopt_lessons(since_s=2.0) == 3
        assert await store.adopt_lessons(since_s=2.0) == 0
        assert await counts(store) == {"unheard": 1, "matured": 2}


async def test_memory_has_nothing_to_adopt(store: TraceStore) -> None:
    await store.put(trajectory(1))
    assert await store.adopt_lessons(since_s=0.0) == 0


@pytest.mark.parametrize("status", ["open", "ok"])
async def test_deleting_a_trace_deletes_its_lesson(store: TraceStore, status: Any) -> None:
    await store.put(trajectory(1, status=status))
    await store.delete(f"{1:032x}")
    assert await counts(store) == {}
