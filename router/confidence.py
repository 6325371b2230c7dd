"""Intervals for means: those that stay valid however often one looks, and those of a sample whose size was settled.

Whoever watches a running mean and stops when its interval says so needs a *confidence sequence*: intervals I_1, I_2,
... with ``P(the mean is in every I_n) >= 1 - delta``. A fixed-size interval that is looked at again and again is wrong
far more often than it says: at 95 %, looking after every one of 1,000 values, in about half of all cases.

======================================  ====================================  ==========================  ============
function                                valid                                 under continuous peeking    half-width
======================================  ====================================  ==========================  ============
`mean_interval`, `difference_interval`  for many values, any distribution     yes, asymptotically         1.6 x normal
`bounded_mean_interval`,                for any number of values of a known   yes, always                 2.5 x normal
`bounded_difference_interval`           range
`student_interval`                      for many values, or normal ones       no: one look, at a size     1.0 x normal
                                        that was settled beforehand
======================================  ====================================  ==========================  ============

Half-widths are those at a few thousand values of deviation about a half of their range. Everything here is pure, and
keeps no sample: a mean's `Moments` are enough, and those of parts can be joined.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inframind.errors import ConfigError
from inframind.traces.student import student_quantile

Array = NDArray[np.float64]
Side = Literal["both", "low", "high"]
"""Which ends an interval has: a one-sided one is closer on its side, and infinite on the other."""

FEWEST = 30
"""Values below which no asymptotic interval says anything."""
TUNED_FOR = 1000.0
"""Sample size at which confidence sequences are narrowest unless told otherwise; a factor of 3 off costs 5 %."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A range of plausible values.

    Attributes:
        low: lower end, or minus infinity.
        high: upper end, or infinity.
    """

    low: float
    high: float

    @property
    def width(self) -> float:
        """``high - low``."""
        return self.high - self.low

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class Moments:
    """Running sums of a sample, enough for every interval here. The empty sample is ``Moments()``.

    Attributes:
        n: number of values.
        mean: their mean; 0 for none.
        squares: sum of squared deviations from the mean.
        surprise: sum of ``(x_i - mean of those before)^2``, 0 being expected of the first: what makes Bernstein's bound
            survive peeking, as every term's expectation was known before its value.
    """

    n: int = 0
    mean: float = 0.0
    squares: float = 0.0
    surprise: float = 0.0

    @classmethod
    def of(cls, values: ArrayLike) -> Moments:
        """Of values in the order in which they came."""
        x = np.asarray(values, dtype=np.float64)
        if not len(x):
            return cls()
        expected = np.concatenate([[0.0], np.cumsum(x)[:-1] / np.arange(1, len(x))])
        mean = float(x.mean())
        return cls(len(x), mean, float(((x - mean) ** 2).sum()), float(((x - expected) ** 2).sum()))

    def add(self, value: float) -> Moments:
        """With one value more."""
        n, gap = self.n + 1, value - self.mean
        mean = self.mean + gap / n
        return Moments(n, mean, self.squares + gap * (value - mean), self.surprise + gap * gap)

    def joined(self, other: Moments) -> Moments:
        """Of both samples together; their surprises add up, as each expected from its own past."""
        n = self.n + other.n
        if not n:
            return self
        gap = other.mean - self.mean
        return Moments(
            n,
            self.mean + gap * other.n / n,
            self.squares + other.squares + gap * gap * self.n * other.n / n,
            self.surprise + other.surprise,
        )

    @property
    def variance(self) -> float:
        """Of one value, with ``n - 1`` in the denominator; infinite below two values, which say nothing of it."""
        return self.squares / (self.n - 1) if self.n > 1 else math.inf


# Valid however often one looks ------------------------------------------------


def mean_interval(
    moments: Moments,
    *,
    delta: float,
    tuned_for: float = TUNED_FOR,
    range_width: float | None = None,
    side: Side = "both",
) -> Interval:
    """Asymptotic confidence sequence for a mean: looked at after every value, wrong with probability delta at most.

    ``mean ± sigma sqrt(2 (n rho^2 + 1) / (n^2 rho^2) log(o))``, ``o = sqrt(n rho^2 + 1) / delta``: Robbins' mixture, by
    which a Brownian motion is compared with those of a drift drawn from a normal distribution of deviation rho. For one
    side the drift is drawn from half of it, and ``(1 + o) / 2`` takes the place of o (the half-normal mixture is
    ``2 exp(x^2 / 2) Phi(x)``, at least ``2 exp(x^2 / 2) - 1``).

    Valid in the limit of late starts, for independent values (or martingale differences) whose variance settles, as
    the central limit theorem is; says nothing below `FEWEST` values. For values such as importance-weighted rewards,
    whose rare large ones make up the variance, give it some hundreds before anything is concluded.

    Source: Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, "Time-uniform central limit theory and asymptotic
    confidence sequences", Annals of Statistics 2024, theorem 2.2.

    Args:
        moments: of the values so far.
        delta: chance of ever being wrong, in (0, 1); for one side, on that side.
        tuned_for: sample size at which it is narrowest.
        range_width: largest difference of two values where there is one, such as 1 for successes. The sum of squares is
            then taken to be larger by twice its square: without it thirty successes in a row had no variance, and
            shares of 0.9 to 0.99 are missed in 10 to 76 % of simulated runs; with it in less than 5 %, from 30 on.
        side: which ends.

    Raises:
        ConfigError: delta, tuned_for or range_width is out of range.
    """
    _check(delta, tuned_for, range_width)
    if moments.n < FEWEST:
        return Interval(-math.inf, math.inf)
    variance = _prudent_variance(moments, range_width)
    half = mixture_half_width(moments.n, variance, delta=delta, tuned_for=tuned_for, side=side)
    return _around(moments.mean, float(half), side)


def bounded_mean_interval(
    moments: Moments, *, delta: float, range_width: float, side: Side = "both"
) -> Interval:
    """Empirical-Bernstein confidence sequence for a mean of bounded values: exact at every sample size.

    ``mean ± u(V) / n`` with V the `Moments.surprise`, values scaled to a range of 1, and the stitched boundary
    ``u(v) = sqrt(k1^2 v l + k2^2 l^2) + k2 l``, ``l = 1.4 log log(2 v) + log(zeta(1.4) / (a log(2)^1.4))``, ``v >= 1``,
    ``k1 = (2^(1/4) + 2^(-1/4)) / sqrt 2``, ``k2 = (sqrt 2 + 1) / 2``, ``a = delta / 2``, or delta for one side.

    Valid for values in a range that holds 0 (whose first expectation is 0), independent or not: what is covered is the
    mean of their conditional expectations, so that a world that drifts does it no harm.

    Source: Howard, Ramdas, McAuliffe and Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence sequences",
    Annals of Statistics 2021, theorems 1 and 4.

    Args:
        moments: of the values so far.
        delta: chance of ever being wrong, in (0, 1); for one side, on that side.
        range_width: largest difference of two values.
        side: which ends.

    Raises:
        ConfigError: delta or range_width is out of range.
    """
    _check(delta, TUNED_FOR, range_width)
    if not moments.n:
        return Interval(-math.inf, math.inf)
    half = bernstein_half_width(
        moments.n, moments.surprise, range_width=range_width, side_delta=_per_side(delta, side)
    )
    return _around(moments.mean, float(half), side)


Pair = tuple[Moments, Moments]
"""Samples of a new and an old thing, taken side by side."""


def difference_interval(
    *strata: Pair,
    delta: float,
    tuned_for: float = TUNED_FOR,
    range_width: float | None = None,
    side: Side = "both",
) -> Interval:
    """Asymptotic confidence sequence for the mean of a new less that of an old thing, of samples drawn side by side.

    Within a stratum the share of traffic that goes to the new must not change; give each share of a roll-out a stratum
    of its own, for the world changes between them, and a pooled difference would put that down to the new. The
    estimate is ``D = sum_k n_k D_k / n`` over strata of ``n_k`` values on both sides together, and its interval that of
    `mean_interval` at n values of variance ``sum_k n_k^2 (var_new / n_new + var_old / n_old)_k / n``. A stratum with
    fewer than two values on a side, or `FEWEST` where range_width is not given, is left out.

    Args:
        strata: samples of the new and the old, a pair per share of traffic.
        delta: chance of ever being wrong, in (0, 1); for one side, on that side.
        tuned_for: number of values on both sides at which it is narrowest.
        range_width: as for `mean_interval`; give it for successes, of which it needs fewer then.
        side: which ends.

    Raises:
        ConfigError: delta, tuned_for or range_width is out of range.
    """
    _check(delta, tuned_for, range_width)
    fewest = FEWEST if range_width is None else 2
    kept = [(new, old) for new, old in strata if min(new.n, old.n) >= fewest]
    n = sum(new.n + old.n for new, old in kept)
    if n < FEWEST:
        return Interval(-math.inf, math.inf)
    share = np.array([(new.n + old.n) / n for new, old in kept])
    gap = np.array([new.mean - old.mean for new, old in kept])
    squared_error = np.array(
        [sum(_prudent_variance(one, range_width) / one.n for one in pair) for pair in kept]
    )
    variance = n * float(share**2 @ squared_error)
    half = mixture_half_width(n, variance, delta=delta, tuned_for=tuned_for, side=side)
    return _around(float(share @ gap), float(half), side)


def bounded_difference_interval(
    new: Moments, old: Moments, *, delta: float, range_width: float, side: Side = "both"
) -> Interval:
    """Confidence sequence for a difference of two means of bounded values: exact at every pair of sample sizes.

    Both means' `bounded_mean_interval` at delta / 2, one taken from the other (union bound); so it is some 1.4 times
    as wide as it would have to be, and in return the shares of traffic may change as they like.

    Raises:
        ConfigError: delta or range_width is out of range.
    """
    _check(delta, TUNED_FOR, range_width)
    opposite: Side = {"both": "both", "low": "high", "high": "low"}[side]  # type: ignore[assignment]
    of_new = bounded_mean_interval(new, delta=delta / 2, range_width=range_width, side=side)
    of_old = bounded_mean_interval(old, delta=delta / 2, range_width=range_width, side=opposite)
    return Interval(of_new.low - of_old.high, of_new.high - of_old.low)


def mixture_half_width(
    n: ArrayLike, variance: ArrayLike, *, delta: float, tuned_for: float = TUNED_FOR, side: Side = "both"
) -> Array:
    """Half-width of `mean_interval` after n values of this variance; both broadcast."""
    n, variance = np.asarray(n, dtype=np.float64), np.asarray(variance, dtype=np.float64)
    grown = 1 + n * _best_spread(delta) / tuned_for
    odds = np.sqrt(grown) / delta
    log = np.log(odds if side == "both" else (1 + odds) / 2)
    return np.asarray(np.sqrt(2 * variance * grown / (grown - 1) / n * log))


def bernstein_half_width(
    n: ArrayLike, surprise: ArrayLike, *, range_width: float, side_delta: float
) -> Array:
    """Half-width of `bounded_mean_interval` after n values of this surprise, at ``side_delta`` per side."""
    n, surprise = np.asarray(n, dtype=np.float64), np.asarray(surprise, dtype=np.float64)
    v = np.maximum(surprise / range_width**2, 1.0)
    log = _STITCH * np.log(np.log(2 * v)) + math.log(_ZETA / (side_delta * math.log(2) ** _STITCH))
    return np.asarray(range_width * (np.sqrt(_K1**2 * v * log + (_K2 * log) ** 2) + _K2 * log) / n)


_STITCH = 1.4
_ZETA = 3.10555
"""Riemann's zeta at 1.4, rounded up: the sum over all epochs of the stitched boundary."""
_K1, _K2 = (2**0.25 + 2**-0.25) / math.sqrt(2), (math.sqrt(2) + 1) / 2


# Valid for a sample whose size was settled beforehand ------------------------------------------------


def student_interval(moments: Moments, *, delta: float, side: Side = "both") -> Interval:
    """Student's interval for a mean: ``mean ± t_(n-1) sqrt(variance / n)``. For reports; not to be peeked at.

    Exact for normal values; good for others when there are many. Infinite below two values.

    Raises:
        ConfigError: delta is out of range.
    """
    _check(delta, TUNED_FOR, None)
    if moments.n < 2:
        return Interval(-math.inf, math.inf)
    quantile = student_quantile(1 - _per_side(delta, side), moments.n - 1)
    return _around(moments.mean, quantile * math.sqrt(moments.variance / moments.n), side)


# Parts ------------------------------------------------


def _prudent_variance(moments: Moments, range_width: float | None) -> float:
    if range_width is None:
        return moments.variance
    return (moments.squares + _MORE_SQUARES * range_width**2) / moments.n


_MORE_SQUARES = 2.0


def _best_spread(delta: float) -> float:
    """``n rho^2`` that makes the mixture narrowest at n: the root of ``u = log(1 + u) - 2 log(delta)``."""
    spread = -2 * math.log(delta)
    for _ in range(_ROUNDS):
        spread = math.log1p(spread) - 2 * math.log(delta)
    return spread


_ROUNDS = 30


def _per_side(delta: float, side: Side) -> float:
    return delta / 2 if side == "both" else delta


def _around(mean: float, half: float, side: Side) -> Interval:
    low = -math.inf if side == "high" else mean - half
    high = math.inf if side == "low" else mean + half
    return Interval(low, high)


def _check(delta: float, tuned_for: float, range_width: float | None) -> None:
    if not 0 < delta < 1:
        raise ConfigError("delta", delta, "use a probability in (0, 1), such as 0.05")
    if not 1 <= tuned_for < math.inf:
        raise ConfigError("tuned_for", tuned_for, "use a number of values, such as 1000")
    if range_width is not None and not 0 < range_width < math.inf:
        raise ConfigError("range_width", range_width, "use a positive number, such as 1 for successes")
