"""How a run's trace ends when its caller goes away, or an application's own breakpoint holds it up."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from tests.graphs.subgraph.office import Office, asking, parent

from inframind.graphs.state import RouteContext
from inframind.traces.memory import MemoryStore
from inframind.traces.records import Trajectory

CONFIG: Any = {"configurable": {"thread_id": "t"}}
ALONE = RouteContext(domain="math", topology="IO", team_size=1)


@dataclass
class HeldStore(MemoryStore):
    """Holds up traces of one status until the test lets them go."""

    held: str = "ok"
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        super().__init__()

    async def put(self, trajectory: Trajectory) -> None:
        if trajectory.status == self.held:
            self.begun.set()
            await self.gate.wait()
        await super().put(trajectory)


@pytest.mark.parametrize("held", ["ok", "open"])
async def test_a_caller_that_goes_while_the_end_is_stored_leaves_a_whole_trace(
    office: Office, held: str
) -> None:
    office.store = store = HeldStore(held=held)
    if held == "open":  # the end has to wait for what was being written before
        office.wire.on_asked = store.begun.wait
    mind = office.mind()
    graph = mind.graph().compile(checkpointer=InMemorySaver())
    task = asyncio.create_task(graph.ainvoke(asking(), CONFIG, context=ALONE))
    await store.begun.wait()
    while mind._services._runs:  # noqa: ASYNC110 - until it is about to store its end, which tells nobody
        await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    store.gate.set()
    await mind._services.drain()
    trace = await office.only_trace()
    assert (trace.status, len(trace.steps)) == ("ok", 1) and trace.text


@dataclass
class SettableClock:
    """The machine's clock, which a test may set forward."""

    ahead_s: float = 0.0

    def now_s(self) -> float:
        return time.monotonic() + self.ahead_s

    def wall_s(self) -> float:
        return time.time() + self.ahead_s


@pytest.mark.parametrize("is_sync", [True, False])
async def test_a_breakpoint_of_the_applications_own_is_not_the_runs_time(
    office: Office, is_sync: bool
) -> None:
    clock = SettableClock()
    routed = office.mind(clock=clock).graph().compile(interrupt_before=["respond"])
    builder = StateGraph(MessagesState, context_schema=RouteContext).add_node("solve", routed)
    graph = builder.add_edge(START, "solve").compile(InMemorySaver())

    async def invoke(asked: Any) -> None:
        if is_sync:
            await asyncio.to_thread(graph.invoke, asked, CONFIG, context=ALONE)
        else:
            await graph.ainvoke(asked, CONFIG, context=ALONE)

    await invoke(asking())
    clock.ahead_s = 86_400.0
    await invoke(None)
    trace = await office.only_trace()
    assert trace.status == "ok" and trace.latency_s < 60.0
    assert 86_400.0 <= trace.metadata["inframind"]["waited_s"] < 86_460.0


async def test_nothing_but_a_new_invocation_counts_as_waiting(office: Office) -> None:
    app = parent(office.mind()).compile(checkpointer=InMemorySaver())
    await app.ainvoke(asking(), CONFIG, context=RouteContext(domain="math", topology="Chain", team_size=3))
    assert (await office.only_trace()).metadata["inframind"]["waited_s"] == 0.0
