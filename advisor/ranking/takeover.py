"""Who is in charge: nobody below ten verdicts, then the supervised ranker, and the bandit by evidence.

Both learners say of every verdict, before they learn it, how likely acceptance was; a prediction costs the squared
difference to what happened (Brier 1950). What is compared is the mean over the latest verdicts of the difference
``bandit - ranker``, with its standard error:

* the bandit takes over once that is below ``tolerance`` for sure: it predicts people as well as the ranker does, and
  what it has beyond that, curiosity and an eye on reliability, comes free;
* the ranker takes back over once it is above ``tolerance`` for sure;
* in between everything stays as it is.

Verdicts are compared in the order in which they came, as acceptances alone: what is measured later does not rewrite who
was in charge. Learners are fitted anew after every third part more of verdicts (each one while there are few), so
that reading a long history stays cheap.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np

from inframind.advisor.ranking.protocol import Array, Lesson, Verdict
from inframind.errors import ConfigError

Learner = Literal["supervised", "thompson"]
_PORTION = 3


@dataclass(frozen=True, kw_only=True)
class TakeoverConfig:
    """When who is in charge.

    Raises:
        ConfigError: a number out of its range.
    """

    labels: int = 10
    """Verdicts below which the order is left to chance."""
    compared: int = 30
    """Predictions of each learner before they are compared."""
    window: int = 200
    """Latest predictions that are compared."""
    tolerance: float = 0.02
    """Difference of mean squared errors that does not matter; a coin's error is 0.25."""
    sureness: float = 1.28
    """Standard errors that make it sure."""

    def __post_init__(self) -> None:
        for name, least in (("labels", 1), ("compared", 2), ("window", 2)):
            if getattr(self, name) < least:
                raise ConfigError(
                    f"advisor.ranking.takeover.{name}", getattr(self, name), f"use at least {least}"
                )
        if self.window < self.compared:
            fix = f"use at least compared, {self.compared}: fewer are never enough"
            raise ConfigError("advisor.ranking.takeover.window", self.window, fix)
        for name in ("tolerance", "sureness"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"advisor.ranking.takeover.{name}", getattr(self, name), "use at least 0")


class Predictor(Protocol):
    """A learner whose predictions can be compared."""

    def learn(self, lessons: Sequence[Lesson]) -> None:
        """Learn verdicts."""
        ...

    def acceptance(self, features_KD: Array, segment: str) -> Array:
        """Expected probability that options are accepted (K)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How both learners predicted the latest verdicts.

    Attributes:
        in_charge: of both.
        compared: number of verdicts that both predicted.
        supervised: mean squared error of the ranker, over the window.
        thompson: the same of the bandit.
        error: standard error of their difference.
    """

    in_charge: Learner = "supervised"
    compared: int = 0
    supervised: float = 0.0
    thompson: float = 0.0
    error: float = math.inf

    def __str__(self) -> str:
        if not self.compared:
            return f"{self.in_charge}: nothing compared yet"
        gap = self.thompson - self.supervised
        return (
            f"{self.in_charge}: squared error of the ranker {self.supervised:.3f}, of the bandit {self.thompson:.3f} "
            f"({gap:+.3f} ± {self.error:.3f}, {self.compared} verdicts)"
        )


def next_in_charge(in_charge: Learner, differences_B: Array, config: TakeoverConfig) -> Learner:
    """Who is in charge after these differences of squared errors, bandit less ranker, latest last (B)."""
    latest_B = differences_B[-config.window :]
    if len(differences_B) < config.compared:
        return in_charge
    gap, around = float(latest_B.mean()), config.sureness * _standard_error(latest_B)
    if gap + around < config.tolerance:
        return "thompson"
    return "supervised" if gap - around > config.tolerance else in_charge


class Takeover:
    """Lets two learners predict verdicts before they learn them, and says who predicts well enough to be in charge.

    Args:
        config: when.
        supervised: makes a ranker that knows nothing.
        thompson: makes a bandit that knows nothing.
    """

    def __init__(
        self,
        config: TakeoverConfig,
        *,
        supervised: Callable[[], Predictor],
        thompson: Callable[[], Predictor],
    ) -> None:
        self._config = config
        self._makers: dict[Learner, Callable[[], Predictor]] = {
            "supervised": supervised,
            "thompson": thompson,
        }
        self._seen: list[tuple[str, Verdict]] = []
        self._learners: dict[Learner, Predictor] = {}
        self._losses: dict[Learner, list[float]] = {}
        self._in_charge: Learner = "supervised"
        self._learned = self._next_fit = 0
        self._restart()

    def compare(self, lessons: Sequence[Lesson]) -> Comparison:
        """Of all verdicts so far, in the order in which they came.

        What was compared before is not compared again, unless a verdict turns up that came before those.
        """
        said = [(lesson.recommendation_id, lesson.verdict) for lesson in lessons]
        if said[: len(self._seen)] != self._seen:
            self._restart()
        first = max(len(self._seen), self._config.labels)
        while first < len(lessons):
            end = self._fit(lessons, first)
            self._predict([_verdict_only(lesson) for lesson in lessons[first:end]])
            first = min(end, len(lessons))
        self._seen = said
        return self._comparison()

    def _restart(self) -> None:
        self._seen = []
        self._learners = {name: make() for name, make in self._makers.items()}
        self._losses = {name: [] for name in self._makers}
        self._in_charge = "supervised"
        self._learned = self._next_fit = 0

    def _fit(self, lessons: Sequence[Lesson], first: int) -> int:
        """Let both learn what came before ``first`` if it is time; returns how far to predict from that."""
        if first >= self._next_fit:
            news = [_verdict_only(lesson) for lesson in lessons[self._learned : first]]
            for learner in self._learners.values():
                learner.learn(news)
            self._learned = first
            self._next_fit = first + max(first // _PORTION, 1)
        return self._next_fit

    def _predict(self, lessons: Sequence[Lesson]) -> None:
        accepted_B = np.array([lesson.verdict == "accepted" for lesson in lessons], dtype=np.float64)
        for name, learner in self._learners.items():
            self._losses[name] += ((_predictions(learner, lessons) - accepted_B) ** 2).tolist()
        differences_B = np.subtract(self._losses["thompson"], self._losses["supervised"])
        for end in range(len(differences_B) - len(lessons) + 1, len(differences_B) + 1):
            self._in_charge = next_in_charge(self._in_charge, differences_B[:end], self._config)

    def _comparison(self) -> Comparison:
        supervised_B, thompson_B = (
            np.array(self._losses[name][-self._config.window :]) for name in ("supervised", "thompson")
        )
        if not len(supervised_B):
            return Comparison(in_charge=self._in_charge)
        return Comparison(
            in_charge=self._in_charge,
            compared=len(self._losses["supervised"]),
            supervised=float(supervised_B.mean()),
            thompson=float(thompson_B.mean()),
            error=_standard_error(thompson_B - supervised_B),
        )


def _predictions(learner: Predictor, lessons: Sequence[Lesson]) -> Array:
    predicted_B = np.zeros(len(lessons))
    segments = np.array([lesson.segment for lesson in lessons])
    features_BD = np.stack([lesson.features_D for lesson in lessons])
    for segment in np.unique(segments).tolist():
        here = segments == segment
        predicted_B[here] = learner.acceptance(features_BD[here], segment)
    return predicted_B


def _verdict_only(lesson: Lesson) -> Lesson:
    return replace(lesson, reliability_change=None, improved=False)


def _standard_error(values_B: Array) -> float:
    return float(values_B.std(ddof=1)) / math.sqrt(len(values_B)) if len(values_B) > 1 else math.inf
