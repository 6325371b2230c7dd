"""One call of somebody's application, routed: find its run, decide, ask the fleet, record, store."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inframind.errors import CallerError, DeadlineExceeded, InfraMindError
from inframind.fleet.clock import Deadline
from inframind.fleet.context import StepContext
from inframind.fleet.messages import ChatRequest, Completion, Message, OnDelta
from inframind.fleet.snapshot import FleetSnapshot
from inframind.fleet.traceparent import step_headers
from inframind.graphs.services import Services
from inframind.graphs.step_record import answered_step, failed_step, learn_from_answer, learn_from_timeout
from inframind.plugin.calls.asked import AUTO, PLAIN, AskedCall, text_of
from inframind.plugin.calls.replays import Claim, MadeDecision, Replays
from inframind.plugin.calls.runs import Runs, query_of
from inframind.plugin.calls.scope import RunScope
from inframind.plugin.calls.site import CallSite
from inframind.plugin.calls.tool_results import tools_in
from inframind.plugin.calls.warmth import Threads, Warmth
from inframind.router.actions import StrategySpec
from inframind.router.decide import StepChoice
from inframind.router.latency import LatencyModel, estimate_tokens
from inframind.router.priority import slack_priority
from inframind.router.recorded_views import asked_apart
from inframind.router.views import Query, Slot
from inframind.traces.aliases import thread_alias
from inframind.traces.records import Decision, Status, Step

LONGEST_CALL_S = 600.0
"""Seconds after which a call fails that was given no timeout; the openai SDK's own default."""
SINGLE_CALL = "IO"
"""What a call in somebody's graph is to the policy: one agent who sees a question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutedCall:
    """What came of a call.

    Attributes:
        completion: the answer.
        account: the decision as plain data, for the message's ``response_metadata["inframind"]``.
    """

    completion: Completion
    account: Mapping[str, Any]


class CallRouter:
    """Routes single calls of applications.

    Args:
        services: fleet, decider, store, clock.
        runs: the runs in progress.
    """

    def __init__(self, services: Services, runs: Runs) -> None:
        self.services, self.runs = services, runs
        self._replays, self._threads = Replays(), Threads()
        self._can = frozenset().union(*(facts.capabilities for facts in services.fleet.models.values()))

    async def call(self, asked: AskedCall, site: CallSite, on_delta: OnDelta | None = None) -> RoutedCall:
        """Make one call; its trace is stored when this returns or raises, and soon after it was broken off.

        A call that cannot be decided on, by its caller's mistake, leaves no trace.

        Args:
            asked: what is asked.
            site: where.
            on_delta: awaited with each piece of the answer.

        Raises:
            UnknownModel, ConfigError: it asks for a model or a strategy that there is not.
            DeadlineExceeded: its run keeps a hard budget, and that is spent.
            EndpointError, FleetExhausted: no endpoint gave an answer.
        """
        await self.services.fleet.watch()
        call = _Call(self, asked, site, await self.runs.of(asked, site))
        try:
            return await call.run(on_delta)
        except InfraMindError as error:
            if call.is_decided or not isinstance(
                error, CallerError
            ):  # else it never began: its run is as it was
                error.about_trace(call.scope.trace_id)
                await self.runs.store(call.scope, call.fail(error), error=error)
            raise
        except BaseException as error:  # cancelled, or what a listener raised: nobody may wait for the store
            self.runs.store_soon(call.scope, call.fail(error), error)
            raise

    def claim(self, asked: AskedCall, site: CallSite) -> Claim | None:
        """The call's place among the decisions of its task, see `Replays`."""
        return self._replays.claim(site, asked.messages)

    def warmth(self, site: CallSite) -> Warmth | None:
        """Where the thread's prefix is cached."""
        return self._threads.warmth(site.thread_id, self.services.clock.now_s()) if site.thread_id else None

    def note_warmth(self, site: CallSite, completion: Completion) -> None:
        """Remember where the thread's prefix is cached now."""
        usage = completion.usage
        if site.thread_id and usage:
            tokens = usage.prompt_tokens + usage.completion_tokens
            now_s = self.services.clock.now_s()
            self._threads.note(site.thread_id, Warmth(completion.model, completion.endpoint, tokens, now_s))

    def new_names(self, site: CallSite, trace_id: str) -> list[str]:
        """Aliases of a run that this call adds: the model's run where it is not the trace itself, the thread."""
        names = [f"run:{site.call_id}"] if site.call_id not in ("", trace_id) else []
        if site.thread_id and self._threads.begins(site.thread_id, trace_id):
            names.append(thread_alias(site.thread_id))
        return names

    def query(self, asked: AskedCall) -> Query:
        """The call's question. What no model of the fleet says that it can do is left for the server to refuse."""
        query = query_of(asked)
        if query.needs <= self._can:
            return query
        return Query(
            text=query.text,
            domain=query.domain,
            prompt_tokens=query.prompt_tokens,
            needs=query.needs & self._can,
        )


class _Call:
    """One call on its way: what was decided, when it began, and the step that it becomes."""

    def __init__(self, router: CallRouter, asked: AskedCall, site: CallSite, scope: RunScope) -> None:
        self._router, self._asked, self._site, self.scope = router, asked, site, scope
        self._services, self._query = router.services, router.query(asked)
        claim = router.claim(asked, site)
        self._earlier = claim.earlier if claim else None
        self._claim = claim
        if self._earlier is not None and not scope.is_tracked:
            self.scope = self._earlier.scope
        self._recorder = self.scope.recorder
        self._step_id = self._earlier.step_id if self._earlier else self._recorder.new_step_id()
        self._started_s = self._recorder.since_arrival_s()
        self._parents = _frontier(self._recorder.steps, self._step_id)
        self._services.offer(self._recorder, asked.tool_names)
        for tool in tools_in(asked, self._recorder.steps, self._started_s):
            self._recorder.put_tool(tool)
        self._warmth = router.warmth(site)
        self._made: MadeDecision | None = None

    async def run(self, on_delta: OnDelta | None) -> RoutedCall:
        snapshot = self._services.fleet.snapshot()
        self._require_time()
        slot = self._slot()
        share = self.scope.share(self._node, self._services.clock)
        made = self._made = self._earlier or self._decide(slot, snapshot, share)
        try:
            completion = await self._services.fleet.complete(
                self._request(made, share),
                made.choice.models,
                self._limit(),
                priority=self._priority(made.choice, share),
                on_delta=on_delta,
                prefer=self._warmth.endpoint if self._warmth else "",
                avoid=made.choice.avoid,
            )
        except InfraMindError as error:
            now_s = self._services.clock.now_s()
            learn_from_timeout(self._latency, made.choice, error, snapshot, slot.prompt_tokens, now_s)
            raise
        learn_from_answer(self._latency, made.choice, completion, snapshot, slot.prompt_tokens)
        self._router.note_warmth(self._site, completion)
        await self._keep(completion)
        return RoutedCall(completion=completion, account=self._account(made, completion))

    @property
    def is_decided(self) -> bool:
        """Whether it is known what answers, so that something can have failed."""
        return self._made is not None

    @property
    def _latency(self) -> LatencyModel:
        return self._services.decider.latency

    @property
    def _node(self) -> str:
        return self._site.node or "call"

    def _require_time(self) -> None:
        recorder = self._recorder
        if self.scope.is_hard and recorder.remaining_s() <= 0:
            recorder.is_late = True
            raise DeadlineExceeded(
                self.scope.trace_id, recorder.deadline.budget_s, recorder.since_arrival_s()
            )

    def _slot(self) -> Slot:
        asked = self._asked
        texts = [text_of(message) for message in asked.messages]
        wants_instruction = asked.strategy != PLAIN and asked.leaves_room
        strategies = None if asked.strategy == AUTO else frozenset({asked.strategy})
        return Slot(
            topology=SINGLE_CALL,
            role=self._site.role,
            prompt_tokens=estimate_tokens([*texts, *map(str, asked.tools)]),
            models=None if asked.model == AUTO else frozenset({asked.model}),
            strategies=strategies if wants_instruction else frozenset({PLAIN}),
            warm_model=self._warmth.model if self._warmth else "",
            warm_tokens=self._warmth.tokens if self._warmth else 0,
        )

    def _decide(self, slot: Slot, snapshot: FleetSnapshot, share: Deadline) -> MadeDecision:
        recorder = self._recorder
        choice, decision = self._services.decider_of(recorder, self._site.thread_id).step(
            self._query,
            slot,
            snapshot,
            self.scope.aim(self._node, share, self._services.clock),
            decision_id=recorder.new_decision_id(),
            context=self._seen(share),
            whole_s=recorder.deadline.budget_s,
        )
        recorder.decisions.append(decision)
        self._services.note(recorder)
        made = MadeDecision(self.scope, choice, decision, self._step_id)
        if self._claim is not None:
            self._claim.keep(made)
        return made

    def _seen(self, share: Deadline) -> dict[str, Any]:
        seen = self.scope.seen(self._node, share, self._services.clock)
        seen.update(asked_apart(self._query, self._recorder.query))
        if self._asked.needs:
            seen["needs"] = sorted(self._asked.needs)
        if self._site.task_id:
            seen["task_id"] = self._site.task_id
        return seen

    def _request(self, made: MadeDecision, share: Deadline) -> ChatRequest:
        asked, choice = self._asked, made.choice
        strategy = self._services.decider.actions.strategies[choice.strategy]
        return ChatRequest(
            messages=_instructed(asked, strategy),
            max_tokens=asked.max_tokens,
            temperature=asked.temperature,
            stop=asked.stop,
            seed=asked.seed,
            tools=asked.tools,
            tool_choice=asked.tool_choice,
            response_format=asked.response_format,
            extra={**(strategy.extra if asked.strategy != PLAIN else {}), **asked.extra},
            headers={
                **step_headers(self.scope.trace_id, self._step_id, self._recorder.metadata),
                **self._slo_headers(share, strategy),
                **asked.headers,
            },
            context=self._context(choice),
            stream=asked.stream,
            expected_output_tokens=strategy.expected_output_tokens,
        )

    def _slo_headers(self, share: Deadline, strategy: StrategySpec) -> dict[str, str]:
        """What an SLO-aware gateway (llm-d) orders by: half of this call's time is for its first token."""
        half_ms = 1000 * max(share.remaining_s(self._services.clock), 0.001) / 2
        tokens = max(1, strategy.expected_output_tokens)
        return {"x-slo-ttft-ms": f"{half_ms:.0f}", "x-slo-tpot-ms": f"{half_ms / tokens:.1f}"}

    def _context(self, choice: StepChoice) -> StepContext:
        return StepContext(
            trace_id=self.scope.trace_id,
            topology=SINGLE_CALL,
            role=self._site.role,
            strategy=choice.strategy,
        )

    def _limit(self) -> Deadline:
        """When the call fails: by its own timeout, or when a hard budget is spent."""
        limit = Deadline.after(self._asked.timeout_s or LONGEST_CALL_S, self._services.clock)
        run = self._recorder.deadline
        return run if self.scope.is_hard and run.at_s < limit.at_s else limit

    def _priority(self, choice: StepChoice, share: Deadline) -> int:
        clock = self._services.clock
        return slack_priority(clock.wall_s(), share.remaining_s(clock), choice.q50_s)

    # Recording -----------------------------------------------------------------------------------------

    async def _keep(self, completion: Completion) -> None:
        """Record the step, and store the trace: it is durable before the answer is handed out."""
        recorder, scope = self._recorder, self.scope
        step = answered_step(self._step_base(), completion, recorder, self._query.domain)
        recorder.put_step(step)
        decision = self._made.decision if self._made else None
        scope.note_step(step, decision, is_careful=self._services.decider.is_careful)
        self._services.also_known_as(scope.trace_id, self._router.new_names(self._site, scope.trace_id))
        await self._router.runs.store(scope, self._status(), final=recorder.latest_answer())

    def _status(self) -> Status:
        if self.scope.is_tracked:
            return "open"
        return self._recorder.answered_status()

    def fail(self, error: BaseException) -> Status:
        """Record the step as failed; what the run's trace then is."""
        if self._made is not None:
            self._made.has_failed = not isinstance(error, asyncio.CancelledError)
        base = self._step_base()
        self._recorder.put_step(
            failed_step(base, error, self._recorder, self._query.domain, self._services.fleet)
        )
        if self.scope.is_tracked:
            return "open"
        return "cancelled" if isinstance(error, asyncio.CancelledError) else "failed"

    def _step_base(self) -> dict[str, Any]:
        made = self._made
        return {
            "step_id": self._step_id,
            "node": self._node,
            "kind": "agent",
            "position": 0,
            "round": 1,
            "role": self._site.role,
            "parents": self._parents,
            "decision_id": made.decision.decision_id if made else "",
            "model": made.choice.model if made else "",
            "strategy": made.choice.strategy if made else "",
            "started_s": self._started_s,
        }

    def _account(self, made: MadeDecision, completion: Completion) -> dict[str, Any]:
        decision: Decision = made.decision
        return {
            "trace_id": self.scope.trace_id,
            "decision_id": decision.decision_id,
            "model": made.choice.model,
            "strategy": made.choice.strategy,
            "probability": decision.probability,
            "policy": decision.policy,
            "policy_version": decision.policy_version,
            "endpoint": completion.endpoint,
        }


def _instructed(asked: AskedCall, strategy: StrategySpec) -> list[Message]:
    """The messages, with a strategy's instruction after the question where there is room for it."""
    messages = list(asked.messages)
    if strategy.instruction and asked.strategy != PLAIN and asked.leaves_room:
        last = messages[-1]
        messages[-1] = {**last, "content": f"{last['content']}\n\n{strategy.instruction}"}
    return messages


def _frontier(steps: list[Step], step_id: int) -> tuple[int, ...]:
    """Steps that had ended when this one began, and that no other of them waited for."""
    ended = [step for step in steps if step.step_id != step_id]
    waited_for = {parent for step in ended for parent in step.parents}
    return tuple(sorted(step.step_id for step in ended if step.step_id not in waited_for))
