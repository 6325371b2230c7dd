"""Logistic regression on few columns, and what a further column would add: score tests, many at a time.

Axis letters: N runs, Q columns of the fit, M candidates, H hours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_ITERATIONS = 25
_RIDGE = 1e-3
_STEP_SIZE = 1e-8
_LEAST_VARIANCE = 1e-9
_LEAST_LEFT = 0.02
_HALF = 0.5
_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Fit:
    """Maximum-likelihood logistic regression, with a trace of a ridge, so that columns that separate do no harm.

    Attributes:
        design_NQ: columns, the first of ones.
        outcome_N: zeros and ones.
        residual_N: outcome less its probability.
        weight_N: probability times its complement.
        covariance_QQ: of the coefficients.
    """

    design_NQ: Array
    outcome_N: Array
    residual_N: Array
    weight_N: Array
    covariance_QQ: Array

    @property
    def parts_NK(self) -> Array:
        """What tests sum over the runs of a candidate: outcome, residual, one, weight, weighted design."""
        weighted = self.design_NQ * self.weight_N[:, None]
        ones = np.ones_like(self.weight_N)
        return np.column_stack([self.outcome_N, self.residual_N, ones, self.weight_N, weighted])

    def z_of(self, sums: Array) -> Array:
        """Deviates of candidates of zeros and ones, each alone beside what is fitted, for more failures than fitted.

        The lesser of Rao's score test and the signed root of the likelihood ratio, continuity corrected: few
        failures are skewed, and the former alone finds too much among thousands of small candidates. Zero where a
        candidate is all but a combination of what is fitted.

        Args:
            sums: of `parts_NK` over the runs of each candidate (..., 4 + Q).
        """
        failures, score, runs, weight = (sums[..., part] for part in range(4))
        explained = np.einsum("...q,qr,...r->...", sums[..., 4:], self.covariance_QQ, sums[..., 4:])
        left = weight - explained
        usable = (left > np.maximum(_LEAST_VARIANCE, _LEAST_LEFT * weight)) & (score > _HALF)
        left = np.where(usable, left, 1.0)
        rao = (score - _HALF) / np.sqrt(left)
        ratio = _ratio_root(failures - _HALF, failures - score, runs) * np.sqrt(weight / left)
        deviates: Array = np.where(usable, np.minimum(rao, ratio), 0.0)
        return deviates


def _ratio_root(failures: Array, expected: Array, runs: Array) -> Array:
    """Signed root of the likelihood ratio of a binomial count against its expectation."""
    lost = failures * np.log(np.maximum(failures, _TINY) / np.maximum(expected, _TINY))
    kept = (runs - failures) * np.log(np.maximum(runs - failures, _TINY) / np.maximum(runs - expected, _TINY))
    root: Array = np.sqrt(np.maximum(2 * (lost + kept), 0.0))
    return root


def fit(columns: list[Array], outcome_N: Array) -> Fit:
    """Fit by Newton's method, from no effect on."""
    design = np.column_stack([np.ones(len(outcome_N)), *columns])
    ridge = np.full(design.shape[1], _RIDGE)
    ridge[0] = 0.0
    beta = np.zeros(design.shape[1])
    share = float(np.clip(outcome_N.mean(), 1e-6, 1 - 1e-6))
    beta[0] = np.log(share / (1 - share))
    for _ in range(_ITERATIONS):
        probability = _logistic(design @ beta)
        weight = probability * (1 - probability)
        curvature = (design * weight[:, None]).T @ design + np.diag(ridge)
        move = np.linalg.solve(curvature, design.T @ (outcome_N - probability) - ridge * beta)
        beta = beta + np.clip(move, -4.0, 4.0)
        if float(np.abs(move).max()) < _STEP_SIZE:
            break
    probability = _logistic(design @ beta)
    weight = probability * (1 - probability)
    curvature = (design * weight[:, None]).T @ design + np.diag(ridge)
    return Fit(design, outcome_N, outcome_N - probability, weight, np.linalg.inv(curvature))


def _logistic(logit: Array) -> Array:
    probability: Array = 1.0 / (1.0 + np.exp(-np.clip(logit, -30.0, 30.0)))
    return probability
