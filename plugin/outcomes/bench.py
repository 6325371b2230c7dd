"""Has finished runs judged, off the request path, and records what the judges say."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from inframind.errors import ConfigError
from inframind.fleet.clock import Clock
from inframind.graphs.portal import Portal
from inframind.plugin.graphs.mishaps import Mishaps
from inframind.plugin.outcomes.asking import Asking
from inframind.plugin.outcomes.judges import Grade, Judge, Score, Signal
from inframind.traces.query import TraceQuery
from inframind.traces.records import Outcome, Trajectory
from inframind.traces.spans import THREAD_KEY
from inframind.traces.store import TraceStore

MOST_WAITING = 1_000
"""Judgements that may wait, unless told otherwise."""
AT_ONCE = 8
"""Judgements that are made at the same time."""
THREADS_KEPT = 1_000
"""Threads whose latest run is remembered for signals, unless told otherwise."""
LIMIT_S = 60.0
"""Seconds that one judgement may take, unless told otherwise."""
CLOSE_S = 10.0
"""Seconds that closing waits for judgements, unless told otherwise."""


@dataclass(frozen=True, slots=True)
class _Job:
    """One judgement to make: of a run, by itself or by what came after it."""

    judge: Judge
    run: Trajectory
    ask: Callable[[], Score | Awaitable[Score]]


class Bench:
    """Where judges sit. A listener of `Services`: it is shown every trace once it is stored.

    Graders that are plain functions run in threads, so that a slow one holds nobody up. One that fails, or takes too
    long, is logged the first time, counted every time, and records nothing.

    Args:
        store: where outcomes go.
        clock: for the time of recording.
        tell: is told every outcome that is recorded, with its trace id.
        most_waiting: judgements that may wait; what comes on top is left out, counted, and found by `catch_up`.
        limit_s: seconds that one judgement may take.
        close_s: seconds that `close` waits for judgements; what is not made by then is left out in the same way.
        threads: number of threads (conversations) whose latest run is remembered for signals.

    Raises:
        ConfigError: a limit that is not above 0.

    Attributes:
        counts: by source, how often it ``said``, had ``no opinion``, ``failed`` or was ``left out``.
    """

    def __init__(
        self,
        store: TraceStore,
        clock: Clock,
        *,
        tell: Callable[[str, Outcome], None] | None = None,
        most_waiting: int = MOST_WAITING,
        limit_s: float = LIMIT_S,
        close_s: float = CLOSE_S,
        threads: int = THREADS_KEPT,
    ) -> None:
        for name, limit in (("limit_s", limit_s), ("close_s", close_s), ("threads", threads)):
            if not limit > 0:
                raise ConfigError(f"bench.{name}", limit, "use a number above 0")
        self.counts: dict[str, Counter[str]] = {}
        self._store, self._clock, self._tell = store, clock, tell
        self._most_waiting, self._threads = most_waiting, threads
        self._limit_s, self._close_s = limit_s, close_s
        self._graders: dict[str, tuple[Judge, Grade]] = {}
        self._signals: dict[str, tuple[Judge, Signal]] = {}
        self._latest: OrderedDict[str, Trajectory] = OrderedDict()
        self._failures: dict[str, Mishaps] = {}
        self._asking: dict[str, Asking] = {}
        self._portal = Portal()
        self._waiting = 0
        self._room: asyncio.Semaphore | None = None

    def add_grader(self, judge: Judge, grade: Grade) -> None:
        """Seat a grader.

        Raises:
            ConfigError: there is one of that name.
        """
        self._require_new(judge)
        self._graders[judge.source] = judge, grade

    def add_signal(self, judge: Judge, signal: Signal) -> None:
        """Seat a signal: it is given a thread's run and the next one, and judges the former.

        The former comes without its decisions, and its steps without their texts: it was remembered for long.

        Raises:
            ConfigError: there is one of that name.
        """
        self._require_new(judge)
        self._signals[judge.source] = judge, signal

    def __call__(self, trajectory: Trajectory) -> None:
        """A trace was stored: have it judged, with nobody waiting."""
        if trajectory.status == "open":
            return
        for job in (*self._grading(trajectory), *self._signalling(trajectory)):
            self._hand_over(job)

    async def catch_up(self, query: TraceQuery) -> int:
        """Have graders judge stored runs that they have not judged; the number of judgements.

        For what was left out, for runs that ended while no grader sat here, and after a crash. Signals are not made
        up for: what users did next belongs to its moment.
        """
        count = 0
        async for job in self._missing(query):
            count += await self._judged(job)
        return count

    def figures(self) -> Mapping[str, Mapping[str, int]]:
        """`counts` as plain data."""
        return {source: dict(counter) for source, counter in self.counts.items()}

    def close(self) -> None:
        """Finish the judgements that were begun or wait, as far as there is time for it, then stop.

        Blocks; harmless where nothing ever was judged.
        """
        if self._portal.is_running:
            self._portal.run(_drained(self._close_s))
            self._portal.close()

    def _require_new(self, judge: Judge) -> None:
        if judge.source in {**self._graders, **self._signals}:
            raise ConfigError(f"{judge.kind}.name", judge.name, "there is one of that name; take another")
        self.counts[judge.source] = Counter()
        self._failures[judge.source] = Mishaps(f"{judge.source}")
        self._asking[judge.source] = Asking(self._limit_s)

    def _grading(self, run: Trajectory) -> list[_Job]:
        return [
            _Job(judge, run, partial(grade, run))
            for judge, grade in self._graders.values()
            if judge.takes(run)
        ]

    def _signalling(self, now: Trajectory) -> list[_Job]:
        thread = str(now.metadata.get(THREAD_KEY) or "")
        if not self._signals or not thread:
            return []
        before = self._latest.pop(thread, None)
        self._latest[thread] = _remembered(now)
        if len(self._latest) > self._threads:
            self._latest.popitem(last=False)
        if before is None or before.trace_id == now.trace_id:
            return []
        return [
            _Job(judge, before, partial(signal, before, now))
            for judge, signal in self._signals.values()
            if judge.takes(before)
        ]

    async def _missing(self, query: TraceQuery) -> AsyncIterator[_Job]:
        async for run in self._store.iter(query):
            heard = {outcome.source for outcome in run.outcomes}
            for job in self._grading(run):
                if job.judge.source not in heard and run.status != "open":
                    yield job

    def _hand_over(self, job: _Job) -> None:
        if self._waiting >= self._most_waiting:
            self.counts[job.judge.source]["left out"] += 1
            return
        self._waiting += 1
        self._portal.spawn(self._in_turn(job))

    async def _in_turn(self, job: _Job) -> None:
        if self._room is None:
            self._room = asyncio.Semaphore(AT_ONCE)
        try:
            async with self._room:
                await self._judged(job)
        except asyncio.CancelledError:
            self.counts[job.judge.source]["left out"] += 1
            raise
        finally:
            self._waiting -= 1

    async def _judged(self, job: _Job) -> bool:
        """Whether there is a verdict now."""
        counter, failures = self.counts[job.judge.source], self._failures[job.judge.source]
        outcome, before = None, failures.count
        asking = self._asking[job.judge.source]
        if asking.is_stuck:
            counter["left out"] += 1
            return False
        with failures:
            score = await asking.score(job.ask)
            outcome = job.judge.outcome(score, at_s=self._clock.wall_s())
            if outcome is not None:
                await self._store.add_outcome(job.run.trace_id, outcome)
        if failures.count > before:
            counter["failed"] += 1
            return False
        counter["no opinion" if outcome is None else "said"] += 1
        if outcome is not None and self._tell is not None:
            self._tell(job.run.trace_id, outcome)
        return outcome is not None


async def _drained(limit_s: float) -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    if not tasks:
        return
    done, left = await asyncio.wait(tasks, timeout=limit_s)
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    await asyncio.gather(*done)


def _remembered(run: Trajectory) -> Trajectory:
    """What signals look at: the greatest part of a run is what was weighed, and what its steps wrote."""
    steps = tuple(replace(step, text="", answer="", attempts=()) for step in run.steps)
    return replace(run, decisions=(), steps=steps)
