"""Logistic regression with a ridge of its own per column, by Newton's method: exact, and no step size to choose.

B = samples, K = columns. The loss that is minimised, strictly convex as every ridge is positive:

    sum_b log(1 + exp(x_b t)) - y_b x_b t  +  sum_k ridge_k (t_k - prior_k)^2 / 2
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_MOST_ROUNDS = 200
_CLOSE_ENOUGH = 1e-9
"""Decrease that a Newton step promises, in nats, below which the minimum is reached."""
_SHORTEST_STEP = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class RidgeLogistic:
    """A fit to make.

    Attributes:
        columns_BK: samples.
        labels_B: 0 or 1, or a probability between.
        ridge_K: strength of each column's prior, > 0.
        prior_K: value that each coefficient is drawn towards.
    """

    columns_BK: Array
    labels_B: Array
    ridge_K: Array
    prior_K: Array

    def fit(self) -> Array:
        """Coefficients at the minimum (K).

        Raises:
            ArithmeticError: it was not reached, as happens to columns that are not finite.
        """
        terms_K = self.prior_K.copy()
        for _ in range(_MOST_ROUNDS):
            slope_K, curvature_KK = self._derivatives(terms_K)
            step_K = np.linalg.solve(curvature_KK, slope_K)
            gain = float(slope_K @ step_K)
            if gain < _CLOSE_ENOUGH:
                return terms_K
            terms_K = self._descend(terms_K, step_K, gain)
        raise ArithmeticError(f"no minimum within {_MOST_ROUNDS} rounds of Newton's method")

    def loss(self, terms_K: Array) -> float:
        """The formula above."""
        logits_B = self.columns_BK @ terms_K
        surprise = np.logaddexp(0.0, logits_B) - self.labels_B * logits_B
        return float(surprise.sum() + self.ridge_K @ (terms_K - self.prior_K) ** 2 / 2)

    def _derivatives(self, terms_K: Array) -> tuple[Array, Array]:
        chance_B = logistic(self.columns_BK @ terms_K)
        slope_K = self.columns_BK.T @ (chance_B - self.labels_B) + self.ridge_K * (terms_K - self.prior_K)
        curvature_KK = (self.columns_BK.T * (chance_B * (1 - chance_B))) @ self.columns_BK
        return slope_K, curvature_KK + np.diag(self.ridge_K)

    def _descend(self, terms_K: Array, step_K: NDArray[np.floating], gain: float) -> Array:
        """The longest of the steps 1, 1/2, 1/4, ... that pays a fair share of what it promises."""
        before, share = self.loss(terms_K), 1.0
        while share > _SHORTEST_STEP:
            if self.loss(terms_K - share * step_K) <= before - 0.1 * share * gain:
                break
            share /= 2
        return np.asarray(terms_K - share * step_K, dtype=np.float64)


def logistic(logits: Array) -> Array:
    """``1 / (1 + exp(-x))``, by way of tanh, which does not overflow."""
    return np.asarray((1 + np.tanh(logits / 2)) / 2, dtype=np.float64)
