"""Nothing blocks the event loop: what `langgraph dev` would refuse, with the detector that it uses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.types import Command
from tests.graphs.subgraph.office import approved_too, asking, parent

from inframind.graphs.state import RouteContext
from inframind.plugin.config import settings_from
from inframind.plugin.mind import InfraMind

blockbuster = pytest.importorskip("blockbuster", reason="needs blockbuster")


@pytest.fixture
def refusing() -> Iterator[None]:
    """Raises BlockingError where a blocking call is made on a running loop."""
    with blockbuster.blockbuster_ctx():
        yield


@pytest.fixture
async def mind(serve: Any, say: Any, tmp_path: Path, refusing: None) -> AsyncIterator[InfraMind]:
    """Built in a thread, with a learned policy, a database and real sockets; used and closed on the loop."""
    servers = [await serve(say(lambda asked: f"I say \\boxed{{{id(asked)}}}")) for _ in range(2)]
    endpoints = [
        {"name": f"e{i}", "base_url": server.base_url, "model": f"m{i}"} for i, server in enumerate(servers)
    ]
    values = {
        "endpoints": endpoints,
        "policy": {"name": "learned"},
        "traces": {"url": f"sqlite:///{tmp_path / 'traces.db'}"},
    }
    mind = await asyncio.to_thread(lambda: InfraMind(settings_from(values), topologies=approved_too()))
    yield mind
    await mind.aclose()


@pytest.mark.parametrize("topology", [None, "IO", "Chain", "Debate", "Reflection"])
async def test_a_run_over_sockets_with_a_database_never_blocks_the_loop(
    mind: InfraMind, tmp_path: Path, topology: str | None
) -> None:
    async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "checkpoints.db")) as saver:
        app = parent(mind).compile(checkpointer=saver)
        context = RouteContext(topology=topology, team_size=2 if topology else None)
        state = await app.ainvoke(asking(), {"configurable": {"thread_id": "t"}}, context=context)
    assert state["messages"][-1].text


async def test_an_interrupt_and_what_follows_it_never_block_the_loop(mind: InfraMind, tmp_path: Path) -> None:
    config: Any = {"configurable": {"thread_id": "t"}}
    async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "checkpoints.db")) as saver:
        app = parent(mind).compile(checkpointer=saver)
        context = RouteContext(topology="Approved", team_size=2)
        await app.ainvoke(asking(), config, context=context)
        state = await app.ainvoke(Command(resume="yes"), config)
    trace = await mind.atrace(state["messages"][-1].response_metadata["inframind"]["trace_id"])
    assert (trace.status, len(trace.steps)) == ("ok", 2)
    await mind.afeedback(trace.trace_id, solved=True)


async def test_the_detector_detects(refusing: None, tmp_path: Path) -> None:
    with pytest.raises(blockbuster.BlockingError):
        (tmp_path / "file").write_text("x")
