"""The trace store: what every implementation promises, and the one function that opens one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Protocol, Self

from inframind.errors import ConfigError
from inframind.traces.group_commit import DEFAULT_LIMITS, WriteLimits
from inframind.traces.memory import MemoryStore
from inframind.traces.postgres import PostgresStore, parse_url, shown
from inframind.traces.query import ALL_TRACES, TraceQuery, TraceSummary
from inframind.traces.records import Outcome, Trajectory
from inframind.traces.sqlite import SqliteStore

Summaries = list[TraceSummary]  # inside the class, `list` is the method

POSTGRES_PREFIXES = ("postgresql://", "postgresql+psycopg://", "postgres://")
_SQLITE_PREFIX = "sqlite:///"


class TraceStore(Protocol):
    """Trajectories and their outcomes, joined by trace id or by an alias of it.

    Outcomes are ordered by when they were recorded (``recorded_at_s``, then the feedback id), not by when
    they arrived, and of two with the same feedback id the one recorded later is kept (of two recorded at the same
    instant, the one that arrived last): retries, early and late feedback lead to the same trajectory.

    An alias is ``run:<32 hex digits>`` (a call of a model, or any run that a tracker numbers), ``otel:<32 hex
    digits>`` (an OpenTelemetry trace) or ``thread:<id>`` (a thread's latest run), see `inframind.traces.aliases`.
    Feedback whose trace is unknown is pending: kept under the name it came with, and joined when the trace or the
    alias comes. The memory store drops the oldest pending names beyond its size; a store on disk keeps them all,
    for `count_pending` to show and `prune_pending` to forget. Every method may be
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

    async def get_many(self, trace_ids: Sequence[str]) -> tuple[Trajectory, ...]:
        """Those of the trajectories that there are, in the order asked for, with their outcomes so far.

        One that this release cannot read (damaged, or of a newer release) is left out, and warned of in the log:
        who reads many must not be stopped by one. `get` and `iter` raise StoreError for it.
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

    async def add_outcome(self, reference: str, outcome: Outcome) -> None:
        """Record feedback: early, late or twice; the same feedback id replaces what was recorded before it.

        Args:
            reference: a trace id or an alias; unknown ones too.
            outcome: what was said.
        """
        ...

    async def add_alias(self, alias: str, trace_id: str) -> None:
        """Give a trace another name, before or after the trace itself arrives, or point the name to it anew.

        Pending outcomes of that name move to the trace in the same transaction; those that an overwritten alias
        brought to another trace before stay there. Naming a trace by its own id, as ``run:<its id>``, changes
        nothing: that name is always known.

        Raises:
            ConfigError: not of the form ``kind:name``.
        """
        ...

    async def trace_of(self, reference: str) -> str | None:
        """Id of the trace that an alias, or its own whole id, names; None when neither is known yet.

        An alias may be known before its trace has arrived.
        """
        ...

    async def count_pending(self) -> int:
        """Number of outcomes whose trace has not arrived."""
        ...

    async def prune_pending(self, *, before_s: float) -> None:
        """Forget outcomes recorded before ``before_s`` (Unix seconds) whose trace has not arrived."""
        ...

    async def count(self) -> int:
        """Number of traces."""
        ...

    async def delete(self, trace_id: str) -> None:
        """Forget a trace, its outcomes and its aliases; nothing happens when there is none."""
        ...

    async def prune(self, *, before_s: float, dry_run: bool = False) -> int:
        """Forget traces that arrived before ``before_s`` (Unix seconds), open ones and lessons to be learned included.

        Args:
            before_s: of arrival.
            dry_run: forget nothing.

        Returns:
            How many.
        """
        ...

    async def close_abandoned(self, *, before_s: float) -> int:
        """Close as ``cancelled`` the open traces that arrived before ``before_s``, which nobody resumes; how many.

        One that is resumed after all is put again when it ends, as if it had stayed open.
        """
        ...

    async def adopt_lessons(self, *, since_s: float) -> int:
        """Look for traces that arrived since ``since_s`` and for which nobody wrote down that they may be learned from.

        While processes of an older version of InfraMind still write to the store, and once after the last of them
        has gone, a learner calls this so that it skips nothing of theirs.

        Returns:
            How many were found, or were heard of since without it being noted.
        """
        ...

    async def aclose(self) -> None:
        """Finish what was begun and let go of the storage. Closing twice is fine."""
        ...


def open_store(url: str, limits: WriteLimits = DEFAULT_LIMITS) -> TraceStore:
    """Open the store that a URL names; creates the tables and brings the schema up to date.

    Args:
        url: ``memory:``, ``sqlite:///relative.db``, ``sqlite:////absolute.db``, a plain path that ends in
            ``.db``, or ``postgresql://user:password@host/database``. Opening a file blocks for some milliseconds, and
            connecting to a server for as long as that takes.
        limits: how much may wait to be written.

    Raises:
        ConfigError: another kind of URL, or a file in a folder that does not exist.
        ImportError: PostgreSQL's driver is missing.
        StoreError: the database cannot be opened.
    """
    if url == "memory:":
        return MemoryStore()
    if url.startswith(_SQLITE_PREFIX) and url != _SQLITE_PREFIX:
        return SqliteStore(Path(url.removeprefix(_SQLITE_PREFIX)), limits=limits)
    if url.endswith(".db") and ":" not in url:
        return SqliteStore(Path(url), limits=limits)
    if url.startswith(POSTGRES_PREFIXES):
        return PostgresStore(url, limits=limits)
    # What follows the scheme may hold a password.
    scheme, colon, _ = url.partition(":")
    raise ConfigError(
        "store",
        f"{scheme}:..." if colon else url,
        f"not supported by this version; use {_SQLITE_PREFIX}path, postgresql://user:password@host/database or memory:",
    )


def shown_url(url: str) -> str:
    """A store's URL as people may see it: without passwords."""
    return shown(parse_url(url)) if url.startswith(POSTGRES_PREFIXES) else url
