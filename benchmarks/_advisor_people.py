"""How much of what is recommended hidden people accept, by who ranks; see `inframind.arena.advice.acceptance`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from _common import Bench
from rich.console import Console
from rich.table import Table

from inframind.advisor.ranking.supervised import SupervisedRanker
from inframind.advisor.ranking.thompson import ThompsonSampling
from inframind.advisor.ranking.unranked import Unranked
from inframind.advisor.recommending import Ranking, RankingConfig
from inframind.arena.advice.acceptance import (
    INTERACTIONS,
    JUDGED,
    LABELLED,
    Accepted,
    Adviser,
    AsShipped,
    ByOne,
    play_acceptance,
)
from inframind.arena.advice.people import NOISE
from inframind.arena.online.judging import Interval

SHIPPED = "as shipped"


@dataclass(frozen=True, kw_only=True)
class Row:
    """Who ranks, among which people."""

    make: Callable[[], Adviser]
    shared: bool = False
    labelled: int = LABELLED
    noise: float = NOISE


ROWS: Mapping[str, Row] = {
    "in any order": Row(make=lambda: ByOne(Unranked())),
    "supervised only": Row(make=lambda: ByOne(SupervisedRanker())),
    "bandit only": Row(make=lambda: ByOne(ThompsonSampling())),
    "process mode": Row(make=lambda: AsShipped(Ranking(RankingConfig(mode="process")))),
    SHIPPED: Row(make=AsShipped),
    "as shipped, shared": Row(make=AsShipped, shared=True),
    "as shipped, no labels": Row(make=AsShipped, labelled=0),
    "as shipped, fickle people": Row(make=AsShipped, noise=2 * NOISE),
    "as shipped, firm people": Row(make=AsShipped, noise=NOISE / 2),
}
QUICK = ("in any order", SHIPPED)


def report_acceptance(bench: Bench, console: Console, seeds: Sequence[int], *, quick: bool) -> None:
    """Play every row, and hold what is shipped against the bar."""
    table = Table(
        "who ranks", "first accepted", "in any order", "best possible", "ratio", "over all", "the next hundred",
        "of the possible", title=f"Acceptance, last {JUDGED} of {INTERACTIONS} interactions after {LABELLED} labels a "
        "segment", title_justify="left",
    )  # fmt: skip
    for name in QUICK if quick else ROWS:
        played = [_play(ROWS[name], seed) for seed in seeds]
        rates = np.array([one.rate(*_LAST) for one in played])
        ratio, overall, later = (
            Interval.of(np.array([one.ratio(*window) for one in played])) for window in (_LAST, _ALL, _NEXT)
        )
        first, unranked, best = rates.mean(axis=0)
        possible = (first - unranked) / (best - unranked)
        table.add_row(
            name, f"{first:.1%}", f"{unranked:.1%}", f"{best:.1%}", _shown(ratio), _shown(overall), _shown(later),
            f"{possible:.0%}",
        )  # fmt: skip
        bench.add_figure(
            f"acceptance/{name}", first, "share", f"in any order {unranked:.3f}, best {best:.3f}"
        )
        if name == SHIPPED:
            bench.add_bar(
                "acceptance/ratio", ratio.mean, 2.0, f"times ±{ratio.half:.2f}", direction="at least"
            )
            bench.add_figure("acceptance/ratio, next 100", later.mean, f"times ±{later.half:.2f}")
        else:
            bench.add_figure(f"acceptance/{name}/ratio", ratio.mean, f"times ±{ratio.half:.2f}")
    console.print(table)


_ALL, _LAST = (0, INTERACTIONS), (INTERACTIONS - JUDGED, INTERACTIONS)
_NEXT = (INTERACTIONS, INTERACTIONS + JUDGED)


def _play(row: Row, seed: int) -> Accepted:
    return play_acceptance(
        row.make(),
        seed=seed,
        shared=row.shared,
        labelled=row.labelled,
        interactions=INTERACTIONS + JUDGED,
        noise=row.noise,
    )


def _shown(interval: Interval) -> str:
    return f"{interval.mean:.2f} ±{interval.half:.2f}"
