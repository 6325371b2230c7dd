"""How far two means are apart: published intervals, and what must hold of any."""

from __future__ import annotations

import math
from statistics import mean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframind.errors import ConfigError
from inframind.traces.welch import Sample, mean_difference, stratified_difference

_SAMPLE = st.builds(
    Sample, size=st.integers(2, 10_000), mean=st.floats(-1e3, 1e3), sd=st.floats(0.0, 1e3, width=32)
)


def sample(*values: float) -> Sample:
    return Sample(size=len(values), mean=mean(values), sd=stdev(values))


@pytest.mark.parametrize(
    ("new", "old", "low", "high"),
    [
        # Sleep gained on two drugs (Student 1908), as R's `t.test(extra ~ group, data = sleep)`.
        (
            (0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0),
            (1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4),
            -3.3654832,
            0.2054832,
        ),
        # R's own example of unlike spreads: `t.test(1:10, y = 7:20)`.
        (tuple(range(1, 11)), tuple(range(7, 21)), -11.052802, -4.947198),
        (tuple(range(1, 11)), (*range(7, 21), 200), -47.242900, 6.376233),
    ],
)
def test_intervals_are_the_published_ones(
    new: tuple[float, ...], old: tuple[float, ...], low: float, high: float
) -> None:
    found = mean_difference(sample(*new), sample(*old))
    assert found.change == pytest.approx(mean(new) - mean(old))
    assert (found.low, found.high) == pytest.approx((low, high), abs=6e-7)


@given(_SAMPLE, _SAMPLE)
def test_looking_the_other_way_turns_the_sign(new: Sample, old: Sample) -> None:
    there, back = mean_difference(new, old), mean_difference(old, new)
    assert there.low <= there.change <= there.high
    assert (there.change, there.low, there.high) == pytest.approx((-back.change, -back.high, -back.low))


@given(_SAMPLE, _SAMPLE, st.floats(0.001, 0.04))
def test_who_may_miss_less_must_say_less(new: Sample, old: Sample, missed: float) -> None:
    sure, usual = mean_difference(new, old, missed=missed), mean_difference(new, old)
    assert sure.low <= usual.low and usual.high <= sure.high


def test_what_differs_from_stratum_to_stratum_is_no_difference() -> None:
    slow, fast = {"mean": 9.0, "sd": 1.0}, {"mean": 2.0, "sd": 1.0}
    day = Sample(size=10, **slow), Sample(size=190, **slow)  # few runs are new by day
    night = Sample(size=100, **fast), Sample(size=100, **fast)
    found = stratified_difference([day, night])
    assert found.change == 0.0
    # Weights 9.5 and 50; variance of the difference (9.5^2 (1/10 + 1/190) + 50^2 (1/100 + 1/100)) / 59.5^2 = 1 / 59.5.
    assert found.high == -found.low == pytest.approx(1.976 / 59.5**0.5, abs=5e-4)
    lumped = mean_difference(Sample(size=110, mean=2.64, sd=2.3), Sample(size=290, mean=6.59, sd=3.5))
    assert lumped.high < -3.0


@given(_SAMPLE, _SAMPLE, st.integers(2, 4))
def test_the_same_stratum_again_and_again_says_the_same_more_surely(new: Sample, old: Sample, n: int) -> None:
    once, more = mean_difference(new, old), stratified_difference([(new, old)] * n)
    assert more.change == pytest.approx(once.change, abs=1e-9)
    assert more.high - more.low <= (once.high - once.low) + 1e-9


def test_of_no_stratum_nothing_can_be_said() -> None:
    with pytest.raises(ConfigError, match="strata"):
        stratified_difference([])


def test_of_values_that_never_differ_the_difference_is_known() -> None:
    found = mean_difference(Sample(size=10, mean=0.3, sd=0.0), Sample(size=10, mean=0.1, sd=0.0))
    assert found.low == found.change == found.high == pytest.approx(0.2)


@pytest.mark.parametrize(
    "wrong",
    [
        Sample(size=1, mean=0.0, sd=0.0),
        Sample(size=9, mean=math.nan, sd=1.0),
        Sample(size=9, mean=0.0, sd=-1.0),
        Sample(size=9, mean=0.0, sd=math.inf),
    ],
)
def test_what_is_no_sample_is_refused(wrong: Sample) -> None:
    right = Sample(size=9, mean=0.0, sd=1.0)
    with pytest.raises(ConfigError, match=r"^new"):
        mean_difference(wrong, right)
    with pytest.raises(ConfigError, match=r"^old"):
        mean_difference(right, wrong)
