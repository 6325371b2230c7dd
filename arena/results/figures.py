"""What the figures of an evaluation are: per rate, per budget tier and overall, with intervals and ranks.

Axes: C = contenders, S = seeds, R = rates, T = budget tiers, L = labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from inframind.arena.results.columns import Columns, Floats, Ints
from inframind.arena.results.statistics import Ranking


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Estimates:
    """One figure of every contender; NaN where it has none.

    Attributes:
        value_C: over all seeds together.
        low_C: lower end of the 95 % interval; NaN under three seeds.
        high_C: upper end.
        per_seed_CS: the figure of each seed alone.
    """

    value_C: Floats
    low_C: Floats
    high_C: Floats
    per_seed_CS: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Differences:
    """On-time success minus that of the baseline, on the same questions.

    Attributes:
        value_C: the difference.
        low_C: lower end of the bootstrap's 95 % interval.
        high_C: upper end.
        by_seed: the same with a t-interval over the differences of the seeds.
    """

    value_C: Floats
    low_C: Floats
    high_C: Floats
    by_seed: Estimates


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shares:
    """How often each label was chosen.

    Attributes:
        labels: the labels (L).
        share_CL: sums to 1 over the labels, or is NaN for a contender that chose nothing.
    """

    labels: tuple[str, ...]
    share_CL: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GroupFigures:
    """The figures of one group of questions.

    Rates are over all offered questions, latencies in seconds over the answered ones.

    Attributes:
        rate_per_min: the arrival rate of the group, or None for all.
        tier: the budget tier of the group, or None for all.
        offered: questions that each contender met.
        on_time_success: solved within the own budget; the headline.
        accuracy: solved, in time or not.
        slo_attainment: answered within the own budget.
        latency_mean_s: mean.
        latency_p50_s: median.
        latency_p95_s: 95 % quantile.
        tokens: output tokens per offered question.
        hypervolume: of the points (mean latency, accuracy) of the budget tiers.
        idle: mean share of free slots while any endpoint has a queue; None for a budget tier, which shares the
            endpoints with the other tiers.
        models: of calls.
        strategies: of calls.
        topologies: of episodes.
        difference: to the baseline.
    """

    rate_per_min: float | None
    tier: str | None
    offered: int
    on_time_success: Estimates
    accuracy: Estimates
    slo_attainment: Estimates
    latency_mean_s: Estimates
    latency_p50_s: Estimates
    latency_p95_s: Estimates
    tokens: Estimates
    hypervolume: Estimates
    idle: Estimates | None
    models: Shares
    strategies: Shares
    topologies: Shares
    difference: Differences


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fronts:
    """Where each contender stands between accuracy and latency; index 0 of R and T stands for "all".

    Attributes:
        latency_s_CRT: mean latency of the answered questions; NaN where there are none.
        accuracy_CRT: over all offered questions; NaN where there are none.
    """

    latency_s_CRT: Floats
    accuracy_CRT: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judgement:
    """All figures of an evaluation.

    Attributes:
        columns: what they come from.
        baseline: index of the contender that differences refer to.
        best_constant: index of `BEST_CONSTANT`, which was chosen on training questions, or None.
        hindsight_constant: index of the constant with the highest on-time success in these very runs, or None; of
            equals, ``best_constant``. Being picked from many flatters it.
        overall: of all questions.
        by_rate: one per rate, ascending.
        by_tier: one per budget tier that has questions, ascending.
        fronts: accuracy and latency per rate and tier.
        ranking: by on-time success over all questions.
        stable_seeds_CC: for each pair that is ordered beyond the interval, on how many seeds that order holds.
        resamples: of the bootstrap.
    """

    columns: Columns
    baseline: int
    best_constant: int | None
    hindsight_constant: int | None
    overall: GroupFigures
    by_rate: tuple[GroupFigures, ...]
    by_tier: tuple[GroupFigures, ...]
    fronts: Fronts
    ranking: Ranking
    stable_seeds_CC: Ints
    resamples: int

    @property
    def groups(self) -> tuple[GroupFigures, ...]:
        """All groups: overall, by rate, by tier."""
        return (self.overall, *self.by_rate, *self.by_tier)

    @property
    def order(self) -> list[int]:
        """Indices of the contenders, best on-time success first."""
        return [int(c) for c in np.argsort(-self.overall.on_time_success.value_C, kind="stable")]
