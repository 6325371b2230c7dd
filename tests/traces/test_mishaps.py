"""What went wrong in a run is read from its trace."""

from __future__ import annotations

from dataclasses import replace

from inframind.fleet.messages import Attempt
from inframind.traces.mishaps import errors_of
from inframind.traces.records import Step, ToolCall, Trajectory

ANSWERED = Step(
    step_id=0,
    node="agent",
    kind="agent",
    position=0,
    round=1,
    role="Solver",
    parents=(),
    decision_id="d",
    model="small",
    strategy="Flash",
    started_s=1.0,
    finished_s=3.0,
    text="4",
    attempts=(
        Attempt(endpoint="a", model="small", error="EndpointTimeout", detail="", elapsed_s=0.5),
        Attempt(endpoint="b", model="small", error="EndpointOverloaded", detail="", elapsed_s=0.25),
    ),
)
RUN = Trajectory(
    trace_id="0" * 32, question="2 + 2?", arrived_at_s=0.0, budget_s=9.0, text="4", latency_s=4.0
)


def test_a_run_without_errors_has_none() -> None:
    assert errors_of(replace(RUN, steps=(replace(ANSWERED, attempts=()),))) == ()


def test_attempts_are_recovered_by_the_answer_that_came_after_them() -> None:
    events = errors_of(replace(RUN, steps=(ANSWERED,)))
    assert [(event.where, event.at_s, event.recovered) for event in events] == [
        ("a", 1.5, True),
        ("b", 1.75, True),
    ]


def test_a_failed_step_is_recovered_by_a_run_that_answered_all_the_same() -> None:
    failed = replace(ANSWERED, attempts=(), text="", error="EndpointTimeout")
    assert [event.recovered for event in errors_of(replace(RUN, steps=(failed,)))] == [True]


def test_a_failed_run_recovers_nothing_but_attempts_that_were_answered() -> None:
    failed = replace(ANSWERED, step_id=1, attempts=(), text="", error="FleetExhausted", finished_s=3.5)
    tool = ToolCall(call_id="c", name="look_up", step_id=0, started_s=3.0, finished_s=3.2, error="KeyError")
    run = replace(
        RUN, steps=(ANSWERED, failed), tools=(tool,), status="failed", text="", error="FleetExhausted"
    )
    assert [(event.kind, event.recovered) for event in errors_of(run)] == [
        ("attempt", True),
        ("attempt", True),
        ("tool", False),
        ("step", False),
        ("run", False),
    ]
