"""What a shelf does better on PostgreSQL: leading by a lock that ends with its process, and news without polling.

Both need a connection of their own to the server itself: a pooler in between must pool sessions, not transactions.
"""

from __future__ import annotations

import asyncio
import selectors
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, func, select, text
from sqlalchemy.exc import DBAPIError

from inframind.errors import StoreClosed
from inframind.traces.bell import Bell
from inframind.traces.sql_backend import Backend
from inframind.traces.sql_shelf_rollout import CHANNEL
from inframind.traces.sql_shelf_tables import lock_key

_RECONNECT_S = 1.0


class AdvisoryLocks:
    """Who leads holds an advisory lock of a session, on a connection that nothing else uses."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._lock = threading.Lock()
        self._open: set[_Session] = set()
        self._closed = False

    @asynccontextmanager
    async def lead(self, role: str, holder: str, *, now_s: float, ttl_s: float) -> AsyncIterator[bool]:
        """Take the lock if nobody holds it, and let go of it with the connection."""
        session = _Session(self._backend, role, holder)
        with self._lock:
            if self._closed:
                raise StoreClosed
            self._open.add(session)
        try:
            yield await asyncio.to_thread(session.lock)
        finally:
            await asyncio.to_thread(session.close)
            with self._lock:
                self._open.discard(session)

    async def renew(self, role: str, holder: str, *, now_s: float, ttl_s: float) -> bool:
        """Whether the connection still stands, and with it the lock."""
        with self._lock:
            if self._closed:
                raise StoreClosed
            mine = [session for session in self._open if (session.role, session.holder) == (role, holder)]
        return any([await asyncio.to_thread(session.still_leads) for session in mine])

    def close(self) -> None:
        """Let go of every role. Blocks."""
        with self._lock:
            self._closed = True
            left = [*self._open]
        for session in left:
            session.close()


class _Session:
    """One connection, and whether it holds the lock. Used by one thread at a time."""

    def __init__(self, backend: Backend, role: str, holder: str) -> None:
        self.role, self.holder = role, holder
        self._backend = backend
        self._lock = threading.Lock()
        self._engine = backend.engine()
        self._connection: Connection | None = None
        self._closed = False

    def lock(self) -> bool:
        """Connect, and take the lock unless somebody holds it; without it the connection is of no use."""
        with self._lock, self._backend.errors("lead"):
            if self._closed:
                return False
            connection = _connect(self._engine)
            self._connection = connection
            if not connection.execute(
                select(func.pg_try_advisory_lock(lock_key(f"lead:{self.role}")))
            ).scalar():
                self._disconnect()
            return self._connection is not None

    def still_leads(self) -> bool:
        """Whether the server still knows this session."""
        with self._lock:
            if self._connection is None:
                return False
            try:
                self._connection.execute(text("SELECT 1"))
            except DBAPIError:
                self._disconnect()
            return self._connection is not None

    def close(self) -> None:
        """Disconnect, which frees the lock."""
        with self._lock:
            self._closed = True
            self._disconnect()

    def _disconnect(self) -> None:
        """The pool would keep the connection, and with it the lock."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._engine.dispose()


class Listener:
    """A thread that rings a bell whenever the roll-out has gone on; started by the first who waits.

    While it has no connection it tries for one, and rings when it has it, for whatever came meanwhile.
    """

    def __init__(self, backend: Backend, bell: Bell) -> None:
        self._backend, self._bell = backend, bell
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()
        self._asleep, self._waker = socket.socketpair()

    def start(self) -> None:
        """Listen from now on, if nobody does yet."""
        with self._lock:
            if self._thread is None and not self._closed.is_set():
                self._thread = threading.Thread(
                    target=self._run, name="inframind-shelf-listener", daemon=True
                )
                self._thread.start()

    def close(self) -> None:
        """Stop listening. Blocks; may be called twice."""
        with self._lock:
            self._closed.set()
            thread, self._thread = self._thread, None
            self._waker.close()
        if thread is not None:
            thread.join()
        self._asleep.close()

    def _run(self) -> None:
        errors = _errors()
        while not self._closed.is_set():
            try:
                with self._listening() as driver:
                    self._bell.ring()
                    self._hear(driver)
            except errors:
                self._closed.wait(_RECONNECT_S)

    def _hear(self, driver: Any) -> None:
        """Until the listener is closed or the connection breaks, which raises."""
        with selectors.DefaultSelector() as selector:
            selector.register(driver.fileno(), selectors.EVENT_READ)
            selector.register(self._asleep, selectors.EVENT_READ)
            while not self._closed.is_set():
                selector.select()
                if any(True for _ in driver.notifies(timeout=0.0)):
                    self._bell.ring()

    @contextmanager
    def _listening(self) -> Iterator[Any]:
        engine = self._backend.engine()
        try:
            with _connect(engine) as connection:
                connection.execute(text(f"LISTEN {CHANNEL}"))
                yield connection.connection.driver_connection
        finally:
            engine.dispose()


def _connect(engine: Engine) -> Connection:
    """A connection outside any transaction."""
    return engine.connect().execution_options(isolation_level="AUTOCOMMIT")


def _errors() -> tuple[type[Exception], ...]:
    """What SQLAlchemy raises, and what the driver does where it is asked itself."""
    import psycopg

    return DBAPIError, psycopg.Error
