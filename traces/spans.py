"""A trajectory as a tree of spans in OpenTelemetry's GenAI conventions: plain data, made without OpenTelemetry.

::

    invoke_workflow Debate                 the run: plan, budget, skips, pace, feedback
    ├── invoke_agent MathSolver            one step: the decision behind it
    │   └── chat qwen-14b                  its call: model, tokens, endpoint, failovers
    └── invoke_agent Judge
        └── chat qwen-32b

Content is left out unless it is asked for. Content is every text that somebody or a model wrote: questions, answers,
comments on feedback, a policy's own words, and the messages of errors, because servers quote prompts in them. Of an
error the class name alone is shown. What a caller names (ids, roles, nodes, models, labels of feedback) is shown.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Final, Literal

from inframind.errors import ConfigError
from inframind.fleet.messages import Attempt
from inframind.fleet.traceparent import SpanParent, agent_span_id, chat_span_id, otel_trace_id, run_span_id
from inframind.traces import semconv
from inframind.traces.records import Decision, Outcome, Skip, Step, Trajectory

Value = str | bool | int | float | tuple[str, ...] | tuple[int, ...] | tuple[float, ...]
Attributes = Mapping[str, Value]

THREAD_KEY = "thread_id"
"""Key of a trajectory's metadata that names the conversation."""
GRAPH_KEY = "graph"
"""Key of a trajectory's metadata that names the application's graph, where no topology was planned."""
MOST_CANDIDATES = 10
"""Candidates of a decision that a span names, the likeliest first; the trace store has all of them."""
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanConfig:
    """What spans show.

    Raises:
        ConfigError: no provider.
    """

    content: bool = False
    """Whether questions, answers, comments and error messages are shown."""
    provider: str = "vllm"
    """``gen_ai.provider.name``: who serves the models."""
    servers: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    """Host and port by endpoint name."""

    def __post_init__(self) -> None:
        if not self.provider:
            raise ConfigError("otel.provider", self.provider, "name who serves the models, such as vllm")


@dataclass(frozen=True, slots=True)
class SpanEvent:
    """Something that happened during a span.

    Attributes:
        name: what happened.
        at_ns: nanoseconds since the Unix epoch.
        attributes: its details.
    """

    name: str
    at_ns: int
    attributes: Attributes


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanRecord:
    """One span as plain data.

    Attributes:
        trace_id: 32 hex digits.
        span_id: 16 hex digits.
        parent_id: 16 hex digits, or "" for the root of a trace.
        step_id: the step that it belongs to, or None for the run's own span.
        name: operation and what it was done on.
        kind: ``internal``, or ``client`` for a call to a server.
        start_ns: nanoseconds since the Unix epoch.
        end_ns: nanoseconds since the Unix epoch.
        attributes: by name, see `inframind.traces.semconv`.
        events: in the order they happened.
        error: class name of the error that ended it, or "".
        error_detail: its message, or "" where content is left out.
    """

    trace_id: str
    span_id: str
    parent_id: str
    step_id: int | None
    name: str
    kind: Literal["internal", "client"]
    start_ns: int
    end_ns: int
    attributes: Attributes
    events: tuple[SpanEvent, ...] = ()
    error: str = ""
    error_detail: str = ""

    @property
    def duration_s(self) -> float:
        """Seconds from its start to its end."""
        return (self.end_ns - self.start_ns) / _NS


DEFAULT_CONFIG: Final = SpanConfig()


def spans_of(
    trajectory: Trajectory, config: SpanConfig = DEFAULT_CONFIG, *, parent: SpanParent | None = None
) -> tuple[SpanRecord, ...]:
    """The run's span, then agent and call of each step, in the order the steps began.

    Ids follow from trace id and step id: the spans of a trace that has grown are the earlier ones and more.

    Args:
        trajectory: the run.
        config: what is shown.
        parent: the span that the run hangs under; None takes the one in the run's metadata, if there is one.
    """
    tree = _Tree(trajectory, config, parent or SpanParent.from_metadata(trajectory.metadata))
    steps = sorted(trajectory.steps, key=lambda step: step.step_id)
    return (tree.run(), *(span for step in steps for span in (tree.agent(step), tree.chat(step))))


def evaluation_event(outcome: Outcome, config: SpanConfig = DEFAULT_CONFIG) -> SpanEvent:
    """Feedback as the conventions' evaluation event."""
    attributes: dict[str, Value | None] = {
        semconv.EVALUATION_NAME: outcome.key,
        semconv.EVALUATION_SCORE: outcome.score,
        semconv.EVALUATION_LABEL: outcome.value,
        semconv.EVALUATION_EXPLANATION: outcome.comment if config.content else None,
        semconv.EVALUATION_SOURCE: outcome.source,
    }
    return SpanEvent(semconv.EVALUATION_EVENT, round(outcome.recorded_at_s * _NS), _known(attributes))


class _Tree:
    """What all spans of one trajectory share."""

    def __init__(self, trajectory: Trajectory, config: SpanConfig, parent: SpanParent | None) -> None:
        self._run, self._config, self._parent = trajectory, config, parent
        self._arrived_ns = round(trajectory.arrived_at_s * _NS)
        self._decisions = {decision.decision_id: decision for decision in trajectory.decisions}
        self._plan = next((decision for decision in trajectory.decisions if decision.kind == "plan"), None)
        has_failed = trajectory.status in ("failed", "cancelled")
        self._error = trajectory.error or trajectory.status if has_failed else ""
        self._otel_trace_id = parent.trace_id if parent else otel_trace_id(trajectory.trace_id)
        thread_id = trajectory.metadata.get(THREAD_KEY)
        self._common: Attributes = _known(
            {
                semconv.TRACE_ID: trajectory.trace_id,
                semconv.CONVERSATION_ID: None if thread_id is None else str(thread_id),
            }
        )

    # Spans -----------------------------------------------------------------------------------------------

    def run(self) -> SpanRecord:
        run = self._run
        name = run.topology or str(run.metadata.get(GRAPH_KEY) or "")
        return SpanRecord(
            trace_id=self._otel_trace_id,
            span_id=run_span_id(run.trace_id),
            parent_id=self._parent.span_id if self._parent else "",
            step_id=None,
            name=f"{semconv.INVOKE_WORKFLOW} {name}".rstrip(),
            kind="internal",
            start_ns=self._arrived_ns,
            end_ns=self._at_ns(max(run.latency_s, 0.0)),
            attributes={**self._common, **self._run_attributes(name)},
            events=tuple(sorted(self._run_events(), key=lambda event: event.at_ns)),
            error=self._error,
            error_detail=self._content(run.error_detail) or "",
        )

    def agent(self, step: Step) -> SpanRecord:
        agent = self._agent_name(step)
        decision = self._decisions.get(step.decision_id)
        attributes: dict[str, Value | None] = {
            semconv.OPERATION_NAME: semconv.INVOKE_AGENT,
            semconv.PROVIDER_NAME: self._config.provider,
            semconv.AGENT_NAME: agent,
            semconv.ERROR_TYPE: step.error,
            semconv.STEP_ID: step.step_id,
            semconv.STEP_KIND: step.kind,
            semconv.STEP_NODE: step.node,
            semconv.STEP_POSITION: step.position,
            semconv.STEP_ROUND: step.round,
            semconv.STEP_PARENTS: step.parents,
            semconv.BUDGET_REMAINING_S: self._run.budget_s - step.started_s,
        }
        return SpanRecord(
            trace_id=self._otel_trace_id,
            span_id=agent_span_id(self._run.trace_id, step.step_id),
            parent_id=run_span_id(self._run.trace_id),
            step_id=step.step_id,
            name=f"{semconv.INVOKE_AGENT} {agent}".rstrip(),
            kind="internal",
            start_ns=self._at_ns(step.started_s),
            end_ns=self._at_ns(step.finished_s),
            attributes={**self._common, **_known(attributes), **self._decided(decision)},
            error=step.error,
            error_detail=self._content(step.error_detail) or "",
        )

    def chat(self, step: Step) -> SpanRecord:
        began_s = _began_s(step)
        return SpanRecord(
            trace_id=self._otel_trace_id,
            span_id=chat_span_id(self._run.trace_id, step.step_id),
            parent_id=agent_span_id(self._run.trace_id, step.step_id),
            step_id=step.step_id,
            name=f"{semconv.CHAT} {step.model}".rstrip(),
            kind="client",
            start_ns=self._at_ns(began_s),
            end_ns=self._at_ns(step.finished_s),
            attributes={**self._common, **self._chat_attributes(step)},
            events=tuple(self._failovers(step, began_s)),
            error=step.error,
            error_detail=self._content(step.error_detail) or "",
        )

    # Attributes ------------------------------------------------------------------------------------------

    def _run_attributes(self, name: str) -> Attributes:
        run = self._run
        attributes: dict[str, Value | None] = {
            semconv.OPERATION_NAME: semconv.INVOKE_WORKFLOW,
            semconv.WORKFLOW_NAME: name,
            semconv.ERROR_TYPE: self._error,
            semconv.QUESTION_ID: run.question_id,
            semconv.DOMAIN: run.domain,
            semconv.STATUS: run.status,
            semconv.TOPOLOGY: run.topology,
            semconv.TEAM: run.team,
            semconv.ROUNDS: run.rounds,
            semconv.BUDGET_LATENCY_S: run.budget_s,
            semconv.BUDGET_REMAINING_S: run.budget_s - run.latency_s,
            semconv.INPUT_MESSAGES: self._messages("user", run.question),
            semconv.OUTPUT_MESSAGES: self._messages("assistant", run.text),
        }
        return {**_known(attributes), **self._decided(self._plan)}

    def _chat_attributes(self, step: Step) -> Attributes:
        host, port = self._config.servers.get(step.endpoint, (None, None))
        return _known(
            {
                semconv.OPERATION_NAME: semconv.CHAT,
                semconv.PROVIDER_NAME: self._config.provider,
                semconv.REQUEST_MODEL: step.model,
                semconv.RESPONSE_MODEL: step.served_model,
                semconv.FINISH_REASONS: (step.finish_reason,) if step.finish_reason else (),
                semconv.INPUT_TOKENS: step.prompt_tokens,
                semconv.OUTPUT_TOKENS: step.completion_tokens,
                semconv.CACHE_READ_TOKENS: step.cached_tokens,
                semconv.TIME_TO_FIRST_CHUNK: step.ttft_s,
                semconv.SERVER_ADDRESS: host,
                semconv.SERVER_PORT: port,
                semconv.ERROR_TYPE: step.error,
                semconv.AGENT_NAME: self._agent_name(step),
                semconv.STRATEGY: step.strategy,
                semconv.ENDPOINT: step.endpoint,
                semconv.QUEUE_S: step.queue_s,
                semconv.PRIORITY: step.priority,
                semconv.OUTPUT_MESSAGES: self._messages("assistant", step.text, step.finish_reason),
            }
        )

    def _decided(self, decision: Decision | None) -> Attributes:
        if decision is None:
            return {}
        allowed = [place for place, reason in enumerate(decision.masked) if not reason]
        likely = sorted(allowed, key=lambda place: -decision.probabilities[place])[:MOST_CANDIDATES]
        chosen, choice = decision.chosen, decision.choice
        return _known(
            {
                semconv.DECISION_ID: decision.decision_id,
                semconv.DECISION_KIND: decision.kind,
                semconv.DECISION_ACTION: decision.action,
                semconv.DECISION_TOPOLOGY: choice.get("topology"),
                semconv.DECISION_MODEL: choice.get("model"),
                semconv.DECISION_STRATEGY: choice.get("strategy"),
                semconv.DECISION_PROBABILITY: decision.probability,
                semconv.DECISION_POLICY: decision.policy,
                semconv.DECISION_POLICY_VERSION: decision.policy_version,
                semconv.DECISION_CANDIDATES: tuple(decision.actions[place] for place in likely),
                semconv.DECISION_PROBABILITIES: tuple(decision.probabilities[place] for place in likely),
                semconv.DECISION_MASKED: len(decision.masked) - len(allowed),
                semconv.DECISION_LATENCY_Q50_S: _at(decision.latency_q50_s, chosen),
                semconv.DECISION_LATENCY_Q90_S: _at(decision.latency_q90_s, chosen),
                semconv.DECISION_REASON: self._content(decision.reason),
            }
        )

    # Events ----------------------------------------------------------------------------------------------

    def _run_events(self) -> Iterator[SpanEvent]:
        for decision in self._run.decisions:
            if decision.kind == "pace" or (decision.kind == "plan" and decision is not self._plan):
                yield SpanEvent(semconv.DECISION_EVENT, self._at_ns(decision.made_s), self._decided(decision))
        yield from (self._skipped(skip) for skip in self._run.skips)
        yield from (evaluation_event(outcome, self._config) for outcome in self._run.outcomes)

    def _skipped(self, skip: Skip) -> SpanEvent:
        attributes: Attributes = {semconv.SKIP_NODE: skip.node, semconv.SKIP_REASON: skip.reason}
        return SpanEvent(semconv.SKIP_EVENT, self._at_ns(skip.at_s), attributes)

    def _failovers(self, step: Step, began_s: float) -> Iterator[SpanEvent]:
        ends_s = accumulate((attempt.elapsed_s for attempt in step.attempts), initial=began_s)
        next(ends_s)
        for attempt, end_s in zip(step.attempts, ends_s, strict=True):
            at_ns = self._at_ns(min(end_s, step.finished_s))
            yield SpanEvent(semconv.FAILOVER_EVENT, at_ns, self._failover_attributes(attempt))

    def _failover_attributes(self, attempt: Attempt) -> Attributes:
        return _known(
            {
                semconv.ENDPOINT: attempt.endpoint,
                semconv.REQUEST_MODEL: attempt.model,
                semconv.ERROR_TYPE: attempt.error,
                semconv.FAILOVER_ELAPSED_S: attempt.elapsed_s,
                semconv.FAILOVER_DETAIL: self._content(attempt.detail),
            }
        )

    # Values ----------------------------------------------------------------------------------------------

    def _agent_name(self, step: Step) -> str:
        """The role in a team; in somebody else's graph the agent is the node."""
        return step.role or step.node if self._run.topology else step.node or step.role

    def _at_ns(self, since_arrival_s: float) -> int:
        return self._arrived_ns + round(since_arrival_s * _NS)

    def _content(self, text: str) -> str | None:
        return text if self._config.content else None

    def _messages(self, role: str, text: str, finish_reason: str = "") -> str | None:
        """One message in the conventions' form, as JSON: attributes cannot hold mappings everywhere."""
        if not text or not self._config.content:
            return None
        message: dict[str, Any] = {"role": role, "parts": [{"type": "text", "content": text}]}
        if finish_reason:
            message["finish_reason"] = finish_reason
        return json.dumps([message], ensure_ascii=False)


def _began_s(step: Step) -> float:
    """When the first try was sent, as far as it is known: a trace keeps what each earlier try took, not when.

    Tries follow each other, so that the first began this long before the last was sent; waiting between them is left
    out. Where nothing is known to have been sent, the step's own beginning.
    """
    if step.sent_s is None:
        return step.started_s
    return max(step.started_s, step.sent_s - sum(attempt.elapsed_s for attempt in step.attempts))


def _known(values: Mapping[str, Value | None]) -> dict[str, Value]:
    """What is known: neither None nor empty."""
    return {
        name: value for name, value in values.items() if value is not None and value != "" and value != ()
    }


def _at(column: Sequence[float], place: int) -> float | None:
    return column[place] if column else None
