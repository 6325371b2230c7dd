"""The one function that gives a store's shelf."""

from __future__ import annotations

from inframind.errors import ConfigError
from inframind.traces.memory import MemoryStore
from inframind.traces.shelf import Shelf
from inframind.traces.sql_shelf import SqlShelf
from inframind.traces.sql_store import SqlStore
from inframind.traces.store import TraceStore


def shelf_of(store: TraceStore) -> Shelf:
    """What a learner and those who serve share through this store; closed with it.

    Raises:
        ConfigError: a store of another make.
        StoreClosed: the store is closed.
    """
    if isinstance(store, MemoryStore):
        return store.shelf
    if isinstance(store, SqlStore):
        return store.companion(SqlShelf)
    raise ConfigError("store", type(store).__name__, "use a store that open_store gave")
