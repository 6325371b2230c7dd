from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest
from rich.console import Console

from inframind.arena.report.page import render_report, write_report
from inframind.arena.report.plots import all_plots
from inframind.arena.report.style import drawn, styles
from inframind.arena.report.text import print_summary
from inframind.arena.results.figures import Judgement
from inframind.arena.results.judgement import judge
from inframind.arena.results.tables import Bound, Evaluation, LoadSample
from inframind.errors import ConfigError

Synthetic = Callable[..., Evaluation]
HOSTILE = "</script><img src=x onerror=alert(1)> & \"quoted\" 'name' <b>bold</b>"
RESOURCES = {"src", "srcset", "href", "data", "action", "poster", "formaction"}


class Page(HTMLParser):
    """What a browser would make of the page: elements, texts and scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self._is_raw = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._is_raw = tag in {"script", "style"}

    def handle_endtag(self, tag: str) -> None:
        self._is_raw = False

    def handle_data(self, data: str) -> None:
        (self.scripts if self._is_raw else self.texts).append(data)

    @property
    def data(self) -> dict[str, Any]:
        return next(json.loads(script) for script in self.scripts if script.startswith('{"contenders"'))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def evaluation(synthetic: Synthetic) -> Evaluation:
    return synthetic(questions=20)


def renamed(evaluation: Evaluation, name: str) -> Evaluation:
    """Everything that comes from outside is called ``name``."""
    runs = tuple(
        replace(
            run,
            contender=f"{run.contender} {name}",
            family=run.family if run.family in {"constant", "oracle"} else name,
            episodes=tuple(
                replace(
                    one,
                    topology=one.topology + name,
                    error=name if one.error else "",
                    calls=tuple(replace(call, model=name, strategy=name) for call in one.calls),
                )
                for one in run.episodes
            ),
            timeline=tuple(replace(sample, endpoint=sample.endpoint + name) for sample in run.timeline),
        )
        for run in evaluation.runs
    )
    return Evaluation(
        runs=runs, facts={name: name}, bounds=(Bound(name=name, rate_per_min=10, on_time_success=1),)
    )


def test_every_contender_bound_and_fact_is_on_the_page(evaluation: Evaluation) -> None:
    text = " ".join(Page(render_report(evaluation)).texts)

    for name in {run.contender for run in evaluation.runs} | {bound.name for bound in evaluation.bounds}:
        assert name in text
    for name, value in evaluation.facts.items():
        assert name in text and str(value) in text


def test_the_page_needs_nothing_from_outside(evaluation: Evaluation) -> None:
    page = Page(render_report(evaluation))

    references = [
        value for _, attributes in page.elements for name, value in attributes.items() if name in RESOURCES
    ]
    assert references == ["#plots"]
    assert not page.all("link") and not page.all("iframe")
    assert "@import" not in "".join(page.scripts[:1])
    policy = next(one["content"] for one in page.all("meta") if "http-equiv" in one)
    assert policy is not None and policy.startswith("default-src 'none'")


def test_hostile_names_stay_text(evaluation: Evaluation) -> None:
    plain, hostile = Page(render_report(evaluation)), Page(render_report(renamed(evaluation, HOSTILE)))

    assert len(hostile.all("script")) == len(plain.all("script")) == 3
    assert not hostile.all("img") and not hostile.all("b")
    assert all("onerror" not in attributes for _, attributes in hostile.elements)
    assert f"ours {HOSTILE}" in [one["name"] for one in hostile.data["contenders"]]


def test_plotly_gets_no_markup_from_names(evaluation: Evaluation) -> None:
    named = renamed(evaluation, "<b>bold</b>")

    for figure in _figures(all_plots(named, judge(named))):
        for trace in figure["data"]:
            assert "<b>" not in trace.get("name", "") + "".join(map(str, trace.get("text", ())))


def _figures(plots: Any) -> Iterator[dict[str, Any]]:
    for plot in plots:
        for view in plot.views.values():
            yield {"data": view["traces"], "layout": {**plot.layout, **view.get("layout", {})}}


def test_all_views_are_valid_plotly_figures(evaluation: Evaluation) -> None:
    for figure in _figures(all_plots(evaluation, judge(evaluation))):
        go.Figure(figure)


def test_every_combination_of_choices_has_a_view(evaluation: Evaluation) -> None:
    for plot in all_plots(evaluation, judge(evaluation)):
        combinations = 1
        for choice in plot.choices:
            combinations *= len(choice.options)
        assert len(plot.views) == combinations


def _plot(evaluation: Evaluation, name: str, judgement: Judgement | None = None) -> Any:
    plots = all_plots(evaluation, judgement or judge(evaluation))
    return next(plot for plot in plots if plot.name == name)


def test_the_headline_plot_has_a_line_and_a_band_per_contender_and_the_bound(evaluation: Evaluation) -> None:
    judgement = judge(evaluation)
    traces = _plot(evaluation, "success", judgement).views[""]["traces"]

    lines = {one["name"]: one for one in traces if one.get("mode") == "lines+markers"}
    names = [judgement.columns.contenders[c] for c in drawn(judgement)]
    assert list(lines) == names
    assert lines["ours"]["x"] == [10, 100, 300]
    expected = [group.on_time_success.value_C[0] for group in judgement.by_rate]
    assert lines["ours"]["y"] == pytest.approx(expected, rel=1e-3)
    assert sum(one.get("fill") == "toself" for one in traces) == len(names)
    assert traces[-1]["name"] == "best of all" and traces[-1]["y"] == [0.97] * 3


def test_a_contender_looks_the_same_in_all_plots(evaluation: Evaluation) -> None:
    looks: dict[int, set[str]] = {}
    for figure in _figures(all_plots(evaluation, judge(evaluation))):
        for trace in figure["data"]:
            if "meta" in trace and trace.get("fill") != "toself":
                looks.setdefault(trace["meta"], set()).add(trace.get("marker", trace.get("line"))["color"])

    assert all(len(colours) == 1 for colours in looks.values())


def test_no_two_of_two_dozen_contenders_look_the_same(synthetic: Synthetic) -> None:
    contenders = [(f"c{i}", "learned", 0.5, 100.0) for i in range(24)]
    looks = styles(judge(synthetic(contenders=contenders, seeds=1, rates=(10,), questions=4)))

    assert len({(style.colour, style.dash) for style in looks.values()}) == 25


def test_only_the_best_constant_has_a_line_of_its_own(evaluation: Evaluation) -> None:
    judgement = judge(evaluation)

    families = [judgement.columns.families[c] for c in drawn(judgement)]
    assert families.count("constant") == 1
    assert judgement.hindsight_constant in drawn(judgement)
    assert "always-large" in Page(render_report(evaluation, judgement=judgement)).texts


def test_constants_are_drawn_where_nothing_else_ran(synthetic: Synthetic) -> None:
    contenders = [(f"c{i}", "constant", 0.5, 100.0) for i in range(3)]

    assert drawn(judge(synthetic(contenders=contenders, seeds=1))) == [0, 1, 2]


def test_shares_stack_up_to_one_at_every_rate(evaluation: Evaluation) -> None:
    for view in _plot(evaluation, "shares").views.values():
        totals = [sum(heights) for heights in zip(*(one["y"] for one in view["traces"]), strict=True)]
        assert totals == pytest.approx([1.0] * 3, abs=1e-3)


def test_the_front_leaves_out_oracles_and_never_falls(evaluation: Evaluation) -> None:
    judgement = judge(evaluation)
    oracle = judgement.columns.families.index("oracle")

    for view in _plot(evaluation, "front", judgement).views.values():
        front, points = view["traces"][0], view["traces"][1:]
        assert front["y"] == sorted(front["y"]) and front["x"] == sorted(front["x"])
        reached = next(one for one in points if one["meta"] == oracle)
        assert (reached["x"][0], reached["y"][0]) not in zip(front["x"], front["y"], strict=True)


def test_a_distribution_ends_at_the_share_that_was_answered(evaluation: Evaluation) -> None:
    view = _plot(evaluation, "ecdf").views["0"]["traces"][0]
    episodes = [one for run in evaluation.runs[::3] if run.contender == "ours" for one in run.episodes]

    answered = [one.latency_s for one in episodes if one.is_answered]
    assert view["y"][-1] == pytest.approx(len(answered) / len(episodes), abs=1e-3)
    assert view["x"][-1] == pytest.approx(max(answered), rel=1e-3)
    assert view["y"] == sorted(view["y"])


def test_long_timelines_are_averaged_over_spans(evaluation: Evaluation) -> None:
    timeline = tuple(
        LoadSample(t_s=t_s, endpoint="x", running=2, waiting=int(t_s >= 5000), slots=8)
        for t_s in range(10_001)
    )
    made = replace(evaluation, runs=tuple(replace(run, timeline=timeline) for run in evaluation.runs))

    waiting, free = _plot(made, "load").views["0/0"]["traces"]

    assert len(waiting["x"]) == 120
    assert set(waiting["y"][:59]) == {0.0} and set(waiting["y"][61:]) == {1.0}
    assert set(free["y"]) == {6.0}


def test_a_run_without_samples_says_so_in_place_of_an_empty_plot(evaluation: Evaluation) -> None:
    made = replace(evaluation, runs=tuple(replace(run, timeline=()) for run in evaluation.runs))

    view = _plot(made, "load").views["0/0"]
    assert view["traces"] == [] and "no samples" in view["empty"]


def test_oracles_bounds_and_the_best_constant_are_marked(evaluation: Evaluation) -> None:
    texts = Page(render_report(evaluation)).texts

    assert texts.count("best constant in hindsight") == 2
    assert texts.count("not attainable") == 4


def test_the_lead_names_the_best_that_can_be_had(evaluation: Evaluation) -> None:
    lead = next(text for text in Page(render_report(evaluation)).texts if "contenders met the same" in text)

    assert "7 contenders met the same 180 questions: 3 seeds at 3 arrival rates" in lead
    assert "Highest on-time success: ours" in lead and "points over always-small (95 % interval" in lead


def test_every_sortable_cell_has_a_value_to_sort_by(evaluation: Evaluation) -> None:
    page = Page(render_report(evaluation))

    assert all("data-value" in one for one in page.all("td"))
    assert all("data-value" in one for one in page.all("th") if one.get("scope") == "row")
    assert len(page.all("table")) == 2


def test_one_run_alone_makes_a_report(synthetic: Synthetic) -> None:
    made = synthetic(contenders=[("only", "learned", 0.5, 100.0)], seeds=1, rates=(10,), questions=1)
    page = Page(render_report(replace(made, bounds=(), facts={})))

    assert any("need 3 seeds" in text for text in page.texts)


def test_the_page_is_written_where_it_is_wanted(evaluation: Evaluation, tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.html"
    write_report(evaluation, path)

    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert path.stat().st_size < 6_000_000


def test_without_plotly_the_error_says_what_to_install(
    evaluation: Evaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "plotly.offline", None)

    with pytest.raises(ConfigError, match=r"plotly.*pip install 'inframind\[arena\]'"):
        render_report(evaluation)


def _printed(evaluation: Evaluation, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    print_summary(console, evaluation)
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue().splitlines()


def test_the_terminal_summary_fits_80_columns_with_whole_figures(evaluation: Evaluation) -> None:
    lines = _printed(renamed(evaluation, "with a name that is much too long for any table"), width=200)

    assert max(map(len, lines)) <= 80
    figures = [line for line in lines if line.count("%") >= 3]
    assert len(figures) == 6
    assert all("…" not in line[31:] for line in figures)


def test_the_terminal_summary_is_best_first_and_marks_the_best_constant_and_oracles(
    evaluation: Evaluation,
) -> None:
    lines = _printed(evaluation)

    assert lines[1].split()[:2] == ["°", "oracle"] and lines[2].split()[:2] == ["1", "ours"]
    assert any("† always-small" in line for line in lines)
    assert not any("always-large" in line for line in lines)
    assert lines[-1] == "constants that only the report shows: 1"


def test_one_of_a_kind_is_said_in_the_singular(synthetic: Synthetic) -> None:
    made = synthetic(contenders=[("only", "learned", 0.5, 100.0)], seeds=1, rates=(10,), questions=1)

    assert any(line.startswith("1 question each, 1 seed, 1 arrival rate;") for line in _printed(made))
    lead = "1 contender met the same 1 question: 1 seed at 1 arrival rate."
    assert any(lead in text for text in Page(render_report(replace(made, bounds=(), facts={}))).texts)


def test_markup_in_a_name_is_printed_as_it_is(synthetic: Synthetic) -> None:
    made = synthetic(contenders=[("[bold]x[/]", "learned", 0.5, 100.0)], seeds=1)

    assert any("[bold]x[/]" in line for line in _printed(made))
