"""Log odds of being right that a policy gives to calls that were made: its critic for the choices taken, many at once.

The same as `LearnedPolicy.step_worth` says of them, at a fifth of the time: what was not chosen is not valued.

N = calls, H = hidden units.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inframind.router.columns import (
    LARGEST_LOG_RATIO,
    LARGEST_SLACK,
    LEAST_SIGMA,
    LEAST_TIME_S,
    action_names,
    load_row,
    slot_columns,
    time_columns,
)
from inframind.router.heads import LARGEST_LOGIT
from inframind.router.policy_learned import LearnedPolicy
from inframind.router.policy_parts import Z90
from inframind.router.scorer import Scorer
from inframind.router.views import Array, StepView


class CallOdds:
    """Values calls of one policy over one set of candidates.

    Args:
        policy: whose critic is asked.
    """

    def __init__(self, policy: LearnedPolicy) -> None:
        critic = policy.weights.heads["step"].critic
        self._features, self._weights, self._scorer = policy.features, critic, Scorer(critic)
        self._uses_prior = policy.valuation.uses_prior
        actions = policy.features.actions
        self._names = self._scorer.fixed_part(action_names(actions.executor_actions))
        self._facts = [tuple(row) for row in policy.features.layout.template[:, 9:].tolist()]
        self._models = tuple(zip(actions.models, policy.features.layout.slots, strict=True))
        self._model_of: NDArray[np.int64] = policy.features.layout.model_of

    def of(self, views: Sequence[StepView], places: Sequence[int]) -> Array:
        """Log odds of being right (N).

        Args:
            views: what was seen before each call.
            places: which candidate was called.
        """
        read = [self._rows(view, place) for view, place in zip(views, places, strict=True)]
        state = np.array([row for row, _, _ in read])
        candidate = np.array([row for _, row, _ in read])
        hidden = state.dot(self._weights.state) + candidate.dot(self._weights.candidate)
        hidden += self._names[list(places)]
        hidden += np.array([self._scorer.state_part(names) for _, _, names in read])
        logits: Array = np.maximum(hidden, 0.0).dot(self._weights.out[:, 0]) + self._weights.out_bias[0]
        if self._uses_prior:
            logits += candidate[:, 0]
        return np.clip(logits, -LARGEST_LOGIT, LARGEST_LOGIT)

    def _rows(
        self, view: StepView, place: int
    ) -> tuple[tuple[float, ...], tuple[float, ...], tuple[str, ...]]:
        """`STEP_COLUMNS`, `ACTION_COLUMNS` of the candidate, and the state's names."""
        question = self._features.queries.read(view.query.text)
        loads = self._loads(view)
        crowding = sum(row[0] for row in loads) / len(loads)
        log_expected = math.log(view.q50_s[place]) + question.log_length
        sigma = max(math.log(view.q90_s[place] / view.q50_s[place]) / Z90, LEAST_SIGMA)
        log_share = log_expected + math.log((1 + view.slot.depth_left) / max(view.remaining_s, LEAST_TIME_S))
        state = (
            *question.columns,
            *time_columns(view.remaining_s, view.budget_s, crowding),
            *slot_columns(view.slot),
        )
        candidate = (
            self._features.prior_logit(question).item(place),
            _bounded(-log_share / sigma, LARGEST_SLACK),
            log_expected,
            _bounded(log_share, LARGEST_LOG_RATIO),
            *loads[self._model_of.item(place)],
            *self._facts[place],
        )
        return state, candidate, (view.slot.topology, view.slot.role, view.query.domain)

    def _loads(self, view: StepView) -> list[tuple[float, float, float, float, float]]:
        if not self._features.sight.sees_load:
            return [(0.0, 0.0, 0.0, 0.0, 0.0)] * len(self._models)
        return [load_row(view.snapshot.least_loaded(model), slots) for model, slots in self._models]


def _bounded(value: float, most: float) -> float:
    return max(-most, min(most, value))
