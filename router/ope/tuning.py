"""How far to trust large importance weights: the knob with the least bound on the squared error.

For each candidate knob, the estimate's variance and the square of a bound on its bias are added up, and the knob with
the least sum is taken (Wang, Agarwal and Dudik 2017, section 4.1). What a knob takes off the weights is known exactly,
of every candidate and not of the choices alone, as the logging probabilities are recorded; it is multiplied with the
root mean square of what it is taken off of, noise included:

    bias <= mean_x sum_a pi(a|x) (1 - kept(w) / w)  *  sqrt(mean_mu (r - q)^2)

That is the model's error where the logging policy went, and an optimist's bound where it seldom did. It was preferred
over Lepski's method (SLOPE; Su, Srinath and Krishnamurthy 2020), which compares estimates with each other: a knob that
is chosen by the rewards themselves makes intervals too narrow; this choice looks at them through one number alone.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from inframind.router.ope.batch import Array, LoggedDecisions
from inframind.router.ope.estimators import clipped_ips, shrunk_doubly_robust, switch_doubly_robust

Estimator = Callable[[LoggedDecisions, float], Array]
Kept = Callable[[Array, float], Array]

_SHARES = np.array([0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 1.0])
_WIDE = 1e6


def clipped(ratio: Array, most: float) -> Array:
    """``min(w, most)``."""
    return np.minimum(ratio, most)


def switched(ratio: Array, threshold: float) -> Array:
    """``w [w <= threshold]``."""
    return np.where(ratio <= threshold, ratio, 0.0)


def shrunk(ratio: Array, strength: float) -> Array:
    """``s w / (w^2 + s)``."""
    return strength * ratio / (ratio**2 + strength)


def best_clip(batch: LoggedDecisions) -> float:
    """Clip of `clipped_ips` with the least bound on the squared error, among quantiles of the weights."""
    return _best(batch, clipped_ips, clipped, batch.reward_N, _quantiles(batch))


def best_threshold(batch: LoggedDecisions) -> float:
    """Threshold of `switch_doubly_robust` with the least bound, among quantiles of the weights."""
    return _best(batch, switch_doubly_robust, switched, batch.residual_N, _quantiles(batch))


def best_strength(batch: LoggedDecisions) -> float:
    """Strength of `shrunk_doubly_robust` with the least bound, among squares of quantiles of the weights."""
    quantiles = _quantiles(batch)
    knobs = np.concatenate([quantiles**2, quantiles[-1:] ** 2 * np.array([10.0, 100.0, _WIDE])])
    return _best(batch, shrunk_doubly_robust, shrunk, batch.residual_N, knobs)


def _best(
    batch: LoggedDecisions, estimator: Estimator, kept: Kept, corrected_N: Array, knobs: Array
) -> float:
    if not len(batch):
        return float(knobs[0])
    ratio_NA, weight_N = batch.ratio_NA, batch.weights_N
    share_N = weight_N / weight_N.sum()
    size = float(np.sqrt(share_N @ corrected_N**2))
    held_NA = np.where(ratio_NA > 0, ratio_NA, 1.0)

    def bound(knob: float) -> float:
        lost_NA = batch.target_NA * (1 - kept(held_NA, knob) / held_NA)
        bias = float(share_N @ lost_NA.sum(axis=1)) * size
        contribution_N = estimator(batch, knob)
        spread_N = contribution_N - share_N @ contribution_N
        return bias**2 + float(share_N**2 @ spread_N**2)

    return float(min(knobs.tolist(), key=bound))


def _quantiles(batch: LoggedDecisions) -> Array:
    """Of the weights that are there at all; the greatest of any candidate keeps them all."""
    ratio_N = batch.ratio_N
    positive = ratio_N[ratio_N > 0]
    most = max(float(batch.ratio_NA.max(initial=0.0)), 1.0)
    if not len(positive):
        return np.array([most])
    return np.append(np.unique(np.quantile(positive, _SHARES)), most)
