"""Pieces of text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframind.simulator.model import EchoModel, SimRequest
from inframind.simulator.tokens import (
    VOCABULARY_SIZE,
    count_prompt_tokens,
    count_tokens,
    prefix_keys,
    prompt_pieces,
    split_tokens,
    token_id,
)


@given(st.text())
def test_pieces_join_back_to_the_text(text: str) -> None:
    pieces = split_tokens(text)
    assert "".join(pieces) == text
    assert all(pieces)
    assert count_tokens(text) == len(pieces)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", []),
        ("the sum of 12345", ["the", " sum", " of", " 123", "45"]),
        ("understanding", ["underst", "anding"]),
        ("x_1 = f(y);\n\n", ["x", "_", "1", " =", " f", "(", "y", ");", "\n\n"]),
    ],
)
def test_literal_pieces(text: str, pieces: list[str]) -> None:
    assert split_tokens(text) == pieces


def test_prose_has_about_four_characters_a_token() -> None:
    prose = "A train leaves the station at nine and travels north at a constant speed of eighty kilometres an hour."
    assert 3.5 < len(prose) / count_tokens(prose) < 6.0


def test_a_prompt_counts_its_template_and_its_tools() -> None:
    messages = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "how many"}]
    assert count_prompt_tokens(messages) == 2 * (3 + 2 + 2) + 3
    tools = [{"type": "function", "function": {"name": "look", "parameters": {}}}]
    assert count_prompt_tokens(messages, tools) > count_prompt_tokens(messages)


def test_parts_and_tool_calls_of_messages_are_counted() -> None:
    parts = [{"role": "user", "content": [{"type": "text", "text": "how many"}]}]
    assert count_prompt_tokens(parts) == count_prompt_tokens([{"role": "user", "content": "how many"}])
    calls = [{"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f"}}]}]
    assert count_prompt_tokens(calls) > count_prompt_tokens([{"role": "assistant", "content": None}])


def test_prefix_keys_agree_up_to_the_first_difference() -> None:
    shared = [{"role": "system", "content": "word " * 40}]
    one = prefix_keys(prompt_pieces([*shared, {"role": "user", "content": "one " * 40}]), 16)
    two = prefix_keys(prompt_pieces([*shared, {"role": "user", "content": "two " * 40}]), 16)
    assert one[:2] == two[:2]
    assert not set(one[3:]) & set(two[3:])


@given(st.text())
def test_token_ids_are_in_the_vocabulary(text: str) -> None:
    assert 0 <= token_id(text) < VOCABULARY_SIZE


@given(seed=st.integers(0, 2**64 - 1), n_tokens=st.integers(0, 40), reasoning_tokens=st.integers(0, 40))
def test_the_echo_model_says_as_many_tokens_as_it_is_told(
    seed: int, n_tokens: int, reasoning_tokens: int
) -> None:
    model = EchoModel(n_tokens=n_tokens, reasoning_tokens=reasoning_tokens)
    reply = model.reply(SimRequest(model="m", messages=(), context=None, seed=seed))
    assert count_tokens(reply.text) == n_tokens
    assert count_tokens(reply.reasoning) == reasoning_tokens
