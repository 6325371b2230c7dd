"""What every chooser of recommendations does: score options for a person, and learn from what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Verdict = Literal["accepted", "rejected", "ignored"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lesson:
    """What became of one recommendation that was shown.

    Attributes:
        recommendation_id: which.
        features_D: what the chooser saw of it (D).
        segment: of the person, "" where there are none.
        verdict: ``ignored`` is no verdict: nothing is learned of acceptance from it.
        well_formed: whether its change was valid.
        reliability_change: measured difference in success after it was applied, or None where not (yet) measured.
        improved: whether that is an improvement for sure.
        shown_with: recommendations that were shown together: a number that they share.
        at_s: when the latest of this came, seconds since the Unix epoch.
    """

    recommendation_id: str
    features_D: Array
    segment: str
    verdict: Verdict
    well_formed: bool = True
    reliability_change: float | None = None
    improved: bool = False
    shown_with: int = 0
    at_s: float = 0.0


class Chooser(Protocol):
    """Scores options; the best comes first. Knows nothing of stores and clocks; chance is given to it."""

    @property
    def name(self) -> str:
        """As it stands in recommendations' ``chosen_by``."""
        ...

    def scores(self, features_KD: Array, segment: str, rng: np.random.Generator) -> Array:
        """One draw of the worth of K options (K), for a person of a segment."""
        ...

    def draws(self, features_KD: Array, segment: str, count: int, rng: np.random.Generator) -> Array:
        """Independent draws as those of `scores` (N, K), at the price of little more than one."""
        ...

    def learn(self, lessons: Sequence[Lesson]) -> None:
        """Learn from lessons, in any number of calls; a lesson that comes again with more in it replaces itself."""
        ...
