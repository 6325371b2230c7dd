"""What was measured of something that was applied, as its event says it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from inframind.traces.advice import AdviceEvent

UNTOLD_ERROR = 0.1
"""Standard error of a measurement that names no interval: that of some forty labelled runs on either side."""
_Z = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """How reliable runs were after a change, less before.

    Attributes:
        at_s: when that was found, seconds since the Unix epoch.
        change: difference of the shares of success, -1 to 1.
        improved: whether that is above 0 for sure.
        error: standard error of the difference, as its 95 % interval has it.
    """

    at_s: float
    change: float
    improved: bool
    error: float = UNTOLD_ERROR


def measured_by(event: AdviceEvent) -> Measured | None:
    """What an event ``measured`` says; None where it cannot be read. ``low``, ``high`` and ``improved`` may lack."""
    change, low, high = (_share(event.facts.get(name)) for name in ("change", "low", "high"))
    if change is None:
        return None
    improved = bool(event.facts.get("improved", low is not None and low > 0))
    return Measured(at_s=event.at_s, change=change, improved=improved, error=_error(change, low, high))


def _share(value: object) -> float | None:
    is_share = isinstance(value, int | float) and math.isfinite(value) and -1 <= value <= 1
    return float(value) if isinstance(value, int | float) and is_share else None


def _error(change: float, low: float | None, high: float | None) -> float:
    if low is None:
        return UNTOLD_ERROR
    return max(change - low if high is None else (high - low) / 2, 0.0) / _Z
