"""Policy versions in a SQL store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Select, delete, func, insert, select

from inframind.errors import UnknownPolicy
from inframind.traces.migration import Dialect
from inframind.traces.shelf import PolicyVersion
from inframind.traces.shelf_checks import check_content, in_use, only_version
from inframind.traces.sql_shelf_rollout import load_rollout
from inframind.traces.sql_shelf_tables import document, from_document, hold, policies

_FACTS_ABOUT = [column for column in policies.c if column.name != "content"]


def add_policy(
    connection: Connection, dialect: Dialect, version: PolicyVersion, content: bytes
) -> PolicyVersion:
    """Insert a version unless it is there; returns the one that is."""
    hold(connection, dialect, "policies")
    known = _found(connection, _select().where(policies.c.version == version.version))
    if known:
        return known[0]
    number = 1 + (connection.execute(select(func.max(policies.c.number))).scalar() or 0)
    row = {**asdict(version), "number": number, "facts": document(version.facts), "content": content}
    connection.execute(insert(policies).values(row))
    return _found(connection, _select().where(policies.c.version == version.version))[0]


def load_policies(connection: Connection) -> Sequence[PolicyVersion]:
    """All versions, by number."""
    return _found(connection, _select())


def load_policy(connection: Connection, prefix: str) -> PolicyVersion:
    """The one version that begins so; the prefix has been checked."""
    begins_so = policies.c.version.between(prefix, prefix + "g")  # after every hex digit
    return only_version(prefix, _found(connection, _select().where(begins_so).limit(2)))


def load_content(connection: Connection, version: str) -> bytes:
    """A version's file, verified."""
    found = select(policies.c.content).where(policies.c.version == version)
    content = connection.execute(found).scalar()
    if content is None:
        raise UnknownPolicy(version)
    return check_content(version, bytes(content))


def prune_policies(connection: Connection, dialect: Dialect, keep: int) -> int:
    """Delete all but the newest and those in use; how many."""
    hold(connection, dialect, "policies")
    hold(connection, dialect, "rollout")
    newest = select(policies.c.version).order_by(policies.c.number.desc()).limit(keep)
    kept = {*connection.execute(newest).scalars(), *in_use(load_rollout(connection))}
    return connection.execute(delete(policies).where(policies.c.version.not_in(kept))).rowcount


def _select() -> Select[Any]:
    return select(*_FACTS_ABOUT).order_by(policies.c.number)


def _found(connection: Connection, statement: Select[Any]) -> list[PolicyVersion]:
    rows = connection.execute(statement).mappings()
    return [PolicyVersion(**{**row, "facts": from_document(row["facts"])}) for row in rows]
