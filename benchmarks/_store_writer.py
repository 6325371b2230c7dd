"""Writer processes of the durability benchmark: each says in a file what was acknowledged, and nothing before it was.

Reads ``URL SEED FILE`` from its input, forks a writer for it and says the writer's process id; once the writer has
died, it says that, too. Forking spares each writer the second that importing takes.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
import threading
from dataclasses import replace

import numpy as np
from _store_traces import trajectory

from inframind.errors import StoreError
from inframind.traces.records import Outcome
from inframind.traces.store import TraceStore, open_store

LOOPS, TASKS = 2, 4
SAID_TWICE = 3
"""Every so many pieces of feedback are sent twice, as a client does that timed out."""


async def write(store: TraceStore, rng: np.random.Generator) -> None:
    """Traces with a name and feedback, early, late and twice, until the process is killed."""
    template = trajectory(rng, 0.0)
    for number in itertools.count(1):
        trace = replace(template, trace_id=rng.bytes(16).hex(), arrived_at_s=float(number))
        name = f"run:{rng.bytes(16).hex()}"
        said = Outcome(
            feedback_id=f"f-{trace.trace_id}", key="solved", score=1.0, recorded_at_s=float(number)
        )
        try:
            if number % 2:
                await store.add_outcome(name, said)
                acknowledge("early", trace.trace_id, name)
            await store.put(trace)
            acknowledge("trace", trace.trace_id)
            await store.add_alias(name, trace.trace_id)
            acknowledge("alias", trace.trace_id, name)
            for _ in range(2 if number % SAID_TWICE == 0 else 1):
                await store.add_outcome(name, said)
            acknowledge("feedback", trace.trace_id)
        except StoreError as error:  # not acknowledged: nothing was promised
            print(error, file=sys.stderr, flush=True)


def acknowledge(*words: str) -> None:
    """One line in one system call: lines of several threads do not mix, and none is half written by a kill."""
    os.write(1, (" ".join(words) + "\n").encode())


def loop(store: TraceStore, seed: int) -> None:
    """An event loop of its own, with several requests at once."""

    async def run() -> None:
        await asyncio.gather(*(write(store, np.random.default_rng([seed, task])) for task in range(TASKS)))

    asyncio.run(run())


def run(url: str, seed: int, file: str) -> None:
    """Write until killed."""
    os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 1)
    store = open_store(url)
    for number in range(1, LOOPS):
        threading.Thread(target=loop, args=(store, seed * LOOPS + number), daemon=True).start()
    loop(store, seed * LOOPS)


def main() -> None:
    """One writer after the other."""
    for line in sys.stdin:
        url, seed, file = line.split()
        pid = os.fork()
        if pid == 0:
            run(url, int(seed), file)
        print(pid, flush=True)
        os.waitpid(pid, 0)
        print("dead", flush=True)


if __name__ == "__main__":
    main()
