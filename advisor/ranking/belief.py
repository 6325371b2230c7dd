"""What is believed of columns' weights: shared by all segments, and how each segment deviates from that.

A segment s values an option with columns x (D) at ``x w + x_E d_s``: w is shared, d_s is the segment's own on E of the
columns. Both are normal around 0 beforehand. What all segments have in common is so learned from all of them, and what
one has of its own from its own verdicts alone, as far as these say more than the prior's reluctance to believe them.

How far weights are from 0 at all is not known either. A belief is therefore a mixture over *scales*: that nothing but
the level of acceptance tells options apart (a small scale), or that something does (a large one), of the shared
weights and of the deviations; data decide by their marginal likelihood. While options are accepted alike, the small
scale gains, weights stay within their own uncertainty of each other, and every option keeps its share of first places.

For one scale everything is exact and closed. With ``G_s = X_s' V X_s``, ``b_s = X_s' V y_s`` of a segment's lessons
(V: inverse variances) and prior precisions P, Q:

    M_s = G_s[E, E] + Q                        B_s = M_s^-1 G_s[E, :]
    L   = P + sum_s G_s - G_s[:, E] B_s        m   = L^-1 sum_s (b_s - B_s' b_s[E])
    w ~ N(m, L^-1)                             d_s | w ~ N(M_s^-1 b_s[E] - B_s w, M_s^-1)

S = segments, D = columns, E = columns with deviations, K = options, N = draws.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from inframind.advisor.ranking.features import COLUMNS, PLACES, Group
from inframind.advisor.ranking.protocol import Array
from inframind.errors import ConfigError

_SHARED: Mapping[Group, float] = {
    "level": 1.0,
    "kind": 0.6,
    "change": 0.2,
    "cluster": 0.2,
    "pattern": 0.15,
    "configuration": 0.15,
    "domain": 0.2,
    "promise": 0.3,
    "history": 0.2,
}
_OWN: Mapping[str, float] = {
    "level": 0.4,
    "is_cheapest": 0.8,
    "is_highest_performance": 0.8,
    "is_balanced": 0.8,
    "is_model_switch": 0.8,
    "switches_model": 0.6,
    "success_gain": 0.5,
    "on_time_gain": 0.5,
    "latency_s_gain": 0.5,
    "cost_gain": 0.5,
    "bargain": 0.5,
}
OWN = np.array([PLACES[name] for name in _OWN])
"""Places of the columns with deviations; the level is the first of both."""
_JITTER = 1e-9


@dataclass(frozen=True, slots=True)
class Scale:
    """How far weights may be from 0, of what is usual.

    Attributes:
        shared: factor on the spread of shared weights, but the level's.
        own: factor on the spread of segments' deviations, but the level's.
        chance: probability of this scale beforehand, up to a common factor.
    """

    shared: float
    own: float
    chance: float


def _default_scales() -> tuple[Scale, ...]:
    return (Scale(0.05, 0.05, 1.0), Scale(1.0, 0.05, 0.5), Scale(0.05, 1.0, 0.5), Scale(1.0, 1.0, 1.0))


@dataclass(frozen=True, kw_only=True)
class PriorConfig:
    """What is believed of weights beforehand.

    Raises:
        ConfigError: a number that is not positive, or no scale.
    """

    scales: tuple[Scale, ...] = field(default_factory=_default_scales)
    """What may hold; data decide."""
    spread: float = 1.0
    """Factor on all spreads; those of log odds are about twice those of rewards."""

    def __post_init__(self) -> None:
        if not self.scales:
            raise ConfigError("advisor.ranking.prior.scales", (), "give at least one scale")
        for scale in self.scales:
            if min(scale.shared, scale.own, scale.chance) <= 0:
                raise ConfigError("advisor.ranking.prior.scales", scale, "use positive numbers")
        if not self.spread > 0:
            raise ConfigError("advisor.ranking.prior.spread", self.spread, "use a positive factor")

    def precisions(self, scale: Scale) -> tuple[Array, Array]:
        """Of the shared weights (D) and of the deviations (E), for one scale."""
        shared_D = np.array([_SHARED[column.group] for column in COLUMNS])
        own_E = np.array(list(_OWN.values()))
        shared_D[1:] *= scale.shared
        own_E[1:] *= scale.own
        return (self.spread * shared_D) ** -2, (self.spread * own_E) ** -2


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """What lessons come to, for each segment.

    Attributes:
        gram_SDD: ``G_s``.
        moment_SD: ``b_s``.
    """

    gram_SDD: Array
    moment_SD: Array


@dataclass(frozen=True, slots=True, eq=False)
class Posterior:
    """Shared weights and deviations after some lessons, for one scale; see the module for the letters.

    Attributes:
        mean_D: m.
        covariance_DD: L^-1.
        own_SE: M_s^-1 b_s[E].
        own_covariance_SEE: M_s^-1.
        pull_SED: B_s.
        prior_own_E: variances of deviations beforehand, for segments without lessons.
        log_volume: ``(log det prior precision - log det posterior precision) / 2``.
        gain: ``b' Lambda^-1 b / 2`` of all weights together: what the lessons' moments explain.
    """

    mean_D: Array
    covariance_DD: Array
    own_SE: Array
    own_covariance_SEE: Array
    pull_SED: Array
    prior_own_E: Array
    log_volume: float
    gain: float

    @classmethod
    def of(cls, sums: Sums, shared_D: Array, own_E: Array) -> Posterior:
        """After lessons of these sums, before which precisions were these."""
        gram, moment = sums.gram_SDD, sums.moment_SD
        cross_SED = gram[:, OWN, :]
        inner_SEE = cross_SED[:, :, OWN] + np.diag(own_E)
        covariance_SEE: Array = np.linalg.inv(inner_SEE).astype(np.float64, copy=False)
        pull_SED = covariance_SEE @ cross_SED
        own_SE = np.einsum("sef,sf->se", covariance_SEE, moment[:, OWN])
        precision_DD = np.diag(shared_D) + (gram - np.swapaxes(cross_SED, 1, 2) @ pull_SED).sum(axis=0)
        precision_DD = (precision_DD + precision_DD.T) / 2
        left_D = (moment - np.einsum("sed,se->sd", pull_SED, moment[:, OWN])).sum(axis=0)
        covariance_DD = np.linalg.inv(precision_DD)
        mean_D = covariance_DD @ left_D
        before = np.log(shared_D).sum() + len(gram) * np.log(own_E).sum()
        after = np.linalg.slogdet(precision_DD)[1] + np.linalg.slogdet(inner_SEE)[1].sum()
        return cls(
            mean_D=mean_D,
            covariance_DD=(covariance_DD + covariance_DD.T) / 2,
            own_SE=own_SE,
            own_covariance_SEE=covariance_SEE,
            pull_SED=pull_SED,
            prior_own_E=1 / own_E,
            log_volume=float(before - after) / 2,
            gain=float(left_D @ mean_D + (moment[:, OWN] * own_SE).sum()) / 2,
        )

    def deviations(self) -> Array:
        """Means of the segments' deviations (S, E)."""
        return self.own_SE - self.pull_SED @ self.mean_D

    def means(self, features_KD: Array, place: int | None) -> Array:
        """Expected values of options (K) for a segment, or for one that nothing is known of."""
        shared_K: Array = features_KD @ self.mean_D
        return shared_K if place is None else shared_K + features_KD[:, OWN] @ self.deviations()[place]

    def covariance(self, features_KD: Array, place: int | None) -> Array:
        """Of options' values (K, K)."""
        own_KE = features_KD[:, OWN]
        if place is None:
            found: Array = features_KD @ self.covariance_DD @ features_KD.T
            return found + (own_KE * self.prior_own_E) @ own_KE.T
        seen_KD = features_KD - own_KE @ self.pull_SED[place]
        around = own_KE @ self.own_covariance_SEE[place] @ own_KE.T
        together: Array = seen_KD @ self.covariance_DD @ seen_KD.T + around
        return together


@dataclass(frozen=True, slots=True, eq=False)
class Belief:
    """A mixture of posteriors over scales.

    Attributes:
        places: place of each segment with lessons.
        posteriors: one per scale.
        chances: probability of each, summing to 1.
    """

    places: Mapping[str, int]
    posteriors: tuple[Posterior, ...]
    chances: Array

    @classmethod
    def of(
        cls, places: Mapping[str, int], posteriors: Sequence[Posterior], log_chances: Sequence[float]
    ) -> Belief:
        """Of posteriors and the logarithms of their chances, up to a common constant."""
        logs = np.array(log_chances)
        chances = np.exp(logs - logs.max())
        return cls(places, tuple(posteriors), chances / chances.sum())

    def means(self, features_KD: Array, segment: str) -> Array:
        """Expected values of options (K)."""
        place = self.places.get(segment)
        of_each = np.stack([posterior.means(features_KD, place) for posterior in self.posteriors])
        expected_K: Array = self.chances @ of_each
        return expected_K

    def draws(self, features_KD: Array, segment: str, count: int, rng: np.random.Generator) -> Array:
        """Independent draws of the options' values (N, K); in each, one scale and one set of weights holds."""
        place, options = self.places.get(segment), len(features_KD)
        which_N = rng.choice(len(self.posteriors), size=count, p=self.chances)
        noise_NK = rng.standard_normal((count, options))
        drawn_NK = np.empty((count, options))
        for number in np.unique(which_N).tolist():
            posterior, here = self.posteriors[number], which_N == number
            # Options that look the same are one value; the jitter lets chance decide which of them comes first.
            covariance_KK = posterior.covariance(features_KD, place) + _JITTER * np.eye(options)
            factor_KK = np.linalg.cholesky(covariance_KK)
            drawn_NK[here] = posterior.means(features_KD, place) + noise_NK[here] @ factor_KK.T
        return drawn_NK


def log_chance(scale: Scale, *terms: float) -> float:
    """Logarithm of a scale's chance after lessons, up to a constant: prior chance and marginal likelihood."""
    return math.log(scale.chance) + sum(terms)
