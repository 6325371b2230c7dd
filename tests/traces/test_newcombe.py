"""How far two shares are apart: published intervals, and what must hold of any."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframind.errors import ConfigError
from inframind.traces.newcombe import share_difference, stratified_share_difference

_SHARE = st.integers(1, 500).flatmap(lambda size: st.tuples(st.integers(0, size), st.just(size)))


@pytest.mark.parametrize(
    ("new", "old", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((0, 10), (0, 10), -0.2775, 0.2775),
        ((10, 10), (0, 20), 0.6791, 1.0),
        ((10, 10), (0, 10), 0.6075, 1.0),
    ],
)
def test_intervals_are_those_of_the_paper(
    new: tuple[int, int], old: tuple[int, int], low: float, high: float
) -> None:
    """Newcombe 1998, table II, method 10."""
    found = share_difference(*new, *old)
    assert found.change == new[0] / new[1] - old[0] / old[1]
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


@given(_SHARE, _SHARE)
def test_the_interval_contains_the_difference(new: tuple[int, int], old: tuple[int, int]) -> None:
    found = share_difference(*new, *old)
    assert -1.0 <= found.low <= found.change <= found.high <= 1.0


@given(_SHARE, _SHARE)
def test_looking_the_other_way_turns_the_sign(new: tuple[int, int], old: tuple[int, int]) -> None:
    there, back = share_difference(*new, *old), share_difference(*old, *new)
    assert (there.change, there.low, there.high) == (-back.change, -back.high, -back.low)


@given(_SHARE, _SHARE)
def test_more_runs_of_the_same_shares_say_more(new: tuple[int, int], old: tuple[int, int]) -> None:
    few = share_difference(*new, *old)
    many = share_difference(10 * new[0], 10 * new[1], 10 * old[0], 10 * old[1])
    assert many.high - many.low < few.high - few.low


@pytest.mark.parametrize(("new", "old"), [((0, 0), (1, 2)), ((1, 2), (3, 2)), ((-1, 2), (1, 2))])
def test_what_is_no_share_is_refused(new: tuple[int, int], old: tuple[int, int]) -> None:
    with pytest.raises(ConfigError, match="of n"):
        share_difference(*new, *old)


def test_a_mix_that_moves_is_no_difference() -> None:
    """Simpson 1951: both are worse, and pooled they are 34 points better."""
    found = stratified_share_difference([((352, 400), (90, 100)), ((29, 100), (120, 400))])
    assert found.change == pytest.approx(-0.015)
    assert found.low < -0.015 < found.high < 0.1


@given(_SHARE, _SHARE, st.integers(1, 20))
def test_strata_that_are_alike_are_as_good_as_one(new: tuple[int, int], old: tuple[int, int], n: int) -> None:
    parts = stratified_share_difference([(new, old)] * n)
    whole = share_difference(*(n * one for one in (*new, *old)))
    assert (parts.change, parts.low, parts.high) == pytest.approx((whole.change, whole.low, whole.high))


@pytest.mark.parametrize(
    ("new_size", "old_size", "new_share", "old_share"),
    [
        ([1] * 40, [1] * 40, [0.9] * 40, [0.9] * 40),
        ([3] * 15, [3] * 15, [0.6] * 15, [0.5] * 15),
        ([400, 100], [100, 400], [0.88, 0.29], [0.9, 0.3]),
    ],
)
def test_nineteen_of_twenty_intervals_hold_however_few_runs_a_stratum_has(
    new_size: list[int], old_size: list[int], new_share: list[float], old_share: list[float]
) -> None:
    rng = np.random.default_rng(7)
    n, m = np.array(new_size), np.array(old_size)
    weights = n * m / (n + m)
    true = float(weights @ (np.array(new_share) - old_share) / weights.sum())
    held = 0
    for _ in range(600):
        new, old = rng.binomial(n, new_share).tolist(), rng.binomial(m, old_share).tolist()
        sides = zip(zip(new, new_size, strict=True), zip(old, old_size, strict=True), strict=True)
        found = stratified_share_difference(list(sides))
        held += found.low <= true <= found.high
    assert held / 600 > 0.93


def test_no_stratum_is_refused() -> None:
    with pytest.raises(ConfigError, match="strata"):
        stratified_share_difference([])
