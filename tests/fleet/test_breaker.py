"""The circuit breaker, as literal histories and as invariants."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframind.errors import ConfigError
from inframind.fleet.breaker import Breaker, BreakerConfig, Permit

CONFIG = BreakerConfig(failure_threshold=2, open_s=2.0, max_open_s=5.0, trial_timeout_s=10.0)


def opened(at_s: float = 0.0) -> Breaker:
    breaker = Breaker(CONFIG)
    for _ in range(2):
        permit = breaker.admit(at_s)
        assert permit is not None
        breaker.record_failure(permit, at_s)
    return breaker


def trial(breaker: Breaker, now_s: float) -> Permit:
    permit = breaker.admit(now_s)
    assert permit is not None and permit.trial is not None
    return permit


def test_only_consecutive_failures_open() -> None:
    breaker = Breaker(CONFIG)
    for _ in range(5):
        breaker.record_failure(Permit(), 0.0)
        breaker.record_success()
    assert breaker.state(0.0) == "closed"
    breaker.record_failure(Permit(), 0.0)
    assert breaker.state(0.0) == "closed"
    breaker.record_failure(Permit(), 0.0)
    assert breaker.state(0.0) == "open"


@pytest.mark.parametrize(
    ("now_s", "state", "allows"),
    [(0.0, "open", False), (1.99, "open", False), (2.0, "half_open", True), (1e6, "half_open", True)],
)
def test_an_open_breaker_becomes_half_open_with_time(now_s: float, state: str, allows: bool) -> None:
    breaker = opened()
    assert (breaker.state(now_s), breaker.allows(now_s)) == (state, allows)


def test_each_failed_trial_doubles_the_wait_up_to_its_limit_and_success_resets_it() -> None:
    breaker, now_s = opened(), 0.0
    for wait_s in (2.0, 4.0, 5.0, 5.0):
        assert breaker.state(now_s + wait_s - 0.01) == "open"
        now_s += wait_s
        breaker.record_failure(trial(breaker, now_s), now_s)
    trial(breaker, now_s + 5.0)
    breaker.record_success()
    assert breaker.state(now_s + 5.0) == "closed"
    for _ in range(2):
        breaker.record_failure(Permit(), 100.0)
    assert (breaker.state(101.99), breaker.state(102.0)) == ("open", "half_open")


def test_half_open_lets_one_trial_through_until_it_ends_or_times_out() -> None:
    breaker = opened()
    first = trial(breaker, 2.0)
    assert breaker.admit(2.0) is None and not breaker.allows(11.99)
    breaker.record_abandoned(first)
    trial(breaker, 3.0)
    assert breaker.admit(12.99) is None
    trial(breaker, 13.0)


def test_calls_sent_before_it_opened_do_not_speak_for_the_trial() -> None:
    breaker = Breaker(CONFIG)
    old = breaker.admit(0.0)
    assert old == Permit()
    for _ in range(2):
        breaker.record_failure(Permit(), 0.0)
    trial(breaker, 2.0)
    breaker.record_abandoned(old)
    assert breaker.admit(2.0) is None
    breaker.record_failure(old, 2.0)
    assert breaker.state(2.0) == "half_open"


def test_a_trial_that_was_replaced_no_longer_counts() -> None:
    breaker = opened()
    slow = trial(breaker, 2.0)
    trial(breaker, 12.0)
    breaker.record_failure(slow, 12.0)
    assert breaker.state(12.0) == "half_open" and breaker.admit(12.0) is None


def unreachable_since(opened_at_s: float) -> Breaker:
    breaker = Breaker(CONFIG)
    for _ in range(CONFIG.failure_threshold):
        breaker.record_failure(Permit(), opened_at_s, unreachable=True)
    return breaker


def test_an_unreachable_endpoint_that_is_seen_alive_gets_a_trial_at_once() -> None:
    breaker = unreachable_since(1.0)
    breaker.record_seen(0.9)
    assert breaker.state(1.5) == "open"
    breaker.record_seen(1.4)
    assert breaker.state(1.5) == "half_open"


def test_being_seen_says_nothing_about_an_endpoint_that_answers_with_errors() -> None:
    breaker = opened()
    breaker.record_seen(0.5)
    assert breaker.state(0.5) == "open"


def test_being_seen_changes_nothing_while_closed() -> None:
    closed = Breaker(CONFIG)
    closed.record_seen(0.0)
    assert closed.state(0.0) == "closed"


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["admit", "ok", "fail", "abandon", "seen"]), st.integers(0, 9), st.floats(0, 3)
        ),
        max_size=60,
    )
)
def test_there_is_never_more_than_one_trial_at_a_time(history: list[tuple[str, int, float]]) -> None:
    breaker = Breaker(BreakerConfig(failure_threshold=2, open_s=1.0, max_open_s=4.0, trial_timeout_s=1e9))
    sent: list[Permit] = []
    now_s = 0.0
    for what, which, later_s in history:
        now_s += later_s
        if what == "admit":
            permit = breaker.admit(now_s)
            assert (permit is not None) or breaker.state(now_s) != "closed"
            sent += [permit] if permit else []
        elif what == "seen":
            breaker.record_seen(now_s)
        elif sent:
            permit = sent.pop(which % len(sent))
            if what == "ok":
                breaker.record_success()
                sent = [Permit() for _ in sent]  # closed again: what was a trial is an ordinary call now
            elif what == "fail":
                breaker.record_failure(permit, now_s, unreachable=which % 2 == 0)
            else:
                breaker.record_abandoned(permit)
        assert sum(permit.trial is not None for permit in sent) <= 1


@pytest.mark.parametrize(
    ("field", "value"),
    [("failure_threshold", 0), ("open_s", 0.0), ("open_s", 61.0), ("trial_timeout_s", 0.0)],
)
def test_impossible_settings_are_refused(field: str, value: float) -> None:
    with pytest.raises(ConfigError) as caught:
        BreakerConfig(**{field: value})  # type: ignore[arg-type]
    assert caught.value.field == f"breaker.{field}"


def test_a_reported_failure_counts_like_one_that_was_let_through() -> None:
    breaker = Breaker(CONFIG)
    breaker.record_reported(0.0, 1.0)
    assert breaker.state(1.0) == "closed"
    breaker.record_reported(0.0, 1.0)
    assert breaker.state(1.0) == "open"


def test_one_reported_failure_opens_where_the_reporter_says_that_it_is_enough() -> None:
    breaker = Breaker(CONFIG)
    breaker.record_reported(0.0, 1.0, unreachable=True, opens=True)
    assert breaker.state(2.99) == "open"
    breaker.record_seen(1.5)
    assert breaker.state(1.5) == "half_open"


def test_reports_of_calls_from_before_it_opened_are_old_news() -> None:
    breaker = opened(at_s=1.0)
    breaker.record_reported(0.5, 3.5)
    assert breaker.state(3.5) == "half_open"


def test_a_report_is_the_trial_where_one_is_due_and_nobody_elses() -> None:
    breaker = opened()
    trial(breaker, 2.0)
    breaker.record_reported(2.0, 2.5)
    assert breaker.state(2.5) == "half_open"
    breaker.record_abandoned(Permit(1))
    breaker.record_reported(2.0, 2.5)
    assert (breaker.state(6.4), breaker.state(6.5)) == ("open", "half_open")
