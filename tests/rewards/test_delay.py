"""What is still on its way is neither a zero nor left out of account."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframind.errors import ConfigError
from inframind.rewards.delay import Delays, Feedback, delay_weights


def feedback(*runs: tuple[float | None, float]) -> Feedback:
    """Runs of (delay, or None while nothing came; age)."""
    return Feedback(
        heard_B=np.array([delay is not None for delay, _ in runs]),
        delay_s_B=np.array([delay or 0.0 for delay, _ in runs]),
        age_s_B=np.array([age for _, age in runs]),
    )


def test_without_anything_on_its_way_it_is_the_plain_share() -> None:
    delays = Delays.of(feedback((1.0, 9.0), (1.0, 9.0), (2.0, 9.0), (4.0, 9.0)))
    assert delays.heard_by(np.array([0.5, 1.0, 2.0, 3.9, 4.0])).tolist() == [0.0, 0.5, 0.75, 0.75, 1.0]


def test_a_run_that_is_waited_for_counts_until_its_age() -> None:
    """Kaplan and Meier by hand: four at risk at 1 s, two (one has left at 1.5 s) at 2 s."""
    delays = Delays.of(feedback((1.0, 9.0), (None, 1.5), (2.0, 9.0), (2.0, 9.0)))
    assert delays.heard_by(np.array([1.0, 2.0])).tolist() == pytest.approx([0.25, 1.0])


def test_runs_that_never_get_feedback_do_not_slow_it_down() -> None:
    heard = [(1.0, 9.0), (2.0, 9.0)]
    alone, among_silent = Delays.of(feedback(*heard)), Delays.of(feedback(*heard, *[(None, 9.0)] * 8))
    assert among_silent.share_D.tolist() == pytest.approx(alone.share_D.tolist())


def test_without_any_feedback_it_is_taken_to_come_at_once() -> None:
    assert Delays.of(feedback((None, 1.0))).heard_by(np.array([0.0, 5.0])).tolist() == [1.0, 1.0]


def test_weights_mend_a_share_that_complaints_reach_sooner() -> None:
    """600,000 runs, 70 % good; complaints come at once, praise within ten seconds, runs are up to ten seconds old."""
    rng = np.random.default_rng(7)
    n = 600_000
    is_good, age_s = rng.random(n) < 0.7, rng.uniform(0, 12, n)
    delay_s = np.where(is_good, rng.uniform(0, 10, n), 0.0)
    is_heard = delay_s <= age_s
    said = Feedback(heard_B=is_heard, delay_s_B=delay_s, age_s_B=age_s)
    weights = delay_weights(said, is_good.astype(np.float64))
    assert is_good[is_heard].mean() < 0.6
    assert np.average(is_good, weights=weights) == pytest.approx(0.7, abs=0.01)


@given(
    st.lists(st.tuples(st.none() | st.floats(0, 5), st.floats(5, 9), st.booleans()), min_size=1, max_size=30)
)
def test_weights_are_finite_and_at_least_one_where_something_was_heard(
    runs: list[tuple[float | None, float, bool]],
) -> None:
    said = feedback(*[(delay, age) for delay, age, _ in runs])
    weights = delay_weights(said, np.array([float(good) for *_, good in runs]))
    assert (weights[said.heard_B] >= 1.0 - 1e-9).all()
    assert (weights <= 20.0).all()
    assert (weights[~said.heard_B] == 0.0).all()


def test_feedback_from_the_future_is_refused() -> None:
    with pytest.raises(ConfigError, match="delay_s_B"):
        feedback((2.0, 1.0))


def test_scores_outside_their_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="score_B"):
        delay_weights(feedback((1.0, 2.0)), np.array([3.0]))
