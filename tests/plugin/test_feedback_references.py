"""The forms in which a run may be named, and what is said about those that are none."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage

from inframind.errors import ConfigError, UnknownTrace
from inframind.fleet.clock import SystemClock
from inframind.plugin.feedback import record_feedback
from inframind.plugin.references import FeedbackTarget
from inframind.traces.memory import MemoryStore
from inframind.traces.records import Trajectory

RUN = uuid.UUID("22222222-2222-4222-8222-222222222222")


@given(
    run_id=st.uuids(), form=st.sampled_from(["{}", "lc_run--{}", "lc_run--{}-0", "run--{}-12", "run-{}-0"])
)
def test_every_form_of_a_message_id_names_its_run(run_id: uuid.UUID, form: str) -> None:
    message_id = form.format(run_id)
    for target in (
        FeedbackTarget(message_id=message_id),
        FeedbackTarget.of(message_id),
        FeedbackTarget.of(AIMessage("42", id=message_id)),
    ):
        assert target.reference() == f"run:{run_id.hex}"


@given(
    run_id=st.uuids(), convert=st.sampled_from([str, lambda u: u.hex, lambda u: str(u).upper(), lambda u: u])
)
def test_every_form_of_a_run_id_names_the_run(run_id: uuid.UUID, convert: Any) -> None:
    assert FeedbackTarget(run_id=convert(run_id)).reference() == f"run:{run_id.hex}"


def test_a_routed_answer_names_its_trace_rather_than_its_run() -> None:
    message = AIMessage(
        "42", id=f"lc_run--{RUN}", response_metadata={"inframind": {"trace_id": "ab" * 16, "model": "m"}}
    )
    assert FeedbackTarget.of(message).reference() == "ab" * 16


def test_an_answer_of_another_model_names_its_run() -> None:
    message = AIMessage("42", id=f"lc_run--{RUN}", response_metadata={"model_name": "m"})
    assert FeedbackTarget.of(message).reference() == f"run:{RUN.hex}"


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({}, "feedback"),
        ({"trace_id": "ab" * 16, "run_id": RUN}, "feedback"),
        ({"trace_id": ""}, "trace_id"),
        ({"trace_id": "abc"}, "trace_id"),
        ({"trace_id": "ab" * 17}, "trace_id"),
        ({"message_id": "chatcmpl-7"}, "message_id"),
        ({"message_id": f"lc_run--{RUN}-x"}, "message_id"),
        ({"message": AIMessage("42")}, "message.id"),
        ({"message": AIMessage("42", id="chatcmpl-7")}, "message.id"),
        ({"run_id": "t-1"}, "run_id"),
        ({"run_id": f"{RUN}-0"}, "run_id"),
        ({"run_id": 7}, "run_id"),
        ({"thread_id": ""}, "thread_id"),
        ({"thread_id": 7}, "thread_id"),
    ],
)
def test_what_names_no_run_or_two_is_refused_by_field(given: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        FeedbackTarget(**given)
    assert caught.value.field == field


def test_a_damaged_trace_id_in_a_message_is_not_passed_over() -> None:
    message = AIMessage("42", id=f"lc_run--{RUN}", response_metadata={"inframind": {"trace_id": "t-1"}})
    with pytest.raises(ConfigError, match="give the message as it came"):
        FeedbackTarget.of(message)


@pytest.mark.parametrize("about", ["", "chat-7", "g" * 32, HumanMessage("hi", id=f"lc_run--{RUN}"), 7])
def test_a_reference_of_no_form_is_refused_with_all_forms(about: Any) -> None:
    with pytest.raises(ConfigError, match=r"lc_run--<uuid>.*thread_id="):
        FeedbackTarget.of(about)


async def test_a_run_named_by_position_and_by_name_is_refused() -> None:
    async with MemoryStore() as store:
        with pytest.raises(ConfigError, match="by position or by name"):
            await record_feedback(store, RUN, clock=SystemClock(), run_id=RUN, solved=True)
        with pytest.raises(ConfigError, match="say once"):
            await record_feedback(store, clock=SystemClock(), solved=True)


async def test_the_beginning_of_a_trace_id_must_be_of_one_stored_trace() -> None:
    async with MemoryStore() as store:
        with pytest.raises(UnknownTrace, match="abcdef"):
            await FeedbackTarget(trace_id="ABCDEF").resolve(store)
        for end in "12":
            await store.put(
                Trajectory(trace_id="abcdef" + end * 26, question="q", arrived_at_s=0.0, budget_s=1.0)
            )
        with pytest.raises(ConfigError, match="several traces begin so"):
            await FeedbackTarget(trace_id="abcdef").resolve(store)
        assert await FeedbackTarget(trace_id="abcdef1").resolve(store) == "abcdef" + "1" * 26
