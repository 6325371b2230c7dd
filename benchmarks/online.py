"""Learning while the world changes: ours, in place, refitted, frozen, and a policy retrained on the changed world.

    python benchmarks/online.py --out runs/online --json

Every contender goes on from the policy that comes with the package and meets the same requests in virtual time; see
`inframind.arena.online.worlds` for what changes and `inframind.arena.online.judging` for what is measured. Seasons
and retrained policies that are in ``--out`` are not played or trained again, so that an interrupted run goes on.
"""

from __future__ import annotations

import argparse
import gc
import math
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import numpy as np
from _common import Bench, arguments
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from inframind.arena.grading import RememberingGrader
from inframind.arena.online.contenders import OURS, Retrained, Warned, rival
from inframind.arena.online.judging import FROZEN, REFERENCE, Interval, Judged, judge_world
from inframind.arena.online.ledger import Cell, Ledger
from inframind.arena.online.reference import EPOCHS, retrained_policy
from inframind.arena.online.report import JudgedWorld, write_online_report
from inframind.arena.online.season import CHUNK, Entry, play_season
from inframind.arena.online.worlds import WORLDS, World, world_named
from inframind.router.learning.threads import use_one_thread

CONTENDERS = (FROZEN, REFERENCE, OURS, "a2c", "refit")
QUICK_EPOCHS, QUICK_AFTER = 2, 320
SELDOM = (100_000, 50, 50)
"""Thresholds of garbage collection."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """Where things are, and how much is done."""

    out: Path
    quick: bool

    def world(self, name: str) -> World:
        world = world_named(name)
        return replace(world, before=CHUNK, after=QUICK_AFTER) if self.quick else world

    @property
    def epochs(self) -> int:
        return QUICK_EPOCHS if self.quick else EPOCHS

    def folder_of_reference(self, world: World) -> Path:
        return self.out / "retrained" / world.retrained_as

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.out / "seasons")


def retrain(job: Job, name: str) -> str:
    """Train the reference of a world unless it is there."""
    world = job.world(name)
    retrained_policy(world, job.folder_of_reference(world), epochs=job.epochs)
    return f"retrained for {name}"


def play(job: Job, cell: Cell) -> str:
    """Play one season; says how long a request took."""
    use_one_thread()
    gc.freeze()
    gc.set_threshold(*SELDOM)  # a season makes millions of short-lived objects, hardly any of them in cycles
    world, began_s = job.world(cell.world), perf_counter()
    season = play_season(
        world, entry_of(job, world, cell.contender), seed=cell.seed, grader=RememberingGrader()
    )
    job.ledger.keep(cell, season)
    return (
        f"{cell.world} {cell.contender} {cell.seed}: {1000 * (perf_counter() - began_s) / world.requests:.1f} ms "
        f"a request"
    )


def entry_of(job: Job, world: World, contender: str) -> Entry:
    if contender != REFERENCE:
        return rival(contender)
    outage = world.change.outage
    if outage is not None:
        return lambda start: Warned(start, outage.endpoint)
    policy = retrained_policy(world, job.folder_of_reference(world), epochs=job.epochs)
    return lambda start: Retrained(start, policy)


def run_all(job: Job, cells: Sequence[Cell], workers: int, console: Console) -> None:
    """Train what is missing, then play what is missing."""
    names = list(dict.fromkeys(cell.world for cell in cells if cell.contender == REFERENCE))
    first = {
        retrained_as: name for name in reversed(names) if (retrained_as := world_named(name).retrained_as)
    }
    missing = [cell for cell in cells if cell not in job.ledger]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    spawn = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(workers, mp_context=spawn) as pool,
        Progress(*columns, console=console) as progress,
    ):
        for title, futures in (
            ("references", [pool.submit(retrain, job, name) for name in first.values()]),
            ("seasons", [pool.submit(play, job, cell) for cell in missing]),
        ):
            task = progress.add_task(title, total=len(futures))
            for done in as_completed(futures):
                progress.console.print(done.result(), style="dim")
                progress.advance(task)


def judged(
    job: Job, names: Sequence[str], contenders: Sequence[str], seeds: Sequence[int]
) -> Iterator[JudgedWorld]:
    for name in names:
        world = job.world(name)
        success = job.ledger.successes(name, contenders, seeds)
        window = min(world.promise.window, world.after)
        step = CHUNK if window == 5 * CHUNK else window // 5
        judgement = judge_world(
            success,
            world.before,
            window=window,
            step=step,
            at_stake=at_stake(job, world, seeds),
            promised=promise_in(world),
        )
        models = {
            contender: [job.ledger.season(Cell(name, contender, seed)).models for seed in seeds]
            for contender in success
        }
        yield JudgedWorld(world=world, judged=judgement, success=success, models=models)


def promise_in(world: World) -> int | None:
    """Requests within which to recover, where the season is long enough to see it kept."""
    promised = world.promise.recovers_within
    return promised if promised is not None and promised < world.after else None


def at_stake(job: Job, world: World, seeds: Sequence[int]) -> float | None:
    """Share of the requests before the change that the server solves in time which is going to be lost."""
    if world.change.outage is None:
        return None
    shares = []
    for seed in seeds:
        season = job.ledger.season(Cell(world.name, FROZEN, seed))
        theirs = np.array([model == world.change.outage.endpoint for model in season.models])
        shares.append((season.on_time_success & theirs)[: world.before].mean())
    return float(np.mean(shares))


def table_of(one: JudgedWorld) -> Table:
    world, judgement = one.world, one.judged
    title = f"{world.name}: {world.title}; gap {100 * judgement.gap:.1f} points"
    table = Table(
        "contender", "before", "after", "recovery", "by seed", "regret", "loss to frozen", title=title
    )
    for verdict in judgement.verdicts.values():
        table.add_row(
            verdict.contender,
            _percent(verdict.before),
            _percent(verdict.after),
            _requests(verdict.recovery),
            " ".join(map(_requests, verdict.recoveries)),
            f"{verdict.regret.mean:.0f} ±{verdict.regret.half:.0f}",
            f"{_percent(verdict.loss)} (worst {100 * verdict.worst_loss:.1f})",
        )
    return table


def _requests(recovery: int | None) -> str:
    return "never" if recovery is None else f"{recovery:,}"


def _percent(interval: Interval) -> str:
    return f"{100 * interval.mean:.1f} ±{100 * interval.half:.1f}"


def add_figures(bench: Bench, one: JudgedWorld) -> None:
    name, promise, judgement = one.world.name, one.world.promise, one.judged
    bench.add_figure(f"{name}/gap", 100 * judgement.gap, "points")
    for contender, verdict in judgement.verdicts.items():
        bench.add_figure(
            f"{name}/on_time/{contender}", 100 * verdict.after.mean, "%", f"±{100 * verdict.after.half:.1f}"
        )
        bench.add_figure(f"{name}/regret/{contender}", verdict.regret.mean, "", f"±{verdict.regret.half:.0f}")
        if not math.isnan(verdict.regained):
            bench.add_figure(
                f"{name}/regained/{contender}", 100 * verdict.regained, "%", "of the gap, afterwards"
            )
        if promise.recovers_within is not None and contender != OURS:
            bench.add_figure(f"{name}/recovery/{contender}", _number(verdict.recovery, one), "requests")
    if OURS in judgement.verdicts:
        add_bars(bench, one, judgement)


def add_bars(bench: Bench, one: JudgedWorld, judgement: Judged) -> None:
    name, promise, ours = one.world.name, one.world.promise, judgement.verdicts[OURS]
    if promise.recovers_within is not None:
        by_seed = "by seed: " + " ".join(map(_requests, ours.recoveries))
        bench.add_bar(
            f"{name}/recovery/{OURS}", _number(ours.recovery, one), promise.recovers_within, by_seed
        )
    if promise.loses_at_most is not None:
        bench.add_bar(
            f"{name}/loss/{OURS}",
            100 * ours.loss.mean,
            100 * promise.loses_at_most,
            f"points ±{100 * ours.loss.half:.1f}; worst {one.world.promise.window} requests "
            f"{100 * ours.worst_loss:.1f}",
        )


def _number(recovery: int | None, one: JudgedWorld) -> float:
    """One more request than were played stands for never."""
    return float(one.world.after + 1 if recovery is None else recovery)


def options_of() -> argparse.Namespace:
    parser = arguments(__doc__ or "")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/online"), help="folder of seasons and policies"
    )
    parser.add_argument("--worlds", default="a,b,c,d,e", help=f"some of {','.join(WORLDS)}")
    parser.add_argument("--contenders", default=",".join(CONTENDERS), help="names, by commas")
    parser.add_argument("--seeds", type=int, default=5, help="seasons per contender (default 5)")
    parser.add_argument("--workers", type=int, default=2, help="processes (default 2)")
    return parser.parse_args()


def main() -> None:
    options = options_of()
    job = Job(out=options.out / "quick" if options.quick else options.out, quick=options.quick)
    worlds, contenders = options.worlds.split(","), options.contenders.split(",")
    n_seeds = min(options.seeds, 2) if options.quick else options.seeds
    seeds = range(options.seed, options.seed + n_seeds)
    cells = [Cell(world, contender, seed) for world in worlds for contender in contenders for seed in seeds]
    console = Console(stderr=True)
    run_all(job, cells, options.workers, console)
    bench = Bench(title="Learning while the world changes", packages=("torch", "numpy"), seed=options.seed)
    results = list(judged(job, worlds, contenders, seeds))
    for one in results:
        console.print(table_of(one))
        add_figures(bench, one)
    write_online_report(results, job.out / "report.html", facts={"seeds": n_seeds, "chunk": CHUNK})
    bench.print(as_json=options.json)


if __name__ == "__main__":
    main()
