"""What happens in a run is written, whenever it happens."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import pytest

from inframind.graphs.journal import Journal
from inframind.traces.memory import MemoryStore
from inframind.traces.records import Trajectory


class TellingStore(MemoryStore):
    """Has something called right after it stored a trace, when the writer has just ended."""

    def __init__(self) -> None:
        super().__init__()
        self.after_put: Callable[[], None] | None = None

    async def put(self, trajectory: Trajectory) -> None:
        await super().put(trajectory)
        then, self.after_put = self.after_put, None
        if then is not None:
            asyncio.get_running_loop().call_soon(then)


def run_of(question: str) -> Trajectory:
    return Trajectory(trace_id="4" * 32, question=question, arrived_at_s=0.0, budget_s=1.0, status="open")


async def test_what_happens_as_a_writer_ends_is_written_too() -> None:
    store = TellingStore()
    journal = Journal(store.put)
    store.after_put = lambda: journal.write_soon("4" * 32, lambda: run_of("after"))
    journal.write_soon("4" * 32, lambda: run_of("before"))
    while writers := journal.pending():
        await asyncio.wait(writers)
    assert (await store.get("4" * 32)).question == "after"


async def test_a_store_that_was_closed_meanwhile_is_only_logged(caplog: pytest.LogCaptureFixture) -> None:
    unseen: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: unseen.append(context))
    store = MemoryStore()
    journal = Journal(store.put)
    journal.write_soon("4" * 32, lambda: run_of("late"))
    await store.aclose()
    await asyncio.wait(journal.pending())
    gc.collect()
    assert not unseen and not journal.pending()
    (said,) = caplog.messages
    assert said.startswith(
        f"the trace {'4' * 32} of a run in progress was not written: the trace store is closed"
    )


async def test_a_write_that_fails_with_nobody_waiting_is_logged(
    make_mind: Any, say: Any, caplog: pytest.LogCaptureFixture
) -> None:
    unseen: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: unseen.append(context))
    store = MemoryStore()
    mind = await make_mind(say(lambda asked: "x"), store=store)
    await store.aclose()
    mind.calls.services.also_known_as("4" * 32, ["another name"])
    for _ in range(3):
        await asyncio.sleep(0)
    gc.collect()
    assert not unseen
    (said,) = caplog.messages
    assert "failed: the trace store is closed" in said
