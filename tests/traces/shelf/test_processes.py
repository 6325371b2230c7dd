"""Several processes at one shelf: crashes lose nothing, and two that do the same do it once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from inframind.traces.shelves import shelf_of
from inframind.traces.store import TraceStore, open_store

LESSONS = 120

PRELUDE = """
import asyncio, json, os, sys, time
from inframind.errors import LearnerMoved, RolloutMoved
from inframind.traces.shelf import RolloutEvent
from inframind.traces.shelves import shelf_of
from inframind.traces.store import open_store

def say(*words):
    print(*words, flush=True)

async def due(shelf):
    found = await shelf.lessons(now_s=1e6, patience_s=0.0, limit=7)
    return [lesson.trace_id for lesson in found]

async def open_and(work):
    async with open_store(sys.argv[1]) as store:
        await work(shelf_of(store), f"pid{os.getpid()}")

def run(work, processes=1):
    # the others are forks: starting Python takes longer than all that is done here
    children = []
    for _ in range(processes - 1):
        children.append(os.fork())
        if children[-1] == 0:
            children = []
            break
    asyncio.run(open_and(work))
    assert all(os.waitpid(child, 0)[1] == 0 for child in children)
"""

LEARN = """
async def learn(shelf, holder):
    while learned := await due(shelf):
        progress = await shelf.progress("one")
        number, known = (progress.number, json.loads(progress.state)) if progress else (0, [])
        state = json.dumps(known + learned).encode()
        try:
            await shelf.commit("one", after=number, state=state, learned=learned, holder=holder, at_s=2e6)
        except LearnerMoved:
            continue
        say(*learned)
run(learn, int(sys.argv[2]))
"""

LEAD = """
async def lead(shelf, holder):
    follows = False
    while True:
        async with shelf.lead("learner", holder, now_s=time.time(), ttl_s=1.0) as leads:
            if leads:
                say("leads")
                while await shelf.renew("learner", holder, now_s=time.time(), ttl_s=1.0):
                    await asyncio.sleep(0.05)
            elif not follows:
                follows = True
                say("follows")
        await asyncio.sleep(0.02)
run(lead)
"""

APPEND = """
async def append(shelf, holder):
    appended = 0
    while appended < 10:
        number = (await shelf.rollout()).number
        event = RolloutEvent(at_s=0.0, version="", stage=None, by=holder, reason=str(appended))
        try:
            await shelf.append(event, after=number)
        except RolloutMoved:
            continue
        appended += 1
run(append, int(sys.argv[2]))
"""


class Child:
    """A process at the shelf."""

    def __init__(self, code: str, *arguments: object) -> None:
        command = [sys.executable, "-c", PRELUDE + code, *map(str, arguments)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def finish(self) -> list[str]:
        said, _ = self._process.communicate(timeout=60)
        assert self._process.returncode == 0
        return said.split()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


@contextmanager
def child(code: str, *arguments: object) -> Iterator[Child]:
    """A process that does not outlive the test."""
    started = Child(code, *arguments)
    try:
        yield started
    finally:
        started.kill()


async def put_lessons(store: TraceStore, made: Any) -> list[str]:
    for n in range(LESSONS):
        await store.put(made.run(n))
    return [made.trace_id(n) for n in range(LESSONS)]


async def test_four_learners_of_one_name_learn_every_lesson_once(shared_url: str, made: Any) -> None:
    async with open_store(shared_url) as store:
        lessons = await put_lessons(store, made)
        with child(LEARN, shared_url, 4) as learners:
            learned = learners.finish()
        assert sorted(learned) == lessons
        progress = await shelf_of(store).progress("one")
        assert progress is not None
        assert (progress.learned, sorted(json.loads(progress.state))) == (LESSONS, lessons)
        counts = await shelf_of(store).lesson_counts(now_s=1e6, patience_s=0.0)
        assert counts["learned"] == LESSONS


async def test_a_killed_learner_loses_no_lesson_and_learns_none_twice(shared_url: str, made: Any) -> None:
    async with open_store(shared_url) as store:
        lessons = await put_lessons(store, made)
        shelf = shelf_of(store)
        with child(LEARN, shared_url, 1) as learner:
            for _ in range(4):
                learner.line()
            learner.kill()
        progress = await shelf.progress("one")
        assert progress is not None
        known = json.loads(progress.state)
        due = await shelf.lessons(now_s=1e6, patience_s=0.0, limit=LESSONS)
        assert progress.learned == len(known) >= 4 * 7
        assert sorted([*known, *(lesson.trace_id for lesson in due)]) == lessons


async def test_when_the_leader_is_killed_the_other_one_leads(shared_url: str) -> None:
    with child(LEAD, shared_url) as first:
        assert first.line() == "leads"
        with child(LEAD, shared_url) as second:
            assert second.line() == "follows"
            first.kill()
            assert second.line() == "leads"


async def test_events_of_several_processes_have_no_gaps(shared_url: str) -> None:
    with child(APPEND, shared_url, 3) as writers:
        writers.finish()
    async with open_store(shared_url) as store:
        events = await shelf_of(store).events()
    assert [event.number for event in events] == list(range(1, 31))
    writers_of = Counter(event.reason for event in events)
    assert writers_of == {str(k): 3 for k in range(10)}
    assert len({event.by for event in events}) == 3
