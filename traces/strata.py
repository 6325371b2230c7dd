"""How strata, such as times of day or families of configurations, are weighed when new and old are compared in each."""

from __future__ import annotations

from collections.abc import Sequence


def stratum_weights(sizes: Sequence[tuple[int, int]]) -> list[float]:
    """Weights ``n m / (n + m)``, divided by their sum.

    Where spreads are alike no others are as precise (Mantel and Haenszel 1959), and what differs from stratum to
    stratum is no difference between new and old.

    Args:
        sizes: values on either side of each stratum, 1 or more; one stratum or more.
    """
    weights = [new * old / (new + old) for new, old in sizes]
    return [weight / sum(weights) for weight in weights]
