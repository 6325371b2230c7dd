"""Intervals by hand-worked and printed numbers, and how often they miss under continuous peeking."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframind.errors import ConfigError
from inframind.router.confidence import (
    Interval,
    Moments,
    Side,
    bernstein_half_width,
    bounded_difference_interval,
    bounded_mean_interval,
    difference_interval,
    mean_interval,
    mixture_half_width,
    student_interval,
)

RUNS, MOST = 2000, 1500
VALUES = st.lists(st.floats(-100, 100), max_size=30)


def samples(share: float, seed: int) -> np.ndarray:
    """Successes of many runs (runs, values)."""
    return (np.random.default_rng(seed).random((RUNS, MOST)) < share).astype(np.float64)


def running(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Number, mean, sum of squared deviations and surprise after every value of every run."""
    n = np.arange(1, values.shape[1] + 1)
    mean = np.cumsum(values, axis=1) / n
    squares = np.cumsum(values**2, axis=1) - n * mean**2
    expected = np.concatenate([np.zeros((len(values), 1)), mean[:, :-1]], axis=1)
    return n, mean, squares, np.cumsum((values - expected) ** 2, axis=1)


def same(left: Moments, right: Moments) -> bool:
    return left.n == right.n and all(
        math.isclose(getattr(left, name), getattr(right, name), rel_tol=1e-9, abs_tol=1e-7)
        for name in ("mean", "squares", "surprise")
    )


# Moments


def test_moments_are_those_of_the_values() -> None:
    moments = Moments.of([1.0, 0.0, 1.0, 1.0])
    # Expected before each value: 0, 1, 1/2, 2/3.
    assert (moments.n, moments.mean, moments.squares) == (4, 0.75, 0.75)
    assert moments.surprise == pytest.approx(1 + 1 + 1 / 4 + 1 / 9)
    assert moments.variance == 0.25


@given(VALUES)
def test_moments_grow_value_by_value_as_all_at_once(values: list[float]) -> None:
    grown = Moments()
    for value in values:
        grown = grown.add(value)
    assert same(grown, Moments.of(values))


@given(VALUES, VALUES)
def test_joined_moments_are_those_of_both_samples(left: list[float], right: list[float]) -> None:
    joined, together = Moments.of(left).joined(Moments.of(right)), Moments.of(left + right)
    assert (joined.n, joined.mean) == (together.n, pytest.approx(together.mean))
    assert joined.squares == pytest.approx(together.squares, abs=1e-6)
    assert joined.surprise == pytest.approx(Moments.of(left).surprise + Moments.of(right).surprise)


def test_one_value_says_nothing_of_the_variance() -> None:
    assert Moments.of([3.0]).variance == math.inf


# Exact values


def test_the_mixture_is_the_published_boundary() -> None:
    # u = log(1 + u) - 2 log(0.05) = 8.2120; with n = tuned_for, n rho^2 = u.
    spread = 8.2120
    wanted = math.sqrt(2 * 0.25 * (spread + 1) / (1000 * spread) * math.log(math.sqrt(spread + 1) / 0.05))
    assert mixture_half_width(1000, 0.25, delta=0.05, tuned_for=1000) == pytest.approx(wanted, rel=1e-4)
    assert float(mixture_half_width(1000, 0.25, delta=0.05, tuned_for=1000)) == pytest.approx(
        0.04796, abs=1e-4
    )


def test_one_side_is_the_boundary_of_half_the_mixture() -> None:
    spread = 8.2120
    wanted = math.sqrt(2 * (spread + 1) / (100 * spread) * math.log((1 + math.sqrt(spread + 1) / 0.05) / 2))
    half = mixture_half_width(100, 1.0, delta=0.05, tuned_for=100, side="low")
    assert half == pytest.approx(wanted, rel=1e-4)


def test_bernstein_is_the_published_boundary() -> None:
    log = 1.4 * math.log(math.log(500)) + math.log(3.10555 / (0.025 * math.log(2) ** 1.4))
    k1, k2 = (2**0.25 + 2**-0.25) / math.sqrt(2), (math.sqrt(2) + 1) / 2
    wanted = (math.sqrt(k1**2 * 250 * log + (k2 * log) ** 2) + k2 * log) / 1000
    assert bernstein_half_width(1000, 250, range_width=1, side_delta=0.025) == pytest.approx(wanted)
    # In other units everything scales.
    assert bernstein_half_width(1000, 2500, range_width=10**0.5, side_delta=0.025) == pytest.approx(
        wanted * 10**0.5
    )


def test_intervals_of_settled_samples_are_the_textbook_ones() -> None:
    interval = student_interval(Moments.of([1.0, 2.0, 3.0]), delta=0.05)
    assert interval.low == pytest.approx(2 - 4.30265 / math.sqrt(3), abs=1e-4)
    assert interval.high == pytest.approx(2 + 4.30265 / math.sqrt(3), abs=1e-4)


def test_too_few_values_say_nothing() -> None:
    everything = Interval(-math.inf, math.inf)
    assert mean_interval(Moments.of(np.ones(29)), delta=0.05) == everything
    assert bounded_mean_interval(Moments(), delta=0.05, range_width=1) == everything
    assert student_interval(Moments.of([1.0]), delta=0.05) == everything
    assert difference_interval((Moments.of([1.0] * 99), Moments.of([1.0])), delta=0.05) == everything
    assert difference_interval(delta=0.05) == everything


def test_thirty_successes_in_a_row_do_not_settle_that_nothing_ever_fails() -> None:
    streak = Moments.of(np.ones(30))
    assert 0.9 in mean_interval(streak, delta=0.05, range_width=1)
    assert 0.9 in bounded_mean_interval(streak, delta=0.05, range_width=1)


@pytest.mark.parametrize(
    ("field", "value"), [("delta", 0.0), ("delta", 1.0), ("tuned_for", 0.0), ("range_width", 0.0)]
)
def test_what_makes_no_sense_is_refused_by_name(field: str, value: float) -> None:
    with pytest.raises(ConfigError, match=field):
        mean_interval(Moments.of(np.ones(40)), **{"delta": 0.05, field: value})


# Invariances


@given(VALUES.filter(lambda values: len(values) > 1), st.floats(0.01, 0.2), st.sampled_from(["low", "high"]))
def test_a_one_sided_interval_is_closer_on_its_side(values: list[float], delta: float, side: Side) -> None:
    moments = Moments.of(values * 30)
    for both, one in [
        (mean_interval(moments, delta=delta), mean_interval(moments, delta=delta, side=side)),
        (student_interval(moments, delta=delta), student_interval(moments, delta=delta, side=side)),
    ]:
        assert getattr(one, side) * (1 if side == "low" else -1) >= getattr(both, side) * (
            1 if side == "low" else -1
        )
        assert one.width == math.inf


@given(st.integers(30, 10**6), st.floats(0.001, 0.3), st.floats(10, 1e5))
def test_peeking_costs_width(n: int, delta: float, tuned_for: float) -> None:
    fixed = NormalDist().inv_cdf(1 - delta / 2) * math.sqrt(1 / n)
    assert float(mixture_half_width(n, 1.0, delta=delta, tuned_for=tuned_for)) > fixed


def test_it_is_narrowest_where_it_is_tuned_for() -> None:
    there = float(mixture_half_width(3000, 1.0, delta=0.05, tuned_for=3000))
    others = (
        mixture_half_width(3000, 1.0, delta=0.05, tuned_for=300),
        mixture_half_width(3000, 1.0, delta=0.05, tuned_for=30_000),
    )
    assert all(there < float(other) < 1.3 * there for other in others)


def test_a_difference_of_equal_halves_is_that_of_twice_as_many_values_of_four_times_the_variance() -> None:
    half = Moments(n=500, mean=0.0, squares=0.25 * 499)
    better = Moments(n=500, mean=0.1, squares=0.25 * 499)
    interval = difference_interval((better, half), delta=0.05)
    wanted = float(mixture_half_width(1000, 1.0, delta=0.05))
    assert (interval.low, interval.high) == pytest.approx((0.1 - wanted, 0.1 + wanted))


def test_strata_are_averaged_by_their_sizes_and_not_pooled() -> None:
    """The world got worse while the share of the new grew: pooled, the new would look worse than it is."""
    early = Moments(n=100, mean=0.95, squares=10), Moments(n=900, mean=0.9, squares=81)
    later = Moments(n=900, mean=0.55, squares=222), Moments(n=100, mean=0.5, squares=25)
    interval = difference_interval(early, later, delta=0.05)
    assert (interval.low + interval.high) / 2 == pytest.approx(0.05)
    assert 0.05 not in difference_interval((early[0].joined(later[0]), early[1].joined(later[1])), delta=0.05)


def test_a_bounded_difference_takes_one_interval_from_the_other() -> None:
    new, old = Moments.of([1.0] * 400), Moments.of([0.0] * 400)
    interval = bounded_difference_interval(new, old, delta=0.1, range_width=1)
    low = bounded_mean_interval(new, delta=0.05, range_width=1).low
    high = bounded_mean_interval(old, delta=0.05, range_width=1).high
    assert interval.low == low - high > 0
    one_sided = bounded_difference_interval(new, old, delta=0.1, range_width=1, side="low")
    assert one_sided.low > interval.low and one_sided.high == math.inf


# Coverage under optional stopping: stopped at the first interval that misses


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_whoever_stops_when_it_suits_is_wrong_no_oftener_than_said(share: float) -> None:
    n, mean, squares, surprise = running(samples(share, seed=1))
    error = np.abs(mean - share)
    asymptotic = mixture_half_width(n, (squares + 2) / n, delta=0.05)
    exact = bernstein_half_width(n, surprise, range_width=1, side_delta=0.025)
    assert (error > asymptotic)[:, 29:].any(axis=1).mean() < 0.05 + 0.005
    assert (error > exact).any(axis=1).mean() < 0.05


def test_peeking_at_an_ordinary_interval_is_wrong_in_half_of_all_cases() -> None:
    n, mean, squares, _ = running(samples(0.5, seed=2))
    with np.errstate(invalid="ignore"):
        missed = np.abs(mean - 0.5) > 1.96 * np.sqrt(squares / np.maximum(n - 1, 1) / n)
    assert missed[:, 29:].any(axis=1).mean() > 0.4


def test_one_side_is_crossed_no_oftener_than_said() -> None:
    n, mean, squares, _ = running(samples(0.5, seed=3))
    half = mixture_half_width(n, (squares + 2) / n, delta=0.05, side="low")
    assert 0.01 < (mean - half > 0.5)[:, 29:].any(axis=1).mean() < 0.05


def test_a_difference_that_is_not_there_is_found_no_oftener_than_said() -> None:
    """A tenth of the traffic goes to the new, and nobody stops looking."""
    old, new = samples(0.7, seed=4), samples(0.7, seed=5)[:, : MOST // 9]
    crossed = np.zeros(RUNS, dtype=np.bool_)
    _, new_mean, new_squares, _ = running(new)
    _, old_mean, old_squares, _ = running(old)
    for place in range(3, new.shape[1], 3):
        n_new, n_old = place + 1, 9 * (place + 1)
        at = min(n_old, MOST) - 1
        squared_error = (new_squares[:, place] + 2) / n_new**2 + (old_squares[:, at] + 2) / (at + 1) ** 2
        n = n_new + at + 1
        half = mixture_half_width(n, n * squared_error, delta=0.05)
        crossed |= np.abs(new_mean[:, place] - old_mean[:, at]) > half
    assert crossed.mean() < 0.05
