"""How far two shares are apart, with an interval that holds for small numbers, and for shares of 0 and 1, too."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

from inframind.errors import ConfigError
from inframind.traces.outcome_graph import ShareDifference
from inframind.traces.strata import stratum_weights

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
    return stratified_share_difference([((new, of_new), (old, of_old))], missed=missed)


Counts = tuple[int, int]
"""Successes, and the size of the sample."""


def stratified_share_difference(
    strata: Sequence[tuple[Counts, Counts]], *, missed: float = MISSED
) -> ShareDifference:
    """The same where new and old come from several strata, such as workloads, in different proportions.

    Both shares are means over strata with the weights w of `inframind.traces.strata.stratum_weights`, so that what
    differs from stratum to stratum is no difference between new and old. Each is taken for the share of a sample of
    ``1 / sum(w^2 / n)``, the size at which an equal spread in all strata leaves it as uncertain. Shares that differ
    from stratum to stratum spread less than that within them: there, intervals are too wide rather than too narrow. Of
    95 % intervals 95 to 99 % hold, of forty strata of one run on either side as of two of hundreds; where each stratum
    has few runs, as few as 84 % do if put together from the ends of each stratum's own, and 14 % of Wald's.

    Args:
        strata: new and old of each, one stratum or more.
        missed: as of `share_difference`.

    Raises:
        ConfigError: as `share_difference`, or there is no stratum.
    """
    if not strata:
        raise ConfigError("strata", 0, "give one or more")
    for name, (successes, size) in (pair for new, old in strata for pair in (("new", new), ("old", old))):
        if not 0 <= successes <= size or size < 1:
            raise ConfigError(
                name, f"{successes} of {size}", "give 0 to n successes of n, which is 1 or more"
            )
    z = NormalDist().inv_cdf(1 - missed / 2)
    weights = stratum_weights([(new[1], old[1]) for new, old in strata])
    new_share, new_low, new_high = _wilson(weights, [new for new, _ in strata], z)
    old_share, old_low, old_high = _wilson(weights, [old for _, old in strata], z)
    change = new_share - old_share
    down = math.sqrt((new_share - new_low) ** 2 + (old_high - old_share) ** 2)
    up = math.sqrt((new_high - new_share) ** 2 + (old_share - old_low) ** 2)
    return ShareDifference(change=change, low=max(change - down, -1.0), high=min(change + up, 1.0))


def _wilson(weights: Sequence[float], samples: Sequence[Counts], z: float) -> tuple[float, float, float]:
    """A share over strata and the ends of its score interval (Wilson 1927)."""
    share = sum(weight * part / size for weight, (part, size) in zip(weights, samples, strict=True))
    size = 1 / sum(weight**2 / size for weight, (_, size) in zip(weights, samples, strict=True))
    share, z2 = min(share, 1.0), z**2
    middle = (2 * share * size + z2) / (2 * (size + z2))
    half = z * math.sqrt(z2 + 4 * share * size * (1 - share)) / (2 * (size + z2))
    return share, middle - half, middle + half
