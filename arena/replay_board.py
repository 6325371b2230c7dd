"""A replay on the terminal: one row per contender, and the same by benchmark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table

from inframind.arena.replay_results import Estimate, ReplayResult, Score, Standing

CONSTANTS_SHOWN = 5
_CONSTANT = "always "


def print_replay(result: ReplayResult, console: Console, *, constants: int = CONSTANTS_SHOWN) -> None:
    """Print what came of a replay.

    Args:
        result: the replay.
        console: where to.
        constants: how many constant arms to show, best first; all of them are in the result.
    """
    deciders = [standing for standing in result.standings if not standing.name.startswith(_CONSTANT)]
    console.print(_heading(result))
    console.print(_contenders(result, [*deciders, *best_constants(result, constants)]))
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


def _contenders(result: ReplayResult, shown: Sequence[Standing]) -> Table:
    table = Table(title=f"Goal: {result.goal.replace('_', '-')}")
    table.add_column("contender", overflow="fold")
    timed, costly = result.goal == "on_time_success", result.cost != "none"
    targets = next((tuple(standing.front.cost_shares) for standing in shown if standing.front), ())
    names = ["quality", *(["on time", "SLO"] if timed else []), "vs best", "regret"]
    names += ["cost", *(f"cost at -{100 * target:g}" for target in targets)] if costly else []
    names += ["mean s", "p95 s"] if timed else []
    for name in [*names, "covered"]:
        table.add_column(name, justify="right")
    best = shown[0].headline
    for standing in shown:
        table.add_row(standing.name, *_cells(standing, best, targets, timed=timed, costly=costly))
    return table


def _cells(
    standing: Standing, best: Score, targets: Sequence[float], *, timed: bool, costly: bool
) -> Iterator[str]:
    score = standing.headline
    yield _interval(score.quality)
    if timed:
        yield _interval(score.on_time_success)
        yield _share(score.slo_attainment)
    yield _signed(score.versus_best)
    yield _share(score.regret)
    if costly:
        yield _cost(score.cost, best.cost)
        for target in targets:
            share = standing.front.cost_shares[target] if standing.front else None
            yield "-" if share is None else f"{share:.2f}"
    if timed:
        yield from (
            f"{value:.1f}" if value is not None else "-"
            for value in (score.latency_mean_s, score.latency_p95_s)
        )
    yield f"{score.coverage:.0%}"


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
    yield "percent; in brackets the 95 % interval, by resampling questions and splits"
    yield "vs best, regret: against the best constant arm of the training questions, and against the oracle"
    if result.cost != "none":
        yield (
            "cost: share of the best constant arm's; cost at -2: the least that reaches 2 points below that arm, "
            "mixing settings at random"
        )
    if result.left_out:
        yield f"left out, since cost or seconds are not recorded: {', '.join(result.left_out)}"


def _interval(estimate: Estimate | None) -> str:
    if estimate is None:
        return "-"
    return f"{100 * estimate.value:.1f} [{100 * estimate.low:.1f}, {100 * estimate.high:.1f}]"


def _signed(estimate: Estimate | None) -> str:
    if estimate is None:
        return "-"
    return f"{100 * estimate.value:+.1f} [{100 * estimate.low:+.1f}, {100 * estimate.high:+.1f}]"


def _share(estimate: Estimate | None) -> str:
    return "-" if estimate is None else f"{100 * estimate.value:.1f}"


def _cost(cost: Estimate | None, best: Estimate | None) -> str:
    if cost is None or best is None:
        return "-"
    return f"{cost.value / best.value:.2f}" if best.value > 0 else f"{cost.value:.3g}"
