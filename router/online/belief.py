"""What is believed of offsets: one Gaussian over what all actions share, models, and models with strategies.

    logit P(right) = what the policy says + shared + sum over calls of share * (model + model with strategy)

One labelled run updates it exactly as far as one direction goes: the mode of the posterior along the run's own
direction, and the variance that the logistic likelihood leaves there (Laplace's approximation; Kalman's gain). What
was learned fades towards a wide prior, so that variances neither die out nor blow up. What all share is told apart
from a model by the runs of the others: harder questions are nobody's fault.

N = components.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from inframind.router.actions import ExecutorAction
from inframind.router.online.config import BeliefConfig
from inframind.router.views import Array

Component = tuple[str, str]
"""What an offset is of: a model and a strategy, a model ``(name, "")``, or `SHARED`."""
SHARED: Component = ("", "")
"""The component that all actions share."""
_NEWTON_STEPS = 12
_HARDLY = 1e-12


class OffsetBelief:
    """A Gaussian belief over offsets, which forgets.

    Args:
        config: spreads, forgetting and bounds.
    """

    def __init__(self, config: BeliefConfig) -> None:
        self._config = config
        self._places: dict[Component, int] = {}
        self._mean = np.zeros(0)
        self._covariance = np.zeros((0, 0))
        self._add(SHARED, config.shared_spread)

    @property
    def components(self) -> tuple[Component, ...]:
        """In order (N)."""
        return tuple(self._places)

    def __contains__(self, action: ExecutorAction) -> bool:
        return _component(action) in self._places

    @property
    def shared(self) -> float:
        """What moves all actions alike, in log odds; it is not served, for it changes no order."""
        return float(self._mean[self._places[SHARED]])

    def meet(self, action: ExecutorAction, *, is_new: bool) -> None:
        """Believe something of an action, and of its model; what is believed already stands."""
        config = self._config
        model = (action.model, "")
        if model not in self._places:
            self._add(model, config.newcomer_spread if is_new else config.model_spread)
        if _component(action) not in self._places:
            self._add(_component(action), config.newcomer_action_spread if is_new else config.action_spread)

    def start(self, action: ExecutorAction, logit: float) -> None:
        """Begin an action at an offset that was found out before."""
        self._mean[self._places[_component(action)]] = logit

    def direction(self, shares: Mapping[ExecutorAction, float]) -> Array:
        """How far each component moves the log odds of a run whose calls have these shares (N)."""
        direction = np.zeros(len(self._places))
        direction[self._places[SHARED]] = 1.0
        for action, share in shares.items():
            direction[self._of(action)] += share
        return direction

    def mean_of(self, direction: Array) -> float:
        """Expected offset of a run."""
        return float(direction.dot(self._mean))

    def update(self, direction: Array, logit: float, solved: float, weight: float) -> float:
        """Learn from one label.

        Args:
            direction: of the run (N), from `direction`.
            logit: log odds of being right without any offset.
            solved: label, or a calibrated probability.
            weight: of the label, above 0 and at most 1.

        Returns:
            The standardised surprise: how many standard deviations the label was above what was expected.
        """
        gain = self._covariance.dot(direction)
        variance = float(direction.dot(gain))
        expected = logit + float(direction.dot(self._mean))
        share, slope = _sigmoid(expected), _slope(expected)
        moved = variance * _mode(expected, variance, solved, weight)
        bounded = max(-self._config.largest_step, min(self._config.largest_step, moved))
        certainty = weight * _slope(expected + bounded)
        self._mean += gain * (bounded / variance)
        np.clip(self._mean, -self._config.largest, self._config.largest, out=self._mean)
        self._covariance -= np.outer(gain, gain) * (certainty / (1.0 + certainty * variance))
        return (solved - share) / math.sqrt(slope * (1.0 + slope * variance))

    def forget(self) -> None:
        """Let one labelled run's worth of what is known fade."""
        self._covariance *= self._kept
        self._covariance.flat[:: len(self._places) + 1] += self._regained

    def widen(self, component: Component, spread: float) -> None:
        """Something has changed about a component: believe less of it, and as much of the others."""
        place = self._places[component]
        self._covariance[place, place] += spread**2

    def logit(self, action: ExecutorAction) -> float:
        """The offset of an action, beside what all share."""
        total = float(self._mean[self._of(action)].sum())
        return max(-self._config.largest, min(self._config.largest, total))

    def spread(self, action: ExecutorAction) -> float:
        """The standard deviation of an action's offset."""
        places = self._of(action)
        return math.sqrt(max(float(self._covariance[np.ix_(places, places)].sum()), 0.0))

    def state(self) -> tuple[dict[str, Array], list[list[str]]]:
        """Arrays, and the components in order, as plain data."""
        arrays = {"mean": self._mean.copy(), "covariance": self._covariance.copy()}
        return arrays, [list(component) for component in self._places]

    @classmethod
    def restored(
        cls, config: BeliefConfig, arrays: Mapping[str, Array], components: Sequence[Sequence[str]]
    ) -> OffsetBelief:
        """What `state` was taken of, under the same configuration."""
        belief = cls(config)
        belief._places = {(model, strategy): place for place, (model, strategy) in enumerate(components)}
        belief._mean, belief._covariance = arrays["mean"].copy(), arrays["covariance"].copy()
        belief._note_fading()
        return belief

    def _of(self, action: ExecutorAction) -> list[int]:
        return [self._places[action.model, ""], self._places[_component(action)]]

    def _add(self, component: Component, spread: float) -> None:
        n = len(self._places)
        covariance = np.zeros((n + 1, n + 1))
        covariance[:n, :n] = self._covariance
        covariance[n, n] = spread**2
        self._places[component] = n
        self._mean, self._covariance = np.append(self._mean, 0.0), covariance
        self._note_fading()

    def _note_fading(self) -> None:
        forgotten = np.full(len(self._places), self._config.forgetting)
        forgotten[self._places[SHARED]] = self._config.shared_forgetting
        ceiling = np.array([self._ceiling(component) for component in self._places])
        kept = np.sqrt(1.0 - forgotten)
        self._kept, self._regained = np.outer(kept, kept), forgotten * ceiling**2

    def _ceiling(self, component: Component) -> float:
        if component == SHARED:
            return self._config.shared_spread
        return self._config.action_drift if component[1] else self._config.model_drift


def _component(action: ExecutorAction) -> Component:
    return action.model, action.strategy


def _mode(expected: float, variance: float, solved: float, weight: float) -> float:
    """The root ``a`` of ``a = weight (solved - sigmoid(expected + variance a))``, by Newton with bisection's safety.

    The left side grows and the right side falls with ``a``, so that there is one root, between 0 and the right side
    at 0.
    """
    first = weight * (solved - _sigmoid(expected))
    low, high = min(0.0, first), max(0.0, first)
    root = first / (1.0 + weight * variance * _slope(expected))
    for _ in range(_NEWTON_STEPS):
        error = root - weight * (solved - _sigmoid(expected + variance * root))
        low, high = (low, root) if error > 0 else (root, high)
        step = error / (1.0 + weight * variance * _slope(expected + variance * root))
        following = root - step if low <= root - step <= high else (low + high) / 2
        if abs(following - root) < _HARDLY:
            return following
        root = following
    return root


def _sigmoid(logit: float) -> float:
    return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, logit))))


def _slope(logit: float) -> float:
    share = _sigmoid(logit)
    return share * (1.0 - share)
