"""Nothing stays behind, however calls end."""

from __future__ import annotations

import asyncio
import gc
import threading
import tracemalloc
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from tests.plugin.leftovers import drop_cancelled_timers

from inframind.errors import InfraMindError
from inframind.plugin.calls.scope import RunScope
from inframind.plugin.chat import ChatInfraMind
from inframind.traces.memory import MemoryStore

RUNS, TRACED_RUNS, BATCH = 2000, 500, 50
GROWTH_BYTES = 250_000
"""What the last 250 may leave in memory beyond the 250 before them: 1 kB each, where a trace takes several."""


async def answer(wire: Any) -> None:
    """By what is asked: a refusal, a break, an answer that never ends, or words."""
    prompt = wire.asked.prompt
    if prompt == "refuse":
        await wire.fail(400)
    elif prompt == "break":
        await wire.begin()
        await wire.piece("half ")
        wire.drop()
    elif prompt == "hang":
        await wire.begin()
        await wire.piece("half ")
        await wire.gone()
    elif wire.asked.body.get("stream"):
        await wire.answer("all ", "well")
    else:
        await wire.whole("all well")


async def invoke(model: Any) -> None:
    await model.ainvoke("answer")


async def stream(model: Any) -> None:
    async for _ in model.astream("answer"):
        pass


async def refuse(model: Any) -> None:
    with suppress(InfraMindError):
        await model.ainvoke("refuse")


async def break_off(model: Any) -> None:
    with suppress(InfraMindError):
        async for _ in model.astream("break"):
            pass


async def abandon(model: Any) -> None:
    pieces = model.astream("hang")
    await anext(pieces)
    await pieces.aclose()


async def cancel(model: Any) -> None:
    begun = asyncio.Event()

    async def read() -> None:
        async for _ in model.astream("hang"):
            begun.set()

    task = asyncio.create_task(read())
    await begun.wait()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def run_together(model: Any) -> None:
    with model.mind.run("two calls"):
        await asyncio.gather(invoke(model), stream(model))


WAYS = (invoke, stream, refuse, abandon, cancel, invoke, stream, run_together, break_off, invoke)


async def make(model: Any, runs: int) -> None:
    for first in range(0, runs, BATCH):
        batch: list[Coroutine[Any, Any, None]] = [
            WAYS[number % len(WAYS)](model) for number in range(first, first + BATCH)
        ]
        await asyncio.gather(*batch)
    await model.mind._services.drain()


def is_connection(task: asyncio.Task[Any]) -> bool:
    """Whether a task is the scripted server's, for an open connection."""
    return "Servers." in str(task.get_coro())


async def left_behind() -> dict[str, int]:
    """Tasks but for those of open connections, threads, and runs in progress beyond one per open connection.

    What reads a connection keeps the context in which it was opened, and with it a run.
    """
    await drop_cancelled_timers()
    gc.collect()
    # Not isinstance, which asks strangers for their class: some answer with a warning.
    scopes = sum(type(found) is RunScope for found in gc.get_objects())
    connections = sum(map(is_connection, asyncio.all_tasks()))
    tasks = len(asyncio.all_tasks()) - connections
    return {"tasks": tasks, "threads": threading.active_count(), "runs": max(scopes - connections, 0)}


async def traced_bytes(model: Any) -> int:
    """Memory in use that was taken since tracing began, after half of the traced runs."""
    (server,) = model.mind.servers
    await make(model, TRACED_RUNS // 2)
    server.asked.clear()
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


async def test_two_thousand_runs_leave_nothing_behind(make_mind: Any) -> None:
    settings = {"fleet": {"breaker": {"failure_threshold": 1_000_000}}}
    # Not through its codec: that keeps short strings of JSON in a cache of fixed size, which still fills.
    store = MemoryStore(max_traces=10, through_codec=False)
    mind = await make_mind(answer, settings=settings, store=store)
    model, (server,) = ChatInfraMind(mind=mind), mind.servers
    await make(model, RUNS - TRACED_RUNS)
    asked = len(server.asked)
    assert asked >= RUNS - TRACED_RUNS, f"{asked} calls of {RUNS - TRACED_RUNS} runs came to the server"
    before = await left_behind()
    tracemalloc.start()
    try:
        first_bytes, second_bytes = [await traced_bytes(model) for _ in range(2)]
    finally:
        tracemalloc.stop()
    after = await left_behind()
    grown = {name: (before[name], count) for name, count in after.items() if count > before[name]}
    assert not grown, f"more than before (before, after): {grown}"
    assert after["runs"] == 0, f"{after['runs']} more runs that ended are held than connections are open"
    grown_bytes = second_bytes - first_bytes
    assert grown_bytes < GROWTH_BYTES, f"{grown_bytes:,} bytes more, {first_bytes:,} before that"
