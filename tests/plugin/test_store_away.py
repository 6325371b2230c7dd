"""A trace store that is away, and what callers notice of it."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from langgraph.graph import START, MessagesState, StateGraph

from inframind.errors import StoreUnavailable
from inframind.traces.memory import MemoryStore
from inframind.traces.records import Trajectory
from inframind.traces.sqlite import SqliteStore


class AwayStore(MemoryStore):
    """Takes no writes while it is away."""

    is_away = True

    async def put(self, trajectory: Trajectory) -> None:
        if self.is_away:
            raise StoreUnavailable("put", "out of reach")
        await super().put(trajectory)

    async def add_alias(self, alias: str, trace_id: str) -> None:
        if self.is_away:
            raise StoreUnavailable("add_alias", "out of reach")
        await super().add_alias(alias, trace_id)


async def test_every_door_answers_without_the_store_and_nothing_is_lost(make_mind: Any, say: Any) -> None:
    store = AwayStore()
    mind = await make_mind(say(lambda asked: "42"), store=store)
    routed = await mind.ainvoke("a routed question?")
    message = await mind.chat_model().ainvoke("a call")
    graph = StateGraph(MessagesState)
    graph.add_node("ask", lambda state: {"messages": [mind.chat_model().invoke(state["messages"])]})
    graph.add_edge(START, "ask")
    state = await mind.budget(graph.compile(), budget_s=20).ainvoke({"messages": [("user", "a graph")]})
    assert (routed.answer, message.text, state["messages"][-1].text) == ("42", "42", "42")
    assert mind.unstored > 0 and await store.list() == []
    store.is_away = False
    await mind.aclose()
    asked = {(await store.get(one.trace_id)).question for one in await store.list()}
    assert len(asked) == 3 and mind.unstored == 0
    assert (await store.get(message.response_metadata["inframind"]["trace_id"])).status == "ok"


async def test_feedback_finds_a_run_by_its_message_although_the_store_was_away(
    make_mind: Any, say: Any
) -> None:
    store = AwayStore()
    mind = await make_mind(say(lambda asked: "42"), store=store)
    message = await mind.chat_model().ainvoke("a call")
    store.is_away = False
    async with asyncio.timeout(30):
        while mind.unstored:  # noqa: ASYNC110 - another thread stores them
            await asyncio.sleep(0.001)
    await mind.afeedback(message_id=message.id, solved=True)
    (summary,) = await store.list()
    assert (await store.get(summary.trace_id)).solved is True


async def test_who_would_rather_be_told_is_told(make_mind: Any, say: Any) -> None:
    mind = await make_mind(
        say(lambda asked: "42"), store=AwayStore(), settings={"traces": {"when_down": "raise"}}
    )
    with pytest.raises(StoreUnavailable, match="out of reach"):
        await mind.ainvoke("a question?")
    assert mind.unstored == 0


async def test_a_locked_file_delays_an_answer_by_no_more_than_patience(
    make_mind: Any, say: Any, tmp_path: Path
) -> None:
    path = tmp_path / "traces.db"
    traces = {"url": f"sqlite:///{path}", "patience_s": 0.05}
    mind = await make_mind(say(lambda asked: "42"), settings={"traces": traces})
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        first = await mind.ainvoke("the first?")
        second = await mind.ainvoke("the second?")
        assert (first.answer, second.answer) == ("42", "42") and mind.unstored >= 2
        other.rollback()
    await mind.aclose()
    async with SqliteStore(path) as store:
        assert {one.trace_id for one in await store.list()} == {first.trace_id, second.trace_id}
