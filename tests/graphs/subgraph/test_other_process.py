"""A run that one process begins and another one ends: after an interrupt, and after a crash."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.types import Command
from tests.graphs.subgraph.office import Office, parent

from inframind.graphs.state import RouteContext
from inframind.traces.sqlite import SqliteStore

ROOT = Path(__file__).resolve().parents[3]
CONFIG = {"configurable": {"thread_id": "t"}}

BEGINS = """
import asyncio, os, sys
from langgraph.checkpoint.sqlite import SqliteSaver
from inframind.graphs.state import RouteContext
from inframind.traces.sqlite import SqliteStore
from tests.graphs.subgraph.office import Office, asking, parent

async def die_during_the_third_call():
    if len(office.wire.asked) == 3:
        while not [trace async for trace in office.store.iter() if len(trace.decisions) == 4]:
            await asyncio.sleep(0.01)
        os._exit(3)

topology, team_size = sys.argv[1], int(sys.argv[2])
office = Office(store=SqliteStore("traces.db"))
office.wire.on_asked = die_during_the_third_call
with SqliteSaver.from_conn_string("checkpoints.db") as saver:
    app = parent(office.mind()).compile(checkpointer=saver)
    context = RouteContext(topology=topology, team_size=team_size)
    app.invoke(asking(), {"configurable": {"thread_id": "t"}}, context=context)
os._exit(3)
"""


@pytest.mark.parametrize(
    ("topology", "team_size", "given", "lasting"),
    [("Approved", 2, Command(resume="yes"), 2), ("Chain", 4, None, 4)],
    ids=["waits for a person", "dies during a call"],
)
async def test_another_process_ends_it_with_the_same_decisions(
    tmp_path: Path, topology: str, team_size: int, given: Command[str] | None, lasting: int
) -> None:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-c", BEGINS, topology, str(team_size)]
    done = subprocess.run(  # noqa: ASYNC221 - nothing else runs on this loop
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 3, done.stderr
    async with SqliteStore(tmp_path / "traces.db") as store:
        office = Office(store=store)
        before = await office.only_trace()
        assert (before.status, len(before.decisions)) == ("open", lasting)
        with SqliteSaver.from_conn_string(str(tmp_path / "checkpoints.db")) as saver:
            mind = office.mind()
            app = parent(mind).compile(checkpointer=saver)
            app.invoke(given, CONFIG, context=RouteContext(topology=topology, team_size=team_size))
            await mind.aclose()
        after = await office.only_trace()
    assert after.status == "ok" and after.decisions[:lasting] == before.decisions
    # LangGraph writes checkpoints beside the next step: a process that dies may have to repeat the step before.
    assert {step.position for step in after.steps} == set(range(team_size))
    assert len({step.decision_id for step in after.steps}) == team_size == len(after.decisions) - 1
