"""Leading by lease, in a SQL store without locks that end with their process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Protocol

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.sql.elements import ColumnElement

from inframind.errors import StoreClosed
from inframind.traces.sql import insert, replacing
from inframind.traces.sql_shelf_tables import leases
from inframind.traces.sql_store import SqlStore


class Leading(Protocol):
    """Gives each role to one holder at a time."""

    def lead(
        self, role: str, holder: str, *, now_s: float, ttl_s: float
    ) -> AbstractAsyncContextManager[bool]:
        """See `inframind.traces.shelf.Shelf.lead`."""
        ...

    async def renew(self, role: str, holder: str, *, now_s: float, ttl_s: float) -> bool:
        """See `inframind.traces.shelf.Shelf.renew`."""
        ...

    def close(self) -> None:
        """Let go of every connection of its own. Blocks."""
        ...


class Leases:
    """Rows that say who leads, and until when. Who dies leads until then; who closes the store first does, too."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store

    @asynccontextmanager
    async def lead(self, role: str, holder: str, *, now_s: float, ttl_s: float) -> AsyncIterator[bool]:
        """Take the lease if nobody holds it, and give it back."""
        leads: bool | None = None
        try:
            leads = await self._store.transact(
                "lead", lambda connection: _take(connection, role, holder, now_s, now_s + ttl_s)
            )
            yield leads
        finally:
            if (
                leads is not False
            ):  # None: cancelled on the way, and the transaction is carried out all the same
                with suppress(StoreClosed):
                    await self._store.transact(
                        "lead", lambda connection: _give_back(connection, role, holder)
                    )

    async def renew(self, role: str, holder: str, *, now_s: float, ttl_s: float) -> bool:
        """Extend the lease, even late, unless somebody else has taken it."""
        extended = update(leases).where(*_held(role, holder)).values(until_s=now_s + ttl_s)
        return await self._store.transact(
            "renew", lambda connection: connection.execute(extended).rowcount == 1
        )

    def close(self) -> None:
        """There is nothing of its own."""


def _take(connection: Connection, role: str, holder: str, now_s: float, until_s: float) -> bool:
    lapses_s = connection.execute(select(leases.c.until_s).where(leases.c.role == role)).scalar()
    if lapses_s is not None and lapses_s > now_s:
        return False
    row = {"role": role, "holder": holder, "until_s": until_s}
    connection.execute(replacing(insert("sqlite", leases), leases), row)
    return True


def _give_back(connection: Connection, role: str, holder: str) -> None:
    connection.execute(delete(leases).where(*_held(role, holder)))


def _held(role: str, holder: str) -> tuple[ColumnElement[bool], ...]:
    return leases.c.role == role, leases.c.holder == holder
