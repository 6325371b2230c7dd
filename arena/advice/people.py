"""Hidden people: what they make of a recommendation, by tastes that nobody who recommends is shown.

A person accepts with probability ``sigmoid(utility / noise)``: a sum of how they like the kind of change, what it
promises of success, cost and latency, and whether it moves them to another model; the same by segment, with weights
that differ from person to person. One person in five is inattentive and never says anything.

**How often people accept what is in any order.** About a third of what attentive people are shown, between what is
known of automatic suggestions to developers: 27 % of completions (Ziegler et al., MAPS 2022), 37 % of pull requests
by bots (Wyrich et al., BotSE 2021). `RELUCTANCE` is set for that, and for nothing else: tastes are round numbers that
were written down before there was anything that ranks.

**How consistent they are.** With `NOISE` somebody who knew everybody's chances would have 2.2 times as much accepted
as is in any order; with twice that, 1.9 times. So nobody can double acceptance among people who hardly know what they
want, and benchmarks say what share of the possible was gained.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from inframind.advisor.ranking.changes import rules_of, switches_model
from inframind.errors import ConfigError
from inframind.traces.advice import Metric, Prediction, Recommendation, RecommendationKind

RELUCTANCE = 1.6
"""What anything is less than wanted, in units of utility."""
NOISE = 0.5
"""Scale of the logistic noise in a decision, in units of utility."""
PEOPLE_PER_SEGMENT = 5
ATTENTIVE_PER_SEGMENT = 4
SUCCESS_STEP, COST_STEP, LATENCY_STEP = 0.05, 0.1, 0.1
"""Five points of success, and a tenth of cost or latency, are one unit of what people weigh."""
UNSURE = 0.5
"""What a promise counts whose interval holds 0."""
OWN_SPREAD, OWN_LEVEL = 0.25, 0.4
"""Of a person's weights around the segment's (of the logarithm), and of their reluctance."""


@dataclass(frozen=True, kw_only=True)
class Taste:
    """What a segment's people weigh, in units of utility.

    Attributes:
        segment: its name.
        kinds: how they like each kind of change; 0 unless given.
        success: per five points of success.
        cost: per tenth of the cost that is saved.
        latency: per tenth of the latency that is saved.
        switching: for being moved to other models.
    """

    segment: str
    kinds: Mapping[RecommendationKind, float] = field(default_factory=dict)
    success: float
    cost: float
    latency: float
    switching: float = 0.0


TASTES: tuple[Taste, ...] = (
    Taste(segment="thrifty", kinds={"cheapest": 1.0}, success=0.5, cost=1.0, latency=0.1),
    Taste(segment="performance", kinds={"highest_performance": 1.0}, success=1.5, cost=0.1, latency=0.25),
    Taste(segment="wary", kinds={"balanced": 0.5}, success=0.75, cost=0.25, latency=0.25, switching=-2.0),
    Taste(segment="even-minded", kinds={"balanced": 1.5}, success=0.75, cost=0.4, latency=0.4),
)
"""Four segments."""
SEGMENTS: tuple[str, ...] = tuple(taste.segment for taste in TASTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody who is asked to accept recommendations.

    Attributes:
        name: of the person.
        taste: what they weigh.
        reluctance: what anything is less than wanted.
        noise: scale of the logistic noise in what they do.
        attentive: whether they ever say anything.
    """

    name: str
    taste: Taste
    reluctance: float = RELUCTANCE
    noise: float = NOISE
    attentive: bool = True

    @property
    def segment(self) -> str:
        """The segment that they say they belong to."""
        return self.taste.segment

    def utility(self, made: Recommendation) -> float:
        """How much they want it."""
        taste = self.taste
        promised = (
            taste.success * _promised(made, "success") / SUCCESS_STEP
            - taste.cost * _relative(made, "cost") / COST_STEP
            - taste.latency * _relative(made, "latency_s") / LATENCY_STEP
        )
        switching = taste.switching * switches_model(rules_of(made.rules))
        return taste.kinds.get(made.kind, 0.0) + promised + switching - self.reluctance

    def chance(self, made: Recommendation) -> float:
        """With which probability they accept it."""
        if not self.attentive:
            return 0.0
        return 1 / (1 + math.exp(-self.utility(made) / self.noise))


def crowd(
    rng: np.random.Generator, tastes: Sequence[Taste] = TASTES, *, noise: float = NOISE
) -> tuple[Person, ...]:
    """Five people of every segment, one of whom says nothing."""
    return tuple(
        _somebody(taste, number, noise, rng) for taste in tastes for number in range(PEOPLE_PER_SEGMENT)
    )


def person_of(segment: str, rng: np.random.Generator) -> Person:
    """An attentive person of a segment.

    Raises:
        ConfigError: there is no such segment.
    """
    for taste in TASTES:
        if taste.segment == segment:
            return _somebody(taste, 0, NOISE, rng)
    raise ConfigError("segment", segment, f"use one of: {', '.join(SEGMENTS)}")


def _somebody(taste: Taste, number: int, noise: float, rng: np.random.Generator) -> Person:
    success, cost, latency = np.exp(OWN_SPREAD * rng.standard_normal(3))
    own = Taste(
        segment=taste.segment,
        kinds=taste.kinds,
        success=taste.success * float(success),
        cost=taste.cost * float(cost),
        latency=taste.latency * float(latency),
        switching=taste.switching,
    )
    return Person(
        name=f"{taste.segment}-{number}",
        taste=own,
        reluctance=RELUCTANCE + OWN_LEVEL * float(rng.standard_normal()),
        noise=noise,
        attentive=number < ATTENTIVE_PER_SEGMENT,
    )


def _promised(made: Recommendation, metric: Metric) -> float:
    """What is promised of a share, as far as people believe it."""
    prediction = made.prediction(metric)
    return 0.0 if prediction is None else _believed(prediction)


def _relative(made: Recommendation, metric: Metric) -> float:
    """The same of seconds or cost, against what they were."""
    prediction = made.prediction(metric)
    if prediction is None or not prediction.before > 0:
        return 0.0
    return _believed(prediction) / prediction.before


def _believed(prediction: Prediction) -> float:
    if not prediction.is_enough:
        return 0.0
    is_sure = prediction.low > 0 or prediction.high < 0
    return prediction.change if is_sure else UNSURE * prediction.change
