"""What a shelf promises on PostgreSQL alone: locks that end with their connection, and news without polling."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from inframind.errors import LearnerMoved, StoreError
from inframind.traces.postgres import PostgresStore
from inframind.traces.shelves import shelf_of
from inframind.traces.sql_shelf import SqlShelf
from inframind.traces.sql_store import SqlStore
from inframind.traces.store import open_store

FOREVER_S = 60.0


@pytest.fixture
def ask(postgres_url: str) -> Callable[..., list[tuple[Any, ...]]]:
    """``ask(statement)``: what the server says, on a connection of the test's own."""
    import psycopg

    def answer(statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    return answer


def dropping(where: str) -> str:
    return f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND {where}"


LISTENING = "query LIKE 'LISTEN inframind_rollout%'"
LEADING = "pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory')"


def never_polls(store: SqlStore) -> SqlShelf:
    """A shelf that hears of news by notification, or not at all."""
    return SqlShelf(store, poll_s=FOREVER_S)


async def test_news_come_by_notification(postgres_url: str, made: Any) -> None:
    async with PostgresStore(postgres_url) as one, open_store(postgres_url) as two:
        waiting = asyncio.create_task(one.companion(never_polls).wait(after=0, timeout_s=FOREVER_S))
        await shelf_of(two).append(made.event("", None), after=0)
        assert await waiting == 1


async def test_news_come_again_after_the_connection_was_dropped(
    postgres_url: str, made: Any, ask: Callable[..., list[Any]]
) -> None:
    async with PostgresStore(postgres_url) as one, open_store(postgres_url) as two:
        waiting = asyncio.create_task(one.companion(never_polls).wait(after=0, timeout_s=FOREVER_S))
        while not ask(dropping(LISTENING)):  # noqa: ASYNC110 - the server's state
            await asyncio.sleep(0.01)
        await shelf_of(two).append(made.event("", None), after=0)
        assert await waiting == 1


async def test_who_lost_the_connection_leads_no_more(
    postgres_url: str, ask: Callable[..., list[Any]]
) -> None:
    async with (
        open_store(postgres_url) as one,
        open_store(postgres_url) as two,
        shelf_of(one).lead("learner", "a", now_s=0.0, ttl_s=1.0) as first,
    ):
        assert first
        assert await shelf_of(one).renew("learner", "a", now_s=9.0, ttl_s=1.0)
        assert ask(dropping(LEADING)) == [(True,)]
        async with shelf_of(two).lead("learner", "b", now_s=0.0, ttl_s=1.0) as second:
            assert second
            assert not await shelf_of(one).renew("learner", "a", now_s=0.0, ttl_s=1.0)


async def test_leading_leaves_no_lock_and_no_connection(
    postgres_url: str, ask: Callable[..., list[Any]]
) -> None:
    async with open_store(postgres_url) as store:
        async with shelf_of(store).lead("learner", "a", now_s=0.0, ttl_s=1.0):
            assert ask("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(1,)]
        assert ask("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)]


async def test_shelves_in_two_schemas_are_led_apart(postgres_url: str, ask: Callable[..., list[Any]]) -> None:
    ask("CREATE SCHEMA shelf_beside")
    beside = postgres_url.replace(postgres_url.rpartition("%3D")[2], "shelf_beside")
    async with (
        open_store(postgres_url) as one,
        open_store(beside) as two,
        shelf_of(one).lead("learner", "a", now_s=0.0, ttl_s=1.0) as first,
        shelf_of(two).lead("learner", "b", now_s=0.0, ttl_s=1.0) as second,
    ):
        assert (first, second) == (True, True)


async def test_a_lesson_that_somebody_writes_is_waited_for(postgres_url: str, made: Any) -> None:
    import psycopg

    async with open_store(postgres_url) as store:
        shelf = shelf_of(store)
        await store.put(made.run(1))
        with psycopg.connect(postgres_url) as writer:
            writer.execute("UPDATE lessons SET heard_at_s = 1")
            committing = asyncio.create_task(
                shelf.commit("one", after=0, state=b"", learned=[made.trace_id(1)], holder="a", at_s=1.0)
            )
            await asyncio.sleep(0.05)
            assert not committing.done()
            writer.commit()
            assert (await committing).learned == 1


async def test_a_lesson_that_somebody_learns_meanwhile_is_lost(postgres_url: str, made: Any) -> None:
    import psycopg

    async with open_store(postgres_url) as store:
        shelf = shelf_of(store)
        await store.put(made.run(1))
        with psycopg.connect(postgres_url) as other:
            other.execute("UPDATE lessons SET learned_at_s = 1")
            committing = asyncio.create_task(
                shelf.commit("one", after=0, state=b"", learned=[made.trace_id(1)], holder="a", at_s=1.0)
            )
            await asyncio.sleep(0.05)
            other.commit()
            with pytest.raises(LearnerMoved, match="learned already"):
                await committing


def tries_twice(store: SqlStore) -> SqlShelf:
    """A shelf that gives up soon."""
    return SqlShelf(store, busy_tries=2)


async def test_a_lesson_that_is_held_for_ever_is_an_error(postgres_url: str, made: Any) -> None:
    import psycopg

    async with PostgresStore(postgres_url) as store:
        shelf = store.companion(tries_twice)
        await store.put(made.run(1))
        with psycopg.connect(postgres_url) as writer:
            writer.execute("UPDATE lessons SET heard_at_s = 1")
            with pytest.raises(StoreError, match="held lessons"):
                await shelf.commit(
                    "one", after=0, state=b"", learned=[made.trace_id(1)], holder="a", at_s=1.0
                )
        assert await shelf.progress("one") is None
