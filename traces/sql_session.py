"""Connections and threads of a SQL store in one process: one thread writes, a few read.

Nothing here is tied to an event loop: one writer thread commits what gathered meanwhile (`group_commit`), a
few reader threads serve queries, on a synchronous SQLAlchemy engine. An AsyncEngine would tie its connections
to the loop that opened them, and a batch from several loops would need a thread in between all the same.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from inframind.errors import InfraMindError, StoreClosed
from inframind.traces.group_commit import GroupCommit, WriteLimits
from inframind.traces.sql import Write
from inframind.traces.sql_backend import READERS, Backend, concerns_all

T = TypeVar("T")

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 1.0


class SqlSession:
    """Reads and writes of one process. Methods may be awaited from several threads and event loops at once."""

    def __init__(self, backend: Backend, limits: WriteLimits) -> None:
        self._backend, self._statements = backend, backend.statements
        self._engine = backend.engine()
        self._writing = backend.writing(self._engine)
        self._connection: Connection | None = None
        self._commits: GroupCommit[Write] = GroupCommit(
            self._commit, "inframind-trace-writer", concerns_all, limits
        )
        self._readers = ThreadPoolExecutor(READERS, "inframind-trace-reader")
        self._lock = threading.Lock()
        self._closed = False

    def open_schema(self) -> None:
        """Bring the schema up to date. Blocks."""
        try:
            with self._backend.errors("open"):
                self._backend.open_schema(self._engine)
        except BaseException:
            self._engine.dispose()
            raise

    @property
    def waiting(self) -> int:
        """Number of writes that are not committed yet."""
        return self._commits.waiting

    async def write(self, make: Callable[[], Write]) -> None:
        """Execute statements in one transaction, which other writes may share; committed on return.

        Cancelling the caller does not cancel the write. After a dropped connection the transaction is executed
        again, even if it may have been committed: executing the statements twice must do no more than once.

        Args:
            make: gives the statements, once there is room for them.
        """
        await self._commits.write(make)

    async def transact(
        self, operation: str, function: Callable[[Connection], T], *, is_repeatable: bool = False
    ) -> T:
        """Run a function in a write transaction of its own; committed on return, rolled back when it raises.

        It runs on the writer thread, between two batches, so it should take milliseconds. It may be called again,
        in a new transaction, after one that failed in passing (deadlock, dropped connection).

        Args:
            operation: how errors call it.
            function: what to do; on SQLite inside BEGIN IMMEDIATE.
            is_repeatable: whether to run it again, too, when the connection broke during the commit, so that
                nobody knows whether it was committed; if not, that is a StoreError.
        """
        return await asyncio.wrap_future(
            self._commits.run(lambda: self._transact(operation, function, is_repeatable=is_repeatable))
        )

    async def read(self, operation: str, function: Callable[[Connection], T]) -> T:
        """Run a query on a reader thread, on a snapshot of its own."""
        with self._lock:
            if self._closed:
                raise StoreClosed
            future = self._readers.submit(self._read, operation, function)
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Commit what is waiting, then let go of everything. Blocks; may be called twice."""
        with self._lock:
            self._closed = True
        self._commits.close()
        self._readers.shutdown(wait=True)
        if self._connection is not None:
            self._connection.close()
        self._engine.dispose()

    def _read(self, operation: str, function: Callable[[Connection], T]) -> T:
        def attempt() -> T:
            with self._engine.connect() as connection:
                return function(connection)

        return self._patiently(operation, attempt)

    def _commit(self, writes: Sequence[Write]) -> None:
        """One transaction; rows of the same statement go to the database together."""
        statements = self._statements.ordered(writes)

        def execute(connection: Connection) -> None:
            self._backend.before_writing(connection, statements)
            for statement, rows in self._statements.executions(statements):
                connection.execute(statement, rows)

        self._transact("write", execute, is_repeatable=True)

    def _transact(self, operation: str, function: Callable[[Connection], T], *, is_repeatable: bool) -> T:
        """Run in a transaction. Whether it was committed is unknown when the connection breaks during the commit."""
        is_committing = False

        def attempt() -> T:
            nonlocal is_committing
            is_committing = False
            with self._writer() as connection, connection.begin():
                result = function(connection)
                is_committing = True
            return result

        def may_repeat(error: DBAPIError) -> bool:
            return is_repeatable or not (is_committing and error.connection_invalidated)

        return self._patiently(operation, attempt, may_repeat)

    def _patiently(
        self,
        operation: str,
        attempt: Callable[[], T],
        may_repeat: Callable[[DBAPIError], bool] = lambda error: True,
    ) -> T:
        """Try again, for a while, what fails in passing."""
        give_up_s = time.monotonic() + self._backend.patience_s
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                return attempt()
            except DBAPIError as error:
                is_over = time.monotonic() + pause_s > give_up_s
                if is_over or not may_repeat(error) or not self._backend.is_passing(error):
                    raise self._backend.store_error(operation, error) from error
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    @contextmanager
    def _writer(self) -> Iterator[Connection]:
        """The writer thread's own connection, kept from batch to batch, and replaced after an error.

        Taking one from the pool and giving it back costs as much as the commit itself.
        """
        connection, self._connection = self._connection or self._writing.connect(), None
        try:
            yield connection
        except (
            InfraMindError
        ):  # a function's own decision, and rolled back: the connection is as good as before
            self._connection = connection
            raise
        except BaseException:
            connection.invalidate()
            connection.close()
            raise
        self._connection = connection
