"""An evaluation as one page that opens from disk: plots, tables, and how to read them.

The page needs no network: script, style and data are inside, and its content security policy forbids the rest.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from string import Template
from typing import Any

from inframind.arena.extras import load_extra
from inframind.arena.report.plot import Plot
from inframind.arena.report.plots import all_plots
from inframind.arena.report.sections import asset, json_for_script, section
from inframind.arena.report.style import style_entries
from inframind.arena.report.tables import (
    constants_note,
    counted,
    facts_list,
    groups_table,
    percent,
    points,
    summary_table,
)
from inframind.arena.results.figures import Judgement
from inframind.arena.results.judgement import ORACLE, judge
from inframind.arena.results.statistics import SEEDS_NEEDED
from inframind.arena.results.tables import Evaluation

TITLE = "Routing policies, side by side"


def write_report(evaluation: Evaluation, path: Path, *, judgement: Judgement | None = None) -> None:
    """Write the page.

    Args:
        evaluation: the runs.
        path: of the page, such as ``report.html``; its folder is made when it is not there.
        judgement: the figures, where they are at hand; they take seconds to work out.

    Raises:
        ConfigError: plotly is not installed.
    """
    page = render_report(evaluation, judgement=judgement)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")


def render_report(evaluation: Evaluation, *, judgement: Judgement | None = None) -> str:
    """The page as text; see `write_report`."""
    plotly = load_extra("plotly.offline").get_plotlyjs()
    judgement = judgement or judge(evaluation)
    plots = all_plots(evaluation, judgement)
    return Template(asset("page.html")).substitute(
        title=escape(TITLE),
        css=asset("page.css"),
        lead=escape(_lead(judgement)),
        summary=_summary(evaluation, judgement),
        reading=_reading(judgement),
        plots="\n".join(map(section, plots)),
        more=_groups(evaluation, judgement),
        facts=facts_list(evaluation.facts),
        data=json_for_script(_page_data(plots, judgement)),
        plotly=plotly,
        script=asset("page.js"),
    )


def _page_data(plots: tuple[Plot, ...], judgement: Judgement) -> dict[str, Any]:
    return {
        "contenders": style_entries(judgement),
        "plots": [
            {"name": one.name, "views": one.views, "layout": one.layout, "by_contender": one.is_by_contender}
            for one in plots
        ],
    }


def _lead(judgement: Judgement) -> str:
    """The result in two sentences."""
    columns, overall = judgement.columns, judgement.overall
    best = next((c for c in judgement.order if columns.families[c] != ORACLE), judgement.order[0])
    offered = (
        f"{counted(len(columns.contenders), 'contender')} met the same {counted(overall.offered, 'question')}: "
        f"{counted(len(columns.seeds), 'seed')} at {counted(len(columns.rates_per_min), 'arrival rate')}."
    )
    success = percent(float(overall.on_time_success.value_C[best]))
    return f"{offered} Highest on-time success: {columns.contenders[best]}, {success}{_against(judgement, best)}."


def _against(judgement: Judgement, c: int) -> str:
    if c == judgement.baseline:
        return ""
    difference = judgement.overall.difference
    value, low, high = (
        points(float(one[c])) for one in (difference.value_C, difference.low_C, difference.high_C)
    )
    baseline = judgement.columns.contenders[judgement.baseline]
    return f", {value} percentage points over {baseline} (95 % interval {low} to {high})"


def _summary(evaluation: Evaluation, judgement: Judgement) -> str:
    baseline = judgement.columns.contenders[judgement.baseline]
    notes = [
        "Over all rates and budgets. Small print: 95 % intervals. "
        f"Difference: on-time success minus that of {baseline}, in percentage points, on the same questions.",
        constants_note(judgement),
    ]
    if len(judgement.columns.seeds) < SEEDS_NEEDED:
        notes.append(f"Intervals of single figures need {SEEDS_NEEDED} seeds, and there are fewer.")
    text = escape(" ".join(filter(None, notes)))
    return f'<p class="quiet">{text}</p>\n{summary_table(evaluation.bounds, judgement)}'


def _groups(evaluation: Evaluation, judgement: Judgement) -> str:
    heading = "On-time success by arrival rate and by budget"
    table = groups_table(evaluation.bounds, judgement)
    return (
        f'<section aria-labelledby="groups-title">\n<h2 id="groups-title">{heading}</h2>\n{table}\n</section>'
    )


def _reading(judgement: Judgement) -> str:
    """Two paragraphs: what the figures are, and how sure they are."""
    held = judgement.stable_seeds_CC[judgement.ranking.is_better_CC]
    seeds = len(judgement.columns.seeds)
    everywhere = int((held == seeds).sum())
    figures = (
        "<strong>On-time success</strong> is the headline: the share of all offered questions that were solved "
        "within their own budget; a question that failed counts as not solved. <strong>Accuracy</strong> forgets "
        "the budget, <strong>SLO attainment</strong> forgets whether the answer was right. Latency runs from the "
        "planned arrival to the answer. <strong>Idle slots</strong> is the share of free slots at the instants "
        "when some endpoint had a queue: capacity that better routing could use. <strong>Hypervolume</strong> is "
        "the area under the points (mean latency, accuracy) of the budget tiers, with latency on a log scale from "
        "0.1 to 1000 s and accuracy from 0 to 1; 1 would be always right in 0.1 s."
    )
    certainty = (
        "All contenders met the same questions, arrivals and budgets. Intervals of single figures take the seeds "
        "as replicates (Student's t). Differences are compared question by question (paired bootstrap), which is "
        "sharper but does not see that questions of one run share its queues; contenders <strong>tie</strong> when "
        "that interval or, from three seeds on, Student's over the seeds' differences contains 0, and a rank is 1 "
        "plus the number of attainable contenders that are better. Overall, "
        f"{len(held)} pairs are ordered like that, {everywhere} of them the same way on every seed "
        f"({seeds} in all). Oracles and bounds know what no router can know; they show how much room is left."
    )
    return f"<p>{figures}</p>\n<p>{certainty}</p>"
