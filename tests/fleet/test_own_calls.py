"""Our own calls since an instant: both kinds over the same span, whichever was noted last."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from inframind.fleet.own_calls import OwnCalls


def test_calls_after_an_instant_are_counted_by_kind() -> None:
    calls = OwnCalls()
    calls.note_sent(1.0)
    calls.note_sent(2.0)
    calls.note_ended(3.0)
    assert calls.since(0.0, 3.0) == (2, 1)
    assert calls.since(1.0, 3.0) == (1, 1)
    assert calls.since(3.0, 3.0) == (0, 0)


def test_a_kind_that_fell_silent_is_forgotten_like_the_other() -> None:
    calls = OwnCalls()
    calls.note_sent(0.0)
    calls.note_ended(1.0)
    for second in range(2, 40):
        calls.note_ended(float(second))
    # Of the calls sent none is as young as 30 s, and the ended ones before second 10 do not count either.
    assert calls.since(-1.0, 40.0) == (0, 30)


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 60)), max_size=40), st.floats(0, 60), st.floats(0, 30))
def test_both_kinds_count_over_the_same_span(
    events: list[tuple[bool, float]], at_s: float, later_s: float
) -> None:
    calls, now_s = OwnCalls(), max([0.0, *(event_s for _, event_s in events)]) + later_s
    for is_sent, event_s in sorted(events, key=lambda event: event[1]):
        (calls.note_sent if is_sent else calls.note_ended)(event_s)
    counted = [
        sum(kind == is_sent and event_s > at_s and event_s >= now_s - 30.0 for kind, event_s in events)
        for is_sent in (True, False)
    ]
    assert calls.since(at_s, now_s) == tuple(counted)
