"""Asking questions: the SDK's doors, with and without an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Never, TypedDict, Unpack, cast

from langchain_core.messages import AIMessage

from inframind.errors import ConfigError, InfraMindError
from inframind.graphs.portal import Portal
from inframind.graphs.routed import require_budget, require_question
from inframind.graphs.services import Services
from inframind.graphs.state import RouteContext
from inframind.graphs.workflow import RoutedWorkflow, as_state
from inframind.plugin.result import Event, EventKind, Result
from inframind.plugin.unknown_options import refuse_unknown

Question = str | Mapping[str, Any]
"""A question's text, or a mapping with ``question`` and any of `RunOptions`."""


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


class Asking:
    """Answers questions through the routed workflow; a part of `InfraMind`."""

    _services: Services
    _workflow: RoutedWorkflow
    _portal: Portal

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

        Raises:
            ConfigError: ``max_concurrency`` below 1.
        """
        if max_concurrency < 1:
            raise ConfigError("max_concurrency", max_concurrency, "use 1 or more")
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
        **unknown: Never,
    ) -> RouteContext:
        """The run's context, checked before anything is opened."""
        refuse_unknown(unknown.keys(), tuple(RunOptions.__annotations__))
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
