"""What a SQL trace store writes, in SQLAlchemy Core: statements for each kind of database, and the rows they take."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Final

from sqlalchemy import Executable, Table, Update, bindparam, delete, exists, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.elements import ColumnElement

from inframind.traces.codec import check_outcome, encode_apart
from inframind.traces.figures import run_of
from inframind.traces.migration import Dialect
from inframind.traces.query import EXCERPT_CHARS
from inframind.traces.records import Outcome, Trajectory
from inframind.traces.sql_graph_tables import runs
from inframind.traces.sql_read import PENDING, trace_of
from inframind.traces.sql_tables import Row, Text, aliases, lessons, outcomes, traces

Statement = Executable
Write = Sequence[tuple[Statement, Row]]
"""Statements of one write, each with its values; all of them or none."""

Insert = sqlite.Insert | postgresql.Insert

_RUN = tuple(column.name for column in runs.c)
_WANTED = bindparam("wanted", type_=Text)

PRUNE_PENDING: Final = delete(outcomes).where(PENDING, outcomes.c.recorded_at_s < bindparam("before_s"))
DELETE_TRACE: Final[Sequence[Statement]] = tuple(
    delete(table).where(table.c.trace_id == _WANTED) for table in (traces, outcomes, aliases, lessons, runs)
)


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
    """The statements of the store's writes, in the words of one kind of database.

    A lesson is written by two sides, which may be different processes at the same instant: the trace that ends
    brings it (`put_lessons`) and looks for scores that came early (`hear_early`); a score says that it was heard
    (`hear`). So that neither misses the other, `hear` inserts the lesson where there is none: where a trace is just
    being put, it waits for that. What it inserted in vain, for want of a trace, goes again (`drop_unborn`) in the
    same transaction; one that puts the trace waits for that, and only then looks for early scores.
    """

    def __init__(self, dialect: Dialect) -> None:
        self.put_trace = replacing(insert(dialect, traces), traces)
        self.put_run = replacing(insert(dialect, runs), runs)
        self.keep_outcome = insert(dialect, outcomes).on_conflict_do_nothing()
        self.put_outcome = _put_outcome(insert(dialect, outcomes))
        self.put_alias = replacing(insert(dialect, aliases), aliases)
        self.join_waiting = _join_waiting(insert(dialect, outcomes))
        self.drop_waiting = delete(outcomes).where(*_waiting())
        self.put_lessons = _put_lessons(insert(dialect, lessons))
        self.hear_early = _hear_early()
        self.hear = _hear(insert(dialect, lessons))
        self.drop_unborn = delete(lessons).where(
            lessons.c.trace_id == _meant("heard_as"), lessons.c.arrived_at_s.is_(None)
        )
        ordered = (
            (self.put_trace, "trace_id"),
            (self.put_run, "trace_id"),
            (self.keep_outcome, "trace_id"),
            (self.put_alias, "alias"),
            (self.join_waiting, "joins"),
            (self.drop_waiting, "waiting_as"),
            (self.put_outcome, "reference"),
            (self.put_lessons, "ended"),
            (self.hear_early, "ended"),
            (self.hear, "heard_as"),
            (self.drop_unborn, "heard_as"),
        )
        self._stages: dict[Statement, tuple[int, str]] = {
            statement: (stage, key) for stage, (statement, key) in enumerate(ordered)
        }

    def ordered(self, writes: Iterable[Write]) -> Write:
        """The statements of a batch of writes that nobody has been told of: in stages, and each stage by its key.

        So the database is given many rows at a time, and two processes that write the same rows do so in the same
        order, and do not wait for each other in a circle. Statements that are not ours come last, as they came.
        """
        last = (len(self._stages), "")

        def place(pair: tuple[Statement, Row]) -> tuple[int, str]:
            stage, key = self._stages.get(pair[0], last)
            return stage, pair[1][key] if key else ""

        return sorted((pair for write in writes for pair in write), key=place)

    def executions(self, statements: Write) -> Iterator[tuple[Statement, Row | list[Row]]]:
        """What to execute, one after the other: neighbours with the same statement go together."""
        for statement, pairs in groupby(statements, key=lambda pair: pair[0]):
            rows = [row for _, row in pairs]
            if statement in (self.put_lessons, self.hear_early):
                yield statement, {"ended": [row["ended"] for row in rows]}
            else:
                yield statement, rows

    def put(self, trajectory: Trajectory) -> Write:
        """Keep a trajectory, its figures and what it says of outcomes; once its run has ended, it is a lesson."""
        own_id = trajectory.trace_id
        inside = [outcome_row(outcome, trace_id=own_id) for outcome in trajectory.outcomes]
        row = trace_row(replace(trajectory, outcomes=()) if inside else trajectory)
        write: list[tuple[Statement, Row]] = [(self.put_trace, row), (self.put_run, run_row(trajectory))]
        write += [(self.keep_outcome, outcome) for outcome in inside]
        has_ended = trajectory.status != "open"
        if has_ended:
            write.append((self.put_lessons, {"ended": own_id}))
        if has_ended or inside:  # a run that goes on again may be a lesson already
            write.append((self.hear_early, {"ended": own_id}))
        return write

    def add_outcome(self, name: str, outcome: Outcome) -> Write:
        """Record an outcome under what a canonical name means."""
        write = [(self.put_outcome, outcome_row(outcome, reference=name))]
        return [*write, *self._hear(name)] if outcome.score is not None else write

    def add_alias(self, name: str, trace_id: str) -> Write:
        """Give a trace a canonical name, and join what was said under it."""
        return [
            (self.put_alias, {"alias": name, "trace_id": trace_id}),
            (self.join_waiting, {"waiting_as": name, "joins": trace_id}),
            (self.drop_waiting, {"waiting_as": name}),
            *self._hear(name),
        ]

    def _hear(self, name: str) -> Write:
        return [(self.hear, {"heard_as": name}), (self.drop_unborn, {"heard_as": name})]


def _meant(parameter: str) -> ColumnElement[str]:
    """The trace that a name means now, or the name itself as long as it means none."""
    name = bindparam(parameter, type_=Text)
    return func.coalesce(*trace_of(name), name)


def _put_outcome(statement: Insert) -> Insert:
    return replacing(statement.values(trace_id=_meant("reference")), outcomes, unless_newer=True)


def _waiting() -> tuple[ColumnElement[bool], ...]:
    """Outcomes that came early under ``waiting_as``; a stored trace of that name keeps its own."""
    name = bindparam("waiting_as", type_=Text)
    return outcomes.c.trace_id == name, ~exists().where(traces.c.trace_id == name)


def _join_waiting(statement: Insert) -> Insert:
    """Move to the trace, provided that the alias still means it: another write of the batch may have the last word."""
    trace_id, name = bindparam("joins", type_=Text), bindparam("waiting_as", type_=Text)
    copied = [column for column in outcomes.c if column.name != "trace_id"]
    is_named = exists().where(aliases.c.alias == name, aliases.c.trace_id == trace_id)
    moved = select(trace_id, *copied).where(*_waiting(), is_named)
    return replacing(
        statement.from_select(["trace_id", *(column.name for column in copied)], moved),
        outcomes,
        unless_newer=True,
    )


_ENDED: Final = bindparam("ended", type_=Text, expanding=True)
"""Ids of many traces at once: lessons are written by two statements for a batch, not by two for each trace."""


def _put_lessons(statement: Insert) -> Insert:
    ended = select(traces.c.trace_id, traces.c.arrived_at_s).where(traces.c.trace_id.in_(_ENDED))
    inserting = statement.from_select(["trace_id", "arrived_at_s"], ended.order_by(traces.c.trace_id))
    arrived_at_s = inserting.excluded.arrived_at_s
    return inserting.on_conflict_do_update(
        index_elements=[lessons.c.trace_id],
        set_={"arrived_at_s": arrived_at_s},
        where=lessons.c.arrived_at_s.is_distinct_from(arrived_at_s),
    )


def _scored(trace_id: ColumnElement[str]) -> tuple[ColumnElement[bool], ...]:
    return outcomes.c.trace_id == trace_id, outcomes.c.score.is_not(None)


def _hear_early() -> Update:
    scored = _scored(lessons.c.trace_id)
    first_s = select(func.min(outcomes.c.recorded_at_s)).where(*scored).scalar_subquery()
    is_unheard = lessons.c.trace_id.in_(_ENDED), lessons.c.heard_at_s.is_(None)
    return update(lessons).values(heard_at_s=first_s).where(*is_unheard, exists().where(*scored))


def _hear(statement: Insert) -> Insert:
    first = (
        select(outcomes.c.trace_id, func.min(outcomes.c.recorded_at_s))
        .where(*_scored(_meant("heard_as")))
        .group_by(outcomes.c.trace_id)
    )
    inserting = statement.from_select(["trace_id", "heard_at_s"], first)
    return inserting.on_conflict_do_update(
        index_elements=[lessons.c.trace_id],
        set_={"heard_at_s": inserting.excluded.heard_at_s},
        where=lessons.c.heard_at_s.is_(None),
    )


def trace_row(trajectory: Trajectory) -> Row:
    """The columns of a trajectory; its outcomes have a table of their own and are not in the payload.

    Raises:
        StoreError: the trajectory holds something that cannot be written down.
    """
    document, decisions = encode_apart(trajectory)
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
        "payload": document.decode(),
        "decisions": decisions,
    }


def run_row(trajectory: Trajectory) -> Row:
    """The figures of a trajectory that `trace_row` did not refuse."""
    run = run_of(trajectory)
    return {name: getattr(run, name) for name in _RUN}


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
