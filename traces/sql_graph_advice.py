"""Recommendations, what became of them, and analyses, in a SQL store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Column, Connection, delete, func, insert, select

from inframind.errors import UnknownRecommendation
from inframind.traces.advice import AdviceEvent, Recommendation
from inframind.traces.graph_checks import (
    KEPT_ANALYSES,
    read_recommendation,
    require_possible,
    shown,
    write_recommendation,
)
from inframind.traces.migration import Dialect
from inframind.traces.outcome_graph import KeptAnalysis
from inframind.traces.prefix import RECOMMENDATIONS
from inframind.traces.sql_graph_tables import advice_events, analyses, recommendations
from inframind.traces.sql_shelf_tables import document, from_document, hold

_PARAMETERS = 1000
"""Names in one statement; SQLite takes some thirty thousand."""


def add_recommendations(
    connection: Connection,
    dialect: Dialect,
    added: Sequence[Recommendation],
    facts: Mapping[str, Any] | None,
) -> None:
    """Insert those that are not there, and say that they were shown."""
    hold(connection, dialect, "advice")
    known = {one.recommendation_id for one in load_recommendations_of(connection, _ids(added))}
    new = [one for one in added if one.recommendation_id not in known]
    if new:
        last = _last(connection, advice_events.c.number)
        events = shown(new, facts, after=last)
        connection.execute(insert(recommendations), [_recommendation_row(one) for one in new])
        connection.execute(insert(advice_events), [_event_row(event) for event in events])


def load_recommendation(connection: Connection, prefix: str) -> Recommendation:
    """The one that begins so; the prefix has been checked."""
    begins_so = recommendations.c.recommendation_id.between(prefix, prefix + "g")  # after every hex digit
    found = connection.execute(
        select(recommendations.c.recommendation_id, recommendations.c.document).where(begins_so).limit(2)
    ).all()
    RECOMMENDATIONS.only(prefix, [own_id for own_id, _ in found])
    return read_recommendation(found[0].document)


def load_recommendations(
    connection: Connection, since_s: float | None, limit: int | None
) -> Sequence[Recommendation]:
    """Newest first; of those made together, in the order of their rank."""
    columns = recommendations.c
    found = select(columns.document).where(*([] if since_s is None else [columns.made_at_s >= since_s]))
    found = found.order_by(columns.made_at_s.desc(), columns.rank, columns.recommendation_id).limit(limit)
    return [read_recommendation(text) for text in connection.execute(found).scalars()]


def load_recommendations_of(connection: Connection, wanted: Sequence[str]) -> Sequence[Recommendation]:
    """Those of them that there are, in the order asked for."""
    found: dict[str, Recommendation] = {}
    for start in range(0, len(wanted), _PARAMETERS):
        some = recommendations.c.recommendation_id.in_(wanted[start : start + _PARAMETERS])
        rows = connection.execute(select(recommendations.c.document).where(some)).scalars()
        found |= {one.recommendation_id: one for one in map(read_recommendation, rows)}
    return [found[own_id] for own_id in wanted if own_id in found]


def add_event(connection: Connection, dialect: Dialect, event: AdviceEvent) -> AdviceEvent:
    """Insert an event behind the last one, if it may still happen."""
    hold(connection, dialect, "advice")
    own_id = event.recommendation_id
    found = select(recommendations.c.rank).where(recommendations.c.recommendation_id == own_id)
    if connection.execute(found).scalar() is None:
        raise UnknownRecommendation(own_id)
    earlier = select(advice_events.c.kind).where(advice_events.c.recommendation_id == own_id)
    require_possible(event, connection.execute(earlier).scalars().all())
    added = replace(event, number=_last(connection, advice_events.c.number) + 1)
    connection.execute(insert(advice_events), _event_row(added))
    return added


def load_events(connection: Connection, after: int, limit: int | None) -> Sequence[AdviceEvent]:
    """Events with a greater number, oldest first."""
    found = select(advice_events).where(advice_events.c.number > after)
    rows = connection.execute(found.order_by(advice_events.c.number).limit(limit))
    return [
        AdviceEvent(
            number=number,
            recommendation_id=recommendation_id,
            kind=kind,
            at_s=at_s,
            by=by,
            facts=from_document(facts),
        )
        for number, recommendation_id, kind, at_s, by, facts in rows
    ]


def keep_analysis(connection: Connection, dialect: Dialect, analysis: KeptAnalysis) -> KeptAnalysis:
    """Insert an analysis, and forget the oldest ones."""
    hold(connection, dialect, "analyses")
    kept = replace(analysis, number=_last(connection, analyses.c.number) + 1)
    row = {
        "number": kept.number,
        "at_s": kept.at_s,
        "configuration_id": kept.configuration_id,
        "document": document(kept.document),
    }
    connection.execute(insert(analyses), row)
    connection.execute(delete(analyses).where(analyses.c.number <= kept.number - KEPT_ANALYSES))
    return kept


def load_latest_analysis(connection: Connection) -> KeptAnalysis | None:
    """The newest one."""
    newest = select(analyses).order_by(analyses.c.number.desc()).limit(1)
    row = connection.execute(newest).mappings().first()
    return None if row is None else KeptAnalysis(**{**row, "document": from_document(row["document"])})


def _ids(found: Sequence[Recommendation]) -> list[str]:
    return [one.recommendation_id for one in found]


def _last(connection: Connection, number: Column[Any]) -> int:
    last: int | None = connection.execute(select(func.max(number))).scalar()
    return last or 0


def _recommendation_row(one: Recommendation) -> dict[str, Any]:
    return {
        "recommendation_id": one.recommendation_id,
        "made_at_s": one.made_at_s,
        "rank": one.rank,
        "configuration_id": one.configuration_id,
        "document": write_recommendation(one),
    }


def _event_row(event: AdviceEvent) -> dict[str, Any]:
    return {
        "number": event.number,
        "recommendation_id": event.recommendation_id,
        "kind": event.kind,
        "at_s": event.at_s,
        "by": event.by,
        "facts": document(event.facts),
    }
