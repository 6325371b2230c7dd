"""The plot of queues and idle slots over time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from inframind.arena.report.plot import Choice, Plot, Trace
from inframind.arena.report.style import drawn, nth_style, numbers, plot_text
from inframind.arena.results.columns import Floats, load_arrays
from inframind.arena.results.figures import Judgement
from inframind.arena.results.tables import Evaluation, LoadSample, Run

NUMBERS_IN_ALL = 60_000
"""Numbers that this plot may put into the page: about 350 kB."""
MOST_INSTANTS, FEWEST_INSTANTS = 120, 12


def load_plot(evaluation: Evaluation, judgement: Judgement) -> Plot:
    """Queue and free slots of each endpoint, for the first seed of each contender that is drawn."""
    columns, alone = judgement.columns, drawn(judgement)
    rates = columns.rates_per_min
    runs = {(run.contender, run.rate_per_min): run for run in evaluation.runs if run.seed == columns.seeds[0]}
    shown = {
        f"{i}/{r}": runs[columns.contenders[c], rate]
        for (i, c), (r, rate) in product(enumerate(alone), enumerate(rates))
    }
    endpoints = list(dict.fromkeys(sample.endpoint for run in shown.values() for sample in run.timeline))
    instants = _instants(len(shown) * max(1, len(endpoints)))
    return Plot(
        name="load",
        title="Queues and idle slots over time",
        text=f"Above, requests that wait at each endpoint; below, its free slots. Both at once means that the "
        f"questions went to the wrong place. Seed {columns.seeds[0]}; long runs are averaged over short spans.",
        choices=(
            Choice(name="contender", options=tuple(columns.contenders[c] for c in alone)),
            Choice(name="arrivals per minute", options=tuple(f"{r:g}" for r in rates), start=len(rates) - 1),
        ),
        views={
            key: {
                "traces": list(_load_traces(run, endpoints, instants)),
                "empty": "This run has no samples of its load.",
            }
            for key, run in shown.items()
        },
        layout={
            "xaxis": {"title": {"text": "time (s)"}, "anchor": "y2"},
            "yaxis": {"title": {"text": "waiting"}, "domain": [0.56, 1], "rangemode": "tozero"},
            "yaxis2": {"title": {"text": "free slots"}, "domain": [0, 0.44], "rangemode": "tozero"},
        },
        is_by_contender=False,
    )


def _instants(lines: int) -> int:
    return max(FEWEST_INSTANTS, min(MOST_INSTANTS, NUMBERS_IN_ALL // (4 * lines)))


def _load_traces(run: Run, endpoints: Sequence[str], instants: int) -> Iterator[Trace]:
    by_endpoint = _by_endpoint(run.timeline)
    end_s = max((sample.t_s for sample in run.timeline), default=0.0)
    for i, endpoint in enumerate(endpoints):
        if endpoint not in by_endpoint:
            continue
        t_s, running, waiting, slots = load_arrays(by_endpoint[endpoint])
        for axis, values in (("y", waiting), ("y2", np.maximum(slots - running, 0))):
            x, y = _averaged(t_s, values.astype(np.float64), end_s, instants)
            yield _load_line(endpoint, i, axis) | {"x": numbers(x), "y": numbers(y)}


def _by_endpoint(timeline: Sequence[LoadSample]) -> Mapping[str, list[LoadSample]]:
    by_endpoint: dict[str, list[LoadSample]] = {}
    for sample in timeline:
        by_endpoint.setdefault(sample.endpoint, []).append(sample)
    return by_endpoint


def _load_line(endpoint: str, i: int, axis: str) -> dict[str, Any]:
    style = nth_style(i)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": plot_text(endpoint),
        "yaxis": axis,
        "line": {"color": style.colour, "dash": style.dash, "width": 1.5},
        "hovertemplate": "%{fullData.name}<br>%{x:.4~g} s: %{y:.3~g}<extra></extra>",
    }


def _averaged(t_s: Floats, values: Floats, end_s: float, instants: int) -> tuple[Floats, Floats]:
    """Means over spans of equal length, where there are more samples than instants."""
    if len(t_s) <= instants:
        return t_s, values
    span = np.minimum((t_s / end_s * instants).astype(int), instants - 1)
    count = np.bincount(span, minlength=instants)
    has_samples = count > 0
    mean = np.bincount(span, values, minlength=instants)[has_samples] / count[has_samples]
    return (np.flatnonzero(has_samples) + 0.5) * end_s / instants, mean
