"""A handler that hears every model call of a graph."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Self
from uuid import UUID

from langchain_core.messages import BaseMessage
from langchain_core.outputs import LLMResult

from inframind.plugin.graphs.heard import HeardCall
from inframind.plugin.graphs.live_runs import LiveRun, LiveRuns, RunTerms
from inframind.plugin.graphs.tracker import RunFollower

KEPT = 10_000
"""Most calls in progress that are remembered: of the others, nobody says when they end."""


class CallListener(RunFollower):
    """Follows runs, and hears the calls that are made in them. A call outside any run is a run of its own.

    Args:
        live: the runs in progress.
        terms: what holds for the runs that begin under this handler.
    """

    def __init__(self, live: LiveRuns, terms: RunTerms) -> None:
        super().__init__(live, terms)
        self._open: dict[UUID, HeardCall] = {}

    def under(self, terms: RunTerms) -> Self:
        """The same handler with other terms; each remembers the calls that it hears by itself."""
        other = super().under(terms)
        other._open = {}
        return other

    @abstractmethod
    def interest(self, call: HeardCall) -> int:
        """How much it has to say of a call: of several handlers that hear it, the one with the most records it."""

    @abstractmethod
    def heard(self, call: HeardCall) -> None:
        """A call has ended; called on the background loop."""

    @property
    def ignore_llm(self) -> bool:
        """Every call is heard."""
        return False

    @property
    def ignore_chat_model(self) -> bool:
        """Every call is heard."""
        return False

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """A chat model is called."""
        with self._mishaps:
            self._begin(messages[0] if messages else [], run_id, parent_run_id, metadata or {}, kwargs)

    def on_llm_start(
        self,
        serialized: dict[str, Any],
        prompts: list[str],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """A completion model is called."""
        with self._mishaps:
            self._begin(prompts, run_id, parent_run_id, metadata or {}, kwargs)

    def on_llm_new_token(
        self, token: str | list[str | dict[str, Any]], *, run_id: UUID, **kwargs: Any
    ) -> None:
        """A piece of the answer came."""
        call = self._open.get(run_id)
        if call is not None and call.first_token_s is None and token:
            call.first_token_s = self._live.services.clock.now_s()

    def on_stream_event(self, event: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """A piece of the answer came, in LangChain's event protocol."""
        if isinstance(event, Mapping) and event.get("event") == "content-block-delta":
            self.on_llm_new_token("...", run_id=run_id)

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """The answer is complete."""
        with self._mishaps:
            self._end(run_id, response, None)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """The call failed, or was cancelled."""
        with self._mishaps:
            self._end(run_id, None, error)

    def _begin(
        self,
        messages: Sequence[BaseMessage] | Sequence[str],
        run_id: UUID,
        parent_run_id: UUID | None,
        metadata: Mapping[str, Any],
        about: Mapping[str, Any],
    ) -> None:
        run = self._run(run_id, parent_run_id, messages, metadata)
        call = self._open[run_id] = HeardCall(
            run_id=run_id,
            run=run,
            parent_run_id=parent_run_id,
            messages=messages,
            parameters=about.get("invocation_params") or {},
            metadata=metadata,
            deadline=run.scope.recorder.deadline,
            snapshot=self._live.services.fleet.snapshot(),
            started_s=self._live.services.clock.now_s(),
        )
        if len(self._open) > KEPT:
            self._open.pop(next(iter(self._open)), None)
        other = run.heard_by.get(run_id)
        if other is None or other.interest(call) < self.interest(call):
            run.heard_by[run_id] = self

    def _run(
        self, run_id: UUID, parent_run_id: UUID | None, messages: object, metadata: Mapping[str, Any]
    ) -> LiveRun:
        known = self._live.of(run_id, parent_run_id)
        if known is not None:
            self._live.join(run_id, parent_run_id)
            return known
        return self._live.begin(run_id, messages, metadata, "", self._terms)

    def _end(self, run_id: UUID, answer: LLMResult | None, error: BaseException | None) -> None:
        call = self._open.pop(run_id, None)
        if call is not None:
            call.ended_s, call.answer, call.error = self._live.services.clock.now_s(), answer, error
            if call.run.heard_by.get(run_id) is self:
                del call.run.heard_by[run_id]
                self._live.background.call(self._heard, call)
        self._live.end(run_id, error)

    def _heard(self, call: HeardCall) -> None:
        if not call.is_routed:
            self.heard(call)
