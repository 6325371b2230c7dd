"""Texts can be left out of traces; what is learned from stays."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframind.errors import ConfigError
from inframind.traces.codec import decode, encode
from inframind.traces.content import HashedContent, is_hashed
from inframind.traces.records import Attempt, Outcome, Step, ToolCall, Trajectory

HASHED = HashedContent(key=b"a secret of some bytes", read_question=lambda text: {"chars": float(len(text))})
SECRET = "Mrs Smith's diagnosis"

RUN = Trajectory(
    trace_id="0" * 32,
    question=SECRET,
    arrived_at_s=1.0,
    budget_s=1.0,
    answer=SECRET,
    text=f"It is {SECRET}",
    error_detail=f"cannot read {SECRET}",
    steps=(
        Step(
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
            started_s=0.0,
            finished_s=1.0,
            text=SECRET,
            answer=SECRET,
            error_detail=SECRET,
            attempts=(
                Attempt(endpoint="e", model="small", error="RequestRefused", detail=SECRET, elapsed_s=0.1),
            ),
        ),
    ),
    tools=(
        ToolCall(
            call_id="c",
            name="look_up",
            step_id=0,
            started_s=0.0,
            finished_s=1.0,
            error="ValueError",
            error_detail=SECRET,
        ),
    ),
    outcomes=(
        Outcome(feedback_id="f", key="solved", score=1.0, comment=SECRET, recorded_at_s=1.0),
        Outcome(feedback_id="g", key="topic", value=SECRET, recorded_at_s=1.0),
    ),
)
DIGEST_ALIKE = "blake2b:" + "0a" * 16 + ":7"


def test_no_text_is_left_and_everything_else_is() -> None:
    hashed = HASHED(RUN)
    assert SECRET.encode() not in encode(hashed)
    assert hashed.question_read == {"chars": float(len(SECRET))}
    assert (hashed.solved, hashed.steps[0].model, hashed.tools[0].error) == (True, "small", "ValueError")
    assert hashed.steps[0].attempts[0].error == "RequestRefused"
    assert decode(encode(hashed)) == hashed


def test_hashing_again_changes_nothing() -> None:
    assert HASHED(HASHED(RUN)) == HASHED(RUN)


def test_a_question_that_looks_like_a_digest_hides_nothing_from_being_hashed() -> None:
    hashed = HASHED(replace(RUN, question=DIGEST_ALIKE))
    assert SECRET.encode() not in encode(hashed)
    assert hashed.question != DIGEST_ALIKE
    assert HASHED(hashed) == hashed


def test_metadata_is_the_caller_s_and_is_kept() -> None:
    assert HASHED(replace(RUN, metadata={"user": "ann"})).metadata == {"user": "ann"}


def test_an_outcome_without_a_label_gets_none() -> None:
    first, second = HASHED(RUN).outcomes
    assert first.value is None
    assert is_hashed(second.value or "")


@pytest.mark.parametrize(
    "text",
    ["", "blake2b", DIGEST_ALIKE.replace("0a", "0g"), DIGEST_ALIKE + "\n", DIGEST_ALIKE[:-1] + "\u0664"],
)
def test_only_hex_digits_and_a_length_look_like_a_digest(text: str) -> None:
    assert not is_hashed(text)
    assert is_hashed(DIGEST_ALIKE)


@given(st.text() | st.just(DIGEST_ALIKE), st.text() | st.just(DIGEST_ALIKE))
def test_equal_texts_have_equal_digests_and_others_have_others(one: str, other: str) -> None:
    assert (HASHED.digest(one) == HASHED.digest(other)) == (one == other)
    assert one == "" or is_hashed(HASHED.digest(one))


def test_another_key_gives_another_digest() -> None:
    other = replace(HASHED, key=b"another secret of bytes")
    assert other.digest(SECRET) != HASHED.digest(SECRET)


def test_the_key_is_not_shown() -> None:
    assert "secret of some" not in repr(HASHED)


def test_a_short_key_is_refused_without_being_shown() -> None:
    with pytest.raises(ConfigError, match=re.escape("traces.content_key")) as refused:
        HashedContent(key=b"short", read_question=lambda text: {})
    assert "short'" not in str(refused.value)
