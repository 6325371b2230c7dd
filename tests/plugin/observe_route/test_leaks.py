"""A watched, budgeted graph with a routed graph inside and a checkpointer leaves nothing behind, however runs end."""

from __future__ import annotations

import asyncio
import gc
import threading
import uuid
from contextlib import suppress
from typing import Any

from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, interrupt
from tests.graphs.subgraph.office import Office
from tests.plugin.leftovers import drop_cancelled_timers

from inframind.graphs.recorder import RunRecorder
from inframind.graphs.state import RouteContext
from inframind.plugin.calls.replays import Replays
from inframind.plugin.calls.scope import RunScope
from inframind.plugin.graphs.heard import HeardCall
from inframind.plugin.graphs.live_runs import LiveRun
from inframind.plugin.mind import InfraMind
from inframind.traces.memory import MemoryStore

BATCH = ("go", "go", "wait", "fail", "hang") * 4
REMEMBERED = 10
"""Tasks whose decisions are remembered, with their runs."""


class Application:
    """Asks their model, ours and a routed graph, and then ends as the question says."""

    def __init__(self, mind: InfraMind) -> None:
        self._theirs, self._ours = FakeListChatModel(responses=["theirs"]), mind.chat_model()
        self._saver, self._hanging = InMemorySaver(), dict[str, asyncio.Event]()
        builder = StateGraph(MessagesState, context_schema=RouteContext)
        builder.add_sequence(
            [self._theirs_says, self._ours_says, ("solve", mind.graph().compile()), self._ending]
        )
        builder.add_edge(START, "_theirs_says")
        self._graph = mind.budget(mind.observe(builder.compile(self._saver)), budget_s=30)

    async def run(self, question: str) -> None:
        """One run to its end, and its thread forgotten."""
        thread = uuid.uuid4().hex
        task = asyncio.create_task(self._invoke({"messages": [HumanMessage(question, id=thread)]}, thread))
        if question == "hang":
            await self._hanging.setdefault(thread, asyncio.Event()).wait()
            task.cancel()
        with suppress(asyncio.CancelledError, LookupError):
            await task
        if question == "wait":
            await self._invoke(Command(resume="go on"), thread)
        self._hanging.pop(thread, None)
        self._saver.delete_thread(thread)

    async def _invoke(self, asked: Any, thread: str) -> None:
        config: Any = {"configurable": {"thread_id": thread}}
        await self._graph.ainvoke(asked, config, context=RouteContext(topology="IO", team_size=1))

    async def _theirs_says(self, state: Any) -> Any:
        await self._theirs.ainvoke("theirs")
        return {}

    async def _ours_says(self, state: Any) -> Any:
        async for _ in self._ours.astream("ours"):
            pass
        return {}

    async def _ending(self, state: Any) -> Any:
        asked = state["messages"][0]
        if asked.text == "wait":
            interrupt("go on?")
        if asked.text == "fail":
            raise LookupError
        if asked.text == "hang":
            self._hanging.setdefault(asked.id, asyncio.Event()).set()
            await asyncio.Event().wait()
        return {}


async def left_behind(mind: InfraMind) -> dict[str, int]:
    """What is there once all has been written."""
    for _ in range(2):
        await mind.calls.services.drain()
        await asyncio.to_thread(mind.portal.run, mind.calls.services.drain())
    await drop_cancelled_timers()
    gc.collect()
    things = gc.get_objects()
    kinds = (LiveRun, HeardCall, RunRecorder, RunScope)
    # Not isinstance, which asks strangers for their class: some answer with a warning.
    # The loop's own pool grows to its few workers as chance has it.
    threads = sum(not thread.name.startswith("asyncio_") for thread in threading.enumerate())
    counts = {kind.__name__: sum(type(thing) is kind for thing in things) for kind in kinds}
    return {
        **counts,
        "tasks": len(asyncio.all_tasks()),
        "threads": threads,
        "in memory": mind.live_runs.in_memory,
    }


async def test_a_hundred_runs_that_end_in_any_way_leave_nothing_behind() -> None:
    office = Office(store=MemoryStore(max_traces=10))
    async with office.mind() as mind:
        await run_a_hundred(mind)
    statuses = {trace.status for trace in await office.store.list()}
    assert statuses <= {"ok", "failed", "cancelled"} and statuses


async def run_a_hundred(mind: InfraMind) -> None:
    mind.calls._replays = Replays(kept=REMEMBERED)
    application = Application(mind)
    # The first batch starts what a mind has once, on whichever loop comes first, and fills what is remembered.
    await asyncio.gather(*map(application.run, BATCH))
    before = await left_behind(mind)
    for _ in range(4):
        await asyncio.gather(*map(application.run, BATCH))
    after = await left_behind(mind)
    # What other tests left may have gone meanwhile.
    grown = {name: (before[name], count) for name, count in after.items() if count > before[name]}
    assert not grown, f"more than before (before, after): {grown}"
    in_progress = list(mind.calls.services._runs)
    assert not in_progress, f"still in progress: {in_progress}"
