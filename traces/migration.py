"""One numbered change of the schema, for each kind of database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Dialect = Literal["sqlite", "postgresql"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """Statements that take a schema to its next version, all of them in one transaction.

    A released migration never changes, and only adds: a process of the version before may go on reading and
    writing while and after it runs. What has to look at every row of a big table belongs elsewhere, in batches.

    Attributes:
        sqlite: its statements in SQLite's words.
        postgresql: and in PostgreSQL's.
    """

    sqlite: tuple[str, ...]
    postgresql: tuple[str, ...]

    def statements(self, dialect: Dialect) -> tuple[str, ...]:
        """What to execute."""
        return self.sqlite if dialect == "sqlite" else self.postgresql
