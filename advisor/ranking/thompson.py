"""Contextual Thompson sampling over recommendations: draw a world from what is believed, recommend what is best in it.

The worth of a recommendation is its reward, `inframind.rewards.feedback.outcome`: accepted +1, rejected -1, reliability
improved +0.5, well-formed +0.1. It is linear in the columns with normal noise, weights as in
`inframind.advisor.ranking.belief`, and the noise's variance is inverse gamma beforehand. With spreads in proportion to
the noise that is conjugate: an exact posterior, the same in whatever order and portions lessons come. With B lessons,
v lessons that the guess s at the noise is worth, and R what weights leave unexplained of the sum of squares, halved:

    log marginal likelihood = log volume - (v + B) / 2 log(1 + R / (v s^2 / 2))
    variance of the noise ~ (v s^2 / 2 + R) / ((v + B) / 2)

What was ignored has no reward and leaves no trace in it.

Source: Agrawal and Goyal, "Thompson sampling for contextual bandits with linear payoffs", ICML 2013; the deviations of
segments are a random-effects model, the mixture over scales a spike and slab in spirit (George and McCulloch 1993).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from inframind.advisor.ranking.belief import OWN, Belief, Posterior, PriorConfig, Scale, Sums
from inframind.advisor.ranking.features import COLUMNS
from inframind.advisor.ranking.lessons import WELL_FORMED, LessonBook, Table
from inframind.advisor.ranking.protocol import Array, Lesson
from inframind.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class ThompsonConfig:
    """What the bandit believes beforehand.

    Raises:
        ConfigError: noise that is not positive.
    """

    prior: PriorConfig = field(default_factory=PriorConfig)
    """Of weights, in units of reward."""
    noise: float = 0.9
    """Standard deviation of a reward around its mean, as a guess; 1 where a coin decides between +1 and -1."""
    noise_known: float = 20.0
    """Verdicts that this guess is worth: how consistent people are is learned as well."""
    curiosity: float = 0.3
    """Factor on posterior standard deviations in draws, where it is known that something tells options apart; close to
    1 while that is in doubt, see `inframind.advisor.ranking.belief.Belief.draws`. 1 is Thompson sampling as it is
    published, for which regret is bounded; applications differ so much from each other that people's verdicts explore
    by themselves, and with 1 a tenth of first places is given away over the first 200 recommendations."""

    def __post_init__(self) -> None:
        for name in ("noise", "noise_known", "curiosity"):
            if not getattr(self, name) > 0:
                raise ConfigError(
                    f"advisor.ranking.thompson.{name}", getattr(self, name), "use a positive number"
                )


@dataclass(frozen=True, slots=True, eq=False)
class _Moments:
    """What a segment's lessons come to.

    Attributes:
        gram_DD: columns by columns.
        moment_D: columns by rewards.
        square: rewards by rewards.
        lessons: number of them.
    """

    gram_DD: Array
    moment_D: Array
    square: float
    lessons: int


class ThompsonSampling:
    """A chooser that recommends what is best in a world drawn from what it believes.

    Args:
        config: what it believes beforehand.
    """

    name = "thompson"

    def __init__(self, config: ThompsonConfig | None = None) -> None:
        self._config = config or ThompsonConfig()
        self._book = LessonBook()
        self._sums: dict[str, _Moments] = {}
        self._stale: set[str] = set()
        self._belief: Belief | None = None

    @property
    def labels(self) -> int:
        """Verdicts that were learned."""
        return len(self._book)

    @property
    def belief(self) -> Belief:
        """Of rewards, after all lessons so far."""
        self._sum_up(sorted(self._stale))
        self._stale.clear()
        if self._belief is None:
            self._belief = self._believed()
        return self._belief

    def learn(self, lessons: Sequence[Lesson]) -> None:
        """Learn verdicts; see `inframind.advisor.ranking.protocol.Chooser.learn`."""
        touched = self._book.add(lessons)
        if touched:
            self._stale |= touched
            self._belief = None

    def scores(self, features_KD: Array, segment: str, rng: np.random.Generator) -> Array:
        """Rewards of options (K) in one world."""
        drawn_K: Array = self.draws(features_KD, segment, 1, rng)[0]
        return drawn_K

    def draws(self, features_KD: Array, segment: str, count: int, rng: np.random.Generator) -> Array:
        """Rewards of options in as many worlds (N, K)."""
        return self.belief.draws(features_KD, segment, count, rng, curiosity=self._config.curiosity)

    def acceptance(self, features_KD: Array, segment: str) -> Array:
        """Expected probability that options are accepted (K), where nothing is added for reliability."""
        rewards_K = self.belief.means(features_KD, segment)
        return np.clip((rewards_K - WELL_FORMED + 1) / 2, 0.0, 1.0)

    def _sum_up(self, segments: Sequence[str]) -> None:
        lessons = [self._book.of(segment) for segment in segments]
        if not lessons:
            return
        table = Table.of([lesson for of_one in lessons for lesson in of_one])
        first = 0
        for segment, of_one in zip(segments, lessons, strict=True):
            here = slice(first, first := first + len(of_one))
            x_BD, y_B = table.features_BD[here], table.rewards_B[here]
            self._sums[segment] = _Moments(x_BD.T @ x_BD, x_BD.T @ y_B, float(y_B @ y_B), len(y_B))

    def _believed(self) -> Belief:
        of_each = [self._sums[segment] for segment in self._book.segments]
        columns = len(COLUMNS)
        gram_SDD = np.array([one.gram_DD for one in of_each]).reshape(-1, columns, columns)
        moment_SD = np.array([one.moment_D for one in of_each]).reshape(-1, columns)
        square, lessons = sum(one.square for one in of_each), sum(one.lessons for one in of_each)
        scales = self._config.prior.scales
        fits = [self._fitted(scale, gram_SDD, moment_SD, square, lessons) for scale in scales]
        return Belief.of(self._book.places, scales, *zip(*fits, strict=True))

    def _fitted(
        self, scale: Scale, gram_SDD: Array, moment_SD: Array, square: float, lessons: int
    ) -> tuple[Posterior, float]:
        """Posterior and the logarithm of the marginal likelihood for one scale; see the module."""
        config, around_D = self._config, self._config.prior.means(scale)
        prior_D, prior_E = (config.noise**2 * one for one in config.prior.precisions(scale))
        gram_DD, moved_SD = gram_SDD.sum(axis=0), gram_SDD @ around_D
        sums = Sums(gram_DD, gram_SDD[:, OWN, :], moment_SD - moved_SD)
        posterior = Posterior.of(sums, prior_D, prior_E, around_D)
        above = square - float((2 * moment_SD - moved_SD).sum(axis=0) @ around_D)
        guessed, unexplained = config.noise_known * config.noise**2 / 2, above / 2 - posterior.gain
        worth = (config.noise_known + lessons) / 2
        log_likelihood = posterior.log_volume - worth * math.log1p(unexplained / guessed)
        return posterior.widened((guessed + unexplained) / worth), log_likelihood
