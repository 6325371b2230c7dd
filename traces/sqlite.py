"""A trace store in one SQLite file: durable, shared by threads, event loops and processes on one machine.

Nothing here is tied to an event loop: one writer thread commits what gathered meanwhile (`group_commit`), a
few reader threads serve queries, on a synchronous SQLAlchemy engine. An AsyncEngine would tie its connections
to the loop that opened them, and a batch from several loops would need a thread in between all the same.

Durability: a write is in the file's write-ahead log when its call returns. With ``synchronous="NORMAL"`` it
survives the crash of the process; the last commits may be lost, without corruption, when the machine loses
power. ``"FULL"`` waits for the disk on every commit and survives that too.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from sqlalchemy import Connection, Engine, Executable, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from inframind.errors import ConfigError, StoreClosed, StoreError, UnknownTrace
from inframind.traces import sql
from inframind.traces.aliases import canonical, check_alias
from inframind.traces.group_commit import GroupCommit
from inframind.traces.prefix import check_prefix, only_match
from inframind.traces.query import ALL_TRACES, TraceQuery, TraceSummary, format_cursor
from inframind.traces.records import Outcome, Trajectory

Summaries = list[TraceSummary]  # inside the class, `list` is the method
Write = Sequence[tuple[Executable, sql.Row]]
T = TypeVar("T")

_READERS = 4
_PAGE_TRACES = 256
_WAL_TRIES, _WAL_PAUSE_S = 250, 0.02

_FIXES = {
    "readonly": "make the file and its folder writable for this user",
    "unable to open": "check that the path is a file in a folder that this user may write to",
    "not a database": "the file is damaged or no SQLite file; move it away, or restore it from a copy",
    "malformed": "the file is damaged; move it away, or restore it from a copy",
    "full": "free some disk space",
    "disk I/O": "check the disk's free space, quota and health",
    "locked": "another process held the file longer than busy_timeout_s; see which one, or raise the timeout",
}


class SqliteStore:
    """Opens or creates the file and brings its schema up to date before the constructor returns.

    Opening takes milliseconds and blocks: do it when the application starts. Methods may be awaited from
    several threads and event loops at once. A cancelled write is carried out all the same.

    Args:
        path: the database file; its folder must exist.
        synchronous: ``NORMAL`` or ``FULL``, see the module's docstring.
        busy_timeout_s: how long to wait for another process that is writing.

    Raises:
        ConfigError: the folder does not exist, or an option is out of range.
        StoreError: the file cannot be opened, is no SQLite database, or has a newer schema.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        synchronous: Literal["NORMAL", "FULL"] = "NORMAL",
        busy_timeout_s: float = 5.0,
    ) -> None:
        self.path = Path(path)
        _check_options(self.path, synchronous, busy_timeout_s)
        self._engine = _engine(self.path, synchronous, busy_timeout_s)
        self._writing = self._engine.execution_options(begin="IMMEDIATE")
        self._connection: Connection | None = None
        self._open_schema()
        self._commits = GroupCommit(self._commit, "inframind-trace-writer")
        self._readers = ThreadPoolExecutor(_READERS, "inframind-trace-reader")
        self._lock = threading.Lock()
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def put(self, trajectory: Trajectory) -> None:
        """Write a trajectory, or replace the one with its id; durable on return.

        Outcomes that were recorded before are kept, and win over those inside ``trajectory``.
        """
        inside = [sql.outcome_row(outcome, trace_id=trajectory.trace_id) for outcome in trajectory.outcomes]
        row = sql.trace_row(replace(trajectory, outcomes=()) if inside else trajectory)
        await self._commits.write(
            [(sql.PUT_TRACE, row), *((sql.KEEP_OUTCOME, outcome) for outcome in inside)]
        )

    async def get(self, trace_id: str) -> Trajectory:
        """The trajectory with its outcomes so far. Raises UnknownTrace."""
        found = await self._read("get", lambda connection: sql.load(connection, trace_id))
        if found is None:
            raise UnknownTrace(trace_id)
        return found

    async def resolve(self, prefix: str) -> str:
        """The one trace id that begins with these six or more hex digits."""
        wanted = check_prefix(prefix)
        found = await self._read(
            "resolve", lambda connection: sql.ids_with_prefix(connection, wanted, limit=2)
        )
        return only_match(wanted, found)

    async def list(self, query: TraceQuery = ALL_TRACES) -> Summaries:
        """Summaries of the traces that the query selects."""
        return await self._read("list", lambda connection: sql.load_summaries(connection, query))

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

        What comes early is kept in the file without bound, see `count_pending` and `prune_pending`.
        """
        row = sql.outcome_row(outcome, reference=canonical(reference))
        await self._commits.write([(sql.PUT_OUTCOME, row)])

    async def add_alias(self, alias: str, trace_id: str) -> None:
        """Give a trace another name, and join what was said early under that name."""
        name = check_alias(alias)
        joining = {"waiting_as": name, "joins": trace_id}
        statements: Write = [
            (sql.PUT_ALIAS, {"alias": name, "trace_id": trace_id}),
            (sql.JOIN_WAITING, joining),
            (sql.DROP_WAITING, {"waiting_as": name}),
        ]
        await self._commits.write(statements if name != trace_id else [])

    async def trace_of(self, reference: str) -> str | None:
        """Id of the trace that an alias, or its own id, names; None when there is none yet."""
        name = canonical(reference)
        return await self._read("trace_of", lambda connection: sql.load_trace_of(connection, name))

    async def count_pending(self) -> int:
        """Number of outcomes whose trace has not arrived."""
        return await self._read("count_pending", sql.count_pending)

    async def prune_pending(self, *, before_s: float) -> None:
        """Forget outcomes recorded before an instant whose trace has not arrived."""
        await self._commits.write([(sql.PRUNE_PENDING, {"before_s": before_s})])

    async def count(self) -> int:
        """Number of traces."""
        return await self._read("count", sql.count_traces)

    async def delete(self, trace_id: str) -> None:
        """Forget a trace, its outcomes and its aliases; nothing happens when there is none."""
        key = {"wanted": trace_id}
        statements = (sql.DELETE_TRACE, sql.DELETE_OUTCOMES, sql.DELETE_ALIASES)
        await self._commits.write([(statement, key) for statement in statements])

    async def aclose(self) -> None:
        """Commit what is waiting, then close the file. Closing twice is fine."""
        with self._lock:
            self._closed = True
        await asyncio.to_thread(self._shut_down)

    async def _read_page(self, query: TraceQuery) -> tuple[Trajectory, ...]:
        return await self._read("iter", lambda connection: sql.load_page(connection, query))

    async def _read(self, operation: str, function: Callable[[Connection], T]) -> T:
        """Run a query on a reader thread, on a snapshot of its own."""
        with self._lock:
            if self._closed:
                raise StoreClosed
            future = self._readers.submit(self._read_blocking, operation, function)
        return await asyncio.wrap_future(future)

    def _read_blocking(self, operation: str, function: Callable[[Connection], T]) -> T:
        with self._sql_errors(operation), self._engine.connect() as connection:
            return function(connection)

    def _commit(self, writes: Sequence[Write]) -> None:
        """One transaction; neighbours with the same statement go to SQLite together."""
        statements = [pair for write in writes for pair in write]
        with self._sql_errors("write"), self._writer() as connection, connection.begin():
            for statement, pairs in groupby(statements, key=lambda pair: pair[0]):
                connection.execute(statement, [row for _, row in pairs])

    @contextmanager
    def _writer(self) -> Iterator[Connection]:
        """The writer thread's own connection, kept from batch to batch, and replaced after an error.

        Taking one from the pool and giving it back costs as much as the commit itself.
        """
        connection, self._connection = self._connection or self._writing.connect(), None
        try:
            yield connection
        except BaseException:
            connection.invalidate()
            connection.close()
            raise
        self._connection = connection

    def _open_schema(self) -> None:
        try:
            with self._sql_errors("open"):
                _use_write_ahead_log(self.path)
                with self._writing.begin() as connection:
                    sql.migrate(connection, self.path)
        except StoreError:
            self._engine.dispose()
            raise

    def _shut_down(self) -> None:
        self._commits.close()
        self._readers.shutdown(wait=True)
        if self._connection is not None:
            self._connection.close()
        self._engine.dispose()

    @contextmanager
    def _sql_errors(self, operation: str) -> Iterator[None]:
        """Every database error leaves as a StoreError that names the file and the fix."""
        try:
            yield
        except (DBAPIError, sqlite3.Error) as error:
            cause = str(getattr(error, "orig", None) or error)
            fix = next((fix for symptom, fix in _FIXES.items() if symptom in cause), "see the message")
            raise StoreError(operation, f"{self.path}: {cause}; {fix}") from error


def _check_options(path: Path, synchronous: str, busy_timeout_s: float) -> None:
    if not path.parent.is_dir():
        raise ConfigError("store", str(path), f"create the folder {path.parent} first, or name another")
    if synchronous not in ("NORMAL", "FULL"):
        raise ConfigError("synchronous", synchronous, "choose NORMAL or FULL")
    if not 0 <= busy_timeout_s < float("inf"):
        raise ConfigError("busy_timeout_s", busy_timeout_s, "give a finite number of seconds, 0 or more")


def _engine(path: Path, synchronous: str, busy_timeout_s: float) -> Engine:
    """An engine that begins its own transactions (the driver's habit of doing so late is switched off)."""
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        connect_args={"timeout": busy_timeout_s, "check_same_thread": False},
        pool_size=_READERS + 1,
    )

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, _: object) -> None:
        connection.isolation_level = None
        connection.execute(f"PRAGMA synchronous={synchronous}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        mode = connection.get_execution_options().get("begin", "DEFERRED")
        connection.exec_driver_sql(f"BEGIN {mode}")

    return engine


def _use_write_ahead_log(path: Path) -> None:
    """Switch the file's journal; kept in the file, so only its first opening has anything to do.

    SQLite does not honour its busy timeout for this switch, hence the tries.
    """
    with closing(sqlite3.connect(path)) as connection:
        for _ in range(_WAL_TRIES):
            try:
                (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
            except sqlite3.OperationalError as error:
                if "locked" not in str(error):
                    raise
                time.sleep(_WAL_PAUSE_S)
                continue
            if mode != "wal":
                raise StoreError(
                    "open",
                    f"{path}: the file system has no shared memory for a write-ahead log; use a local disk",
                )
            return
    raise StoreError("open", f"{path}: locked by another process for {_WAL_TRIES * _WAL_PAUSE_S:.0f} s")
