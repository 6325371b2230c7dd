"""What each kind of recommendation claims of a change, how surely, and how changes are compared for it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from inframind.advisor.options.config import AnalysisConfig
from inframind.advisor.options.effect import Effect
from inframind.advisor.options.logs import Array
from inframind.traces.advice import METRICS, Metric, RecommendationKind
from inframind.traces.student import student_quantile

_PLACE: Mapping[Metric, int] = {metric: place for place, metric in enumerate(METRICS)}
_LEAST_DEGREES = 2


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that is claimed: that a combination of changes is above some number.

    Attributes:
        gain_M: weight of each metric's change.
        least: the number.
    """

    gain_M: Array
    least: float = 0.0

    def mean(self, effect: Effect) -> float:
        """By how much it is estimated to be above."""
        return float(self.gain_M @ effect.change_M) - self.least

    def error(self, effect: Effect) -> float:
        """Standard error of that."""
        return float(np.sqrt(self.gain_M @ effect.covariance_MM @ self.gain_M))

    def sureness(self, effect: Effect) -> float:
        """How many standard errors it is above."""
        error = self.error(effect)
        return self.mean(effect) / error if error > 0 else (np.inf if self.mean(effect) > 0 else 0.0)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a kind of recommendation claims of a change.

    Attributes:
        goal: what it is after; the change with the greatest lower bound of it is the best.
        provided: what must hold beside it.
        worthwhile: least of the goal that is worth a person's time.
    """

    goal: Part
    provided: tuple[Part, ...]
    worthwhile: float

    def sureness(self, effect: Effect) -> float:
        """How many standard errors the weakest part of the claim is above what it must be."""
        return min(part.sureness(effect) for part in (self.goal, *self.provided))

    def score(self, effect: Effect, errors: float) -> float:
        """Lower bound of the goal."""
        return self.goal.mean(effect) - errors * self.goal.error(effect)

    def metrics(self) -> list[int]:
        """Places of the metrics that it rests on."""
        parts = (self.goal, *self.provided)
        return [place for place in range(len(METRICS)) if any(part.gain_M[place] for part in parts)]


def claim_of(kind: RecommendationKind, effect: Effect, config: AnalysisConfig) -> Claim:
    """What a kind claims of a change.

    ``highest_performance`` and ``model_switch``: more success. ``cheapest``: less cost, and success that does not fall
    by more than the margin. ``balanced``: ``success + t on_time - c cost / (cost before)`` rises, with t and c from the
    configuration: a run in time is worth something even when it is not right, and doubling the cost must bring c.
    """
    if kind == "cheapest":
        cost = float(effect.before_M[_PLACE["cost"]])
        saved = Part(_gain(cost=-1.0))
        kept = Part(_gain(success=1.0), -config.margin)
        return Claim(saved, (kept,), config.least_saving * cost)
    if kind == "balanced":
        return Claim(Part(_balanced(effect, config)), (), config.least_gain)
    return Claim(Part(_gain(success=1.0)), (), config.least_gain)


def objection_of(effect: Effect, metric: int, config: AnalysisConfig) -> str:
    """Why there is not enough evidence of one metric's change, or ""."""
    support = config.support
    if effect.unsupported > support.most_unsupported:
        return (
            f"not enough evidence: {effect.unsupported:.0%} of what it would do was never done, and more runs like "
            "these will not tell: raise policy.exploration"
        )
    if effect.blind_M[metric] > _MOST_BLIND:
        what = "a cost" if METRICS[metric] == "cost" else "a verdict"
        return (
            f"not enough evidence: of {effect.blind_M[metric]:.0%} of the runs that it concerns "
            f"no like has {what}"
        )
    if effect.doubts[metric]:
        return f"not enough evidence: {effect.doubts[metric]}"
    size, least = float(effect.size_M[metric]), support.least_effective_size
    if size < least:
        said = f"not enough evidence: {size:.0f} decisions in effect, {least:.0f} are needed"
        return f"{said}: {_needed(effect, size, least, config)}"
    return ""


def _needed(effect: Effect, size: float, least: float, config: AnalysisConfig) -> str:
    """What would help: decisions in effect grow with the runs, and with how much is left to chance."""
    runs = effect.runs / (1 - config.choosing_share)
    if size < _FEWEST_TO_TELL:
        return "many times as many runs like these would tell, or more policy.exploration"
    more = _rounded_up(runs * (least / size - 1))
    return f"about {more:,} more runs like these would tell, fewer with more policy.exploration"


def _rounded_up(count: float) -> int:
    """To two digits."""
    digit: int = 10 ** max(len(str(int(count))) - 2, 0)
    return math.ceil(count / digit) * digit


_MOST_BLIND = 0.01
_FEWEST_TO_TELL = 2.0
"""Decisions in effect below which nobody can say how many there will be."""


def has_support(claim: Claim, effect: Effect, config: AnalysisConfig) -> bool:
    """Whether there is enough evidence of all that a claim rests on."""
    return not any(objection_of(effect, metric, config) for metric in claim.metrics())


def errors_at(delta: float, effect: Effect, metrics: list[int]) -> float:
    """Standard errors on either side of an interval that misses with probability delta."""
    size = min((float(effect.size_M[metric]) for metric in metrics), default=0.0)
    return _quantile(1 - delta / 2, max(int(size) - 1, _LEAST_DEGREES))


_quantile = lru_cache(maxsize=4096)(student_quantile)


def _gain(**worth: float) -> Array:
    return np.array([worth.get(metric, 0.0) for metric in METRICS])


def _balanced(effect: Effect, config: AnalysisConfig) -> Array:
    cost = float(effect.before_M[_PLACE["cost"]])
    per_cost = config.cost_worth / cost if cost > 0 else 0.0
    return _gain(success=1.0, on_time=config.on_time_worth, cost=-per_cost)
