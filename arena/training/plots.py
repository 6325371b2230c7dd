"""The plots of a training report, as plain Plotly data; a trace's ``meta`` is the index of its run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import numpy as np

from inframind.arena.report.plot import PERCENT, Choice, Plot, Trace
from inframind.arena.report.plots import INTERVAL
from inframind.arena.report.style import nth_style, numbers, plot_text
from inframind.arena.results.statistics import SEEDS_NEEDED
from inframind.arena.training.figures import EpochFigures
from inframind.arena.training.histories import Band, Floats, Histories
from inframind.rewards.multiplier import DEFAULT_EDGES_S

_RUNS_AXIS = {"title": {"text": "workflow runs"}, "rangemode": "tozero", "zeroline": False}


@dataclass(frozen=True, slots=True)
class _Figure:
    """A figure of an epoch, its name for people, and the format of its axis."""

    of: Callable[[EpochFigures], float]
    label: str
    form: str = PERCENT


_FIGURES = (
    _Figure(lambda one: one.on_time_success, "on-time success"),
    _Figure(lambda one: one.accuracy, "accuracy"),
    _Figure(lambda one: one.slo_attainment, "SLO attainment"),
    _Figure(lambda one: one.smoothed, "on-time success, mean of the latest epochs"),
    _Figure(lambda one: one.latency_mean_s, "latency, mean (s)", ""),
    _Figure(lambda one: one.calls, "calls per workflow", ".1f"),
)
_MIXES: tuple[tuple[str, str, Callable[[EpochFigures], Mapping[str, float]]], ...] = (
    ("models", "share of calls", lambda one: one.models),
    ("strategies", "share of calls", lambda one: one.strategies),
    ("topologies", "share of workflows", lambda one: one.topologies),
)


def training_plots(runs: Sequence[Histories], edges_s: Sequence[float] = DEFAULT_EDGES_S) -> tuple[Plot, ...]:
    """The plots, in the order of the page.

    Args:
        runs: what is compared.
        edges_s: budgets that part the tiers of the multipliers.
    """
    plots = [_success_plot(runs)] if len(runs) == 1 else []
    plots += [_figures_plot(runs), _mix_plot(runs), _multipliers_plot(runs, edges_s)]
    return (*plots, _curves_plot(runs)) if _curve_names(runs) else tuple(plots)


def _success_plot(runs: Sequence[Histories]) -> Plot:
    """What a single training is asked first: three shares in one picture."""
    lines = [
        _line(runs[0].runs_E, runs[0].band(figure.of).mean_E, i, figure.label)
        for i, figure in enumerate(_FIGURES[:3])
    ]
    return Plot(
        name="success",
        title="What came in right and in time",
        text="Shares of all offered questions, epoch by epoch, while the policy explored.",
        views={"": {"traces": lines}},
        layout={"xaxis": _RUNS_AXIS, "yaxis": {"tickformat": PERCENT, "rangemode": "tozero"}},
        is_by_contender=False,
    )


def _figures_plot(runs: Sequence[Histories]) -> Plot:
    return Plot(
        name="figures",
        title="Figure by figure",
        text="Mean over the seeds; a band is the 95 % interval of that mean, from three seeds on.",
        choices=(Choice(name="figure", options=tuple(figure.label for figure in _FIGURES)),),
        views={
            str(f): {
                "traces": list(_by_run(runs, figure.of)),
                "layout": {"yaxis": {"title": {"text": figure.label}, "tickformat": figure.form}},
            }
            for f, figure in enumerate(_FIGURES)
        },
        layout={"xaxis": _RUNS_AXIS},
        has_intervals=any(len(run.seeds) >= SEEDS_NEEDED for run in runs),
    )


def _mix_plot(runs: Sequence[Histories]) -> Plot:
    return Plot(
        name="mix",
        title="What is chosen as it learns",
        text="A collapse shows as one colour that takes over and stays, and a figure above that falls with it.",
        choices=(
            Choice(name="run", options=tuple(run.name for run in runs)),
            Choice(name="choice of", options=tuple(name for name, _, _ in _MIXES)),
        ),
        views={
            f"{r}/{m}": {
                "traces": list(_mix_traces(run, part)),
                "layout": {"yaxis": {"title": {"text": axis}, "tickformat": PERCENT, "range": [0, 1]}},
                "empty": "It made no such choice.",
            }
            for (r, run), (m, (_, axis, part)) in product(enumerate(runs), enumerate(_MIXES))
        },
        layout={"xaxis": _RUNS_AXIS, "barmode": "stack"},
        is_by_contender=False,
    )


def _mix_traces(run: Histories, part: Callable[[EpochFigures], Mapping[str, float]]) -> Iterator[Trace]:
    for i, name in enumerate(run.names(part)):
        share_E = run.band(lambda one, name=name: part(one).get(name, 0.0)).mean_E  # type: ignore[misc]
        yield {
            "name": plot_text(name),
            "x": numbers(run.runs_E),
            "y": numbers(share_E),
            "hovertemplate": "%{fullData.name}<br>%{x:,} runs: %{y:.1%}<extra></extra>",
            **_area(i, is_single=len(share_E) == 1),
        }


def _area(i: int, *, is_single: bool) -> Trace:
    """An area needs two epochs; one is a bar."""
    style = nth_style(i)
    if is_single:
        return {"type": "bar", "marker": {"color": style.colour}}
    return {
        "type": "scatter",
        "mode": "lines",
        "stackgroup": "all",
        "fillcolor": f"{style.colour}B0",
        "line": {"color": style.colour, "width": 1.5, "dash": style.dash},
    }


def _multipliers_plot(runs: Sequence[Histories], edges_s: Sequence[float]) -> Plot:
    return Plot(
        name="multipliers",
        title="What being late costs",
        text="The multiplier of each budget tier, after each epoch: it rises while too many of the tier come late.",
        choices=(Choice(name="run", options=tuple(run.name for run in runs)),),
        views={
            str(r): {
                "traces": list(_multiplier_traces(run, edges_s)),
                "layout": {"yaxis": {"title": {"text": "multiplier"}, "rangemode": "tozero"}},
            }
            for r, run in enumerate(runs)
        },
        layout={"xaxis": _RUNS_AXIS},
        is_by_contender=False,
    )


def _multiplier_traces(run: Histories, edges_s: Sequence[float]) -> Iterator[Trace]:
    names = tier_names(len(run.last[0].multipliers), edges_s)
    for tier, name in enumerate(names):
        band = run.band(lambda one, tier=tier: one.multipliers[tier])  # type: ignore[misc]
        yield _line(run.runs_E, band.mean_E, tier, name, form=".3f")


def tier_names(n: int, edges_s: Sequence[float] = DEFAULT_EDGES_S) -> tuple[str, ...]:
    """Budget tiers for people, shortest budgets first; ``n`` is how many multipliers there are."""
    if n == 1:
        return ("all budgets",)
    if n != len(edges_s) + 1:
        return tuple(f"tier {tier + 1}" for tier in range(n))
    between = [f"{low:g} to {high:g} s" for low, high in pairwise(edges_s)]
    return (f"below {edges_s[0]:g} s", *between, f"{edges_s[-1]:g} s and more")


def _curves_plot(runs: Sequence[Histories]) -> Plot:
    names = _curve_names(runs)
    return Plot(
        name="curves",
        title="Losses and entropies",
        text="An entropy that falls to zero early has stopped looking; a critic's loss that rises has lost the thread.",
        choices=(Choice(name="curve", options=tuple(name.replace("_", " ") for name in names)),),
        views={
            str(n): {
                "traces": list(_by_run(runs, lambda one, name=name: one.curves.get(name, np.nan))),  # type: ignore[misc]
                "layout": {"yaxis": {"title": {"text": name.replace("_", " ")}}},
                "empty": "There is no such curve.",
            }
            for n, name in enumerate(names)
        },
        layout={"xaxis": _RUNS_AXIS},
        has_intervals=any(len(run.seeds) >= SEEDS_NEEDED for run in runs),
    )


def _curve_names(runs: Sequence[Histories]) -> list[str]:
    return sorted({name for run in runs for name in run.names(lambda one: one.curves)})


def _by_run(runs: Sequence[Histories], figure: Callable[[EpochFigures], float]) -> Iterator[Trace]:
    for r, run in enumerate(runs):
        band = run.band(figure)
        if np.isnan(band.mean_E).all():
            continue
        if not np.isnan(band.half_E).all():
            yield _interval(run.runs_E, band, r)
        yield {**_line(run.runs_E, band.mean_E, r, run.name, form=".4~g"), "meta": r}


def _line(x: Floats, y: Floats, i: int, name: str, form: str = ".1%") -> dict[str, Any]:
    style = nth_style(i)
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": plot_text(name),
        "x": numbers(x),
        "y": numbers(y),
        "line": {"color": style.colour, "dash": style.dash, "width": 2},
        "marker": {"color": style.colour, "symbol": style.symbol, "size": 5},
        "hovertemplate": f"%{{fullData.name}}<br>%{{x:,}} runs: %{{y:{form}}}<extra></extra>",
    }


def _interval(x: Floats, band: Band, r: int) -> Trace:
    known = ~np.isnan(band.half_E)
    low, high = (band.mean_E - band.half_E)[known], (band.mean_E + band.half_E)[known]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": numbers(np.r_[x[known], x[known][::-1]]),
        "y": numbers(np.r_[high, low[::-1]]),
        "fill": "toself",
        "fillcolor": f"{nth_style(r).colour}30",
        "line": {"width": 0},
        "hoverinfo": "skip",
        "legendgroup": INTERVAL,
        "meta": r,
    }
