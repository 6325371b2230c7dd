"""`InfraMind`: the front door. Builds everything from a configuration, and answers questions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypedDict, Unpack, cast

import numpy as np
from langchain_core.messages import AIMessage
from langgraph.graph import StateGraph

from inframind.errors import InfraMindError
from inframind.fleet.clock import Clock, SystemClock
from inframind.fleet.pool import Fleet
from inframind.fleet.wire import Wire
from inframind.graphs.portal import Portal
from inframind.graphs.registry import TopologyRegistry
from inframind.graphs.roles import RoleSpec
from inframind.graphs.routed import require_budget, require_question
from inframind.graphs.state import RouteContext, RoutedOutput, RoutedState
from inframind.graphs.workflow import RoutedWorkflow, as_state
from inframind.plugin.build import build_services, otel_exporter
from inframind.plugin.calls.router import CallRouter
from inframind.plugin.calls.runs import Runs, RunScope, current_scope
from inframind.plugin.config import Settings, load_settings
from inframind.plugin.explain import explain_trajectory
from inframind.plugin.feedback import Feedback, feedback_outcome
from inframind.plugin.result import Event, EventKind, Result
from inframind.router.policy import Policy
from inframind.router.views import Query
from inframind.traces.records import Outcome, Trajectory
from inframind.traces.store import TraceStore

Question = str | Mapping[str, Any]
"""A question's text, or a mapping with ``question`` and any field of `RouteContext`."""


class RunOptions(TypedDict, total=False):
    """What may be said about one run. Every key may be left out.

    ``budget_s``: latency budget in seconds (default: the configured one). ``topology``: a topology by name
    (``auto``: the planner chooses). ``team_size``: number of agents, 1 to 6 (default: the planner chooses).
    ``domain``: ``math``, ``code``, ``knowledge`` or ``general`` (``auto``: guessed). ``question_id``: your own
    id of the question. ``metadata``: plain data to keep with the trace.
    """

    budget_s: float | None
    topology: str | None
    team_size: int | None
    domain: str | None
    question_id: str
    metadata: Mapping[str, Any] | None


class InfraMind:
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
        self._portal = Portal()
        registry = topologies or TopologyRegistry()
        if settings.policy.topologies:
            registry = registry.only(settings.policy.topologies)
        self._exporter = otel_exporter(settings)
        self._services = build_services(
            settings,
            registry,
            clock=self._clock,
            rng=np.random.default_rng(settings.policy.seed),
            policy=policy,
            roles=roles,
            store=store,
            wire=wire,
            listeners=[self._exporter] if self._exporter else [],
        )
        self._workflow = RoutedWorkflow(self._services, registry, self._portal)
        self._calls = CallRouter(self._services, Runs(self._services))

    @classmethod
    def from_config(cls, path: str | Path = "inframind.toml", **overrides: Any) -> InfraMind:
        """Build from a TOML file; ``overrides`` are the keyword arguments of `InfraMind`.

        Raises:
            ConfigError: the file or one of its values is wrong.
        """
        return cls(load_settings(path), **overrides)

    # Asking --------------------------------------------------------------------------------------------

    async def ainvoke(self, question: str, **options: Unpack[RunOptions]) -> Result:
        """Answer one question.

        Args:
            question: the question.
            options: see `RunOptions`.

        Raises:
            InvalidQuestion, InvalidBudget, UnknownTopology, ConfigError: the call is wrong.
            DeadlineExceeded: the budget ran out before there was any answer.
            FleetExhausted, EndpointError: no endpoint gave an answer.
        """
        return Result.of(*await self._workflow.answer(question, self._context(question, **options)))

    async def astream(self, question: str, **options: Unpack[RunOptions]) -> AsyncGenerator[Event]:
        """Answer one question and tell what happens meanwhile; options as for `ainvoke`.

        Yields:
            Events in order: ``plan``, ``step_start``, ``step_end``, ``pace``, ``skip``, ``token`` (pieces of
            the final answer), and at last ``answer``, whose data is what `ainvoke` returns as a `Result`.
        """
        context = self._context(question, **options)
        await self._services.fleet.watch()
        async with self._workflow.closing(context):
            stream = self._workflow.compiled.astream(
                as_state(question), context=context, stream_mode=["custom", "messages"], subgraphs=True
            )
            # Closed by hand: an abandoned generator would go on calling until it is collected.
            async with aclosing(cast(AsyncGenerator[Any], stream)) as parts:
                answer: Event | None = None
                async for _, mode, part in parts:
                    event = _as_event(mode, part)
                    if event is not None and event.kind == "answer":
                        answer = event  # held back: text that was not streamed reaches us after it
                    elif event is not None:
                        yield event
            if answer is not None:
                yield answer

    async def abatch(
        self,
        questions: Sequence[Question],
        *,
        max_concurrency: int = 16,
        return_exceptions: bool = False,
        **options: Unpack[RunOptions],
    ) -> list[Result | InfraMindError]:
        """Answer many questions side by side, in order.

        Args:
            questions: texts, or mappings with ``question`` and any option of `ainvoke`.
            max_concurrency: questions in progress at once.
            return_exceptions: put an `InfraMindError` in a question's place instead of raising the first.
            options: options of `ainvoke` for all questions; a mapping's own come first.
        """
        gate = asyncio.Semaphore(max_concurrency)

        async def one(question: Question) -> Result | InfraMindError:
            own = {"question": question} if isinstance(question, str) else dict(question)
            async with gate:
                try:
                    return await self.ainvoke(**cast(Any, {**options, **own}))
                except InfraMindError as error:
                    if return_exceptions:
                        return error
                    raise

        tasks = [asyncio.create_task(one(question)) for question in questions]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def invoke(self, question: str, **options: Unpack[RunOptions]) -> Result:
        """`ainvoke` for callers without an event loop; works inside a running one too, and blocks it."""
        return self._portal.run(self.ainvoke(question, **options))

    def batch(self, questions: Sequence[Question], **options: Any) -> list[Result | InfraMindError]:
        """`abatch` for callers without an event loop."""
        return self._portal.run(self.abatch(questions, **options))

    def stream(self, question: str, **options: Unpack[RunOptions]) -> Iterator[Event]:
        """`astream` for callers without an event loop."""
        events = self.astream(question, **options)
        try:
            while (event := self._portal.run(_next_or_none(events))) is not None:
                yield event
        finally:
            self._portal.run(events.aclose())

    # LangGraph -----------------------------------------------------------------------------------------

    def graph(self) -> StateGraph[RoutedState, RouteContext, RoutedState, RoutedOutput]:
        """The routed workflow as an uncompiled StateGraph: a `MessagesState` in and out.

        ``builder.add_node("solve", mind.graph().compile())`` makes it a node of your own graph.
        """
        return self._workflow.graph

    @contextmanager
    def run(
        self,
        name: str = "",
        *,
        budget_s: float | None = None,
        hard: bool = False,
        trace_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Iterator[RunScope]:
        """One run of your application: every routed call inside shares one budget and one trace.

        Args:
            name: the run's question, for people; the first call's question unless given.
            budget_s: seconds for the whole run (default: the configured budget).
            hard: fail calls once the budget is spent. Otherwise it is what decisions aim at, and a late answer is
                marked late.
            trace_id: 32 hex digits; a new one unless given.
            metadata: plain data to keep with the trace.

        Raises:
            InvalidBudget: not a positive, finite number of seconds.
        """
        budget_s = require_budget(self._services.defaults.budget_s if budget_s is None else budget_s)
        scope = self._calls.runs.open(
            trace_id or self._services.new_trace_id(),
            Query(text=name),
            budget_s=budget_s,
            is_tracked=True,
            is_hard=hard,
            metadata=metadata,
        )
        token = current_scope.set(scope)
        try:
            yield scope
        except BaseException as error:
            self._finish(scope, error)
            raise
        else:
            self._finish(scope, None)
        finally:
            current_scope.reset(token)

    def _finish(self, scope: RunScope, error: BaseException | None) -> None:
        """Close a run's trace, whichever kind of caller ends it."""
        write = self._calls.runs.finish(scope, error)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            self._portal.run(write)
        else:
            self._services.write_soon(write)

    @property
    def calls(self) -> CallRouter:
        """Routes single calls of applications; what the chat model, the middleware and `route` stand on."""
        return self._calls

    @property
    def portal(self) -> Portal:
        """The background loop of the synchronous doors."""
        return self._portal

    # Traces --------------------------------------------------------------------------------------------

    @property
    def store(self) -> TraceStore:
        """Where the traces are."""
        return self._services.store

    @property
    def fleet(self) -> Fleet:
        """The endpoints and their load."""
        return self._services.fleet

    async def afeedback(self, trace_id: str, **what: Unpack[Feedback]) -> Outcome:
        """Say how a run turned out; early, late, or again with the same ``feedback_id`` to replace it.

        Args:
            trace_id: the run.
            what: ``solved``, or ``key`` with ``score`` or ``value``; see `Feedback`.

        Raises:
            ValueError: neither, or both.
        """
        outcome = feedback_outcome(trace_id, recorded_at_s=self._clock.wall_s(), **what)
        await self.store.add_outcome(trace_id, outcome)
        return outcome

    def feedback(self, trace_id: str, **what: Unpack[Feedback]) -> Outcome:
        """`afeedback` for callers without an event loop."""
        return self._portal.run(self.afeedback(trace_id, **what))

    async def atrace(self, trace_id: str) -> Trajectory:
        """The trace of that id, or of the only one whose id begins so.

        Raises:
            UnknownTrace: there is none.
        """
        return await self.store.get(await self.store.resolve(trace_id))

    def trace(self, trace_id: str) -> Trajectory:
        """`atrace` for callers without an event loop."""
        return self._portal.run(self.atrace(trace_id))

    def explain(self, trace_id: str) -> str:
        """What was seen, masked and chosen in a run, with which probability and why, as text."""
        return explain_trajectory(self.trace(trace_id))

    # Life ----------------------------------------------------------------------------------------------

    async def aclose(self) -> None:
        """Release what the running loop and the background loop use, and the store if it is ours."""
        await self._release()
        if self._portal.is_running and not self._portal.is_current:
            await asyncio.to_thread(self._portal.run, self._release())
            await asyncio.to_thread(self._portal.close)
        if self._exporter is not None:
            await asyncio.to_thread(self._exporter.close)
        if self._owns_store:
            await self.store.aclose()

    async def _release(self) -> None:
        await self._services.drain()
        await self._services.fleet.aclose()

    def close(self) -> None:
        """`aclose`, and stop the background loop."""
        self._portal.run(self.aclose())
        self._portal.close()

    def _context(
        self,
        question: str,
        *,
        budget_s: float | None = None,
        topology: str | None = None,
        team_size: int | None = None,
        domain: str | None = None,
        question_id: str = "",
        metadata: Mapping[str, Any] | None = None,
    ) -> RouteContext:
        """The run's context, checked before anything is opened."""
        defaults = self._services.defaults
        require_question(question, defaults)
        return RouteContext(
            budget_s=require_budget(defaults.budget_s if budget_s is None else budget_s),
            domain=None if domain == "auto" else domain,
            topology=None if topology == "auto" else topology,
            team_size=team_size,
            question_id=question_id,
            trace_id=self._services.new_trace_id(),
            metadata=metadata or {},
        )

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


async def _next_or_none(events: AsyncGenerator[Event]) -> Event | None:
    return await anext(events, None)


def _as_event(mode: str, part: Any) -> Event | None:
    """A part of LangGraph's stream as an event; None for what is not ours or says nothing."""
    if mode == "custom":
        kind = str(part.get("type", "")) if isinstance(part, dict) else ""
        if not kind.startswith("inframind."):
            return None
        data = {name: value for name, value in part.items() if name != "type"}
        return Event(cast(EventKind, kind.removeprefix("inframind.")), data)
    message = part[0]
    return Event("token", {"text": message.text}) if isinstance(message, AIMessage) and message.text else None
