"""What a trained policy sees, as numbers, in the order of `inframind.router.columns`.

D = state columns, K = candidate columns, C = candidates (executor actions, plans or roles), A = executor actions,
P = plans. Candidates are described, not numbered: a model or a plan that was never seen has a row like any other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from inframind.fleet.endpoints import ModelFacts
from inframind.router.actions import ActionSpace, PlannerAction
from inframind.router.columns import (
    ACTION_COLUMNS,
    LARGEST_LOG_RATIO,
    LARGEST_LOGIT,
    LARGEST_SLACK,
    LEAST_SIGMA,
    LEAST_TIME_S,
    QUESTION_COLUMNS,
    SLACK_LOGIT,
    TIME_COLUMNS,
    WORKFLOW_COLUMNS,
    load_row,
    log_prompt,
    slot_columns,
    time_columns,
)
from inframind.router.offsets import Offsets
from inframind.router.policy_parts import Z90
from inframind.router.query_model import QueryModel, Question
from inframind.router.views import Array, PlanView, RoleView, StepView

FEATURES_VERSION = "2"
"""Of the columns and of what they say: a policy that was trained on another is refused."""


@dataclass(frozen=True, slots=True)
class Features:
    """One decision as numbers.

    Attributes:
        state: what is the same for every candidate (D).
        state_names: its names, in the order of `TABLES`.
        candidates: one row per candidate (C, K).
        prior_logit: log odds that the answer is right, before anything was learned from workflows (C).
        slack: standard deviations between the predicted end and the deadline; positive is early (C).
        work: expected seconds of whole servers that the choice takes, weighed by how crowded they are (C).
    """

    state: Array
    state_names: tuple[str, ...]
    candidates: Array
    prior_logit: Array
    slack: Array
    work: Array


@dataclass(frozen=True, kw_only=True)
class Sight:
    """What a policy may look at. The defaults are everything; the rest exists to measure what each is worth.

    Attributes:
        planner_sees_load: whether the planner sees budget and load; without, it is the first design's planner.
        sees_load: whether load columns and prices are shown at all.
    """

    planner_sees_load: bool = True
    sees_load: bool = True


class FeatureBuilder:
    """Turns views into features.

    Args:
        actions: what may be chosen.
        queries: reads questions.
        sight: what may be seen.
        offsets: log odds by which actions have turned out better or worse than single calls said; none unless given.
    """

    def __init__(
        self,
        actions: ActionSpace,
        queries: QueryModel,
        sight: Sight | None = None,
        offsets: Offsets | None = None,
    ) -> None:
        self.actions, self.queries, self.sight = actions, queries, sight or Sight()
        self.layout = ActionLayout.of(actions)
        self._abilities, self._discriminations = queries.terms(actions)
        if offsets is not None:
            self._abilities = self._abilities + offsets.logits(actions.executor_labels)
        self.plan_table = lru_cache(maxsize=64)(self._plan_table)

    def step(self, view: StepView) -> Features:
        """One step: the question, where the workflow stands, and every model with every strategy."""
        question = self.queries.read(view.query.text)
        load = self._load_columns(view)
        prior = self.prior_logit(question)
        times = _Times.of(view.q50_s, view.q90_s, question, view.remaining_s, 1 + view.slot.depth_left)
        state = (
            *question.columns,
            *time_columns(view.remaining_s, view.budget_s, load.mean_crowding),
            *slot_columns(view.slot),
        )
        return Features(
            state=np.array(state),
            state_names=(view.slot.topology, view.slot.role, view.query.domain),
            candidates=self._action_rows(prior, times, load),
            prior_logit=prior,
            slack=times.slack,
            work=load.work_s(times.expected_s),
        )

    def plan(self, view: PlanView) -> Features:
        """One plan: every topology with every team, each worth what its best call is worth alone."""
        question = self.queries.read(view.query.text)
        load = self._load_columns(view)
        table = self.plan_table(view.actions)
        prior, slack, share, work = self._best_calls(view, question, load, table)
        state = (
            *question.columns,
            *time_columns(view.remaining_s, view.budget_s, load.mean_crowding),
            log_prompt(view.query.prompt_tokens),
        )
        candidates = np.column_stack([prior, slack, share, table.static])
        features = Features(
            state=np.array(state),
            state_names=(view.query.domain,),
            candidates=candidates,
            prior_logit=prior,
            slack=slack,
            work=work,
        )
        return features if self.sight.planner_sees_load else _blinded(features, self.prior_logit(question))

    def role(self, view: RoleView) -> Features:
        """One seat of a team: every role of the domain."""
        question = self.queries.read(view.query.text)
        n, is_taken = len(view.roles), [float(role in view.taken) for role in view.roles]
        return Features(
            state=np.array(
                (*question.columns, view.seat / 3, view.action.team_size / 3, float(bool(view.taken)))
            ),
            state_names=(view.action.topology, view.query.domain),
            candidates=np.array(is_taken)[:, None],
            prior_logit=np.full(n, question.typical_logit),
            slack=np.full(n, LARGEST_SLACK),
            work=np.zeros(n),
        )

    def prior_logit(self, question: Question) -> Array:
        """Log odds that each executor action alone solves it (A)."""
        logit = self._abilities - self._discriminations * question.difficulty
        return np.minimum(np.maximum(logit, -LARGEST_LOGIT), LARGEST_LOGIT)

    def _action_rows(self, prior: Array, times: _Times, load: _LoadColumns) -> Array:
        rows = self.layout.template.copy()
        rows[:, 0] = prior
        rows[:, 1] = times.slack
        rows[:, 2] = times.log_expected
        rows[:, 3] = times.log_share
        rows[:, 4:9] = load.rows
        return rows

    def _best_calls(
        self, view: PlanView, question: Question, load: _LoadColumns, table: PlanTable
    ) -> tuple[Array, Array, Array, Array]:
        """Prior, slack, share of the time left and work of each plan, made of its best call alone (P) each."""
        prior = self.prior_logit(question)
        depths = table.depths[:, None]
        expected_s, sigma = _expected(view.step_q50_s, view.step_q90_s, question)
        log_left = math.log(max(view.remaining_s, LEAST_TIME_S)) - np.log(expected_s) - np.log(depths)
        slack = np.clip(log_left / sigma, -LARGEST_SLACK, LARGEST_SLACK)
        worth = _odds_share(prior) * _odds_share(SLACK_LOGIT * slack)
        best = np.where(view.step_allowed, worth, -1.0).argmax(axis=1)
        rows = np.arange(len(best))
        share = np.clip(-log_left, -LARGEST_LOG_RATIO, LARGEST_LOG_RATIO)
        work = load.work_s(expected_s)[best][table.of_depth] * table.calls
        return (
            prior[best][table.of_depth],
            slack[rows, best][table.of_depth],
            share[rows, best][table.of_depth],
            work,
        )

    def _plan_table(self, plans: tuple[PlannerAction, ...]) -> PlanTable:
        graphs = [self.actions.topologies[plan.topology].graph(plan.team_size) for plan in plans]
        depth = np.array([float(graph.depth) for graph in graphs])
        calls = np.array([float(graph.calls) for graph in graphs])
        sizes = np.array([plan.team_size for plan in plans])
        depths, of_depth = np.unique(depth, return_inverse=True)
        return PlanTable(
            depths=depths,
            of_depth=of_depth,
            calls=calls,
            static=np.column_stack([np.log(calls), depth / 3, sizes / 3]),
        )

    def _load_columns(self, view: StepView | PlanView) -> _LoadColumns:
        loads = [view.snapshot.least_loaded(model) for model in self.actions.models]
        slots = self.layout.slots
        rows = [load_row(load, slots_here) for load, slots_here in zip(loads, slots, strict=True)]
        by_model = np.array(rows) if self.sight.sees_load else np.zeros((len(rows), 5))
        return _LoadColumns(
            rows=by_model.take(self.layout.model_of, axis=0),
            mean_crowding=sum(row[0] for row in rows) / len(rows) if self.sight.sees_load else 0.0,
            slots=self.layout.slots_of,
        )


@dataclass(frozen=True, slots=True)
class _Times:
    """Expected latency of every action for this question."""

    expected_s: Array
    log_expected: Array
    log_share: Array
    slack: Array

    @classmethod
    def of(cls, q50_s: Array, q90_s: Array, question: Question, remaining_s: float, calls: int) -> _Times:
        """``calls`` such calls in a row."""
        expected_s, sigma = _expected(q50_s, q90_s, question)
        log_expected = np.log(expected_s)
        log_share = log_expected + math.log(calls) - math.log(max(remaining_s, LEAST_TIME_S))
        slack = np.minimum(np.maximum(-log_share / sigma, -LARGEST_SLACK), LARGEST_SLACK)
        return cls(
            expected_s,
            log_expected,
            np.minimum(np.maximum(log_share, -LARGEST_LOG_RATIO), LARGEST_LOG_RATIO),
            slack,
        )


def _expected(q50_s: Array, q90_s: Array, question: Question) -> tuple[Array, Array]:
    """Median seconds for this question, whose answers are longer or shorter than others', and the log spread."""
    sigma = np.maximum(np.log(q90_s / q50_s) / Z90, LEAST_SIGMA)
    return q50_s * math.exp(question.log_length), sigma


@dataclass(frozen=True, slots=True)
class _LoadColumns:
    """Load of each action's model (A, 5): crowding, waiting per slot, KV use, whether and when it was read."""

    rows: Array
    mean_crowding: float
    slots: Array

    def work_s(self, expected_s: Array) -> Array:
        """Seconds of whole servers that a call takes, times how crowded they are: what it costs others (A)."""
        work: Array = expected_s / self.slots * self.rows[:, 0]
        return work


@dataclass(frozen=True, slots=True)
class ActionLayout:
    """What never changes about executor actions."""

    model_of: NDArray[np.int64]
    slots: tuple[float, ...]
    slots_of: Array
    template: Array

    @classmethod
    def of(cls, actions: ActionSpace) -> ActionLayout:
        """Of these actions."""
        places = {model: place for place, model in enumerate(actions.models)}
        model_of = np.array([places[action.model] for action in actions.executor_actions])
        facts = [actions.models[action.model] for action in actions.executor_actions]
        tokens = [
            actions.strategies[action.strategy].expected_output_tokens for action in actions.executor_actions
        ]
        slots = tuple(_slots(model) for model in actions.models.values())
        static = [
            (math.log(fact.size_b) / 3, math.log1p(rate * n_tokens) / 10)
            for fact, rate, n_tokens in zip(facts, _rates(actions.models, facts), tokens, strict=True)
        ]
        template = np.zeros((len(facts), len(ACTION_COLUMNS)))
        template[:, 9:] = static
        return cls(model_of, slots, np.array(slots)[model_of], template)


def _slots(facts: ModelFacts) -> float:
    """Slots of one replica: the load that is shown is that of the least loaded one."""
    return facts.engine_slots / len(facts.endpoints)


def _rates(models: Mapping[str, ModelFacts], facts: Sequence[ModelFacts]) -> list[float]:
    priced = all(model.price_output_usd_per_mtok > 0 for model in models.values())
    return [fact.price_output_usd_per_mtok if priced else fact.size_b for fact in facts]


@dataclass(frozen=True, slots=True)
class PlanTable:
    """What never changes about plans."""

    depths: Array
    of_depth: NDArray[np.int64]
    calls: Array
    static: Array


def _blinded(features: Features, step_prior: Array) -> Features:
    """The plan of a planner that sees the question alone: each plan's best call is the best of all (A), fast or not."""
    state, candidates = features.state.copy(), features.candidates.copy()
    first = len(QUESTION_COLUMNS)
    state[first : first + len(TIME_COLUMNS)] = 0.0
    prior = np.full(len(candidates), step_prior.max())
    candidates[:, WORKFLOW_COLUMNS.index("prior_logit")] = prior
    candidates[:, [WORKFLOW_COLUMNS.index("slack"), WORKFLOW_COLUMNS.index("log_share_of_time")]] = 0.0
    return Features(
        state=state,
        state_names=features.state_names,
        candidates=candidates,
        prior_logit=prior,
        slack=np.zeros_like(features.slack),
        work=np.zeros_like(features.work),
    )


def _odds_share(logit: Array) -> Array:
    """The probability of some log odds."""
    share: Array = 1.0 / (1.0 + np.exp(-logit))
    return share
