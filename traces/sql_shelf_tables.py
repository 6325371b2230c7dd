"""Tables of a shelf in a SQL store, and the migration that makes them; the lessons came with the traces."""

from __future__ import annotations

import json
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Double,
    Integer,
    LargeBinary,
    Table,
    func,
    literal,
    select,
)

from inframind.traces.migration import Dialect, Migration
from inframind.traces.sql_tables import Document, Text, metadata

SHELF: Final = Migration(
    sqlite=(
        """CREATE TABLE policies (
            version TEXT PRIMARY KEY,
            number INTEGER NOT NULL UNIQUE,
            parent TEXT NOT NULL,
            created_at_s DOUBLE PRECISION NOT NULL,
            created_by TEXT NOT NULL,
            features_version TEXT NOT NULL,
            facts TEXT NOT NULL,
            content BLOB NOT NULL
        )""",
        """CREATE TABLE rollout_events (
            number INTEGER PRIMARY KEY,
            at_s DOUBLE PRECISION NOT NULL,
            version TEXT NOT NULL,
            stage TEXT,
            share DOUBLE PRECISION NOT NULL,
            frozen BOOLEAN NOT NULL,
            "by" TEXT NOT NULL,
            reason TEXT NOT NULL,
            figures TEXT NOT NULL,
            rollout TEXT NOT NULL
        )""",
        """CREATE TABLE learner_progress (
            learner TEXT PRIMARY KEY,
            number INTEGER NOT NULL,
            at_s DOUBLE PRECISION NOT NULL,
            holder TEXT NOT NULL,
            learned BIGINT NOT NULL,
            state BLOB NOT NULL
        )""",
        "CREATE TABLE leases (role TEXT PRIMARY KEY, holder TEXT NOT NULL, until_s DOUBLE PRECISION NOT NULL)",
        """CREATE TABLE replicas (
            name TEXT PRIMARY KEY,
            at_s DOUBLE PRECISION NOT NULL,
            serving TEXT NOT NULL,
            candidate TEXT NOT NULL,
            facts TEXT NOT NULL
        )""",
    ),
    # Leading is a lock of a session there, and needs no table.
    postgresql=(
        """CREATE TABLE policies (
            version TEXT COLLATE "C" PRIMARY KEY,
            number INTEGER NOT NULL UNIQUE,
            parent TEXT NOT NULL,
            created_at_s DOUBLE PRECISION NOT NULL,
            created_by TEXT NOT NULL,
            features_version TEXT NOT NULL,
            facts JSONB NOT NULL,
            content BYTEA NOT NULL
        )""",
        """CREATE TABLE rollout_events (
            number INTEGER PRIMARY KEY,
            at_s DOUBLE PRECISION NOT NULL,
            version TEXT NOT NULL,
            stage TEXT,
            share DOUBLE PRECISION NOT NULL,
            frozen BOOLEAN NOT NULL,
            "by" TEXT NOT NULL,
            reason TEXT NOT NULL,
            figures JSONB NOT NULL,
            rollout JSONB NOT NULL
        )""",
        """CREATE TABLE learner_progress (
            learner TEXT COLLATE "C" PRIMARY KEY,
            number INTEGER NOT NULL,
            at_s DOUBLE PRECISION NOT NULL,
            holder TEXT NOT NULL,
            learned BIGINT NOT NULL,
            state BYTEA NOT NULL
        )""",
        """CREATE TABLE replicas (
            name TEXT COLLATE "C" PRIMARY KEY,
            at_s DOUBLE PRECISION NOT NULL,
            serving TEXT NOT NULL,
            candidate TEXT NOT NULL,
            facts JSONB NOT NULL
        )""",
    ),
)

policies = Table(
    "policies",
    metadata,
    Column("version", Text, primary_key=True),
    Column("number", Integer),
    Column("parent", Text),
    Column("created_at_s", Double),
    Column("created_by", Text),
    Column("features_version", Text),
    Column("facts", Document()),
    Column("content", LargeBinary),
)

rollout_events = Table(
    "rollout_events",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("at_s", Double),
    Column("version", Text),
    Column("stage", Text),
    Column("share", Double),
    Column("frozen", Boolean),
    Column("by", Text, quote=True),
    Column("reason", Text),
    Column("figures", Document()),
    Column("rollout", Document()),
)

learner_progress = Table(
    "learner_progress",
    metadata,
    Column("learner", Text, primary_key=True),
    Column("number", Integer),
    Column("at_s", Double),
    Column("holder", Text),
    Column("learned", BigInteger),
    Column("state", LargeBinary),
)

leases = Table(
    "leases",
    metadata,
    Column("role", Text, primary_key=True),
    Column("holder", Text),
    Column("until_s", Double),
)

replicas = Table(
    "replicas",
    metadata,
    Column("name", Text, primary_key=True),
    Column("at_s", Double),
    Column("serving", Text),
    Column("candidate", Text),
    Column("facts", Document()),
)


def hold(connection: Connection, dialect: Dialect, what: str) -> None:
    """Let no other transaction hold the same until this one ends; others wait here, before they look at anything.

    On SQLite the transaction holds the whole file already. On PostgreSQL no row may be there to lock yet, and two
    shelves in two schemas of a database are two shelves.
    """
    if dialect == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(lock_key(f"hold:{what}"))))


def lock_key(name: str) -> Any:
    """Key of an advisory lock, on PostgreSQL: 64 bits of the name within the schema."""
    return func.hashtextextended(func.concat("inframind:", func.current_schema(), literal(f":{name}")), 0)


def document(value: object) -> str:
    """Plain data as a `Document`; text stands there as it is, so that `Document` sees what it has to escape."""
    return json.dumps(value, allow_nan=False, ensure_ascii=False)


def from_document(text: str) -> dict[str, Any]:
    """What `document` was given."""
    value: dict[str, Any] = json.loads(text)
    return value
