"""A trace store in PostgreSQL, for many replicas: durable as the server's ``synchronous_commit`` says.

Needs psycopg 3 (``pip install 'inframind[postgres]'``). A dropped connection or a server that restarts is waited
for, and the transaction is executed again: every write of a trace, its feedback and its names is an upsert, so
that one which was committed just before the connection broke is not doubled.

Transactions see what others have committed before each of their statements (READ COMMITTED). Two things need more
than that, lest two processes miss each other's news:

- An outcome is recorded under a name while another process says what that name means. Both lock the name first
  (`_lock_names`), those that record together, those that name alone.
- An outcome is recorded while its trace arrives, whose lesson must know that it was heard. Both insert the lesson's
  row, so that one waits for the other, and looks again afterwards, see `Statements.hear`.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

from inframind.errors import ConfigError
from inframind.traces.group_commit import DEFAULT_LIMITS, WriteLimits
from inframind.traces.migration import Dialect
from inframind.traces.sql import Statements, Write
from inframind.traces.sql_backend import READERS, Backend
from inframind.traces.sql_migrations import is_current, migrate
from inframind.traces.sql_store import SqlStore

SCHEMES = ("postgresql", "postgresql+psycopg", "postgres")
LOCKS = 1_229_867_348
"""First key of this package's advisory locks; the second one says what for."""
MIGRATING = -1

_NAME_BUCKETS = 1024
_PASSING = ("08", "40001", "40P01", "53300", "55P03", "57P01", "57P02", "57P03")
_FIXES: Mapping[str, str] = {
    "53100": "free disk space on the database server",
    "53300": "raise max_connections, or run fewer replicas",
    "25006": "this server is read-only: connect to the primary",
    "42501": "grant this user what it needs on the schema",
    "28": "check user and password",
    "3D000": "create the database first",
    "57014": "the server was too slow: raise statement_timeout_s, or see what it is busy with",
    "55P03": "another session holds a lock for long: see pg_stat_activity",
}
_OUT_OF_REACH = "check that the server runs and can be reached, and user and password"
_LOCK_NAMES = text(
    "SELECT CAST(CASE WHEN alone THEN pg_advisory_xact_lock(:locks, bucket)"
    " ELSE pg_advisory_xact_lock_shared(:locks, bucket) END AS TEXT)"
    " FROM unnest(CAST(:buckets AS INTEGER[]), CAST(:alone AS BOOLEAN[])) AS names (bucket, alone)"
)


class PostgresStore(SqlStore):
    """A `SqlStore` in a PostgreSQL database.

    Args:
        url: ``postgresql://user:password@host/database``, with libpq's own parameters after a ``?``; what is left
            out comes from libpq's environment variables and password file.
        reconnect_s: how long to try again when the server cannot be reached, before it is an error.
        statement_timeout_s: longest that the server may work on one statement.
        limits: how much may wait to be written, see `WriteLimits`.

    Raises:
        ConfigError: no such URL, or an option is out of range.
        ImportError: psycopg is missing.
        StoreError: the database cannot be opened, or has a newer schema.
    """

    def __init__(
        self,
        url: str,
        *,
        reconnect_s: float = 15.0,
        statement_timeout_s: float = 60.0,
        limits: WriteLimits = DEFAULT_LIMITS,
    ) -> None:
        super().__init__(PostgresServer(url, reconnect_s, statement_timeout_s), limits)


class PostgresServer(Backend):
    """A database on a server."""

    dialect: Dialect = "postgresql"

    def __init__(self, url: str, reconnect_s: float = 15.0, statement_timeout_s: float = 60.0) -> None:
        self._url = parse_url(url)
        self.place = shown(self._url)
        _check_seconds("reconnect_s", reconnect_s, least=0.0)
        _check_seconds("statement_timeout_s", statement_timeout_s, least=0.001)
        self.patience_s, self._statement_timeout_s = reconnect_s, statement_timeout_s
        self.statements = Statements(self.dialect)
        if find_spec("psycopg") is None:
            raise ImportError("PostgreSQL needs psycopg: pip install 'inframind[postgres]'")

    def engine(self) -> Engine:
        """A small pool; a connection that the network has swallowed is noticed within a minute."""
        engine = create_engine(
            self._url.set(query={}),  # which may hold secrets, and which SQLAlchemy would show
            connect_args=_CONNECTING | _parameters(self._url),
            pool_size=READERS + 1,
            max_overflow=0,
            hide_parameters=True,
        )

        @event.listens_for(engine, "connect")
        def set_up(connection: Any, _: object) -> None:
            with connection.cursor() as cursor:
                cursor.execute(f"SET statement_timeout = {int(1000 * self._statement_timeout_s)}")
                cursor.execute("SET jit = off")
            connection.commit()

        return engine

    def writing(self, engine: Engine) -> Engine:
        """The same."""
        return engine

    def open_schema(self, engine: Engine) -> None:
        """Create what is missing, once, however many processes start together.

        Only a process that finds an older schema takes the lock for which the others wait. Migrations only add
        tables, so nobody who reads or writes meanwhile waits for them.
        """
        with engine.connect() as connection:
            if is_current(connection, self.place):
                return
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:a, :b)"), {"a": LOCKS, "b": MIGRATING})
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            migrate(connection, self.dialect, self.place)

    def before_writing(self, connection: Connection, statements: Write) -> None:
        """Lock the names that outcomes and aliases go by."""
        put_alias, put_outcome = self.statements.put_alias, self.statements.put_outcome
        recording = {_bucket(row["reference"]) for statement, row in statements if statement is put_outcome}
        naming = {_bucket(row["alias"]) for statement, row in statements if statement is put_alias}
        buckets = sorted(recording | naming)  # in one order for all, so that nobody waits in a circle
        if buckets:
            alone = [bucket in naming for bucket in buckets]
            connection.execute(_LOCK_NAMES, {"locks": LOCKS, "buckets": buckets, "alone": alone})

    def is_passing(self, error: DBAPIError) -> bool:
        """Out of reach, restarting, deadlocked, or too many connections."""
        state = _state(error)
        return isinstance(error, OperationalError) and (not state or state.startswith(_PASSING))

    def fix_of(self, error: DBAPIError) -> str:
        """By the error's SQLSTATE."""
        state = _state(error)
        if not state or state.startswith("08"):
            return _OUT_OF_REACH
        return next((fix for prefix, fix in _FIXES.items() if state.startswith(prefix)), "see the message")


_CONNECTING: dict[str, Any] = {
    "application_name": "inframind",
    "connect_timeout": 10,
    "keepalives_idle": 20,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 50_000,
}


def parse_url(url: str) -> URL:
    """A URL of PostgreSQL, for the driver that we use.

    Raises:
        ConfigError: not one; what it says is not repeated, since it may hold a password.
    """
    scheme, separator, _ = url.partition("://")
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        separator = ""
    if not separator or scheme not in SCHEMES:
        raise ConfigError("store", f"{scheme}://...", "write postgresql://user:password@host/database")
    return parsed.set(drivername="postgresql+psycopg")


def shown(url: URL) -> str:
    """The URL as people may see it: without password, and without parameters, which may hold another."""
    public = ("username", "host", "port", "database")
    return URL.create("postgresql", **{name: getattr(url, name) for name in public}).render_as_string()


def _parameters(url: URL) -> dict[str, str]:
    """libpq's own parameters; of several hosts it tries one after the other."""
    return {key: value if isinstance(value, str) else ",".join(value) for key, value in url.query.items()}


def _check_seconds(name: str, value: float, *, least: float) -> None:
    if not least <= value < float("inf"):
        raise ConfigError(name, value, f"give a finite number of seconds, {least:g} or more")


def _bucket(name: str) -> int:
    """Which of a bounded number of locks stands for a name: the server has room for some thousands in all."""
    return zlib.crc32(name.encode()) % _NAME_BUCKETS


def _state(error: DBAPIError) -> str:
    """SQLSTATE, or "" when the server said nothing, such as when it cannot be reached."""
    return getattr(error.orig, "sqlstate", None) or ""
