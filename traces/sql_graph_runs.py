"""Figures of runs in a SQL store, added up by the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Final

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Double,
    FromClause,
    Subquery,
    and_,
    case,
    exists,
    func,
    select,
)
from sqlalchemy import tuple_ as row_of
from sqlalchemy.sql.expression import literal

from inframind.traces.figures import GROUPINGS, GroupKey, Tally
from inframind.traces.records import SolvedKeys
from inframind.traces.sql_graph_tables import runs
from inframind.traces.sql_tables import outcomes, traces

_SUMS: Final = tuple(field.name for field in fields(Tally))


def load_tallies(
    connection: Connection,
    *,
    keys: SolvedKeys,
    since_s: float | None = None,
    until_s: float | None = None,
    only: Sequence[str] | None = None,
) -> Mapping[str, Tally]:
    """Sums of each configuration that has runs, of those that arrived in a range of time.

    Args:
        connection: to read from.
        keys: whose verdicts count.
        since_s: first instant of the range.
        until_s: first instant after it.
        only: ids of the configurations to look at; None for all.
    """
    conditions, alike = _arrived(since_s, until_s), list[ColumnElement[bool]]()
    by: ColumnElement[str] = runs.c.configuration.concat("")
    # Not the bare column: SQLite would walk all runs in the order of the index, which takes twice as long.
    if only is not None:
        alike = [runs.c.configuration.in_(only)]
        by = runs.c.configuration
    rows = _tallied(connection, keys, [by], [*conditions, *alike], alike)
    return {name: tally for (name,), tally in rows}


def load_groups(
    connection: Connection, *, split_s: float, window_s: float, keys: SolvedKeys
) -> tuple[dict[GroupKey, Tally], dict[GroupKey, Tally]]:
    """Sums of each group of runs, in the window before an instant and in that from it on."""
    is_after = case((runs.c.arrived_at_s >= split_s, 1), else_=0)
    by = [is_after, *(runs.c[name] for name in GROUPINGS)]
    sides: tuple[dict[GroupKey, Tally], dict[GroupKey, Tally]] = ({}, {})
    conditions = _arrived(split_s - window_s, split_s + window_s)
    for (side, configuration, topology, domain), tally in _tallied(connection, keys, by, conditions):
        sides[side][(configuration, topology, domain)] = tally
    return sides


def _arrived(since_s: float | None, until_s: float | None) -> list[ColumnElement[bool]]:
    """Runs of a range of time, by the index that traces have; their own would cost every run that is put."""
    if since_s is None and until_s is None:
        return []
    bounds = [] if since_s is None else [traces.c.arrived_at_s >= since_s]
    bounds += [] if until_s is None else [traces.c.arrived_at_s < until_s]
    return [runs.c.trace_id.in_(select(traces.c.trace_id).where(*bounds))]


def _tallied(
    connection: Connection,
    keys: SolvedKeys,
    by: Sequence[ColumnElement[Any]],
    conditions: Sequence[ColumnElement[bool]],
    alike: Sequence[ColumnElement[bool]] = (),
) -> list[tuple[tuple[Any, ...], Tally]]:
    """Sums of each group, of runs under these conditions; ``alike`` says cheaply which runs are much like them."""
    judged, solved = _judged(keys)
    named = [column.label(f"by_{place}") for place, column in enumerate(by)]
    squares = [
        _squares(column, _near(connection, column, alike)) for column in (runs.c.latency_s, runs.c.cost)
    ]
    found = select(*named, *_sums(solved), *squares).select_from(judged)
    found = found.where(runs.c.counts, *conditions).group_by(*named)
    return [(tuple(row[: len(by)]), _tally(row[len(by) :])) for row in connection.execute(found)]


def _tally(sums: Sequence[Any]) -> Tally:
    return Tally(**dict(zip(_SUMS, sums, strict=True)))


def _sums(solved: ColumnElement[bool]) -> list[ColumnElement[Any]]:
    """In the order of the fields of `Tally`, up to the squares."""
    every = func.count()
    return [
        every,
        every.filter(runs.c.is_on_time),
        every.filter(runs.c.is_failed),
        func.count(solved),
        every.filter(solved),
        every.filter(and_(solved, runs.c.is_on_time)),
        func.count(runs.c.cost),
        func.sum(runs.c.latency_s),
        func.coalesce(func.sum(runs.c.cost), 0.0),
        func.sum(runs.c.completion_tokens) * literal(1.0),
    ]


def _squares(column: Column[float], near: float) -> ColumnElement[float]:
    """Sum of squared deviations from the mean, in one pass over the runs.

    Counted from a number near them: ``sum(x^2) - sum(x)^2 / n`` then loses no digits, and is 0 where all are the same.
    PostgreSQL's own variance would do, but SQLite has none, and deviations from each group's own mean take it another
    pass with a join, four times as long.
    """
    off = column - literal(near, Double)
    total = func.sum(off)
    return func.coalesce(func.sum(off * off) - total * total / func.nullif(func.count(column), 0), 0.0)


def _near(connection: Connection, column: Column[float], alike: Sequence[ColumnElement[bool]]) -> float:
    """That of any run, which is near those of others as far as they are alike; 0 where there is none."""
    found = select(column).where(column.is_not(None), *alike).limit(1)
    return connection.execute(found).scalar() or 0.0


def _judged(keys: SolvedKeys) -> tuple[FromClause, ColumnElement[bool]]:
    """Runs beside what was said of them, and whether they were solved, as `solved_of` has it: NULL for None.

    Joined, not asked for each run by itself as listings do: PostgreSQL reads all outcomes at once for that.
    """
    joined: FromClause = runs
    verdicts: list[ColumnElement[bool]] = []
    for place, (key, least) in enumerate(keys.thresholds):
        said = _latest(key, f"said_{place}")
        joined = joined.outerjoin(said, said.c.trace_id == runs.c.trace_id)
        verdicts.append(said.c.score >= least)
    return joined, func.coalesce(*verdicts) if len(verdicts) > 1 else verdicts[0]


def _latest(key: str, name: str) -> Subquery:
    """The latest score of each trace under a key: that than which there is no later one."""
    later = outcomes.alias()
    is_overtaken = exists().where(
        later.c.trace_id == outcomes.c.trace_id,
        later.c.key == key,
        later.c.score.is_not(None),
        row_of(later.c.recorded_at_s, later.c.feedback_id)
        > row_of(outcomes.c.recorded_at_s, outcomes.c.feedback_id),
    )
    scores = select(outcomes.c.trace_id, outcomes.c.score)
    return scores.where(outcomes.c.key == key, outcomes.c.score.is_not(None), ~is_overtaken).subquery(name)
