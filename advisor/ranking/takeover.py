"""Who is in charge: nobody below ten verdicts, then the supervised ranker, and the bandit by evidence.

Both learners say of every verdict, before they learn it, how likely acceptance was; a prediction costs the squared
difference to what happened (Brier 1950). What is compared is the mean over the latest verdicts of the difference
``bandit - ranker``, with its standard error:

* the bandit takes over once that is below ``tolerance`` for sure: it predicts people as well as the ranker does, and
  what it has beyond that, curiosity and an eye on reliability, comes free;
* the ranker takes back over once it is above ``tolerance`` for sure;
* in between everything stays as it is.

Verdicts are compared in the order in which they came, as acceptances alone: what is measured later does not rewrite who
was in charge. Learners are fitted anew whenever verdicts have doubled, and nothing is predicted that no window holds
any more: who reads a long history for the first time fits each of them once, or twice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from inframind.advisor.ranking.protocol import Array, Lesson, Verdict
from inframind.errors import ConfigError

Learner = Literal["supervised", "thompson"]
Places = NDArray[np.intp]


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


def in_charge_after(differences_B: Array, config: TakeoverConfig) -> Learner:
    """Who is in charge after these differences of squared errors, bandit less ranker, latest last (B).

    Looks back from every one of them, once there are enough, over the window before it; the latest look that made
    something sure decides.
    """
    looks_B = np.arange(config.compared, len(differences_B) + 1)
    gap_B, around_B = _gaps(differences_B, looks_B, config)
    is_better_B = gap_B + around_B < config.tolerance
    is_sure_B = is_better_B | (gap_B - around_B > config.tolerance)
    if not is_sure_B.any():
        return "supervised"
    return "thompson" if is_better_B[np.flatnonzero(is_sure_B)[-1]] else "supervised"


def _gaps(differences_B: Array, looks_L: Places, config: TakeoverConfig) -> tuple[Array, Array]:
    """Means (L) over the window before each look, and how far they may be off (L)."""
    sums_B, squares_B = (
        np.concatenate([[0.0], np.cumsum(values_B)]) for values_B in (differences_B, differences_B**2)
    )
    first_L = np.maximum(looks_L - config.window, 0)
    size_L = looks_L - first_L
    mean_L = (sums_B[looks_L] - sums_B[first_L]) / size_L
    scatter_L = np.maximum(squares_B[looks_L] - squares_B[first_L] - size_L * mean_L**2, 0.0)
    return mean_L, config.sureness * np.sqrt(scatter_L / (size_L - 1) / size_L)


def checkpoints(verdicts: int, config: TakeoverConfig) -> tuple[int, ...]:
    """After how many verdicts learners are fitted, to predict those up to the next: the few that still matter.

    Whenever they have doubled; the first one is the latest that leaves a whole window to be predicted.
    """
    found = [config.labels]
    while (following := 2 * found[-1]) < verdicts:
        found.append(following)
    settled = [one for one in found if one <= verdicts - config.window]
    return tuple(found[max(len(settled) - 1, 0) :])


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
        self._losses: dict[Learner, Array] = {}
        self._learned = self._first = self._predicted = 0

    def compare(self, lessons: Sequence[Lesson]) -> Comparison:
        """Of all verdicts so far, in the order in which they came.

        What was compared before is not compared again, unless a verdict turns up that came before those.
        """
        said = [(lesson.recommendation_id, lesson.verdict) for lesson in lessons]
        if said[: len(self._seen)] != self._seen or not self._seen:
            self._restart()
        self._seen = said
        if len(lessons) > self._config.labels:
            self._go_on(lessons, checkpoints(len(lessons), self._config))
        return self._comparison()

    def _restart(self) -> None:
        self._learners = {name: make() for name, make in self._makers.items()}
        self._losses = {name: np.zeros(0) for name in self._makers}
        self._learned = self._first = self._predicted = 0

    def _go_on(self, lessons: Sequence[Lesson], fits: Sequence[int]) -> None:
        """Predict what is new, and forget what came before the first of the fits."""
        self._losses = {
            name: losses_B[max(fits[0] - self._first, 0) :] for name, losses_B in self._losses.items()
        }
        self._first, self._predicted = fits[0], max(self._predicted, fits[0])
        for fit, end in zip(fits, [*fits[1:], len(lessons)], strict=True):
            if self._predicted < end:
                self._fit(lessons, fit)
                self._predict([_verdict_only(lesson) for lesson in lessons[self._predicted : end]])
                self._predicted = end

    def _fit(self, lessons: Sequence[Lesson], until: int) -> None:
        """Let both learn what came before some verdict."""
        if until > self._learned:
            news = [_verdict_only(lesson) for lesson in lessons[self._learned : until]]
            for learner in self._learners.values():
                learner.learn(news)
            self._learned = until

    def _predict(self, lessons: Sequence[Lesson]) -> None:
        accepted_B = np.array([lesson.verdict == "accepted" for lesson in lessons], dtype=np.float64)
        for name, learner in self._learners.items():
            losses_B = (_predictions(learner, lessons) - accepted_B) ** 2
            self._losses[name] = np.concatenate([self._losses[name], losses_B])

    def _comparison(self) -> Comparison:
        if not self._predicted:
            return Comparison()
        differences_B = self._losses["thompson"] - self._losses["supervised"]
        supervised_B, thompson_B = (
            self._losses[name][-self._config.window :] for name in ("supervised", "thompson")
        )
        return Comparison(
            in_charge=in_charge_after(differences_B, self._config),
            compared=len(differences_B),
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
    is_measured = lesson.improved or lesson.reliability_change is not None
    return replace(lesson, reliability_change=None, improved=False) if is_measured else lesson


def _standard_error(values_B: Array) -> float:
    return float(values_B.std(ddof=1)) / math.sqrt(len(values_B)) if len(values_B) > 1 else math.inf
