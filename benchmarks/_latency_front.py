"""Quality against latency when a model is chosen by ``(1 - l) quality - l cost``, for a sweep of ``l``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
SWEEP = np.concatenate([[0.0], np.logspace(-6, 1.5, 300)])
"""l / (1 - l): seconds weighed against quality."""


@dataclass(frozen=True, kw_only=True)
class Front:
    """Means over prompts for each point of the sweep (L); one column per resample (L, B)."""

    latency_s: Array
    quality: Array

    def quality_at(self, latency_s: Array) -> Array:
        """Mean quality at these mean latencies, linearly between the points of the sweep (G, B)."""
        columns = []
        for latency, quality in zip(self.latency_s.T, self.quality.T, strict=True):
            order = np.lexsort((quality, latency))
            columns.append(np.interp(latency_s, latency[order], quality[order]))
        return np.stack(columns, axis=1)


def front(scores: Array, cost_s: Array, quality: Array, latency_s: Array, weights: Array) -> Front:
    """Choose per prompt by predicted quality and cost, and read off what was measured.

    Args:
        scores: predicted quality (P, M).
        cost_s: predicted seconds (P, M).
        quality: measured (P, M).
        latency_s: measured (P, M).
        weights: share of each prompt in each resample (P, B).
    """
    chosen = np.argmax(scores[None] - SWEEP[:, None, None] * cost_s[None], axis=2)
    prompts = np.arange(len(scores))
    return Front(
        latency_s=latency_s[prompts, chosen] @ weights,
        quality=quality[prompts, chosen] @ weights,
    )


def resamples(prompts: int, count: int, seed: int) -> Array:
    """Shares of the prompts (P, 1 + count): the sample itself first, then bootstrap draws of it."""
    draws = np.random.default_rng(seed).multinomial(prompts, np.full(prompts, 1 / prompts), size=count)
    return np.concatenate([np.full((prompts, 1), 1 / prompts), draws.T / prompts], axis=1)
