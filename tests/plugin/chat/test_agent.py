"""LangChain's agents on the chat model, against simulated servers that call tools."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage
from pydantic import BaseModel

from inframind.plugin.chat import ChatInfraMind
from inframind.plugin.config import settings_from
from inframind.plugin.mind import InfraMind
from inframind.simulator.fleet import SimulatedFleet
from inframind.simulator.model import EchoModel, ToolCaller
from inframind.simulator.profiles import load_profiles
from inframind.simulator.server import ServerSpec

create_agent = pytest.importorskip(
    "langchain.agents", reason="needs a LangGraph that LangChain's agents work with", exc_type=ImportError
).create_agent

MODEL = "qwen2.5-7b"


def double(number: int) -> int:
    """Doubles a number."""
    return 2 * number


class Verdict(BaseModel):
    """A verdict."""

    number: int


@pytest.fixture
async def model() -> AsyncIterator[ChatInfraMind]:
    profile = next(iter(load_profiles().values())).engine
    specs = [ServerSpec(name="s", model=MODEL, profile=profile)]
    async with SimulatedFleet(specs, ToolCaller(speaker=EchoModel(n_tokens=4)), speed=50.0) as fleet:
        endpoint = {
            "name": "s",
            "model": MODEL,
            "base_url": fleet.base_urls["s"],
            "capabilities": ["tools", "json"],
        }
        settings = settings_from({"endpoints": [endpoint], "traces": {"url": "memory:"}})
        async with InfraMind(settings) as mind:
            yield ChatInfraMind(mind=mind)


async def test_an_agent_calls_its_tool_and_answers(model: ChatInfraMind) -> None:
    usage = UsageMetadataCallbackHandler()
    agent = create_agent(model, [double])
    ask: Any = {"messages": [HumanMessage("Double 21, please.")]}
    said = (await agent.ainvoke(ask, {"callbacks": [usage]}))["messages"]
    assert [message.type for message in said] == ["human", "ai", "tool", "ai"]
    assert said[1].tool_calls[0]["args"] == {"number": 21}
    assert said[2].content == "42"
    spent = [message.usage_metadata["total_tokens"] for message in said if isinstance(message, AIMessage)]
    assert usage.usage_metadata[MODEL]["total_tokens"] == sum(spent)


async def test_an_agent_that_answers_in_a_form_takes_the_servers_own_way(model: ChatInfraMind) -> None:
    agent = create_agent(model, [], response_format=Verdict)
    ask: Any = {"messages": [HumanMessage("Double 21, please.")]}
    told = await agent.ainvoke(ask)
    assert told["structured_response"] == Verdict(number=21)
    assert [message.type for message in told["messages"]] == ["human", "ai"]
