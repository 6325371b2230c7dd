"""`inframind learn`: what it keeps, what it only says, and what it refuses."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from inframind.fleet.clock import SystemClock
from inframind.plugin.cli import app
from inframind.plugin.mind import InfraMind
from inframind.plugin.online.learning import LEARNER
from inframind.traces.shelf import Shelf
from inframind.traces.shelves import shelf_of
from inframind.traces.store import open_store

CONFIG = """
[[endpoints]]
name = "e0"
model = "m0"
base_url = "{url}"
metrics = false

[policy]
name = "learned"
exploration = 0.2

[traces]
url = "sqlite:///traces.db"

[online]
enabled = {enabled}
learner = "{learner}"
publish_every = 3

[online.gate]
settle_s = 0.01
alarm_s = 0.01
"""


@pytest.fixture
async def written(serve: Any, say: Any, tmp_path: Path) -> AsyncIterator[Callable[..., Path]]:
    """``config = written()``: a configuration; its server stays for the test."""
    server = await serve(say(lambda asked: "x"))

    def write(*, enabled: bool = True, learner: str = "separate") -> Path:
        path = tmp_path / "inframind.toml"
        path.write_text(CONFIG.format(url=server.base_url, enabled=str(enabled).lower(), learner=learner))
        return path

    yield write


async def run(config: Path, *words: str) -> Result:
    """In a thread, for a command has a loop of its own; it sets no signal handler there."""
    return await asyncio.to_thread(CliRunner().invoke, app, ["learn", *words, "--config", str(config)])


async def answer(config: Path, runs: int) -> None:
    async with InfraMind.from_config(config) as mind:
        for number in range(runs):
            result = await mind.ainvoke(f"q{number}", topology="IO", team_size=1)
            await mind.afeedback(result.trace_id, solved=True)


async def on_shelf(config: Path, ask: Callable[[Shelf], Any]) -> Any:
    async with open_store(f"sqlite:///{config.parent / 'traces.db'}") as store:
        return await ask(shelf_of(store))


async def test_what_there_is_is_learned_once_and_published(written: Callable[..., Path]) -> None:
    config = written()
    await answer(config, 4)
    done = await run(config, "--once")
    assert done.exit_code == 0, done.output
    assert "4 runs learned, 4 of them labelled" in done.output
    assert "watched in the shadow" in done.output
    progress = await on_shelf(config, lambda shelf: shelf.progress(LEARNER))
    assert progress.learned == 4
    again = await run(config, "--once")
    assert (again.exit_code, again.output) == (0, "nothing new to learn; 4 labelled in all\n")


async def test_a_dry_run_keeps_nothing(written: Callable[..., Path]) -> None:
    config = written()
    await answer(config, 4)
    told = json.loads((await run(config, "--dry-run", "--json")).output)
    assert (told["learned"], told["labelled"], told["labels"]) == (4, 4, {"api": 4})
    assert told["lessons"]["matured"] == 4
    assert len(told["published"]) == 64
    assert await on_shelf(config, lambda shelf: shelf.progress(LEARNER)) is None
    assert await on_shelf(config, lambda shelf: shelf.policies()) == []
    shown = (await run(config, "--dry-run")).output
    assert "nothing of this was kept" in shown
    assert "labels by" in shown


async def test_where_another_leads_nothing_is_learned(written: Callable[..., Path]) -> None:
    config = written()
    await answer(config, 2)

    async def lead(shelf: Shelf) -> Result:
        async with shelf.lead(LEARNER, "another", now_s=SystemClock().wall_s(), ttl_s=60) as leads:
            assert leads
            return await run(config, "--once")

    done = await on_shelf(config, lead)
    assert (done.exit_code, "another process leads" in done.output) == (1, True)
    assert await on_shelf(config, lambda shelf: shelf.progress(LEARNER)) is None


@pytest.mark.parametrize("learner", ["off", "in-process"])
async def test_a_configuration_in_which_others_learn_is_refused(
    written: Callable[..., Path], learner: str
) -> None:
    done = await run(written(learner=learner), "--once")
    assert (done.exit_code, "learner = 'separate'" in done.output) == (2, True)


async def test_two_ways_at_once_are_refused(written: Callable[..., Path]) -> None:
    done = await run(written(), "--once", "--dry-run")
    assert (done.exit_code, "give one of them" in done.output) == (2, True)


async def test_a_diff_says_what_a_candidate_would_do_otherwise(written: Callable[..., Path]) -> None:
    config = written()
    await answer(config, 4)
    await run(config, "--once")
    words = ["policies", "diff", "configured", "candidate", "--config", str(config)]
    told = json.loads((await asyncio.to_thread(CliRunner().invoke, app, [*words, "--json"])).output)
    assert (told["old"], told["runs"]) == ("", 4)
    assert told["decisions"] == 8  # a plan and a step each
    assert set(told["offsets"]) == {f"m0/{name}" for name in ("Concise", "DeepThink", "Flash", "Plain")}
    shown = (await asyncio.to_thread(CliRunner().invoke, app, words)).output
    assert "of 8 decisions of the last 4 runs" in shown
    assert "graded runs" in shown


async def first_line(config: Path) -> str:
    """What a learner that goes on says first."""
    words = (sys.executable, "-m", "inframind", "learn", "--config", str(config))
    learner = await asyncio.create_subprocess_exec(*words, stdout=subprocess.PIPE)
    assert learner.stdout is not None
    try:
        return (await learner.stdout.readline()).decode()
    finally:
        learner.terminate()
        await learner.wait()


async def test_a_learner_says_at_once_that_it_leads_and_what_it_waits_for(
    written: Callable[..., Path],
) -> None:
    config = written()
    async with InfraMind.from_config(config) as mind:
        for number in range(3):
            await mind.ainvoke(f"q{number}", topology="IO", team_size=1)
    assert await first_line(config) == "leading; 3 runs wait for feedback, 0 are ready to be learned\n"


async def test_a_learner_that_stands_by_says_so_and_who_learned_last(written: Callable[..., Path]) -> None:
    config = written()
    await answer(config, 2)
    assert (await run(config, "--once")).exit_code == 0

    async def lead(shelf: Shelf) -> str:
        async with shelf.lead(LEARNER, "another", now_s=SystemClock().wall_s(), ttl_s=60) as leads:
            assert leads
            return await first_line(config)

    said = await on_shelf(config, lead)
    assert said.startswith(f"another learner leads ({socket.gethostname()}-")
    assert said.endswith(" learned last); standing by\n")
