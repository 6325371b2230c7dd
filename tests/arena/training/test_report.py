"""Training reports: what was measured is what the page holds."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest

from inframind.arena.training.figures import EpochFigures
from inframind.arena.training.plots import tier_names
from inframind.arena.training.report import render_training_report, write_training_report
from inframind.errors import ConfigError

HOSTILE = "</script><b>bold</b>"


def epoch(number: int, success: float, **changed: Any) -> EpochFigures:
    return replace(
        EpochFigures(
            epoch=number,
            runs=100 * (number + 1),
            on_time_success=success,
            accuracy=success + 0.1,
            slo_attainment=0.9,
            latency_mean_s=5.0,
            calls=2.0,
            models={"small": 0.25, "large": 0.75} if number else {"small": 1.0},
            strategies={"Plain": 1.0},
            topologies={"IO": 0.5, "Debate": 0.5},
            multipliers=(0.9, 0.8, 0.7, 0.6),
            curves={"plan_entropy": 1.0 - 0.1 * number},
            smoothed=success,
        ),
        **changed,
    )


ONE = [epoch(0, 0.5), epoch(1, 0.6)]


def data_of(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="report-data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


def traces(page: str, plot: str, view: str) -> list[dict[str, Any]]:
    (one,) = (each for each in data_of(page)["plots"] if each["name"] == plot)
    found: list[dict[str, Any]] = one["views"][view]["traces"]
    return found


def test_a_single_training_shows_its_three_shares_against_runs() -> None:
    page = render_training_report({"learned": [ONE]})
    shown = {trace["name"]: (trace["x"], trace["y"]) for trace in traces(page, "success", "")}
    assert shown == {
        "on-time success": ([100.0, 200.0], [0.5, 0.6]),
        "accuracy": ([100.0, 200.0], [0.6, 0.7]),
        "SLO attainment": ([100.0, 200.0], [0.9, 0.9]),
    }


def test_mixes_are_stacked_and_a_name_that_is_not_there_yet_is_zero() -> None:
    models = traces(render_training_report({"learned": [ONE]}), "mix", "0/0")
    assert {trace["name"]: trace["y"] for trace in models} == {"large": [0.0, 0.75], "small": [1.0, 0.25]}
    assert {trace["stackgroup"] for trace in models} == {"all"}


def test_an_only_epoch_is_a_bar() -> None:
    assert {one["type"] for one in traces(render_training_report({"x": [ONE[:1]]}), "mix", "0/1")} == {"bar"}


def test_runs_are_overlaid_as_means_over_the_seeds_with_a_band() -> None:
    longer = [epoch(0, 0.8), epoch(1, 0.9), epoch(2, 1.0)]
    page = render_training_report({"additive": [ONE, ONE, longer], "on_time": [ONE]})
    band, additive, on_time = traces(page, "figures", "0")
    assert (additive["name"], additive["meta"], additive["y"]) == ("additive", 0, [0.6, 0.7, 1.0])
    assert (on_time["name"], on_time["meta"], on_time["y"]) == ("on_time", 1, [0.5, 0.6])
    half = 4.3027 * 0.1  # Student's t with two degrees of freedom, standard error of 0.5, 0.5 and 0.8
    assert (band["y"][0], band["y"][-1]) == pytest.approx((0.6 + half, 0.6 - half), rel=1e-3)
    assert len(band["x"]) == 4  # the third epoch has one seed, and no band
    assert [one["name"] for one in data_of(page)["contenders"]] == ["additive", "on_time"]


def test_multipliers_are_named_by_their_tier() -> None:
    lines = traces(render_training_report({"learned": [ONE]}), "multipliers", "0")
    assert {line["name"]: line["y"] for line in lines} == {
        "below 10 s": [0.9, 0.9],
        "10 to 30 s": [0.8, 0.8],
        "30 to 100 s": [0.7, 0.7],
        "100 s and more": [0.6, 0.6],
    }
    assert tier_names(1) == ("all budgets",)
    assert tier_names(2) == ("tier 1", "tier 2")


def test_losses_and_entropies_are_drawn() -> None:
    (line,) = traces(render_training_report({"learned": [ONE]}), "curves", "0")
    assert line["y"] == [1.0, 0.9]


def test_the_table_says_what_is_kept_and_how_far_it_fell() -> None:
    history = [epoch(0, 0.5), epoch(1, 0.9, smoothed=0.7), epoch(2, 0.7, smoothed=0.6)]
    page = render_training_report({"collapse": [history]})
    row = re.search(r"<tbody><tr>(.*?)</tr>", page)
    assert row is not None
    assert re.findall(r"<t[hd][^>]*>(.*?)</t", row[1]) == [
        *(
            "collapse",
            "1",
            "3",
            "200",
            "90.0 %",
            "100.0 %",
            "90.0 %",
            "5.0 s",
            "2.00",
            "70.0 %",
            "60.0 %",
            "-10.0",
        )
    ]


def test_every_view_is_a_figure_that_plotly_accepts() -> None:
    page = render_training_report({"a": [ONE, ONE], "b": [ONE]})
    for plot in data_of(page)["plots"]:
        for view in plot["views"].values():
            go.Figure({"data": view["traces"], "layout": {**plot["layout"], **view.get("layout", {})}})


def test_names_cannot_break_out_of_the_page() -> None:
    page = render_training_report({HOSTILE: [ONE]}, facts={"command": HOSTILE})
    assert HOSTILE not in page
    assert "default-src 'none'" in page


def test_the_page_is_written_where_it_is_wanted(tmp_path: Path) -> None:
    write_training_report({"learned": [ONE]}, tmp_path / "new" / "report.html", facts={"fleet": "h100"})
    page = (tmp_path / "new" / "report.html").read_text()
    assert "<dt>fleet</dt><dd>h100</dd>" in page


@pytest.mark.parametrize("seeds", [[], [[]]])
def test_trainings_without_epochs_are_refused(seeds: list[list[EpochFigures]]) -> None:
    with pytest.raises(ConfigError, match="at least one epoch"):
        render_training_report({"empty": seeds})


def test_a_missing_plotly_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(ConfigError, match="inframind"):
        render_training_report({"learned": [ONE]})
