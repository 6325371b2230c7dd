"""Calibration per model and strategy: closed forms, what any fit obeys, and shrinkage of the rare."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inframind.errors import ConfigError
from inframind.router.learning.calibration import (
    Calibration,
    CalibrationConfig,
    ScoredCalls,
    fit_calibration,
)
from inframind.router.learning.ridge_logistic import RidgeLogistic

FLAT = CalibrationConfig(by_name=False, slope_ridge=1e-9, intercept_ridge=1e-9)


def calls(scores: Any, models: Any = None, strategies: Any = None) -> ScoredCalls:
    scores = np.asarray(scores, dtype=np.float64)
    count = len(scores)
    return ScoredCalls(scores, tuple(models or ["a"] * count), tuple(strategies or ["Flash"] * count))


def score(logit: float) -> float:
    return 10 / (1 + math.exp(-logit))


def test_scores_become_the_shares_that_were_solved() -> None:
    # Score 5 solves 1 of 2, score 9 solves 3 of 4: both are met by slope log 3 / log 9 and intercept 0.
    asked = calls([5, 5, 9, 9, 9, 9])
    fitted = fit_calibration(asked, [True, False, True, True, True, False], FLAT)
    assert fitted.probabilities(asked) == pytest.approx([0.5, 0.5, 0.75, 0.75, 0.75, 0.75])
    assert (fitted.slope, fitted.intercept) == pytest.approx((0.5, 0.0), abs=1e-6)


def test_a_calibration_is_the_sum_of_its_terms() -> None:
    fitted = Calibration(
        slope=2.0,
        intercept=0.5,
        models={"a": -1.0},
        strategies={"Flash": 0.25},
        pairs={("a", "Flash"): 0.125},
    )
    asked = calls([score(1.0)] * 3, ["a", "a", "new"], ["Flash", "new", "new"])
    logits = [2.0 + 0.5 - 1.0 + 0.25 + 0.125, 2.0 + 0.5 - 1.0, 2.0 + 0.5]
    assert fitted.probabilities(asked) == pytest.approx([1 / (1 + math.exp(-x)) for x in logits])


def test_scores_at_the_ends_of_the_scale_stay_open_to_doubt() -> None:
    chances = Calibration(slope=1.0, intercept=0.0).probabilities(calls([0.0, 10.0]))
    assert chances == pytest.approx([0.001, 0.999])


def test_without_labels_the_score_is_taken_at_its_word() -> None:
    fitted = fit_calibration(calls([]), [], CalibrationConfig())
    assert fitted == Calibration(slope=1.0, intercept=0.0)


@pytest.mark.parametrize("label", [True, False])
def test_equal_labels_have_finite_terms(label: bool) -> None:
    asked = calls([3.0, 6.0, 9.0] * 10)
    chances = fit_calibration(asked, [label] * 30, CalibrationConfig()).probabilities(asked)
    assert ((chances > 0.8) if label else (chances < 0.2)).all()


def test_what_the_labels_say_of_a_model_and_a_strategy_is_taken_out() -> None:
    rng = np.random.default_rng(0)
    models = rng.choice(["plain", "flattered"], 4000)
    strategies = rng.choice(["Flash", "DeepThink"], 4000)
    truth = rng.normal(0, 1, 4000)
    flattery = 2.0 * (models == "flattered") - 1.0 * (strategies == "Flash")
    scores = 10 / (1 + np.exp(-(truth + flattery)))
    asked = calls(scores, models.tolist(), strategies.tolist())
    fitted = fit_calibration(asked, rng.random(4000) < 1 / (1 + np.exp(-truth)), CalibrationConfig())
    assert fitted.slope == pytest.approx(1.0, abs=0.1)
    assert fitted.models["flattered"] - fitted.models["plain"] == pytest.approx(-2.0, abs=0.3)
    assert fitted.strategies["Flash"] - fitted.strategies["DeepThink"] == pytest.approx(1.0, abs=0.3)
    assert max(map(abs, fitted.pairs.values())) < 0.2


def test_a_rare_pair_follows_its_model_and_strategy_and_a_frequent_one_its_own_labels() -> None:
    def fitted(count: int) -> tuple[float, float]:
        """Calibrated chance of (b, Deep) with ``count`` failures, and what its names alone would say."""
        common = [("a", "Flash"), ("a", "Deep"), ("b", "Flash")]
        groups = [pair for pair in common for _ in range(200)] + [("b", "Deep")] * count
        labels = [number % 4 != 0 for number in range(600)] + [False] * count
        asked = calls([5.0] * len(groups), [model for model, _ in groups], [name for _, name in groups])
        found = fit_calibration(asked, labels, CalibrationConfig())
        logit = found.intercept + found.models["b"] + found.strategies["Deep"]
        return float(found.probabilities(asked)[-1]), 1 / (1 + math.exp(-logit))

    rare, by_name = fitted(1)
    frequent, _ = fitted(200)
    assert rare == pytest.approx(0.75, abs=0.15) and rare == pytest.approx(by_name, abs=0.06)
    assert frequent < 0.05


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0, 10), st.sampled_from("abc"), st.sampled_from(["F", "D"]), st.booleans()),
        min_size=1,
        max_size=60,
    )
)
def test_any_labels_give_a_fit_at_a_minimum_and_chances_between_0_and_1(rows: Any) -> None:
    scores, models, strategies, labels = map(list, zip(*rows, strict=True))
    asked = calls(scores, models, strategies)
    fitted = fit_calibration(asked, labels, CalibrationConfig())
    chances = fitted.probabilities(asked)
    assert ((chances >= 0) & (chances <= 1)).all()
    # At the minimum the ridge of the intercept holds exactly what is left of the error.
    assert (np.array(labels) - chances).sum() == pytest.approx(0.01 * fitted.intercept, abs=1e-3)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(-30, 30))
def test_newton_finds_the_minimum_from_far_away(seed: int, start: float) -> None:
    rng = np.random.default_rng(seed)
    columns, labels = 5 * rng.normal(size=(30, 3)), rng.random(30)
    problem = RidgeLogistic(columns, labels, np.full(3, 0.01), np.full(3, start))
    found = problem.fit()
    nearby = found + 1e-2 * rng.normal(size=(20, 3))
    assert all(problem.loss(found) <= problem.loss(other) for other in nearby)


def test_mismatched_columns_are_named() -> None:
    with pytest.raises(ValueError, match=r"scores_B is \(2,\), with 1 models"):
        ScoredCalls(np.array([1.0, 2.0]), ("a",), ("Flash", "Flash"))
    with pytest.raises(ValueError, match=r"solved_B is \(1,\), scores_B is \(2,\)"):
        fit_calibration(calls([1.0, 2.0]), [True], CalibrationConfig())
    with pytest.raises(ValueError, match="scores from 0 to 10"):
        calls([float("nan")])


def test_a_ridge_of_zero_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"calibration\.pair_ridge"):
        CalibrationConfig(pair_ridge=0.0)
