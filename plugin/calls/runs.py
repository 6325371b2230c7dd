"""The runs of applications while they last: one deadline and one trace for all the calls of a run.

A run is known by its trace id. Somebody may keep track of it (a context manager, a handler on a graph) and say when it
ends; otherwise calls that name the same run join it one by one, and a call that names none is a run of its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from typing import Any
from uuid import UUID
from weakref import WeakValueDictionary

from inframind.errors import StoreError, UnknownTrace
from inframind.fleet.clock import Deadline
from inframind.graphs.domains import guess_domain
from inframind.graphs.recorder import FinalAnswer, RunRecorder
from inframind.graphs.services import Services, with_parent
from inframind.plugin.calls.asked import AskedCall
from inframind.plugin.calls.scope import RunScope, current_scope, stored_later
from inframind.plugin.calls.shares import AllThatIsLeft, NodeShares
from inframind.plugin.calls.site import CallSite, KnowsRuns
from inframind.plugin.calls.visits import visits_of
from inframind.router.latency import estimate_tokens
from inframind.router.views import Query
from inframind.traces.records import Status
from inframind.traces.spans import GRAPH_KEY

_log = logging.getLogger(__name__)

KEPT = 10_000
"""Most runs of which nobody says when they end, kept in memory; an older one continues from the store."""


class Runs:
    """Finds the run that a call belongs to, and stores its trace.

    Args:
        services: fleet, store, clock, defaults.
        shares: splits budgets of runs with several nodes.
    """

    def __init__(self, services: Services, shares: NodeShares | None = None) -> None:
        self._services = services
        self._shares = AllThatIsLeft() if shares is None else shares
        self._kept: OrderedDict[str, RunScope] = OrderedDict()
        # What a call still holds is found here though it is no longer kept: a trace never has two recorders.
        self._alive: WeakValueDictionary[str, RunScope] = WeakValueDictionary()
        self._invoked: OrderedDict[int, tuple[object, str]] = OrderedDict()
        self._has_read_store = False

    def open(
        self,
        trace_id: str,
        query: Query,
        *,
        budget_s: float,
        graph: str = "",
        is_tracked: bool = False,
        is_hard: bool = False,
        metadata: Mapping[str, Any] | None = None,
    ) -> RunScope:
        """Begin a run now."""
        clock = self._services.clock
        recorder = RunRecorder(
            trace_id=trace_id,
            query=query,
            deadline=Deadline.after(budget_s, clock),
            clock=clock,
            arrived_at_s=clock.wall_s(),
            metadata=with_parent({**(metadata or {}), **({GRAPH_KEY: graph} if is_tracked else {})}),
            prices=self._services.prices,
        )
        scope = RunScope(
            recorder=recorder, graph=graph, is_tracked=is_tracked, is_hard=is_hard, shares=self._shares
        )
        self._alive[trace_id] = scope
        return scope

    async def of(self, asked: AskedCall, site: CallSite) -> RunScope:
        """The run of a call: the one that is kept track of, else the one it names, else one of its own."""
        self._read_store_once()
        scope = site.scope or self.around()
        if scope is not None:
            return scope
        if not site.trace_id:
            return self._new(site.call_id or self._services.new_trace_id(), asked, site)
        found = await self._found(site.trace_id)
        return self.keep(found or self._new(site.trace_id, asked, site))

    def around(
        self,
        handlers: Iterable[object] = (),
        run_id: UUID | None = None,
        parent_run_id: UUID | None = None,
    ) -> RunScope | None:
        """The run around the code that is running; another InfraMind's is not ours to read or to write.

        Args:
            handlers: callback handlers, of which a `KnowsRuns` is asked where no `InfraMind.run` is around.
            run_id: LangChain's id of what is running.
            parent_run_id: LangChain's id of what called it.
        """
        tracked = (
            handler.scope_of(run_id, parent_run_id) for handler in handlers if isinstance(handler, KnowsRuns)
        )
        scopes = (scope for scope in chain((current_scope.get(),), tracked) if scope is not None)
        return next((scope for scope in scopes if self.known(scope.trace_id) is scope), None)

    async def resume(
        self,
        trace_id: str,
        query: Callable[[], Query],
        *,
        budget_s: float,
        graph: str = "",
        is_tracked: bool = True,
        metadata: Mapping[str, Any] | None = None,
    ) -> RunScope:
        """The run of that id: as remembered, as stored, or new.

        Args:
            trace_id: 32 hex digits, or "" for a new run.
            query: gives its question, where it is new.
            budget_s: seconds for the whole run, where it is new.
            graph: name of the graph, where it is new.
            is_tracked: whether the caller will say when it ends.
            metadata: plain data to keep with its trace, where it is new.
        """
        scope = await self._found(trace_id) if trace_id else None
        if scope is None:
            trace_id = trace_id or self._services.new_trace_id()
            scope = self.open(
                trace_id, query(), budget_s=budget_s, graph=graph, is_tracked=is_tracked, metadata=metadata
            )
        if is_tracked:
            scope.is_tracked, scope.has_ended = True, False
        return self.keep(scope)

    async def has_ended(self, trace_id: str) -> bool:
        """Whether the run of that id came to its end, with an answer."""
        found = await self._found(trace_id)
        return found is not None and found.has_ended

    def see(self, scope: RunScope, invocation: object) -> None:
        """A run goes on in this invocation of its graph; between two invocations it lay still.

        Args:
            scope: the run.
            invocation: any object that is the same throughout one invocation, and another in the next.
        """
        now_s = self._services.clock.now_s()
        if scope.invocation not in (None, invocation):
            scope.recorder.lay_still(now_s - scope.seen_s)
        scope.invocation, scope.seen_s = invocation, now_s
        self.expect(scope.trace_id, invocation)

    def expect(self, trace_id: str, invocation: object) -> None:
        """The run of that id is about to be seen in this invocation: what begins beside it there joins it."""
        self._invoked[id(invocation)] = (invocation, trace_id)  # held, so that its id stays its own
        if len(self._invoked) > KEPT:
            self._invoked.popitem(last=False)

    def trace_within(self, invocation: object) -> str:
        """Trace id of the run that was last seen in this invocation, ended or not; "" for none."""
        _, trace_id = self._invoked.get(id(invocation), (None, ""))
        return trace_id

    def within(self, invocation: object) -> RunScope | None:
        """The run that was last seen in this invocation, while it lasts."""
        scope = self.known(self.trace_within(invocation))
        return scope if scope is not None and scope.is_tracked and scope.invocation is invocation else None

    def know_shape(self, graph: str, edges: Iterable[tuple[str, str]]) -> None:
        """Be told a graph's edges: until one of its runs has ended, budgets are split by them.

        Args:
            graph: its name, as in `open`.
            edges: (from, to) pairs of node names, LangGraph's own ``__start__`` and ``__end__`` among them or not.
        """
        self._shares.know_shape(graph, edges)

    def known(self, trace_id: str) -> RunScope | None:
        """The run of that id, where it is in memory."""
        return self._alive.get(trace_id)

    def keep(self, scope: RunScope) -> RunScope:
        """Remember a run until `finish`."""
        self._alive[scope.trace_id] = self._kept[scope.trace_id] = scope
        self._kept.move_to_end(scope.trace_id)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return scope

    def _read_store_once(self) -> None:
        """What earlier processes knew of budgets is read beside the first call, which does not wait for it."""
        if not self._has_read_store:
            self._has_read_store = True
            self._services.write_soon(self._read_store())

    async def _read_store(self) -> None:
        try:
            await self._shares.learn_from(self._services.store)
        except StoreError as error:
            # A store that fails says so to every call that is stored; shares are then learned from scratch.
            _log.warning("what nodes cost was not read from the store: %s", error)

    async def store(
        self,
        scope: RunScope,
        status: Status,
        *,
        final: FinalAnswer | None = None,
        error: BaseException | None = None,
    ) -> None:
        """Store the run's trace as it stands; durable when this returns, unless somebody stores it later.

        A run that a mistake of its caller kept from beginning leaves none.
        """
        if (status == "open" and stored_later.get() is scope) or scope.recorder.never_began(error):
            return
        await self._services.keep(scope.recorder.freeze(status, final=final, error=error))

    async def note(self, scope: RunScope) -> None:
        """Store the trace of a run that goes on."""
        await self.store(scope, "open", final=scope.recorder.latest_answer())

    async def finish(self, scope: RunScope, error: BaseException | None = None) -> None:
        """End a run that was kept track of, and store its trace.

        Calls that still hold it go on with it; later ones that name it go on with what is stored.
        """
        self._let_go(scope)
        scope.has_ended = error is None
        recorder = scope.recorder
        if error is None:  # of a run that broke off, nobody knows what would have come
            visits = [*visits_of(recorder.steps, recorder.decisions), *scope.parts]
            scope.shares.note_run(scope.graph, visits)
        await self.store(scope, _status_at_end(recorder, error), final=recorder.latest_answer(), error=error)

    async def break_off(self, scope: RunScope, error: BaseException) -> None:
        """A call of a run that was kept track of failed: so has the run, unless somebody tries again and resumes it."""
        self._let_go(scope)
        if isinstance(error, asyncio.CancelledError):
            self.store_soon(scope, "cancelled", error)
        else:
            await self.store(scope, "failed", error=error)

    def _let_go(self, scope: RunScope) -> None:
        scope.is_tracked = False
        self._kept.pop(scope.trace_id, None)

    def store_soon(self, scope: RunScope, status: Status, error: BaseException) -> None:
        """Like `store` for a call that is being cancelled and cannot wait."""
        if status == "open" and stored_later.get() is scope:
            return
        trajectory = scope.recorder.freeze(status, error=error)
        self._services.write_soon(self._services.keep(trajectory))

    def _new(self, trace_id: str, asked: AskedCall, site: CallSite) -> RunScope:
        budget_s = asked.budget_s or self._services.defaults.budget_s
        return self.open(trace_id, query_of(asked), budget_s=budget_s, metadata=site.metadata)

    async def _found(self, trace_id: str) -> RunScope | None:
        """The run as it is remembered, else as it is stored."""
        known = self.known(trace_id)
        if known is not None:
            return known
        begun = await self._begun(trace_id)
        return self.known(trace_id) or begun  # of calls that look for it side by side, all take the first's

    async def _begun(self, trace_id: str) -> RunScope | None:
        """The run as the store knows it: begun in another process, or longer ago than we remember."""
        try:
            trajectory = await self._services.store.get(trace_id)
        except UnknownTrace:
            return None
        recorder = RunRecorder.resumed(trajectory, self._services.clock, self._services.prices)
        await self._services.versions.remember(recorder.decisions)
        graph = str(recorder.metadata.get(GRAPH_KEY) or "")
        has_ended = trajectory.status in ("ok", "late")
        return RunScope(recorder=recorder, graph=graph, shares=self._shares, has_ended=has_ended)


def _status_at_end(recorder: RunRecorder, error: BaseException | None) -> Status:
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        return "cancelled"
    if error is not None:
        return "failed"
    return recorder.answered_status()


def query_of(asked: AskedCall) -> Query:
    """The question of a call, as the router sees it."""
    return Query(
        text=asked.question,
        domain=guess_domain(asked.question),
        prompt_tokens=estimate_tokens([asked.question]),
        needs=asked.needs,
    )
