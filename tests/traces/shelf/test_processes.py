"""Several processes at one shelf: crashes lose nothing, and two that do the same do it once."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from inframind.traces.shelves import shelf_of
from inframind.traces.store import TraceStore, open_store

LESSONS = 120

PRELUDE = """
import asyncio, json, sys, time
from inframind.errors import LearnerMoved, RolloutMoved
from inframind.traces.shelf import RolloutEvent
from inframind.traces.shelves import shelf_of
from inframind.traces.store import open_store

def say(*words):
    print(*words, flush=True)

async def due(shelf):
    found = await shelf.lessons(now_s=1e6, patience_s=0.0, limit=7)
    return [lesson.trace_id for lesson in found]

async def run(main):
    async with open_store(sys.argv[1]) as store:
        say("ready")
        sys.stdin.readline()
        await main(shelf_of(store), *sys.argv[2:])
"""

LEARN = """
async def learn(shelf, holder):
    while learned := await due(shelf):
        progress = await shelf.progress("one")
        known = json.loads(progress.state) if progress else []
        state = json.dumps(known + learned).encode()
        try:
            await shelf.commit(
                "one", after=len(known) // 7, state=state, learned=learned, holder=holder, at_s=2e6
            )
        except LearnerMoved:
            continue
        say(*learned)
asyncio.run(run(learn))
"""

LEAD = """
async def lead(shelf, holder):
    while True:
        async with shelf.lead("learner", holder, now_s=time.time(), ttl_s=1.0) as leads:
            if leads:
                say("leads")
                while await shelf.renew("learner", holder, now_s=time.time(), ttl_s=1.0):
                    await asyncio.sleep(0.05)
        await asyncio.sleep(0.02)
asyncio.run(run(lead))
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
asyncio.run(run(append))
"""


class Child:
    """A process at the shelf; it starts to work when it is told to."""

    def __init__(self, code: str, *arguments: str) -> None:
        command = [sys.executable, "-c", PRELUDE + code, *arguments]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def go(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def finish(self) -> list[str]:
        said, _ = self._process.communicate(timeout=60)
        assert self._process.returncode == 0
        return said.split()

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.communicate()


@contextmanager
def children(number: int, code: str, url: str) -> Iterator[list[Child]]:
    """Some processes that start at once; none outlives the test."""
    with ExitStack() as stack:
        started = []
        for n in range(number):
            child = Child(code, url, f"h{n}")
            stack.callback(child.kill)
            started.append(child)
        assert {child.line() for child in started} == {"ready"}
        for child in started:
            child.go()
        yield started


async def put_lessons(store: TraceStore, made: Any) -> list[str]:
    for n in range(LESSONS):
        await store.put(made.run(n))
    return [made.trace_id(n) for n in range(LESSONS)]


async def test_four_learners_of_one_name_learn_every_lesson_once(shared_url: str, made: Any) -> None:
    async with open_store(shared_url) as store:
        lessons = await put_lessons(store, made)
        with children(4, LEARN, shared_url) as learners:
            learned = [trace_id for learner in learners for trace_id in learner.finish()]
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
        with children(1, LEARN, shared_url) as (learner,):
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
    with children(1, LEAD, shared_url) as (first,):
        assert first.line() == "leads"
        with children(1, LEAD, shared_url) as (second,):
            first.kill()
            assert second.line() == "leads"


async def test_events_of_several_processes_have_no_gaps(shared_url: str) -> None:
    with children(2, APPEND, shared_url) as writers:
        for writer in writers:
            writer.finish()
    async with open_store(shared_url) as store:
        events = await shelf_of(store).events()
    assert [event.number for event in events] == list(range(1, 21))
    assert sorted((event.by, event.reason) for event in events) == [
        (f"h{n}", str(k)) for n in range(2) for k in range(10)
    ]
