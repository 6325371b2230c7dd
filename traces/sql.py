"""What a SQL trace store writes, in SQLAlchemy Core: statements for each kind of database, and the rows they take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Executable, Table, bindparam, delete, exists, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.elements import ColumnElement

from inframind.traces.codec import check_outcome, encode
from inframind.traces.migration import Dialect
from inframind.traces.query import EXCERPT_CHARS
from inframind.traces.records import Outcome, Trajectory
from inframind.traces.sql_read import PENDING, trace_of
from inframind.traces.sql_tables import Row, Text, aliases, outcomes, traces

Write = Sequence[tuple[Executable, Row]]
"""Statements of one write, each with its values; all of them or none."""

Insert = sqlite.Insert | postgresql.Insert

DELETE_TRACE: Final = delete(traces).where(traces.c.trace_id == bindparam("wanted"))
DELETE_OUTCOMES: Final = delete(outcomes).where(outcomes.c.trace_id == bindparam("wanted"))
DELETE_ALIASES: Final = delete(aliases).where(aliases.c.trace_id == bindparam("wanted"))
PRUNE_PENDING: Final = delete(outcomes).where(PENDING, outcomes.c.recorded_at_s < bindparam("before_s"))


def insert(dialect: Dialect, table: Table) -> Insert:
    """An INSERT that may say what to do ON CONFLICT, in the words of the database."""
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)


def replacing(statement: Insert, table: Table, *, unless_newer: bool = False) -> Insert:
    """Insert, or overwrite everything but the key; on request only what was not recorded later."""
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=list(table.primary_key),
        set_={column.name: new[column.name] for column in table.c if not column.primary_key},
        where=new.recorded_at_s >= table.c.recorded_at_s if unless_newer else None,
    )


class Statements:
    """The statements that are worded differently in each kind of database; the others are constants here."""

    def __init__(self, dialect: Dialect) -> None:
        self.put_trace = replacing(insert(dialect, traces), traces)
        self.keep_outcome = insert(dialect, outcomes).on_conflict_do_nothing()
        self.put_outcome = _put_outcome(insert(dialect, outcomes))
        self.put_alias = replacing(insert(dialect, aliases), aliases)
        self.join_waiting = _join_waiting(insert(dialect, outcomes))
        self.drop_waiting = delete(outcomes).where(*_waiting())


def _put_outcome(statement: Insert) -> Insert:
    """Put under the trace that ``reference`` names now, or under the name itself as long as there is none."""
    reference = bindparam("reference", type_=Text)
    named = statement.values(trace_id=func.coalesce(*trace_of(reference), reference))
    return replacing(named, outcomes, unless_newer=True)


def _waiting() -> tuple[ColumnElement[bool], ...]:
    """Outcomes that came early under ``waiting_as``; a stored trace of that name keeps its own."""
    name = bindparam("waiting_as", type_=Text)
    return outcomes.c.trace_id == name, ~exists().where(traces.c.trace_id == name)


def _join_waiting(statement: Insert) -> Insert:
    copied = [column for column in outcomes.c if column.name != "trace_id"]
    moved = select(bindparam("joins", type_=Text), *copied).where(*_waiting())
    return replacing(
        statement.from_select(["trace_id", *(column.name for column in copied)], moved),
        outcomes,
        unless_newer=True,
    )


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
    """The columns of one outcome,
    for `Statements.put_outcome` with ``reference``, for `Statements.keep_outcome` with ``trace_id``.

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
