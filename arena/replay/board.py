"""A replay on the terminal: one row per contender, and the same by benchmark."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from rich import box
from rich.console import Console
from rich.table import Table

from inframind.arena.replay.results import Estimate, ReplayResult, Score, Standing

CONSTANTS_SHOWN = 5
_CONSTANT = "always "
_WIDE = 140
"""Columns that a terminal needs for intervals and for all figures."""


def print_replay(result: ReplayResult, console: Console, *, constants: int = CONSTANTS_SHOWN) -> None:
    """Print what came of a replay.

    Args:
        result: the replay.
        console: where to.
        constants: how many constant arms to show, best first; all of them are in the result.
    """
    deciders = [standing for standing in result.standings if not standing.name.startswith(_CONSTANT)]
    console.print(_heading(result))
    console.print(_contenders(result, [*deciders, *best_constants(result, constants)], width=console.width))
    if len(deciders[0].headline.by_stratum) > 1:
        console.print(_strata(deciders))
    for line in _notes(result):
        console.print(line, style="dim")


def best_constants(result: ReplayResult, n: int) -> list[Standing]:
    """The ``n`` best constant arms on the test questions, best first.

    By their lead over the best constant of the training questions, which does not depend on what else they answered.
    """
    scored = [
        (lead.value, standing)
        for standing in result.standings
        if standing.name.startswith(_CONSTANT) and (lead := standing.headline.versus_best)
    ]
    return [standing for _, standing in sorted(scored, key=lambda pair: -pair[0])[:n]]


def _heading(result: ReplayResult) -> str:
    return (
        f"{result.table}: {result.questions} questions, {len(result.arms)} arms, {result.recorded:.0%} of the pairs "
        f"recorded; {len(result.seeds)} splits, {result.train_share:.0%} to learn from; cost: {result.cost}"
    )


def _contenders(result: ReplayResult, shown: Sequence[Standing], *, width: int) -> Table:
    is_wide = width >= _WIDE
    table = Table(
        title=f"Goal: {result.goal.replace('_', '-')}", box=box.HEAVY_HEAD if is_wide else box.SIMPLE_HEAD
    )
    targets = next((tuple(standing.front.cost_shares) for standing in shown if standing.front), ())
    columns = _columns(result, targets, is_wide=is_wide)
    table.add_column("contender", overflow="fold", min_width=len("best_per_benchmark"))
    for name in columns:
        table.add_column(name, justify="right")
    best = shown[0].headline
    for standing in shown:
        table.add_row(standing.name, *(cell(standing, best) for cell in columns.values()))
    return table


_Cell = Callable[[Standing, Score], str]
"""Text for a contender, given the best constant arm's score."""


def _columns(result: ReplayResult, targets: Sequence[float], *, is_wide: bool) -> dict[str, _Cell]:
    timed, costly = result.goal == "on_time_success", result.cost != "none"
    columns: dict[str, _Cell] = {
        "on time" if timed else "quality": lambda one, _: _points(one.headline.goal, brackets=is_wide),
        "vs best": lambda one, _: _points(one.headline.versus_best, sign="+", brackets=is_wide),
        "regret": lambda one, _: _points(one.headline.regret),
    }
    if costly:
        columns["cost"] = lambda one, best: _cost(one.headline.cost, best.cost)
        prefix = "cost at" if is_wide else "at"
        columns |= {f"{prefix} -{100 * target:g}": partial(_cost_at, target) for target in targets}
    if timed:
        if is_wide:
            columns["quality"] = lambda one, _: _points(one.headline.quality)
            columns["mean s"] = lambda one, _: _seconds(one.headline.latency_mean_s)
            columns["p95 s"] = lambda one, _: _seconds(one.headline.latency_p95_s)
        columns["SLO"] = lambda one, _: _points(one.headline.slo_attainment)
    if is_wide and result.recorded < 1:
        columns["covered"] = lambda one, _: f"{one.headline.coverage:.0%}"
    return columns


def _cost_at(target: float, standing: Standing, _: Score) -> str:
    share = standing.front.cost_shares[target] if standing.front else None
    return "-" if share is None else f"{share:.2f}"


def _strata(shown: Sequence[Standing]) -> Table:
    table = Table(title="Goal by benchmark")
    table.add_column("benchmark", overflow="fold")
    for standing in shown:
        table.add_column(standing.name, justify="right", overflow="fold")
    for stratum in shown[0].headline.by_stratum:
        values = [standing.headline.by_stratum.get(stratum) for standing in shown]
        table.add_row(stratum, *("-" if value is None else f"{100 * value:.1f}" for value in values))
    return table


def _notes(result: ReplayResult) -> Iterator[str]:
    yield "percent; in brackets, on a wide terminal, the 95 % interval, by resampling questions and splits"
    yield "vs best, regret: against the best constant arm of the training questions, and against the oracle"
    if result.cost != "none":
        yield (
            "cost: share of the best constant arm's; at -2: the least that reaches 2 points below that arm, "
            "mixing settings at random"
        )
    if result.left_out:
        yield f"left out, since cost or seconds are not recorded: {', '.join(result.left_out)}"


def _points(estimate: Estimate | None, *, sign: str = "", brackets: bool = False) -> str:
    if estimate is None:
        return "-"
    value, low, high = (f"{100 * share:{sign}.1f}" for share in (estimate.value, estimate.low, estimate.high))
    return f"{value} [{low}, {high}]" if brackets else value


def _seconds(value_s: float | None) -> str:
    return "-" if value_s is None else f"{value_s:.1f}"


def _cost(cost: Estimate | None, best: Estimate | None) -> str:
    if cost is None or best is None:
        return "-"
    return f"{cost.value / best.value:.2f}" if best.value > 0 else f"{cost.value:.3g}"
