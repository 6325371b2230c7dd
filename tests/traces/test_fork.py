"""A store that was open before a fork works in both processes: the child does not wait for threads that it has not."""

from __future__ import annotations

import asyncio
import subprocess
import sys

from inframind.traces.store import open_store

CODE = """
import asyncio, os, sys
from inframind.traces.records import Trajectory
from inframind.traces.store import open_store

def trajectory(n):
    return Trajectory(trace_id=f"{n:032x}", question="q", arrived_at_s=float(n), budget_s=1.0)

async def put(store, *numbers):
    await asyncio.gather(*(store.put(trajectory(n)) for n in numbers))
    return await store.count()

store = open_store(sys.argv[1])
asyncio.run(put(store, 1, 2, 3))
pid = os.fork()
if pid == 0:
    asyncio.run(put(store, 11, 12, 13))
    asyncio.run(store.aclose())
    os._exit(0)
asyncio.run(put(store, 4, 5))
_, status = os.waitpid(pid, 0)
print(status, asyncio.run(put(store, 6)))
asyncio.run(store.aclose())
"""


async def test_parent_and_child_write_through_the_same_store(disk_url: str) -> None:
    command = [sys.executable, "-c", CODE, disk_url]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("0 9\n", "")
    async with open_store(disk_url) as store:
        assert await store.count() == 9
