"""Kill a loaded writer, or its database server, again and again: is anything lost that was acknowledged, or doubled?

A writer process puts traces, names them and records feedback from several event loops, and says on a pipe what was
acknowledged, never before it was. It is killed with SIGKILL at a random moment; then the store is opened anew, and
every acknowledged trace, name and piece of feedback must be there once. In every fourth round on PostgreSQL it is the
server whose processes are all killed, while the writer waits for it to come back; the writer is killed afterwards.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from _common import Bench, arguments
from _store_traces import fresh_schema, postgres_server, restart_postgres

from inframind.errors import UnknownTrace
from inframind.traces.records import Trajectory
from inframind.traces.shelves import shelf_of
from inframind.traces.store import TraceStore, open_store

WRITER = Path(__file__).with_name("_store_writer.py")
SERVER_EVERY = 4


@dataclass(slots=True)
class Tally:
    """What was found over all kills of one store."""

    kills: int = 0
    server_kills: int = 0
    acknowledged: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    reopening_s: list[float] = field(default_factory=list)


class Writers:
    """Starts writers and kills them."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self._nursery = subprocess.Popen(
            [sys.executable, WRITER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Writers:
        return self

    def __exit__(self, *_: object) -> None:
        self._nursery.communicate()

    def run(self, url: str, seed: int, load_s: float, crash: Callable[[], None] | None) -> list[list[str]]:
        """What a writer said before it was killed, at a random moment under load.

        Args:
            url: where it writes.
            seed: of its traces.
            load_s: how long it may write.
            crash: called in the middle of that, if given.
        """
        file = self._folder / f"{seed}.log"
        pid = int(self._ask(f"{url} {seed} {file}"))
        while not file.exists() or file.stat().st_size < 2000:
            time.sleep(0.005)
        if crash is not None:
            time.sleep(load_s / 2)
            crash()
        time.sleep(load_s)
        os.kill(pid, signal.SIGKILL)
        assert self._nursery.stdout is not None
        self._nursery.stdout.readline()
        said = file.read_text()
        file.unlink()
        return [line.split() for line in said.splitlines()]

    def _ask(self, line: str) -> str:
        assert self._nursery.stdin is not None and self._nursery.stdout is not None
        self._nursery.stdin.write(line + "\n")
        self._nursery.stdin.flush()
        return self._nursery.stdout.readline()


async def check(store: TraceStore, lines: Sequence[Sequence[str]], tally: Tally) -> None:
    """Hold the store against what was acknowledged."""
    for kind, trace_id, *name in lines:
        tally.acknowledged[kind] += 1
        if kind == "alias":
            is_there = await store.trace_of(name[0]) == trace_id
        elif kind == "early":
            is_there = f"f-{trace_id}" in await feedback_of(await named(store, name[0], trace_id), store)
        else:
            said = await feedback_of(trace_id, store)
            is_there = kind == "trace" or f"f-{trace_id}" in said
            if len(said) > 1:
                tally.doubled.append(f"feedback of {trace_id}")
        if not is_there:
            tally.lost.append(f"{kind} of {trace_id}")


async def feedback_of(trace_id: str, store: TraceStore) -> list[str]:
    """Ids of a trace's feedback."""
    return [outcome.feedback_id for outcome in (await store.get(trace_id)).outcomes]


async def named(store: TraceStore, name: str, trace_id: str) -> str:
    """The trace that feedback came early for; its writer may have been killed before it wrote trace or name."""
    try:
        await store.get(trace_id)
    except UnknownTrace:
        await store.put(Trajectory(trace_id=trace_id, question="q", arrived_at_s=1.0, budget_s=1.0))
    await store.add_alias(name, trace_id)
    return trace_id


async def verify(url: str, lines: Sequence[Sequence[str]], tally: Tally) -> None:
    """Open the store as the next process would, and look at everything."""
    begun_s = time.perf_counter()
    async with open_store(url) as store:
        tally.reopening_s.append(time.perf_counter() - begun_s)
        await check(store, lines, tally)
        traces = await store.count()
        lessons = sum((await shelf_of(store).lesson_counts(now_s=0.0, patience_s=0.0)).values())
        if traces != lessons:
            tally.doubled.append(f"{lessons} lessons of {traces} traces")


def kill_often(
    fresh: Callable[[], str],
    *,
    kills: int,
    minutes: float,
    rng: random.Random,
    crash: Callable[[], None] | None,
) -> Tally:
    """The whole measurement on one store; now and then a fresh one, so that checking it stays quick."""
    tally, url = Tally(), fresh()
    end_s = time.monotonic() + 60.0 * minutes
    with tempfile.TemporaryDirectory() as folder, Writers(folder) as writers:
        for number in range(kills):
            if time.monotonic() > end_s:
                break
            if number % 25 == 24:
                url = fresh()
            kills_server = crash is not None and number % SERVER_EVERY == SERVER_EVERY - 1
            lines = writers.run(
                url, rng.getrandbits(31), rng.uniform(0.02, 0.4), crash if kills_server else None
            )
            tally.kills += 1
            tally.server_kills += kills_server
            asyncio.run(verify(url, lines, tally))
    return tally


def report(bench: Bench, name: str, tally: Tally) -> None:
    """Figures and bars of one store."""
    bench.add_figure(f"{name}_kills", tally.kills, note="of the writer, by SIGKILL")
    if tally.server_kills:
        bench.add_figure(f"{name}_server_kills", tally.server_kills, note="of all of the server's processes")
    for kind in ("trace", "alias", "early", "feedback"):
        bench.add_figure(f"{name}_acknowledged_{kind}", tally.acknowledged[kind])
    bench.add_bar(f"{name}_lost", len(tally.lost), 0, note_of(tally.lost))
    bench.add_bar(f"{name}_doubled", len(tally.doubled), 0, note_of(tally.doubled))
    bench.add_figure(f"{name}_reopening_s", max(tally.reopening_s), "s", "longest")


def note_of(problems: Sequence[str]) -> str:
    """The first of them."""
    return problems[0] if problems else ""


def main() -> None:
    """Run it."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, help="of each store (default 200, quick 5)")
    parser.add_argument("--minutes", type=float, default=60.0, help="stop earlier, after so long on a store")
    parser.add_argument("--stores", nargs="+", default=["sqlite", "postgresql"])
    options = parser.parse_args()
    kills = options.kills or (5 if options.quick else 200)
    bench = Bench(title="Durability under kill -9", packages=("sqlalchemy", "psycopg"), seed=options.seed)
    if "sqlite" in options.stores:
        with tempfile.TemporaryDirectory() as folder:

            def fresh_file() -> str:
                return f"sqlite:///{folder}/{random.getrandbits(60):x}.db"

            rng = random.Random(options.seed)
            tally = kill_often(fresh_file, kills=kills, minutes=options.minutes, rng=rng, crash=None)
            report(bench, "sqlite", tally)
    if "postgresql" in options.stores:
        with postgres_server() as (uri, data):
            tally = kill_often(
                lambda: fresh_schema(uri),
                kills=kills,
                minutes=options.minutes,
                rng=random.Random(options.seed),
                crash=lambda: restart_postgres(data),
            )
            report(bench, "postgresql", tally)
    bench.print(as_json=options.json)


if __name__ == "__main__":
    main()
