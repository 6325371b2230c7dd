"""The one function that gives a store's outcome graph."""

from __future__ import annotations

from inframind.errors import ConfigError
from inframind.traces.memory import MemoryStore
from inframind.traces.outcome_graph import OutcomeGraph
from inframind.traces.sql_graph import SqlGraph
from inframind.traces.sql_store import SqlStore
from inframind.traces.store import TraceStore


def graph_of(store: TraceStore) -> OutcomeGraph:
    """Configurations, runs and advice of this store; closed with it.

    Raises:
        ConfigError: a store of another make.
        StoreClosed: the store is closed.
    """
    if isinstance(store, MemoryStore):
        return store.graph
    if isinstance(store, SqlStore):
        return store.companion(SqlGraph)
    raise ConfigError("store", type(store).__name__, "use a store that open_store gave")
