"""What is believed of columns' weights: shared by all segments, and how each segment deviates from that.

A segment s values an option with columns x (D) at ``x w + x_E d_s``: w is shared, d_s is the segment's own on E of the
columns. What all segments have in common is so learned from all of them, and what
one has of its own from its own verdicts alone, as far as these say more than the prior's reluctance to believe them.

Both are normal beforehand, deviations around 0 and shared weights around means: what promises more is liked more.

How far weights are from these at all is not known either. A belief is therefore a mixture over *scales*: that nothing
but the level of acceptance tells options apart, promises included (a small scale), or that something does (a large
one), of the shared weights and of the deviations; data decide by their marginal likelihood. While options are accepted
alike, the small scale gains, weights stay within their own uncertainty of each other, and every option keeps its share
of first places. The more likely that is, the wider weights are drawn as well: see `Belief.draws`.

For one scale everything is exact and closed. With ``G_s = X_s' V X_s``, ``b_s = X_s' V y_s`` of a segment's lessons
(V: inverse variances) and prior precisions P, Q:

    M_s = G_s[E, E] + Q                        B_s = M_s^-1 G_s[E, :]
    L   = P + sum_s G_s - G_s[:, E] B_s        m   = L^-1 sum_s (b_s - B_s' b_s[E])
    w ~ N(m, L^-1)                             d_s | w ~ N(M_s^-1 b_s[E] - B_s w, M_s^-1)

Where shared weights are around u beforehand, ``y - X u`` stands for y, and u is added to m in the end.

S = segments, D = columns, E = columns with deviations, K = options, N = draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from inframind.advisor.ranking.features import COLUMNS, NAMES, PLACES, Group
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
_PROMISING: Mapping[str, float] = {
    "success_gain": 0.6,
    "cost_gain": 0.6,
    "latency_s_gain": 0.3,
    "bargain": 0.4,
}
"""Means of shared weights beforehand, in units of reward; those of other columns are 0. People want answers that are
right, cheap and quick, whoever gives them: a promise of ten points of success is worth about half of the way from a
rejection to indifference. That is a guess like any other, and is learned away where they turn out to want something
else."""
OWN = np.array([PLACES[name] for name in _OWN])
"""Places of the columns with deviations; the level is the first of both."""
_JITTER = 1e-9
_NEXT_TO_NOTHING = 0.001
"""A scale at which some thousands of verdicts still say less than the prior: options stay apart by chance alone."""


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

    @property
    def tells_apart(self) -> bool:
        """Whether anything but chance puts one option before another."""
        return max(self.shared, self.own) > _NEXT_TO_NOTHING


def _default_scales() -> tuple[Scale, ...]:
    least = _NEXT_TO_NOTHING
    return (
        Scale(least, least, 40.0),
        Scale(1.0, least, 0.5),
        Scale(least, 1.0, 2.0),
        Scale(1.0, 1.0, 1.0),
    )


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

    def means(self, scale: Scale) -> Array:
        """Of the shared weights (D), for one scale: 0 where nothing tells options apart."""
        factor = self.spread * scale.tells_apart
        return factor * np.array([_PROMISING.get(name, 0.0) for name in NAMES])

    def precisions(self, scale: Scale) -> tuple[Array, Array]:
        """Of the shared weights (D) and of the deviations (E), for one scale."""
        shared_D = np.array([_SHARED[column.group] for column in COLUMNS])
        own_E = np.array(list(_OWN.values()))
        shared_D[1:] *= scale.shared
        own_E[1:] *= scale.own
        return (self.spread * shared_D) ** -2, (self.spread * own_E) ** -2


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """What lessons come to.

    Attributes:
        gram_DD: ``sum_s G_s``.
        cross_SED: ``G_s[E, :]``.
        moment_SD: ``b_s``.
    """

    gram_DD: Array
    cross_SED: Array
    moment_SD: Array


@dataclass(frozen=True, slots=True, eq=False)
class Equations:
    """What shared weights have to fulfil once deviations are taken out; see the module for the letters.

    Attributes:
        precision_DD: L.
        left_D: ``L m``.
        inner_SEE: M_s.
        own_covariance_SEE: M_s^-1.
        own_SE: M_s^-1 b_s[E].
        pull_SED: B_s.
        prior_E: Q.
        prior_D: P.
    """

    precision_DD: Array
    left_D: Array
    inner_SEE: Array
    own_covariance_SEE: Array
    own_SE: Array
    pull_SED: Array
    prior_E: Array
    prior_D: Array

    @classmethod
    def of(cls, sums: Sums, prior_D: Array, prior_E: Array) -> Equations:
        """For lessons of these sums, before which precisions were these."""
        own_moment_SE = sums.moment_SD[:, OWN]
        inner_SEE = sums.cross_SED[:, :, OWN] + np.diag(prior_E)
        covariance_SEE: Array = np.linalg.inv(inner_SEE).astype(np.float64, copy=False)
        pull_SED = covariance_SEE @ sums.cross_SED
        taken_out_DD = np.tensordot(sums.cross_SED, pull_SED, axes=((0, 1), (0, 1)))
        precision_DD = np.diag(prior_D) + sums.gram_DD - taken_out_DD
        return cls(
            precision_DD=(precision_DD + precision_DD.T) / 2,
            left_D=sums.moment_SD.sum(axis=0) - np.tensordot(own_moment_SE, pull_SED, axes=((0, 1), (0, 1))),
            inner_SEE=inner_SEE,
            own_covariance_SEE=covariance_SEE,
            own_SE=(covariance_SEE @ own_moment_SE[:, :, None])[:, :, 0],
            pull_SED=pull_SED,
            prior_E=prior_E,
            prior_D=prior_D,
        )

    def solution(self) -> tuple[Array, Array]:
        """Means of shared weights (D) and of deviations (S, E)."""
        mean_D: Array = np.linalg.solve(self.precision_DD, self.left_D).astype(np.float64, copy=False)
        return mean_D, self.own_SE - self.pull_SED @ mean_D


@dataclass(frozen=True, slots=True, eq=False)
class Posterior:
    """Shared weights and deviations after some lessons, for one scale; see the module for the letters.

    Attributes:
        mean_D: m.
        covariance_DD: L^-1.
        deviation_SE: means of d_s.
        own_covariance_SEE: M_s^-1.
        pull_SED: B_s.
        prior_own_E: variances of deviations beforehand, for segments without lessons.
        log_volume: ``(log det prior precision - log det posterior precision) / 2``.
        gain: ``b' Lambda^-1 b / 2`` of all weights together: what the lessons' moments explain.
    """

    mean_D: Array
    covariance_DD: Array
    deviation_SE: Array
    own_covariance_SEE: Array
    pull_SED: Array
    prior_own_E: Array
    log_volume: float
    gain: float

    @classmethod
    def of(cls, sums: Sums, prior_D: Array, prior_E: Array, around_D: Array) -> Posterior:
        """After lessons of these sums, before which precisions and means were these.

        Args:
            sums: of lessons, of what is above the values that weights of ``around_D`` give.
            prior_D: precisions of shared weights.
            prior_E: precisions of deviations.
            around_D: means of shared weights.
        """
        equations = Equations.of(sums, prior_D, prior_E)
        mean_D, deviation_SE = equations.solution()
        before = np.log(prior_D).sum() + len(deviation_SE) * np.log(prior_E).sum()
        after = np.linalg.slogdet(equations.precision_DD)[1] + np.linalg.slogdet(equations.inner_SEE)[1].sum()
        explained = equations.left_D @ mean_D + (sums.moment_SD[:, OWN] * equations.own_SE).sum()
        covariance_DD = np.linalg.inv(equations.precision_DD)
        return cls(
            mean_D=around_D + mean_D,
            covariance_DD=(covariance_DD + covariance_DD.T) / 2,
            deviation_SE=deviation_SE,
            own_covariance_SEE=equations.own_covariance_SEE,
            pull_SED=equations.pull_SED,
            prior_own_E=1 / prior_E,
            log_volume=float(before - after) / 2,
            gain=float(explained) / 2,
        )

    def widened(self, factor: float) -> Posterior:
        """The same with this factor on all variances."""
        return replace(
            self,
            covariance_DD=factor * self.covariance_DD,
            own_covariance_SEE=factor * self.own_covariance_SEE,
            prior_own_E=factor * self.prior_own_E,
        )

    def means(self, features_KD: Array, place: int | None) -> Array:
        """Expected values of options (K) for a segment, or for one that nothing is known of."""
        shared_K: Array = features_KD @ self.mean_D
        return shared_K if place is None else shared_K + features_KD[:, OWN] @ self.deviation_SE[place]

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
        doubt: probability that nothing tells options apart.
    """

    places: Mapping[str, int]
    posteriors: tuple[Posterior, ...]
    chances: Array
    doubt: float

    @classmethod
    def of(
        cls,
        places: Mapping[str, int],
        scales: Sequence[Scale],
        posteriors: Sequence[Posterior],
        log_likelihoods: Sequence[float],
    ) -> Belief:
        """Of posteriors and the logarithms of lessons' marginal likelihoods, up to a common constant."""
        logs = np.log([scale.chance for scale in scales]) + np.array(log_likelihoods)
        chances = np.exp(logs - logs.max())
        chances /= chances.sum()
        doubt = sum(
            chance for chance, scale in zip(chances.tolist(), scales, strict=True) if not scale.tells_apart
        )
        return cls(places, tuple(posteriors), chances, min(doubt, 1.0))

    def means(self, features_KD: Array, segment: str) -> Array:
        """Expected values of options (K)."""
        place = self.places.get(segment)
        of_each = np.stack([posterior.means(features_KD, place) for posterior in self.posteriors])
        expected_K: Array = self.chances @ of_each
        return expected_K

    def draws(
        self,
        features_KD: Array,
        segment: str,
        count: int,
        rng: np.random.Generator,
        *,
        curiosity: float = 1.0,
    ) -> Array:
        """Independent draws of the options' values (N, K); in each, one scale and one set of weights holds.

        Weights are drawn around the scale's means with ``curiosity`` times their standard deviations, as far as it is
        known that something tells options apart. The more it is in doubt, the closer that comes to all of them:
        otherwise a small difference that came about by chance is fed by the verdicts that it draws to itself.
        """
        place, options = self.places.get(segment), len(features_KD)
        width = curiosity + (1 - curiosity) * self.doubt
        which_N = rng.choice(len(self.posteriors), size=count, p=self.chances)
        noise_NK = rng.standard_normal((count, options))
        drawn_NK = np.empty((count, options))
        for number in np.unique(which_N).tolist():
            posterior, here = self.posteriors[number], which_N == number
            factor_KK = _factor(posterior.covariance(features_KD, place))
            drawn_NK[here] = posterior.means(features_KD, place) + width * noise_NK[here] @ factor_KK.T
        return drawn_NK


def _factor(covariance_KK: Array) -> Array:
    """F with ``F F' = covariance``, but for a jitter.

    Options that look the same are one value, and rounding may leave their covariance a shade below 0; the jitter lets
    chance decide which of them comes first.
    """
    variances_K, axes_KK = np.linalg.eigh(covariance_KK)
    factor_KK: Array = axes_KK * np.sqrt(np.maximum(variances_K, 0.0) + _JITTER)
    return factor_KK
