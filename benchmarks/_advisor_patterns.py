"""Whether failure patterns name what is planted, and nothing elsewhere; see `inframind.arena.advice.planted_runs`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _advisor_kept import Figures, all_kept, said_of
from _common import Bench
from rich.console import Console
from rich.table import Table

from inframind.advisor.cluster import TraitName
from inframind.advisor.clustering import find_clusters
from inframind.arena.advice.defects import LEAST_OVERLAP, hours_overlap
from inframind.arena.advice.planted_runs import DEFECTS, make_runs
from inframind.arena.results.episodes import Rate
from inframind.router.learning.threads import use_one_thread
from inframind.traces.records import SOLVED_ONLY

RUNS, MORE_RUNS = 2_000, 6_000
LABELLED = (0.6, 0.1)
TOGETHER = "+".join(DEFECTS)
PAIR = "contradicts"
"""Two traits, neither of which fails more often without the other."""
LOOKS, UNPLANTED = 2, 20
"""For each seed that is asked for."""
TIMED_RUNS, TIMED_AGENTS = 20_000, 8
FALSE_PATTERNS = 0.05


@dataclass(frozen=True, kw_only=True)
class Look:
    """At some runs; ``planted`` has names of defects with "+" between them, or is "" for none."""

    planted: str
    labelled: float
    runs: int
    seed: int

    @property
    def name(self) -> str:
        defects = self.planted.replace(" ", "_") or "nothing"
        return f"{defects}-{round(100 * self.labelled)}-{self.runs}-{self.seed}"

    @property
    def defects(self) -> tuple[str, ...]:
        return tuple(self.planted.split("+")) if self.planted else ()


def play(job: Look) -> Figures:
    """Which defects a main trait names, and what the main traits are that name none."""
    use_one_thread()
    rng = np.random.default_rng([job.seed, 1])
    runs = make_runs(job.runs, rng, [DEFECTS[name] for name in job.defects], labelled=job.labelled)
    found = find_clusters(runs, keys=SOLVED_ONLY, rng=np.random.default_rng(job.seed)).clusters
    traits = [one.main_trait for one in found]
    named = [name for name in job.defects if any(names(trait, DEFECTS[name].trait) for trait in traits)]
    others = [
        dict(trait) for trait in traits if not any(names(trait, DEFECTS[name].trait) for name in job.defects)
    ]
    return {"named": named, "others": others}


def names(trait: Mapping[TraitName, str], planted: Mapping[TraitName, str]) -> bool:
    """Whether a main trait has everything that is planted; hours that are mostly the same are the same."""
    return all(_is_same(name, trait.get(name, ""), value) for name, value in planted.items())


def _is_same(name: TraitName, said: str, meant: str) -> bool:
    if name != "hour_utc" or not said:
        return said == meant
    return hours_overlap(_hours(said), _hours(meant)) >= LEAST_OVERLAP


def _hours(text: str) -> tuple[int, int]:
    begin, _, end = text.partition("-")
    return int(begin), int(end)


def report_patterns(
    bench: Bench, console: Console, seeds: Sequence[int], *, folder: Path, workers: int, quick: bool
) -> None:
    """Look for what is planted, alone and together, then for nothing, then at many runs against the clock."""
    each = 1 if quick else LOOKS
    numbers = range(each * seeds[0], each * (seeds[0] + len(seeds)))
    table = Table(
        "planted", "labels", "runs", *DEFECTS, "patterns beside", title_justify="left",
        title=f"Planted traits that are the main trait of a failure pattern, {len(numbers)} seeds",
    )  # fmt: skip
    kinds = [(planted, labelled, RUNS) for labelled in LABELLED for planted in (*DEFECTS, TOGETHER)]
    kinds += [(planted, min(LABELLED), MORE_RUNS) for planted in (PAIR, TOGETHER)]
    for planted, labelled, runs in kinds[:1] if quick else kinds:
        looks = [Look(planted=planted, labelled=labelled, runs=runs, seed=number) for number in numbers]
        title = "all at once" if planted == TOGETHER else f"{planted} alone"
        found = all_kept(f"patterns, {title}, {labelled:.0%}", play, looks, folder=folder, workers=workers)
        rates = {
            name: Rate(sum(name in one["named"] for one in found), len(found)) for name in looks[0].defects
        }
        others = sum(len(one["others"]) for one in found)
        cells = [f"{rates[name].hits} of {rates[name].trials}" if name in rates else "" for name in DEFECTS]
        table.add_row(title, f"{labelled:.0%}", f"{runs:,}", *cells, str(others))
        for name, rate in rates.items():
            figure = f"patterns/{title}/{labelled:.0%} of {runs:,}/{name}"
            bench.add_figure(figure, rate.value, "share", said_of(rate))
    console.print(table)
    _report_unplanted(bench, seeds, folder, workers, quick=quick)
    _report_time(bench, 2_000 if quick else TIMED_RUNS, seeds[0])


def _report_unplanted(bench: Bench, seeds: Sequence[int], folder: Path, workers: int, *, quick: bool) -> None:
    each = 4 if quick else UNPLANTED
    numbers = range(each * seeds[0], each * (seeds[0] + len(seeds)))
    looks = [Look(planted="", labelled=max(LABELLED), runs=RUNS, seed=number) for number in numbers]
    found = all_kept("patterns, nothing planted", play, looks, folder=folder, workers=workers)
    rate = Rate(sum(bool(one["others"]) for one in found), len(found))
    bench.add_bar("patterns/nothing planted/claimed", rate.value, FALSE_PATTERNS, f"share of {rate.trials}")


def _report_time(bench: Bench, count: int, seed: int) -> None:
    runs = make_runs(count, np.random.default_rng(seed), list(DEFECTS.values()), agents=TIMED_AGENTS)
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    find_clusters(runs, keys=SOLVED_ONLY, rng=np.random.default_rng(seed))
    note = f"{count:,} runs of {TIMED_AGENTS} steps"
    bench.add_figure("patterns/cpu", time.process_time() - began_cpu_s, "s", note)
    bench.add_figure("patterns/wall", time.perf_counter() - began_s, "s", note)
