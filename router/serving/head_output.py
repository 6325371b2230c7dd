"""The end of every head: from hidden units to worths."""

from __future__ import annotations

import numpy as np

from inframind.router.columns import LARGEST_LOGIT, LARGEST_SLACK, SLACK_LOGIT
from inframind.router.heads import HeadWeights, Valuation, Worth, odds_against
from inframind.router.scorer import Scorer, joined, passing_on
from inframind.router.views import Array

_ZERO = np.zeros(())
"""An array without axes: numpy takes half as long with it as with a plain float."""


class HeadOutput:
    """From hidden units to worths: the end of `Head.worth`.

    Args:
        weights: what was learned.
        valuation: how probabilities become a worth.
        columns: names of the candidates' columns.
    """

    def __init__(self, weights: HeadWeights, valuation: Valuation, columns: tuple[str, ...]) -> None:
        shown = float(valuation.uses_prior)
        self.weights = passing_on(
            joined(weights.critic, weights.actor),
            {
                columns.index("prior_logit"): (-LARGEST_LOGIT, np.array([shown, 0.0, 0.0, 0.0])),
                columns.index("slack"): (
                    -LARGEST_SLACK,
                    shown * SLACK_LOGIT * np.array([0.0, 1.0, 1.0, 0.0]),
                ),
            },
        )
        self.scorer = Scorer(self.weights)
        # Odds against being right, against being in time when right, and for being in time when wrong.
        self._out = self.weights.out.T * np.array([[-1.0], [-1.0], [1.0], [1.0]])
        self._wrong_late = np.array(valuation.wrong_late)
        self._sharpness = np.array(1.0 / valuation.temperature if valuation.uses_critic else 0.0)

    def worth(self, hidden: Array, priced_work: Array, multiplier: float) -> Worth:
        """Values from hidden units (C, H) before they are rectified, which changes them, and from the work's price."""
        np.maximum(hidden, _ZERO, out=hidden)
        rows = self._out.dot(hidden.T)
        solved, share, late = odds_against(rows[:3])
        late *= self._wrong_late
        worth = share
        worth *= multiplier
        worth += 1.0 - multiplier
        worth += late
        worth *= solved
        worth -= late
        worth -= priced_work
        logits = rows[3]
        logits += worth * self._sharpness
        return Worth(solved, worth, logits)
