from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframind.arena.replay.front import Front, upper_front

POINT = st.tuples(st.integers(0, 20).map(float), st.integers(0, 20).map(lambda step: step / 20))


def test_the_front_leaves_out_what_mixtures_beat() -> None:
    costs = [1.0, 2.0, 3.0, 5.0, 6.0, 1.0]
    values = [0.2, 0.3, 0.6, 0.8, 0.7, 0.1]

    assert upper_front(costs, values).tolist() == [3, 2, 0]


def test_points_on_a_line_with_their_neighbours_are_left_out() -> None:
    assert upper_front([1.0, 2.0, 3.0], [0.25, 0.5, 0.75]).tolist() == [2, 0]


def test_of_equal_points_the_cheapest_is_enough() -> None:
    assert upper_front([3.0, 1.0, 2.0], [0.5, 0.5, 0.5]).tolist() == [1]


def test_mixtures_lie_on_straight_lines() -> None:
    front = Front.over([1.0, 3.0, 2.0], [0.4, 0.8, 0.5])

    assert (front.costs, front.values) == ((1.0, 3.0), (0.4, 0.8))
    assert front.value_at(2.0) == pytest.approx(0.6)
    assert front.cost_at(0.7) == pytest.approx(2.5)
    assert (front.value_at(0.5), front.value_at(9.0)) == (0.0, 0.8)
    assert (front.cost_at(0.1), front.cost_at(0.9)) == (1.0, None)


def test_the_area_counts_nothing_where_there_is_no_point_yet() -> None:
    front = Front.over([1.0, 3.0], [0.4, 0.8])

    assert front.mean_value(1.0, 3.0) == pytest.approx(0.6)
    assert front.mean_value(0.0, 4.0) == pytest.approx((0 + 2 * 0.6 + 0.8) / 4)
    assert front.mean_value(0.0, 0.5) == 0.0
    assert front.mean_value(2.0, 2.0) is None


@given(st.lists(POINT, min_size=1, max_size=12))
def test_no_point_lies_above_the_front_and_the_front_is_made_of_points(
    points: list[tuple[float, float]],
) -> None:
    costs, values = map(list, zip(*points, strict=True))

    front = Front.over(costs, values)

    assert set(zip(front.costs, front.values, strict=True)) <= set(points)
    assert all(value <= front.value_at(cost) + 1e-9 for cost, value in points)
    assert np.all(np.diff(front.costs) > 0) and np.all(np.diff(front.values) > 0)


@given(st.lists(POINT, min_size=2, max_size=12), st.floats(0, 1))
def test_the_cost_of_a_value_buys_that_value(points: list[tuple[float, float]], wanted: float) -> None:
    front = Front.over(*map(list, zip(*points, strict=True)))

    cost = front.cost_at(wanted)

    if cost is None:
        assert wanted > max(value for _, value in points)
    else:
        assert front.value_at(cost) >= wanted - 1e-9
