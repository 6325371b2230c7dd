"""Lessons and how far learners have come, in a SQL store.

A lesson's ``heard_at_s`` says that some score has come; whether one is a verdict is asked of the outcomes, for those
lessons alone. Each of the two ways to become due has an index of its own, of lessons that were not learned.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from heapq import merge
from itertools import islice
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, Select, case, func, null, or_, select, update
from sqlalchemy.sql.elements import ColumnElement

from inframind.traces.migration import Dialect
from inframind.traces.records import SolvedKeys
from inframind.traces.shelf import Lesson, LessonState, Progress
from inframind.traces.shelf_checks import STATES, require_last, require_unlearned
from inframind.traces.sql import insert, replacing
from inframind.traces.sql_shelf_tables import hold, learner_progress
from inframind.traces.sql_tables import lessons, outcomes

_PARAMETERS = 1000
"""Names in one statement; SQLite takes some thirty thousand."""


def load_lessons(
    connection: Connection, *, unheard_by_s: float, limit: int, keys: SolvedKeys
) -> Sequence[Lesson]:
    """Lessons that are due, in the order of their arrival."""
    # In this order: a verdict that comes between the two hides a lesson until next time, and doubles none.
    found = [
        [Lesson(**row, state="matured") for row in connection.execute(matured(keys, limit)).mappings()],
        [
            Lesson(**row, state="unheard")
            for row in connection.execute(unheard(keys, limit, unheard_by_s)).mappings()
        ],
    ]
    return list(islice(merge(*found, key=attrgetter("arrived_at_s", "trace_id")), limit))


def matured(keys: SolvedKeys, limit: int) -> Select[Any]:
    """Lessons with a verdict: ``lessons_heard`` in order, and the outcomes of each."""
    heard_at_s = _heard_at_s(keys)
    found = select(lessons.c.trace_id, lessons.c.arrived_at_s, heard_at_s.label("heard_at_s"))
    is_due = lessons.c.heard_at_s.is_not(None), heard_at_s.is_not(None)
    return _in_order(found.where(lessons.c.learned_at_s.is_(None), *is_due), limit)


def unheard(keys: SolvedKeys, limit: int, unheard_by_s: float) -> Select[Any]:
    """Lessons that no verdict is expected for any more: ``lessons_unlearned`` up to an instant, in order."""
    found = select(lessons.c.trace_id, lessons.c.arrived_at_s)
    has_none = or_(lessons.c.heard_at_s.is_(None), _heard_at_s(keys).is_(None))
    is_due = lessons.c.arrived_at_s <= unheard_by_s, has_none
    return _in_order(found.where(lessons.c.learned_at_s.is_(None), *is_due), limit)


def count_lessons(
    connection: Connection, *, unheard_by_s: float, keys: SolvedKeys
) -> Mapping[LessonState, int]:
    """Number of lessons in each state: one pass over all of them."""
    heard_at_s = case((lessons.c.heard_at_s.is_(None), null()), else_=_heard_at_s(keys)).label("verdict_at_s")
    lesson = select(lessons.c.arrived_at_s, lessons.c.learned_at_s, heard_at_s).subquery()
    state = case(
        (lesson.c.verdict_at_s > lesson.c.learned_at_s, "late"),
        (lesson.c.learned_at_s.is_not(None), "learned"),
        (lesson.c.verdict_at_s.is_not(None), "matured"),
        (lesson.c.arrived_at_s <= unheard_by_s, "unheard"),
        else_="pending",
    ).label("state")
    counts: dict[LessonState, int] = dict.fromkeys(STATES, 0)
    for name, number in connection.execute(select(state, func.count()).group_by(state)):
        counts[name] = number
    return counts


def load_progress(connection: Connection, learner: str) -> Progress | None:
    """How far a learner has come."""
    columns = [column for column in learner_progress.c if column.name != "learner"]
    found = select(*columns).where(learner_progress.c.learner == learner)
    row = connection.execute(found).mappings().first()
    return None if row is None else Progress(**{**row, "state": bytes(row["state"])})


def commit_learned(
    connection: Connection,
    dialect: Dialect,
    learner: str,
    progress: Progress,
    names: frozenset[str],
) -> Progress | None:
    """Mark lessons and keep the state; None, and nothing is kept, when a lesson is being written by somebody else.

    Args:
        connection: in a transaction.
        dialect: of the database.
        learner: name.
        progress: to be kept; what was learned before is added to its ``learned``.
        names: lessons that are learned.
    """
    hold(connection, dialect, f"learner:{learner}")
    before = load_progress(connection, learner)
    require_last(learner, before.number if before else 0, progress.number - 1)
    wanted = sorted(names)
    if _lock(connection, wanted) < len(wanted):
        require_unlearned(learner, _count_unlearned(connection, wanted), len(wanted))
        return None
    marks = {"learned_at_s": progress.at_s, "learned_by": learner}
    for piece in _pieces(wanted):
        connection.execute(update(lessons).where(lessons.c.trace_id.in_(piece)).values(marks))
    kept = Progress(**{**asdict(progress), "learned": len(wanted) + (before.learned if before else 0)})
    row = {"learner": learner, **asdict(kept)}
    connection.execute(replacing(insert(dialect, learner_progress), learner_progress), row)
    return kept


def _lock(connection: Connection, wanted: Sequence[str]) -> int:
    """Lock the lessons that are there to be learned, and say how many these are.

    Lessons that somebody else holds are skipped, not waited for. Writers of traces and feedback update lessons in an
    order of their own: who waits while it holds some might wait in a circle with them, and one of both would fail
    after the server's deadlock timeout. SQLite has one writer at a time, and nothing to lock.
    """
    return sum(
        len(connection.execute(_unlearned(piece).with_for_update(skip_locked=True)).all())
        for piece in _pieces(wanted)
    )


def _count_unlearned(connection: Connection, wanted: Sequence[str]) -> int:
    return sum(len(connection.execute(_unlearned(piece)).all()) for piece in _pieces(wanted))


def _unlearned(names: Sequence[str]) -> Select[Any]:
    return select(lessons.c.trace_id).where(lessons.c.trace_id.in_(names), lessons.c.learned_at_s.is_(None))


def _pieces(names: Sequence[str]) -> Iterator[Sequence[str]]:
    return (names[start : start + _PARAMETERS] for start in range(0, len(names), _PARAMETERS))


def _in_order(found: Select[Any], limit: int) -> Select[Any]:
    return found.order_by(lessons.c.arrived_at_s, lessons.c.trace_id).limit(limit)


def _heard_at_s(keys: SolvedKeys) -> ColumnElement[float]:
    """When the first verdict on a lesson was recorded, or NULL.

    Not an EXISTS where this would do: PostgreSQL makes a join of that, and reads all outcomes for a few lessons.
    """
    return (
        select(func.min(outcomes.c.recorded_at_s))
        .where(
            outcomes.c.trace_id == lessons.c.trace_id,
            outcomes.c.key.in_([key for key, _ in keys.thresholds]),
            outcomes.c.score.is_not(None),
        )
        .scalar_subquery()
    )
