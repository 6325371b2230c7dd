"""What a SQL trace store reads, in SQLAlchemy Core; the same on every kind of database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection, Select, bindparam, exists, func, select
from sqlalchemy import tuple_ as row_of
from sqlalchemy.sql.elements import BindParameter, ColumnElement
from sqlalchemy.sql.selectable import ScalarSelect

from inframind.errors import StoreError
from inframind.traces.codec import decode, decode_apart
from inframind.traces.query import TraceQuery, TraceSummary, parse_cursor
from inframind.traces.records import Outcome, SolvedKeys, Trajectory
from inframind.traces.sql_tables import Row, Text, aliases, outcomes, traces
from inframind.traces.unreadable import say_left_out

PENDING: Final = ~exists().where(traces.c.trace_id == outcomes.c.trace_id)
"""Outcomes whose trace has not arrived."""


def trace_of(reference: BindParameter[str]) -> tuple[ScalarSelect[Any], ScalarSelect[Any]]:
    """Where to look for the trace of a name, in order: a stored trace's own id always means that trace."""
    return (
        select(traces.c.trace_id).where(traces.c.trace_id == reference).scalar_subquery(),
        select(aliases.c.trace_id).where(aliases.c.alias == reference).scalar_subquery(),
    )


WHOLE: Final = (traces.c.payload, traces.c.decisions)
"""Columns that `whole` takes."""
_AT_ONCE = 500
"""Names in one statement: databases have a limit."""
_LEFT_OUT = ("payload", "decisions", "record_version")


def whole(payload: str, decisions: bytes | None) -> Trajectory:
    """A trajectory without its outcomes; rows of earlier versions hold the decisions in the payload."""
    return decode(payload) if decisions is None else decode_apart(payload, decisions)


def load(connection: Connection, trace_id: str) -> Trajectory | None:
    """One trajectory with its outcomes, or None."""
    row = connection.execute(select(*WHOLE).where(traces.c.trace_id == trace_id)).one_or_none()
    return None if row is None else _join(connection, [whole(*row)])[0]


def load_many(connection: Connection, trace_ids: Sequence[str]) -> tuple[Trajectory, ...]:
    """The trajectories that there are and that can be read, in the order asked for, with their outcomes."""
    found: dict[str, Trajectory] = {}
    refused: dict[str, str] = {}
    for first in range(0, len(trace_ids), _AT_ONCE):
        some = traces.c.trace_id.in_(trace_ids[first : first + _AT_ONCE])
        rows = connection.execute(select(traces.c.trace_id, *WHOLE).where(some))
        readable = list(_readable(rows, refused))
        found |= {one.trace_id: one for one in _join(connection, readable)}
    say_left_out(refused)
    return tuple(found[one] for one in trace_ids if one in found)


def _readable(rows: Iterable[Any], refused: dict[str, str]) -> Iterator[Trajectory]:
    """What can be decoded; why the rest cannot is added to ``refused``, by trace id."""
    for trace_id, payload, decisions in rows:
        try:
            yield whole(payload, decisions)
        except StoreError as error:
            refused[trace_id] = str(error)


def load_trace_of(connection: Connection, reference: str) -> str | None:
    """Id of the trace that a canonical name means, or None."""
    found = select(func.coalesce(*trace_of(bindparam("reference", type_=Text))))
    trace_id: str | None = connection.execute(found, {"reference": reference}).scalar()
    return trace_id


def load_page(connection: Connection, query: TraceQuery) -> tuple[Trajectory, ...]:
    """The trajectories that the query selects, with their outcomes."""
    rows = connection.execute(_select(query, *WHOLE))
    return _join(connection, [whole(*row) for row in rows])


def load_summaries(connection: Connection, query: TraceQuery) -> list[TraceSummary]:
    """The summaries that the query selects."""
    columns = [column for column in traces.c if column.name not in _LEFT_OUT]
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
    return connection.execute(select(func.count()).select_from(outcomes).where(PENDING)).scalar_one()


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
