"""Leading, reporting and waiting, on every shelf."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

import pytest

from inframind.errors import StoreClosed
from inframind.traces.shelf import Replica, Shelf
from inframind.traces.shelves import shelf_of
from inframind.traces.store import TraceStore, open_store

FOREVER_S = 60.0


async def test_of_two_one_leads_until_it_lets_go(shelf: Shelf) -> None:
    async with shelf.lead("learner", "a", now_s=0.0, ttl_s=10.0) as first:
        async with shelf.lead("learner", "b", now_s=1.0, ttl_s=10.0) as second:
            assert (first, second) == (True, False)
        async with shelf.lead("gate", "b", now_s=1.0, ttl_s=10.0) as other_role:
            assert other_role
    async with shelf.lead("learner", "b", now_s=2.0, ttl_s=10.0) as third:
        assert third


async def test_who_could_not_lead_takes_nothing_with_it(shelf: Shelf) -> None:
    async with shelf.lead("learner", "a", now_s=0.0, ttl_s=10.0):
        async with shelf.lead("learner", "b", now_s=1.0, ttl_s=10.0):
            pass
        assert await shelf.renew("learner", "a", now_s=2.0, ttl_s=10.0)
        async with shelf.lead("learner", "c", now_s=3.0, ttl_s=10.0) as third:
            assert not third


async def test_only_who_leads_can_renew(shelf: Shelf) -> None:
    assert not await shelf.renew("learner", "a", now_s=0.0, ttl_s=10.0)
    async with shelf.lead("learner", "a", now_s=0.0, ttl_s=10.0):
        assert await shelf.renew("learner", "a", now_s=9.0, ttl_s=10.0)
        assert not await shelf.renew("learner", "b", now_s=9.0, ttl_s=10.0)
        async with shelf.lead("learner", "b", now_s=18.0, ttl_s=10.0) as second:
            assert not second
    assert not await shelf.renew("learner", "a", now_s=10.0, ttl_s=10.0)


async def test_many_ask_at_once_and_one_leads(shelf: Shelf) -> None:
    asked, leading = asyncio.Barrier(6), []

    async def ask(holder: str) -> None:
        async with shelf.lead("learner", holder, now_s=0.0, ttl_s=10.0) as leads:
            leading.append(leads)
            await asked.wait()

    await asyncio.gather(*(ask(f"h{n}") for n in range(6)))
    assert sorted(leading) == [False] * 5 + [True]


async def test_a_leader_that_fails_or_is_cancelled_lets_go(shelf: Shelf) -> None:
    with pytest.raises(ZeroDivisionError):
        async with shelf.lead("learner", "a", now_s=0.0, ttl_s=10.0):
            raise ZeroDivisionError
    leads = asyncio.Event()

    async def lead() -> None:
        async with shelf.lead("learner", "b", now_s=0.0, ttl_s=10.0) as leading:
            assert leading
            leads.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(lead())
    await leads.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    async with shelf.lead("learner", "c", now_s=0.0, ttl_s=10.0) as third:
        assert third


async def test_a_lease_that_ran_out_is_taken_over_and_lost(url: str) -> None:
    if url.startswith("postgres"):
        pytest.skip("needs a lease; PostgreSQL has locks that last as long as their connection")
    async with open_store(url) as store:
        shelf = shelf_of(store)
        async with (
            shelf.lead("learner", "a", now_s=0.0, ttl_s=10.0),
            shelf.lead("learner", "b", now_s=10.0, ttl_s=10.0) as second,
        ):
            assert second
            assert not await shelf.renew("learner", "a", now_s=11.0, ttl_s=10.0)
            assert await shelf.renew("learner", "b", now_s=11.0, ttl_s=10.0)
        async with shelf.lead("learner", "a", now_s=12.0, ttl_s=10.0) as again:
            assert again


async def test_replicas_are_listed_by_name_as_they_last_reported(shelf: Shelf) -> None:
    facts = {"in_flight": 3, "open": ["e1"], "names": {"a": None}}
    said = [
        Replica(name="b", at_s=10.0, serving="v1"),
        Replica(name="a", at_s=11.0, serving="v1", candidate="v2", facts=facts),
        Replica(name="c", at_s=5.0, serving=""),
    ]
    for replica in said:
        await shelf.report(replica)
    assert list(await shelf.replicas(since_s=0.0)) == [said[1], said[0], said[2]]
    assert list(await shelf.replicas(since_s=10.0)) == [said[1], said[0]]
    await shelf.report(Replica(name="b", at_s=20.0, serving="v2"))
    assert list(await shelf.replicas(since_s=12.0)) == [Replica(name="b", at_s=20.0, serving="v2")]


async def test_a_replica_that_was_silent_for_a_day_is_forgotten(shelf: Shelf) -> None:
    await shelf.report(Replica(name="old", at_s=0.0, serving=""))
    await shelf.report(Replica(name="new", at_s=86_399.0, serving=""))
    assert len(await shelf.replicas(since_s=0.0)) == 2
    await shelf.report(Replica(name="new", at_s=86_400.0, serving=""))
    assert [replica.name for replica in await shelf.replicas(since_s=0.0)] == ["new"]


async def test_waiting_ends_at_once_when_there_is_news(shelf: Shelf, made: Any) -> None:
    await shelf.append(made.event("", None), after=0)
    assert await shelf.wait(after=0, timeout_s=FOREVER_S) == 1


async def test_waiting_ends_when_the_time_is_up(shelf: Shelf) -> None:
    assert await shelf.wait(after=0, timeout_s=0.01) == 0
    assert await shelf.wait(after=5, timeout_s=0.0) == 0


async def test_waiting_ends_when_an_event_comes(shelf: Shelf, made: Any) -> None:
    waiting = [asyncio.create_task(shelf.wait(after=0, timeout_s=FOREVER_S)) for _ in range(3)]
    await asyncio.sleep(0)
    await shelf.append(made.event("", None), after=0)
    assert await asyncio.gather(*waiting) == [1, 1, 1]


async def test_waiting_ends_when_another_store_of_the_same_place_appends(shared_url: str, made: Any) -> None:
    async with open_store(shared_url) as one, open_store(shared_url) as two:
        waiting = asyncio.create_task(shelf_of(one).wait(after=0, timeout_s=FOREVER_S))
        await asyncio.sleep(0)
        await shelf_of(two).append(made.event("", None), after=0)
        assert await waiting == 1


async def test_waiting_can_be_cancelled(shelf: Shelf) -> None:
    task = asyncio.create_task(shelf.wait(after=0, timeout_s=FOREVER_S))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_waiting_ends_when_the_store_is_closed(store: TraceStore, shelf: Shelf) -> None:
    task = asyncio.create_task(shelf.wait(after=0, timeout_s=FOREVER_S))
    await asyncio.sleep(0.01)
    await store.aclose()
    with pytest.raises(StoreClosed):
        await task


async def test_events_from_another_thread_and_loop_wake_who_waits(shelf: Shelf, made: Any) -> None:
    waiting = asyncio.create_task(shelf.wait(after=0, timeout_s=FOREVER_S))
    await asyncio.sleep(0)
    appending = threading.Thread(target=lambda: asyncio.run(shelf.append(made.event("", None), after=0)))  # type: ignore[arg-type]
    appending.start()
    assert await waiting == 1
    await asyncio.to_thread(appending.join)


async def test_a_closed_store_has_a_closed_shelf_and_leaves_no_thread(url: str, made: Any) -> None:
    before = set(threading.enumerate())
    async with open_store(url) as store:
        shelf = shelf_of(store)
        await shelf.wait(after=0, timeout_s=0.0)
        await shelf.wait(after=0, timeout_s=0.01)
        async with shelf.lead("learner", "a", now_s=0.0, ttl_s=1.0):
            pass
    left = [thread for thread in set(threading.enumerate()) - before if not thread.name.startswith("asyncio")]
    assert left == []
    calls: list[Coroutine[Any, Any, object]] = [
        shelf.add_policy(made.version(1), made.content(1)),
        shelf.policies(),
        shelf.policy("123456"),
        shelf.policy_content("123456"),
        shelf.prune_policies(keep=1),
        shelf.append(made.event("", None), after=0),
        shelf.events(),
        shelf.rollout(),
        shelf.lessons(now_s=0.0, patience_s=0.0, limit=1),
        shelf.lesson_counts(now_s=0.0, patience_s=0.0),
        shelf.progress("one"),
        shelf.commit("one", after=0, state=b"", learned=[], holder="me", at_s=0.0),
        shelf.renew("learner", "a", now_s=0.0, ttl_s=1.0),
        shelf.report(Replica(name="a", at_s=0.0, serving="")),
        shelf.replicas(since_s=0.0),
        shelf.wait(after=0, timeout_s=1.0),
    ]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(result) for result in results} == {StoreClosed}
    with pytest.raises(StoreClosed):
        async with shelf.lead("learner", "a", now_s=0.0, ttl_s=1.0):
            pass


async def test_a_store_can_close_while_somebody_leads(url: str) -> None:
    store = open_store(url)
    async with shelf_of(store).lead("learner", "a", now_s=0.0, ttl_s=FOREVER_S) as leads:
        assert leads
        await store.aclose()
