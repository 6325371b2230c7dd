"""How one or more trainings went, as one page that opens from disk and needs no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path
from statistics import fmean
from string import Template
from typing import Any

from inframind.arena.extras import load_extra
from inframind.arena.report.plot import Plot
from inframind.arena.report.sections import asset, json_for_script, section
from inframind.arena.report.style import nth_style
from inframind.arena.report.tables import counted, facts_list, percent, points, seconds
from inframind.arena.results.tables import Fact
from inframind.arena.training.histories import Histories, History
from inframind.arena.training.plots import training_plots
from inframind.rewards.multiplier import DEFAULT_EDGES_S

TITLE = "How routing was learned"


def write_training_report(
    runs: Mapping[str, Sequence[History]],
    path: Path,
    *,
    facts: Mapping[str, Fact] | None = None,
    edges_s: Sequence[float] = DEFAULT_EDGES_S,
) -> None:
    """Write the page.

    Args:
        runs: histories by name, one per seed: ``{"on_time": [trainer.history]}``, or several names to compare.
        path: of the page; its folder is made when it is not there.
        facts: how the trainings were made.
        edges_s: budgets that part the tiers of the multipliers.

    Raises:
        ConfigError: plotly is not installed, or there is no epoch to show.
    """
    page = render_training_report(runs, facts=facts, edges_s=edges_s)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")


def render_training_report(
    runs: Mapping[str, Sequence[History]],
    *,
    facts: Mapping[str, Fact] | None = None,
    edges_s: Sequence[float] = DEFAULT_EDGES_S,
) -> str:
    """The page as text; see `write_training_report`."""
    plotly = load_extra("plotly.offline").get_plotlyjs()
    kinds = [Histories(name=name, seeds=tuple(seeds)) for name, seeds in runs.items()]
    plots = training_plots(kinds, edges_s)
    return Template(asset("page.html")).substitute(
        title=escape(TITLE),
        css=asset("page.css"),
        lead=escape(_lead(kinds)),
        summary=_table(kinds),
        reading=f"<p>{_READING}</p>",
        plots="\n".join(map(section, plots)),
        more="",
        facts=facts_list(facts or {}),
        data=json_for_script(_page_data(plots, kinds)),
        plotly=plotly,
        script=asset("page.js"),
    )


_READING = (
    "<strong>On-time success</strong> is the share of all offered questions that were solved within their own "
    "budget; <strong>accuracy</strong> forgets the budget, <strong>SLO attainment</strong> forgets whether the "
    "answer was right. All are of the runs that the policy learned from, in which it explores: they say how "
    "learning goes, and an evaluation on other questions says how good the result is. The <strong>kept</strong> "
    "epoch is the one whose on-time success, averaged with the epochs before it, is highest; the "
    "<strong>fall</strong> is by how much that average was lower at the end."
)


def _lead(kinds: Sequence[Histories]) -> str:
    best = max(kinds, key=lambda kind: fmean(one.smoothed for one in kind.best))
    kept = percent(fmean(one.smoothed for one in best.best))
    runs = max(one.runs for kind in kinds for one in kind.last)
    epochs = max(len(history) for kind in kinds for history in kind.seeds)
    text = f"{counted(epochs, 'epoch')}, {counted(runs, 'workflow run')}."
    if len(kinds) == 1:
        return f"{text} On-time success while it explored, averaged up to the epoch that is kept: {kept}."
    return f"{counted(len(kinds), 'kind')} of training, {text} Highest averaged on-time success: {best.name}, {kept}."


_HEADERS = (
    "Training", "Seeds", "Epochs", "Kept at run", "On-time success", "Accuracy", "SLO attainment", "Latency, mean",
    "Calls", "Averaged success", "At the end", "Fall, points",
)  # fmt: skip


def _table(kinds: Sequence[Histories]) -> str:
    heads = "".join(
        f'<th scope="col"{" class=name" if not i else ""}>{escape(name)}</th>'
        for i, name in enumerate(_HEADERS)
    )
    rows = "".join(map(_row, kinds))
    note = "Means over the seeds, at the epoch that each training keeps unless it says else."
    return (
        f'<p class="quiet">{note}</p>\n<div class="scroll" tabindex="0"><table><thead><tr>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _row(kind: Histories) -> str:
    best, last = kind.best, kind.last
    cells = (
        str(len(kind.seeds)),
        f"{fmean(len(history) for history in kind.seeds):.3g}",
        f"{fmean(one.runs for one in best):,.0f}",
        percent(fmean(one.on_time_success for one in best)),
        percent(fmean(one.accuracy for one in best)),
        percent(fmean(one.slo_attainment for one in best)),
        seconds(fmean(one.latency_mean_s for one in best)),
        f"{fmean(one.calls for one in best):.2f}",
        percent(fmean(one.smoothed for one in best)),
        percent(fmean(one.smoothed for one in last)),
        points(fmean(end.smoothed - top.smoothed for end, top in zip(last, best, strict=True))),
    )
    data = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
    return f'<tr><th scope="row" class="name">{escape(kind.name)}</th>{data}</tr>'


def _page_data(plots: Sequence[Plot], kinds: Sequence[Histories]) -> dict[str, Any]:
    return {
        "contenders": [{"c": i, "name": kind.name, **asdict(nth_style(i))} for i, kind in enumerate(kinds)],
        "plots": [
            {"name": one.name, "views": one.views, "layout": one.layout, "by_contender": one.is_by_contender}
            for one in plots
        ],
    }
