"""Simulated models that call tools, and schemas that are filled with what was said."""

from __future__ import annotations

from typing import Any

import pytest

from inframind.simulator.model import EchoModel, SimRequest, ToolCaller
from inframind.simulator.schema_fill import Facts, fill_schema

TOOL = {
    "type": "function",
    "function": {
        "name": "book",
        "parameters": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "seats": {"type": "integer", "maximum": 9}},
        },
    },
}
SPEAKER = EchoModel(n_tokens=3)


def request(*messages: dict[str, Any], tools: tuple[Any, ...] = (TOOL,)) -> SimRequest:
    return SimRequest(model="m", messages=messages, context=None, seed=1, tools=tools)


def test_a_tool_is_called_with_what_the_user_said() -> None:
    said = {"role": "user", "content": "Book 4 seats for 'Ann Lee', won't you?"}
    text = ToolCaller(speaker=SPEAKER).reply(request(said)).text
    assert text == '<tool_call>{"name":"book","arguments":{"name":"Ann Lee","seats":4}}</tool_call>'


def test_what_a_tool_said_is_repeated() -> None:
    said = {"role": "tool", "content": "42"}
    assert ToolCaller(speaker=SPEAKER).reply(request(said)).text == "The answer is 42."


@pytest.mark.parametrize(("role", "tools"), [("assistant", (TOOL,)), ("user", ())], ids=["assistant", "none"])
def test_otherwise_the_speaker_speaks(role: str, tools: tuple[Any, ...]) -> None:
    asked = request({"role": role, "content": "4"}, tools=tools)
    assert ToolCaller(speaker=SPEAKER).reply(asked) == SPEAKER.reply(asked)


def test_a_number_that_does_not_fit_is_not_used() -> None:
    schema = TOOL["function"]["parameters"]  # type: ignore[index]
    assert fill_schema(schema, Facts.in_text("Book 40 seats")) == {"name": "text", "seats": 0}
    assert fill_schema({"type": "integer"}, Facts.in_text("2.5 of v3")) == 0
    assert fill_schema({"type": "number"}, Facts.in_text("-2.5 of v3")) == -2.5


def test_each_fact_is_used_once_and_the_rest_is_the_least_that_fits() -> None:
    schema = {"type": "object", "properties": {name: {"type": "integer", "minimum": 1} for name in "abc"}}
    assert fill_schema(schema, Facts.in_text("3 and 4")) == {"a": 3, "b": 4, "c": 1}
