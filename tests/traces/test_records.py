"""What the records compute from what they hold."""

from __future__ import annotations

from typing import Any

import pytest

from inframind.errors import ConfigError
from inframind.traces.records import Decision, Outcome, SolvedKeys, Step, Trajectory, solved_of, with_verdict


def step(step_id: int, parents: tuple[int, ...] = (), **changes: Any) -> Step:
    fields: dict[str, Any] = {
        "step_id": step_id,
        "node": "agent",
        "kind": "agent",
        "position": 0,
        "round": 1,
        "role": "Solver",
        "parents": parents,
        "decision_id": "d",
        "model": "m",
        "strategy": "Plain",
        "started_s": 1.0,
        "finished_s": 3.5,
    }
    return Step(**{**fields, **changes})


def trajectory(**changes: Any) -> Trajectory:
    fields = {"trace_id": "0" * 32, "question": "q", "arrived_at_s": 0.0, "budget_s": 10.0}
    return Trajectory(**{**fields, **changes})


def outcome(feedback_id: str, score: float | None, key: str = "solved") -> Outcome:
    return Outcome(feedback_id=feedback_id, key=key, score=score, recorded_at_s=1.0)


@pytest.mark.parametrize(
    ("steps", "depth"),
    [
        ((), 0),
        ((step(0),), 1),
        ((step(0), step(1), step(2)), 1),
        ((step(0), step(1, (0,)), step(2, (1,))), 3),
        ((step(0), step(1), step(2, (0, 1)), step(3, (0, 1)), step(4, (2, 3))), 3),
        ((step(2, (1,)), step(1, (0,)), step(0)), 3),
        ((step(1, (0,)),), 1),
    ],
    ids=["empty", "one", "parallel", "chain", "debate", "ended out of order", "parent not recorded"],
)
def test_serial_depth_is_the_longest_path(steps: tuple[Step, ...], depth: int) -> None:
    assert trajectory(steps=steps).serial_depth == depth


def test_solved_is_unknown_without_a_solved_outcome() -> None:
    assert trajectory().solved is None
    assert trajectory(outcomes=(outcome("a", 1.0, key="tone"), outcome("b", None))).solved is None


def test_latest_solved_outcome_wins() -> None:
    assert trajectory(outcomes=(outcome("a", 1.0), outcome("b", 0.0))).solved is False
    assert trajectory(outcomes=(outcome("a", 0.0), outcome("b", 0.5), outcome("c", None))).solved is True


@pytest.mark.parametrize(
    ("status", "latency_s", "on_time"),
    [("ok", 10.0, True), ("ok", 10.1, False), ("late", 5.0, False), ("failed", 1.0, False)],
)
def test_on_time_needs_an_answer_within_the_budget(status: str, latency_s: float, on_time: bool) -> None:
    assert trajectory(status=status, latency_s=latency_s).on_time is on_time


def test_ttft_counts_from_the_send() -> None:
    assert step(0, sent_s=1.25, first_token_s=2.0).ttft_s == 0.75
    assert step(0, sent_s=1.25).ttft_s is None
    assert step(0, first_token_s=2.0).ttft_s is None


def test_step_latency_is_begin_to_end() -> None:
    assert step(0).latency_s == 2.5


def test_completion_tokens_count_what_was_reported() -> None:
    steps = (step(0, completion_tokens=7), step(1), step(2, completion_tokens=5))
    assert trajectory(steps=steps).completion_tokens == 12


def test_action_is_the_label_of_the_chosen_candidate() -> None:
    decision = Decision(
        decision_id="d",
        kind="pace",
        made_s=0.0,
        policy="p",
        policy_version="1",
        features_version="1",
        actions=("STAY", "ADVANCE"),
        probabilities=(0.25, 0.75),
        masked=("", ""),
        chosen=1,
        probability=0.75,
        choice={"pace": "ADVANCE"},
    )
    assert decision.action == "ADVANCE"


THUMBS = SolvedKeys({"thumbs": 0.5, "user_score": 4.0})


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ([], None),
        ([("tone", 1.0)], None),
        ([("thumbs", 1.0)], True),
        ([("thumbs", 0.0)], False),
        ([("thumbs", 1.0), ("thumbs", 0.0)], False),
        ([("user_score", 4.0)], True),
        ([("user_score", 3.9)], False),
        ([("user_score", 5.0), ("thumbs", 0.0)], False),
        ([("solved", 1.0), ("thumbs", 0.0)], True),
        ([("thumbs", None), ("user_score", 1.0)], False),
    ],
)
def test_the_most_telling_key_with_a_score_decides_by_its_latest(
    said: list[tuple[str, float | None]], verdict: bool | None
) -> None:
    outcomes = [outcome(str(n), score, key) for n, (key, score) in enumerate(said)]
    assert solved_of(outcomes, THUMBS) is verdict


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ([("tone", 1.0)], None),
        ([("thumbs", 1.0)], True),
        ([("solved", 1.0), ("thumbs", 0.0)], True),
        ([("user_score", 1.0)], False),
    ],
)
def test_a_trajectory_carries_the_verdict_to_who_reads_solved_alone(
    said: list[tuple[str, float]], verdict: bool | None
) -> None:
    outcomes = tuple(outcome(str(n), score, key) for n, (key, score) in enumerate(said))
    judged = with_verdict(trajectory(outcomes=outcomes), THUMBS)
    assert judged.solved is verdict
    assert judged.outcomes[: len(outcomes)] == outcomes
    assert with_verdict(judged, THUMBS) == judged


def test_solved_may_be_given_another_place_and_threshold() -> None:
    keys = SolvedKeys({"thumbs": 0.5, "solved": 0.9})
    assert solved_of([outcome("a", 0.8)], keys) is False
    assert solved_of([outcome("a", 1.0), outcome("b", 0.0, key="thumbs")], keys) is False
    assert solved_of([outcome("a", 0.8)]) is True


@pytest.mark.parametrize(
    ("thresholds", "field"),
    [
        ({"": 0.5}, "feedback.solved_keys"),
        ({"thumbs": float("nan")}, "feedback.solved_keys.thumbs"),
        ({"thumbs": True}, "feedback.solved_keys.thumbs"),
    ],
)
def test_keys_without_a_name_or_a_threshold_are_refused(thresholds: dict[str, float], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        SolvedKeys(thresholds)
    assert caught.value.field == field
