"""The tables of a report, as escaped HTML."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import isnan
from statistics import fmean

from inframind.arena.report.style import drawn
from inframind.arena.results.figures import Estimates, GroupFigures, Judgement
from inframind.arena.results.judgement import CONSTANT, ORACLE, constant_label
from inframind.arena.results.tables import Bound, Fact

DASH = "–"


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Head of a column.

    Attributes:
        label: for people.
        kind: ``number`` or ``text``: how it sorts.
        first: order of the first click.
    """

    label: str
    kind: str = "number"
    first: str = "descending"


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: what to show, what stands below it in small, and what it sorts by ("" sorts last)."""

    text: str
    note: str = ""
    value: str = ""
    is_text: bool = False


def counted(number: int, noun: str) -> str:
    """So many of something, in the singular for one."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def percent(value: float) -> str:
    """A share for people, or a dash for NaN."""
    return DASH if isnan(value) else f"{100 * value:.1f} %"


def points(value: float) -> str:
    """A difference of shares in percentage points, with its sign."""
    return DASH if isnan(value) else f"{100 * value:+.1f}"


def seconds(value: float) -> str:
    """A latency, or a dash for NaN."""
    return DASH if isnan(value) else f"{value:.1f} s" if value < 100 else f"{value:,.0f} s"


def _plain(value: float) -> str:
    return DASH if isnan(value) else f"{value:,.0f}"


def _ratio(value: float) -> str:
    return DASH if isnan(value) else f"{value:.3f}"


Form = Callable[[float], str]

_ESTIMATES: tuple[tuple[str, str, Form], ...] = (
    ("accuracy", "Accuracy", percent),
    ("slo_attainment", "SLO attainment", percent),
    ("latency_mean_s", "Latency, mean", seconds),
    ("latency_p50_s", "p50", seconds),
    ("latency_p95_s", "p95", seconds),
    ("tokens", "Tokens", _plain),
    ("idle", "Idle slots", percent),
    ("hypervolume", "Hypervolume", _ratio),
)
_LOWER_IS_BETTER = ("latency_mean_s", "latency_p50_s", "latency_p95_s", "tokens", "idle")


def summary_table(bounds: Sequence[Bound], judgement: Judgement) -> str:
    """Every contender over all questions, best first, and the bounds above them."""
    headers = [
        Header(label="Contender", kind="text", first="ascending"),
        Header(label="Rank", first="ascending"),
        Header(label="Family", kind="text", first="ascending"),
        Header(label="On-time success"),
        Header(label="Difference"),
        *(Header(label=label, first=_first_click(field)) for field, label, _ in _ESTIMATES),
    ]
    rows = [
        *_bound_rows(bounds, judgement.columns.rates_per_min, len(headers)),
        *(_row(judgement, c, _summary_cells(judgement, c)) for c in judgement.order),
    ]
    return _table("Summary of all contenders", headers, rows)


def _first_click(field: str) -> str:
    return "ascending" if field in _LOWER_IS_BETTER else "descending"


def _summary_cells(judgement: Judgement, c: int) -> Iterator[Cell]:
    overall, rank = judgement.overall, int(judgement.ranking.rank_C[c])
    yield Cell(str(rank), value=str(rank)) if rank else Cell(DASH)
    yield Cell(judgement.columns.families[c], value=judgement.columns.families[c], is_text=True)
    yield _estimate_cell(overall.on_time_success, c, percent)
    yield _difference_cell(judgement, c)
    for field, _, form in _ESTIMATES:
        yield _estimate_cell(getattr(overall, field), c, form)


def _difference_cell(judgement: Judgement, c: int) -> Cell:
    difference = judgement.overall.difference
    if c == judgement.baseline:
        return Cell("baseline", value="0")
    low, high = float(difference.low_C[c]), float(difference.high_C[c])
    value = float(difference.value_C[c])
    return Cell(points(value), f"{points(low)} to {points(high)}", _number(value))


def _estimate_cell(estimates: Estimates, c: int, form: Form) -> Cell:
    value, low, high = (float(one[c]) for one in (estimates.value_C, estimates.low_C, estimates.high_C))
    note = "" if isnan(low) else f"{form(low)} to {form(high)}"
    return Cell(form(value), note.replace(" %", "").replace(" s", ""), _number(value))


def _number(value: float) -> str:
    return "" if isnan(value) else f"{value:.6g}"


def groups_table(bounds: Sequence[Bound], judgement: Judgement) -> str:
    """On-time success of every contender at each rate and in each budget tier."""
    groups = (*judgement.by_rate, *judgement.by_tier)
    headers = [
        Header(label="Contender", kind="text", first="ascending"),
        *(Header(label=_group_label(group)) for group in groups),
    ]
    rows = [
        *_bound_group_rows(bounds, groups),
        *(
            _row(judgement, c, [_estimate_cell(group.on_time_success, c, percent) for group in groups])
            for c in judgement.order
        ),
    ]
    return _table("On-time success by arrival rate and by budget", headers, rows)


def _group_label(group: GroupFigures) -> str:
    return group.tier or f"{group.rate_per_min:g} per min"


def _bound_rows(bounds: Sequence[Bound], rates: Sequence[float], width: int) -> Iterator[str]:
    """A bound has an overall figure where it is known at every rate: rates weigh the same."""
    for name, by_rate in _by_name(bounds).items():
        values = [by_rate[rate] for rate in rates if rate in by_rate]
        value = fmean(values) if len(values) == len(rates) else float("nan")
        cells = [
            Cell(""),
            Cell("bound", value="bound", is_text=True),
            Cell(percent(value), value=_number(value)),
        ]
        yield _bound_row(name, [*cells, *[Cell(DASH)] * (width - len(cells) - 1)])


def _bound_group_rows(bounds: Sequence[Bound], groups: Sequence[GroupFigures]) -> Iterator[str]:
    nothing = float("nan")
    for name, by_rate in _by_name(bounds).items():
        values = [
            nothing if one.rate_per_min is None else by_rate.get(one.rate_per_min, nothing) for one in groups
        ]
        yield _bound_row(name, [Cell(percent(value), value=_number(value)) for value in values])


def _by_name(bounds: Sequence[Bound]) -> Mapping[str, dict[float, float]]:
    named: dict[str, dict[float, float]] = {}
    for bound in bounds:
        named.setdefault(bound.name, {})[bound.rate_per_min] = bound.on_time_success
    return named


def _bound_row(name: str, cells: Sequence[Cell]) -> str:
    head = f'{escape(name)} <span class="badge">not attainable</span>'
    return f'<tr class="beyond">{_head(name, head)}{"".join(map(_cell, cells))}</tr>'


def _row(judgement: Judgement, c: int, cells: Iterator[Cell] | Sequence[Cell]) -> str:
    name, family = judgement.columns.contenders[c], judgement.columns.families[c]
    parts = [f'<span data-swatch="{c}"></span>'] if c in drawn(judgement) else []
    parts.append(escape(name))
    kind = ""
    if label := constant_label(judgement, c):
        kind = ' class="best"'
        parts.append(f'<span class="badge">{label}</span>')
    if family == ORACLE:
        kind = ' class="beyond"'
        parts.append('<span class="badge">not attainable</span>')
    return f"<tr{kind}>{_head(name, ' '.join(parts))}{''.join(map(_cell, cells))}</tr>"


def _head(name: str, markup: str) -> str:
    return f'<th scope="row" class="name" data-value="{escape(name)}">{markup}</th>'


def _cell(cell: Cell) -> str:
    kind = ' class="text"' if cell.is_text else ""
    note = f"<small>{escape(cell.note)}</small>" if cell.note else ""
    return f'<td{kind} data-value="{escape(cell.value)}">{escape(cell.text)}{note}</td>'


def _table(label: str, headers: Sequence[Header], rows: Sequence[str]) -> str:
    heads = "".join(
        f'<th scope="col"{" class=name" if i == 0 else ""} data-kind="{one.kind}" data-first="{one.first}">'
        f'<button type="button">{escape(one.label)}</button></th>'
        for i, one in enumerate(headers)
    )
    body = "\n".join(rows)
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(label)}"><table>'
        f"<thead><tr>{heads}</tr></thead><tbody>\n{body}\n</tbody></table></div>"
    )


def facts_list(facts: Mapping[str, Fact]) -> str:
    """Names and values."""
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in facts.items())
    return f"<dl>{items}</dl>"


def constants_note(judgement: Judgement) -> str:
    """How many constants there are, and which are the best; "" where there is none."""
    columns, hindsight = judgement.columns, judgement.hindsight_constant
    if hindsight is None:
        return ""
    count = columns.families.count(CONSTANT)
    notes = []
    if judgement.best_constant is not None:
        notes.append(
            f"{columns.contenders[judgement.best_constant]} is the constant choice that training questions recommend."
        )
    if hindsight != judgement.best_constant:
        notes.append(
            f"Of {count} constant choices {columns.contenders[hindsight]} did best, picked with hindsight from these "
            "very runs."
        )
    return " ".join(notes)
