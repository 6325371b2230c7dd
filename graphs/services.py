"""What the nodes of a routed graph need, gathered once and closed over by the graph's factory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from langgraph.config import get_stream_writer

from inframind.errors import ConfigError, InfraMindError
from inframind.fleet.clock import Clock, Deadline
from inframind.fleet.pool import Fleet
from inframind.graphs.prompts import PromptBuilder
from inframind.graphs.recorder import FinalAnswer, RunRecorder
from inframind.graphs.state import Run
from inframind.router.decide import Decider
from inframind.router.latency import estimate_tokens
from inframind.router.views import Query
from inframind.traces.records import Status
from inframind.traces.store import TraceStore


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
    _runs: dict[str, RunRecorder] = field(default_factory=dict)
    _writes: set[asyncio.Task[None]] = field(default_factory=set)

    def open_run(self, run: Run, deadline: Deadline, metadata: Mapping[str, Any]) -> RunRecorder:
        """Begin a trace."""
        recorder = RunRecorder(
            trace_id=run["trace_id"],
            query=query_of(run),
            deadline=deadline,
            clock=self.clock,
            arrived_at_s=run["arrived_at_s"],
            metadata=metadata,
        )
        self._runs[run["trace_id"]] = recorder
        return recorder

    def recorder(self, run: Run) -> RunRecorder:
        """The run's recorder; a run resumed in another process gets a new one with the time that is left."""
        recorder = self._runs.get(run["trace_id"])
        if recorder is None:
            gone_s = self.clock.wall_s() - run["arrived_at_s"]
            deadline = Deadline(self.clock.now_s() + run["budget_s"] - gone_s, run["budget_s"])
            recorder = self.open_run(run, deadline, {})
            recorder.topology, recorder.team = run["topology"], tuple(run["team"])
        return recorder

    async def close_run(
        self,
        trace_id: str,
        status: Status,
        *,
        final: FinalAnswer | None = None,
        error: BaseException | None = None,
    ) -> None:
        """End a run and store its trace; durable when this returns. Does nothing for a run that has ended."""
        recorder = self._runs.pop(trace_id, None)
        if recorder is not None:
            if isinstance(error, InfraMindError):
                error.about_trace(trace_id)
            await self.store.put(recorder.freeze(status, final=final, error=error))

    def close_run_soon(self, trace_id: str, status: Status, error: BaseException) -> None:
        """Like `close_run` for a node that is being cancelled and cannot wait."""
        self.write_soon(self.close_run(trace_id, status, error=error))

    def write_soon(self, write: Coroutine[Any, Any, None]) -> None:
        """Begin a write that nobody waits for but `drain`."""
        task = asyncio.get_running_loop().create_task(write)
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)

    async def drain(self) -> None:
        """Wait for traces that the running loop is still writing."""
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(task for task in tuple(self._writes) if task.get_loop() is loop))


def query_of(run: Run) -> Query:
    """The question of a run, as the router sees it."""
    return Query(
        text=run["question"],
        domain=run["domain"],
        question_id=run["question_id"],
        prompt_tokens=estimate_tokens([run["question"]]),
    )


def announce(event: str, /, **data: Any) -> None:
    """Tell a custom stream what happens; silent when nobody streams or outside a graph."""
    try:
        writer = get_stream_writer()
    except RuntimeError:
        return
    writer({"type": f"inframind.{event}", **data})
