"""Closing a mind while something is going on."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from inframind.errors import StoreError
from inframind.traces.memory import MemoryStore
from inframind.traces.sqlite import SqliteStore


class FailingStore(MemoryStore):
    """Takes nothing."""

    async def put(self, trajectory: Any) -> None:
        raise StoreError("put", "no room")


def reads_metrics() -> bool:
    return any(task.get_name() == "inframind-metrics" for task in asyncio.all_tasks())


async def test_closing_in_a_coroutine_keeps_what_its_loop_still_writes(
    make_mind: Any, say: Any, tmp_path: Path
) -> None:
    path = tmp_path / "traces.db"
    mind = await make_mind(say(lambda asked: "x"), settings={"traces": {"url": f"sqlite:///{path}"}})
    with mind, mind.run() as run:
        await mind.chat_model().ainvoke("a")
    await mind.aclose()
    async with SqliteStore(path) as store:
        assert (await store.get(run.trace_id)).status == "ok"


async def test_closing_in_a_coroutine_stops_the_reader_of_its_loop(make_mind: Any, say: Any) -> None:
    mind = await make_mind(say(lambda asked: "x"))
    await mind.chat_model().ainvoke("a")
    assert reads_metrics()
    mind.close()
    async with asyncio.timeout(10):
        while reads_metrics():  # noqa: ASYNC110
            await asyncio.sleep(0)


async def test_a_write_that_fails_does_not_keep_a_mind_from_closing(make_mind: Any, say: Any) -> None:
    mind = await make_mind(say(lambda asked: "x"), store=FailingStore())
    await mind.fleet.watch()
    mind.portal.run(mind.fleet.watch())
    with mind.run():
        pass
    with pytest.raises(StoreError, match="no room"):
        await mind.aclose()
    assert not reads_metrics() and not mind.portal.is_running
