"""What keeps a SQL store in order over the years, in batches that nobody has to wait for long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import Connection, bindparam, delete, exists, func, select, update

from inframind.traces.memory import abandoned
from inframind.traces.sql import Statements, run_row, trace_row
from inframind.traces.sql_graph_tables import runs
from inframind.traces.sql_read import WHOLE, whole
from inframind.traces.sql_tables import aliases, lessons, outcomes, traces

BATCH_TRACES = 200
"""In one transaction; each may be some ten kilobytes to delete or to write anew."""

_CLOSE = update(traces).where(traces.c.trace_id == bindparam("closes"), traces.c.status == "open")


def count_before(connection: Connection, before_s: float) -> int:
    """Number of traces that arrived before an instant."""
    counted = select(func.count()).select_from(traces).where(traces.c.arrived_at_s < before_s)
    return connection.execute(counted).scalar_one()


def prune_batch(connection: Connection, before_s: float) -> int:
    """Delete some of the traces that arrived before an instant, oldest first, and all that belongs to them."""
    oldest = select(traces.c.trace_id).where(traces.c.arrived_at_s < before_s)
    found = connection.execute(oldest.order_by(traces.c.arrived_at_s).limit(BATCH_TRACES)).scalars().all()
    for table in (traces, outcomes, aliases, lessons, runs):
        connection.execute(delete(table).where(table.c.trace_id.in_(found)))
    if len(found) < BATCH_TRACES:
        # An older version beside this one, which knows no figures, leaves them behind when it forgets a trace.
        is_known = exists().where(traces.c.trace_id == runs.c.trace_id)
        connection.execute(delete(runs).where(runs.c.arrived_at_s < before_s, ~is_known))
    return len(found)


def close_batch(connection: Connection, statements: Statements, before_s: float) -> int:
    """Close some of the open traces that arrived before an instant; those that somebody writes now are left alone."""
    opened = select(*WHOLE).where(traces.c.status == "open", traces.c.arrived_at_s < before_s)
    oldest = opened.order_by(traces.c.arrived_at_s).limit(BATCH_TRACES).with_for_update(skip_locked=True)
    closed = [abandoned(whole(*row)) for row in connection.execute(oldest)]
    for trajectory in closed:
        row = trace_row(replace(trajectory, outcomes=()))
        changed = {name: row[name] for name in ("status", "payload", "decisions")}
        connection.execute(_CLOSE.values(**changed), {"closes": trajectory.trace_id})
    if closed:
        connection.execute(statements.put_run, [run_row(trajectory) for trajectory in closed])
    _learn_of(connection, statements, [trajectory.trace_id for trajectory in closed])
    return len(closed)


def adopt_batch(connection: Connection, statements: Statements, since_s: float) -> int:
    """Make lessons of some of the ended traces that arrived since an instant and are none yet."""
    ended = traces.c.status != "open", traces.c.arrived_at_s >= since_s
    is_known = exists().where(lessons.c.trace_id == traces.c.trace_id)
    some = select(traces.c.trace_id).where(*ended, ~is_known).order_by(traces.c.arrived_at_s)
    found = connection.execute(some.limit(BATCH_TRACES)).scalars().all()
    _learn_of(connection, statements, found)
    return len(found)


def hear_missed(connection: Connection, since_s: float) -> int:
    """Say of lessons that arrived since an instant that they were heard, where a score was recorded without it."""
    scored = outcomes.c.trace_id == lessons.c.trace_id, outcomes.c.score.is_not(None)
    first_s = select(func.min(outcomes.c.recorded_at_s)).where(*scored).scalar_subquery()
    is_unheard = lessons.c.arrived_at_s >= since_s, lessons.c.heard_at_s.is_(None)
    hearing = update(lessons).values(heard_at_s=first_s).where(*is_unheard, exists().where(*scored))
    return connection.execute(hearing).rowcount


def _learn_of(connection: Connection, statements: Statements, trace_ids: Sequence[str]) -> None:
    if trace_ids:
        for statement in (statements.put_lessons, statements.hear_early):
            connection.execute(statement, {"ended": list(trace_ids)})
