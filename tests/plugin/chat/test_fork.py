"""A process that forks after its first call, as servers with several workers do."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import Any

import pytest

APPLICATION = """
import asyncio, os, signal, sys, warnings

from inframind import ChatInfraMind, InfraMind

warnings.simplefilter("ignore", DeprecationWarning)  # some Pythons warn of forks beside threads
door, path = sys.argv[1:]
if door == "mind":
    mind = InfraMind.from_config(path)
    model = mind.chat_model()
else:
    model = ChatInfraMind(config=path)
call = (lambda: asyncio.run(model.ainvoke("hi"))) if door == "async" else (lambda: model.invoke("hi"))
print(model.invoke("hi").text, flush=True)
model._behind.mind().traces()  # waits for what is being written, see SqliteStore
child = os.fork()
if not child:
    signal.alarm(30)
    try:
        print(call().text, flush=True)
        model.close()
    except RuntimeError as error:
        print(error, flush=True)
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
print(call().text, flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(
    ("door", "in_the_fork"),
    [
        ("sync", "fine"),
        ("async", "fine"),
        ("mind", "threads do not survive a fork; make an InfraMind of its own in each process"),
    ],
)
async def test_a_fork_has_a_fleet_of_its_own_or_is_told_to_make_one(
    serve: Any, say: Any, tmp_path: Any, door: str, in_the_fork: str
) -> None:
    server = await serve(say(lambda asked: "fine"))
    path = tmp_path / "inframind.toml"
    path.write_text(
        f'[[endpoints]]\nname = "e"\nmodel = "m"\nbase_url = "{server.base_url}"\nmetrics = false\n'
        f'[traces]\nurl = "sqlite:///{tmp_path}/traces.db"\n'
    )
    command = [sys.executable, "-c", APPLICATION, door, str(path)]
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=90, check=False
    )
    assert done.stdout.splitlines() == ["fine", in_the_fork, "0", "fine"], done.stderr
