"""How far two shares are apart, with an interval that holds for small numbers, and for shares of 0 and 1, too."""

from __future__ import annotations

import math
from statistics import NormalDist

from inframind.errors import ConfigError
from inframind.traces.outcome_graph import ShareDifference

MISSED = 0.05
"""Share of intervals that may miss what they are about."""


def share_difference(
    new: int, of_new: int, old: int, of_old: int, *, missed: float = MISSED
) -> ShareDifference:
    """New share less old share, of two independent samples.

    The hybrid score interval: from the ends of both shares' own Wilson intervals, without continuity correction
    (Newcombe 1998, "Interval estimation for the difference between independent proportions", method 10).

    Args:
        new: successes in the new sample.
        of_new: its size, 1 or more.
        old: successes in the old sample.
        of_old: its size, 1 or more.
        missed: share of such intervals that may miss the difference; 5 % of 95 % intervals do.

    Raises:
        ConfigError: a sample is empty, or has more successes than runs.
    """
    z = NormalDist().inv_cdf(1 - missed / 2)
    new_share, new_low, new_high = _wilson("new", new, of_new, z)
    old_share, old_low, old_high = _wilson("old", old, of_old, z)
    change = new_share - old_share
    down = math.sqrt((new_share - new_low) ** 2 + (old_high - old_share) ** 2)
    up = math.sqrt((new_high - new_share) ** 2 + (old_share - old_low) ** 2)
    return ShareDifference(change=change, low=max(change - down, -1.0), high=min(change + up, 1.0))


def _wilson(name: str, successes: int, size: int, z: float) -> tuple[float, float, float]:
    """A share and the ends of its score interval (Wilson 1927)."""
    if not 0 <= successes <= size or size < 1:
        raise ConfigError(name, f"{successes} of {size}", "give 0 to n successes of n, which is 1 or more")
    share, z2 = successes / size, z**2
    middle = (2 * successes + z2) / (2 * (size + z2))
    half = z * math.sqrt(z2 + 4 * successes * (1 - share)) / (2 * (size + z2))
    return share, middle - half, middle + half
