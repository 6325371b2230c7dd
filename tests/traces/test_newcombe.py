"""How far two shares are apart: published intervals, and what must hold of any."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframind.errors import ConfigError
from inframind.traces.newcombe import share_difference

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
