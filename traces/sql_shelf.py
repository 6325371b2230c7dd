"""The shelf of a SQL store: its tables stand beside the traces, and its transactions are the store's own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict

from sqlalchemy import Connection, bindparam, delete, select

from inframind.errors import StoreError
from inframind.traces import sql_shelf_lessons, sql_shelf_policies, sql_shelf_rollout
from inframind.traces.bell import Bell, wait_for_number
from inframind.traces.records import SOLVED_ONLY, SolvedKeys
from inframind.traces.shelf import (
    Lesson,
    LessonState,
    PolicyVersion,
    Progress,
    Replica,
    Rollout,
    RolloutEvent,
)
from inframind.traces.shelf_checks import (
    REPLICA_MEMORY_S,
    check_keep,
    check_learned,
    check_limit,
    check_version_prefix,
    checked_event,
    checked_policy,
    plain,
)
from inframind.traces.sql import insert, replacing
from inframind.traces.sql_shelf_leading import Leading, Leases
from inframind.traces.sql_shelf_tables import document, from_document, replicas
from inframind.traces.sql_store import SqlStore

_POLL_S = {"sqlite": 0.2, "postgresql": 2.0}
_BUSY_PAUSE_S = 0.01


class SqlShelf:
    """See `inframind.traces.shelf.Shelf`. Made and closed by its store, see `SqlStore.companion`.

    Args:
        store: where to keep things.
        poll_s: who waits looks so often even without news; None for what suits the database.
        busy_tries: how often `commit` tries for lessons that others are writing, hundredths of a second apart.
    """

    def __init__(self, store: SqlStore, *, poll_s: float | None = None, busy_tries: int = 200) -> None:
        self._store, self._dialect, self._busy_tries = store, store.dialect, busy_tries
        self._poll_s = _POLL_S[store.dialect] if poll_s is None else poll_s
        self._bell = Bell()
        self._leading: Leading = Leases(store)
        self._listener = None
        if store.dialect == "postgresql":
            from inframind.traces.sql_shelf_postgres import AdvisoryLocks, Listener

            self._leading = AdvisoryLocks(store.backend)
            self._listener = Listener(store.backend, self._bell)
        self._put_replica = replacing(insert(self._dialect, replicas), replicas)

    def close(self) -> None:
        """Wake who waits, and let go of what is the shelf's own. Blocks."""
        self._bell.close()
        self._leading.close()
        if self._listener is not None:
            self._listener.close()

    async def add_policy(self, version: PolicyVersion, content: bytes) -> PolicyVersion:
        """Keep a version for good; adding the same again changes nothing."""
        checked = checked_policy(version, content)

        def add(connection: Connection) -> PolicyVersion:
            return sql_shelf_policies.add_policy(connection, self._dialect, checked, content)

        return await self._store.transact("add policy", add, is_repeatable=True)

    async def policies(self) -> Sequence[PolicyVersion]:
        """All versions, in the order in which they were added."""
        return await self._store.read("policies", sql_shelf_policies.load_policies)

    async def policy(self, prefix: str) -> PolicyVersion:
        """The one version that begins with these six or more hex digits."""
        wanted = check_version_prefix(prefix)
        return await self._store.read("policy", lambda c: sql_shelf_policies.load_policy(c, wanted))

    async def policy_content(self, version: str) -> bytes:
        """A version's file, verified against its digest."""
        return await self._store.read("policy", lambda c: sql_shelf_policies.load_content(c, version))

    async def prune_policies(self, *, keep: int) -> int:
        """Forget all but the newest ``keep`` versions, and those that serve, served before or are tried."""
        newest = check_keep(keep)
        return await self._store.transact(
            "prune policies", lambda c: sql_shelf_policies.prune_policies(c, self._dialect, newest)
        )

    async def append(self, event: RolloutEvent, *, after: int) -> RolloutEvent:
        """Append an event, if ``after`` is still the last one's number."""
        checked = checked_event(event)
        appended = await self._store.transact(
            "append", lambda c: sql_shelf_rollout.append_event(c, self._dialect, checked, after)
        )
        self._bell.ring()
        return appended

    async def events(self, *, after: int = 0, limit: int | None = None) -> Sequence[RolloutEvent]:
        """Events with a greater number, oldest first."""
        most = check_limit(limit)
        return await self._store.read("events", lambda c: sql_shelf_rollout.load_events(c, after, most))

    async def rollout(self) -> Rollout:
        """Who serves now."""
        return await self._store.read("rollout", sql_shelf_rollout.load_rollout)

    async def lessons(
        self, *, now_s: float, patience_s: float, limit: int, keys: SolvedKeys = SOLVED_ONLY
    ) -> Sequence[Lesson]:
        """Lessons that are ``matured`` or ``unheard`` and not learned, in the order of their arrival."""
        check_limit(limit)
        by_s = now_s - patience_s
        return await self._store.read(
            "lessons",
            lambda c: sql_shelf_lessons.load_lessons(c, unheard_by_s=by_s, limit=limit, keys=keys),
        )

    async def lesson_counts(
        self, *, now_s: float, patience_s: float, keys: SolvedKeys = SOLVED_ONLY
    ) -> Mapping[LessonState, int]:
        """Number of lessons in each state."""
        by_s = now_s - patience_s
        return await self._store.read(
            "lessons", lambda c: sql_shelf_lessons.count_lessons(c, unheard_by_s=by_s, keys=keys)
        )

    async def progress(self, learner: str) -> Progress | None:
        """How far a learner has come, or None before its first commit."""
        return await self._store.read("progress", lambda c: sql_shelf_lessons.load_progress(c, learner))

    async def commit(
        self, learner: str, *, after: int, state: bytes, learned: Sequence[str], holder: str, at_s: float
    ) -> Progress:
        """Keep a learner's state and mark its lessons learned: both or neither."""
        names = check_learned(learned)
        progress = Progress(number=after + 1, state=state, at_s=at_s, holder=holder, learned=0)

        def keep(connection: Connection) -> Progress | None:
            return sql_shelf_lessons.commit_learned(connection, self._dialect, learner, progress, names)

        for _ in range(self._busy_tries):
            kept = await self._store.transact("commit", keep)
            if kept is not None:
                return kept
            await asyncio.sleep(_BUSY_PAUSE_S)
        raise StoreError("commit", f"others held lessons of learner {learner!r} all the time; try again")

    def lead(
        self, role: str, holder: str, *, now_s: float, ttl_s: float
    ) -> AbstractAsyncContextManager[bool]:
        """Whether this process holds a role while the context lasts; at most one does."""
        return self._leading.lead(role, holder, now_s=now_s, ttl_s=ttl_s)

    async def renew(self, role: str, holder: str, *, now_s: float, ttl_s: float) -> bool:
        """Extend a lease; False when it was lost."""
        return await self._leading.renew(role, holder, now_s=now_s, ttl_s=ttl_s)

    async def report(self, replica: Replica) -> None:
        """Say what this process serves; replaces what it said before."""
        facts = document(plain(replica.facts, f"replica {replica.name}"))
        oldest = {"silent_since_s": replica.at_s - REPLICA_MEMORY_S}
        await self._store.write(
            [(_FORGET_SILENT, oldest), (self._put_replica, {**asdict(replica), "facts": facts})]
        )

    async def replicas(self, *, since_s: float) -> Sequence[Replica]:
        """Who has reported since then, by name."""
        return await self._store.read("replicas", lambda c: _load_replicas(c, since_s))

    async def wait(self, *, after: int, timeout_s: float) -> int:
        """Number of the last event: at once when it is greater than ``after``, else when one comes."""
        if self._listener is not None:
            self._listener.start()
        return await wait_for_number(
            self._bell,
            lambda: self._store.read("wait", sql_shelf_rollout.load_number),
            after=after,
            timeout_s=timeout_s,
            poll_s=self._poll_s,
        )


_FORGET_SILENT = delete(replicas).where(replicas.c.at_s <= bindparam("silent_since_s"))


def _load_replicas(connection: Connection, since_s: float) -> Sequence[Replica]:
    rows = connection.execute(select(replicas).where(replicas.c.at_s >= since_s).order_by(replicas.c.name))
    return [Replica(**{**row, "facts": from_document(row["facts"])}) for row in rows.mappings()]
