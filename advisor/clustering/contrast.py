"""Two shares against each other."""

from __future__ import annotations

import math

from inframind.advisor.clustering.observing import Flags


def proportions_z(holds_N: Flags, these_N: Flags, those_N: Flags) -> float:
    """Standard normal deviate by which something holds more often in these runs than in those; 0 where undefined."""
    return counts_z(
        int((holds_N & these_N).sum()),
        int(these_N.sum()),
        int((holds_N & those_N).sum()),
        int(those_N.sum()),
    )


def counts_z(hits: int, of: int, other_hits: int, of_others: int) -> float:
    """Pooled two-proportion test: deviate of ``hits / of`` less ``other_hits / of_others``; 0 where undefined."""
    if not of or not of_others:
        return 0.0
    pooled = (hits + other_hits) / (of + of_others)
    variance = pooled * (1 - pooled) * (1 / of + 1 / of_others)
    return (hits / of - other_hits / of_others) / math.sqrt(variance) if variance > 0 else 0.0


def share(holds_N: Flags, of_N: Flags) -> float:
    """Share of runs for which something holds; 0 of none."""
    return float((holds_N & of_N).sum() / max(1, of_N.sum()))
