"""Whether whoever chooses comes to like a kind or a model without reason; see `inframind.arena.advice.equal_offers`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _advisor_kept import Figures, all_kept, said_of
from _common import Bench
from rich.console import Console
from rich.table import Table

from inframind.advisor.recommending import Ranking, RankingConfig
from inframind.arena.advice.equal_offers import play_equals, ratios_by_chance
from inframind.arena.online.judging import Interval
from inframind.arena.results.episodes import Rate
from inframind.router.learning.threads import use_one_thread
from inframind.traces.advice import KINDS

INTERACTIONS, QUICK_INTERACTIONS = 500, 250
PLAYS = 8
"""For each seed that is asked for."""
LIMIT = 1.5
_BY_CHANCE = 10_000


@dataclass(frozen=True, kw_only=True)
class Play:
    """One adviser, who learns from nothing but noise."""

    seed: int
    interactions: int
    is_noisy: bool

    @property
    def name(self) -> str:
        return f"{'noisy' if self.is_noisy else 'same'}-{self.seed}-{self.interactions}"


def play(job: Play) -> Figures:
    """What was shown first, as shipped; one draw at a time, since probabilities are not looked at."""
    use_one_thread()
    ranking = Ranking(RankingConfig(draws=1, most=len(KINDS)))
    shown = play_equals(ranking, seed=job.seed, interactions=job.interactions, is_noisy=job.is_noisy)
    kinds, models = shown.ratios()
    return {"kinds": kinds, "models": models, "shown": [dict(shown.kinds), dict(shown.models)]}


def report_shares(
    bench: Bench, console: Console, seeds: Sequence[int], *, folder: Path, workers: int, quick: bool
) -> None:
    """Play many advisers, and hold the largest share of each over its smallest."""
    interactions = QUICK_INTERACTIONS if quick else INTERACTIONS
    table = Table(
        "predictions", "of", f"within {LIMIT}", "mean", "largest",
        title=f"Largest over smallest share of what is shown first, {interactions} interactions with equal options",
        title_justify="left",
    )  # fmt: skip
    each = 1 if quick else PLAYS
    numbers = range(each * seeds[0], each * (seeds[0] + len(seeds)))
    for name, is_noisy in (("the same", False), ("by chance", True)):
        jobs = [Play(seed=number, interactions=interactions, is_noisy=is_noisy) for number in numbers]
        found = all_kept(f"shares, predictions {name}", play, jobs, folder=folder, workers=workers)
        for what in ("kinds", "models"):
            ratios = np.array([one[what] for one in found])
            rate, mean = Rate(int((ratios <= LIMIT).sum()), len(ratios)), Interval.of(ratios)
            table.add_row(
                name,
                what,
                f"{rate.hits} of {rate.trials}",
                f"{mean.mean:.2f} ±{mean.half:.2f}",
                f"{ratios.max():.2f}",
            )
            figure = f"shares/predictions {name}/{what}"
            if not is_noisy:
                bench.add_bar(f"{figure}/largest", float(ratios.max()), LIMIT, "times")
            else:
                bench.add_figure(f"{figure}/largest", float(ratios.max()), "times")
            bench.add_figure(f"{figure}/within {LIMIT}", rate.value, "share", said_of(rate))
            bench.add_figure(f"{figure}/mean", mean.mean, f"times ±{mean.half:.2f}")
    console.print(table)
    drawn = np.array(
        ratios_by_chance(np.random.default_rng(seeds[0]), interactions=interactions, plays=_BY_CHANCE)
    )
    bench.add_figure(f"shares/by chance/within {LIMIT}", float((drawn <= LIMIT).mean()), "share")
    bench.add_figure(
        "shares/by chance/mean",
        float(drawn.mean()),
        "times",
        f"one in twenty above {np.quantile(drawn, 0.95):.2f}",
    )
