"""How far two means are apart, with an interval that does not take their spreads to be the same."""

from __future__ import annotations

import math
from dataclasses import dataclass

from inframind.errors import ConfigError
from inframind.traces.newcombe import MISSED
from inframind.traces.outcome_graph import MeanDifference
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
    Good for means that are about normal: a few dozen values of latency or cost, whose tails are long. Where no value
    differs from the others of its sample the interval is a point.

    Args:
        new: one.
        old: the other.
        missed: share of such intervals that may miss the difference; 5 % of 95 % intervals do.

    Raises:
        ConfigError: a sample has fewer than two values, or no finite mean and spread.
    """
    for name, sample in (("new", new), ("old", old)):
        _check(name, sample)
    change = new.mean - old.mean
    error2 = new.error2 + old.error2
    if not error2:
        return MeanDifference(change=change, low=change, high=change)
    half = student_quantile(1 - missed / 2, _degrees(new, old)) * math.sqrt(error2)
    return MeanDifference(change=change, low=change - half, high=change + half)


def _degrees(new: Sample, old: Sample) -> float:
    share = new.error2 / (new.error2 + old.error2)
    return 1 / (share**2 / (new.size - 1) + (1 - share) ** 2 / (old.size - 1))


def _check(name: str, sample: Sample) -> None:
    if sample.size < 2:
        raise ConfigError(name, sample.size, "give a sample of two values or more")
    if not (math.isfinite(sample.mean) and 0 <= sample.sd < math.inf):
        raise ConfigError(name, (sample.mean, sample.sd), "give a finite mean and a spread of 0 or more")
