"""The plots of a report, as plain Plotly data: traces and layouts, no markup and no script.

A trace's ``meta`` is the index of its contender, by which the page hides and shows it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from inframind.arena.report.load import load_plot
from inframind.arena.report.plot import PERCENT, Choice, Plot, Trace
from inframind.arena.report.style import GREY, OTHERS, drawn, nth_style, numbers, plot_text, styles
from inframind.arena.results.columns import TIERS, Floats
from inframind.arena.results.figures import Estimates, GroupFigures, Judgement, Shares
from inframind.arena.results.statistics import pareto_front
from inframind.arena.results.tables import Bound, Evaluation

ECDF_POINTS = 80
INTERVAL = "interval"
"""``legendgroup`` of the bands, by which the page hides and shows them."""
_SECONDS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
LOG_SECONDS = {"type": "log", "tickvals": _SECONDS, "ticktext": [f"{value:g}" for value in _SECONDS]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A figure that can be drawn against load or budget.

    Attributes:
        field: of `GroupFigures`.
        label: for people.
        form: d3 format of the axis.
        unit: of the axis, or "".
    """

    field: str
    label: str
    form: str = PERCENT
    unit: str = ""


METRICS = (
    Metric(field="slo_attainment", label="SLO attainment"),
    Metric(field="accuracy", label="accuracy"),
    Metric(field="latency_mean_s", label="latency, mean", form="", unit="s"),
    Metric(field="latency_p50_s", label="latency, p50", form="", unit="s"),
    Metric(field="latency_p95_s", label="latency, p95", form="", unit="s"),
    Metric(field="tokens", label="output tokens per question", form=",.3~s"),
    Metric(field="idle", label="slots idle while others queue"),
    Metric(field="hypervolume", label="hypervolume", form=".2f"),
)


def all_plots(evaluation: Evaluation, judgement: Judgement) -> tuple[Plot, ...]:
    """The plots, in the order of the page."""
    return (
        _success_plot(evaluation.bounds, judgement),
        _metric_plot(judgement),
        _front_plot(judgement),
        _shares_plot(judgement),
        load_plot(evaluation, judgement),
        _ecdf_plot(judgement),
    )


def _success_plot(bounds: Sequence[Bound], judgement: Judgement) -> Plot:
    metric = Metric(field="on_time_success", label="on-time success")
    traces = [*_metric_traces(judgement, metric, judgement.by_rate), *_bound_traces(bounds)]
    return Plot(
        name="success",
        title="On-time success against arrival rate",
        text="The headline: how much of what is offered is solved within its own budget as load grows. A band is "
        "the 95 % interval over the seeds.",
        views={"": {"traces": traces}},
        layout={
            "xaxis": _rate_axis(judgement),
            "yaxis": {"title": {"text": metric.label}, "tickformat": PERCENT, "rangemode": "tozero"},
        },
        has_intervals=True,
    )


def _bound_traces(bounds: Sequence[Bound]) -> Iterator[Trace]:
    for name in dict.fromkeys(bound.name for bound in bounds):
        points = sorted((one.rate_per_min, one.on_time_success) for one in bounds if one.name == name)
        yield {
            "type": "scatter",
            "mode": "lines+text",
            "name": plot_text(name),
            "x": [rate for rate, _ in points],
            "y": numbers(success for _, success in points),
            "text": [plot_text(f"{name} (bound)"), *[""] * (len(points) - 1)],
            "textposition": "bottom right",
            "textfont": {"color": GREY},
            "line": {"color": GREY, "dash": "dot", "width": 2},
            "hovertemplate": "%{fullData.name}, not attainable<br>%{x:g} per minute: %{y:.1%}<extra></extra>",
        }


def _rate_axis(judgement: Judgement) -> dict[str, Any]:
    rates = judgement.columns.rates_per_min
    return {
        "title": {"text": "arrivals per minute"},
        "tickvals": rates,
        "zeroline": False,
        "ticktext": [f"{rate:g}" for rate in rates],
    }


def _metric_plot(judgement: Judgement) -> Plot:
    against = (
        ("arrival rate", judgement.by_rate, _rate_axis(judgement)),
        ("budget tier", judgement.by_tier, {"title": {"text": "latency budget"}, "type": "category"}),
    )
    views = {}
    for (m, metric), (a, (_, groups, axis)) in product(enumerate(METRICS), enumerate(against)):
        if metric.field == "idle" and groups is judgement.by_tier:
            groups = ()
        label = f"{metric.label} ({metric.unit})" if metric.unit else metric.label
        views[f"{m}/{a}"] = {
            "traces": list(_metric_traces(judgement, metric, groups)),
            "layout": {
                "xaxis": axis,
                "yaxis": {
                    "title": {"text": label},
                    "tickformat": metric.form,
                    "rangemode": "tozero",
                },
            },
            "empty": "Endpoints serve all budgets at once: idle slots have no budget tier.",
        }
    return Plot(
        name="metric",
        title="SLO attainment and other figures",
        text="Latencies are over answered questions only, so read them beside SLO attainment, which is over all.",
        choices=(
            Choice(name="figure", options=tuple(metric.label for metric in METRICS)),
            Choice(name="against", options=tuple(name for name, _, _ in against)),
        ),
        views=views,
        has_intervals=True,
    )


def _metric_traces(judgement: Judgement, metric: Metric, groups: Sequence[GroupFigures]) -> Iterator[Trace]:
    """Bands first, so that they lie under all lines."""
    if not groups:
        return
    estimates: list[Estimates] = [getattr(group, metric.field) for group in groups]
    x: list[Any] = [group.tier if group.tier else group.rate_per_min for group in groups]
    value_CG, low_CG, high_CG = (
        np.stack([getattr(one, end) for one in estimates], axis=1) for end in ("value_C", "low_C", "high_C")
    )
    alone = drawn(judgement)
    yield from _other_lines(judgement, x, value_CG, metric)
    looks = styles(judgement)
    for c in alone:
        yield from _band(c, looks[c].colour, x, low_CG[c], high_CG[c])
    for c in alone:
        yield _line(judgement, c, x=x, y=numbers(value_CG[c]), hovertemplate=_hover(metric))


def _hover(metric: Metric) -> str:
    form = ".1%" if metric.form == PERCENT else ".3~g"
    return f"%{{fullData.name}}<br>%{{x}}: %{{y:{form}}} {metric.unit}<extra></extra>"


def _line(judgement: Judgement, c: int, **changes: Any) -> Trace:
    style = styles(judgement)[c]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": plot_text(judgement.columns.contenders[c]),
        "meta": c,
        "line": {"color": style.colour, "dash": style.dash, "width": 2},
        "marker": {"color": style.colour, "symbol": style.symbol, "size": 8},
        **changes,
    }


def _band(c: int, colour: str, x: Sequence[Any], low: Floats, high: Floats) -> Iterator[Trace]:
    known = ~np.isnan(low)
    if not known.any():
        return
    there = [one for one, is_known in zip(x, known, strict=True) if is_known]
    yield {
        "type": "scatter",
        "mode": "lines",
        "meta": c,
        "legendgroup": INTERVAL,
        "x": [*there, *reversed(there)],
        "y": numbers([*high[known], *reversed(low[known])]),
        "fill": "toself",
        "fillcolor": f"{colour}1C",
        "line": {"width": 0},
        "hoverinfo": "skip",
    }


def _other_lines(judgement: Judgement, x: Sequence[Any], value_CG: Floats, metric: Metric) -> Iterator[Trace]:
    """All constants that are not drawn one by one, as one trace with gaps."""
    others = _others(judgement)
    if not others:
        return
    names = judgement.columns.contenders
    yield {
        "type": "scatter",
        "mode": "lines",
        "name": "other constants",
        "meta": OTHERS,
        "x": [value for _ in others for value in (*x, None)],
        "y": [value for c in others for value in (*numbers(value_CG[c]), None)],
        "text": [plot_text(names[c]) for c in others for _ in range(len(x) + 1)],
        "line": {"color": GREY, "width": 1},
        "opacity": 0.45,
        "hovertemplate": _hover(metric).replace("%{fullData.name}", "%{text}"),
    }


def _others(judgement: Judgement) -> list[int]:
    alone = set(drawn(judgement))
    return [c for c in range(len(judgement.columns.contenders)) if c not in alone]


def _front_plot(judgement: Judgement) -> Plot:
    rates = judgement.columns.rates_per_min
    tiers = ("all budgets", *TIERS)
    return Plot(
        name="front",
        title="Accuracy against latency",
        text="Up and to the left is better. The stepped line is the front of what ran: nothing was both faster and "
        "more accurate than a point on it; oracles are left out of it.",
        choices=(
            Choice(name="budget", options=tiers),
            Choice(name="arrivals per minute", options=("all rates", *(f"{rate:g}" for rate in rates))),
        ),
        views={
            f"{t}/{r}": {
                "traces": list(_front_traces(judgement, r, t)),
                "empty": "No question of this tier was answered.",
            }
            for t, r in product(range(len(tiers)), range(len(rates) + 1))
        },
        layout={
            "xaxis": {"title": {"text": "mean latency (s)"}, **LOG_SECONDS},
            "yaxis": {"title": {"text": "accuracy"}, "tickformat": PERCENT},
        },
    )


def _front_traces(judgement: Judgement, r: int, t: int) -> Iterator[Trace]:
    columns = judgement.columns
    latency_s, accuracy = (
        judgement.fronts.latency_s_CRT[:, r, t],
        judgement.fronts.accuracy_CRT[:, r, t],
    )
    if np.isnan(latency_s).all():
        return
    attainable = np.where([family == "oracle" for family in columns.families], np.nan, latency_s)
    front = pareto_front(attainable, accuracy)
    yield {
        "type": "scatter",
        "mode": "lines",
        "x": numbers(latency_s[front]),
        "y": numbers(accuracy[front]),
        "line": {"color": GREY, "width": 1.5, "shape": "hv"},
        "hoverinfo": "skip",
    }
    hover = "%{text}<br>%{x:.3~g} s, %{y:.1%}<extra></extra>"
    if others := _others(judgement):
        yield {
            "type": "scatter",
            "mode": "markers",
            "meta": OTHERS,
            "x": numbers(latency_s[others]),
            "y": numbers(accuracy[others]),
            "text": [plot_text(columns.contenders[c]) for c in others],
            "marker": {"color": GREY, "size": 6, "opacity": 0.6},
            "hovertemplate": hover,
        }
    for c in drawn(judgement):
        point = {"x": numbers(latency_s[[c]]), "y": numbers(accuracy[[c]])}
        name = plot_text(columns.contenders[c])
        changes = {"mode": "markers", "text": [name], "hovertemplate": hover}
        yield _line(judgement, c, **point, **changes) | {"marker": _big_marker(judgement, c)}


def _big_marker(judgement: Judgement, c: int) -> dict[str, Any]:
    style = styles(judgement)[c]
    return {"color": style.colour, "symbol": style.symbol, "size": 12}


def _shares_plot(judgement: Judgement) -> Plot:
    alone = drawn(judgement)
    what = (
        ("models", "share of calls"),
        ("strategies", "share of calls"),
        ("topologies", "share of episodes"),
    )
    return Plot(
        name="shares",
        title="What is chosen as load grows",
        text="A policy that sees load moves to cheaper choices where the lines above bend.",
        choices=(
            Choice(name="contender", options=tuple(judgement.columns.contenders[c] for c in alone)),
            Choice(name="choice of", options=tuple(name for name, _ in what)),
        ),
        views={
            f"{i}/{w}": {
                "traces": list(_share_traces(judgement, c, name)),
                "layout": {"yaxis": {"title": {"text": axis}, "tickformat": PERCENT, "range": [0, 1]}},
                "empty": "It made no such choice.",
            }
            for (i, c), (w, (name, axis)) in product(enumerate(alone), enumerate(what))
        },
        layout={"xaxis": _rate_axis(judgement), "barmode": "stack"},
        is_by_contender=False,
    )


def _share_traces(judgement: Judgement, c: int, field_name: str) -> Iterator[Trace]:
    shares: list[Shares] = [getattr(group, field_name) for group in judgement.by_rate]
    x = [group.rate_per_min for group in judgement.by_rate]
    for i, label in enumerate(shares[0].labels):
        y = np.array([one.share_CL[c, i] for one in shares])
        if np.nansum(y) > 0:
            style = nth_style(i)
            yield {
                "name": plot_text(label),
                "x": x,
                "y": numbers(y),
                "hovertemplate": "%{fullData.name}<br>%{x:g} per minute: %{y:.1%}<extra></extra>",
                **_area(style.colour, style.dash, is_single=len(x) == 1),
            }


def _area(colour: str, dash: str, *, is_single: bool) -> Trace:
    """An area needs two rates; one is a bar."""
    if is_single:
        return {"type": "bar", "marker": {"color": colour}}
    return {
        "type": "scatter",
        "mode": "lines",
        "stackgroup": "all",
        "fillcolor": f"{colour}B0",
        "line": {"color": colour, "width": 1.5, "dash": dash},
    }


def _ecdf_plot(judgement: Judgement) -> Plot:
    rates = judgement.columns.rates_per_min
    return Plot(
        name="ecdf",
        title="Distribution of latency",
        text="Share of all offered questions that are answered within a time, right or wrong. A line that ends "
        "below 100 % belongs to a contender that left the rest unanswered.",
        choices=(
            Choice(
                name="arrivals per minute",
                options=tuple(f"{rate:g}" for rate in rates),
                start=len(rates) // 2,
            ),
        ),
        views={str(r): {"traces": list(_ecdf_traces(judgement, r))} for r in range(len(rates))},
        layout={
            "xaxis": {"title": {"text": "latency (s)"}, **LOG_SECONDS},
            "yaxis": {"title": {"text": "answered"}, "tickformat": PERCENT, "range": [0, 1.02]},
        },
    )


def _ecdf_traces(judgement: Judgement, r: int) -> Iterator[Trace]:
    columns = judgement.columns
    at_rate = columns.rate_N == r
    for c in drawn(judgement):
        latency_s = np.sort(columns.latency_s_CN[c, at_rate & columns.answered_CN[c]])
        if not len(latency_s):
            continue
        at = np.unique(np.linspace(0, len(latency_s) - 1, ECDF_POINTS).round().astype(int))
        yield _line(
            judgement,
            c,
            mode="lines",
            x=numbers(latency_s[at]),
            y=numbers((at + 1) / at_rate.sum()),
            hovertemplate="%{fullData.name}<br>%{y:.1%} within %{x:.3~g} s<extra></extra>",
        )
