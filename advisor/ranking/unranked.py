"""Any order is as good as any other, as long as nothing is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from inframind.advisor.ranking.protocol import Array, Lesson


class Unranked:
    """Orders options by chance alone."""

    name = "unranked"

    def scores(self, features_KD: Array, segment: str, rng: np.random.Generator) -> Array:
        """One even draw each (K)."""
        drawn_K: Array = self.draws(features_KD, segment, 1, rng)[0]
        return drawn_K

    def draws(self, features_KD: Array, segment: str, count: int, rng: np.random.Generator) -> Array:
        """Even draws (N, K)."""
        return rng.random((count, len(features_KD)))

    def learn(self, lessons: Sequence[Lesson]) -> None:
        """Nothing."""
