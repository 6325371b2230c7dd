"""Values executor actions, decision after decision."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from inframind.router.columns import (
    ACTION_COLUMNS,
    LARGEST_LOG_RATIO,
    LARGEST_SLACK,
    LEAST_SIGMA,
    LEAST_TIME_S,
    QUESTION_COLUMNS,
    action_names,
    slot_columns,
    time_columns,
)
from inframind.router.features import FeatureBuilder
from inframind.router.heads import HeadWeights, Valuation, Worth
from inframind.router.policy_parts import Z90
from inframind.router.serving.crowds import Crowds, mean_crowding
from inframind.router.serving.head_output import HeadOutput
from inframind.router.serving.memory import QUESTIONS_KEPT
from inframind.router.views import Array, StepView

_MINUS_Z90, _LEAST_LOG_RATIO = np.array(-Z90), np.array(LEAST_SIGMA * Z90)
"""Arrays without axes: numpy takes half as long with them as with plain floats."""


class _Asked(NamedTuple):
    """What a question adds to every step.

    Attributes:
        log_length: log of how many times longer its answers are.
        length: how many times longer.
        base: sum that reaches the hidden units from names, static columns, difficulty and prior odds (A, H).
    """

    log_length: float
    length: float
    base: Array


class StepHead:
    """Values executor actions.

    Args:
        weights: what was learned.
        builder: what a step's features are.
        valuation: how probabilities become a worth.
    """

    def __init__(self, weights: HeadWeights, builder: FeatureBuilder, valuation: Valuation) -> None:
        self._builder, self._crowds = builder, Crowds(builder, valuation)
        self._output = HeadOutput(weights, valuation, ACTION_COLUMNS)
        known = self._output.weights
        names = action_names(builder.actions.executor_actions)
        self._static = self._output.scorer.fixed_part(names) + builder.layout.template.dot(known.candidate)
        column = {name: known.candidate[place] for place, name in enumerate(ACTION_COLUMNS)}
        first_load, n_question = ACTION_COLUMNS.index("crowding"), len(QUESTION_COLUMNS)
        self._prior = column["prior_logit"]
        self._times = np.array([column["log_share_of_time"], column["slack"], column["log_q50"]])
        self._load = known.candidate[first_load : first_load + 5].copy()
        self._of_question, self._of_place = known.state[:n_question], known.state[n_question:].copy()
        n_actions = len(builder.actions.executor_actions)
        self._rows = np.concatenate([np.zeros((3, n_actions)), self._crowds.is_of_model])
        self._most = np.repeat([[LARGEST_LOG_RATIO], [LARGEST_SLACK]], n_actions, axis=1)
        self._least = -self._most
        self._asked = lru_cache(maxsize=QUESTIONS_KEPT)(self._ask)

    def worth(self, view: StepView, multiplier: float) -> Worth:
        """Values of all executor actions."""
        slot, output = view.slot, self._output
        asked = self._asked(view.query.text)
        loads = self._crowds.read(view.snapshot)
        state = time_columns(view.remaining_s, view.budget_s, mean_crowding(loads)) + slot_columns(slot)
        numbers = list(state)
        for row in loads:
            numbers += row
        n_state, n_models = len(state), len(loads)
        seen = np.array(numbers + self._crowds.prices(loads, asked.length))

        shared = seen[:n_state].dot(self._of_place)
        shared += output.scorer.state_part((slot.topology, slot.role, view.query.domain))
        weights = np.empty((3 + n_models, len(shared)))
        weights[:3] = self._times
        by_model = weights[3:]
        np.dot(seen[n_state:-n_models].reshape(n_models, 5), self._load, out=by_model)
        by_model += shared
        hidden = self._time_rows(view, asked.log_length).T.dot(weights)
        hidden += asked.base

        priced_work = seen[-n_models:].dot(self._crowds.is_of_model)
        priced_work *= view.q50_s
        return output.worth(hidden, priced_work, multiplier)

    def _time_rows(self, view: StepView, log_length: float) -> Array:
        """``log_share_of_time``, ``slack`` and ``log_q50``, and whose model is whose (3 + M, A)."""
        rows = self._rows.copy()
        bounded = rows[:2]
        log_share, slack, log_expected = rows[:3]
        spread = view.q90_s / view.q50_s
        np.log(spread, out=spread)
        np.maximum(spread, _LEAST_LOG_RATIO, out=spread)
        np.log(view.q50_s, out=log_expected)
        log_expected += log_length
        left_s = view.remaining_s if view.remaining_s > LEAST_TIME_S else LEAST_TIME_S
        np.add(log_expected, math.log((1 + view.slot.depth_left) / left_s), out=log_share)
        np.divide(log_share, spread, out=slack)
        slack *= _MINUS_Z90
        np.minimum(bounded, self._most, out=bounded)
        np.maximum(bounded, self._least, out=bounded)
        return rows

    def _ask(self, text: str) -> _Asked:
        question = self._builder.queries.read(text)
        base = self._static + np.outer(self._builder.prior_logit(question), self._prior)
        base += np.array(question.columns).dot(self._of_question)
        return _Asked(question.log_length, math.exp(question.log_length), base)
