"""What rules promise and what comes of them, through the real stack."""

from __future__ import annotations

import numpy as np
import pytest

from inframind.arena.advice.kept_promises import LOGGINGS, RULES, Truth, came, logging_named, promised
from inframind.arena.grading import RememberingGrader
from inframind.errors import ConfigError
from inframind.traces.advice import METRICS, Prediction

COST = METRICS.index("cost")
RUNS = 60


def test_every_rule_is_predicted_and_what_is_not_enough_is_said() -> None:
    found = promised(logging_named("just_enough"), seed=1, runs=RUNS, grader=RememberingGrader())
    assert set(found) == set(RULES)
    for predictions in found.values():
        assert [one.metric for one in predictions] == list(METRICS)
    assert any(not one.is_enough for one in found["only deepseek"])


def test_the_same_requests_meet_the_application_with_a_rule_and_without() -> None:
    grader, logging = RememberingGrader(), logging_named("just_enough")
    plain_NM, again_NM, under_NM = (
        came(logging, rule, seed=2, runs=RUNS, grader=grader) for rule in (None, None, RULES["one agent"])
    )
    assert plain_NM.shape == under_NM.shape == (RUNS, len(METRICS))
    assert np.array_equal(plain_NM, again_NM, equal_nan=True)
    assert np.nanmean(under_NM[:, COST]) < np.nanmean(plain_NM[:, COST])


def test_there_is_no_logging_of_another_name() -> None:
    with pytest.raises(ConfigError, match=", ".join(LOGGINGS)):
        logging_named("nobody")


def prediction(change: float, low: float, high: float) -> Prediction:
    return Prediction(
        metric="success", before=0.5, change=change, low=low, high=high, runs=100, affected=50, effective_size=50,
        method="m",
    )  # fmt: skip


def truth(change: float, error: float) -> Truth:
    return Truth(change_M=np.full(len(METRICS), change), error_M=np.full(len(METRICS), error))


def test_an_interval_holds_what_came_as_far_as_that_is_known() -> None:
    told = prediction(0.1, 0.06, 0.13)
    assert truth(0.13, 0.0).is_in(told)
    assert truth(0.06, 0.0).is_in(told)
    assert not truth(0.131, 0.0).is_in(told)
    assert not truth(0.059, 0.0).is_in(told)
    assert truth(0.149, 0.04 / 1.96).is_in(told)
    assert not truth(0.151, 0.04 / 1.96).is_in(told)


def test_what_came_is_the_mean_difference_of_what_is_known_on_both_sides() -> None:
    with_NM = np.tile([[1.0], [0.0], [1.0], [np.nan]], len(METRICS))
    without_NM = np.tile([[0.0], [0.0], [np.nan], [1.0]], len(METRICS))
    found = Truth.of(with_NM, without_NM)
    assert found.change_M == pytest.approx(0.5)
    assert found.error_M == pytest.approx(0.5)
