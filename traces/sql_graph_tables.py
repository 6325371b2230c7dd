"""Tables of an outcome graph in a SQL store, and the migration that makes them.

A run's figures are written in the transaction that puts its trace, see `inframind.traces.sql.Statements`. Traces of a
process that does not know this table, older than its migration or running beside us, have no figures: what is put
again gets them.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Double, Integer, Table

from inframind.traces.migration import Migration
from inframind.traces.sql_tables import Document, Text, metadata

_INDICES = (
    "CREATE INDEX run_figures_by_configuration ON run_figures (configuration, arrived_at_s)",
    "CREATE INDEX recommendations_by_time ON recommendations (made_at_s)",
    "CREATE INDEX recommendations_by_configuration ON recommendations (configuration_id)",
    "CREATE INDEX advice_events_by_recommendation ON advice_events (recommendation_id)",
)

GRAPH: Final = Migration(
    sqlite=(
        """CREATE TABLE configurations (
            configuration_id TEXT PRIMARY KEY,
            family TEXT NOT NULL,
            first_s DOUBLE PRECISION NOT NULL,
            document TEXT NOT NULL
        )""",
        """CREATE TABLE run_figures (
            trace_id TEXT PRIMARY KEY,
            configuration TEXT NOT NULL,
            arrived_at_s DOUBLE PRECISION NOT NULL,
            counts BOOLEAN NOT NULL,
            is_on_time BOOLEAN NOT NULL,
            is_failed BOOLEAN NOT NULL,
            latency_s DOUBLE PRECISION NOT NULL,
            cost DOUBLE PRECISION,
            completion_tokens BIGINT NOT NULL,
            topology TEXT NOT NULL,
            domain TEXT NOT NULL
        ) WITHOUT ROWID""",
        """CREATE TABLE recommendations (
            recommendation_id TEXT PRIMARY KEY,
            made_at_s DOUBLE PRECISION NOT NULL,
            rank INTEGER NOT NULL,
            configuration_id TEXT NOT NULL,
            document TEXT NOT NULL
        )""",
        """CREATE TABLE advice_events (
            number INTEGER PRIMARY KEY,
            recommendation_id TEXT NOT NULL,
            kind TEXT NOT NULL,
            at_s DOUBLE PRECISION NOT NULL,
            "by" TEXT NOT NULL,
            facts TEXT NOT NULL
        )""",
        """CREATE TABLE analyses (
            number INTEGER PRIMARY KEY,
            at_s DOUBLE PRECISION NOT NULL,
            configuration_id TEXT NOT NULL,
            document TEXT NOT NULL
        )""",
        *_INDICES,
    ),
    postgresql=(
        """CREATE TABLE configurations (
            configuration_id TEXT COLLATE "C" PRIMARY KEY,
            family TEXT COLLATE "C" NOT NULL,
            first_s DOUBLE PRECISION NOT NULL,
            document JSONB NOT NULL
        )""",
        """CREATE TABLE run_figures (
            trace_id TEXT COLLATE "C" PRIMARY KEY,
            configuration TEXT COLLATE "C" NOT NULL,
            arrived_at_s DOUBLE PRECISION NOT NULL,
            counts BOOLEAN NOT NULL,
            is_on_time BOOLEAN NOT NULL,
            is_failed BOOLEAN NOT NULL,
            latency_s DOUBLE PRECISION NOT NULL,
            cost DOUBLE PRECISION,
            completion_tokens BIGINT NOT NULL,
            topology TEXT COLLATE "C" NOT NULL,
            domain TEXT COLLATE "C" NOT NULL
        )""",
        """CREATE TABLE recommendations (
            recommendation_id TEXT COLLATE "C" PRIMARY KEY,
            made_at_s DOUBLE PRECISION NOT NULL,
            rank INTEGER NOT NULL,
            configuration_id TEXT COLLATE "C" NOT NULL,
            document JSONB NOT NULL
        )""",
        """CREATE TABLE advice_events (
            number INTEGER PRIMARY KEY,
            recommendation_id TEXT COLLATE "C" NOT NULL,
            kind TEXT COLLATE "C" NOT NULL,
            at_s DOUBLE PRECISION NOT NULL,
            "by" TEXT NOT NULL,
            facts JSONB NOT NULL
        )""",
        """CREATE TABLE analyses (
            number INTEGER PRIMARY KEY,
            at_s DOUBLE PRECISION NOT NULL,
            configuration_id TEXT COLLATE "C" NOT NULL,
            document JSONB NOT NULL
        )""",
        *_INDICES,
    ),
)

configurations = Table(
    "configurations",
    metadata,
    Column("configuration_id", Text, primary_key=True),
    Column("family", Text),
    Column("first_s", Double),
    Column("document", Document()),
)

runs = Table(
    "run_figures",
    metadata,
    Column("trace_id", Text, primary_key=True),
    Column("configuration", Text),
    Column("arrived_at_s", Double),
    Column("counts", Boolean),
    Column("is_on_time", Boolean),
    Column("is_failed", Boolean),
    Column("latency_s", Double),
    Column("cost", Double),
    Column("completion_tokens", BigInteger),
    Column("topology", Text),
    Column("domain", Text),
)
"""One row for each trace, see `inframind.traces.figures.Run`; those of open traces count nowhere."""

recommendations = Table(
    "recommendations",
    metadata,
    Column("recommendation_id", Text, primary_key=True),
    Column("made_at_s", Double),
    Column("rank", Integer),
    Column("configuration_id", Text),
    Column("document", Document()),
)

advice_events = Table(
    "advice_events",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("recommendation_id", Text),
    Column("kind", Text),
    Column("at_s", Double),
    Column("by", Text, quote=True),
    Column("facts", Document()),
)

analyses = Table(
    "analyses",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("at_s", Double),
    Column("configuration_id", Text),
    Column("document", Document()),
)
