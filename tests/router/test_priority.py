"""Priority by slack: lower is sooner, what is lost comes last."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from inframind.router.priority import slack_priority

NOW_S = 1_795_000_000.0


def test_the_tightest_that_can_still_be_saved_goes_first_and_the_lost_last() -> None:
    calls = {
        "lost": slack_priority(NOW_S, 1.0, 5.0),
        "roomy": slack_priority(NOW_S, 300.0, 5.0),
        "just": slack_priority(NOW_S, 5.0, 5.0),
        "tight": slack_priority(NOW_S, 6.0, 5.0),
        "long work": slack_priority(NOW_S, 60.0, 50.0),
        "expired": slack_priority(NOW_S, -100.0, 5.0),
    }
    assert sorted(calls, key=lambda name: calls[name]) == [
        "just",
        "tight",
        "long work",
        "roomy",
        "expired",
        "lost",
    ]


def test_a_literal_value() -> None:
    assert slack_priority(1_735_689_600 + 100.0, 20.0, 5.0) == 1150
    assert slack_priority(1_735_689_600 + 100.0, 5.0, 20.0) == 850 + 2**30


@given(st.floats(0, 3600), st.floats(-3600, 3600), st.floats(0, 3600))
def test_waiting_does_not_change_what_can_still_be_saved(
    later_s: float, remaining_s: float, work_s: float
) -> None:
    now = slack_priority(NOW_S, remaining_s, work_s)
    then = slack_priority(NOW_S + later_s, remaining_s - later_s, work_s)
    if remaining_s - later_s >= work_s or remaining_s < work_s:
        assert abs(now - then) <= 1
    else:
        assert then - now >= 2**30 - 1


@given(st.floats(-3600, 3600), st.floats(0, 3600))
def test_it_fits_32_bits(remaining_s: float, work_s: float) -> None:
    assert 0 < slack_priority(NOW_S, remaining_s, work_s) < 2**31
