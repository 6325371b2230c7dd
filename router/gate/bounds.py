"""How far a candidate's difference can be from its estimate, whenever one looks.

Two kinds, for two questions. *Is there harm?* must be answered at once, whenever it shows: a mixture boundary, which
never ends (`alarm_interval`). *Is it good enough?* is asked of a trial whose end is known: no more is to be spent
on early answers than the trial is long, and a boundary that is as high on the first day as on the last is reached by
the last more often (`trial_low`, `trial_chance`).
"""

from __future__ import annotations

import math
from statistics import NormalDist

from inframind.router.confidence import Interval, mixture_half_width
from inframind.router.gate.evidence import Scores

_NORMAL = NormalDist()
TUNED_FOR = 100.0
"""Information at which alarms are closest: 400 runs at equal shares."""
_PRUDENCE = 0.25
"""Variance that is added, that of one run of a fair coin: where nothing has happened yet, something may."""


def alarm_interval(scores: Scores, *, delta: float) -> Interval:
    """Ends of a difference, each wrong with probability delta at most, however often one looks.

    The one-sided boundary of `inframind.router.confidence.mean_interval` in the martingale's own time, its variance.
    """
    if not scores.information:
        return Interval(-math.inf, math.inf)
    variance = scores.variance + _PRUDENCE
    tuned_for = max(TUNED_FOR * variance / scores.information, 1.0)
    half_width = mixture_half_width(variance, 1.0, delta=delta, tuned_for=tuned_for, side="low")
    half = float(half_width) * variance / scores.information
    return Interval(scores.gap - half, scores.gap + half)


def trial_low(scores: Scores, *, delta: float, planned: float) -> float:
    """Lower end of a difference, wrong with probability delta at any look of a trial that ends by ``planned``.

    A Brownian motion exceeds z_(1 - delta / 2) times its deviation at the end *ever* before with probability delta
    (reflection principle; Lévy's inequality for sums). The trial's variance at its end is what it is per information
    so far, times the information planned.
    """
    if not scores.information:
        return -math.inf
    return scores.gap - _barrier(scores, delta, planned) / scores.information


def trial_chance(scores: Scores, *, delta: float, planned: float, worst: float, hoped: float) -> float:
    """Chance that `trial_low` is above ``worst`` at the trial's end, were the difference ``hoped`` from now on."""
    left = planned - scores.information
    if not scores.information:
        return 1.0
    missing = _barrier(scores, delta, planned) - (scores.total - worst * scores.information)
    if left <= 0:
        return float(missing < 0)
    expected = (hoped - worst) * left
    return _NORMAL.cdf((expected - missing) / math.sqrt(_per_information(scores) * left))


def information_needed(
    scores: Scores, *, delta: float, worst: float, hoped: float, power: float = 0.8
) -> float:
    """Planned information at which a candidate that is better by ``hoped`` is promoted with this probability, or so."""
    z = _NORMAL.inv_cdf(1 - delta / 2) + _NORMAL.inv_cdf(power)
    return _per_information(scores) * (z / (hoped - worst)) ** 2


def _barrier(scores: Scores, delta: float, planned: float) -> float:
    return _NORMAL.inv_cdf(1 - delta / 2) * math.sqrt(_per_information(scores) * planned)


def _per_information(scores: Scores) -> float:
    return (scores.variance + _PRUDENCE) / scores.information
