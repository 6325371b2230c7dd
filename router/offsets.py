"""What traffic teaches of models and strategies, beside the networks: offsets of the log odds of being right.

They are added to what single calls say of each action (`inframind.router.query_model`), so that planner, roles and
steps see one and the same fleet, and a decision takes no longer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from inframind.router.views import Array


@dataclass(frozen=True, kw_only=True)
class Offsets:
    """By ``model/strategy`` label; a label that is not named has none.

    Attributes:
        logit: log odds by which the action is better than was thought when the networks were trained.
        spread: standard deviation of that: what is not known of it.
        fresh: models of which so little is known that they are tried on purpose.
    """

    logit: Mapping[str, float] = field(default_factory=dict)
    spread: Mapping[str, float] = field(default_factory=dict)
    fresh: frozenset[str] = frozenset()

    def logits(self, labels: Sequence[str]) -> Array:
        """The offset of each label (A)."""
        return np.array([self.logit.get(label, 0.0) for label in labels])

    def spreads(self, labels: Sequence[str]) -> Array:
        """The standard deviation of each label's offset (A)."""
        return np.array([self.spread.get(label, 0.0) for label in labels])

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {"logit": dict(self.logit), "spread": dict(self.spread), "fresh": sorted(self.fresh)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Offsets:
        """What `to_json` gave; of nothing, no offsets."""
        return cls(
            logit=data.get("logit", {}),
            spread=data.get("spread", {}),
            fresh=frozenset(data.get("fresh", ())),
        )
