"""Whether what is promised comes: in logs whose truth is known, and through the real stack in virtual time.

See `inframind.arena.advice.drawn_logs` and `inframind.arena.advice.kept_promises`. Plays through the stack are kept,
see `_advisor_kept`; a rule of which no log promises anything is not played.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from _advisor_kept import Figures, all_kept, said_of
from _common import Bench
from rich.console import Console
from rich.progress import track
from rich.table import Table

from inframind.arena.advice.drawn_logs import DrawnWorld, kept_by, offered_in
from inframind.arena.advice.kept_promises import LOGGINGS, RULES, Truth, came, logging_named, promised
from inframind.arena.grading import RememberingGrader
from inframind.arena.results.episodes import Rate
from inframind.router.learning.threads import use_one_thread
from inframind.traces.advice import METRICS, Prediction

PLENTY: Mapping[str, Any] = {}
"""Three models, two strategies, 3,000 runs of up to three steps."""
BARELY: Mapping[str, Any] = {"models": ("a", "b"), "strategies": ("Plain",), "runs": 800, "steps": 2}
"""Where evidence is barely enough."""
FIRST_SEED = 1000
"""Tests draw the worlds before it."""
WORLDS = {"plenty": (PLENTY, 24), "barely": (BARELY, 96)}
EQUAL_WORLDS = 100
"""Worlds for each seed that is asked for."""
FALSE_CLAIMS = 0.05
RUNS, QUICK_RUNS, TRUTHS, TRUTHS_FROM = 1500, 400, 2, 700_000
"""Runs of a log and of what came, plays of what came, and the first seed of these."""
_Z = 1.96


@dataclass(frozen=True, kw_only=True)
class Kept:
    """How many intervals held the truth, and of how many, by metric."""

    held: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)

    def add(self, metric: str, *, is_held: bool) -> None:
        self.held[metric] += is_held
        self.asked[metric] += 1


def report_promises(
    bench: Bench, console: Console, seeds: Sequence[int], *, folder: Path, workers: int, quick: bool
) -> None:
    """Worlds that are drawn, then runs through the stack."""
    table = Table("where", *METRICS, title="95 % intervals that held what came", title_justify="left")
    for name, (kind, each) in WORLDS.items():
        _tell(bench, table, f"drawn, {name}", _drawn(name, kind, seeds, 4 if quick else each))
    _report_equal(bench, console, seeds, 8 if quick else EQUAL_WORLDS)
    for name in LOGGINGS:
        kept = _served(console, name, seeds[:1] if quick else seeds, folder, workers, quick=quick)
        _tell(bench, table, f"served, {name}", kept)
    console.print(table)


def _tell(bench: Bench, table: Table, name: str, kept: Kept) -> None:
    table.add_row(name, *(f"{kept.held[metric]} of {kept.asked[metric]}" for metric in METRICS))
    for metric in METRICS:
        if asked := kept.asked[metric]:
            rate = Rate(kept.held[metric], asked)
            bench.add_figure(f"promises/{name}/{metric}", rate.value, "share", said_of(rate))


# Drawn -----------------------------------------------------------------------------------------------------


def _drawn(name: str, kind: Mapping[str, Any], seeds: Sequence[int], each: int) -> Kept:
    kept = Kept()
    for world in _worlds(f"worlds, {name}", seeds, each, kind):
        logs, options = offered_in(world)
        for option in options:
            for metric, is_held in kept_by(world, logs, option).items():
                kept.add(metric, is_held=is_held)
    return kept


def _report_equal(bench: Bench, console: Console, seeds: Sequence[int], each: int) -> None:
    """Worlds in which nothing is better than anything else, and in how many of them something is offered."""
    worlds = _worlds("worlds, equal", seeds, each, {**BARELY, "is_equal": True})
    claims = [bool(offered_in(world)[1]) for world in worlds]
    rate = Rate(sum(claims), len(claims))
    bench.add_bar("promises/equal/claims", rate.value, FALSE_CLAIMS, "share")
    console.print(f"all arms equal, something is claimed in: {said_of(rate)}")


def _worlds(title: str, seeds: Sequence[int], each: int, kind: Mapping[str, Any]) -> Iterable[DrawnWorld]:
    first = FIRST_SEED + each * seeds[0]
    numbers = range(first, first + each * len(seeds))
    worlds = (DrawnWorld(seed=number, **kind) for number in numbers)
    return track(worlds, title, total=len(numbers), console=Console(stderr=True))


# Served ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Log:
    """Runs that promises are made from."""

    logging: str
    seed: int
    runs: int

    @property
    def name(self) -> str:
        return f"promised-{self.logging}-{self.seed}-{self.runs}"


@dataclass(frozen=True, kw_only=True)
class Coming:
    """Fresh requests under a rule, or under none ("")."""

    logging: str
    rule: str
    seed: int
    runs: int

    @property
    def name(self) -> str:
        return f"came-{self.logging}-{self.seed}-{self.runs}-{self.rule.replace(' ', '_') or 'as_it_is'}"


@cache
def _grader() -> RememberingGrader:
    """One for each process: what was right once is right again."""
    return RememberingGrader()


def promise(job: Log) -> Figures:
    """Predictions of every rule."""
    use_one_thread()
    found = promised(logging_named(job.logging), seed=job.seed, runs=job.runs, grader=_grader())
    return {name: [asdict(one) for one in predictions] for name, predictions in found.items()}


def come(job: Coming) -> Figures:
    """Metrics of every request; what is not known is null."""
    use_one_thread()
    rule = RULES[job.rule] if job.rule else None
    found_NM = came(logging_named(job.logging), rule, seed=job.seed, runs=job.runs, grader=_grader())
    return {"metrics": [[None if math.isnan(x) else x for x in row] for row in found_NM.tolist()]}


def _served(
    console: Console, name: str, seeds: Sequence[int], folder: Path, workers: int, *, quick: bool
) -> Kept:
    """Of the rules, whose intervals held what came."""
    runs, truths = (QUICK_RUNS, 1) if quick else (RUNS, TRUTHS)
    logs = [Log(logging=name, seed=seed, runs=runs) for seed in seeds]
    made = [
        {rule: [Prediction(**one) for one in ones] for rule, ones in found.items()}
        for found in all_kept(f"logs, {name}", promise, logs, folder=folder, workers=workers)
    ]
    told = [rule for rule in RULES if any(one.is_enough for log in made for one in log[rule])]
    coming = [
        Coming(logging=name, rule=rule, seed=TRUTHS_FROM + seed, runs=runs)
        for rule in ("", *told)
        for seed in range(truths)
    ]
    seen = all_kept(f"what came, {name}", come, coming, folder=folder, workers=workers)
    metrics = [np.array(one["metrics"], dtype=float) for one in seen]
    parts = [np.concatenate(metrics[at : at + truths]) for at in range(0, len(metrics), truths)]
    truth = {rule: Truth.of(part, parts[0]) for rule, part in zip(told, parts[1:], strict=True)}
    _print_rules(console, name, made, truth, runs=runs)
    kept = Kept()
    for log in made:
        for rule, came_of in truth.items():
            for one in log[rule]:
                if one.is_enough:
                    kept.add(one.metric, is_held=came_of.is_in(one))
    return kept


def _print_rules(
    console: Console,
    name: str,
    made: Sequence[Mapping[str, Sequence[Prediction]]],
    truth: Mapping[str, Truth],
    *,
    runs: int,
) -> None:
    table = Table(
        "rule", "logs with enough", "success promised, points", "success came, points", "latency promised, s",
        "latency came, s", title=f"Served, {name}: {len(made)} logs of {runs:,} runs", title_justify="left",
    )  # fmt: skip
    for rule in RULES:
        success, latency = (
            [log[rule][METRICS.index(metric)] for log in made] for metric in ("success", "latency_s")
        )
        cells = [f"{sum(one.is_enough for one in success)} of {len(made)}"]
        for metric, ones, scale in (("success", success, 100.0), ("latency_s", latency, 1.0)):
            said = [scale * one.change for one in ones if one.is_enough]
            cells.append(f"{np.mean(said):+.2f}" if said else "")
            found = truth.get(rule)
            cells.append(_came(found, METRICS.index(metric), scale) if found else "")
        table.add_row(rule, *cells)
    console.print(table)


def _came(truth: Truth, place: int, scale: float) -> str:
    return f"{scale * truth.change_M[place]:+.2f} ±{scale * _Z * truth.error_M[place]:.2f}"
