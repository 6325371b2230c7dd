"""Stores with many traces: copies of a few hundred real ones, over some weeks, under one configuration or several."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console

from inframind.arena.advice.defects import DefectWorld
from inframind.arena.advice.season import serve_season
from inframind.traces.configurations import Configuration, configuration_of
from inframind.traces.memory import MemoryStore
from inframind.traces.outcome_graphs import graph_of
from inframind.traces.query import TraceQuery
from inframind.traces.records import Trajectory
from inframind.traces.store import open_store

TRACES, TEMPLATES, AT_ONCE = 100_000, 960, 256
TRACES_PER_TEMPLATE = 10
DAYS, DAY_S = 20.0, 86_400.0
NOW_S = 1_760_000_000.0
"""When it is, so that a store that was filled long ago is as good as new."""
SQLITE = "sqlite:///"


@dataclass(frozen=True, kw_only=True)
class Filling:
    """What is in a store.

    Attributes:
        world: whose runs are copied.
        traces: how many copies.
        seed: of all chance.
        configurations: that the copies are of, one after the other; that of the world, and others that explore more.
    """

    world: DefectWorld
    traces: int
    seed: int
    configurations: int = 1


def filled(url: str, filling: Filling, console: Console) -> int:
    """Fill a store unless it is filled; number of its traces."""
    began_s = time.perf_counter()
    kept = asyncio.run(_fill(url, filling))
    console.print(
        f"{url.partition(':')[0]}: {kept:,} traces in {time.perf_counter() - began_s:.0f} s", style="dim"
    )
    return kept


async def _fill(url: str, filling: Filling) -> int:
    async with open_store(url) as store:
        kept = await store.count()
        if kept < filling.traces:
            templates, served = await asyncio.to_thread(templates_of, filling)
            rng = np.random.default_rng(filling.seed)
            made = _configurations(served, filling.configurations)
            for one in made:
                await graph_of(store).add_configuration(one, at_s=NOW_S - DAYS * DAY_S)
            for first in range(kept, filling.traces, AT_ONCE):
                places = range(first, min(first + AT_ONCE, filling.traces))
                copies = (_copy(templates, made, place, filling.traces, rng) for place in places)
                await asyncio.gather(*(store.put(one) for one in copies))
        found = await graph_of(store).configurations()
        counted = sum(summary.figures.runs for summary in found)
        if counted < filling.traces or len(found) < filling.configurations:
            sys.exit(
                f"{url} has figures of {counted:,} runs of {len(found)} configurations: delete it, and begin anew"
            )
        return await store.count()


def templates_of(filling: Filling) -> tuple[list[Trajectory], Configuration]:
    """Some real runs, and the configuration that decided them."""
    runs = min(TEMPLATES, filling.traces // TRACES_PER_TEMPLATE)
    store = MemoryStore(max_traces=runs)
    serve_season(filling.world, store, seed=filling.seed, runs=runs)

    async def all_of() -> tuple[list[Trajectory], Configuration]:
        (summary,) = await store.graph.configurations()
        return [run async for run in store.iter(TraceQuery(oldest_first=True))], summary.configuration

    return asyncio.run(all_of())


def _configurations(served: Configuration, number: int) -> list[Configuration]:
    policy = served.document["policy"]
    others = (
        configuration_of({**served.document, "policy": {**policy, "exploration": round(place / number, 4)}})
        for place in range(1, number)
    )
    return [served, *others]


def _copy(
    templates: Sequence[Trajectory],
    configurations: Sequence[Configuration],
    place: int,
    traces: int,
    rng: np.random.Generator,
) -> Trajectory:
    """One of the runs under an id of its own, at its own hour of some day, and of the configuration of that time."""
    run, trace_id = templates[place % len(templates)], rng.bytes(16).hex()
    day = (place * int(DAYS)) // traces
    arrived_at_s = NOW_S - (DAYS - day) * DAY_S + run.arrived_at_s % DAY_S + float(rng.random())
    return replace(
        run,
        trace_id=trace_id,
        configuration=configurations[place * len(configurations) // traces].configuration_id,
        arrived_at_s=min(arrived_at_s, NOW_S - 60),
        outcomes=tuple(replace(outcome, feedback_id=trace_id) for outcome in run.outcomes),
    )


@contextmanager
def copy_of(url: str) -> Iterator[str]:
    """A file is left as it was filled, for the next time; a server is as fresh as its traces."""
    if not url.startswith(SQLITE):
        yield url
        return
    with tempfile.TemporaryDirectory(prefix="inframind-store-") as folder:
        copied = Path(folder) / "store.db"
        shutil.copyfile(url.removeprefix(SQLITE), copied)
        yield f"{SQLITE}{copied}"
