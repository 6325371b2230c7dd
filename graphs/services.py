"""What the nodes of a routed graph need, gathered once and closed over by the graph's factory."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from inframind.errors import ConfigError, InfraMindError, UnknownTrace
from inframind.fleet.clock import Clock, Deadline
from inframind.fleet.pool import Fleet
from inframind.fleet.traceparent import METADATA_KEY, current_parent
from inframind.graphs.budget_share import ShareOf
from inframind.graphs.configured import Configured
from inframind.graphs.journal import Journal
from inframind.graphs.outbox import Make, Outbox
from inframind.graphs.prompts import PromptBuilder
from inframind.graphs.recorder import FinalAnswer, RunRecorder
from inframind.graphs.state import Run
from inframind.router.cost import Prices
from inframind.router.decide import Decider
from inframind.router.gate.arms import key_of
from inframind.router.latency import estimate_tokens
from inframind.router.rollout import ServingVersions
from inframind.router.views import Query
from inframind.traces.codec import pack, unpack
from inframind.traces.records import Status, Trajectory
from inframind.traces.store import TraceStore

_log = logging.getLogger(__name__)

KEPT = 10_000
"""Most runs in memory, in progress or held up by a breakpoint of the application's own; further ones take the place of
the one that was seen longest ago."""


def whole(trajectory: Trajectory) -> Trajectory:
    """All of a trace."""
    return trajectory


@dataclass(frozen=True, kw_only=True)
class RunDefaults:
    """What applies where a caller says nothing."""

    budget_s: float = 60.0
    """Latency budget in seconds."""
    domain: str = "auto"
    """A domain, or ``auto`` to guess from the question."""
    max_question_chars: int = 400_000
    """Longer questions are refused before anything is sent."""

    def __post_init__(self) -> None:
        if not 0 < self.budget_s < float("inf"):
            raise ConfigError("run.budget_s", self.budget_s, "use a positive number of seconds")
        if self.max_question_chars < 1:
            raise ConfigError("run.max_question_chars", self.max_question_chars, "use a positive number")


@dataclass(kw_only=True)
class Services:
    """The fleet, the decider, the prompts, the store, and the runs in progress."""

    fleet: Fleet
    decider: Decider
    prompts: PromptBuilder
    store: TraceStore
    clock: Clock
    new_trace_id: Callable[[], str]
    defaults: RunDefaults = field(default_factory=RunDefaults)
    listeners: Sequence[Callable[[Trajectory], None]] = ()
    """Are shown every trace once it is stored; must be quick and must not raise."""
    on_decision: Callable[[RunRecorder], None] | None = None
    """Is shown every run of which something is noted, such as a decision; must be quick and must not raise."""
    content: Callable[[Trajectory], Trajectory] = whole
    """What is stored of a trace: all of it unless given, see `inframind.traces.content`."""
    outbox: Outbox | None = None
    """Keeps what the store does not take now; None where callers are to be told instead."""
    share_of: ShareOf | None = None
    """Says what a routed graph may take of the budget of a run around it; None where there are no such runs."""
    runs_kept: int = KEPT
    """Most runs in memory."""
    _runs: OrderedDict[str, RunRecorder] = field(default_factory=OrderedDict)
    _writes: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._journal = Journal(self._put)
        self.versions = ServingVersions(self.decider)
        self.prices = Prices.of(self.fleet.models)
        self._configured = Configured(self.store, self.clock)

    def decider_of(self, recorder: RunRecorder, thread_id: str = "") -> Decider:
        """Who decides for a run: settled at its first decision, by its thread where it has one, and kept to its end."""
        if recorder.decider is None:
            given = self.versions.assign(key_of(recorder.trace_id, thread_id), recorder.decisions)
            recorder.decider = given.decider
            recorder.configuration = self._configured.see(given.decider, recorder.offered)
            recorder.dealt = recorder.dealt or given.facts
        return recorder.decider

    def offer(self, recorder: RunRecorder, tools: frozenset[str]) -> None:
        """Note that a call of a run may use tools of these names: they are part of its configuration."""
        if tools <= recorder.offered:
            return
        recorder.offered |= tools
        if recorder.decider is not None:
            recorder.configuration = self._configured.see(recorder.decider, recorder.offered)

    def open_run(
        self, run: Run, deadline: Deadline, metadata: Mapping[str, Any], identity: str = ""
    ) -> RunRecorder:
        """Begin a trace; one with an identity is kept in the store as it goes on, see `note`."""
        recorder = RunRecorder(
            trace_id=run["trace_id"],
            query=query_of(run),
            deadline=deadline,
            clock=self.clock,
            arrived_at_s=run["arrived_at_s"],
            metadata=with_parent(metadata),
            identity=identity,
            prices=self.prices,
        )
        return self._hold(recorder).see()

    async def recorder(self, run: Run) -> RunRecorder:
        """The run's recorder: from memory, or as the store knows the run, or new with the time that is left.

        A run is not in memory after an interrupt, or when another process began it.
        """
        known = self._runs.get(run["trace_id"]) or await self._resume(run["trace_id"])
        if known is not None:
            return self._hold(_asking(known, run)).see()
        gone_s = self.clock.wall_s() - run["arrived_at_s"]
        deadline = Deadline(self.clock.now_s() + run["budget_s"] - gone_s, run["budget_s"])
        recorder = self.open_run(run, deadline, {})
        recorder.topology, recorder.team = run["topology"], tuple(run["team"])
        return recorder

    async def begun(self, run: Run, identity: str) -> RunRecorder | None:
        """The recorder of a run whose first node is executed again, set back to its plan; None for a new run."""
        if not identity:
            return None
        trace_id = run["trace_id"]
        recorder = self._runs.get(trace_id) or await self._resume(trace_id, identity)
        if recorder is None or recorder.identity != identity or not recorder.topology:
            return None
        recorder.restart()
        return self._hold(_asking(recorder, run)).see()

    async def _resume(self, trace_id: str, identity: str | None = None) -> RunRecorder | None:
        try:
            recorder = RunRecorder.resumed(await self.store.get(trace_id), self.clock, self.prices)
        except UnknownTrace:
            return None
        if identity not in (None, recorder.identity):
            return None
        await self.versions.remember(recorder.decisions)
        await self.fleet.watch()
        # Calls that resume side by side all come here; they share the recorder of the first.
        return self._runs.get(trace_id) or self._hold(recorder)

    def _hold(self, recorder: RunRecorder) -> RunRecorder:
        """Have a run in memory, as the one that was seen last; the one seen longest ago may have to make room.

        Nothing says that an application will not go on from a breakpoint, or has left a stream that it had begun.
        """
        self._runs[recorder.trace_id] = recorder
        self._runs.move_to_end(recorder.trace_id)
        if len(self._runs) > self.runs_kept:
            _, oldest = self._runs.popitem(last=False)
            reason = asyncio.CancelledError("nobody went on with it, and other runs took its place in memory")
            self.write_soon(self._keep_last(_left(oldest, reason)))
        return recorder

    def note(self, recorder: RunRecorder) -> None:
        """Something happened in a run: where it may go on in another process, it is written, with nobody waiting."""
        if self.on_decision is not None:
            self.on_decision(recorder)
        trace_id = recorder.trace_id
        if recorder.identity and self._runs.get(trace_id) is recorder:
            self._journal.write_soon(trace_id, lambda: recorder.freeze("open"))

    async def pause_run(self, trace_id: str, reason: BaseException) -> None:
        """A run waits for a person: store it for whoever resumes it, and forget it; durable when this returns.

        Its clock stands still until then. A run that nobody can resume ends here.
        """
        recorder = self._runs.pop(trace_id, None)
        if recorder is not None:
            await self._end(_left(recorder, reason))

    async def close_run(
        self,
        trace_id: str,
        status: Status,
        *,
        final: FinalAnswer | None = None,
        error: BaseException | None = None,
    ) -> None:
        """End a run and store its trace; durable when this returns. Does nothing for a run that has ended.

        Cancelling the caller does not cancel the write: nobody else would make it. A run that a mistake of its caller
        kept from beginning leaves no trace.
        """
        recorder = self._runs.pop(trace_id, None)
        if recorder is not None and not recorder.never_began(error):
            if isinstance(error, InfraMindError):
                error.about_trace(trace_id)
            await self._end(recorder.freeze(status, final=final, error=error))

    async def _end(self, trajectory: Trajectory) -> None:
        write = self._begun_write(self._keep_last(trajectory))
        try:
            await asyncio.wait([write])
        except asyncio.CancelledError:
            write.add_done_callback(_say_if_failed)
            raise
        write.result()

    async def _keep_last(self, trajectory: Trajectory) -> None:
        await self._journal.settle(trajectory.trace_id)
        await self.keep(trajectory)

    async def keep(self, trajectory: Trajectory) -> None:
        """Store a trace, then show it to those who listen; durable when this returns, unless the outbox keeps it."""
        await self._put(trajectory)
        for listener in self.listeners:
            listener(trajectory)

    async def _put(self, trajectory: Trajectory) -> None:
        if self._configured.is_news:
            self.write_soon(self._configured.keep())
        kept = self.content(trajectory)
        await self._write(("trace", kept.trace_id), lambda: self.store.put(kept), lambda: self._packed(kept))

    async def _write(self, key: tuple[str, str], make: Make, light: Callable[[], Make] | None = None) -> None:
        """Make a write, by way of the outbox where there is one."""
        if self.outbox is None:
            await make()
        else:
            await self.outbox.write(key, make, light)

    def _packed(self, trajectory: Trajectory) -> Make:
        """Stores a trace that takes little memory until then."""
        packed = pack(trajectory)
        return lambda: self.store.put(unpack(packed))

    def also_known_as(self, trace_id: str, aliases: Sequence[str]) -> None:
        """Let feedback find a trace by other names, with nobody waiting for it: feedback may come before."""
        for alias in aliases:
            self.write_soon(self._write(("alias", alias), partial(self.store.add_alias, alias, trace_id)))

    def close_run_soon(self, trace_id: str, status: Status, error: BaseException) -> None:
        """Like `close_run` for a node that is being cancelled and cannot wait."""
        self.write_soon(self.close_run(trace_id, status, error=error))

    def write_soon(self, write: Coroutine[Any, Any, None]) -> None:
        """Begin a write that nobody waits for but `drain`; that it failed is logged, too."""
        self._begun_write(write).add_done_callback(_say_if_failed)

    def _begun_write(self, write: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(write)
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)
        return task

    async def drain(self) -> None:
        """Wait for traces that the running loop is still writing."""
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(task for task in tuple(self._writes) if task.get_loop() is loop))
        if writers := [task for task in self._journal.pending() if task.get_loop() is loop]:
            await asyncio.wait(writers)


def _say_if_failed(write: asyncio.Task[None]) -> None:
    """Have a failure seen by somebody: asyncio alone would tell of it when the task is collected, if ever."""
    if not write.cancelled() and (error := write.exception()) is not None:
        _log.error("what was written with nobody waiting failed: %s", error, exc_info=error)


def _left(recorder: RunRecorder, reason: BaseException) -> Trajectory:
    """The trace of a run that is left where it is: open for who can resume it, cancelled where nobody can."""
    return recorder.freeze("open") if recorder.identity else recorder.freeze("cancelled", error=reason)


def _asking(recorder: RunRecorder, run: Run) -> RunRecorder:
    """The recorder with the run's question, which the store it comes from may not know the text of."""
    if recorder.query.text != run["question"]:
        recorder.query = query_of(run)
    return recorder


def with_parent(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """A run's metadata, with the application's own span where one is active: the run's spans hang under it."""
    parent = current_parent()
    return metadata if parent is None else {METADATA_KEY: parent.to_plain(), **metadata}


def query_of(run: Run) -> Query:
    """The question of a run, as the router sees it."""
    return Query(
        text=run["question"],
        domain=run["domain"],
        question_id=run["question_id"],
        prompt_tokens=estimate_tokens([run["question"]]),
    )
