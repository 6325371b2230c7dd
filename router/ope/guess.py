"""What was known of the candidates of a decision before its run ended: priors, or the critic of a learned policy."""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

import numpy as np

from inframind.router.columns import LARGEST_LOGIT, SLACK_LOGIT, action_names, plan_names
from inframind.router.features import Features
from inframind.router.learning.ridge_logistic import logistic
from inframind.router.policy_learned import PolicyWeights
from inframind.router.scorer import Scorer
from inframind.router.views import Array, PlanView, StepView


class Guess(Protocol):
    """Log odds of a right answer, and of an answer in time if it is right, of every candidate (C) each."""

    def step(self, view: StepView, features: Features) -> tuple[Array, Array]:
        """Of a step's candidates."""
        ...

    def plan(self, view: PlanView, features: Features) -> tuple[Array, Array]:
        """Of a plan's candidates."""
        ...


class PriorGuess:
    """Difficulty and predicted latency alone: what a single call would be worth."""

    def step(self, view: StepView, features: Features) -> tuple[Array, Array]:
        """As the features say."""
        return _priors(features)

    def plan(self, view: PlanView, features: Features) -> tuple[Array, Array]:
        """As the features say."""
        return _priors(features)


class CriticGuess:
    """The critic of a learned policy.

    Intervals are honest only where it did not learn from the very runs that are evaluated.

    Args:
        weights: of the policy; features must be made by its own `FeatureBuilder`.
    """

    def __init__(self, weights: PolicyWeights) -> None:
        self._scorers = {kind: Scorer(weights.heads[kind].critic) for kind in ("plan", "step")}
        self._steps = lru_cache(maxsize=8)(
            lambda actions: self._scorers["step"].fixed_part(action_names(actions))
        )
        self._plans = lru_cache(maxsize=64)(lambda plans: self._scorers["plan"].fixed_part(plan_names(plans)))

    def step(self, view: StepView, features: Features) -> tuple[Array, Array]:
        """What the step's critic learned, on top of the priors."""
        return self._learned("step", features, self._steps(view.actions))

    def plan(self, view: PlanView, features: Features) -> tuple[Array, Array]:
        """What the plan's critic learned, on top of the priors."""
        return self._learned("plan", features, self._plans(view.actions))

    def _learned(self, kind: str, features: Features, fixed_part: Array) -> tuple[Array, Array]:
        scores = self._scorers[kind].score(features, fixed_part)
        solved, in_time = _priors(features)
        return scores[:, 0] + solved, scores[:, 1] + in_time


def both(solved_logit: Array, in_time_logit: Array) -> Array:
    """Log odds of a right answer in time, cut where nothing is left to tell."""
    chance = logistic(solved_logit) * logistic(in_time_logit)
    odds = np.log(np.maximum(chance, _LEAST_CHANCE)) - np.log1p(-np.minimum(chance, 1 - _LEAST_CHANCE))
    return np.asarray(np.clip(odds, -LARGEST_LOGIT, LARGEST_LOGIT))


_LEAST_CHANCE = 1e-9


def _priors(features: Features) -> tuple[Array, Array]:
    return features.prior_logit, SLACK_LOGIT * features.slack
