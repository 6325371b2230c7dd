"""What happened: the frozen records of a routed workflow. Everything a learner, an auditor or a pager needs.

A `Trajectory` is one question's life: the plan, the steps in the order they ended, the decisions behind them,
what was skipped and why, and the outcomes reported so far. Times inside a trajectory are seconds after its
arrival, on one monotonic axis; ``arrived_at_s`` alone is seconds since the Unix epoch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from inframind.errors import ConfigError
from inframind.fleet.messages import Attempt

__all__ = [
    "RECORD_VERSION",
    "SOLVED_ONLY",
    "Attempt",
    "Decision",
    "Outcome",
    "Skip",
    "SolvedKeys",
    "Status",
    "Step",
    "ToolCall",
    "Trajectory",
    "solved_of",
    "with_verdict",
]

RECORD_VERSION = 1

DecisionKind = Literal["plan", "step", "pace"]
StepKind = Literal["agent", "judge"]
Status = Literal["open", "ok", "late", "failed", "cancelled"]


@dataclass(slots=True, kw_only=True)
class Decision:
    """One choice of a policy, stored before it is acted on.

    Columns (``actions``, ``probabilities``, ``masked``, ``latency_q50_s``, ``latency_q90_s``) have one entry
    per candidate, in the same order; the latency columns are empty where no latency was predicted.

    Made while an answer waits, so its fields are read-only to the type checker alone, see `EndpointLoad`.

    Attributes:
        decision_id: unique in the store.
        kind: ``plan`` (topology and team), ``step`` (model and strategy) or ``pace`` (STAY or ADVANCE).
        made_s: seconds after arrival.
        policy: name of the behaviour policy.
        policy_version: version of its weights or rules.
        features_version: version of the feature columns that it saw.
        actions: label of each candidate, such as ``qwen-14b/Concise``.
        probabilities: behaviour probability of each candidate; 0 where masked; sums to 1.
        masked: "" for an allowed candidate, else the reason it was not.
        latency_q50_s: predicted median seconds of each candidate.
        latency_q90_s: predicted 90 % quantile of each candidate.
        chosen: index of the chosen candidate.
        probability: propensity of the whole choice; for a plan it includes the roles' own probabilities.
        choice: the choice as plain data, such as ``{"model": "qwen-14b", "strategy": "Concise"}``.
        seen: what the policy saw, as plain data (time left, load readings with their ages, ...).
        reason: the policy's own words, for people.
    """

    decision_id: Final[str]
    kind: Final[DecisionKind]
    made_s: Final[float]
    policy: Final[str]
    policy_version: Final[str]
    features_version: Final[str]
    actions: Final[tuple[str, ...]]
    probabilities: Final[tuple[float, ...]]
    masked: Final[tuple[str, ...]]
    latency_q50_s: Final[tuple[float, ...]] = ()
    latency_q90_s: Final[tuple[float, ...]] = ()
    chosen: Final[int]
    probability: Final[float]
    choice: Final[Mapping[str, Any]]
    seen: Final[Mapping[str, Any]] = field(default_factory=dict)
    reason: Final[str] = ""

    @property
    def action(self) -> str:
        """Label of the chosen candidate."""
        return self.actions[self.chosen]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One call to a model, and what came of it. A failed or cancelled call is a step too.

    Attributes:
        step_id: 0-based, in the order in which the steps began.
        node: name of the graph node.
        kind: ``agent`` or ``judge``.
        position: 0-based index in the team; 0 for the judge.
        round: 1-based round.
        role: role name.
        parents: step ids that this step waited for, and was shown if they had any text; the executed DAG.
        decision_id: the decision that chose model and strategy.
        model: model that was decided on.
        strategy: strategy that was decided on.
        endpoint: endpoint that answered, or "" when none did.
        served_model: model that answered; differs from ``model`` after a failover.
        started_s: seconds after arrival when the step began.
        sent_s: when the answering (or last) attempt was sent, or None when nothing was sent.
        first_token_s: when its first non-empty token came, or None.
        finished_s: when the step ended.
        queue_s: seconds in the server's queue as the server reports it, or None.
        prompt_tokens: as the server counted them, or None.
        completion_tokens: as the server counted them, or None.
        cached_tokens: prompt tokens served from the prefix cache, or None.
        finish_reason: the server's, or "" when the answer did not end.
        text: the answer's text, possibly partial.
        answer: the final answer extracted from the text, or "".
        error: class name of the error that ended the step, or "".
        error_detail: its message, or "".
        attempts: earlier tries of this step that failed over.
        priority: value sent with the request, or None when the endpoint does not schedule by priority.
    """

    step_id: int
    node: str
    kind: StepKind
    position: int
    round: int
    role: str
    parents: tuple[int, ...]
    decision_id: str
    model: str
    strategy: str
    endpoint: str = ""
    served_model: str = ""
    started_s: float
    sent_s: float | None = None
    first_token_s: float | None = None
    finished_s: float
    queue_s: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    finish_reason: str = ""
    text: str = ""
    answer: str = ""
    error: str = ""
    error_detail: str = ""
    attempts: tuple[Attempt, ...] = ()
    priority: int | None = None

    @property
    def latency_s(self) -> float:
        """Seconds from the step's begin to its end, failovers and client-side waiting included."""
        return self.finished_s - self.started_s

    @property
    def ttft_s(self) -> float | None:
        """Time to first token: client send to first non-empty token, queueing included."""
        if self.first_token_s is None or self.sent_s is None:
            return None
        return self.first_token_s - self.sent_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """A call that the topology plans and the run left out, as an expected outcome.

    Attributes:
        node: what was left out, such as ``judge``.
        reason: ``agreement``, ``deadline``, ``no drafts`` or ``one draft``.
        at_s: seconds after arrival.
    """

    node: str
    reason: str
    at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """One call of a tool that a model asked for, as far as the run shows it.

    Attributes:
        call_id: the model's id of the call, or "".
        name: of the tool.
        step_id: the step that asked for it, or None where that is not known.
        started_s: seconds after arrival when it began; where only its result was seen, when the asking step ended.
        finished_s: when it ended; where only its result was seen, when the next step was given it.
        error: class name of its error, ``ToolError`` where only the result says that there was one, or "".
        error_detail: its message, or "".
    """

    call_id: str
    name: str
    step_id: int | None
    started_s: float
    finished_s: float
    error: str = ""
    error_detail: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether it gave a result."""
        return not self.error


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One piece of feedback on a trajectory, in LangSmith's vocabulary. Missing feedback is not a zero.

    Attributes:
        feedback_id: identity; a second outcome with the same id replaces the first.
        key: what was judged; ``solved`` is the one that rewards read.
        score: a number, or None when only ``value`` is given; for ``solved`` 1.0 or 0.0.
        value: a label, or None.
        comment: free text, or "".
        source: who says so, such as ``api``, ``grader:math`` or ``user``.
        recorded_at_s: seconds since the Unix epoch.
    """

    feedback_id: str
    key: str
    score: float | None = None
    value: str | None = None
    comment: str = ""
    source: str = "api"
    recorded_at_s: float


@dataclass(frozen=True, slots=True, init=False)
class SolvedKeys:
    """Which feedback says whether a run was solved: keys with the least score that means yes.

    ``solved`` itself always counts, first and from 0.5 on, unless it is given another place or threshold here. The
    others count in the order given: the first key that a run has any score for decides, by its latest score.
    So a grader's ``solved`` is not overruled by a thumb, and a thumb counts where nobody graded. Labels (``value``
    without ``score``) never count: what they mean is not ours to guess.

    Attributes:
        thresholds: (key, least score) pairs, most telling key first.
    """

    thresholds: tuple[tuple[str, float], ...]

    def __init__(self, thresholds: Mapping[str, float] | None = None) -> None:
        """Keep the order of ``thresholds``.

        Raises:
            ConfigError: a key is empty, or a threshold is not a finite number.
        """
        given = dict(thresholds or {})
        for key, threshold in given.items():
            if not key:
                raise ConfigError("feedback.solved_keys", key, "give each key a name, such as thumbs")
            if isinstance(threshold, bool) or not math.isfinite(threshold):
                raise ConfigError(
                    f"feedback.solved_keys.{key}", threshold, "give the least score that means solved"
                )
        ordered = given if "solved" in given else {"solved": 0.5, **given}
        object.__setattr__(self, "thresholds", tuple(ordered.items()))


SOLVED_ONLY = SolvedKeys()


def solved_of(outcomes: Iterable[Outcome], keys: SolvedKeys = SOLVED_ONLY) -> bool | None:
    """Whether a run was solved, or None while no outcome says so.

    Args:
        outcomes: of one run, in the order they were recorded.
        keys: which of them count.
    """
    latest = {outcome.key: outcome.score for outcome in outcomes if outcome.score is not None}
    return next((latest[key] >= least for key, least in keys.thresholds if key in latest), None)


def with_verdict(trajectory: Trajectory, keys: SolvedKeys) -> Trajectory:
    """The trajectory with the verdict of ``keys`` as its latest ``solved`` outcome, for what reads that one alone.

    Nothing is added where its own `Trajectory.solved` says the same already.
    """
    solved = solved_of(trajectory.outcomes, keys)
    if solved is None or solved is trajectory.solved:
        return trajectory
    latest = trajectory.outcomes[-1]
    verdict = Outcome(
        feedback_id="solved_keys",
        key="solved",
        score=float(solved),
        source="solved_keys",
        recorded_at_s=latest.recorded_at_s,
    )
    return replace(trajectory, outcomes=(*trajectory.outcomes, verdict))


@dataclass(frozen=True, slots=True, kw_only=True)
class Trajectory:
    """One question's life, complete even when the run failed or was cancelled.

    Attributes:
        trace_id: 32 lowercase hex digits (a W3C trace id).
        question: the question's text.
        question_id: the caller's id of the question, or "".
        domain: ``math``, ``code``, ``knowledge`` or ``general``.
        arrived_at_s: seconds since the Unix epoch.
        budget_s: latency budget in seconds.
        topology: name of the topology, or "" when the run ended before it was planned.
        team: role name of each agent, in order.
        rounds: rounds that were begun.
        decisions: in the order they were made.
        steps: in the order they ended.
        skips: planned calls that were left out, with the reason.
        tools: calls of tools, in the order they ended.
        answer: the final answer, extracted; "" when there is none.
        text: the full text that the answer was extracted from.
        final_step_id: the step that wrote it, or None when there is no answer.
        status: ``ok``, ``late`` (the deadline cut the run, or the answer came after it), ``failed``,
            ``cancelled``, or ``open`` while the run goes on or waits for a person.
        error: class name of the error that ended the run, or "".
        error_detail: its message, or "".
        latency_s: seconds from arrival to the final answer, routing and judge included; time in which an
            interrupted run waited to be resumed is left out.
        metadata: the caller's own plain data (thread id, user, tags).
        outcomes: feedback so far, in the order it was recorded.
        question_read: what the router read of the question, where its text was not kept; empty otherwise.
        configuration: id of the configuration that decided it, see `inframind.traces.configurations`, or "".
        cost: dollars of all steps at the configured prices; where models have none, billions of parameters times
            millions of output tokens. None where it is not known.
        record_version: version of this record's layout.
    """

    trace_id: str
    question: str
    question_id: str = ""
    domain: str = "general"
    arrived_at_s: float
    budget_s: float
    topology: str = ""
    team: tuple[str, ...] = ()
    rounds: int = 0
    decisions: tuple[Decision, ...] = ()
    steps: tuple[Step, ...] = ()
    skips: tuple[Skip, ...] = ()
    tools: tuple[ToolCall, ...] = ()
    answer: str = ""
    text: str = ""
    final_step_id: int | None = None
    status: Status = "ok"
    error: str = ""
    error_detail: str = ""
    latency_s: float = 0.0
    metadata: Mapping[str, Any] = field(default_factory=dict)
    outcomes: tuple[Outcome, ...] = ()
    question_read: Mapping[str, float] = field(default_factory=dict)
    configuration: str = ""
    cost: float | None = None
    record_version: int = RECORD_VERSION

    @property
    def solved(self) -> bool | None:
        """The latest ``solved`` outcome, or None while there is none; other keys: `solved_of`."""
        return solved_of(self.outcomes)

    @property
    def on_time(self) -> bool:
        """Whether there was an answer within the budget."""
        return self.status == "ok" and self.latency_s <= self.budget_s

    @property
    def completion_tokens(self) -> int:
        """Output tokens of all steps, as far as the servers reported them."""
        return sum(step.completion_tokens or 0 for step in self.steps)

    @property
    def serial_depth(self) -> int:
        """Number of calls on the longest path of the executed DAG."""
        depth: dict[int, int] = {}
        for step in sorted(self.steps, key=lambda step: step.step_id):
            depth[step.step_id] = 1 + max((depth.get(parent, 0) for parent in step.parents), default=0)
        return max(depth.values(), default=0)
