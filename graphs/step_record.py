"""A call that has been made, as the `Step` of a trace and as a lesson for the latency model."""

from __future__ import annotations

from typing import Any

from inframind.errors import EndpointError, EndpointTimeout, FleetExhausted, InfraMindError
from inframind.fleet.messages import Completion
from inframind.fleet.pool import Fleet
from inframind.fleet.snapshot import FleetSnapshot
from inframind.graphs.domains import find_answer
from inframind.graphs.recorder import EARLY_S, RunRecorder
from inframind.router.decide import StepChoice
from inframind.router.latency import LatencyModel
from inframind.traces.records import Step


def answered_step(base: dict[str, Any], completion: Completion, recorder: RunRecorder, domain: str) -> Step:
    """The step that a completion is; ``base`` says which step of the run it is."""
    timings, usage = completion.timings, completion.usage
    # A model that ran out of tokens while it thought has said nothing else: its thinking is the draft.
    text = completion.text or completion.reasoning
    first_s = timings.first_token_s
    return Step(
        **base,
        endpoint=completion.endpoint,
        served_model=completion.model,
        sent_s=recorder.since_arrival_s(timings.sent_s),
        first_token_s=None if first_s is None else recorder.since_arrival_s(first_s),
        finished_s=recorder.since_arrival_s(timings.finished_s),
        queue_s=timings.queue_s,
        prompt_tokens=usage.prompt_tokens if usage else None,
        completion_tokens=usage.completion_tokens if usage else None,
        cached_tokens=usage.cached_tokens if usage else None,
        finish_reason=completion.finish_reason,
        text=text,
        answer=find_answer(text, domain),
        attempts=completion.attempts,
        priority=completion.priority,
    )


def failed_step(
    base: dict[str, Any], error: BaseException, recorder: RunRecorder, domain: str, fleet: Fleet
) -> Step:
    """The step that a failure is: what had arrived is kept, and the recorder knows whether the deadline cut it."""
    text = error.partial_text if isinstance(error, EndpointError) else ""
    if isinstance(error, InfraMindError):
        recorder.last_error = error
    if isinstance(error, EndpointTimeout) and recorder.remaining_s() <= EARLY_S:
        recorder.is_late = True
    return Step(
        **base,
        endpoint=error.endpoint if isinstance(error, EndpointError) else "",
        finished_s=recorder.since_arrival_s(),
        text=text,
        answer=find_answer(text, domain),
        error=type(error).__name__,
        error_detail=str(error),
        attempts=fleet.attempts_of(_earlier(error)),
    )


def learn_from_answer(
    latency: LatencyModel,
    choice: StepChoice,
    completion: Completion,
    snapshot: FleetSnapshot,
    prompt_tokens: int,
) -> None:
    """Tell the latency model what the step took, from the snapshot on and the wait for a slot included.

    A failover says nothing about the model that was decided on.
    """
    timings, usage = completion.timings, completion.usage
    before_s = timings.sent_s - snapshot.taken_s
    if not completion.attempts:
        latency.observe(
            choice.model,
            choice.strategy,
            snapshot,
            prompt_tokens,
            timings.finished_s - snapshot.taken_s,
            ttft_s=None if timings.ttft_s is None else before_s + timings.ttft_s,
            output_tokens=usage.completion_tokens if usage else None,
        )


def learn_from_timeout(
    latency: LatencyModel,
    choice: StepChoice,
    error: BaseException,
    snapshot: FleetSnapshot,
    prompt_tokens: int,
    now_s: float,
) -> None:
    """Tell the latency model of a step that the deadline cut: it took longer than this, a hung one too.

    Only where that is news: a step cut before its predicted median says nothing.
    """
    took_s = now_s - snapshot.taken_s
    if isinstance(error, EndpointTimeout) and not error.earlier and took_s > choice.q50_s:
        latency.observe(choice.model, choice.strategy, snapshot, prompt_tokens, took_s)


def _earlier(error: BaseException) -> tuple[EndpointError, ...]:
    if isinstance(error, FleetExhausted):
        return error.failures
    return error.earlier if isinstance(error, EndpointError) else ()
