"""An evaluation in the terminal, within 80 columns."""

from __future__ import annotations

from math import isnan

from rich.console import Console
from rich.table import Table
from rich.text import Text

from inframind.arena.contenders.trained import HIDDEN_LOAD, TRAINED
from inframind.arena.report.style import drawn
from inframind.arena.report.tables import counted, percent, points, seconds
from inframind.arena.results.figures import Estimates, Judgement
from inframind.arena.results.judgement import ORACLE, constant_label, judge
from inframind.arena.results.tables import Evaluation

WIDTH = 80
_NAME_WIDTH = 28
"""Of the contenders' column, with its mark."""
_MARKS = {"best constant": "*", "best constant in hindsight": "†", "": " "}
_MEANINGS = {
    "best constant": "best constant, as training questions recommend",
    "best constant in hindsight": "best constant in hindsight, picked from these very runs",
}


def print_summary(console: Console, evaluation: Evaluation, *, judgement: Judgement | None = None) -> None:
    """One line per contender, best first; of the constants, the best alone: beforehand, and in hindsight.

    Args:
        console: where to.
        evaluation: the runs.
        judgement: the figures, where they are at hand.
    """
    judgement = judgement or judge(evaluation)
    columns = judgement.columns
    console.print(_table(judgement), width=min(WIDTH, console.width))
    for line in _notes(judgement):
        console.print(Text(line, "dim"), width=min(WIDTH, console.width))
    hidden = len(columns.contenders) - len(drawn(judgement))
    if hidden:
        console.print(Text(f"constants that only the report shows: {hidden}", "dim"))


def shortened(name: str, width: int) -> str:
    """A contender's name within so many characters: of one that is a folder, the last parts, which tell it apart."""
    if len(name) <= width:
        return name
    kind, colon, path = name.partition(":")
    room = width - len(kind + colon) - 1
    if kind + colon not in (TRAINED, HIDDEN_LOAD) or room < 1:
        return f"{name[: width - 1]}…"
    _, slash, parts = path[-room:].partition("/")
    return f"{kind}{colon}…{slash}{parts}" if slash else f"{kind}{colon}…{path[-room:]}"


def _table(judgement: Judgement) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("contender", no_wrap=True, overflow="ellipsis", max_width=_NAME_WIDTH)
    for name in ("on time", "±", "gain", "accuracy", "SLO", "p95"):
        table.add_column(name, justify="right", no_wrap=True)
    alone = set(drawn(judgement))
    for c in judgement.order:
        if c in alone:
            table.add_row(*_cells(judgement, c), style=_look(judgement, c))
    return table


def _cells(judgement: Judgement, c: int) -> list[Text]:
    overall = judgement.overall
    mark = "°" if judgement.columns.families[c] == ORACLE else _MARKS[constant_label(judgement, c)]
    cells = (
        str(judgement.ranking.rank_C[c] or ""),
        f"{mark} {shortened(judgement.columns.contenders[c], _NAME_WIDTH - 2)}",
        _percent(overall.on_time_success, c),
        _half_interval(overall.on_time_success, c),
        _difference(judgement, c),
        _percent(overall.accuracy, c),
        _percent(overall.slo_attainment, c),
        seconds(float(overall.latency_p95_s.value_C[c])),
    )
    return list(map(Text, cells))


def _percent(estimates: Estimates, c: int) -> str:
    return percent(float(estimates.value_C[c]))


def _half_interval(estimates: Estimates, c: int) -> str:
    """In percentage points; an end that is cut off at 0 or 1 is the shorter one."""
    value, low, high = (float(one[c]) for one in (estimates.value_C, estimates.low_C, estimates.high_C))
    return "" if isnan(low) else f"{100 * max(value - low, high - value):.1f}"


def _difference(judgement: Judgement, c: int) -> str:
    """With a tilde where the interval contains 0."""
    difference = judgement.overall.difference
    if c == judgement.baseline:
        return "0"
    is_tie = difference.low_C[c] <= 0 <= difference.high_C[c]
    return ("~" if is_tie else "") + points(float(difference.value_C[c]))


def _look(judgement: Judgement, c: int) -> str:
    if judgement.columns.families[c] == ORACLE:
        return "dim"
    return "bold" if constant_label(judgement, c) else ""


def _notes(judgement: Judgement) -> list[str]:
    columns = judgement.columns
    notes = [
        f"{counted(judgement.overall.offered, 'question')} each, {counted(len(columns.seeds), 'seed')}, "
        f"{counted(len(columns.rates_per_min), 'arrival rate')}; equal ranks tie; ± 95 %",
        f"gain: percentage points over {columns.contenders[judgement.baseline]}; ~ its interval contains 0",
    ]
    labels = {constant_label(judgement, c): None for c in drawn(judgement)}
    notes += [f"{_MARKS[label]} {_MEANINGS[label]}" for label in _MEANINGS if label in labels]
    if ORACLE in columns.families:
        notes.append("° not attainable")
    return notes
