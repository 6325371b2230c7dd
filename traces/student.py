"""Quantiles of Student's t distribution, for whatever degrees of freedom a mean has."""

from __future__ import annotations

import math
from statistics import NormalDist

_MANY_DEGREES, _HALVINGS, _TERMS = 200, 50, 20


def student_quantile(probability: float, degrees: float) -> float:
    """Quantile of Student's t distribution, to 1e-8 of it, and to 1e-6 in its outermost millionth.

    Bisection on the distribution function, an incomplete beta function; from 200 degrees on the first three terms of
    the expansion around the normal quantile.

    Source: Abramowitz and Stegun, 26.7.1 and 26.7.5.

    Args:
        probability: in [0.5, 1).
        degrees: of freedom, at least 1; not necessarily whole.
    """
    if degrees >= _MANY_DEGREES:
        return _expanded(NormalDist().inv_cdf(probability), degrees)
    low, high = 0.0, math.pi / 2
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        is_below = _central_share(middle, degrees) < 2 * probability - 1
        low, high = (middle, high) if is_below else (low, middle)
    return math.sqrt(degrees) * math.tan(low)


def _expanded(z: float, n: float) -> float:
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / n + second / n**2 + third / n**3


def _central_share(angle: float, degrees: float) -> float:
    """``P(|t| < sqrt(degrees) tan(angle))``."""
    sine2, cosine2 = math.sin(angle) ** 2, math.cos(angle) ** 2
    if sine2 * (degrees + 5) < 3:
        return _beta_share(sine2, cosine2, 0.5, degrees / 2)
    return 1 - _beta_share(cosine2, sine2, degrees / 2, 0.5)


def _beta_share(x: float, rest: float, a: float, b: float) -> float:
    """The incomplete beta function I_x(a, b) with ``rest = 1 - x``, for x below ``(a + 1) / (a + b + 2)``.

    Source: its continued fraction, DLMF 8.17.22, from the inside out.
    """
    if x == 0:
        return 0.0
    fraction = 1.0
    for m in range(_TERMS, 0, -1):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m - 1) * (a + b + m - 1) * x / ((a + 2 * m - 2) * (a + 2 * m - 1))
        fraction = 1 + odd / (1 + even / fraction)
    scale = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(rest)
    return math.exp(scale) / (a * fraction)
