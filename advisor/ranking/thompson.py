"""Contextual Thompson sampling over recommendations: draw a world from what is believed, recommend what is best in it.

The worth of a recommendation is its reward, `inframind.rewards.feedback.outcome`: accepted +1, rejected -1, reliability
improved +0.5, well-formed +0.1. It is linear in the columns with normal noise, weights as in
`inframind.advisor.ranking.belief`: an exact posterior, the same in whatever order and portions lessons come. What was
ignored has no reward and leaves no trace in it.

Source: Agrawal and Goyal, "Thompson sampling for contextual bandits with linear payoffs", ICML 2013; the deviations of
segments are a random-effects model, the mixture over scales a spike and slab in spirit (George and McCulloch 1993).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from inframind.advisor.ranking.belief import OWN, Belief, Posterior, PriorConfig, Sums, log_chance
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
    """Standard deviation of a reward around its mean; 1 where a coin decides between +1 and -1."""

    curiosity: float = 0.3
    """Factor on posterior standard deviations in draws. 1 is Thompson sampling as it is published, for which regret is
    bounded; applications differ so much from each other that people's verdicts explore by themselves, and with 1 a
    tenth of first places is given away over the first 200 recommendations."""

    def __post_init__(self) -> None:
        for name in ("noise", "curiosity"):
            if not getattr(self, name) > 0:
                raise ConfigError(
                    f"advisor.ranking.thompson.{name}", getattr(self, name), "use a positive number"
                )


class ThompsonSampling:
    """A chooser that recommends what is best in a world drawn from what it believes.

    Args:
        config: what it believes beforehand.
    """

    name = "thompson"

    def __init__(self, config: ThompsonConfig | None = None) -> None:
        self._config = config or ThompsonConfig()
        self._book = LessonBook()
        self._sums: dict[str, tuple[Array, Array]] = {}
        self._stale: set[str] = set()
        self._belief: Belief | None = None

    @property
    def labels(self) -> int:
        """Verdicts that were learned."""
        return len(self._book)

    @property
    def belief(self) -> Belief:
        """Of rewards, after all lessons so far."""
        for segment in sorted(self._stale):
            self._sums[segment] = self._summed(Table.of(self._book.of(segment)))
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

    def _summed(self, table: Table) -> tuple[Array, Array]:
        weight = self._config.noise**-2
        scaled_BD = weight * table.features_BD
        return scaled_BD.T @ table.features_BD, scaled_BD.T @ table.rewards_B

    def _believed(self) -> Belief:
        segments = self._book.segments
        columns = len(COLUMNS)
        gram_SDD = np.array([self._sums[one][0] for one in segments]).reshape(-1, columns, columns)
        moment_SD = np.array([self._sums[one][1] for one in segments]).reshape(-1, columns)
        sums = Sums(gram_SDD.sum(axis=0), gram_SDD[:, OWN, :], moment_SD)
        scales = self._config.prior.scales
        posteriors = [Posterior.of(sums, *self._config.prior.precisions(scale)) for scale in scales]
        log_chances = [
            log_chance(scale, posterior.log_volume, posterior.gain)
            for scale, posterior in zip(scales, posteriors, strict=True)
        ]
        return Belief.of(self._book.places, posteriors, log_chances)
