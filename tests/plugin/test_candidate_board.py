"""Who leads while candidates are tried."""

from __future__ import annotations

import io

from rich.console import Console

from inframind.arena.candidates.candidate import AS_IT_IS
from inframind.arena.candidates.results import Job, JobResult, PlayedFigures
from inframind.arena.candidates.verdict import Standings, Verdict
from inframind.plugin.commands.candidate_board import Leaders, print_standings
from inframind.traces.advice import Prediction


def played(candidate: str, seed: int, success: float) -> JobResult:
    figures = PlayedFigures(
        offered=10, success=success, solved=1.0, on_time=1.0, failed=0.0,
        latency_s=1.0, latency_p95_s=2.0, cost=None, completion_tokens=10.0,
    )  # fmt: skip
    return JobResult(job=Job(candidate=candidate, seed=seed, rate_per_min=60.0), figures=figures)


def predicted(candidate: str, change: float, objection: str = "") -> JobResult:
    one = Prediction(
        metric="success", before=0.5, change=change, low=-1.0, high=1.0,
        runs=100, affected=50, effective_size=40.0, method="exact", objection=objection,
    )  # fmt: skip
    return JobResult(job=Job(candidate=candidate), predictions=(one,))


def line(*results: JobResult) -> str:
    leaders = Leaders()
    for result in results:
        leaders.take(result)
    return leaders.line()


def test_nobody_leads_before_anything_is_known() -> None:
    assert line() == "trying candidates"
    assert line(played("a", 0, 0.9)) == "trying candidates"
    assert line(predicted("a", 0.3, "not enough evidence")) == "trying candidates"


def test_leading_is_by_the_workloads_that_both_have_met() -> None:
    easy, hard = (played(AS_IT_IS, 0, 0.8), played(AS_IT_IS, 1, 0.2))
    lucky, good = played("lucky", 0, 0.82), played("good", 1, 0.3)
    assert line(lucky, good, easy, hard) == "leading: good (+10.0 success)"


def test_recorded_runs_lead_by_their_predictions() -> None:
    assert line(predicted("a", 0.01), predicted("b", -0.2)) == "leading: a (+1.0 success)"


def printed(*verdicts: Verdict, width: int) -> str:
    page = io.StringIO()
    standings = Standings(verdicts=verdicts, baseline={"success": 0.5}, baseline_on_front=True)
    print_standings(standings, "traces", Console(file=page, width=width, color_system=None))
    return page.getvalue()


def of_the_grid(name: str, concerned: int) -> Verdict:
    return Verdict(name=name, source="grid", rules=(), standing="unknown", concerned=concerned)


def test_candidates_whose_names_end_differently_can_be_told_apart() -> None:
    names = [f"without mistral-small-24b for {domain}" for domain in ("math", "code", "knowledge")]
    page = printed(*(of_the_grid(name, 9) for name in names), width=80)
    assert "…" not in page
    for domain in ("math", "code", "knowledge"):
        assert domain in page.split("better, worse")[0]
    assert max(map(len, printed(of_the_grid(names[0], 9), width=60).splitlines())) <= 60


def test_what_concerns_no_run_is_counted_and_shown_only_where_it_was_asked_for() -> None:
    mine = Verdict(name="my own", source="new.toml", rules=(), standing="unknown", concerned=0)
    page = printed(
        mine, of_the_grid("without a", 7), of_the_grid("without b", 0), of_the_grid("without c", 0), width=100
    )
    assert "my own" in page and "without a" in page
    assert "without b" not in page and "without c" not in page
    assert "2 of the grid concern no run and are left out here" in page
    assert "left out" not in printed(of_the_grid("without a", 7), width=100)
