"""The published executor as it serves: a semantic and a resource path, one joint head over models x strategies."""

from __future__ import annotations

import numpy as np

from inframind.router.encoder import Floats
from inframind.router.published.layers import Weights, dense, layer_norm, relu

SEMANTIC, RESOURCE, MERGED = 128, 64, 128
"""Units of the semantic path, of the resource path, and after the merge."""
RESOURCE_PART = 16
"""Units of the budget and of the system before they meet."""


class Executor:
    """Scores the entries of the joint head.

    Args:
        weights: of the executor's network.
    """

    def __init__(self, weights: Weights) -> None:
        self._weights = weights

    def logits(self, semantic: Floats, resources: Floats) -> Floats:
        """One logit per model and strategy, models outermost (A).

        Args:
            semantic: question and role (2 E).
            resources: time left, and three numbers per model (1 + 3 M).
        """
        weights = self._weights
        meaning = layer_norm(relu(dense(semantic, weights, "semantic")), weights, "semantic_norm")
        parts = [relu(dense(resources[:1], weights, "budget")), relu(dense(resources[1:], weights, "system"))]
        state = layer_norm(relu(dense(np.concatenate(parts), weights, "resource")), weights, "resource_norm")
        merged = relu(dense(np.concatenate([meaning, state]), weights, "merge"))
        return dense(merged, weights, "choice")
