"""Estimators of a policy's value from decisions of another: pure functions of arrays.

Each gives one contribution per decision (N). The estimate is their mean, by `LoggedDecisions.weights_N`, and their
spread its error. With ``w = pi(a|x) / mu(a|x)`` the importance weight of a choice (pi the target, mu the logging
policy), ``r`` its reward, ``q`` a model of the reward, and ``q(x, pi) = sum_a pi(a|x) q(x, a)``:

===================  =======================================================  ====================================
name                 contribution                                             what is wrong with it
===================  =======================================================  ====================================
``ips``              ``w r``                                                  unbiased, wild where w is large
``clipped_ips``      ``min(w, most) r``                                       biased down by what is cut off
``snips``            ``V + w (r - V) / mean(w)``                              biased by O(1 / n), much tamer
``dr``               ``q(x, pi) + w (r - q(x, a))``                           unbiased whatever q, tame if q is good
``switch_dr``        ``q(x, pi) + w [w <= threshold] (r - q(x, a))``          where it switches, as good as q
``shrunk_dr``        ``q(x, pi) + s w / (w^2 + s) (r - q(x, a))``             leans on q, more so where w is large
===================  =======================================================  ====================================
"""

from __future__ import annotations

import numpy as np

from inframind.router.ope.batch import Array, LoggedDecisions


def ips(batch: LoggedDecisions) -> Array:
    """Inverse propensity scores: ``w r``.

    Source: Horvitz and Thompson 1952.
    """
    return batch.ratio_N * batch.reward_N


def clipped_ips(batch: LoggedDecisions, most: float) -> Array:
    """Inverse propensity scores of at most ``most``: ``min(w, most) r``; biased towards 0 for rewards above it.

    Source: Ionides 2008, truncated importance sampling.
    """
    return np.minimum(batch.ratio_N, most) * batch.reward_N


def snips(batch: LoggedDecisions) -> Array:
    """Self-normalised: ``V = sum(w r) / sum(w)``, as influences ``V + w (r - V) / mean(w)``, whose mean is V.

    Their variance is that of the delta method: how far each decision moves the quotient. All are V where no choice
    has any weight, and V is 0 then.

    Source: Swaminathan and Joachims 2015.
    """
    ratio_N, weight_N = batch.ratio_N, batch.weights_N
    total = float(weight_N @ ratio_N)
    if total == 0:
        return np.zeros(len(batch))
    value = float(weight_N @ (ratio_N * batch.reward_N)) / total
    return value + ratio_N * (batch.reward_N - value) / (total / float(weight_N.sum()))


def direct(batch: LoggedDecisions) -> Array:
    """The model alone: ``q(x, pi)``. Only as right as the model, and its spread says nothing of that."""
    return batch.expected_q_N


def doubly_robust(batch: LoggedDecisions) -> Array:
    """Doubly robust: ``q(x, pi) + w (r - q(x, a))``; unbiased if the propensities or the model are right.

    Source: Dudik, Langford and Li 2011.
    """
    return batch.expected_q_N + batch.ratio_N * batch.residual_N


def switch_doubly_robust(batch: LoggedDecisions, threshold: float) -> Array:
    """Doubly robust where ``w <= threshold``, the model alone elsewhere.

    Source: Wang, Agarwal and Dudik 2017, with the correction inside (as "Switch-DR" in the Open Bandit Pipeline).
    """
    ratio_N = batch.ratio_N
    return batch.expected_q_N + np.where(ratio_N <= threshold, ratio_N, 0.0) * batch.residual_N


def shrunk_doubly_robust(batch: LoggedDecisions, strength: float) -> Array:
    """Doubly robust with weights ``s w / (w^2 + s)``: w where it is small beside the root of s, then ever less.

    Source: Su, Dimakopoulou, Krishnamurthy and Dudik 2020, "Doubly robust off-policy evaluation with shrinkage".
    """
    ratio_N = batch.ratio_N
    return batch.expected_q_N + strength * ratio_N / (ratio_N**2 + strength) * batch.residual_N


def effective_sample_size(ratio_N: Array, weight_N: Array | None = None) -> float:
    """``(sum w)^2 / sum w^2``: decisions on policy that would say as much; 0 where no choice has any weight.

    Source: Kish 1965.
    """
    total_N = ratio_N if weight_N is None else ratio_N * weight_N
    squares = float(total_N @ total_N)
    return float(total_N.sum()) ** 2 / squares if squares else 0.0
