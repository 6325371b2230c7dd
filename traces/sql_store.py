"""A trace store in a SQL database: every method of the contract, whatever the database; subclasses say which.

What stands beside the traces in the same database, such as a shelf of policies, uses `SqlStore.write`,
`SqlStore.transact` and `SqlStore.read`, and adds its tables as a `Migration`.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Protocol, Self, TypeVar, cast

from sqlalchemy import Connection

from inframind.errors import StoreClosed, UnknownTrace
from inframind.traces import sql, sql_read, sql_upkeep
from inframind.traces.aliases import canonical, check_alias
from inframind.traces.group_commit import WriteLimits
from inframind.traces.migration import Dialect
from inframind.traces.prefix import check_prefix, only_match
from inframind.traces.query import ALL_TRACES, TraceQuery, TraceSummary, format_cursor
from inframind.traces.records import Outcome, Trajectory
from inframind.traces.sql import Write
from inframind.traces.sql_backend import Backend
from inframind.traces.sql_session import SqlSession

Summaries = list[TraceSummary]  # inside the class, `list` is the method
T = TypeVar("T")
C = TypeVar("C", bound="Companion")

_PAGE_TRACES = 256


class Companion(Protocol):
    """What stands beside the traces in the same database."""

    def close(self) -> None:
        """Let go of what is its own; the store is still open. Blocks."""
        ...


class SqlStore:
    """Opens a database and brings its schema up to date before the constructor returns.

    Opening takes milliseconds and blocks: do it when the application starts. Methods may be awaited from
    several threads and event loops at once. A cancelled write is carried out all the same. In a forked process
    the store opens connections of its own when it is first used.

    Raises:
        StoreError: the database cannot be opened, or has a newer schema.
    """

    def __init__(self, backend: Backend, limits: WriteLimits) -> None:
        self._backend, self._limits = backend, limits
        self._statements = backend.statements
        self._closed = False
        session = self._new_session()
        session.open_schema()
        self._sessions = {os.getpid(): session}  # a parent's session is kept, not closed: it is the parent's
        self._companions: dict[tuple[int, Callable[[SqlStore], Companion]], Companion] = {}
        self._lock = threading.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    @property
    def backend(self) -> Backend:
        """The database; what needs a connection for itself alone makes an engine with it."""
        return self._backend

    @property
    def waiting(self) -> int:
        """Number of this process' writes that are not committed yet."""
        return self._session().waiting

    @property
    def dialect(self) -> Dialect:
        """Which words of SQL it speaks."""
        return self._backend.dialect

    async def write(self, write: Write) -> None:
        """Execute statements in a transaction that other writes share, see `SqlSession.write`."""
        await self._session().write(lambda: write)

    async def transact(
        self, operation: str, function: Callable[[Connection], T], *, is_repeatable: bool = False
    ) -> T:
        """Run a function in a write transaction of its own, see `SqlSession.transact`."""
        return await self._session().transact(operation, function, is_repeatable=is_repeatable)

    async def read(self, operation: str, function: Callable[[Connection], T]) -> T:
        """Run a query on a reader thread, see `SqlSession.read`."""
        return await self._session().read(operation, function)

    def companion(self, kind: Callable[[SqlStore], C]) -> C:
        """The one of its kind beside this store, in this process; made when first asked for, closed with the store."""
        key = (os.getpid(), kind)
        with self._lock:
            if self._closed:
                raise StoreClosed
            if key not in self._companions:
                self._companions[key] = kind(self)
            return cast(C, self._companions[key])

    async def put(self, trajectory: Trajectory) -> None:
        """Write a trajectory, or replace the one with its id; durable on return.

        Outcomes that were recorded before are kept, and win over those inside ``trajectory``.
        """
        await self._session().write(lambda: self._statements.put(trajectory))

    async def get(self, trace_id: str) -> Trajectory:
        """The trajectory with its outcomes so far. Raises UnknownTrace."""
        found = await self.read("get", lambda connection: sql_read.load(connection, trace_id))
        if found is None:
            raise UnknownTrace(trace_id)
        return found

    async def get_many(self, trace_ids: Sequence[str]) -> tuple[Trajectory, ...]:
        """Those of the trajectories that there are, in the order asked for."""
        return await self.read("get", lambda connection: sql_read.load_many(connection, trace_ids))

    async def resolve(self, prefix: str) -> str:
        """The one trace id that begins with these six or more hex digits."""
        wanted = check_prefix(prefix)
        found = await self.read(
            "resolve", lambda connection: sql_read.ids_with_prefix(connection, wanted, limit=2)
        )
        return only_match(wanted, found)

    async def list(self, query: TraceQuery = ALL_TRACES) -> Summaries:
        """Summaries of the traces that the query selects."""
        return await self.read("list", lambda connection: sql_read.load_summaries(connection, query))

    async def iter(self, query: TraceQuery = ALL_TRACES) -> AsyncIterator[Trajectory]:
        """The trajectories that the query selects, read page by page: no transaction stays open meanwhile."""
        left = query.limit
        while left is None or left > 0:
            size = _PAGE_TRACES if left is None else min(_PAGE_TRACES, left)
            page = await self._read_page(replace(query, limit=size))
            for trajectory in page:
                yield trajectory
            if len(page) < size:
                return
            query = replace(query, cursor=format_cursor(page[-1].arrived_at_s, page[-1].trace_id))
            left = None if left is None else left - size

    async def add_outcome(self, reference: str, outcome: Outcome) -> None:
        """Record feedback, now or before its trace arrives; the same feedback id replaces.

        What comes early is kept without bound, see `count_pending` and `prune_pending`.
        """
        name = canonical(reference)
        await self._session().write(lambda: self._statements.add_outcome(name, outcome))

    async def add_alias(self, alias: str, trace_id: str) -> None:
        """Give a trace another name, and join what was said early under that name."""
        name = check_alias(alias)
        await self.write(self._statements.add_alias(name, trace_id) if name != trace_id else [])

    async def trace_of(self, reference: str) -> str | None:
        """Id of the trace that an alias, or its own id, names; None when there is none yet."""
        name = canonical(reference)
        return await self.read("trace_of", lambda connection: sql_read.load_trace_of(connection, name))

    async def count_pending(self) -> int:
        """Number of outcomes whose trace has not arrived."""
        return await self.read("count_pending", sql_read.count_pending)

    async def prune_pending(self, *, before_s: float) -> None:
        """Forget outcomes recorded before an instant whose trace has not arrived."""
        await self.write([(sql.PRUNE_PENDING, {"before_s": before_s})])

    async def count(self) -> int:
        """Number of traces."""
        return await self.read("count", sql_read.count_traces)

    async def delete(self, trace_id: str) -> None:
        """Forget a trace, its outcomes and its aliases; nothing happens when there is none."""
        await self.write([(statement, {"wanted": trace_id}) for statement in sql.DELETE_TRACE])

    async def prune(self, *, before_s: float, dry_run: bool = False) -> int:
        """Forget what arrived before an instant, batch by batch, so that writers need not wait."""
        if dry_run:
            return await self.read("prune", lambda connection: sql_upkeep.count_before(connection, before_s))
        return await self._in_batches(
            "prune", lambda connection: sql_upkeep.prune_batch(connection, before_s)
        )

    async def close_abandoned(self, *, before_s: float) -> int:
        """Close open traces that arrived before an instant, batch by batch."""
        return await self._in_batches(
            "close_abandoned",
            lambda connection: sql_upkeep.close_batch(connection, self._statements, before_s),
        )

    async def adopt_lessons(self, *, since_s: float) -> int:
        """Make lessons of what an older version wrote beside this one."""
        adopted = await self._in_batches(
            "adopt_lessons",
            lambda connection: sql_upkeep.adopt_batch(connection, self._statements, since_s),
        )
        heard = await self.transact(
            "adopt_lessons",
            lambda connection: sql_upkeep.hear_missed(connection, since_s),
            is_repeatable=True,
        )
        return adopted + heard

    async def aclose(self) -> None:
        """Commit what is waiting, then close the connections. Closing twice is fine."""
        self._closed = True
        await asyncio.to_thread(self._shut_down)

    def _shut_down(self) -> None:
        with self._lock:
            mine = [beside for (pid, _), beside in self._companions.items() if pid == os.getpid()]
        for beside in mine:
            beside.close()
        session = self._sessions.get(os.getpid())
        if session is not None:
            session.close()

    async def _read_page(self, query: TraceQuery) -> tuple[Trajectory, ...]:
        return await self.read("iter", lambda connection: sql_read.load_page(connection, query))

    async def _in_batches(self, operation: str, batch: Callable[[Connection], int]) -> int:
        """Repeat until a batch is not full; other writes get their turn in between."""
        total = 0
        while True:
            done = await self.transact(operation, batch, is_repeatable=True)
            total += done
            if done < sql_upkeep.BATCH_TRACES:
                return total

    def _session(self) -> SqlSession:
        """This process' own: neither threads nor connections survive a fork."""
        if self._closed:
            raise StoreClosed
        mine = self._sessions.get(os.getpid())
        return mine or self._sessions.setdefault(os.getpid(), self._new_session())

    def _new_session(self) -> SqlSession:
        return SqlSession(self._backend, self._limits)
