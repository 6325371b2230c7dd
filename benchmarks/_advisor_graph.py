"""How long questions about configurations take with many traces, and what the row of figures costs a put."""

from __future__ import annotations

import asyncio
import gc
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from _advisor_store import DAY_S, NOW_S, SQLITE, Filling, copy_of, filled, templates_of
from _common import Bench
from _store_traces import fresh_schema, postgres_server, trajectory
from rich.console import Console
from rich.progress import track
from store import cpu_of

from inframind.arena.advice.defects import defect_named
from inframind.traces.outcome_graph import OutcomeGraph
from inframind.traces.outcome_graphs import graph_of
from inframind.traces.records import Trajectory
from inframind.traces.sql import run_row
from inframind.traces.sql_store import SqlStore
from inframind.traces.store import open_store

CONFIGURATIONS, SHOWN = 20, 20
TIMES, QUICK_TIMES = 7, 2
"""How often each question is asked; the median counts."""
BATCH, BATCHES, QUICK_BATCHES = 512, 32, 4
"""Traces that are put at once, and how often, each way; a server's CPU time is known to 10 ms."""
_RESAMPLES = 2000
Cpu = Callable[[], float]


@dataclass(frozen=True, kw_only=True)
class Place:
    """A database.

    Attributes:
        name: of its kind.
        full: URL of the store with many traces.
        fresh: makes the URL of an empty one.
        cpu_s: CPU seconds of everybody who works on it, so far.
    """

    name: str
    full: str
    fresh: Callable[[], str]
    cpu_s: Cpu


def report_graph(
    bench: Bench, console: Console, seed: int, *, quick: bool, store: Path, postgres: bool, traces: int
) -> None:
    """On SQLite, and on PostgreSQL if asked for."""
    store.parent.mkdir(parents=True, exist_ok=True)
    for opened in (_sqlite, _postgresql) if postgres else (_sqlite,):
        with opened(store) as place:
            _ask(bench, console, place, traces, seed, quick=quick)
            _put(bench, place, seed, quick=quick)


@contextmanager
def _sqlite(store: Path) -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="inframind-graph-") as folder:
        numbers = iter(range(10_000))
        yield Place(
            name="sqlite",
            full=f"{SQLITE}{store.resolve()}",
            fresh=lambda: f"{SQLITE}{folder}/{next(numbers)}.db",
            cpu_s=time.process_time,
        )


@contextmanager
def _postgresql(store: Path) -> Iterator[Place]:
    with postgres_server() as (uri, data):
        server_s = cpu_of(data)
        yield Place(
            name="postgresql",
            full=fresh_schema(uri),
            fresh=lambda: fresh_schema(uri),
            cpu_s=lambda: time.process_time() + server_s(),
        )


# Questions -------------------------------------------------------------------------------------------------


def _ask(bench: Bench, console: Console, place: Place, traces: int, seed: int, *, quick: bool) -> None:
    world = defect_named("truncation")
    filling = Filling(world=world, traces=traces, seed=seed, configurations=CONFIGURATIONS)
    kept = filled(place.full, filling, console)
    bench.add_figure(f"graph/{place.name}/traces", kept, "", f"of {CONFIGURATIONS} configurations")
    with copy_of(place.full) as copied:
        asked = asyncio.run(_asked(copied, place.cpu_s, QUICK_TIMES if quick else TIMES))
    for name, (wall_s, cpu_s) in asked.items():
        bench.add_figure(f"graph/{place.name}/{name}/wall", wall_s, "s", "median")
        bench.add_figure(f"graph/{place.name}/{name}/cpu", cpu_s, "s", "median, server included")


async def _asked(url: str, cpu_s: Cpu, times: int) -> Mapping[str, tuple[float, float]]:
    async with open_store(url) as store:
        graph = graph_of(store)
        ids = [one.configuration.configuration_id for one in await graph.configurations()]
        found = {}
        for name, ask in _questions(graph, ids[1], ids[0]).items():
            took = [await _timed(ask, cpu_s) for _ in range(times)]
            wall_s, spent_s = np.median(np.array(took), axis=0)
            found[name] = (float(wall_s), float(spent_s))
        return found


def _questions(graph: OutcomeGraph, old: str, new: str) -> Mapping[str, Callable[[], Awaitable[object]]]:
    """What the commands ask, as they ask it."""

    def worse(days: float) -> Callable[[], Awaitable[object]]:
        return lambda: graph.got_worse(split_s=NOW_S - days * DAY_S, window_s=days * DAY_S)

    return {
        "list": lambda: graph.configurations(limit=SHOWN),
        "list of a week": lambda: graph.configurations(since_s=NOW_S - 7 * DAY_S, limit=SHOWN),
        "compare": lambda: graph.compare(old, new),
        "front": graph.front,
        "worse than the day before": worse(1.0),
        "worse than the week before": worse(7.0),
    }


async def _timed(ask: Callable[[], Awaitable[object]], cpu_s: Cpu) -> tuple[float, float]:
    began_s, spent_s = time.perf_counter(), cpu_s()
    await ask()
    return time.perf_counter() - began_s, cpu_s() - spent_s


# Puts ------------------------------------------------------------------------------------------------------


def _put(bench: Bench, place: Place, seed: int, *, quick: bool) -> None:
    """Of short runs and of long ones: the row is as long for both."""
    rng = np.random.default_rng(seed)
    short, _ = templates_of(Filling(world=defect_named("truncation"), traces=960, seed=seed))
    long = [trajectory(rng, 1000.0 + number) for number in range(50)]
    for name, templates in (("short", short), ("long", long)):
        costs = asyncio.run(_costs(place, templates, rng, QUICK_BATCHES if quick else BATCHES, name))
        with_us, without_us = 1e6 * np.median(costs, axis=0) / BATCH
        more_us, low_us, high_us = 1e6 * _median(costs[:, 0] - costs[:, 1], rng) / BATCH
        steps = np.mean([len(one.steps) for one in templates])
        bench.add_figure(f"graph/{place.name}/put/{name}", with_us, "us of CPU", f"runs of {steps:.1f} steps")
        bench.add_figure(
            f"graph/{place.name}/put/{name}/of this the row", more_us, "us of CPU",
            f"{low_us:.0f} to {high_us:.0f}, {more_us / without_us:.1%} more than without",
        )  # fmt: skip


def _median(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A median and the ends of its 95 % interval, by resampling: now and then a batch pays for others' pages, too."""
    again = np.median(rng.choice(values, size=(_RESAMPLES, len(values))), axis=1)
    return np.array([np.median(values), *np.quantile(again, (0.025, 0.975))])


async def _costs(
    place: Place, templates: Sequence[Trajectory], rng: np.random.Generator, batches: int, name: str
) -> np.ndarray:
    """CPU seconds of batches with the row and without it, in turn (N2); the first of each warms up."""
    async with open_store(place.fresh()) as store:
        if not isinstance(store, SqlStore):
            raise TypeError(type(store).__name__)
        rows = []
        turns = track(range(batches + 1), f"puts, {place.name}, {name}", console=Console(stderr=True))
        for turn in turns:
            row = [0.0, 0.0]
            for is_without in (turn % 2, 1 - turn % 2):
                drawn = rng.integers(len(templates), size=BATCH)
                runs = [replace(templates[at], trace_id=rng.bytes(16).hex()) for at in drawn]
                row[is_without] = await _cpu_of_batch(store, runs, place.cpu_s, is_without=bool(is_without))
            rows.append(row)
    return np.array(rows[1:])


async def _cpu_of_batch(
    store: SqlStore, runs: Sequence[Trajectory], cpu_s: Cpu, *, is_without: bool
) -> float:
    """Of one batch; without the row, making it is not counted either. Garbage is collected in between."""
    statements = store.backend.statements
    gc.collect(0)
    gc.disable()
    spent_s = cpu_s()
    writes = [statements.put(run) for run in runs]
    if is_without:
        writes = [[pair for pair in write if pair[0] is not statements.put_run] for write in writes]
    await asyncio.gather(*(store.write(write) for write in writes))
    spent_s = cpu_s() - spent_s
    gc.enable()
    return spent_s - _making_s(runs) if is_without else spent_s


def _making_s(runs: Sequence[Trajectory]) -> float:
    began_s = time.process_time()
    for run in runs:
        run_row(run)
    return time.process_time() - began_s
