"""Regressions that forget, drawn towards a shared one: exact sums, and what holds for any data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from inframind.errors import ConfigError
from inframind.router.latency_ridge import ForgettingRidge, RidgeConfig
from inframind.router.latency_spread import FadingMean, QuantileTracker

PLAIN = RidgeConfig(shared_penalty=1.0, own_penalty=1.0, forgetting=0.5, robust=1.0)


def test_one_call_gives_the_closed_form() -> None:
    ridge = ForgettingRidge(2, 1, PLAIN)
    ridge.observe(0, np.array([2.0]), 6.0)
    shared = 12 / (4 + 1)
    assert ridge.own[:, 0] == pytest.approx([(12 + shared) / (4 + 1), shared])


def test_a_second_call_halves_the_first_and_weighs_less_when_it_is_far_off() -> None:
    ridge = ForgettingRidge(1, 1, PLAIN)
    ridge.observe(0, np.array([1.0]), 4.0)
    shared = 4 / (1 + 1)
    own = (4 + shared) / (1 + 1)
    typical = (4.0 + (10 - own)) / 2
    weight = typical / (10 - own)
    ridge.observe(0, np.array([1.0]), 10.0)
    gram, moment = 0.5 + weight, 2 + weight * 10
    shared = moment / (gram + 1)
    assert weight < 1
    assert ridge.own[0, 0] == pytest.approx((moment + shared) / (gram + 1))


def test_a_head_without_calls_has_the_shared_coefficients() -> None:
    rng = np.random.default_rng(0)
    ridge = ForgettingRidge(3, 2, RidgeConfig())
    for number in range(400):
        row = np.array([1.0, rng.uniform(0, 1)])
        ridge.observe(number % 2, row, float(row @ [2.0, -1.0]))
    assert ridge.own[2] == pytest.approx([2.0, -1.0], abs=0.1)


def test_outliers_do_not_move_a_fit() -> None:
    rng = np.random.default_rng(1)
    rows = np.stack([np.ones(300), rng.uniform(0, 1, 300)], axis=1)
    targets = rows @ np.array([1.0, 3.0]) + rng.normal(0, 0.01, 300)
    targets[::10] += 50.0
    ridge = ForgettingRidge(1, 2, RidgeConfig(shared_penalty=1e-3, own_penalty=1e-3))
    ridge.fit(np.zeros(300, dtype=np.intp), rows, targets)
    assert ridge.own[0] == pytest.approx([1.0, 3.0], abs=0.1)


def test_a_fit_outweighs_no_more_calls_than_a_head_remembers() -> None:
    config = RidgeConfig(forgetting=0.9, robust=1.0, shared_penalty=1e-6, own_penalty=1e-6)
    ridge = ForgettingRidge(1, 1, config)
    ridge.fit(np.zeros(5000, dtype=np.intp), np.ones((5000, 1)), np.zeros(5000))
    for _ in range(60):
        ridge.observe(0, np.ones(1), 1.0)
    assert ridge.own[0, 0] > 0.9


@settings(max_examples=40)
@given(arrays(np.float64, (6, 3), elements=st.floats(-100, 100)), st.floats(-1e3, 1e3))
def test_coefficients_stay_finite_and_no_larger_than_the_data_asks(rows: np.ndarray, target: float) -> None:
    ridge = ForgettingRidge(2, 3, RidgeConfig())
    for row in rows:
        ridge.observe(0, row, target)
    assert np.isfinite(ridge.own).all()


def test_sums_move_heads_from_one_ridge_to_another() -> None:
    source, target = ForgettingRidge(2, 1, PLAIN), ForgettingRidge(3, 1, PLAIN)
    for _ in range(5):
        source.observe(1, np.ones(1), 7.0)
    target.restore(source.sums(), np.array([2]), np.array([1]))
    assert target.own[2] == pytest.approx(source.own[1])
    assert target.own[0] == pytest.approx(target.own[1])


@pytest.mark.parametrize("values", [{"forgetting": 0.0}, {"own_penalty": 0.0}, {"robust": -1.0}])
def test_an_impossible_setting_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=r"latency\."):
        RidgeConfig(**values)


def test_a_fading_mean_weighs_its_prior_against_what_it_remembers() -> None:
    mean = FadingMean((2,), 0.5)
    mean.observe(0, 8.0)
    mean.observe(0, 2.0)
    assert mean.mean(1.0, 3.0) == pytest.approx([(0.5 * 8 + 2 + 3) / (0.5 + 1 + 1), 3.0])
    mean.fade(0)
    assert mean.weight[0] == pytest.approx(0.75)


def test_a_tracked_quantile_moves_by_its_share_of_a_step() -> None:
    tracker = QuantileTracker(1, prior_calls=20.0, memory=200.0)
    tracker.observe(0, 0.5)
    step = 1 / 21
    assert tracker.values()[0] == pytest.approx(
        [0.0 + step * 0.5 / 0.3989422804014327, 1.2815515655446004 - step * 0.1 / 0.17549833193248]
    )


@given(st.lists(st.floats(-50, 50), max_size=60))
def test_tracked_quantiles_are_never_in_the_wrong_order(errors: list[float]) -> None:
    tracker = QuantileTracker(1, prior_calls=1.0, memory=5.0)
    for error in errors:
        tracker.observe(0, error)
        q50, q90 = tracker.values()[0]
        assert q50 <= q90


@pytest.mark.parametrize("skew", [0.0, 1.0])
def test_tracked_quantiles_find_those_of_any_distribution(skew: float) -> None:
    rng = np.random.default_rng(3)
    errors = rng.normal(0, 2, 6000) + skew * rng.exponential(3, 6000)
    tracker = QuantileTracker(1, prior_calls=20.0, memory=200.0)
    for error in errors[:4000]:
        tracker.observe(0, float(error))
    below = (errors[4000:, None] <= tracker.values()[0]).mean(axis=0)
    assert below == pytest.approx([0.5, 0.9], abs=0.05)
