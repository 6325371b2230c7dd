"""A trace store in one SQLite file: durable, shared by threads, event loops and processes on one machine.

Durability: a write is in the file's write-ahead log when its call returns. With ``synchronous="NORMAL"`` it
survives the crash of the process; the last commits may be lost, without corruption, when the machine loses
power. ``"FULL"`` waits for the disk on every commit and survives that too.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from inframind.errors import ConfigError, StoreError
from inframind.traces.group_commit import DEFAULT_LIMITS, WriteLimits
from inframind.traces.migration import Dialect
from inframind.traces.sql import Statements, Write
from inframind.traces.sql_backend import READERS, Backend
from inframind.traces.sql_migrations import migrate
from inframind.traces.sql_store import SqlStore

_WAL_TRIES, _WAL_PAUSE_S = 250, 0.02
_CHECKPOINT_PAGES = 8000
"""Of 4 KiB: the log grows to some 32 MB before it is copied into the file, since every copy waits for the disk."""

_FIXES = {
    "readonly": "make the file and its folder writable for this user",
    "unable to open": "check that the path is a file in a folder that this user may write to",
    "not a database": "the file is damaged or no SQLite file; move it away, or restore it from a copy",
    "malformed": "the file is damaged; move it away, or restore it from a copy",
    "full": "free some disk space",
    "disk I/O": "check the disk's free space, quota and health",
    "locked": "another process held the file longer than busy_timeout_s; see which one, or raise the timeout",
}


class SqliteStore(SqlStore):
    """A `SqlStore` in a file.

    A process may fork while nothing is being written: locks that it holds at that moment SQLite takes for held in the
    fork, too, for as long as that lives.

    Args:
        path: the database file; its folder must exist.
        synchronous: ``NORMAL`` or ``FULL``, see the module's docstring.
        busy_timeout_s: how long to wait for another process that is writing.
        limits: how much may wait to be written, see `WriteLimits`.

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
        limits: WriteLimits = DEFAULT_LIMITS,
    ) -> None:
        self.path = Path(path)
        _check_options(self.path, synchronous, busy_timeout_s)
        super().__init__(SqliteFile(self.path, synchronous, busy_timeout_s), limits)


class SqliteFile(Backend):
    """A database file, with write-ahead log."""

    dialect: Dialect = "sqlite"

    def __init__(self, path: Path, synchronous: str, busy_timeout_s: float) -> None:
        self.place, self.statements = str(path), Statements(self.dialect)
        self._path, self._synchronous, self._busy_timeout_s = path, synchronous, busy_timeout_s

    def engine(self) -> Engine:
        """An engine that begins its own transactions (the driver's habit of doing so late is switched off)."""
        engine = create_engine(
            URL.create("sqlite", database=self.place),
            connect_args={"timeout": self._busy_timeout_s, "check_same_thread": False},
            pool_size=READERS + 1,
        )

        @event.listens_for(engine, "connect")
        def set_up(connection: Any, _: object) -> None:
            connection.isolation_level = None
            connection.execute(f"PRAGMA synchronous={self._synchronous}")
            connection.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            mode = connection.get_execution_options().get("begin", "DEFERRED")
            connection.exec_driver_sql(f"BEGIN {mode}")

        return engine

    def writing(self, engine: Engine) -> Engine:
        """Transactions that take the write lock at their begin, and so never have to give up half-way."""
        return engine.execution_options(begin="IMMEDIATE")

    def open_schema(self, engine: Engine) -> None:
        """Create the file, or bring it up to date; other processes wait for the write lock meanwhile."""
        try:
            _use_write_ahead_log(self._path)
        except sqlite3.Error as error:
            raise StoreError("open", f"{self.place}: {error}; {_fix_of(error)}") from error
        with self.writing(engine).begin() as connection:
            migrate(connection, self.dialect, self.place)

    def before_writing(self, connection: Connection, statements: Write) -> None:
        """Nothing: the transaction has the file's only write lock."""

    def fix_of(self, error: DBAPIError) -> str:
        """By what SQLite's message says."""
        return _fix_of(error.orig)


def _fix_of(error: object) -> str:
    return next((fix for symptom, fix in _FIXES.items() if symptom in str(error)), "see the message")


def _check_options(path: Path, synchronous: str, busy_timeout_s: float) -> None:
    if not path.parent.is_dir():
        raise ConfigError("store", str(path), f"create the folder {path.parent} first, or name another")
    if synchronous not in ("NORMAL", "FULL"):
        raise ConfigError("synchronous", synchronous, "choose NORMAL or FULL")
    if not 0 <= busy_timeout_s < float("inf"):
        raise ConfigError("busy_timeout_s", busy_timeout_s, "give a finite number of seconds, 0 or more")


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
