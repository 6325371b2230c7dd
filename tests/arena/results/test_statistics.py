from __future__ import annotations

from math import log10, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from inframind.arena.results.statistics import (
    bootstrap_ratios,
    half_width,
    hypervolume,
    idle_shares,
    pareto_front,
    percentile_interval,
    rank,
    ranking_stability,
    t_quantile_975,
)

NAN = float("nan")
LATENCY_S = st.floats(0.01, 2000)
POINTS = st.lists(st.tuples(LATENCY_S, st.floats(0, 1)), min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("degrees", "quantile"),
    [(2, 4.3027), (4, 2.7764), (30, 2.0423), (31, 2.0395), (60, 2.0003), (120, 1.9799)],
)
def test_quantiles_agree_with_printed_tables_of_the_t_distribution(degrees: int, quantile: float) -> None:
    assert t_quantile_975(degrees) == pytest.approx(quantile, abs=6e-5)


def test_an_interval_over_three_seeds_is_t_times_the_standard_error() -> None:
    assert half_width(np.array([0.4, 0.5, 0.6])) == pytest.approx(4.302653 * 0.1 / sqrt(3))


def test_fewer_than_three_seeds_have_no_interval_and_a_seed_without_a_figure_does_not_count() -> None:
    widths = half_width(np.array([[0.4, 0.5, NAN], [0.4, 0.4, 0.4]]))

    assert np.isnan(widths[0])
    assert widths[1] == pytest.approx(0.0)


def test_idle_slots_count_at_the_instants_at_which_some_endpoint_has_a_queue() -> None:
    t_s = np.array([0.0, 0.0, 5.0, 5.0, 10.0, 10.0])
    running = np.array([4, 0, 4, 1, 4, 4])
    waiting = np.array([0, 0, 3, 0, 1, 1])
    slots = np.full(6, 4)

    # 0 s: nothing waits; 5 s: 3 of 8 slots are free while 3 wait; 10 s: none is free.
    assert idle_shares(t_s, running, waiting, slots) == pytest.approx([3 / 8, 0.0])


def test_an_endpoint_beyond_its_slots_has_none_free() -> None:
    assert idle_shares(np.zeros(2), np.array([5, 2]), np.array([1, 0]), np.array([4, 4])) == pytest.approx(
        [2 / 8]
    )


def test_no_samples_have_no_idle_shares() -> None:
    nothing = np.empty(0, np.int64)

    assert len(idle_shares(np.empty(0), nothing, nothing, nothing)) == 0


def test_one_point_dominates_the_rectangle_to_its_right() -> None:
    assert hypervolume(np.array([10.0]), np.array([0.6])) == pytest.approx(0.5 * 0.6)


def test_a_dominated_point_adds_nothing_and_a_better_one_adds_its_step() -> None:
    alone = hypervolume(np.array([1.0, 10.0]), np.array([0.4, 0.8]))

    assert alone == pytest.approx(0.25 * 0.4 + 0.5 * 0.8)
    assert hypervolume(np.array([1.0, 10.0, 20.0]), np.array([0.4, 0.8, 0.7])) == pytest.approx(alone)


@pytest.mark.parametrize(
    ("latency_s", "volume"), [(0.01, 0.5), (0.1, 0.5), (1000.0, 0.0), (5000.0, 0.0), (NAN, 0.0)]
)
def test_points_beyond_the_ends_of_the_axis_count_as_at_the_end(latency_s: float, volume: float) -> None:
    assert hypervolume(np.array([latency_s]), np.array([0.5])) == pytest.approx(volume)


@given(POINTS, LATENCY_S, st.floats(0, 1))
def test_another_point_never_shrinks_the_hypervolume(
    points: list[tuple[float, float]], latency_s: float, accuracy: float
) -> None:
    before = np.array(points)
    after = np.vstack([before, (latency_s, accuracy)])

    volume = hypervolume(*after.T)
    assert hypervolume(*before.T) <= volume + 1e-12
    assert 0 <= volume <= 1


@given(POINTS)
def test_hypervolume_is_the_integral_of_the_best_accuracy_within_a_time(
    points: list[tuple[float, float]],
) -> None:
    latency_s, accuracy = np.array(points).T
    grid = np.linspace(-1, 3, 4001)[:-1] + 0.0005
    within = log10_clipped(latency_s)[:, None] <= grid
    best = np.where(within, accuracy[:, None], 0.0).max(axis=0)

    assert hypervolume(latency_s, accuracy) == pytest.approx(best.mean(), abs=3e-3)


def log10_clipped(latency_s: np.ndarray) -> np.ndarray:
    return np.array([log10(min(max(value, 0.1), 1000)) for value in latency_s])


@given(POINTS)
def test_no_point_beats_one_of_the_front_and_every_other_point_is_beaten(
    points: list[tuple[float, float]],
) -> None:
    latency_s, accuracy = np.array(points).T
    front = set(pareto_front(latency_s, accuracy).tolist())

    for i in range(len(points)):
        beaten = any(latency_s[j] <= latency_s[i] and accuracy[j] >= accuracy[i] for j in front if j != i)
        assert (i in front) != beaten


def test_the_front_leaves_out_what_has_no_latency() -> None:
    assert pareto_front(np.array([NAN, 2.0, 1.0]), np.array([0.9, 0.5, 0.4])).tolist() == [2, 1]


def test_a_resample_counts_the_same_cells_for_all_contenders() -> None:
    rng = np.random.default_rng(0)
    hits = rng.integers(0, 2, (1, 1, 50)).astype(float)
    both = np.concatenate([hits, hits], axis=1)

    ratios = bootstrap_ratios(both, np.ones((1, 50)), resamples=200, rng=rng)

    assert ratios.shape == (200, 1, 2)
    assert (ratios[:, :, 0] == ratios[:, :, 1]).all()
    assert ratios.std() > 0


def test_the_bootstrap_has_the_spread_of_a_mean() -> None:
    hits = np.tile([1.0, 0.0], 200).reshape(1, 1, 400)

    ratios = bootstrap_ratios(hits, np.ones((1, 400)), resamples=4000, rng=np.random.default_rng(1))
    low, high = percentile_interval(ratios[:, 0, 0])

    assert (low, high) == pytest.approx((0.5 - 1.96 * 0.025, 0.5 + 1.96 * 0.025), abs=0.004)


def test_the_same_seed_draws_the_same_resamples() -> None:
    hits, trials = np.eye(5)[None, :2], np.ones((1, 5))
    first, second = (
        bootstrap_ratios(hits, trials, resamples=10, rng=np.random.default_rng(7)) for _ in range(2)
    )

    assert (first == second).all()


def test_resamples_without_a_question_of_the_group_are_left_out_of_the_interval() -> None:
    assert percentile_interval(np.array([0.2, NAN, 0.2])).tolist() == pytest.approx([0.2, 0.2])


def test_a_rank_counts_who_is_better_beyond_the_interval_so_that_close_ones_tie() -> None:
    noise = np.random.default_rng(0).normal(0, 0.01, 1000)
    resampled = np.stack([0.5 + 0 * noise, 0.505 + noise, 0.9 + noise], axis=1)

    ranking = rank(resampled, np.array([[0.5], [0.505], [0.9]]), np.ones(3, np.bool_))

    assert ranking.rank_C.tolist() == [2, 2, 1]
    assert ranking.is_better_CC.tolist() == [[False] * 3, [False] * 3, [True, True, False]]


def test_a_gap_that_the_seeds_do_not_agree_on_is_a_tie_however_many_questions_there_were() -> None:
    resampled = np.tile([0.6, 0.5], (100, 1))
    wavering = np.array([[0.9, 0.5, 0.4], [0.5, 0.5, 0.5]])
    steady = np.array([[0.61, 0.60, 0.59], [0.51, 0.50, 0.49]])

    assert rank(resampled, wavering, np.ones(2, np.bool_)).rank_C.tolist() == [1, 1]
    assert rank(resampled, steady, np.ones(2, np.bool_)).rank_C.tolist() == [1, 2]


def test_what_cannot_be_attained_is_compared_but_takes_no_place() -> None:
    resampled = np.tile([0.9, 0.5, 0.4], (100, 1))

    ranking = rank(resampled, np.array([[0.9], [0.5], [0.4]]), np.array([False, True, True]))

    assert ranking.rank_C.tolist() == [0, 1, 2]
    assert ranking.is_better_CC[0].tolist() == [False, True, True]


def test_stability_counts_the_seeds_on_which_an_order_holds() -> None:
    per_seed = np.array([[0.9, 0.8, 0.4], [0.5, 0.5, 0.5]])
    is_better = np.array([[False, True], [False, False]])

    assert ranking_stability(per_seed, is_better).tolist() == [[0, 2], [0, 0]]


@given(arrays(np.float64, (30, 4), elements=st.floats(0, 1)))
def test_somebody_is_always_first_and_nobody_is_better_than_himself(resampled: np.ndarray) -> None:
    ranking = rank(resampled, resampled[:5].T, np.ones(4, np.bool_))

    assert ranking.rank_C.min() == 1
    assert not (ranking.is_better_CC & ranking.is_better_CC.T).any()
