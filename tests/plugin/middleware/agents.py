"""Servers that speak like models in an agent's loop, and agents on them."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytest.importorskip("langchain", reason="needs pip install 'inframind[langchain]'")

from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.tools import tool
from pydantic import Field

from inframind.fleet.clock import SystemClock
from inframind.plugin.middleware import InfraMindMiddleware

QUESTION = "What is the weather in Oslo?"
ASK = {"messages": [("user", QUESTION)]}


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"rain in {city}"


class Unrouted(FakeListChatModel):
    """The model of an agent that is not routed yet."""

    responses: list[str] = Field(default_factory=lambda: ["unrouted"])

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        """Tools are not used."""
        return self


class SkippingClock(SystemClock):
    """The system's clock, in which a test lets time go by at once."""

    skipped_s = 0.0

    def now_s(self) -> float:
        return super().now_s() + self.skipped_s

    def wall_s(self) -> float:
        return super().wall_s() + self.skipped_s


async def call_tool(wire: Any, name: str, **arguments: Any) -> None:
    """Answer with one tool call."""
    function = {"name": name, "arguments": json.dumps(arguments)}
    call = {"id": "call-1", "type": "function", "function": function}
    if not wire.asked.body.get("stream"):
        return await _reply(wire, {"content": None, "tool_calls": [call]}, "tool_calls", 5)
    delta = {"tool_calls": [{"index": 0, **call}]}
    await wire.begin()
    await wire.event({"id": "r1", "model": wire.model, "choices": [{"index": 0, "delta": delta}]})
    await wire.piece(None, finish_reason="tool_calls")
    await wire.event({"id": "r1", "model": wire.model, "choices": [], "usage": _usage(5)})
    await wire.end()
    return None


async def say(wire: Any, *pieces: str) -> None:
    """Answer with text, a token per piece."""
    if wire.asked.body.get("stream"):
        await wire.answer(*pieces)
    else:
        await _reply(wire, {"content": "".join(pieces)}, "stop", len(pieces))


async def _reply(wire: Any, message: dict[str, Any], finish: str, tokens: int) -> None:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    await wire.reply(200, {"id": "r1", "model": wire.model, "choices": [choice], "usage": _usage(tokens)})


def _usage(tokens: int) -> dict[str, int]:
    return {"prompt_tokens": 7, "completion_tokens": tokens, "total_tokens": 7 + tokens}


async def react(wire: Any) -> None:
    """Ask for the weather of Oslo where there is a tool for it, and then say what the tool said."""
    body = wire.asked.body
    if body is None:
        await wire.fail(404)
    elif body["messages"][-1]["role"] == "tool":
        await say(wire, "It is ", "said ", "to be: ", str(body["messages"][-1]["content"]))
    elif body.get("tools"):
        await call_tool(wire, "weather", city="Oslo")
    else:
        await say(wire, "no ", "tools")


async def echo(wire: Any) -> None:
    """Repeat the last message."""
    if wire.asked.body is None:
        await wire.fail(404)
    else:
        await say(wire, wire.asked.prompt)


async def unavailable(wire: Any) -> None:
    """Fail every call."""
    await wire.fail(503)


def failing(times: int, then: Any = react) -> Any:
    """A script that fails so many calls, and then does as ``then``."""
    left = [times]

    async def script(wire: Any) -> None:
        if wire.asked.body is None:
            return await wire.fail(404)
        if left[0]:
            left[0] -= 1
            return await wire.fail(503)
        return await then(wire)

    return script


def make_agent(mind: Any, *before: Any, after: Any = (), tools: Any = (weather,), **options: Any) -> Any:
    """An agent with the middleware, after the middleware ``before`` and before that of ``after``."""
    said = {name: options.pop(name) for name in ("strategy", "budget_s", "role") if name in options}
    if "routed" in options:
        said["model"] = options.pop("routed")
    model = options.pop("model", None) or Unrouted()
    middleware = [*before, InfraMindMiddleware(mind, **said), *after]
    return create_agent(model, list(tools), middleware=middleware, **options)


async def only_trace(mind: Any) -> Any:
    """The one trace that there is."""
    (summary,) = await mind.store.list()
    return await mind.store.get(summary.trace_id)


async def statuses(mind: Any) -> list[str]:
    """The status of every trace, sorted."""
    return sorted(summary.status for summary in await mind.store.list())
