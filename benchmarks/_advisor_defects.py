"""Whether what is wrong is found, named and mended; see `inframind.arena.advice.trial`.

Trials that are in the folder of results are not run again, see `_advisor_kept`.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _advisor_kept import Figures, all_kept
from _common import Bench
from rich.console import Console
from rich.table import Table

from inframind.advisor.analysis import Analysis
from inframind.arena.advice.defects import DEFECTS, defect_named
from inframind.arena.advice.people import SEGMENTS, person_of
from inframind.arena.advice.trial import Trial, TrialConfig, best_liked, run_trial
from inframind.arena.online.judging import Interval
from inframind.router.learning.threads import use_one_thread

ATTENTIVE = "performance"
"""Segment of who decides unless another is asked for: people who look for advice because runs fail."""
BAR = 0.15
_NAMED = ("named", "shown", "named_by_accepted")
"""Whether a change that is about what is wrong could be recommended, was among those shown, and was accepted."""
SELDOM = (100_000, 50, 50)
"""Thresholds of garbage collection."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One trial."""

    world: str
    seed: int
    config: TrialConfig
    segment: str = ATTENTIVE

    @property
    def name(self) -> str:
        """Of its file: another trial has another."""
        runs = f"{self.config.earlier}-{self.config.before}-{self.config.after}"
        return f"{self.world}-{self.seed}-{runs}-{self.segment}"


def play(job: Job) -> Figures:
    """Run a trial."""
    use_one_thread()
    gc.freeze()
    gc.set_threshold(*SELDOM)  # a season makes millions of short-lived objects, hardly any of them in cycles
    person = person_of(job.segment, np.random.default_rng((job.seed, 5)))
    return figures_of(run_trial(defect_named(job.world), person, seed=job.seed, config=job.config))


def figures_of(trial: Trial) -> dict[str, Any]:
    """Plain data."""
    place = trial.naming_place
    liked = {
        segment: best_liked(
            person_of(segment, np.random.default_rng((trial.seed, 6))), trial.recommended, 0.5
        )
        for segment in SEGMENTS
    }
    return {
        "world": trial.world.name,
        "seed": trial.seed,
        "before": float(trial.before.success.mean()),
        "twin": float(trial.twin.success.mean()),
        "after": float(trial.after.success.mean()),
        "cured": None if trial.cured is None else float(trial.cured.success.mean()),
        "gain": trial.gain,
        "cure_gain": None if trial.cured is None else trial.cure_gain,
        "clusters": [cluster.label for cluster in trial.analysis.clusters],
        "named_at": place,
        "named": trial.is_named,
        "shown": trial.is_shown,
        "named_by_accepted": trial.is_accepted,
        "accepted": "" if trial.accepted is None else trial.accepted.title,
        "kind": "" if trial.accepted is None else trial.accepted.kind,
        "promised": _promised(trial),
        "kept": trial.is_kept,
        "recommended": [f"{one.kind}: {one.title}" for one in trial.recommended],
        "liked": {segment: "" if one is None else one.title for segment, one in liked.items()},
        "analysing_s": trial.analysing_s,
        "believed": _believed(trial.analysis),
    }


def _promised(trial: Trial) -> list[float] | None:
    """Relative change of success that was promised, and the ends of its interval."""
    found = trial.accepted.prediction("success") if trial.accepted else None
    if found is None or not found.before > 0:
        return None
    return [found.change / found.before, found.low / found.before, found.high / found.before]


def _believed(analysis: Analysis) -> int:
    """Options with enough evidence of success."""
    predictions = (option.prediction("success") for option in analysis.options)
    return sum(one is not None and one.is_enough for one in predictions)


def report_defects(
    bench: Bench,
    console: Console,
    *,
    seeds: Sequence[int],
    worlds: Sequence[str],
    segment: str,
    folder: Path,
    workers: int,
    quick: bool,
) -> None:
    """Run all trials, and hold them against the bars."""
    config = TrialConfig(before=720, after=120) if quick else TrialConfig(with_cure=True)
    jobs = [Job(world=world, seed=seed, config=config, segment=segment) for seed in seeds for world in worlds]
    found = all_kept("trials", play, jobs, folder=folder, workers=workers)
    _tell(bench, console, found, worlds)
    console.print(_by_segment(found))


def _tell(bench: Bench, console: Console, found: Sequence[Figures], worlds: Sequence[str]) -> None:
    table = Table(
        "what is wrong", "before", "without", "with", "gain, %", "promised, %", "kept", "cure, %", "found", "named",
        "shown", "taken", "accepted", title=f"Defects, {len(found) // len(worlds)} seeds", title_justify="left",
    )  # fmt: skip
    gains: list[float] = []
    named: list[bool] = []
    for world in worlds:
        mine = sorted((one for one in found if one["world"] == world), key=lambda one: one["seed"])
        means = [float(np.mean([one[name] for one in mine])) for name in ("before", "twin", "after")]
        gain = Interval.of(np.array([one["gain"] for one in mine]))
        is_ill = defect_named(world).planted is not None
        places = [one["named_at"] for one in mine]
        table.add_row(
            world,
            *(f"{mean:.3f}" for mean in means),
            f"{100 * gain.mean:+.0f}{_give_or_take(100 * gain.half, 0)}",
            _percent([one["promised"][0] for one in mine if one["promised"]]),
            _count([one["kept"] for one in mine]),
            _percent([one["cure_gain"] for one in mine if one["cure_gain"] is not None and is_ill]),
            f"{sum(place is not None for place in places)}/{len(mine)}" if is_ill else "",
            *(f"{sum(one[name] for one in mine)}/{len(mine)}" if is_ill else "" for name in _NAMED),
            "; ".join(sorted({one["accepted"] or "nothing" for one in mine})),
        )
        if is_ill:
            gains += [one["gain"] for one in mine]
            named += [one["named_at"] is not None and one["named"] for one in mine]
            bench.add_bar(
                f"defects/{world}/gain", gain.mean, BAR, _give_or_take(gain.half, 2), direction="at least"
            )
        else:
            bench.add_figure(
                f"defects/{world}/gain", gain.mean, _give_or_take(gain.half, 2), "nothing is wrong there"
            )
            bench.add_figure(
                f"defects/{world}/believed", float(np.mean([one["believed"] for one in mine])), "options"
            )
    console.print(table)
    if gains:
        all_gains = np.array(gains)
        bench.add_bar("defects/found and named", float(np.mean(named)), 1.0, "share", direction="at least")
        bench.add_figure("defects/gain", float(all_gains.mean()), "", f"least {all_gains.min():.2f}")
    bench.add_figure("defects/analysis", float(np.median([one["analysing_s"] for one in found])), "s, median")


def _by_segment(found: Sequence[Figures]) -> Table:
    """In how many trials with something wrong somebody of each segment accepts a change, and which."""
    ill = [one for one in found if defect_named(one["world"]).planted is not None]
    table = Table("segment", "accepts one", "which", title="Who would accept", title_justify="left")
    for segment in SEGMENTS:
        liked = [one["liked"][segment] for one in ill]
        which = sorted({title for title in liked if title}, key=lambda title: -liked.count(title))
        said = "; ".join(f"{liked.count(title)} x {title}" for title in which)
        table.add_row(segment, f"{sum(map(bool, liked))}/{len(liked)}", said)
    return table


def _count(values: Sequence[bool | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{sum(known)}/{len(known)}"


def _percent(values: Sequence[float]) -> str:
    return f"{100 * float(np.mean(values)):+.0f}" if values else ""


def _give_or_take(half: float, digits: int) -> str:
    return "" if math.isnan(half) else f" ±{half:.{digits}f}"


def all_worlds() -> tuple[str, ...]:
    """By name, that with nothing wrong last."""
    return tuple(DEFECTS)
