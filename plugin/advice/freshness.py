"""Whether an analysis still says what the store says, found out without reading the runs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from inframind.advisor.analysis import Analysis
from inframind.graphs.recorder import BOOK, DEALT
from inframind.plugin.latest_runs import latest_runs
from inframind.traces.query import TraceQuery
from inframind.traces.records import Trajectory
from inframind.traces.store import TraceStore

LEAST_NEWER = 50
"""Newer runs below which an analysis is not made anew for them."""
GROWTH = 0.5
"""Newer runs, as a share of those that were read, from which on it is."""
_LOOKED_AT = 20
"""Latest runs whose configuration is looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """How an analysis stands to the store.

    Attributes:
        stored: runs in the store.
        newer: of these, how many came since.
        why_old: why it does not hold any more, as a sentence; "" where it does.
        latest_s: arrival of the latest run, where there are runs and the analysis found none of its days.
    """

    stored: int
    newer: int = 0
    why_old: str = ""
    latest_s: float | None = None


async def freshness_of(analysis: Analysis, store: TraceStore, *, under: Collection[str]) -> Freshness:
    """How an analysis stands to a store.

    Args:
        analysis: the latest.
        store: where runs are.
        under: ids of the recommendations whose rules are in force now.

    Raises:
        StoreError: the store cannot be read.
    """
    stored = await store.count()
    newer = max(0, stored - analysis.stored)
    if not stored:
        return Freshness(stored=0)
    if not analysis.runs:
        newest = await store.list(TraceQuery(limit=1))
        why, latest_s = "it found no runs", max((run.arrived_at_s for run in newest), default=None)
        return Freshness(stored=stored, newer=newer, why_old=why, latest_s=latest_s)
    return Freshness(stored=stored, newer=newer, why_old=await _why_old(analysis, store, newer, under))


async def _why_old(analysis: Analysis, store: TraceStore, newer: int, under: Collection[str]) -> str:
    if newer >= max(LEAST_NEWER, GROWTH * analysis.runs):
        return f"{newer:,} runs are newer"
    if {*under} != {*analysis.under}:
        return "other advice is in force"
    runs = await latest_runs(store, since_s=analysis.until_s, most=_LOOKED_AT)
    since = {one.configuration for one in served(runs) if one.arrived_at_s > analysis.until_s}
    return "the configuration is another one" if since and analysis.configuration_id not in since else ""


def served(runs: Sequence[Trajectory]) -> list[Trajectory]:
    """Those of a known configuration that serves, and is not only tried."""
    known = (run for run in runs if run.configuration)
    return [run for run in known if run.metadata.get(BOOK, {}).get(DEALT, {}).get("arm") != "candidate"]
