"""Nothing is liked better than anything else, as long as nothing is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from inframind.advisor.ranking.protocol import Array, Lesson


class Unranked:
    """Scores all options the same: what they promise tells those of one kind apart, and chance the kinds."""

    name = "unranked"

    def scores(self, features_KD: Array, segment: str, rng: np.random.Generator) -> Array:
        """Zeros (K)."""
        return np.zeros(len(features_KD))

    def draws(self, features_KD: Array, segment: str, count: int, rng: np.random.Generator) -> Array:
        """Zeros (N, K)."""
        return np.zeros((count, len(features_KD)))

    def learn(self, lessons: Sequence[Lesson]) -> None:
        """Nothing."""
