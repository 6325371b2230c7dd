"""Verdicts that cannot be compared promise nothing, and those that can are believed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.advisor.options.application import BEGIN_S, Application

from inframind.advisor.options.config import AnalysisConfig
from inframind.advisor.options.doubts import NO_DOUBTS, latest_part
from inframind.advisor.options.effect import Effects
from inframind.advisor.options.generating import rule_of, step_contents
from inframind.advisor.options.logs import Logs
from inframind.advisor.options.predicting import predictions_of
from inframind.advisor.options.reading import LogReader
from inframind.router.policy import UniformPolicy
from inframind.router.rulebook import RuleBook
from inframind.router.rules import Circumstances, RoutingRule
from inframind.traces.advice import METRICS, Prediction
from inframind.traces.records import SOLVED_ONLY, Outcome, Trajectory

RUNS = 1500
AVOIDS = RoutingRule(name="no m1", avoid_models={"m1"})
SUCCESS, COST = METRICS.index("success"), METRICS.index("cost")


@pytest.fixture(scope="module")
def application() -> Application:
    return Application(UniformPolicy(), RUNS, bad="none")


def has_m1(run: Trajectory) -> bool:
    return any(step.model == "m1" for step in run.steps)


Says = Callable[[Trajectory, np.random.Generator], tuple[bool, str] | None]
"""Of a run: whether it is said to be right, and by whom; None where nobody says."""


def heard(application: Application, says: Says) -> list[Trajectory]:
    rng = np.random.default_rng(3)
    runs = []
    for run in application.runs:
        said = says(run, rng)
        outcomes = ()
        if said is not None:
            outcomes = (
                Outcome(
                    feedback_id="g",
                    key="solved",
                    score=float(said[0]),
                    source=said[1],
                    recorded_at_s=run.arrived_at_s + 9,
                ),
            )
        runs.append(replace(run, outcomes=outcomes))
    return runs


def logs_of(application: Application, runs: list[Trajectory]) -> Logs:
    reader = LogReader(
        application.actions,
        application.policy,
        RuleBook((), application.actions),
        keys=SOLVED_ONLY,
        exploration=0.0,
        choosing_share=0.4,
    )
    return reader.read(runs)


def promised(application: Application, says: Says) -> tuple[Prediction, ...]:
    config = AnalysisConfig()
    logs = logs_of(application, heard(application, says))
    effects = Effects(logs, application.actions, RuleBook((), application.actions), {}, config.support)
    return predictions_of(effects.of(AVOIDS, is_choosing=False, asks_again=True), 0.05, config)


def test_where_one_model_is_complained_of_and_others_are_graded_no_success_is_promised(
    application: Application,
) -> None:
    """All are right in 70 of 100; of m1's answers half of the wrong ones are told of, and one right one in twenty."""

    def says(run: Trajectory, rng: np.random.Generator) -> tuple[bool, str] | None:
        right = bool(rng.random() < 0.7)
        return (right, "api") if not has_m1(run) or rng.random() < (0.05 if right else 0.5) else None

    predictions = promised(application, says)
    assert "a verdict is given for" in predictions[SUCCESS].objection
    assert "have graders judge a share of all runs" in predictions[SUCCESS].objection
    assert predictions[SUCCESS].change == 0
    assert predictions[COST].is_enough
    (told,) = [
        note for note in application.analysed(heard(application, says)).notes if "get a verdict" in note
    ]
    assert "model m1 (" in told


def test_where_people_judge_one_model_and_graders_the_others_no_success_is_promised(
    application: Application,
) -> None:
    def says(run: Trajectory, rng: np.random.Generator) -> tuple[bool, str] | None:
        return bool(rng.random() < 0.7), "user" if has_m1(run) else "grader:math"

    assert "(solved) gives" in promised(application, says)[SUCCESS].objection


def test_where_both_judge_whatever_answered_a_promise_is_made(application: Application) -> None:
    def says(run: Trajectory, rng: np.random.Generator) -> tuple[bool, str] | None:
        return bool(rng.random() < 0.7), "user" if rng.random() < 0.3 else "grader:math"

    assert promised(application, says)[SUCCESS].is_enough


def test_complaints_as_frequent_as_verdicts_elsewhere_do_not_say_that_all_is_wrong(
    application: Application,
) -> None:
    """Three of ten are wrong everywhere, and told of where m1 answers; of the others three of ten are graded."""

    def says(run: Trajectory, rng: np.random.Generator) -> tuple[bool, str] | None:
        right = bool(rng.random() < 0.7)
        is_heard = not right if has_m1(run) else rng.random() < 0.3
        return (right, "api") if is_heard else None

    assert "says wrong" in promised(application, says)[SUCCESS].objection


def test_a_model_that_is_never_right_is_known_by_verdicts_at_random(application: Application) -> None:
    def says(run: Trajectory, rng: np.random.Generator) -> tuple[bool, str] | None:
        right = not has_m1(run) and bool(rng.random() < 0.7)
        return (right, "api") if rng.random() < 0.6 else None

    success = promised(application, says)[SUCCESS]
    assert success.is_enough
    assert success.low > 0.1


def test_verdicts_at_random_are_hardly_ever_objected_to(make_world: Any, make_effects: Any) -> None:
    doubted = []
    for seed in range(30):
        world = make_world(seed=seed, runs=1500, labelled=0.3)
        effects = make_effects(world.logs(), world.actions)
        for content in step_contents(world.actions, {}):
            effect = effects.of(rule_of(content, Circumstances()), is_choosing=False)
            doubted.append(effect.doubts != NO_DOUBTS)
    assert len(doubted) > 300
    assert np.mean(doubted) <= 0.05


def test_what_the_latest_runs_no_longer_bear_out_is_not_promised(application: Application) -> None:
    """Until the 600th of these runs, a minute apart and then two, m1 was wrong wherever it answered."""
    mended = 600

    def says(run: Trajectory, rng: np.random.Generator) -> tuple[bool, str] | None:
        is_bad = has_m1(run) and run.arrived_at_s < BEGIN_S + 60.0 * mended
        return not is_bad and bool(rng.random() < 0.8), "api"

    def slower(run: Trajectory) -> Trajectory:
        return replace(run, arrived_at_s=BEGIN_S + 3 * (run.arrived_at_s - BEGIN_S))

    config = AnalysisConfig()
    book = RuleBook((), application.actions)
    quick = heard(application, says)
    for runs, is_over in ((quick, False), ([slower(run) for run in quick], True)):
        effects = Effects(logs_of(application, runs), application.actions, book, {}, config.support)
        success = predictions_of(effects.of(AVOIDS, is_choosing=False), 0.05, config)[SUCCESS]
        assert ("seems to be over" in success.objection) is is_over


def test_the_latest_part_is_a_quarter_and_a_day_or_is_not_told_apart() -> None:
    hours = np.arange(400) * 3600.0
    quarter = latest_part(hours)
    assert quarter is not None and quarter.sum() == 100 and quarter[-100:].all()
    day = latest_part(hours[:60])
    assert day is not None and day.sum() == 25
    assert latest_part(hours[:40]) is None
    assert latest_part(hours[:0]) is None
