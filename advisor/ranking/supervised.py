"""A small supervised ranker: how likely is it that an option is accepted? Useful from ten verdicts on.

Logistic regression of accepted or rejected on the columns, drawn towards nothing as far as the evidence wants
(`inframind.advisor.ranking.belief`): ridge strengths are weighed by their marginal likelihoods in Laplace's
approximation, which needs no data held out and so no more than ten of them. Kinds have the widest prior, in common and
for each segment, so that ten verdicts of a segment order the four kinds before anything finer is learned.

Options are ordered by draws of the fitted log odds from their posterior: what the labels cannot tell apart comes in any
order, instead of always in the same one.

Source: MacKay, "The evidence framework applied to classification networks", Neural Computation 1992.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from inframind.advisor.ranking.belief import OWN, Belief, Equations, Posterior, PriorConfig, Sums
from inframind.advisor.ranking.features import COLUMNS
from inframind.advisor.ranking.lessons import LessonBook, Table
from inframind.advisor.ranking.protocol import Array, Lesson
from inframind.errors import ConfigError
from inframind.router.learning.ridge_logistic import logistic

Places = NDArray[np.intp]

_MOST_ROUNDS = 100
_CLOSE_ENOUGH = 1e-5
"""Gain in nats below which a step of Newton's method ends it; the step after it would gain its square."""
_SHORTEST_STEP = 1e-6
_LEAST_CURVATURE = 1e-10


@dataclass(frozen=True, kw_only=True)
class SupervisedConfig:
    """What the ranker believes beforehand, and how far back it looks.

    Raises:
        ConfigError: fewer than ten lessons.
    """

    prior: PriorConfig = field(default_factory=lambda: PriorConfig(spread=2.0))
    """Of weights, in log odds."""
    most_lessons: int = 300
    """Latest verdicts that it is fitted to: a ranker for few of them."""

    curiosity: float = 0.3
    """Factor on posterior standard deviations in draws; see `inframind.advisor.ranking.thompson.ThompsonConfig`."""

    def __post_init__(self) -> None:
        if not self.curiosity > 0:
            raise ConfigError("advisor.ranking.supervised.curiosity", self.curiosity, "use a positive number")
        if self.most_lessons < 10:
            raise ConfigError(
                "advisor.ranking.supervised.most_lessons", self.most_lessons, "use at least 10 verdicts"
            )


@dataclass(frozen=True, slots=True, eq=False)
class _Samples:
    """Labels, those of a segment side by side.

    Attributes:
        features_BD: columns.
        own_BE: of these, those with deviations.
        accepted_B: 1 or 0.
        place_B: of each one's segment.
        bounds: first label of each segment, and the number of labels.
    """

    features_BD: Array
    own_BE: Array
    accepted_B: Array
    place_B: Places
    bounds: Sequence[int]

    @classmethod
    def of(cls, lessons: Sequence[Lesson]) -> tuple[_Samples, dict[str, int]]:
        """Of lessons in the order of segments, and the place of each of these."""
        table = Table.of(lessons)
        segments, starts_S, place_B = np.unique(
            [lesson.segment for lesson in lessons], return_index=True, return_inverse=True
        )
        samples = cls(
            table.features_BD,
            table.features_BD[:, OWN],
            table.accepted_B,
            place_B,
            [*starts_S.tolist(), len(lessons)],
        )
        return samples, {str(segment): place for place, segment in enumerate(segments)}

    @property
    def segments(self) -> int:
        """Number of segments."""
        return len(self.bounds) - 1

    def logits(self, shared_D: Array, own_SE: Array) -> Array:
        """Log odds (B)."""
        found_B: Array = self.features_BD @ shared_D + (self.own_BE * own_SE[self.place_B]).sum(axis=1)
        return found_B

    def log_likelihood(self, logits_B: Array) -> float:
        """Of the labels."""
        return float(self.accepted_B @ logits_B - np.logaddexp(0.0, logits_B).sum())

    def sums(self, logits_B: Array, before_B: Array) -> Sums:
        """Of the quadratic that fits the likelihood at these log odds best, above those beforehand (B)."""
        chance_B = logistic(logits_B)
        weight_B = np.maximum(chance_B * (1 - chance_B), _LEAST_CURVATURE)
        target_B = weight_B * (logits_B - before_B) + self.accepted_B - chance_B
        own_BE, columns = weight_B[:, None] * self.own_BE, self.features_BD.shape[1]
        of_each = [slice(first, end) for first, end in itertools.pairwise(self.bounds)]
        cross_SED = [own_BE[here].T @ self.features_BD[here] for here in of_each]
        moment_SD = [target_B[here] @ self.features_BD[here] for here in of_each]
        return Sums(
            self.features_BD.T @ (weight_B[:, None] * self.features_BD),
            np.array(cross_SED).reshape(-1, len(OWN), columns),
            np.array(moment_SD).reshape(-1, columns),
        )


_NOTHING = _Samples(
    np.zeros((0, len(COLUMNS))), np.zeros((0, len(OWN))), np.zeros(0), np.zeros(0, dtype=np.intp), (0,)
)


class SupervisedRanker:
    """A chooser that learns which options are accepted.

    Args:
        config: what it believes beforehand.
    """

    name = "supervised"

    def __init__(self, config: SupervisedConfig | None = None) -> None:
        self._config = config or SupervisedConfig()
        self._book = LessonBook()
        self._belief: Belief | None = None

    @property
    def labels(self) -> int:
        """Verdicts that were learned."""
        return len(self._book)

    @property
    def belief(self) -> Belief:
        """Of log odds of acceptance, after all lessons so far."""
        if self._belief is None:
            self._belief = self._fitted()
        return self._belief

    def learn(self, lessons: Sequence[Lesson]) -> None:
        """Learn verdicts; see `inframind.advisor.ranking.protocol.Chooser.learn`."""
        if self._book.add(lessons):
            self._belief = None

    def scores(self, features_KD: Array, segment: str, rng: np.random.Generator) -> Array:
        """Log odds of acceptance of options (K), one draw."""
        drawn_K: Array = self.draws(features_KD, segment, 1, rng)[0]
        return drawn_K

    def draws(self, features_KD: Array, segment: str, count: int, rng: np.random.Generator) -> Array:
        """Log odds of acceptance of options, as many draws (N, K)."""
        return self.belief.draws(features_KD, segment, count, rng, curiosity=self._config.curiosity)

    def acceptance(self, features_KD: Array, segment: str) -> Array:
        """Expected probability that options are accepted (K)."""
        return logistic(self.belief.means(features_KD, segment))

    def _fitted(self) -> Belief:
        lessons = self._book.latest(self._config.most_lessons)
        samples, places = _Samples.of(lessons) if lessons else (_NOTHING, {})
        prior, fits = self._config.prior, []
        for scale in prior.scales:
            around_D = prior.means(scale)
            posterior, height = _laplace(samples, *prior.precisions(scale), around_D)
            fits.append((posterior, posterior.log_volume + height))
        return Belief.of(places, prior.scales, *zip(*fits, strict=True))


def _laplace(samples: _Samples, prior_D: Array, prior_E: Array, around_D: Array) -> tuple[Posterior, float]:
    """The normal that fits the posterior at its peak, by Newton's method, and the logarithm of the peak's height.

    Raises:
        ArithmeticError: the peak was not reached, as happens to columns that are not finite.
    """

    def height(logits_B: Array, moved: Array, own: Array) -> float:
        penalty = prior_D @ moved**2 + (own**2 @ prior_E).sum()
        return samples.log_likelihood(logits_B) - float(penalty) / 2

    moved, own = np.zeros(len(prior_D)), np.zeros((samples.segments, len(prior_E)))
    before_B = now_B = samples.features_BD @ around_D
    now = height(now_B, moved, own)
    for _ in range(_MOST_ROUNDS):
        sums = samples.sums(now_B, before_B)
        best_moved, best_own = Equations.of(sums, prior_D, prior_E).solution()
        to_moved, to_own, to_B = best_moved - moved, best_own - own, samples.logits(best_moved, best_own)
        to_B += before_B - now_B
        step = 1.0
        while (
            then := height(now_B + step * to_B, moved + step * to_moved, own + step * to_own)
        ) < now and step > _SHORTEST_STEP:
            step /= 2
        if then - now < _CLOSE_ENOUGH:
            return Posterior.of(sums, prior_D, prior_E, around_D), now
        now, now_B = then, now_B + step * to_B
        moved, own = moved + step * to_moved, own + step * to_own
    raise ArithmeticError(f"no peak within {_MOST_ROUNDS} rounds of Newton's method")
