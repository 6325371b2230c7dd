"""Quantiles of Student's t: those of printed tables, and what must hold of any."""

from __future__ import annotations

import math
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframind.traces.student import student_quantile


@pytest.mark.parametrize(
    ("probability", "degrees", "quantile"),
    [
        (0.975, 1, 12.7062), (0.975, 2, 4.3027), (0.975, 3, 3.1824), (0.975, 4, 2.7764), (0.95, 7, 1.8946),
        (0.975, 30, 2.0423), (0.995, 1, 63.6567), (0.995, 200, 2.6006), (0.975, 500, 1.9647),
    ],
)  # fmt: skip
def test_quantiles_are_those_of_printed_tables(probability: float, degrees: int, quantile: float) -> None:
    assert student_quantile(probability, degrees) == pytest.approx(quantile, abs=6e-5)


@given(st.floats(0.5, 0.999999))
def test_quantiles_of_one_and_two_degrees_are_known_in_closed_form(probability: float) -> None:
    cauchy = math.tan(math.pi * (probability - 0.5))
    two = (2 * probability - 1) * math.sqrt(1 / (2 * probability * (1 - probability)))
    assert student_quantile(probability, 1) == pytest.approx(cauchy, rel=1e-7, abs=1e-12)
    assert student_quantile(probability, 2) == pytest.approx(two, rel=1e-7, abs=1e-12)


@given(st.floats(0.6, 0.9999), st.floats(1, 400), st.floats(1.01, 3))
def test_more_degrees_are_closer_to_the_normal_and_never_pass_it(
    probability: float, degrees: float, times: float
) -> None:
    few, more = student_quantile(probability, degrees), student_quantile(probability, degrees * times)
    assert few > more > NormalDist().inv_cdf(probability)


def test_the_two_ways_to_a_quantile_meet_where_one_takes_over() -> None:
    before, after = (student_quantile(0.975, degrees) for degrees in (200 - 1e-9, 200))
    assert before == pytest.approx(after, abs=3e-9)
