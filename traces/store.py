"""The trace store: what every implementation promises, and the one function that opens one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol, Self

from inframind.errors import ConfigError
from inframind.traces.memory import MemoryStore
from inframind.traces.query import ALL_TRACES, TraceQuery, TraceSummary
from inframind.traces.records import Outcome, Trajectory
from inframind.traces.sqlite import SqliteStore

Summaries = list[TraceSummary]  # inside the class, `list` is the method

_SQLITE_PREFIX = "sqlite:///"


class TraceStore(Protocol):
    """Trajectories and their outcomes, joined by trace id.

    Outcomes are ordered by when they were recorded (``recorded_at_s``, then the feedback id), not by when
    they arrived, so that retries, early and late feedback lead to the same trajectory. Every method may be
    awaited from several threads and event loops at once, and raises StoreClosed after `aclose` and
    StoreError when the storage fails.
    """

    async def __aenter__(self) -> Self:
        """The store itself."""
        ...

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        ...

    async def put(self, trajectory: Trajectory) -> None:
        """Keep a trajectory, or replace the one with its id; as durable as the store is when this returns.

        Outcomes recorded before, even before the trajectory arrived, are kept, and win over those inside
        ``trajectory`` that have the same feedback id.
        """
        ...

    async def get(self, trace_id: str) -> Trajectory:
        """The trajectory with its outcomes so far.

        Raises:
            UnknownTrace: there is none under that id.
        """
        ...

    async def resolve(self, prefix: str) -> str:
        """The one trace id that begins with these six or more hex digits.

        Raises:
            UnknownTrace: there is none.
            ConfigError: the prefix is too short, is not hex, or begins several ids.
        """
        ...

    async def list(self, query: TraceQuery = ALL_TRACES) -> Summaries:
        """Summaries of the traces that the query selects, newest first unless it says otherwise."""
        ...

    def iter(self, query: TraceQuery = ALL_TRACES) -> AsyncIterator[Trajectory]:
        """The trajectories that the query selects, as a stream, in the same order as `list`."""
        ...

    async def add_outcome(self, trace_id: str, outcome: Outcome) -> None:
        """Record feedback: early, late or twice; the same feedback id replaces what it said before."""
        ...

    async def count(self) -> int:
        """Number of traces."""
        ...

    async def delete(self, trace_id: str) -> None:
        """Forget a trace and its outcomes; nothing happens when there is none."""
        ...

    async def aclose(self) -> None:
        """Finish what was begun and let go of the storage. Closing twice is fine."""
        ...


def open_store(url: str) -> TraceStore:
    """Open the store that a URL names; creates the file and brings its schema up to date.

    Args:
        url: ``memory:``, ``sqlite:///relative.db``, ``sqlite:////absolute.db``, or a plain path that ends in
            ``.db``. Opening a file blocks for some milliseconds.

    Raises:
        ConfigError: another kind of URL, or a file in a folder that does not exist.
        StoreError: the file cannot be opened.
    """
    if url == "memory:":
        return MemoryStore()
    if url.startswith(_SQLITE_PREFIX) and url != _SQLITE_PREFIX:
        return SqliteStore(Path(url.removeprefix(_SQLITE_PREFIX)))
    if url.endswith(".db") and ":" not in url:
        return SqliteStore(Path(url))
    # The rest of the URL may hold a password: show its scheme alone.
    scheme = url.partition("://")[0] + "://..." if "://" in url else url
    raise ConfigError("store", scheme, f"not supported by this version; use {_SQLITE_PREFIX}path or memory:")
