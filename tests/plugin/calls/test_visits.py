"""What calls needed, and where they would be on the clock if they had taken that."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframind.plugin.calls.visits import Timeline, Visit, needed_s, slowness, visits_of
from inframind.traces.records import Decision, Step

CALLS = st.lists(
    st.tuples(st.sampled_from("abc"), st.floats(0, 50), st.floats(0, 20)).map(
        lambda call: Visit(call[0], call[1], call[1] + call[2])
    ),
    min_size=1,
    max_size=15,
)


def step(**values: Any) -> Step:
    return Step(
        **{
            "step_id": 0,
            "node": "n",
            "kind": "agent",
            "position": 0,
            "round": 1,
            "role": "",
            "parents": (),
            "decision_id": "d",
            "model": "large",
            "served_model": "large",
            "strategy": "Plain",
            "started_s": 1.0,
            "finished_s": 7.0,
            **values,
        }
    )


def decision(**values: Any) -> Decision:
    return Decision(
        **{
            "decision_id": "d",
            "kind": "step",
            "made_s": 0.0,
            "policy": "p",
            "policy_version": "1",
            "features_version": "1",
            "actions": ("small/Plain", "middle/Plain", "large/Plain"),
            "probabilities": (0.0, 0.0, 1.0),
            "masked": ("", "", ""),
            "latency_q50_s": (1.0, 2.0, 4.0),
            "chosen": 2,
            "probability": 1.0,
            "choice": {},
            **values,
        }
    )


@pytest.mark.parametrize(
    ("step_values", "decision_values", "expected"),
    [
        ({}, {}, 3.0),
        ({"model": "small", "served_model": "small"}, {"chosen": 0}, 12.0),
        # After a failover, what answered counts.
        ({"served_model": "middle"}, {}, 6.0),
        ({"served_model": "a name of the server's own"}, {}, 3.0),
        # What was too slow could have been given; what was not asked for, or could not be called, not.
        ({"served_model": "small"}, {"chosen": 0, "masked": ("", "too slow", "too slow")}, 12.0),
        ({}, {"masked": ("not asked for", "breaker open", "")}, 6.0),
        ({}, {"latency_q50_s": ()}, 6.0),
    ],
)
def test_a_need_is_what_the_middle_candidate_would_have_taken(
    step_values: dict[str, Any], decision_values: dict[str, Any], expected: float
) -> None:
    assert needed_s(step(**step_values), decision(**decision_values)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("values", "expected"),
    [({}, 1.5), ({"served_model": "small"}, 6.0), ({"finished_s": 1.0}, 0.0)],
)
def test_slowness_is_what_it_took_over_what_was_predicted(values: dict[str, Any], expected: float) -> None:
    assert slowness(step(**values), decision()) == pytest.approx(expected)
    assert slowness(step(**values), None) is None


def test_without_a_decision_a_step_needed_what_it_took() -> None:
    assert needed_s(step(), None) == 6.0


def test_steps_that_failed_are_no_visits() -> None:
    steps = [
        step(step_id=0),
        step(step_id=1, error="EndpointTimeout"),
        step(step_id=2, node="m", decision_id=""),
    ]
    assert visits_of(steps, [decision()]) == [Visit("n", 1.0, 7.0, 3.0), Visit("m", 1.0, 7.0, 6.0)]


def test_calls_move_with_what_those_before_them_needed_and_keep_their_gaps() -> None:
    timeline = Timeline.of(
        [
            Visit("write", 6.0, 7.0, 2.0),
            Visit("plan", 0.5, 2.5, 1.0),
            Visit("a", 3.0, 4.0, 5.0),
            Visit("b", 3.0, 5.0, 1.0),
        ]
    )
    assert [visit[:3] for visit in timeline.visits] == [
        ("plan", 0.5, 1.5),
        ("a", 2.0, 7.0),
        ("b", 2.0, 3.0),
        ("write", 8.0, 10.0),
    ]
    assert [timeline.behind(visit) for visit in timeline.visits] == [
        (0.0, 8.5),
        (0.0, 3.0),
        (4.0, 3.0),
        (0.0, 0.0),
    ]


@given(calls=CALLS)
def test_who_needed_what_they_took_stay_where_they_were(calls: list[Visit]) -> None:
    timeline = Timeline.of(calls)
    assert timeline.started_s == pytest.approx(sorted(call.started_s for call in calls))
    assert timeline.finished_s == pytest.approx(sorted(call.finished_s for call in calls))


@given(calls=CALLS, factor=st.floats(0, 4))
def test_nothing_is_left_of_a_run_after_its_last_call_and_nothing_is_negative(
    calls: list[Visit], factor: float
) -> None:
    timeline = Timeline.of([call._replace(need_s=factor * call.needed_s) for call in calls])
    behind = [timeline.behind(visit) for visit in timeline.visits]
    assert all(idle_s >= 0 and after_s >= 0 for idle_s, after_s in behind)
    assert min(after_s for _, after_s in behind) == 0
