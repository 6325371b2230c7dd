"""Recorded calls that the latency model can be fitted to, and how traces become such."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from inframind.fleet.snapshot import EndpointLoad
from inframind.traces.records import Decision, Step, Trajectory


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSample:
    """One recorded call and the load that it was dispatched under.

    Attributes:
        model: model that answered.
        strategy: strategy of its prompt.
        prompt_tokens: rough number of tokens of the prompt, as it is predicted with.
        running: requests in the batch at dispatch.
        waiting: requests in the queue at dispatch.
        kv_cache_usage: share of the KV cache in use, 0 to 1.
        ttft_s: seconds to the first token, queueing included.
        latency_s: seconds of the whole call.
        output_tokens: tokens of the answer, at least 1.
        group: what must not be on both sides of a cross-validation split, such as the question's id.
    """

    model: str
    strategy: str
    prompt_tokens: int
    running: float
    waiting: float
    kv_cache_usage: float
    ttft_s: float
    latency_s: float
    output_tokens: int
    group: str = ""


def samples_of(trajectories: Iterable[Trajectory]) -> Iterator[CallSample]:
    """The calls of some traces that show their parts and the load that they met; the others are passed over.

    Times count from the decision, as they do for a model that learns while it serves. A failover says nothing
    about the model that was decided on, and a single token shows no rate.
    """
    for trajectory in trajectories:
        decisions = {decision.decision_id: decision for decision in trajectory.decisions}
        for step in trajectory.steps:
            decision = decisions.get(step.decision_id)
            if decision is not None and not step.attempts and not step.error:
                yield from _sample(step, decision, trajectory.question_id or trajectory.trace_id)


def _sample(step: Step, decision: Decision, group: str) -> Iterator[CallSample]:
    seen = decision.seen.get("loads", {}).get(step.endpoint)
    prompt_tokens = decision.seen.get("prompt_tokens")
    if (
        seen is None
        or prompt_tokens is None
        or step.first_token_s is None
        or (step.completion_tokens or 0) < 2
    ):
        return
    load = EndpointLoad(endpoint=step.endpoint, model=step.model, **seen)
    yield CallSample(
        model=step.model,
        strategy=step.strategy,
        prompt_tokens=prompt_tokens,
        running=load.running_now,
        waiting=load.waiting_now + load.waiting_here,
        kv_cache_usage=load.kv_cache_usage or 0.0,
        ttft_s=step.first_token_s - decision.made_s,
        latency_s=step.finished_s - decision.made_s,
        output_tokens=step.completion_tokens or 0,
        group=group,
    )
