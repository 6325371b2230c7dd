"""Trajectories survive being written down, exactly, or are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inframind.errors import StoreError
from inframind.traces.codec import check_outcome, decode, decode_apart, encode, encode_apart
from inframind.traces.records import Attempt, Decision, Outcome, Skip, Step, Trajectory

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
number = st.floats(allow_nan=False, allow_infinity=False)
maybe_number = st.none() | number
maybe_count = st.none() | st.integers(0, 2**53)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | number | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
plain_data = st.dictionaries(text, plain, max_size=3)


def several(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(strategy, max_size=2).map(tuple)


attempts = st.builds(Attempt, endpoint=text, model=text, error=text, detail=text, elapsed_s=number)
skips = st.builds(Skip, node=text, reason=text, at_s=number)
outcomes = st.builds(
    Outcome,
    feedback_id=text,
    key=text,
    score=maybe_number,
    value=st.none() | text,
    comment=text,
    source=text,
    recorded_at_s=number,
)
decisions = st.builds(
    Decision,
    decision_id=text,
    kind=st.sampled_from(["plan", "step", "pace"]),
    made_s=number,
    policy=text,
    policy_version=text,
    features_version=text,
    actions=several(text),
    probabilities=several(number),
    masked=several(text),
    latency_q50_s=several(number),
    latency_q90_s=several(number),
    chosen=st.integers(0, 100),
    probability=number,
    choice=plain_data,
    seen=plain_data,
    reason=text,
)
steps = st.builds(
    Step,
    step_id=st.integers(0, 100),
    node=text,
    kind=st.sampled_from(["agent", "judge"]),
    position=st.integers(0, 5),
    round=st.integers(1, 5),
    role=text,
    parents=several(st.integers(0, 100)),
    decision_id=text,
    model=text,
    strategy=text,
    endpoint=text,
    served_model=text,
    started_s=number,
    sent_s=maybe_number,
    first_token_s=maybe_number,
    finished_s=number,
    queue_s=maybe_number,
    prompt_tokens=maybe_count,
    completion_tokens=maybe_count,
    cached_tokens=maybe_count,
    finish_reason=text,
    text=text,
    answer=text,
    error=text,
    error_detail=text,
    attempts=several(attempts),
    priority=st.none() | st.integers(-100, 100),
)
trajectories = st.builds(
    Trajectory,
    trace_id=st.text("0123456789abcdef", min_size=32, max_size=32),
    question=text,
    question_id=text,
    domain=text,
    arrived_at_s=number,
    budget_s=number,
    topology=text,
    team=several(text),
    rounds=st.integers(0, 10),
    decisions=several(decisions),
    steps=several(steps),
    skips=several(skips),
    answer=text,
    text=text,
    status=st.sampled_from(["ok", "late", "failed", "cancelled"]),
    error=text,
    error_detail=text,
    latency_s=number,
    metadata=plain_data,
    outcomes=several(outcomes),
)
SMALL = Trajectory(trace_id="a" * 32, question="q", arrived_at_s=0.1 + 0.2, budget_s=20.0)


@settings(max_examples=60, deadline=None)
@given(trajectories)
def test_round_trip_is_exact(trajectory: Trajectory) -> None:
    payload = encode(trajectory)
    assert b"\n" not in payload
    assert decode(payload) == trajectory
    assert decode(payload.decode()) == trajectory
    document, apart = encode_apart(trajectory)
    assert decode_apart(document, apart) == trajectory


def test_damaged_decisions_are_a_store_error_that_names_the_trace() -> None:
    document, _ = encode_apart(SMALL)
    with pytest.raises(StoreError, match=SMALL.trace_id):
        decode_apart(document, b"not compressed")


@settings(max_examples=30, deadline=None)
@given(decisions, st.sampled_from([float("nan"), float("inf"), -float("inf")]))
def test_numbers_that_are_not_finite_are_refused_wherever_they_hide(decision: Decision, bad: float) -> None:
    for hidden in (
        replace(SMALL, latency_s=bad),
        replace(SMALL, metadata={"a": [{"b": bad}]}),
        replace(SMALL, decisions=(replace(decision, probabilities=(bad,)),)),
    ):
        with pytest.raises(StoreError, match=f"{'a' * 32} holds a NaN or infinite number"):
            encode(hidden)


def test_mapping_fields_come_back_as_dicts_and_tuples_inside_them_as_lists() -> None:
    found = decode(encode(replace(SMALL, metadata=MappingProxyType({"pair": (1, 2)}))))
    assert type(found.metadata) is dict
    assert found.metadata == {"pair": [1, 2]}


def test_numpy_floats_are_written_as_the_numbers_they_are() -> None:
    assert decode(encode(replace(SMALL, latency_s=np.float64(0.1)))).latency_s == 0.1


@pytest.mark.parametrize(
    "value", ["\ud800", {1: "key"}, 2**64, object()], ids=["surrogate", "key", "int", "object"]
)
def test_what_json_cannot_hold_is_refused_by_name(value: object) -> None:
    with pytest.raises(StoreError, match=f"trace {'a' * 32} is not plain JSON data"):
        encode(replace(SMALL, metadata={"x": value}))


def test_outcome_is_checked_on_its_own() -> None:
    fine = Outcome(feedback_id="f", key="solved", score=1.0, recorded_at_s=1.0)
    assert check_outcome(fine) is fine
    with pytest.raises(StoreError, match="outcome f holds a NaN"):
        check_outcome(replace(fine, score=float("nan")))


@pytest.mark.parametrize("extra", [{}, {"steps": "a later version may call it otherwise"}])
def test_unknown_version_is_named(extra: dict[str, Any]) -> None:
    document = json.loads(encode(SMALL)) | {"record_version": 99} | extra
    with pytest.raises(StoreError, match="record_version 99 is unknown, this version of InfraMind reads 1"):
        decode(json.dumps(document))


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        (b"", "not a trajectory"),
        (b"\xff\xfe", "not a trajectory"),
        (b"[1]", "not a trajectory"),
        (b'{"trace_id": "a"}', "question: "),
        (encode(SMALL)[:-20], "not a trajectory"),
        (encode(SMALL).replace(b"20.0", b'"20"'), "budget_s: "),
        (encode(SMALL).replace(b'"ok"', b'"fine"'), "status: "),
    ],
)
def test_garbage_is_a_store_error_that_says_where(payload: bytes, problem: str) -> None:
    with pytest.raises(StoreError, match=problem):
        decode(payload)
