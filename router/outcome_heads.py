"""Many logistic regressions on shared columns: the chance that each arm solves a question.

N = questions, P = columns, A = arms.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_STEPS = 20
_CLOSE_ENOUGH = 1e-5
_LEAST_CURVATURE = 1e-5
"""Keeps Newton's step finite where every label is predicted with certainty."""
_MOST_LEVERAGE = 0.8
"""A question that decides its own prediction to more than this share is treated as if it decided this much."""


def sigmoid(logits: Floats) -> Floats:
    """Logits to probabilities, without overflow."""
    result: Floats = 1.0 / (1.0 + np.exp(-np.clip(logits, -30.0, 30.0)))
    return result


def fit_heads(columns: Floats, labels: Floats, known: Bools, penalty: float) -> tuple[Floats, Floats]:
    """Ridge-penalised logistic regression of each arm by Newton's method.

    Args:
        columns: (N, P); the first one is 1 throughout and not penalised.
        labels: 0 to 1 (N, A); anything where not known.
        known: whether there is a label (N, A).
        penalty: half the sum of squared weights counts this much against the log-likelihood.

    Returns:
        Weights (A, P), and the chance of each question as predicted without its own label (N, A). The latter is the
        approximate leave-one-out of Rad and Maleki (2020, "A scalable estimate of the out-of-sample prediction
        error via approximate leave-one-out cross-validation"): one Newton step away from the fit.
    """
    target, weight = np.where(known, labels, 0.0).T, known.T.astype(np.float64)
    ridge = np.diag(np.r_[1e-6, np.full(columns.shape[1] - 1, penalty)])
    heads = _start(target, weight, columns.shape[1])
    for _ in range(_STEPS):
        chance = sigmoid(heads @ columns.T)
        slope = (weight * (chance - target)) @ columns + heads @ ridge
        step = np.linalg.solve(_curvature(columns, chance, weight, ridge), slope[:, :, None])[:, :, 0]
        heads -= step
        if np.abs(step).max() < _CLOSE_ENOUGH:
            break
    return heads, _left_one_out(columns, heads, target, weight, ridge)


def _start(target: Floats, weight: Floats, n_columns: int) -> Floats:
    """Each arm at its share of solved questions, drawn a little towards one half."""
    share = ((target * weight).sum(axis=1) + 0.5) / (weight.sum(axis=1) + 1.0)
    heads = np.zeros((len(target), n_columns))
    heads[:, 0] = np.log(share / (1.0 - share))
    return heads


def _bend(chance: Floats, weight: Floats) -> Floats:
    bend: Floats = weight * chance * (1.0 - chance) + _LEAST_CURVATURE
    return bend


def _curvature(columns: Floats, chance: Floats, weight: Floats, ridge: Floats) -> Floats:
    """(A, P, P)."""
    scaled = columns.T[None] * _bend(chance, weight)[:, None, :]
    curvature: Floats = np.matmul(scaled, columns[None]) + ridge
    return curvature


def _left_one_out(columns: Floats, heads: Floats, target: Floats, weight: Floats, ridge: Floats) -> Floats:
    logits = heads @ columns.T
    chance = sigmoid(logits)
    inverse = np.linalg.inv(_curvature(columns, chance, weight, ridge))
    reach = np.einsum("np,apn->an", columns, np.matmul(inverse, columns.T[None]))
    leverage = np.minimum(reach * _bend(chance, weight), _MOST_LEVERAGE)
    own = weight * (chance - target) * reach / (1.0 - leverage)
    return sigmoid(logits + own).T
