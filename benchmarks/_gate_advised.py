"""Changes that a person accepted, before the gate: with and without what recorded runs say of them.

Each is tried as a candidate of which nothing is known (``plain``), and as what it is (``briefed``): recorded runs vouch
for it, rightly or wrongly, and where it concerns some runs alone the gate knows which.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import median

import numpy as np
from _common import Bench
from _gate_world import End, World, gated, seeds, wilson
from rich.console import Console
from rich.table import Table

from inframind.router.gate.brief import Brief, Foretold
from inframind.router.gate.config import GateConfig

GRADED = (1.0, 0.3, 0.1)
BASE = 0.7
VOUCHED = Brief(foretold=Foretold(change=0.0, low=-0.009, high=0.009, runs=3000))
"""Loses less than a point for sure, as far as recorded runs can say."""
ERRORS = (0.0025, 0.0045, 0.01, 0.02)
"""Standard errors of what recorded runs say of success."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """A change, and what is true of it.

    Attributes:
        name: for the table.
        gain: difference in success over all runs.
        concerned: share of runs that it changes.
    """

    name: str
    gain: float
    concerned: float = 1.0


CHANGES = (
    Change(name="cheapest: as good, costs less", gain=0.0),
    Change(name="the same, for a fifth of runs", gain=0.0, concerned=0.2),
    Change(name="local cure: +10 points on a fifth", gain=0.02, concerned=0.2),
    Change(name="worse by 1 point", gain=-0.01),
    Change(name="worse by 3 points", gain=-0.03),
    Change(name="worse by 10 points on a fifth", gain=-0.02, concerned=0.2),
)


@dataclass(frozen=True, kw_only=True)
class Advised:
    """Roll-outs of one change."""

    change: Change
    graded: float
    plain: list[End]
    briefed: list[End]

    def cells(self) -> list[str]:
        return [
            self.change.name,
            f"{self.graded:.0%}",
            *(told for ends in (self.plain, self.briefed) for told in _cells(ends)),
        ]


def _cells(ends: list[End]) -> list[str]:
    low, high = wilson(_promoted(ends), len(ends))
    harmful = sum(end.harmful for end in ends) / len(ends)
    return [
        f"{_promoted(ends) / len(ends):.0%} [{100 * low:.0f}, {100 * high:.0f}]",
        f"{harmful:.0%}",
        f"{median(end.runs for end in ends):,.0f}",
    ]


def _promoted(ends: list[End]) -> int:
    return sum(end.promoted for end in ends)


def advised(config: GateConfig, seed: int, n: int) -> list[Advised]:
    """Every change at every share of graded runs."""
    return [_advised(change, graded, config, seed, n) for change in CHANGES for graded in GRADED]


def _advised(change: Change, graded: float, config: GateConfig, seed: int, n: int) -> Advised:
    world = World(base=BASE, gain=change.gain, graded=graded, concerned=change.concerned)
    told = replace(world, told=change.concerned < 1.0)
    drawn = seeds(seed, change.name[:6], change.gain, graded)
    plain = [gated(world, config, next(drawn)) for _ in range(n)]
    briefed = [gated(told, config, next(drawn), brief=VOUCHED) for _ in range(n)]
    return Advised(change=change, graded=graded, plain=plain, briefed=briefed)


def wrongly_vouched(loss: float, error: float, epsilon: float, rng: np.random.Generator) -> float:
    """How often recorded runs vouch for what loses so much: their 95 % interval is above ``-epsilon``."""
    found = -loss + error * rng.standard_normal(200_000)
    return float(np.mean(found - 1.959964 * error > -epsilon))


def report_advised(bench: Bench, config: GateConfig, seed: int, n: int) -> None:
    found = advised(config, seed, n)
    table = Table(
        "accepted", "graded", "promoted", "harm", "runs", "promoted, vouched", "harm", "runs",
        title=f"Accepted changes: as any candidate, and with what recorded runs say; {n} roll-outs each",
        title_justify="left",
    )  # fmt: skip
    for row in found:
        table.add_row(*row.cells())
    Console(width=130).print(table)
    for row in found:
        name = f"{row.change.name}, {row.graded:.0%} graded"
        for how, ends in (("plain", row.plain), ("vouched", row.briefed)):
            bench.add_figure(f"{name}: promoted, {how}", _promoted(ends) / len(ends), "share")
    _report_errors(bench, found, config, seed)


def _report_errors(bench: Bench, found: list[Advised], config: GateConfig, seed: int) -> None:
    """Both must be wrong: recorded runs that vouch for it, and a trial that sees nothing."""
    rng = np.random.default_rng(seed)
    for row in found:
        loss = -row.change.gain
        if loss < config.epsilon:
            continue
        vouched = max(wrongly_vouched(loss, error, config.epsilon, rng) for error in ERRORS)
        both = vouched * _promoted(row.briefed) / len(row.briefed)
        name = f"{row.change.name}, {row.graded:.0%} graded"
        bench.add_figure(f"{name}: wrongly vouched, at most", vouched, "share", "of recorded samples")
        bench.add_bar(f"{name}: vouched and promoted", both, config.delta / 2, "share")
