"""Numbers as low, middle and high."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from inframind.router.latency import estimate_tokens
from inframind.traces.records import Trajectory

_DIGITS = 2


@dataclass(frozen=True, slots=True)
class Cuts:
    """Where low ends and high begins: the thirds of all runs, failed or not, rounded to two digits.

    All runs, for the thirds of failures would move with what fails; rounded, for tomorrow's runs are a little
    different, and ``high`` should mean the same.

    Attributes:
        low_below: numbers below it are low.
        high_from: numbers from it on are high.
    """

    low_below: float
    high_from: float

    @classmethod
    def of(cls, numbers: Sequence[float]) -> Cuts:
        """The thirds of numbers; at least one."""
        low, high = np.quantile(np.asarray(numbers, dtype=np.float64), [1 / 3, 2 / 3]).tolist()
        return cls(_rounded(low), _rounded(high))

    def level(self, number: float) -> str:
        """``low``, ``middle`` or ``high``."""
        if number < self.low_below:
            return "low"
        return "high" if number >= self.high_from and self.high_from > self.low_below else "middle"


def prompt_tokens_of(run: Trajectory) -> float:
    """Rough number of tokens of the question, as rules count them; kept where its text was not."""
    read = run.question_read.get("prompt_tokens")
    return float(estimate_tokens([run.question])) if read is None else read


def load_of(run: Trajectory) -> float | None:
    """Requests per slot, mean of the endpoints as the run's first decision saw them, or None where it is not known."""
    loads = next((made.seen["loads"] for made in run.decisions if made.seen.get("loads")), None)
    if loads is None:
        return None
    return fmean(_requests(load) / max(1, load.get("max_concurrency") or 1) for load in loads.values())


def _requests(load: dict[str, float | None]) -> float:
    there = max(load.get("running") or 0, load.get("in_flight") or 0)
    return there + (load.get("waiting") or 0) + (load.get("waiting_here") or 0)


def _rounded(number: float) -> float:
    if number == 0 or not math.isfinite(number):
        return number
    return round(number, _DIGITS - 1 - math.floor(math.log10(abs(number))))
