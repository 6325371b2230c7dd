"""Roll-out events in a SQL store. Each row also holds who serves after it, so that nobody folds them all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import Connection, func, insert, select

from inframind.errors import RolloutMoved, UnknownPolicy
from inframind.traces.migration import Dialect
from inframind.traces.shelf import Rollout, RolloutEvent, rollout_after
from inframind.traces.shelf_checks import names_a_policy
from inframind.traces.sql_shelf_tables import document, from_document, hold, policies, rollout_events

CHANNEL = "inframind_rollout"
"""PostgreSQL's, on which every event is announced by the transaction that appends it."""

_EVENT = [column for column in rollout_events.c if column.name != "rollout"]


def append_event(connection: Connection, dialect: Dialect, event: RolloutEvent, after: int) -> RolloutEvent:
    """Insert an event behind the last one, if that is the one that the caller knows."""
    hold(connection, dialect, "rollout")
    if names_a_policy(event):
        _require_policy(connection, event.version)
    before = load_rollout(connection)
    if before.number != after:
        raise RolloutMoved(after, before.number)
    appended = replace(event, number=after + 1)
    connection.execute(insert(rollout_events).values(_row(appended, rollout_after(before, appended))))
    if dialect == "postgresql":
        connection.execute(select(func.pg_notify(CHANNEL, str(appended.number))))
    return appended


def load_events(connection: Connection, after: int, limit: int | None) -> Sequence[RolloutEvent]:
    """Events with a greater number, oldest first."""
    found = select(*_EVENT).where(rollout_events.c.number > after)
    rows = connection.execute(found.order_by(rollout_events.c.number).limit(limit)).mappings()
    return [RolloutEvent(**{**row, "figures": from_document(row["figures"])}) for row in rows]


def load_rollout(connection: Connection) -> Rollout:
    """Who serves now."""
    found = select(rollout_events.c.rollout).order_by(rollout_events.c.number.desc()).limit(1)
    last = connection.execute(found).scalar()
    return Rollout() if last is None else Rollout(**from_document(last))


def load_number(connection: Connection) -> int:
    """Of the last event; 0 before the first."""
    number: int | None = connection.execute(select(func.max(rollout_events.c.number))).scalar()
    return number or 0


def _require_policy(connection: Connection, version: str) -> None:
    found = select(policies.c.number).where(policies.c.version == version)
    if connection.execute(found).scalar() is None:
        raise UnknownPolicy(version)


def _row(event: RolloutEvent, rollout: Rollout) -> dict[str, Any]:
    return {**asdict(event), "figures": document(event.figures), "rollout": document(asdict(rollout))}
