"""The numbered migrations that make the tables, and what applies them."""

from __future__ import annotations

from sqlalchemy import Connection, inspect, text

from inframind.errors import StoreError
from inframind.traces.migration import Dialect, Migration
from inframind.traces.sql_graph_tables import GRAPH
from inframind.traces.sql_shelf_tables import SHELF

_FIRST = Migration(
    sqlite=(
        """CREATE TABLE traces (
            trace_id TEXT PRIMARY KEY,
            arrived_at_s DOUBLE PRECISION NOT NULL,
            status TEXT NOT NULL,
            topology TEXT NOT NULL,
            latency_s DOUBLE PRECISION NOT NULL,
            budget_s DOUBLE PRECISION NOT NULL,
            domain TEXT NOT NULL,
            question_id TEXT NOT NULL,
            question TEXT NOT NULL,
            record_version INTEGER NOT NULL,
            payload TEXT NOT NULL
        )""",
        "CREATE INDEX traces_by_arrival ON traces (arrived_at_s, trace_id)",
        """CREATE TABLE outcomes (
            trace_id TEXT NOT NULL,
            feedback_id TEXT NOT NULL,
            key TEXT NOT NULL,
            score DOUBLE PRECISION,
            value TEXT,
            comment TEXT NOT NULL,
            source TEXT NOT NULL,
            recorded_at_s DOUBLE PRECISION NOT NULL,
            PRIMARY KEY (trace_id, feedback_id)
        )""",
    ),
    # Names are compared byte by byte, as SQLite and Python do, whatever the database's language is.
    postgresql=(
        """CREATE TABLE traces (
            trace_id TEXT COLLATE "C" PRIMARY KEY,
            arrived_at_s DOUBLE PRECISION NOT NULL,
            status TEXT NOT NULL,
            topology TEXT NOT NULL,
            latency_s DOUBLE PRECISION NOT NULL,
            budget_s DOUBLE PRECISION NOT NULL,
            domain TEXT NOT NULL,
            question_id TEXT NOT NULL,
            question TEXT NOT NULL,
            record_version INTEGER NOT NULL,
            payload JSONB NOT NULL,
            decisions BYTEA
        )""",
        "ALTER TABLE traces ALTER COLUMN decisions SET STORAGE EXTERNAL",
        # The default compression costs more time than all the rest; lz4 is not in every server.
        """DO $$ BEGIN
            EXECUTE 'ALTER TABLE traces ALTER COLUMN payload SET COMPRESSION lz4';
        EXCEPTION WHEN feature_not_supported OR syntax_error THEN
            ALTER TABLE traces ALTER COLUMN payload SET STORAGE EXTERNAL;
        END $$""",
        "CREATE INDEX traces_by_arrival ON traces (arrived_at_s, trace_id)",
        "CREATE INDEX traces_open ON traces (arrived_at_s, trace_id) WHERE status = 'open'",
        """CREATE TABLE outcomes (
            trace_id TEXT COLLATE "C" NOT NULL,
            feedback_id TEXT COLLATE "C" NOT NULL,
            key TEXT COLLATE "C" NOT NULL,
            score DOUBLE PRECISION,
            value TEXT,
            comment TEXT NOT NULL,
            source TEXT NOT NULL,
            recorded_at_s DOUBLE PRECISION NOT NULL,
            PRIMARY KEY (trace_id, feedback_id)
        )""",
    ),
)

_ALIASES = Migration(
    sqlite=(
        "CREATE TABLE aliases (alias TEXT PRIMARY KEY, trace_id TEXT NOT NULL)",
        "CREATE INDEX aliases_by_trace ON aliases (trace_id)",
    ),
    postgresql=(
        'CREATE TABLE aliases (alias TEXT COLLATE "C" PRIMARY KEY, trace_id TEXT COLLATE "C" NOT NULL)',
        "CREATE INDEX aliases_by_trace ON aliases (trace_id)",
    ),
)

_LESSON_INDICES = (
    "CREATE INDEX lessons_unlearned ON lessons (arrived_at_s, trace_id) WHERE learned_at_s IS NULL",
    "CREATE INDEX lessons_heard ON lessons (arrived_at_s, trace_id)"
    " WHERE learned_at_s IS NULL AND heard_at_s IS NOT NULL",
)
_ADOPT_TRACES = """INSERT INTO lessons (trace_id, arrived_at_s, heard_at_s)
    SELECT trace_id, arrived_at_s, (
        SELECT min(recorded_at_s) FROM outcomes
        WHERE outcomes.trace_id = traces.trace_id AND score IS NOT NULL
    ) FROM traces WHERE status <> 'open'"""

# What a process of an older version writes meanwhile has no lesson yet: `adopt_lessons`.
_LESSONS = Migration(
    sqlite=(
        """CREATE TABLE lessons (
            trace_id TEXT PRIMARY KEY,
            arrived_at_s DOUBLE PRECISION,
            heard_at_s DOUBLE PRECISION,
            learned_at_s DOUBLE PRECISION,
            learned_by TEXT
        ) WITHOUT ROWID""",
        _ADOPT_TRACES,
        *_LESSON_INDICES,
        "CREATE INDEX traces_open ON traces (arrived_at_s, trace_id) WHERE status = 'open'",
    ),
    postgresql=(
        """CREATE TABLE lessons (
            trace_id TEXT COLLATE "C" PRIMARY KEY,
            arrived_at_s DOUBLE PRECISION,
            heard_at_s DOUBLE PRECISION,
            learned_at_s DOUBLE PRECISION,
            learned_by TEXT
        )""",
        _ADOPT_TRACES,
        *_LESSON_INDICES,
    ),
)

# Rows of earlier versions keep their decisions in the payload. On PostgreSQL the column was always there.
_DECISIONS_APART = Migration(sqlite=("ALTER TABLE traces ADD COLUMN decisions BLOB",), postgresql=())

# A new migration is appended, and is an entry of its own. Version = how many were applied.
MIGRATIONS: tuple[Migration, ...] = (_FIRST, _ALIASES, _LESSONS, SHELF, _DECISIONS_APART, GRAPH)


def is_current(connection: Connection, place: str) -> bool:
    """Whether there is nothing to migrate; takes no lock.

    Raises:
        StoreError: a newer version of InfraMind wrote this database.
    """
    if not inspect(connection).has_table("schema_version"):
        return False
    return _version(connection, place) == len(MIGRATIONS)


def migrate(connection: Connection, dialect: Dialect, place: str) -> None:
    """Bring the schema up to date, inside the caller's transaction, which must keep other migrators out.

    Raises:
        StoreError: a newer version of InfraMind wrote this database.
    """
    connection.execute(text("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)"))
    version = _version(connection, place)
    for number, migration in enumerate(MIGRATIONS[version:], start=version + 1):
        for statement in migration.statements(dialect):
            connection.execute(text(statement))
        connection.execute(text("INSERT INTO schema_version (version) VALUES (:number)"), {"number": number})


def _version(connection: Connection, place: str) -> int:
    version: int = connection.execute(text("SELECT max(version) FROM schema_version")).scalar() or 0
    if version > len(MIGRATIONS):
        raise StoreError(
            "open",
            f"{place} has schema version {version}, this version of InfraMind knows {len(MIGRATIONS)}; "
            "upgrade inframind, or use another store",
        )
    return version
