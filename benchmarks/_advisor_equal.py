"""Whether advice has favourites where there is nothing to choose; see `inframind.arena.advice.equal`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from _common import Bench
from rich.console import Console
from rich.table import Table

from inframind.arena.advice.equal import (
    CREDULOUS,
    EQUALS,
    Shares,
    drawn_season,
    equal_world,
    recommended_in,
    served_equals,
)

FEWEST = 60
"""Changes below which shares say nothing."""
_RESAMPLES = 2000


def report_equal(bench: Bench, console: Console, seeds: Sequence[int], *, quick: bool) -> None:
    """Analyse many seasons of equals, and count for whom recommendations speak.

    With what is asked of evidence as shipped hardly anything is recommended there at all; who would be liked without
    reason shows where next to nothing is asked.
    """
    world = equal_world()
    served = served_equals(world, seeds=range(1 if quick else 2), runs=240 if quick else 960)
    runs = 800 if quick else 2000
    for name, config, seasons in (
        ("as shipped", None, 2 if quick else 12 * len(seeds)),
        ("credulous", CREDULOUS, 3 if quick else 30 * len(seeds)),
    ):
        each = []
        for number in range(seasons):
            rng = np.random.default_rng((seeds[0], number))
            found = Shares()
            found.count(recommended_in(world, drawn_season(served, runs, rng), rng, config), EQUALS)
            each.append(found)
        _report(bench, console, name, each, np.random.default_rng(seeds[0]))


def _report(bench: Bench, console: Console, name: str, each: list[Shares], rng: np.random.Generator) -> None:
    changes = sum(one.options for one in each)
    table = Table(
        "", *EQUALS, "largest over smallest", "95 % if all are equal",
        title=f"Equals, {name}: {changes} changes of models in {len(each)} analyses", title_justify="left",
    )  # fmt: skip
    for side in ("favoured", "avoided"):
        counts_SM = np.array([[getattr(one, side)[model] for model in EQUALS] for one in each])
        ratio, high = _ratio(_evenness(counts_SM.sum(axis=0))), _ratio(_by_chance(counts_SM, rng))
        shares = counts_SM.sum(axis=0) / max(counts_SM.sum(), 1.0)
        table.add_row(side, *(f"{share:.1%}" for share in shares), f"{ratio:.2f}", f"up to {high:.2f}")
        if changes < FEWEST:
            continue
        bench.add_figure(f"equal/{name}/{side}", ratio, "times", f"by chance up to {high:.2f}")
        if side == "favoured":
            bench.add_bar("equal/largest over smallest share", ratio, 1.5, "times")
    console.print(table)
    bench.add_figure(f"equal/{name}/changes of models", changes / len(each), "an analysis")


def _ratio(evenness: float) -> float:
    """Largest over smallest; infinite where somebody has none."""
    return 1 / evenness if evenness > 0 else float("inf")


def _evenness(counts_M: np.ndarray) -> float:
    """Smallest over largest; 1 where there is nothing to count."""
    return float(counts_M.min() / counts_M.max()) if counts_M.max() > 0 else 1.0


def _by_chance(counts_SM: np.ndarray, rng: np.random.Generator) -> float:
    """The evenness that 95 % of studies like this one would stay above if nobody had favourites: names are shuffled."""
    shuffled = [_evenness(rng.permuted(counts_SM, axis=1).sum(axis=0)) for _ in range(_RESAMPLES)]
    return float(np.quantile(shuffled, 0.05))
