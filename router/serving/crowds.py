"""The fleet's load as the heads read it."""

from __future__ import annotations

import numpy as np

from inframind.fleet.snapshot import FleetSnapshot
from inframind.router.columns import load_row
from inframind.router.features import FeatureBuilder
from inframind.router.heads import Valuation

LoadRow = tuple[float, float, float, float, float]
"""What `load_row` gives."""


class Crowds:
    """The fleet's load as the heads read it, one row per model, and what a second on each of them is priced.

    Args:
        builder: what may be chosen and seen.
        valuation: has the price.
    """

    def __init__(self, builder: FeatureBuilder, valuation: Valuation) -> None:
        slots = builder.layout.slots
        self._sees_load = builder.sight.sees_load
        self._models = tuple(zip(builder.actions.models, slots, strict=True))
        self._prices = [valuation.price / each for each in slots]
        self.is_of_model = np.eye(len(slots))[:, builder.layout.model_of]
        """1 where an action's model is the row's (M, A)."""

    def read(self, snapshot: FleetSnapshot) -> list[LoadRow]:
        """Load of each model's least loaded replica (M); zeros for a policy that sees none."""
        if not self._sees_load:
            return [(0.0, 0.0, 0.0, 0.0, 0.0)] * len(self._models)
        return [load_row(snapshot.least_loaded(model), slots) for model, slots in self._models]

    def prices(self, rows: list[LoadRow], length: float) -> list[float]:
        """Price of a predicted second on each model (M), for answers so many times longer than usual."""
        return [row[0] * price * length for row, price in zip(rows, self._prices, strict=True)]


def mean_crowding(rows: list[LoadRow]) -> float:
    """Requests per slot of the whole fleet."""
    return sum([row[0] for row in rows]) / len(rows)
