"""Names of traces: one form each, whatever the caller or the tracker writes."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframind.traces.aliases import (
    MAX_ALIAS_CHARS,
    canonical,
    check_alias,
    otel_alias,
    run_alias,
    thread_alias,
)

_ANY_TEXT = st.text(st.characters(), min_size=1) | st.text("x", min_size=495, max_size=600)


@given(st.uuids())
def test_a_run_a_trace_and_a_telemetry_trace_of_the_same_digits_are_one(run_id: uuid.UUID) -> None:
    names = (run_id.hex, run_id.hex.upper(), run_alias(run_id), otel_alias(run_id.hex.upper()))
    assert {canonical(name) for name in names} == {run_id.hex}
    assert check_alias(run_alias(run_id)) == run_id.hex


@pytest.mark.parametrize(
    "name", ["thread:" + "a" * 32, "run:abc", "run:" + "g" * 32, "span:00f067aa0ba902b7", "x"]
)
def test_every_other_name_is_kept_as_it_is(name: str) -> None:
    assert canonical(name) == name


@given(_ANY_TEXT)
def test_every_thread_has_an_alias(thread_id: str) -> None:
    alias = check_alias(thread_alias(thread_id))
    assert len(alias) <= MAX_ALIAS_CHARS
    alias.encode()


@given(_ANY_TEXT, _ANY_TEXT)
def test_two_threads_share_no_alias(one: str, other: str) -> None:
    assert (thread_alias(one) == thread_alias(other)) is (one == other)


@pytest.mark.parametrize("thread_id", ["\ud800", "a\0b", "x" * 501])
def test_a_thread_whose_name_no_database_can_hold_is_named_by_its_digest(thread_id: str) -> None:
    assert check_alias(thread_alias(thread_id)).startswith("thread:sha256=")


@pytest.mark.parametrize("thread_id", ["chat-7", "é/答え 🚀", "two\nlines"])
def test_an_ordinary_thread_is_named_in_plain_text(thread_id: str) -> None:
    assert thread_alias(thread_id) == f"thread:{thread_id}"
