"""The latest runs of a store, read a page at a time."""

from __future__ import annotations

from collections.abc import Callable

from inframind.traces.query import TraceQuery
from inframind.traces.records import Trajectory
from inframind.traces.store import TraceStore

READ_AT_ONCE = 256
Progress = Callable[[str, int, int], None]
"""Is told what is done, how much of it is, and of how much; called on the event loop."""


def not_told(what: str, done: int, of: int) -> None:
    """Nobody wants to know."""


async def latest_runs(
    store: TraceStore, *, since_s: float, most: int, tell: Progress = not_told
) -> list[Trajectory]:
    """The latest runs, newest first; those that this release cannot read are left out.

    Args:
        store: where they are.
        since_s: earliest arrival, in seconds since the Unix epoch.
        most: runs.
        tell: is told how many were looked at.

    Raises:
        StoreError: the store cannot be read.
    """
    trace_ids = [found.trace_id for found in await store.list(TraceQuery(since_s=since_s, limit=most))]
    runs: list[Trajectory] = []
    for first in range(0, len(trace_ids), READ_AT_ONCE):
        tell("reading", first, len(trace_ids))
        runs += await store.get_many(trace_ids[first : first + READ_AT_ONCE])
    tell("reading", len(trace_ids), len(trace_ids))
    return runs
