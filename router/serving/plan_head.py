"""Values plans, decision after decision."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from inframind.router.actions import PlannerAction
from inframind.router.columns import (
    LARGEST_LOG_RATIO,
    LARGEST_SLACK,
    LEAST_SIGMA,
    LEAST_TIME_S,
    QUESTION_COLUMNS,
    SLACK_LOGIT,
    TIME_COLUMNS,
    WORKFLOW_COLUMNS,
    log_prompt,
    plan_names,
    time_columns,
)
from inframind.router.features import FeatureBuilder
from inframind.router.heads import HeadWeights, Valuation, Worth
from inframind.router.policy_parts import Z90
from inframind.router.serving.crowds import Crowds, mean_crowding
from inframind.router.serving.head_output import HeadOutput
from inframind.router.serving.memory import QUESTIONS_KEPT, LastSeen
from inframind.router.views import Array, PlanView

_ONE, _Z90, _LEAST_LOG_RATIO = np.ones(()), np.array(Z90), np.array(LEAST_SIGMA * Z90)
_LARGEST_SLACK, _LARGEST_LOG_RATIO = np.array(LARGEST_SLACK), np.array(LARGEST_LOG_RATIO)
_LEAST_SLACK, _LEAST_LOG_SHARE = np.array(-LARGEST_SLACK), np.array(-LARGEST_LOG_RATIO)
_MINUS_SLACK_LOGIT = np.array(-SLACK_LOGIT)
"""Arrays without axes: numpy takes half as long with them as with plain floats."""


class _Wanted(NamedTuple):
    """What a question adds to every plan.

    Attributes:
        length: how many times longer than usual its answers are.
        prior: prior odds of each executor action (A).
        chance: the same as probabilities (A).
        part: what its difficulty sends to the hidden units (H).
    """

    length: float
    prior: Array
    chance: Array
    part: Array


@dataclass(frozen=True, slots=True)
class _Offered:
    """Plans that are on offer together.

    Attributes:
        static: sum that reaches the hidden units from names and static columns (P, H).
        is_of_depth: 1 where a plan has the column's depth (P, L).
        calls: a plan's calls in the column of its depth, 0 elsewhere (P, L).
        log_depths: (L, 1).
        first: place of each depth's first cell in a flat table of depths and executor actions (L).
    """

    static: Array
    is_of_depth: Array
    calls: Array
    log_depths: Array
    first: NDArray[np.int64]


class PlanHead:
    """Values plans, each by the call that is best for its depth.

    Args:
        weights: what was learned.
        builder: what a plan's features are.
        valuation: how probabilities become a worth.
    """

    def __init__(self, weights: HeadWeights, builder: FeatureBuilder, valuation: Valuation) -> None:
        self._builder, self._crowds = builder, Crowds(builder, valuation)
        self._output = HeadOutput(weights, valuation, WORKFLOW_COLUMNS)
        known = self._output.weights
        column = {name: known.candidate[place] for place, name in enumerate(WORKFLOW_COLUMNS)}
        self._dynamic = np.array([column[name] for name in ("prior_logit", "slack", "log_share_of_time")])
        self._static = np.array([column[name] for name in ("log_calls", "depth", "team_size")])
        n_question = len(QUESTION_COLUMNS)
        self._of_question, self._of_time = known.state[:n_question], known.state[n_question:].copy()
        self._wanted = lru_cache(maxsize=QUESTIONS_KEPT)(self._want)
        self._offered = LastSeen(self._offer)

    def worth(self, view: PlanView, multiplier: float) -> Worth:
        """Values of all plans."""
        offered, wanted = self._offered(view.actions), self._wanted(view.query.text)
        if self._builder.sight.planner_sees_load:
            state, columns, priced = self._seen(view, offered, wanted)
        else:
            state, columns, priced = self._guessed(view, len(offered.log_depths), wanted)
        by_depth = columns.T.dot(self._dynamic)
        shared = np.array(state).dot(self._of_time)
        shared += wanted.part
        shared += self._output.scorer.state_part((view.query.domain,))
        by_depth += shared
        hidden = offered.is_of_depth.dot(by_depth)
        hidden += offered.static
        return self._output.worth(hidden, offered.calls.dot(priced), multiplier)

    def _seen(
        self, view: PlanView, offered: _Offered, wanted: _Wanted
    ) -> tuple[tuple[float, ...], Array, Array]:
        """State, prior odds with slack and share of the time left (3, L), and price of each depth's best call (L)."""
        loads = self._crowds.read(view.snapshot)
        spread = view.step_q90_s / view.step_q50_s
        np.log(spread, out=spread)
        np.maximum(spread, _LEAST_LOG_RATIO, out=spread)
        log_left = np.log(view.step_q50_s)
        np.subtract(math.log(max(view.remaining_s, LEAST_TIME_S) / wanted.length), log_left, out=log_left)
        left = log_left - offered.log_depths
        slack = left / spread
        slack *= _Z90
        np.minimum(slack, _LARGEST_SLACK, out=slack)
        np.maximum(slack, _LEAST_SLACK, out=slack)
        odds_late = slack * _MINUS_SLACK_LOGIT
        np.exp(odds_late, out=odds_late)
        odds_late += _ONE
        best = ((wanted.chance * view.step_allowed) / odds_late).argmax(axis=1)
        cells = offered.first + best
        columns = np.empty((3, len(best)))
        columns[0] = wanted.prior[best]
        columns[1] = slack.ravel()[cells]
        share = np.negative(left.ravel()[cells], out=columns[2])
        np.minimum(share, _LARGEST_LOG_RATIO, out=share)
        np.maximum(share, _LEAST_LOG_SHARE, out=share)
        prices = np.array(self._crowds.prices(loads, wanted.length))
        priced = prices[self._builder.layout.model_of[best]] * view.step_q50_s[best]
        state = time_columns(view.remaining_s, view.budget_s, mean_crowding(loads))
        return (*state, log_prompt(view.query.prompt_tokens)), columns, priced

    def _guessed(
        self, view: PlanView, n_depths: int, wanted: _Wanted
    ) -> tuple[tuple[float, ...], Array, Array]:
        """The same for a planner that sees the question alone: the best call is the best of all, fast or not."""
        columns = np.zeros((3, n_depths))
        columns[0] = wanted.prior.max()
        state = (*[0.0 for _ in TIME_COLUMNS], log_prompt(view.query.prompt_tokens))
        return state, columns, np.zeros(n_depths)

    def _want(self, text: str) -> _Wanted:
        question = self._builder.queries.read(text)
        prior = self._builder.prior_logit(question)
        return _Wanted(
            math.exp(question.log_length),
            prior,
            chance=1.0 / (1.0 + np.exp(-prior)),
            part=np.array(question.columns).dot(self._of_question),
        )

    def _offer(self, plans: tuple[PlannerAction, ...]) -> _Offered:
        table = self._builder.plan_table(plans)
        is_of_depth = np.eye(len(table.depths))[table.of_depth]
        n_actions = len(self._builder.actions.executor_actions)
        return _Offered(
            static=self._output.scorer.fixed_part(plan_names(plans)) + table.static.dot(self._static),
            is_of_depth=is_of_depth,
            calls=is_of_depth * table.calls[:, None],
            log_depths=np.log(table.depths)[:, None],
            first=n_actions * np.arange(len(table.depths)),
        )
