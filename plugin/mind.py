"""`InfraMind`: the front door. Builds everything from a configuration, and answers questions."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

import numpy as np
from langchain_core.messages import AIMessage

from inframind.fleet.clock import Clock, SystemClock
from inframind.fleet.pool import Fleet
from inframind.fleet.wire import Wire
from inframind.graphs.portal import Portal
from inframind.graphs.registry import TopologyRegistry
from inframind.graphs.roles import RoleSpec
from inframind.graphs.workflow import RoutedWorkflow
from inframind.plugin.advice.door import Advice
from inframind.plugin.applications import Applications
from inframind.plugin.asking import Asking
from inframind.plugin.build import build_services, content_of, otel_exporter, registry_of
from inframind.plugin.calls.budget import NodeCosts
from inframind.plugin.calls.router import CallRouter
from inframind.plugin.calls.runs import Runs
from inframind.plugin.calls.surroundings import Surroundings
from inframind.plugin.config import Settings, load_settings
from inframind.plugin.explain import explain_trajectory
from inframind.plugin.feedback import FeedbackAbout, record_feedback
from inframind.plugin.judging import Judging
from inframind.plugin.online.attached import AttachedOnline
from inframind.plugin.outcomes.bench import Bench
from inframind.router.policy import Policy
from inframind.traces.query import ALL_TRACES, TraceQuery, TraceSummary
from inframind.traces.records import Outcome, Trajectory
from inframind.traces.store import TraceStore

if TYPE_CHECKING:
    from inframind.plugin.advice.desk import AdviceDesk


class InfraMind(Asking, Applications, Judging):
    """A learned router over a fleet: ask questions, get answers with a complete trace behind each.

    Use as a context manager, or call `close` (`aclose` on your own loop) when done. Synchronous methods work
    with and without a running event loop; they run on a background loop of this object.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        policy: Policy | None = None,
        topologies: TopologyRegistry | None = None,
        roles: Sequence[RoleSpec] = (),
        store: TraceStore | None = None,
        clock: Clock | None = None,
        wire: Wire | None = None,
    ) -> None:
        """Build from settings.

        Args:
            settings: from `load_settings` or `settings_from`.
            policy: instead of the configured one.
            topologies: instead of the six defaults; see `TopologyRegistry.register`.
            roles: in addition to the catalogue and the configured file.
            store: instead of the configured one; stays yours to close.
            clock: time.
            wire: how endpoints are reached; real sockets unless given.

        Raises:
            ConfigError: settings that contradict each other.
        """
        self.settings = settings
        self._clock = clock or SystemClock()
        self._owns_store = store is None
        self._closing: asyncio.Task[None] | None = None
        self._portal = Portal()
        self._rng = np.random.default_rng(settings.policy.seed)
        registry = registry_of(settings, topologies)
        self._exporter = otel_exporter(settings)
        self._services = build_services(
            settings,
            registry,
            clock=self._clock,
            rng=self._rng,
            policy=policy,
            roles=roles,
            store=store,
            wire=wire,
            listeners=[self._exporter] if self._exporter else [],
        )
        self._content = content_of(settings)
        self._workflow = RoutedWorkflow(self._services, registry, self._portal)
        runs = Runs(self._services, NodeCosts(is_careful=self._services.decider.is_careful))
        around = Surroundings(runs, self._clock)
        self._services.share_of = around.share_of
        tell = self._exporter.feedback if self._exporter else None
        self._bench = Bench(self._services.store, self._clock, tell=tell)
        self._services.listeners = (*self._services.listeners, around.note_part, self._bench)
        self._calls = CallRouter(self._services, runs)
        self._advice = Advice(self._portal, self._make_desk, None)
        self._online = AttachedOnline(self._services, settings) if settings.online.enabled else None
        if self._online is not None:
            self._online.start()

    @classmethod
    def from_config(cls, path: str | Path = "inframind.toml", **overrides: Any) -> InfraMind:
        """Build from a TOML file; ``overrides`` are the keyword arguments of `InfraMind`.

        Raises:
            ConfigError: the file or one of its values is wrong.
        """
        file = Path(path).absolute()  # the process may go elsewhere before advice is asked for
        mind = cls(load_settings(file), **overrides)
        mind._advice.file = file
        return mind

    # Traces --------------------------------------------------------------------------------------------

    @property
    def store(self) -> TraceStore:
        """Where the traces are."""
        return self._services.store

    @property
    def unstored(self) -> int:
        """Number of writes that wait in memory because the store does not take them; for health checks."""
        return self._services.outbox.waiting if self._services.outbox else 0

    @property
    def fleet(self) -> Fleet:
        """The endpoints and their load."""
        return self._services.fleet

    @property
    def online(self) -> AttachedOnline | None:
        """Which versions serve here, and what other processes serve; None where ``[online]`` is not enabled."""
        return self._online

    @property
    def advice(self) -> Advice:
        """What fails and what to change: ``mind.advice.analyse()``, ``.recommend()``, ``.accept(...)``."""
        return self._advice

    def _make_desk(self, file: Path | None) -> AdviceDesk:
        from inframind.plugin.advice.assembly import advice_desk

        return advice_desk(
            self.settings,
            self.store,
            clock=self._clock,
            rng=self._rng.spawn(1)[0],
            file=file,
            actions=self._services.decider.actions,
            book=self._services.decider.book,
        )

    async def afeedback(
        self, about: AIMessage | uuid.UUID | str | None = None, **what: Unpack[FeedbackAbout]
    ) -> Outcome:
        """Say how a run turned out: early, late, or again with the same ``feedback_id`` to replace it.

        Args:
            about: a trace id (or its first digits), a message or its id, or a run's UUID; or by name:
                ``trace_id=``, ``message=``, ``message_id=``, ``run_id=``, ``thread_id=`` (its latest run).
            what: ``solved``, or ``key`` with ``score``, ``value`` or ``comment``; see `Feedback`.

        Raises:
            ValueError: nothing is said, or two things at once.
            ConfigError: the run is not named exactly once, or in no known form.
            UnknownTrace: a thread without a known run, or digits that no stored trace begins with.
        """
        tell = self._exporter.feedback if self._exporter else None
        content = self._content
        return await record_feedback(self.store, about, clock=self._clock, tell=tell, content=content, **what)

    def feedback(
        self, about: AIMessage | uuid.UUID | str | None = None, **what: Unpack[FeedbackAbout]
    ) -> Outcome:
        """`afeedback` for callers without an event loop."""
        return self._portal.run(self.afeedback(about, **what))

    async def atrace(self, trace_id: str) -> Trajectory:
        """The trace of that id, or of the only one whose id begins so.

        Raises:
            UnknownTrace: there is none.
        """
        await self.settle()
        return await self.store.get(await self.store.resolve(trace_id))

    def trace(self, trace_id: str) -> Trajectory:
        """`atrace` for callers without an event loop."""
        return self._portal.run(self.atrace(trace_id))

    async def atraces(self, query: TraceQuery = ALL_TRACES) -> list[TraceSummary]:
        """Summaries of the traces that the query selects, newest first unless it says otherwise."""
        await self.settle()
        return await self.store.list(query)

    def traces(self, query: TraceQuery = ALL_TRACES) -> list[TraceSummary]:
        """`atraces` for callers without an event loop."""
        return self._portal.run(self.atraces(query))

    def explain(self, trace_id: str) -> str:
        """What was seen, masked and chosen in a run, with which probability and why, as text."""
        return explain_trajectory(self.trace(trace_id))

    # Life ----------------------------------------------------------------------------------------------

    async def aclose(self) -> None:
        """Release what the running loop and the background loop use, and the store if it is ours.

        What fails on the way does not keep the rest from being released.
        """
        async with AsyncExitStack() as from_last_to_first:
            if self._owns_store:
                from_last_to_first.push_async_callback(self.store.aclose)
            if self._services.outbox is not None:
                from_last_to_first.push_async_callback(asyncio.to_thread, self._services.outbox.close)
            if self._exporter is not None:
                from_last_to_first.push_async_callback(asyncio.to_thread, self._exporter.close)
            from_last_to_first.push_async_callback(asyncio.to_thread, self._bench.close)
            if self._portal.is_running and not self._portal.is_current:
                from_last_to_first.push_async_callback(asyncio.to_thread, self._end_portal, self._release)
            from_last_to_first.push_async_callback(self._release)
            if self._online is not None:
                from_last_to_first.push_async_callback(self._online.aclose)

    def close(self) -> None:
        """`aclose`, and stop the background loop.

        In a coroutine write ``await mind.aclose()``. This works there too, but what the running loop itself uses, and
        the store into which it may be writing, are released only when that loop goes on.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._end_portal(self.aclose)
        else:
            self._end_portal(self._release)
            # Held, or it might be collected before it is done.
            self._closing = loop.create_task(self.aclose())

    async def _release(self) -> None:
        """What the running loop uses."""
        try:
            await self._services.drain()
        finally:
            await self._services.fleet.aclose()

    def _end_portal(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Stop the background loop, after some last work there."""
        try:
            self._portal.run(last())
        finally:
            if not self._portal.is_current:
                self._portal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
