"""What one kind of database adds to the SQL store: its engine, its schema's opening, and its errors in our words."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, OperationalError

from inframind.errors import StoreError, StoreUnavailable
from inframind.traces.migration import Dialect
from inframind.traces.sql import Statements, Write

READERS = 4
"""Threads that read, each on a connection of its own; one more writes."""


def concerns_all(error: BaseException) -> bool:
    """Whether the storage refuses whatever it is given: full, locked, read-only or out of reach."""
    return isinstance(error, StoreUnavailable)


class Backend(ABC):
    """One database, from the store's point of view.

    Attributes:
        dialect: SQLAlchemy's name of its kind.
        place: how errors call it: a path, or a URL without its password.
        statements: what is written to it.
        patience_s: how long a transaction is tried again after a failure that passes.
    """

    dialect: Dialect
    place: str
    statements: Statements
    patience_s: float = 0.0

    @abstractmethod
    def engine(self) -> Engine:
        """A new engine: of this process, with connections of its own."""

    @abstractmethod
    def writing(self, engine: Engine) -> Engine:
        """The same engine, for connections that write."""

    @abstractmethod
    def open_schema(self, engine: Engine) -> None:
        """Create what is missing, and bring the schema up to date; safe beside other processes that do or write."""

    @abstractmethod
    def fix_of(self, error: DBAPIError) -> str:
        """What to do about an error."""

    @abstractmethod
    def before_writing(self, connection: Connection, statements: Write) -> None:
        """First thing in the transaction of a batch: take the locks that it needs."""

    def is_passing(self, error: DBAPIError) -> bool:
        """Whether the same transaction may well succeed in a moment."""
        return False

    @contextmanager
    def errors(self, operation: str) -> Iterator[None]:
        """Every database error leaves as a StoreError that names the place and the fix."""
        try:
            yield
        except DBAPIError as error:
            raise self.store_error(operation, error) from error

    def store_error(self, operation: str, error: DBAPIError) -> StoreError:
        """The error in our words. Statement and values, which SQLAlchemy would show, are left out."""
        cause = " ".join(str(error.orig).split())
        kind = StoreUnavailable if isinstance(error, OperationalError) else StoreError
        return kind(operation, f"{self.place}: {cause}; {self.fix_of(error)}")
