"""One call of a workflow, an agent's or the judge's: decide, ask the fleet, record. Failures become drafts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig

from inframind.errors import EndpointError, EndpointTimeout, FleetExhausted, InfraMindError
from inframind.fleet.context import StepContext
from inframind.fleet.messages import ChatRequest, Completion
from inframind.fleet.snapshot import FleetSnapshot
from inframind.fleet.traceparent import step_headers
from inframind.graphs.agreement import agreement
from inframind.graphs.domains import find_answer
from inframind.graphs.model import StepCall
from inframind.graphs.prompts import PeerAnswer
from inframind.graphs.recorder import RunRecorder
from inframind.graphs.services import Services, announce
from inframind.graphs.state import AgentTask, Draft
from inframind.router.decide import StepChoice
from inframind.router.latency import estimate_tokens
from inframind.router.priority import slack_priority
from inframind.router.topology import JUDGE, JUDGE_ROLE, call_name
from inframind.router.views import Slot
from inframind.traces.records import Step

MIN_OUTPUT_TOKENS = 16
THINKING_TOKENS = 2048
"""Room for a reasoning model's own thinking, beside the answer that the strategy allows."""
NO_STEP = -1
"""``step_id`` of a draft whose call was left out."""


class AgentStep:
    """The node that every call of every topology goes through."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def __call__(self, task: AgentTask, config: RunnableConfig) -> Draft:
        """Make one call and return what came of it; only cancellation is raised, once it is recorded."""
        recorder = self._services.recorder(task["run"])
        recorder.rounds = max(recorder.rounds, task["round"])
        if recorder.remaining_s() <= 0:
            return _left_out(task, recorder)
        call = _StepCall(self._services, task)
        try:
            return await call.run(config)
        except asyncio.CancelledError as error:
            call.record_failure(error)
            raise


class _StepCall:
    """One step on its way: what was decided, when it began, and the step that it becomes."""

    def __init__(self, services: Services, task: AgentTask) -> None:
        self._services, self._task = services, task
        self._run = task["run"]
        self._recorder: RunRecorder = services.recorder(self._run)
        self._kind = JUDGE if task["task"] == JUDGE else "agent"
        self._role = JUDGE_ROLE if self._kind == JUDGE else self._run["team"][task["seat"]]
        self._step_id = self._recorder.new_step_id()
        self._started_s = self._recorder.since_arrival_s()
        self._decision_id = ""
        self._choice: StepChoice | None = None

    async def run(self, config: RunnableConfig) -> Draft:
        snapshot = self._services.fleet.snapshot()
        slot = self._slot()
        choice = self._decide(slot, snapshot)
        announce("step_start", **self._labels(), model=choice.model, strategy=choice.strategy)
        request = self._request(choice)
        call = StepCall(
            request,
            choice.models,
            fleet=self._services.fleet,
            deadline=self._recorder.deadline,
            priority=self._slack_priority(choice),
            is_final=self._task["is_final"],
        )
        try:
            completion, message_id = await call.run(config)
        except InfraMindError as error:
            if isinstance(error, EndpointTimeout) and not error.earlier:
                self._learn_at_least(slot, snapshot)
            return self.record_failure(error)
        self._learn(completion, slot, snapshot)
        return self._record(completion, message_id)

    def _slot(self) -> Slot:
        task = self._task
        history = [turn["content"] for turn in self._run["history"]]
        texts = [
            self._run["instructions"],
            *history,
            self._run["question"],
            *(peer["text"] for peer in task["peers"]),
        ]
        return Slot(
            topology=self._run["topology"],
            kind=self._kind,
            position=task["seat"],
            team_size=len(self._run["team"]),
            role=self._role,
            round=task["round"],
            depth_left=task["depth_left"],
            agreement=agreement(task["peers"]),
            prompt_tokens=estimate_tokens(texts) + 80,
        )

    def _decide(self, slot: Slot, snapshot: FleetSnapshot) -> StepChoice:
        recorder = self._recorder
        choice, decision = self._services.decider.step(
            recorder.query, slot, snapshot, recorder.deadline, decision_id=recorder.new_decision_id()
        )
        recorder.decisions.append(decision)
        self._choice, self._decision_id = choice, decision.decision_id
        return choice

    def _request(self, choice: StepChoice) -> ChatRequest:
        strategy = self._services.decider.actions.strategies[choice.strategy]
        messages = self._services.prompts.messages(
            question=self._run["question"],
            domain=self._run["domain"],
            role=self._role,
            task=self._task["task"],
            strategy=strategy,
            peers=[PeerAnswer(author=_author(peer), text=peer["text"]) for peer in self._shown()],
            own=self._own_author(),
            history=self._run["history"],
            instructions=self._run["instructions"],
        )
        return ChatRequest(
            messages=messages,
            max_tokens=self._max_tokens(choice, [str(message["content"]) for message in messages]),
            temperature=strategy.temperature,
            extra=strategy.extra,
            headers=step_headers(self._recorder.trace_id, self._step_id, self._recorder.metadata),
            context=self._context(choice),
            expected_output_tokens=strategy.expected_output_tokens,
        )

    def _shown(self) -> list[Draft]:
        return [peer for peer in self._task["peers"] if peer["text"]]

    def _own_author(self) -> str:
        own = [] if self._kind == JUDGE else [p for p in self._shown() if p["seat"] == self._task["seat"]]
        return _author(own[-1]) if own else ""

    def _max_tokens(self, choice: StepChoice, texts: Sequence[str]) -> int:
        """The strategy's limit, or what the smallest candidate's context leaves; a rough count needs slack."""
        actions = self._services.decider.actions
        thinks = any("reasoning" in actions.models[model].capabilities for model in choice.models)
        wanted = actions.strategies[choice.strategy].max_tokens + (THINKING_TOKENS if thinks else 0)
        context_length = min(actions.models[model].context_length for model in choice.models)
        room = context_length - int(1.25 * estimate_tokens(texts)) - 32
        return max(MIN_OUTPUT_TOKENS, min(wanted, room))

    def _context(self, choice: StepChoice) -> StepContext:
        return StepContext(
            trace_id=self._run["trace_id"],
            question_id=self._run["question_id"],
            topology=self._run["topology"],
            node=self._kind,
            position=self._task["seat"],
            team_size=len(self._run["team"]),
            round=self._task["round"],
            role=self._role,
            strategy=choice.strategy,
        )

    def _slack_priority(self, choice: StepChoice) -> int:
        predicted_s = choice.q50_s * (1 + self._task["depth_left"])
        return slack_priority(self._services.clock.wall_s(), self._recorder.remaining_s(), predicted_s)

    def _learn(self, completion: Completion, slot: Slot, snapshot: FleetSnapshot) -> None:
        """Tell the latency model what the step took, from the snapshot on and the wait for a slot included.

        A failover says nothing about the model that was decided on.
        """
        assert self._choice is not None
        timings, usage = completion.timings, completion.usage
        before_s = timings.sent_s - snapshot.taken_s
        if not completion.attempts:
            self._services.decider.latency.observe(
                self._choice.model,
                self._choice.strategy,
                snapshot,
                slot.prompt_tokens,
                timings.finished_s - snapshot.taken_s,
                ttft_s=None if timings.ttft_s is None else before_s + timings.ttft_s,
                output_tokens=usage.completion_tokens if usage else None,
            )

    def _learn_at_least(self, slot: Slot, snapshot: FleetSnapshot) -> None:
        """Tell the latency model of a step that the deadline cut: it took longer than this, a hung one too.

        Only where that is news: a step cut before its predicted median says nothing.
        """
        assert self._choice is not None
        took_s = self._services.clock.now_s() - snapshot.taken_s
        if took_s > self._choice.q50_s:
            self._services.decider.latency.observe(
                self._choice.model, self._choice.strategy, snapshot, slot.prompt_tokens, took_s
            )

    def _record(self, completion: Completion, message_id: str) -> Draft:
        timings, usage = completion.timings, completion.usage
        # A model that ran out of tokens while it thought has said nothing else: its thinking is the draft.
        text = completion.text or completion.reasoning
        first_s = timings.first_token_s
        return self._finish(
            Step(
                **self._step_base(),
                endpoint=completion.endpoint,
                served_model=completion.model,
                sent_s=self._recorder.since_arrival_s(timings.sent_s),
                first_token_s=None if first_s is None else self._recorder.since_arrival_s(first_s),
                finished_s=self._recorder.since_arrival_s(timings.finished_s),
                queue_s=timings.queue_s,
                prompt_tokens=usage.prompt_tokens if usage else None,
                completion_tokens=usage.completion_tokens if usage else None,
                cached_tokens=usage.cached_tokens if usage else None,
                finish_reason=completion.finish_reason,
                text=text,
                answer=find_answer(text, self._run["domain"]),
                attempts=completion.attempts,
                priority=completion.priority,
            ),
            message_id,
        )

    def record_failure(self, error: BaseException) -> Draft:
        """A step that ended in an error: what had arrived is kept."""
        text = error.partial_text if isinstance(error, EndpointError) else ""
        if isinstance(error, InfraMindError):
            self._recorder.last_error = error
        if isinstance(error, EndpointTimeout):
            self._recorder.is_late = True
        return self._finish(
            Step(
                **self._step_base(),
                endpoint=error.endpoint if isinstance(error, EndpointError) else "",
                finished_s=self._recorder.since_arrival_s(),
                text=text,
                answer=find_answer(text, self._run["domain"]),
                error=type(error).__name__,
                error_detail=str(error),
                attempts=self._services.fleet.attempts_of(_earlier(error)),
            ),
            "",
        )

    def _step_base(self) -> dict[str, Any]:
        task, choice = self._task, self._choice
        return {
            "step_id": self._step_id,
            "node": self._kind,
            "kind": self._kind,
            "position": task["seat"],
            "round": task["round"],
            "role": self._role,
            "parents": tuple(peer["step_id"] for peer in task["peers"] if peer["step_id"] != NO_STEP),
            "decision_id": self._decision_id,
            "model": choice.model if choice else "",
            "strategy": choice.strategy if choice else "",
            "started_s": self._started_s,
        }

    def _finish(self, step: Step, message_id: str) -> Draft:
        self._recorder.steps.append(step)
        announce(
            "step_end",
            **self._labels(),
            model=step.served_model or step.model,
            strategy=step.strategy,
            latency_s=step.latency_s,
            answer=step.answer[:200],
            error=step.error,
        )
        return Draft(
            step_id=step.step_id,
            kind=step.kind,
            seat=step.position,
            round=step.round,
            role=step.role,
            text=step.text,
            answer=step.answer,
            error=step.error,
            message_id=message_id,
        )

    def _labels(self) -> dict[str, object]:
        return {
            "trace_id": self._run["trace_id"],
            "step_id": self._step_id,
            "kind": self._kind,
            "seat": self._task["seat"],
            "round": self._task["round"],
            "role": self._role,
        }


def _left_out(task: AgentTask, recorder: RunRecorder) -> Draft:
    """The deadline has passed: the call is not made, and the trace says so."""
    recorder.is_late = True
    is_judge = task["task"] == JUDGE
    recorder.skip(JUDGE if is_judge else call_name(task["seat"], task["round"]), "deadline")
    return Draft(
        step_id=NO_STEP,
        kind=JUDGE if is_judge else "agent",
        seat=task["seat"],
        round=task["round"],
        role="",
        text="",
        answer="",
        error="deadline",
        message_id="",
    )


def _author(draft: Draft) -> str:
    """The same for every reader, so that all of a round share one prompt prefix."""
    return f"{draft['role']} {draft['seat'] + 1}"


def _earlier(error: BaseException) -> tuple[EndpointError, ...]:
    if isinstance(error, FleetExhausted):
        return error.failures
    return error.earlier if isinstance(error, EndpointError) else ()
