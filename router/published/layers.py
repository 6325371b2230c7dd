"""The few layers that serving needs, in numpy; weights are named as in the torch networks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from inframind.router.encoder import Floats

Weights = Mapping[str, Floats]

LAYER_NORM_EPS = 1e-5
SHORTEST = 1e-8
"""Vectors are taken to be at least this long when a cosine is formed."""


def dense(x: Floats, weights: Weights, layer: str) -> Floats:
    """``W x + b`` of one vector, or of each row of a matrix."""
    y: Floats = x @ weights[f"{layer}.weight"].T + weights[f"{layer}.bias"]
    return y


def relu(x: Floats) -> Floats:
    """``max(x, 0)``."""
    y: Floats = np.maximum(x, np.float32(0))
    return y


def layer_norm(x: Floats, weights: Weights, layer: str) -> Floats:
    """Zero mean and unit variance over a vector, scaled and shifted (Ba et al. 2016)."""
    centred = x - x.mean()
    spread = np.sqrt((centred * centred).mean() + np.float32(LAYER_NORM_EPS))
    y: Floats = centred / spread * weights[f"{layer}.weight"] + weights[f"{layer}.bias"]
    return y


def unit(x: Floats) -> Floats:
    """Each vector along the last axis at length 1."""
    y: Floats = x / np.maximum(np.sqrt((x * x).sum(axis=-1, keepdims=True)), np.float32(SHORTEST))
    return y


def masked_softmax(logits_A: Floats, allowed_A: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Probabilities over what is allowed; zeros where nothing is."""
    if not allowed_A.any():
        return np.zeros(len(logits_A))
    logits_A = np.where(allowed_A, logits_A.astype(np.float64), -np.inf)
    shares_A = np.exp(logits_A - logits_A.max())
    probabilities_A: NDArray[np.float64] = shares_A / shares_A.sum()
    return probabilities_A
