"""How far two means are apart, with an interval that does not take their spreads to be the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from inframind.errors import ConfigError
from inframind.traces.newcombe import MISSED
from inframind.traces.outcome_graph import MeanDifference
from inframind.traces.strata import stratum_weights
from inframind.traces.student import student_quantile


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What an interval needs of a sample.

    Attributes:
        size: number of values, 2 or more.
        mean: of them.
        sd: their standard deviation, with ``size - 1`` in the denominator.
    """

    size: int
    mean: float
    sd: float

    @property
    def error2(self) -> float:
        """Variance of the mean."""
        return self.sd**2 / self.size


def mean_difference(new: Sample, old: Sample, *, missed: float = MISSED) -> MeanDifference:
    """New mean less old mean, of two independent samples.

    Student's interval for unequal variances (Welch 1947, "The generalization of 'Student's' problem when several
    different population variances are involved"), with as many degrees of freedom as Satterthwaite gives (1946).
    For means that are about normal. Long tails do no harm where they are alike (log-normal values with a deviation of
    0.9 means: 95 to 96 % of 95 % intervals hold, from ten values on); with 0.9 means on one side and 1.8 on the other
    89 % hold of 30 values each, and 93 % of 200. Where no value differs from the others of its sample it is a point.

    Args:
        new: one.
        old: the other.
        missed: share of such intervals that may miss the difference; 5 % of 95 % intervals do.

    Raises:
        ConfigError: a sample has fewer than two values, or no finite mean and spread.
    """
    return stratified_difference([(new, old)], missed=missed)


def stratified_difference(
    strata: Sequence[tuple[Sample, Sample]], *, missed: float = MISSED
) -> MeanDifference:
    """The same where new and old come from several strata, such as times of day, in different proportions.

    Differences within strata, with the weights of `inframind.traces.strata.stratum_weights`.

    Args:
        strata: new and old of each, one stratum or more.
        missed: as of `mean_difference`.

    Raises:
        ConfigError: as `mean_difference`, or there is no stratum.
    """
    _check(strata)
    shares = stratum_weights([(new.size, old.size) for new, old in strata])
    change = sum(share * (new.mean - old.mean) for share, (new, old) in zip(shares, strata, strict=True))
    parts = [
        (share**2 * one.error2, one.size) for share, pair in zip(shares, strata, strict=True) for one in pair
    ]
    error2 = sum(part for part, _ in parts)
    if not error2:
        return MeanDifference(change=change, low=change, high=change)
    degrees = 1 / sum((part / error2) ** 2 / (size - 1) for part, size in parts)
    half = student_quantile(1 - missed / 2, degrees) * math.sqrt(error2)
    return MeanDifference(change=change, low=change - half, high=change + half)


def _check(strata: Sequence[tuple[Sample, Sample]]) -> None:
    if not strata:
        raise ConfigError("strata", 0, "give one or more")
    for name, sample in (pair for new, old in strata for pair in (("new", new), ("old", old))):
        if sample.size < 2:
            raise ConfigError(name, sample.size, "give a sample of two values or more")
        if not (math.isfinite(sample.mean) and 0 <= sample.sd < math.inf):
            fix = "give a finite mean and a spread of 0 or more"
            raise ConfigError(name, (sample.mean, sample.sd), fix)
