"""Seasons in changing worlds as one page that opens from disk and needs no network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from inframind.arena.extras import load_extra
from inframind.arena.online.judging import Floats, Interval, Judged, Verdict, moving_average
from inframind.arena.online.worlds import World
from inframind.arena.report.plot import PERCENT, Choice, Plot, Trace
from inframind.arena.report.plots import INTERVAL
from inframind.arena.report.sections import asset, json_for_script, section
from inframind.arena.report.style import nth_style, numbers, plot_text
from inframind.arena.report.tables import facts_list
from inframind.arena.results.statistics import SEEDS_NEEDED, half_width
from inframind.arena.results.tables import Fact

TITLE = "Routing in worlds that change"
_POINTS = 160
"""Most points of a curve."""
_MIX_CHUNK = 64
_AXIS = {"title": {"text": "requests after the change"}, "zeroline": True}
_READING = (
    "<strong>Regret</strong> is how many on-time successes were lost, since the world changed, against the policy that "
    "was retrained on the changed world and met the same requests. <strong>Recovery</strong> is the number of requests "
    "until a moving average of that loss is down to a quarter of the gap; the gap is what the frozen policy loses, or, "
    "where a server goes, what that server used to solve. A band is the 95 % interval of the mean over the seeds."
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JudgedWorld:
    """Everything that is shown of one world.

    Attributes:
        world: which.
        judged: what it came to.
        success: on-time success of every request, by contender (S, B + N).
        models: who answered every request, by contender and seed.
    """

    world: World
    judged: Judged
    success: Mapping[str, Floats]
    models: Mapping[str, Sequence[Sequence[str]]]


def write_online_report(worlds: Sequence[JudgedWorld], path: Path, *, facts: Mapping[str, Fact]) -> None:
    """Write the page.

    Args:
        worlds: what is shown, in this order.
        path: of the page; its folder is made when it is not there.
        facts: how it was made.

    Raises:
        ConfigError: plotly is not installed.
    """
    page = render_online_report(worlds, facts=facts)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")


def render_online_report(worlds: Sequence[JudgedWorld], *, facts: Mapping[str, Fact]) -> str:
    """The page as text; see `write_online_report`."""
    plotly = load_extra("plotly.offline").get_plotlyjs()
    names = list(dict.fromkeys(name for one in worlds for name in one.success))
    plots = (_regret_plot(worlds, names), _success_plot(worlds, names), _mix_plot(worlds, names))
    return Template(asset("page.html")).substitute(
        title=escape(TITLE),
        css=asset("page.css"),
        lead=escape("; ".join(f"{one.world.name}: {one.world.title}" for one in worlds)),
        summary="\n".join(map(_table, worlds)),
        reading=f"<p>{_READING}</p>",
        plots="\n".join(map(section, plots)),
        more="",
        facts=facts_list(facts),
        data=json_for_script(_page_data(plots, names)),
        plotly=plotly,
        script=asset("page.js"),
    )


# Tables ------------------------------------------------------------------------------------------------

_HEADERS = (
    "Contender", "Before, %", "After, %", "Recovery", "By seed", "Regained afterwards, %", "Regret",
    "Loss to frozen, points",
)  # fmt: skip


def _table(one: JudgedWorld) -> str:
    heads = "".join(
        f'<th scope="col"{" class=name" if not i else ""}>{escape(name)}</th>'
        for i, name in enumerate(_HEADERS)
    )
    rows = "".join(map(_row, one.judged.verdicts.values()))
    title = f"{one.world.name}: {one.world.title}. Gap: {100 * one.judged.gap:.1f} points."
    return (
        f'<p class="quiet">{escape(title)}</p>\n<div class="scroll" tabindex="0"><table><thead><tr>{heads}</tr>'
        f"</thead><tbody>{rows}</tbody></table></div>"
    )


def _row(verdict: Verdict) -> str:
    cells = (
        _spread(verdict.before, 100),
        _spread(verdict.after, 100),
        _requests(verdict.recovery),
        " ".join(map(_requests, verdict.recoveries)),
        "" if np.isnan(verdict.regained) else f"{100 * verdict.regained:.0f}",
        _spread(verdict.regret, 1),
        f"{_spread(verdict.loss, 100)}, worst {100 * verdict.worst_loss:.1f}",
    )
    data = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
    return f'<tr><th scope="row" class="name">{escape(verdict.contender)}</th>{data}</tr>'


def _spread(interval: Interval, scale: float) -> str:
    half = "" if np.isnan(interval.half) else f" ± {scale * interval.half:.1f}"
    return f"{scale * interval.mean:.1f}{half}"


def _requests(recovery: int | None) -> str:
    return "never" if recovery is None else f"{recovery:,}"


# Plots -------------------------------------------------------------------------------------------------


def _regret_plot(worlds: Sequence[JudgedWorld], names: Sequence[str]) -> Plot:
    return _curves(
        "regret",
        "Regret",
        "On-time successes lost since the change, against the retrained policy on the same requests.",
        worlds,
        {"title": {"text": "lost on-time successes"}},
        lambda one: _regret_traces(one, names),
    )


def _success_plot(worlds: Sequence[JudgedWorld], names: Sequence[str]) -> Plot:
    return _curves(
        "success",
        "On-time success",
        "Moving average over the window that recovery is judged by, mean over the seeds.",
        worlds,
        {"title": {"text": "on-time success"}, "tickformat": PERCENT},
        lambda one: _success_traces(one, names),
    )


def _curves(
    name: str, title: str, text: str, worlds: Sequence[JudgedWorld], axis: Mapping[str, Any], traces: Any
) -> Plot:
    return Plot(
        name=name,
        title=title,
        text=text,
        choices=(_world_choice(worlds),),
        views={str(w): {"traces": list(traces(one))} for w, one in enumerate(worlds)},
        layout={"xaxis": _AXIS, "yaxis": axis},
        has_intervals=any(len(success) >= SEEDS_NEEDED for one in worlds for success in one.success.values()),
    )


def _world_choice(worlds: Sequence[JudgedWorld]) -> Choice:
    return Choice(name="world", options=tuple(f"{one.world.name}: {one.world.title}" for one in worlds))


def _regret_traces(one: JudgedWorld, names: Sequence[str]) -> Iterator[Trace]:
    for name, shortfall_SN in one.judged.shortfall.items():
        regret_SN = np.cumsum(shortfall_SN, axis=1)
        places = _places(regret_SN.shape[1])
        yield from _banded(places + 1.0, regret_SN[:, places], names.index(name), name, ".0f")


def _success_traces(one: JudgedWorld, names: Sequence[str]) -> Iterator[Trace]:
    window = min(one.world.promise.window, one.world.before)
    for name, success_SN in one.success.items():
        average_SN = np.array([moving_average(success_N, window) for success_N in success_SN])
        places = _places(average_SN.shape[1])
        x = places + float(window - one.world.before)
        yield from _banded(x, average_SN[:, places], names.index(name), name, ".1%")


def _places(n: int) -> np.ndarray:
    return np.unique(np.linspace(0, n - 1, min(n, _POINTS)).round().astype(np.int64))


def _banded(x: Floats, y_SX: Floats, i: int, name: str, form: str) -> Iterator[Trace]:
    style, mean_X, half_X = nth_style(i), y_SX.mean(axis=0), half_width(y_SX.T)
    if not np.isnan(half_X).all():
        yield {
            "type": "scatter",
            "mode": "lines",
            "x": numbers(np.r_[x, x[::-1]]),
            "y": numbers(np.r_[mean_X + half_X, (mean_X - half_X)[::-1]]),
            "fill": "toself",
            "fillcolor": f"{style.colour}30",
            "line": {"width": 0},
            "hoverinfo": "skip",
            "legendgroup": INTERVAL,
            "meta": i,
        }
    yield {
        "type": "scatter",
        "mode": "lines",
        "name": plot_text(name),
        "x": numbers(x),
        "y": numbers(mean_X),
        "line": {"color": style.colour, "dash": style.dash, "width": 2},
        "hovertemplate": f"%{{fullData.name}}<br>%{{x:,}} requests: %{{y:{form}}}<extra></extra>",
        "meta": i,
    }


def _mix_plot(worlds: Sequence[JudgedWorld], names: Sequence[str]) -> Plot:
    views = {
        f"{w}/{n}": {"traces": list(_mix_traces(one, name)), "empty": "It did not play here."}
        for w, one in enumerate(worlds)
        for n, name in enumerate(names)
    }
    return Plot(
        name="mix",
        title="Who answers",
        text="Share of the requests of each chunk that a model answered, over all seeds.",
        choices=(_world_choice(worlds), Choice(name="contender", options=tuple(names))),
        views=views,
        layout={"xaxis": _AXIS, "yaxis": {"tickformat": PERCENT, "range": [0, 1]}},
        is_by_contender=False,
    )


def _mix_traces(one: JudgedWorld, contender: str) -> Iterator[Trace]:
    played = one.models.get(contender, ())
    starts = range(0, one.world.requests - _MIX_CHUNK + 1, _MIX_CHUNK)
    counts = [
        Counter(model for models in played for model in models[start : start + _MIX_CHUNK])
        for start in starts
    ]
    for i, model in enumerate(sorted({model for count in counts for model in count})):
        style = nth_style(i)
        yield {
            "type": "scatter",
            "mode": "lines",
            "stackgroup": "all",
            "name": plot_text(model or "no answer"),
            "x": numbers([start + _MIX_CHUNK - float(one.world.before) for start in starts]),
            "y": numbers([count[model] / max(count.total(), 1) for count in counts]),
            "fillcolor": f"{style.colour}B0",
            "line": {"color": style.colour, "width": 1.5, "dash": style.dash},
            "hovertemplate": "%{fullData.name}<br>%{x:,} requests: %{y:.1%}<extra></extra>",
        }


def _page_data(plots: Sequence[Plot], names: Sequence[str]) -> dict[str, Any]:
    return {
        "contenders": [{"c": i, "name": name, **asdict(nth_style(i))} for i, name in enumerate(names)],
        "plots": [
            {"name": one.name, "views": one.views, "layout": one.layout, "by_contender": one.is_by_contender}
            for one in plots
        ],
    }
