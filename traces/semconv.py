"""Every name that our spans and metrics carry, in one place.

The GenAI conventions are in development and have moved house once: the constants of OpenTelemetry's own package are
deprecated, so these are ours. ``gen_ai.*``, ``server.*`` and ``error.*`` follow the GenAI conventions of version 1.41;
for routing decisions and latency budgets there is no convention, and ``inframind.*`` is our own namespace.
"""

from __future__ import annotations

from typing import Final

SCOPE: Final = "inframind"
"""Instrumentation scope of our spans and metrics."""

# Operations, which begin the names of spans ----------------------------------------------------------------
INVOKE_WORKFLOW: Final = "invoke_workflow"
INVOKE_AGENT: Final = "invoke_agent"
CHAT: Final = "chat"

# GenAI attributes -------------------------------------------------------------------------------------------
OPERATION_NAME: Final = "gen_ai.operation.name"
PROVIDER_NAME: Final = "gen_ai.provider.name"
WORKFLOW_NAME: Final = "gen_ai.workflow.name"
AGENT_NAME: Final = "gen_ai.agent.name"
CONVERSATION_ID: Final = "gen_ai.conversation.id"
REQUEST_MODEL: Final = "gen_ai.request.model"
RESPONSE_MODEL: Final = "gen_ai.response.model"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
TIME_TO_FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
CACHE_READ_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
TOKEN_TYPE: Final = "gen_ai.token.type"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
ERROR_TYPE: Final = "error.type"

# Content: only where it was asked for
INPUT_MESSAGES: Final = "gen_ai.input.messages"
OUTPUT_MESSAGES: Final = "gen_ai.output.messages"

# Feedback
EVALUATION_EVENT: Final = "gen_ai.evaluation.result"
EVALUATION_NAME: Final = "gen_ai.evaluation.name"
EVALUATION_SCORE: Final = "gen_ai.evaluation.score.value"
EVALUATION_LABEL: Final = "gen_ai.evaluation.score.label"
EVALUATION_EXPLANATION: Final = "gen_ai.evaluation.explanation"

# Our own: the run -------------------------------------------------------------------------------------------
TRACE_ID: Final = "inframind.trace_id"
QUESTION_ID: Final = "inframind.question_id"
DOMAIN: Final = "inframind.domain"
STATUS: Final = "inframind.status"
TOPOLOGY: Final = "inframind.topology"
TEAM: Final = "inframind.team"
ROUNDS: Final = "inframind.rounds"
BUDGET_LATENCY_S: Final = "inframind.budget.latency_s"
BUDGET_REMAINING_S: Final = "inframind.budget.remaining_s"

# Our own: the step
STEP_ID: Final = "inframind.step.id"
STEP_KIND: Final = "inframind.step.kind"
STEP_NODE: Final = "inframind.step.node"
STEP_POSITION: Final = "inframind.step.position"
STEP_ROUND: Final = "inframind.step.round"
STEP_PARENTS: Final = "inframind.step.parents"
STRATEGY: Final = "inframind.strategy"
ENDPOINT: Final = "inframind.endpoint"
QUEUE_S: Final = "inframind.queue_s"
PRIORITY: Final = "inframind.priority"

# Our own: the decision
DECISION_ID: Final = "inframind.decision.id"
DECISION_KIND: Final = "inframind.decision.kind"
DECISION_ACTION: Final = "inframind.decision.action"
DECISION_TOPOLOGY: Final = "inframind.decision.topology"
DECISION_MODEL: Final = "inframind.decision.model"
DECISION_STRATEGY: Final = "inframind.decision.strategy"
DECISION_PROBABILITY: Final = "inframind.decision.probability"
DECISION_POLICY: Final = "inframind.decision.policy"
DECISION_POLICY_VERSION: Final = "inframind.decision.policy_version"
DECISION_CANDIDATES: Final = "inframind.decision.candidates"
DECISION_PROBABILITIES: Final = "inframind.decision.probabilities"
DECISION_MASKED: Final = "inframind.decision.masked"
DECISION_LATENCY_Q50_S: Final = "inframind.decision.latency_q50_s"
DECISION_LATENCY_Q90_S: Final = "inframind.decision.latency_q90_s"
DECISION_REASON: Final = "inframind.decision.reason"

# Our own: events and what they say
DECISION_EVENT: Final = "inframind.decision"
SKIP_EVENT: Final = "inframind.skip"
SKIP_NODE: Final = "inframind.skip.node"
SKIP_REASON: Final = "inframind.skip.reason"
FAILOVER_EVENT: Final = "inframind.failover"
FAILOVER_ELAPSED_S: Final = "inframind.failover.elapsed_s"
FAILOVER_DETAIL: Final = "inframind.failover.detail"
EVALUATION_SOURCE: Final = "inframind.evaluation.source"

# Metrics ----------------------------------------------------------------------------------------------------
OPERATION_DURATION: Final = "gen_ai.client.operation.duration"
TOKEN_USAGE: Final = "gen_ai.client.token.usage"
OPERATION_TIME_TO_FIRST_CHUNK: Final = "gen_ai.client.operation.time_to_first_chunk"
WORKFLOW_DURATION: Final = "gen_ai.workflow.duration"
RUNS: Final = "inframind.runs"
DECISIONS: Final = "inframind.decisions"
FAILOVERS: Final = "inframind.failovers"
SKIPS: Final = "inframind.skips"

DURATION_BUCKETS_S: Final = tuple(0.01 * 2**k for k in range(14))
"""10 ms to 82 s, each twice the one before: what the conventions advise."""
TOKEN_BUCKETS: Final = tuple(4**k for k in range(14))
"""1 to 67 million, each four times the one before: what the conventions advise."""
