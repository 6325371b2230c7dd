"""One call of a workflow, an agent's or the judge's: decide, ask the fleet, record. Failures become drafts."""

from __future__ import annotations

import asyncio
from typing import Any

from langchain_core.runnables import RunnableConfig

from inframind.errors import InfraMindError
from inframind.fleet.context import StepContext
from inframind.fleet.messages import ChatRequest
from inframind.fleet.snapshot import FleetSnapshot
from inframind.fleet.traceparent import step_headers
from inframind.graphs.agreement import agreement
from inframind.graphs.events import announce
from inframind.graphs.ledger import choice_of
from inframind.graphs.model import StepCall
from inframind.graphs.prompts import PeerAnswer
from inframind.graphs.recorder import RunRecorder
from inframind.graphs.services import Services
from inframind.graphs.state import AgentTask, Draft
from inframind.graphs.step_record import answered_step, failed_step, learn_from_answer, learn_from_timeout
from inframind.router.actions import StrategySpec
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
        recorder = await self._services.recorder(task["run"])
        recorder.rounds = max(recorder.rounds, task["round"])
        if recorder.remaining_s() <= 0:
            return _left_out(task, recorder)
        call = _StepCall(self._services, recorder, task)
        try:
            return await call.run(config)
        except asyncio.CancelledError as error:
            call.record_failure(error)
            raise


class _StepCall:
    """One step on its way: what was decided, when it began, and the step that it becomes."""

    def __init__(self, services: Services, recorder: RunRecorder, task: AgentTask) -> None:
        self._services, self._recorder, self._task = services, recorder, task
        self._run = task["run"]
        self._kind = JUDGE if task["task"] == JUDGE else "agent"
        self._role = JUDGE_ROLE if self._kind == JUDGE else self._run["team"][task["seat"]]
        self._call = recorder.begin(_name(task))
        self._step_id = recorder.new_step_id(self._call)
        self._started_s = recorder.since_arrival_s()
        self._decision_id = ""
        self._choice: StepChoice | None = None

    async def run(self, config: RunnableConfig) -> Draft:
        snapshot, latency = self._services.fleet.snapshot(), self._services.decider.latency
        slot = self._slot()
        choice = self._decide(slot, snapshot)
        request = self._request(choice)
        call = StepCall(
            request,
            choice.models,
            fleet=self._services.fleet,
            deadline=self._recorder.deadline,
            priority=self._slack_priority(choice),
            is_final=self._task["is_final"],
            avoid=choice.avoid,
        )
        try:
            completion, message_id = await call.run(config)
        except InfraMindError as error:
            now_s = self._services.clock.now_s()
            learn_from_timeout(latency, choice, error, snapshot, slot.prompt_tokens, now_s)
            return self.record_failure(error)
        learn_from_answer(latency, choice, completion, snapshot, slot.prompt_tokens)
        domain = self._run["domain"]
        return self._finish(answered_step(self._step_base(), completion, self._recorder, domain), message_id)

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
        """Decide, or take over what this call decided before it was executed again."""
        recorder, decider = self._recorder, self._services.decider_of(self._recorder)
        earlier = self._call.earlier
        choice = choice_of(earlier, decider.actions) if earlier else None
        if earlier and choice:
            decision = earlier
        else:
            decision_id = recorder.new_decision_id(self._call)
            choice, decision = decider.step(
                recorder.query,
                slot,
                snapshot,
                recorder.deadline,
                decision_id=decision_id,
                context=recorder.context,
            )
        recorder.decide(self._call, decision)
        self._choice, self._decision_id = choice, decision.decision_id
        self._services.note(recorder)
        announce(
            "step_start",
            **self._labels(),
            decision_id=decision.decision_id,
            probability=decision.probability,
            model=choice.model,
            strategy=choice.strategy,
            replayed=decision is earlier,
        )
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
        prompt_tokens = estimate_tokens([str(message["content"]) for message in messages])
        return ChatRequest(
            messages=messages,
            max_tokens_by_model={
                model: self._max_tokens(strategy, model, prompt_tokens) for model in choice.models
            },
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

    def _max_tokens(self, strategy: StrategySpec, model: str, prompt_tokens: int) -> int:
        """The strategy's limit, or what the model's context leaves; a rough count of the prompt needs slack."""
        facts = self._services.decider.actions.models[model]
        thinking = THINKING_TOKENS if "reasoning" in facts.capabilities else 0
        room = facts.context_length - int(1.25 * prompt_tokens) - 32
        return max(MIN_OUTPUT_TOKENS, min(strategy.max_tokens + thinking, room))

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

    def record_failure(self, error: BaseException) -> Draft:
        """A step that ended in an error: what had arrived is kept."""
        fleet = self._services.fleet
        step = failed_step(self._step_base(), error, self._recorder, self._run["domain"], fleet)
        return self._finish(step, "")

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
        self._recorder.put_step(step)
        self._services.note(self._recorder)
        announce(
            "step_end",
            **self._labels(),
            decision_id=step.decision_id,
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


def _name(task: AgentTask) -> str:
    """What the call is called in its topology's call graph."""
    return JUDGE if task["task"] == JUDGE else call_name(task["seat"], task["round"])


def _left_out(task: AgentTask, recorder: RunRecorder) -> Draft:
    """The deadline has passed: the call is not made, and the trace says so."""
    recorder.is_late = True
    recorder.skip(_name(task), "deadline")
    announce("skip", trace_id=recorder.trace_id, node=_name(task), reason="deadline")
    return Draft(
        step_id=NO_STEP,
        kind=JUDGE if task["task"] == JUDGE else "agent",
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
