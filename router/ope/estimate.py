"""From contributions to an estimate with an interval, or to the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from inframind.errors import ConfigError
from inframind.router.confidence import TUNED_FOR, Interval, Moments, Side, mean_interval, student_interval
from inframind.router.ope.batch import Array, Ints


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Estimate:
    """A value, and what it is the mean of.

    R = runs, in ascending order of their numbers.

    Attributes:
        method: name of the estimator.
        contribution_R: of each run; their mean is the value, and they are independent of each other.
        run_R: number of each run.
        effective_size: decisions that the target would have had to make itself to know as much.
        unsupported: probability that the target gives to what the logging policy never did.
    """

    method: str
    contribution_R: Array
    run_R: Ints
    effective_size: float
    unsupported: float

    @property
    def value(self) -> float:
        """The estimate."""
        return float(self.contribution_R.mean())

    @property
    def moments(self) -> Moments:
        """Of the contributions, for `inframind.router.confidence`."""
        return Moments.of(self.contribution_R)

    @property
    def standard_error(self) -> float:
        """Of the value."""
        return float(np.sqrt(self.moments.variance / len(self.contribution_R)))

    def interval(self, *, delta: float = 0.05, side: Side = "both") -> Interval:
        """For one look at a number of runs that was settled beforehand."""
        return student_interval(self.moments, delta=delta, side=side)

    def running_interval(
        self, *, delta: float = 0.05, tuned_for: float = TUNED_FOR, side: Side = "both"
    ) -> Interval:
        """For looks after every run, as by a gate: see `mean_interval`."""
        return mean_interval(self.moments, delta=delta, tuned_for=tuned_for, side=side)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoSupport:
    """Why nothing is concluded: the traces say too little of this policy.

    Attributes:
        method: name of the estimator.
        reason: for people, with what would help.
        effective_size: as in `Estimate`.
        unsupported: as in `Estimate`.
    """

    method: str
    reason: str
    effective_size: float
    unsupported: float


@dataclass(frozen=True, kw_only=True)
class SupportRule:
    """When the traces say enough.

    Raises:
        ConfigError: a negative size, or a share outside [0, 1].
    """

    least_effective_size: float = 100.0
    """Decisions, in effect, below which nothing is concluded."""
    most_unsupported: float = 0.001
    """Largest probability that the target may give to what the logging policy never did; each such choice could be
    worth anything, so the estimate is off by up to this much."""

    def __post_init__(self) -> None:
        if not self.least_effective_size >= 0:
            raise ConfigError("least_effective_size", self.least_effective_size, "use at least 0")
        if not 0 <= self.most_unsupported <= 1:
            raise ConfigError("most_unsupported", self.most_unsupported, "use a share in [0, 1]")

    def objection(self, effective_size: float, unsupported: float) -> str:
        """What is wrong; "" where nothing is."""
        if unsupported > self.most_unsupported:
            return (
                f"gives {unsupported:.1%} of its probability to what the logging policy never did: "
                "log with more exploration, or evaluate it with less freedom"
            )
        if effective_size < self.least_effective_size:
            return (
                f"effective sample size {effective_size:.0f} is below {self.least_effective_size:.0f}: "
                "wait for more labelled runs, or explore more"
            )
        return ""

    def judge(self, estimate: Estimate) -> Estimate | NoSupport:
        """The estimate, if it has support."""
        reason = self.objection(estimate.effective_size, estimate.unsupported)
        if not reason:
            return estimate
        return NoSupport(
            method=estimate.method,
            reason=reason,
            effective_size=estimate.effective_size,
            unsupported=estimate.unsupported,
        )


def by_run(contribution_N: Array, run_N: Ints, weight_N: Array) -> tuple[Array, Ints]:
    """Contributions (R) of whole runs, and their numbers (R): independent, and of the same weighted mean.

    The mean ``V = sum_i v_i c_i / sum_i v_i`` is a quotient of two means over runs, of ``S = sum v c`` and
    ``M = sum v``; a run's contribution is ``V + (S - V M) / mean(M)``, the quotient's influence (delta method).

    Raises:
        ConfigError: nothing has any weight.
    """
    if not weight_N.sum() > 0:
        raise ConfigError("weight_N", float(weight_N.sum()), "give at least one decision that counts")
    run_R, place_N = np.unique(run_N, return_inverse=True)
    sums_R = np.bincount(place_N, weight_N * contribution_N)
    weight_R = np.bincount(place_N, weight_N)
    value = sums_R.sum() / weight_R.sum()
    return value + (sums_R - value * weight_R) / weight_R.mean(), run_R


def difference(new: Estimate, old: Estimate) -> Estimate:
    """The value of the new less that of the old, from the same runs.

    What both make of a run differs far less than runs do, so that the difference is known far better than each.

    Raises:
        ConfigError: they are not of the same runs.
    """
    if not np.array_equal(new.run_R, old.run_R):
        raise ConfigError("old", f"{len(old.run_R)} runs", "estimate both from the same runs")
    return Estimate(
        method=new.method if new.method == old.method else f"{new.method} - {old.method}",
        contribution_R=new.contribution_R - old.contribution_R,
        run_R=new.run_R,
        effective_size=min(new.effective_size, old.effective_size),
        unsupported=max(new.unsupported, old.unsupported),
    )
