"""Agents are invoked by either of their doors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("langchain", reason="needs pip install 'inframind[langchain]'")

Run = Callable[..., Any]


@pytest.fixture(params=["sync", "async"])
def run(request: pytest.FixtureRequest) -> Run:
    """``await run(agent, input, ...)`` by the agent's synchronous or asynchronous door."""

    async def sync(agent: Any, *args: Any, **options: Any) -> Any:
        return await asyncio.to_thread(agent.invoke, *args, **options)

    async def asynchronous(agent: Any, *args: Any, **options: Any) -> Any:
        return await agent.ainvoke(*args, **options)

    return sync if request.param == "sync" else asynchronous


@pytest.fixture
def thread() -> dict[str, Any]:
    """The configuration of one conversation."""
    return {"configurable": {"thread_id": "t"}}
