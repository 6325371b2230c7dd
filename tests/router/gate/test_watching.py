"""After the promotion: what shows only under the whole traffic rolls a version back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from inframind.router.gate.config import GateConfig
from inframind.router.gate.evidence import Record
from inframind.router.gate.watching import record_at, record_before, watch
from inframind.traces.shelf import Rollout, RolloutEvent, rollout_after

SERVING = Rollout(number=9, serving="c" * 64, before="a" * 64)
TRIAL = Record(runs=2000, on_time=1900, failed=20, labelled=1800, solved=1400)
CONFIG = GateConfig()


def test_a_version_that_does_as_on_trial_stays() -> None:
    since = Record(runs=1000, on_time=948, failed=11, labelled=900, solved=690)
    verdict = watch(SERVING, TRIAL, since, CONFIG, now_s=5.0)
    assert (verdict.act, verdict.event) == ("wait", None)


@pytest.mark.parametrize(
    ("since", "words"),
    [
        (
            Record(runs=1000, on_time=800, failed=10),
            "late more often than on trial (80.0% in time, 95.0% then)",
        ),
        (Record(runs=1000, on_time=940, failed=60), "fails more often than on trial (6.0%, 1.0% then)"),
    ],
)
def test_a_version_that_breaks_under_the_whole_traffic_makes_room_for_the_one_before(
    since: Record, words: str
) -> None:
    verdict = watch(SERVING, TRIAL, since, CONFIG, now_s=5.0)
    assert words in verdict.reason
    assert verdict.event is not None
    assert rollout_after(SERVING, verdict.event).serving == SERVING.before


def test_a_few_bad_runs_prove_nothing() -> None:
    assert watch(SERVING, TRIAL, Record(runs=20, on_time=15), CONFIG, now_s=5.0).act == "wait"


def test_solving_less_than_on_trial_is_left_to_the_learner() -> None:
    since = Record(runs=1000, on_time=950, failed=10, labelled=900, solved=400)
    assert watch(SERVING, TRIAL, since, CONFIG, now_s=5.0).act == "wait"


def test_while_frozen_it_only_says_so() -> None:
    verdict = watch(replace(SERVING, frozen=True), TRIAL, Record(runs=1000, on_time=700), CONFIG, now_s=5.0)
    assert verdict.event is None
    assert verdict.reason.startswith("frozen; else roll back")


def test_after_the_watch_nothing_is_rolled_back_by_itself() -> None:
    late = Record(runs=CONFIG.watched_runs + 1, on_time=0)
    assert watch(SERVING, TRIAL, late, CONFIG, now_s=5.0).act == "wait"


def test_a_promise_is_held_against_what_the_version_before_kept() -> None:
    config = GateConfig(least_on_time=0.9, most_late=1.0)
    since = Record(runs=2000, on_time=1600)
    kept, broken = Record(runs=1000, on_time=950), Record(runs=1000, on_time=850)
    assert watch(SERVING, TRIAL, since, config, now_s=5.0, before=kept).act == "roll_back"
    assert watch(SERVING, TRIAL, since, config, now_s=5.0, before=broken).act == "wait"
    assert watch(SERVING, TRIAL, since, config, now_s=5.0).act == "roll_back"


def test_the_record_on_trial_is_read_from_the_event() -> None:
    figures = {
        "n_candidate": 2000.0,
        "graded_candidate": 1800.0,
        "on_time": 0.95,
        "failed": 0.01,
        "success": 0.75,
    }
    event = RolloutEvent(at_s=0.0, version="c" * 64, stage="full", by="gate", reason="", figures=figures)
    trial = record_at(event)
    assert (trial.on_time_share, trial.failed_share) == (0.95, 0.01)
    assert trial.success_share == pytest.approx(0.75)


def test_the_record_of_the_version_before_is_read_from_the_same_event() -> None:
    figures = {
        "n": 3000.0,
        "n_candidate": 2000.0,
        "graded": 2700.0,
        "graded_candidate": 1800.0,
        "on_time_before": 0.9,
        "failed_before": 0.02,
        "success_before": 0.6,
    }
    event = RolloutEvent(at_s=0.0, version="c" * 64, stage="full", by="gate", reason="", figures=figures)
    before = record_before(event)
    assert (before.runs, before.labelled, before.on_time, before.failed) == (1000, 900, 900.0, 20.0)
    assert before.success_share == pytest.approx(0.6)


def test_a_version_that_a_person_promoted_has_no_record_to_be_held_against() -> None:
    event = RolloutEvent(at_s=0.0, version="c" * 64, stage="full", by="user:ann", reason="")
    assert record_at(event) == record_before(event) == Record()
    assert watch(SERVING, Record(), Record(runs=1000, on_time=10), CONFIG, now_s=5.0).act == "wait"
