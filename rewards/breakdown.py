"""A reward that remembers what it is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from inframind.errors import ConfigError
from inframind.rewards.arrays import Array, floats, require_same_shape


@dataclass(frozen=True, slots=True, eq=False)
class RewardBreakdown:
    """Rewards of B samples, by term.

    Attributes:
        terms: one array (B) per term, by name; a reward that is their sum.

    Raises:
        ConfigError: there is no term, terms differ in length, or one is not finite.
    """

    terms: Mapping[str, Array]

    def __post_init__(self) -> None:
        if not self.terms:
            raise ConfigError("terms", {}, "give at least one term")
        terms = {name: floats(f"terms.{name}", term_B) for name, term_B in self.terms.items()}
        require_same_shape(terms)
        object.__setattr__(self, "terms", terms)

    @property
    def total(self) -> Array:
        """Sum of the terms (B), in their order."""
        total_B: Array = np.sum(np.stack(tuple(self.terms.values())), axis=0)
        return total_B

    def means(self) -> dict[str, float]:
        """Mean of each term, for progress lines and curves; 0 for an empty batch."""
        return {name: float(term_B.mean()) if term_B.size else 0.0 for name, term_B in self.terms.items()}
