"""The runs of somebody's graphs while they last: which run does a LangChain run id belong to?"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

from inframind.errors import ConfigError
from inframind.fleet.clock import Clock
from inframind.graphs.domains import guess_domain
from inframind.graphs.portal import Portal
from inframind.graphs.routed import require_budget
from inframind.plugin.calls.router import CallRouter
from inframind.plugin.calls.scope import RunScope
from inframind.plugin.calls.site import TRACE_METADATA
from inframind.plugin.graphs.asked_of_graph import question_of
from inframind.plugin.graphs.background import Background
from inframind.plugin.graphs.mishaps import Mishaps
from inframind.router.latency import estimate_tokens
from inframind.router.views import Query
from inframind.traces.aliases import run_alias, thread_alias
from inframind.traces.spans import GRAPH_KEY, THREAD_KEY

if TYPE_CHECKING:
    from inframind.plugin.graphs.heard import HeardCall

BUDGET_METADATA = "inframind_budget_s"
"""Key of an invocation's metadata that sets this run's budget in seconds. Metadata, because LangGraph hands that on to
callbacks and into subgraphs, and ``configurable`` keys of others it does not."""
KEPT = 10_000
"""Runs that are kept in memory: in progress, and waiting for a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTerms:
    """What a handler says about the runs that begin under it.

    Attributes:
        budget_s: seconds, or None for the configured default.
        is_hard: whether calls fail once the budget is spent.
        marks: plain data for the trace's metadata.
    """

    budget_s: float | None = None
    is_hard: bool = False
    marks: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.budget_s is not None:
            require_budget(self.budget_s)


@dataclass(frozen=True, slots=True)
class _StoppedClock:
    """Time as it was when a run came to rest."""

    stopped_s: float
    stopped_wall_s: float

    def now_s(self) -> float:
        return self.stopped_s

    def wall_s(self) -> float:
        return self.stopped_wall_s


class Hears(Protocol):
    """A handler that records calls."""

    def interest(self, call: HeardCall) -> int:
        """How much it has to say of a call."""
        ...


@dataclass(slots=True, eq=False)
class LiveRun:
    """One run in progress, or at rest.

    Attributes:
        scope: its deadline and its trace.
        place: what it is resumed by: thread, graph and namespace; None where nothing is checkpointed.
        is_ours: whether we opened the scope, and say when it ends.
        roots: LangChain runs that it began with; several where the application gave them one trace id.
        members: LangChain runs inside it that have not ended.
        heard_by: the handler that will record a model call inside it which has not ended.
        aliases: other names of its trace, for feedback.
        is_waiting: whether it was interrupted, and waits for a person.
        paused_at: id of the checkpoint that it was interrupted at.
        is_passed: whether another run of its thread has begun and ended since.
    """

    scope: RunScope
    place: tuple[str, ...] | None
    is_ours: bool = True
    roots: set[UUID] = field(default_factory=set)
    members: set[UUID] = field(default_factory=set)
    heard_by: dict[UUID, Hears] = field(default_factory=dict)
    aliases: list[str] = field(default_factory=list)
    is_waiting: bool = False
    paused_at: str = ""
    is_passed: bool = False

    def rest(self) -> None:
        """Stop the clock: what is recorded from now on happens now."""
        clock = self.scope.recorder.clock
        if not isinstance(clock, _StoppedClock):
            self.scope.recorder.clock = _StoppedClock(clock.now_s(), clock.wall_s())

    def wake(self, clock: Clock) -> None:
        """Go on: the time at rest counts neither as latency nor against the budget."""
        recorder = self.scope.recorder
        if isinstance(recorder.clock, _StoppedClock):
            recorder.lay_still(clock.now_s() - recorder.clock.now_s())
            recorder.clock, self.scope.is_tracked = clock, True
        self.is_waiting = False


class LiveRuns:
    """Knows for every LangChain run id the run of the application that it is part of. One per `InfraMind`.

    A run begins with the first LangChain run whose parent is not known, and ends with it. Its trace id is that run's
    id in hex, or what ``metadata["inframind_trace_id"]`` says. An interrupt stops its clock; who resumes the same graph
    in the same thread continues it, in this process. Handlers of several graphs share this, so that a graph inside a
    graph is the same run. Safe in threads; memory is bounded; traces are written in the background.

    Args:
        calls: routes calls, opens and stores runs.
        portal: its loop writes the traces.
        kept: most runs in progress, and most at rest.
    """

    def __init__(self, calls: CallRouter, portal: Portal, *, kept: int = KEPT) -> None:
        self.calls, self.services = calls, calls.services
        self.mishaps = Mishaps("Tracking a run")
        self.background = Background(portal, calls.services, self.mishaps)
        self._runs, self._kept = calls.runs, kept
        self._lock = threading.RLock()
        self._is_watching = False
        self._run_of: dict[UUID, LiveRun] = {}
        self._begun: OrderedDict[UUID, LiveRun] = OrderedDict()
        self._named: dict[str, LiveRun] = {}
        self._at_rest: OrderedDict[tuple[str, ...], LiveRun] = OrderedDict()

    def of(self, run_id: UUID | None, parent_run_id: UUID | None) -> LiveRun | None:
        """The run that a LangChain run belongs to, known by its own id or its parent's."""
        known = self._run_of
        return (known.get(parent_run_id) if parent_run_id else None) or (
            known.get(run_id) if run_id else None
        )

    def watch_load(self) -> None:
        """Read the fleet's load in the background from now on; decisions that others act on need it, too."""
        if not self._is_watching:
            self._is_watching = True
            self.background.write(self.services.fleet.watch())

    @property
    def in_memory(self) -> int:
        """LangChain runs in progress that are known."""
        return len(self._run_of)

    def join(self, run_id: UUID, parent_run_id: UUID | None) -> bool:
        """A LangChain run begins; False where its parent is not known."""
        run = self._run_of.get(parent_run_id) if parent_run_id else None
        if run is None:
            return run_id in self._run_of
        with self._lock:
            if run_id not in self._run_of:
                self._run_of[run_id] = run
                run.members.add(run_id)
        return True

    def begin(
        self, run_id: UUID, asked: object, metadata: Mapping[str, Any], graph: str, terms: RunTerms
    ) -> LiveRun:
        """A run begins.

        Args:
            run_id: its first LangChain run.
            asked: that run's input.
            metadata: that run's metadata.
            graph: name of the graph.
            terms: budget and marks.

        Raises:
            InvalidBudget, ConfigError: the metadata asks for an impossible budget or trace id.
        """
        trace_id = _trace_id(metadata)
        with self._lock:
            run = self._continued(trace_id) if trace_id else None
            if run is None:
                run = self._opened(trace_id or run_id.hex, asked, metadata, graph, terms)
            if run.scope.trace_id != run_id.hex:
                run.aliases.append(run_alias(run_id))
            if trace_id:
                self._named[trace_id] = run
            run.roots.add(run_id)
            self._run_of[run_id] = self._begun[run_id] = run
            if len(self._begun) > self._kept:
                self._forget(next(iter(self._begun)))
        return run

    def end(self, run_id: UUID, error: BaseException | None = None) -> None:
        """A LangChain run has ended; with the last of a run's roots the run ends too, or rests."""
        with self._lock:
            run = self._run_of.pop(run_id, None)
            if run is None:
                return
            run.members.discard(run_id)
            if run_id not in run.roots:
                return
            self._begun.pop(run_id, None)
            run.roots.discard(run_id)
            if run.roots:
                return
            self._drop_members(run)
        self._come_to_rest(run, error)

    def pause(self, run_id: UUID | None, checkpoint_id: str = "") -> None:
        """The graph that this run began with was interrupted, at this checkpoint where that is known."""
        run = self._begun.get(run_id) if run_id else None
        if run is not None:
            run.is_waiting, run.paused_at, run.is_passed = True, checkpoint_id, False

    def resume(self, run_id: UUID | None, checkpoint_id: str = "") -> None:
        """The graph that this run began with goes on where it was interrupted: so does the run."""
        with self._lock:
            fresh = self._begun.get(run_id) if run_id else None
            if fresh is None or run_id is None or fresh.place is None or fresh.scope.recorder.steps:
                return
            run = self._at_rest.get(fresh.place)
            if run is None or run is fresh or (run.is_passed and run.paused_at != checkpoint_id):
                return
            if checkpoint_id and checkpoint_id < run.paused_at:  # ids are in order of time: an older turn
                return
            del self._at_rest[fresh.place]
            run.wake(self.services.clock)
            run.aliases.append(run_alias(run_id))
            run.roots.add(run_id)
            run.members |= fresh.members
            self._begun[run_id] = run
            for known in (run_id, *fresh.members):
                self._run_of[known] = run

    # Beginning -----------------------------------------------------------------------------------------

    def _opened(
        self, trace_id: str, asked: object, metadata: Mapping[str, Any], graph: str, terms: RunTerms
    ) -> LiveRun:
        place = _place(metadata, graph)
        outer = self._runs.around()
        if outer is not None:
            return LiveRun(outer, place, is_ours=False)
        defaults = self.services.defaults
        budget_s = metadata.get(
            BUDGET_METADATA, defaults.budget_s if terms.budget_s is None else terms.budget_s
        )
        question = question_of(asked)
        thread_id = str(metadata.get(THREAD_KEY) or "")
        scope = self._runs.open(
            trace_id,
            Query(text=question, domain=guess_domain(question), prompt_tokens=estimate_tokens([question])),
            budget_s=require_budget(budget_s),
            graph=graph,
            is_tracked=True,
            is_hard=terms.is_hard,
            metadata={GRAPH_KEY: graph, **({THREAD_KEY: thread_id} if thread_id else {}), **terms.marks},
        )
        return LiveRun(scope, place, aliases=[thread_alias(thread_id)] if thread_id else [])

    def _continued(self, trace_id: str) -> LiveRun | None:
        """The run of a trace id that the application uses again: in progress, or at rest."""
        run = self._named.get(trace_id) or self._at_rest.pop((trace_id,), None)
        if run is not None:
            run.wake(self.services.clock)
        return run

    # Ending --------------------------------------------------------------------------------------------

    def _come_to_rest(self, run: LiveRun, error: BaseException | None) -> None:
        if not run.is_ours:
            self.background.call(self._name, run)
            return
        run.rest()
        trace_id = run.scope.trace_id
        with self._lock:
            is_named = self._named.pop(trace_id, None) is not None
            if run.place is not None:
                self._take_place(run.place, run)
            if is_named:
                self._keep((trace_id,), run)
        is_waiting = run.is_waiting and (run.place is not None or is_named)
        if run.is_waiting and not is_waiting:
            error = asyncio.CancelledError("interrupted where nothing is checkpointed: nobody can resume it")
        self.background.call(self._store, run, error, is_waiting)

    def _take_place(self, place: tuple[str, ...], run: LiveRun) -> None:
        """A run has ended or waits: one that has waited in its thread until now is likely to have been passed over."""
        earlier = self._at_rest.get(place)
        if run.is_waiting:
            self._keep(place, run)
        elif earlier is not None:
            earlier.is_passed = True

    def _store(self, run: LiveRun, error: BaseException | None, is_waiting: bool) -> None:
        """On the background loop, after what the run's calls left there. A run without any call leaves no trace."""
        if run.scope.recorder.steps:
            self.background.write(self._stored(run, error, is_waiting))

    async def _stored(self, run: LiveRun, error: BaseException | None, is_waiting: bool) -> None:
        await (self._runs.store(run.scope, "open") if is_waiting else self._runs.finish(run.scope, error))
        run.scope.is_tracked = bool(run.roots)  # it may have gone on meanwhile
        await self._named_as(run)

    def _name(self, run: LiveRun) -> None:
        """On the background loop: a graph in a run that somebody else keeps track of, and stores, has ended."""
        if run.scope.recorder.steps:
            self.background.write(self._named_as(run))

    async def _named_as(self, run: LiveRun) -> None:
        aliases, run.aliases = run.aliases, []
        for alias in aliases:
            await self.services.store.add_alias(alias, run.scope.trace_id)

    def _keep(self, key: tuple[str, ...], run: LiveRun) -> None:
        self._at_rest[key] = run
        self._at_rest.move_to_end(key)
        if len(self._at_rest) > self._kept:
            self._at_rest.popitem(last=False)

    def _forget(self, run_id: UUID) -> None:
        """Give up a run that never ended, the oldest of too many; its trace stays as its calls left it."""
        run = self._begun.pop(run_id)
        self._run_of.pop(run_id, None)
        run.roots.discard(run_id)
        if not run.roots:
            self._named.pop(run.scope.trace_id, None)
            self._drop_members(run)

    def _drop_members(self, run: LiveRun) -> None:
        for member in run.members:
            self._run_of.pop(member, None)
        run.members.clear()


def _trace_id(metadata: Mapping[str, Any]) -> str:
    """The trace id that the application gives the run; "" where it gives none."""
    named = metadata.get(TRACE_METADATA)
    if named is None:
        return ""
    try:
        return UUID(str(named)).hex
    except ValueError:
        fix = "give 32 hex digits, such as uuid4().hex"
        raise ConfigError(f"metadata.{TRACE_METADATA}", named, fix) from None


def _place(metadata: Mapping[str, Any], graph: str) -> tuple[str, ...] | None:
    thread_id = metadata.get(THREAD_KEY)
    return (str(thread_id), graph, str(metadata.get("langgraph_checkpoint_ns", ""))) if thread_id else None
