"""Tables and queries of a SQL trace store, in SQLAlchemy Core; the numbered migrations that make the tables.

Outcomes carry no foreign key to traces: feedback may come before its trace, under the trace's id or an alias;
an alias' outcomes move to the trace in the transaction that registers it. Their order is their own clock
(``recorded_at_s``, then the feedback id), so that it does not depend on the order in which they arrived.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Float,
    Integer,
    MetaData,
    Select,
    Table,
    Text,
    bindparam,
    delete,
    exists,
    func,
    select,
    text,
)
from sqlalchemy import tuple_ as row_of
from sqlalchemy.dialects.sqlite import Insert, insert
from sqlalchemy.sql.elements import BindParameter, ColumnElement
from sqlalchemy.sql.selectable import ScalarSelect

from inframind.errors import StoreError
from inframind.traces.codec import check_outcome, decode, encode
from inframind.traces.query import EXCERPT_CHARS, TraceQuery, TraceSummary, parse_cursor
from inframind.traces.records import Outcome, SolvedKeys, Trajectory

Row = dict[str, Any]

# Additive only: a released migration never changes, a new one is appended. Version = how many were applied.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
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
    (
        "CREATE TABLE aliases (alias TEXT PRIMARY KEY, trace_id TEXT NOT NULL)",
        "CREATE INDEX aliases_by_trace ON aliases (trace_id)",
    ),
)

_metadata = MetaData()

traces = Table(
    "traces",
    _metadata,
    Column("trace_id", Text, primary_key=True),
    Column("arrived_at_s", Float),
    Column("status", Text),
    Column("topology", Text),
    Column("latency_s", Float),
    Column("budget_s", Float),
    Column("domain", Text),
    Column("question_id", Text),
    Column("question", Text),
    Column("record_version", Integer),
    Column("payload", Text),
)

outcomes = Table(
    "outcomes",
    _metadata,
    Column("trace_id", Text, primary_key=True),
    Column("feedback_id", Text, primary_key=True),
    Column("key", Text),
    Column("score", Float),
    Column("value", Text),
    Column("comment", Text),
    Column("source", Text),
    Column("recorded_at_s", Float),
)

aliases = Table("aliases", _metadata, Column("alias", Text, primary_key=True), Column("trace_id", Text))


def _replacing(statement: Insert, table: Table, *, unless_newer: bool = False) -> Insert:
    """Insert, or overwrite everything but the key; on request only what was not recorded later."""
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=list(table.primary_key),
        set_={column.name: new[column.name] for column in table.c if not column.primary_key},
        where=new.recorded_at_s >= table.c.recorded_at_s if unless_newer else None,
    )


def _trace_of(reference: BindParameter[str]) -> tuple[ScalarSelect[Any], ScalarSelect[Any]]:
    """Where to look for the trace of a name, in order: a stored trace's own id always means that trace."""
    return (
        select(traces.c.trace_id).where(traces.c.trace_id == reference).scalar_subquery(),
        select(aliases.c.trace_id).where(aliases.c.alias == reference).scalar_subquery(),
    )


def _put_outcome() -> Insert:
    """Put under the trace that ``reference`` names now, or under the name itself as long as there is none."""
    reference = bindparam("reference", type_=Text)
    statement = insert(outcomes).values(trace_id=func.coalesce(*_trace_of(reference), reference))
    return _replacing(statement, outcomes, unless_newer=True)


def _waiting() -> tuple[ColumnElement[bool], ...]:
    """Outcomes that came early under ``alias``; a stored trace of that name keeps its own."""
    name = bindparam("waiting_as", type_=Text)
    return outcomes.c.trace_id == name, ~exists().where(traces.c.trace_id == name)


def _join_waiting() -> Insert:
    copied = [column for column in outcomes.c if column.name != "trace_id"]
    moved = select(bindparam("joins", type_=Text), *copied).where(*_waiting())
    statement = insert(outcomes).from_select(["trace_id", *(column.name for column in copied)], moved)
    return _replacing(statement, outcomes, unless_newer=True)


_PENDING = ~exists().where(traces.c.trace_id == outcomes.c.trace_id)

PUT_TRACE = _replacing(insert(traces), traces)
PUT_OUTCOME = _put_outcome()
KEEP_OUTCOME = insert(outcomes).on_conflict_do_nothing()
PUT_ALIAS = _replacing(insert(aliases), aliases)
JOIN_WAITING = _join_waiting()
DROP_WAITING = delete(outcomes).where(*_waiting())
DELETE_TRACE = delete(traces).where(traces.c.trace_id == bindparam("wanted"))
DELETE_OUTCOMES = delete(outcomes).where(outcomes.c.trace_id == bindparam("wanted"))
DELETE_ALIASES = delete(aliases).where(aliases.c.trace_id == bindparam("wanted"))
PRUNE_PENDING = delete(outcomes).where(_PENDING, outcomes.c.recorded_at_s < bindparam("before_s"))


def trace_row(trajectory: Trajectory) -> Row:
    """The columns of a trajectory; its outcomes have a table of their own and are not in the payload.

    Raises:
        StoreError: the trajectory holds something that cannot be written down.
    """
    return {
        "trace_id": trajectory.trace_id,
        "arrived_at_s": float(trajectory.arrived_at_s),
        "status": trajectory.status,
        "topology": trajectory.topology,
        "latency_s": float(trajectory.latency_s),
        "budget_s": float(trajectory.budget_s),
        "domain": trajectory.domain,
        "question_id": trajectory.question_id,
        "question": trajectory.question[:EXCERPT_CHARS],
        "record_version": trajectory.record_version,
        "payload": encode(trajectory).decode(),
    }


def outcome_row(outcome: Outcome, **named: str) -> Row:
    """The columns of one outcome, for `PUT_OUTCOME` with ``reference``, for `KEEP_OUTCOME` with ``trace_id``.

    Raises:
        StoreError: the outcome holds something that cannot be written down.
    """
    check_outcome(outcome)
    return {
        **named,
        "feedback_id": outcome.feedback_id,
        "key": outcome.key,
        "score": None if outcome.score is None else float(outcome.score),
        "value": outcome.value,
        "comment": outcome.comment,
        "source": outcome.source,
        "recorded_at_s": float(outcome.recorded_at_s),
    }


def load(connection: Connection, trace_id: str) -> Trajectory | None:
    """One trajectory with its outcomes, or None."""
    payload = connection.execute(select(traces.c.payload).where(traces.c.trace_id == trace_id)).scalar()
    return None if payload is None else _join(connection, [decode(payload)])[0]


def load_trace_of(connection: Connection, reference: str) -> str | None:
    """Id of the trace that a canonical name means, or None."""
    found = select(func.coalesce(*_trace_of(bindparam("reference", type_=Text))))
    trace_id: str | None = connection.execute(found, {"reference": reference}).scalar()
    return trace_id


def load_page(connection: Connection, query: TraceQuery) -> tuple[Trajectory, ...]:
    """The trajectories that the query selects, with their outcomes."""
    payloads = connection.execute(_select(query, traces.c.payload)).scalars()
    return _join(connection, [decode(payload) for payload in payloads])


def load_summaries(connection: Connection, query: TraceQuery) -> list[TraceSummary]:
    """The summaries that the query selects."""
    columns = [column for column in traces.c if column.name not in ("payload", "record_version")]
    rows = connection.execute(_select(query, *columns, _solved(query.solved_keys).label("solved")))
    return [_summary(dict(row)) for row in rows.mappings()]


def ids_with_prefix(connection: Connection, prefix: str, *, limit: int) -> Sequence[str]:
    """Trace ids that begin with these hex digits; a range of the primary key, so no table scan."""
    after_every_digit = prefix + "g"
    found = select(traces.c.trace_id).where(traces.c.trace_id.between(prefix, after_every_digit)).limit(limit)
    return connection.execute(found).scalars().all()


def count_traces(connection: Connection) -> int:
    """Number of traces."""
    return connection.execute(select(func.count()).select_from(traces)).scalar_one()


def count_pending(connection: Connection) -> int:
    """Number of outcomes whose trace has not arrived."""
    return connection.execute(select(func.count()).select_from(outcomes).where(_PENDING)).scalar_one()


def _join(connection: Connection, found: list[Trajectory]) -> tuple[Trajectory, ...]:
    """Give each trajectory its outcomes, in the order in which they were recorded."""
    recorded: dict[str, list[Outcome]] = defaultdict(list)
    statement = (
        select(outcomes)
        .where(outcomes.c.trace_id.in_([trajectory.trace_id for trajectory in found]))
        .order_by(outcomes.c.recorded_at_s, outcomes.c.feedback_id)
    )
    for row in connection.execute(statement).mappings():
        values = dict(row)
        recorded[values.pop("trace_id")].append(Outcome(**values))
    return tuple(replace(t, outcomes=tuple(recorded.get(t.trace_id, ()))) for t in found)


def _summary(row: Row) -> TraceSummary:
    solved = row.pop("solved")
    return TraceSummary(**row, solved=None if solved is None else bool(solved))


def _solved(keys: SolvedKeys) -> ColumnElement[Any]:
    """What `solved_of` says, NULL for None: the first key with a score decides."""
    verdicts = [_latest_score(key) >= least for key, least in keys.thresholds]
    return func.coalesce(*verdicts) if len(verdicts) > 1 else verdicts[0]


def _latest_score(key: str) -> ScalarSelect[Any]:
    """A trace's latest score under this key, as a correlated subquery."""
    return (
        select(outcomes.c.score)
        .where(
            outcomes.c.trace_id == traces.c.trace_id,
            outcomes.c.key == key,
            outcomes.c.score.is_not(None),
        )
        .order_by(outcomes.c.recorded_at_s.desc(), outcomes.c.feedback_id.desc())
        .limit(1)
        .scalar_subquery()
    )


def _select(query: TraceQuery, *columns: ColumnElement[Any]) -> Select[Any]:
    """These columns of the traces that the query selects: filtered, ordered, after the cursor, limited."""
    place = (traces.c.arrived_at_s, traces.c.trace_id)
    order = [column.asc() if query.oldest_first else column.desc() for column in place]
    conditions = [*_filters(query), *_after_cursor(query)]
    return select(*columns).where(*conditions).order_by(*order).limit(query.limit)


def _filters(query: TraceQuery) -> list[ColumnElement[bool]]:
    """The same conditions as `TraceQuery.matches`."""
    conditions: list[ColumnElement[bool]] = []
    solved = _solved(query.solved_keys)
    if query.status is not None:
        conditions.append(traces.c.status == query.status)
    if query.topology is not None:
        conditions.append(traces.c.topology == query.topology)
    if query.solved is not None:
        conditions.append(solved if query.solved else ~solved)
    if query.labelled is not None:
        conditions.append(solved.is_not(None) if query.labelled else solved.is_(None))
    if query.since_s is not None:
        conditions.append(traces.c.arrived_at_s >= query.since_s)
    if query.until_s is not None:
        conditions.append(traces.c.arrived_at_s < query.until_s)
    return conditions


def _after_cursor(query: TraceQuery) -> list[ColumnElement[bool]]:
    if query.cursor is None:
        return []
    place, start = row_of(traces.c.arrived_at_s, traces.c.trace_id), row_of(*parse_cursor(query.cursor))
    return [place > start if query.oldest_first else place < start]


def migrate(connection: Connection, path: object) -> None:
    """Bring the schema up to date, inside the caller's transaction, which must hold the write lock.

    Raises:
        StoreError: a newer version of InfraMind wrote this file.
    """
    connection.execute(text("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)"))
    version = connection.execute(text("SELECT max(version) FROM schema_version")).scalar() or 0
    if version > len(MIGRATIONS):
        raise StoreError(
            "open",
            f"{path} has schema version {version}, this version of InfraMind knows {len(MIGRATIONS)}; "
            "upgrade inframind, or use another file",
        )
    for number, statements in enumerate(MIGRATIONS[version:], start=version + 1):
        for statement in statements:
            connection.execute(text(statement))
        connection.execute(text("INSERT INTO schema_version (version) VALUES (:number)"), {"number": number})
