"""Traces written durably per second, on SQLite and PostgreSQL side by side, by one writer and by many.

A trace has six steps, each decided among forty candidates: some 35 kB. A writer is a process that serves many requests
at once, each of which waits until its trace is durable; beside them, one process whose tasks write one at a time. Every
combination writes for some seconds into a store of its own, and its CPU time, the server's included, is shown beside
what it reached: on a busy machine that is the figure to compare.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import psutil
from _common import Bench, arguments
from _store_traces import fresh_schema, postgres_server, trajectory

from inframind.traces.sqlite import SqliteStore
from inframind.traces.store import TraceStore, open_store

TEMPLATES = 50
MANY = 32
BAR_TRACES_PER_S = 2000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Who writes: so many processes, each with so many requests at once."""

    processes: int
    at_once: int

    @property
    def name(self) -> str:
        """In figures."""
        return f"{self.processes}x{self.at_once}"


LOADS = tuple(
    Load(processes=processes, at_once=at_once)
    for processes, at_once in ((1, 1), (1, 4), (1, 16), (1, MANY), (4, MANY), (16, MANY))
)
BAR_LOAD = Load(processes=4, at_once=MANY)
QUICK_LOADS = (Load(processes=1, at_once=1), Load(processes=1, at_once=MANY), BAR_LOAD)


# A writer ---------------------------------------------------------------------------------------------------


def open_for(url: str, synchronous: str) -> TraceStore:
    """The store, with SQLite's durability as asked."""
    if url.startswith("sqlite:///"):
        mode: Literal["NORMAL", "FULL"] = "FULL" if synchronous == "FULL" else "NORMAL"
        return SqliteStore(url.removeprefix("sqlite:///"), synchronous=mode, busy_timeout_s=60.0)
    return open_store(url)


async def write(options: argparse.Namespace) -> tuple[int, float]:
    """Traces that were written, and CPU seconds that they took, from the moment that somebody says go."""
    rng = np.random.default_rng(options.seed)
    templates = [trajectory(rng, 1000.0 + n) for n in range(TEMPLATES)]
    written = 0
    async with open_for(options.url, options.synchronous) as store:
        print("ready", flush=True)
        sys.stdin.readline()
        begun_cpu_s, end_s = time.process_time(), time.monotonic() + options.seconds

        async def request() -> None:
            nonlocal written
            while time.monotonic() < end_s:
                template = templates[written % TEMPLATES]
                await store.put(replace(template, trace_id=rng.bytes(16).hex()))
                written += 1

        await asyncio.gather(*(request() for _ in range(options.at_once)))
        return written, time.process_time() - begun_cpu_s


# The measurement --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a load reached."""

    traces_per_s: float
    cpu_us_per_trace: float


def measure(
    url: str, load: Load, *, seconds: float, synchronous: str, server_cpu_s: Callable[[], float]
) -> Measured:
    """Start the writers, let them go together, and add up."""
    command = [sys.executable, __file__, "--url", url, "--at-once", str(load.at_once)]
    command += ["--seconds", str(seconds), "--synchronous", synchronous]
    writers = [
        subprocess.Popen(
            [*command, "--seed", str(seed)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for seed in range(load.processes)
    ]
    for writer in writers:
        assert writer.stdout is not None
        writer.stdout.readline()
    begun_s, begun_server_s = time.perf_counter(), server_cpu_s()
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    said = [writer.communicate()[0].split() for writer in writers]
    elapsed_s = time.perf_counter() - begun_s
    traces = sum(int(words[0]) for words in said)
    cpu_s = sum(float(words[1]) for words in said) + server_cpu_s() - begun_server_s
    return Measured(traces_per_s=traces / elapsed_s, cpu_us_per_trace=1e6 * cpu_s / traces)


def cpu_of(data: Path) -> Callable[[], float]:
    """CPU seconds that a PostgreSQL server and its processes have used, those that ended included."""
    postmaster = psutil.Process(int((data / "postmaster.pid").read_text().split()[0]))

    def used_s() -> float:
        own = postmaster.cpu_times()
        children = (child.cpu_times() for child in postmaster.children(recursive=True))
        living_s = sum(times.user + times.system for times in children)
        return own.user + own.system + own.children_user + own.children_system + living_s

    return used_s


def report(bench: Bench, store: str, load: Load, measured: Measured, *, is_held: bool) -> None:
    """Figures of one load; the bar is held against one of them."""
    name = f"{store}_{load.name}_traces_per_s"
    if is_held:
        bench.add_bar(name, measured.traces_per_s, BAR_TRACES_PER_S, "1/s", direction="at least")
    else:
        bench.add_figure(name, measured.traces_per_s, "1/s")
    bench.add_figure(f"{store}_{load.name}_cpu_us_per_trace", measured.cpu_us_per_trace, "us")


@contextmanager
def places(
    folder: str, stores: Sequence[str]
) -> Iterator[dict[str, tuple[Callable[[], str], str, Callable[[], float]]]]:
    """Of each store: where an empty one is, how durable, and what its server uses."""
    numbers = iter(range(10_000))

    def fresh_file() -> str:
        return f"sqlite:///{folder}/{next(numbers)}.db"

    found: dict[str, tuple[Callable[[], str], str, Callable[[], float]]] = {
        "sqlite": (fresh_file, "NORMAL", lambda: 0.0),
        "sqlite_full": (fresh_file, "FULL", lambda: 0.0),
    }
    with postgres_server() as (uri, data):
        found["postgresql"] = (lambda: fresh_schema(uri), "on", cpu_of(data))
        yield {name: place for name, place in found.items() if name in stores}


def main() -> None:
    """Run it."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, help="of each load (default 5, quick 1)")
    parser.add_argument("--stores", nargs="+", default=["sqlite", "sqlite_full", "postgresql"])
    for hidden in ("--url", "--synchronous"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    parser.add_argument("--at-once", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.url:
        print(*asyncio.run(write(options)))
        return
    seconds = options.seconds or (1.0 if options.quick else 5.0)
    bench = Bench(title="Durable writes of traces", packages=("sqlalchemy", "psycopg", "orjson"))
    with tempfile.TemporaryDirectory() as folder, places(folder, options.stores) as found:
        for load in LOADS:
            if options.quick and load not in QUICK_LOADS:
                continue
            for store, (fresh, synchronous, server_cpu_s) in found.items():
                measured = measure(
                    fresh(), load, seconds=seconds, synchronous=synchronous, server_cpu_s=server_cpu_s
                )
                report(bench, store, load, measured, is_held=load == BAR_LOAD and store != "sqlite_full")
    bench.print(as_json=options.json)


if __name__ == "__main__":
    main()
