"""What is said of a run that waits for a person, and that nothing is learned from it."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

from langgraph.checkpoint.memory import InMemorySaver
from rich.console import Console
from tests.graphs.subgraph.office import Office, asking, parent
from typer.testing import CliRunner

from inframind.graphs.state import RouteContext
from inframind.plugin.cli import app as cli
from inframind.plugin.commands.traces import StorePlace, show_trace
from inframind.plugin.explain import explain_trajectory
from inframind.router.learning.learner import Learner
from inframind.router.query_model import QueryModel
from inframind.traces.records import Trajectory
from inframind.traces.sqlite import SqliteStore


async def waiting(office: Office) -> Trajectory:
    app = parent(office.mind()).compile(checkpointer=InMemorySaver())
    context = RouteContext(domain="math", topology="Approved", team_size=2)
    await app.ainvoke(asking(), {"configurable": {"thread_id": "t"}}, context=context)
    return await office.only_trace()


async def test_an_explanation_says_that_the_run_is_open(office: Office) -> None:
    assert "open: it goes on, or waits to be resumed; so far" in explain_trajectory(await waiting(office))


async def test_nothing_is_learned_from_a_run_before_it_ends(office: Office) -> None:
    trace = await waiting(office)
    actions = office.minds[0]._services.decider.actions
    learner = Learner(actions, QueryModel(), seed=1)
    assert learner.learn([trace], {trace.trace_id: True}, 0.5) == {}


def test_open_traces_are_listed_and_shown(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    ident = _stored_open_trace(path)
    listed = CliRunner().invoke(cli, ["traces", "list", "--status", "open", "--store", str(path), "--json"])
    assert listed.exit_code == 0 and ident in listed.stdout
    page = io.StringIO()
    place: Any = StorePlace(config=path, store=str(path))
    show_trace(place, ident, as_json=False, console=Console(file=page, width=120))
    assert "open: " in page.getvalue()


def _stored_open_trace(path: Path) -> str:
    async def main() -> str:
        async with SqliteStore(path) as store:
            office = Office(store=store)
            trace = await waiting(office)
            await office.minds[0].aclose()
            return trace.trace_id

    return asyncio.run(main())
