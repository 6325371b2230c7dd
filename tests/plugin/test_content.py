"""Texts that are not to be kept do not reach the store, by whichever door."""

from __future__ import annotations

from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from inframind.errors import ConfigError
from inframind.plugin.chat.model import ChatInfraMind
from inframind.plugin.config import settings_from
from inframind.traces.codec import encode
from inframind.traces.content import is_hashed
from inframind.traces.memory import MemoryStore

HASHED = {"traces": {"url": "memory:", "content": "hash", "content_key_env": "TEST_CONTENT_KEY"}}
SECRET = "Mrs Smith"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_CONTENT_KEY", "a secret of many bytes")


async def everything_in(store: MemoryStore) -> bytes:
    return b"\n".join([encode(run) async for run in store.iter()])


async def test_neither_question_answer_nor_comment_is_stored(make_mind: Any, say: Any) -> None:
    store = MemoryStore()
    mind = await make_mind(say(lambda asked: f"{SECRET} is well."), store=store, settings=HASHED)
    result = await mind.ainvoke(f"How is {SECRET}?")
    await mind.afeedback(result.trace_id, solved=True, comment=f"{SECRET} agrees")
    await ChatInfraMind(mind=mind).ainvoke(f"And where is {SECRET}?")
    await mind.settle()
    assert result.text == f"{SECRET} is well."
    kept = await everything_in(store)
    assert SECRET.encode() not in kept and b"just_enough" in kept
    run = await mind.atrace(result.trace_id)
    assert is_hashed(run.question) and is_hashed(run.text) and run.solved is True
    assert set(run.question_read) == {"difficulty", "log_length", "typical_logit", "prompt_tokens"}


async def test_a_run_is_resumed_with_the_question_that_the_store_does_not_know(
    make_mind: Any, say: Any
) -> None:
    """Another process, with the store and the checkpoints of the first, goes on after a breakpoint."""
    store, saver, asked = MemoryStore(), InMemorySaver(), list[str]()

    def answer(request: Any) -> str:
        asked.append(str(request))
        return "7"

    config = {"configurable": {"thread_id": "t"}}
    first = await make_mind(say(answer), store=store, settings=HASHED)
    graph = first.graph().compile(checkpointer=saver)
    await graph.ainvoke({"messages": [("user", f"How is {SECRET}?")]}, config, interrupt_after=["plan"])
    await first.settle()
    assert SECRET.encode() not in await everything_in(store)
    second = await make_mind(say(answer), store=store, settings=HASHED)
    state = await second.graph().compile(checkpointer=saver).ainvoke(None, config)
    assert state["messages"][-1].content == "7"
    assert all(SECRET in one for one in asked) and asked


@pytest.mark.parametrize(
    ("traces", "named"),
    [
        ({"content": "hash"}, "content_key_env"),
        ({"content_key_env": "TEST_CONTENT_KEY"}, "leave one out"),
        ({"content": "hash", "content_key_env": "NOT_SET_ANYWHERE"}, "NOT_SET_ANYWHERE"),
    ],
)
def test_contradictions_are_refused(traces: dict[str, str], named: str) -> None:
    endpoint = {"name": "e", "base_url": "http://127.0.0.1:1/v1", "model": "m"}
    with pytest.raises(ConfigError, match=named):
        settings_from({"endpoints": [endpoint], "traces": traces}).traces.content_key()
