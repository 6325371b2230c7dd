"""Sums that a simulated model knows without a key."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframind.simulator.arithmetic import arithmetic_item
from inframind.simulator.prompt_reading import AnswerKey


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("What is 12 * 12?", "144"),
        ("Question:\nWhat is 7^5 - 1?\n\nYour part:\nAnswer.", "16806"),
        ("Compute (3 + 4) / 2.", "\\frac{7}{2}"),
        ("evaluate -3 - -4", "1"),
    ],
)
def test_a_sum_is_worked_out(text: str, answer: str) -> None:
    item = arithmetic_item(text)
    assert item is not None
    assert (item.answer, item.level) == (answer, 1)
    assert AnswerKey().find("", text) == item


@pytest.mark.parametrize(
    "text", ["What is love?", "What is 1/0?", "What is 9^9^9?", "What is 3 +?", "12 * 12", ""]
)
def test_what_is_no_sum_is_not_known(text: str) -> None:
    assert arithmetic_item(text) is None


@given(st.text(max_size=60))
def test_any_text_is_read_without_an_error(text: str) -> None:
    arithmetic_item(f"What is {text}?")
