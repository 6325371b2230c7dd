"""What a run came to: the account in the state, and the message that the routed graph answers with."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig

from inframind.graphs.model import MESSAGE_ID_PREFIX
from inframind.graphs.recorder import FinalAnswer, RunRecorder
from inframind.traces.aliases import run_alias, thread_alias
from inframind.traces.records import Status


def account_of(recorder: RunRecorder, final: FinalAnswer, status: Status) -> dict[str, Any]:
    """What a run came to, as plain data."""
    return {
        "trace_id": recorder.trace_id,
        "answer": final.answer,
        "status": status,
        "topology": recorder.topology,
        "team": list(recorder.team),
        "rounds": recorder.rounds,
        "latency_s": recorder.since_arrival_s(),
        "budget_s": recorder.deadline.budget_s,
        "decisions": [
            {
                "decision_id": decision.decision_id,
                "kind": decision.kind,
                "action": decision.action,
                "probability": decision.probability,
            }
            for decision in recorder.decisions
        ],
        **_answering(recorder, final.step_id),
    }


def _answering(recorder: RunRecorder, step_id: int) -> dict[str, Any]:
    """The step that wrote the answer and its decision; nothing where the answer is not a step's."""
    steps = {step.step_id: step for step in recorder.steps}
    decisions = {decision.decision_id: decision for decision in recorder.decisions}
    step = steps.get(step_id)
    decision = decisions.get(step.decision_id) if step else None
    if step is None or decision is None:
        return {}
    return {
        "decision_id": decision.decision_id,
        "model": step.model,
        "served_model": step.served_model or step.model,
        "strategy": step.strategy,
        "probability": decision.probability,
        "policy": decision.policy,
        "policy_version": decision.policy_version,
        "endpoint": step.endpoint,
    }


def answer_message(final: FinalAnswer, account: Mapping[str, Any]) -> AIMessage:
    """The answer as LangChain's message; one that was streamed keeps its id, and is not shown twice."""
    metadata: dict[str, Any] = {"inframind": account, "model_provider": "inframind"}
    if "served_model" in account:
        metadata["model_name"] = account["served_model"]
    return AIMessage(content=final.text, id=final.message_id or None, response_metadata=metadata)


def other_names(final: FinalAnswer, config: RunnableConfig) -> list[str]:
    """Aliases by which feedback finds the run: the answering call's own run, and the thread."""
    thread_id = config.get("configurable", {}).get("thread_id")
    names = [thread_alias(str(thread_id))] if thread_id else []
    if final.message_id:
        names.append(run_alias(uuid.UUID(final.message_id.removeprefix(MESSAGE_ID_PREFIX))))
    return names
