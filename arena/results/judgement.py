"""Works out every figure of an evaluation.

Axes: B = resamples, C = contenders, S = seeds, R = rates, T = budget tiers, G = groups of questions,
K = pairs of seed and question, L = labels, N = questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inframind.arena.results.columns import TIERS, Bools, Columns, Floats, Ints, LabelCounts, build_columns
from inframind.arena.results.figures import Differences, Estimates, Fronts, GroupFigures, Judgement, Shares
from inframind.arena.results.statistics import (
    bootstrap_ratios,
    half_width,
    hypervolume,
    percentile_interval,
    rank,
    ranking_stability,
)
from inframind.arena.results.tables import Evaluation
from inframind.errors import ConfigError

RESAMPLES = 2000
CONSTANT, ORACLE = "constant", "oracle"
"""Families that a report marks: the bar to clear, and what no router can reach."""
BEST_CONSTANT = "best-constant"
"""Name of the contender that picks its constant on training questions, without having seen any run."""


def judge(
    evaluation: Evaluation, *, baseline: str = "", resamples: int = RESAMPLES, seed: int = 0
) -> Judgement:
    """Work out every figure.

    Args:
        evaluation: the runs.
        baseline: name of the contender that differences refer to; "" takes `BEST_CONSTANT`; where it did not run,
            the constant that is best in hindsight, or else the first contender.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        ConfigError: there is no such contender, too few resamples, or contenders met different questions.
    """
    if resamples < 100:
        raise ConfigError("resamples", resamples, "take at least 100: the interval is read off their tails")
    columns = build_columns(evaluation)
    best_constant = _best_constant(columns)
    hindsight_constant = _hindsight_constant(columns, best_constant)
    bar = hindsight_constant if best_constant is None else best_constant
    reference = _baseline(columns, baseline, bar)
    cubes = _Cubes.of(columns)
    places = _places(columns)
    resampled_BGC = bootstrap_ratios(
        *_cell_sums(columns, places), resamples=resamples, rng=np.random.default_rng(seed)
    )
    figures = [
        _figures(columns, cubes, place, reference, resampled_BGC[:, g]) for g, place in enumerate(places)
    ]
    rates = len(columns.rates_per_min)
    per_seed_CS = figures[0].on_time_success.per_seed_CS
    is_attainable_C = np.array([family != ORACLE for family in columns.families])
    ranking = rank(resampled_BGC[:, 0], per_seed_CS, is_attainable_C)
    return Judgement(
        columns=columns,
        baseline=reference,
        best_constant=best_constant,
        hindsight_constant=hindsight_constant,
        overall=figures[0],
        by_rate=tuple(figures[1 : 1 + rates]),
        by_tier=tuple(figures[1 + rates :]),
        fronts=_fronts(cubes),
        ranking=ranking,
        stable_seeds_CC=ranking_stability(per_seed_CS, ranking.is_better_CC),
        resamples=resamples,
    )


def constant_label(judgement: Judgement, c: int) -> str:
    """What a report calls a constant that stands out, or ""."""
    if c == judgement.best_constant:
        return "best constant"
    return "best constant in hindsight" if c == judgement.hindsight_constant else ""


def _best_constant(columns: Columns) -> int | None:
    named = zip(columns.contenders, columns.families, strict=True)
    return next((c for c, one in enumerate(named) if one == (BEST_CONSTANT, CONSTANT)), None)


def _hindsight_constant(columns: Columns, best_constant: int | None) -> int | None:
    hits_C = (columns.solved_CN & columns.in_time_CN).sum(axis=1)
    constants = [c for c, family in enumerate(columns.families) if family == CONSTANT]
    return max(constants, key=lambda c: (int(hits_C[c]), c == best_constant), default=None)


def _baseline(columns: Columns, name: str, bar: int | None) -> int:
    if not name:
        return bar or 0
    if name not in columns.contenders:
        raise ConfigError("baseline", name, f"choose one of: {', '.join(columns.contenders)}")
    return columns.contenders.index(name)


@dataclass(frozen=True, slots=True)
class _Place:
    """A group of questions: some rate or all (None), some tier or all (None)."""

    rate: int | None
    tier: int | None

    def total(self, cube: NDArray[np.generic]) -> Floats:
        """Sum over rates and tiers (..., R, T) of the group."""
        rate = slice(None) if self.rate is None else slice(self.rate, self.rate + 1)
        tier = slice(None) if self.tier is None else slice(self.tier, self.tier + 1)
        return np.asarray(cube[..., rate, tier].sum(axis=(-2, -1)), np.float64)

    def mask(self, columns: Columns) -> Bools:
        is_in = np.ones(len(columns.rate_N), np.bool_)
        if self.rate is not None:
            is_in &= columns.rate_N == self.rate
        if self.tier is not None:
            is_in &= columns.tier_N == self.tier
        return is_in


def _places(columns: Columns) -> list[_Place]:
    tiers = np.unique(columns.tier_N)
    return [
        _Place(None, None),
        *(_Place(rate, None) for rate in range(len(columns.rates_per_min))),
        *(_Place(None, int(tier)) for tier in tiers),
    ]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Cubes:
    """Sums over the questions of each seed, rate and tier."""

    offered_SRT: Ints
    solved_CSRT: Floats
    in_time_CSRT: Floats
    success_CSRT: Floats
    answered_CSRT: Floats
    latency_s_CSRT: Floats
    tokens_CSRT: Floats

    @classmethod
    def of(cls, columns: Columns) -> _Cubes:
        shape = (len(columns.seeds), len(columns.rates_per_min), len(TIERS))
        key_N = np.ravel_multi_index((columns.seed_N, columns.rate_N, columns.tier_N), shape)

        def add_up(values_CN: NDArray[np.generic]) -> Floats:
            size = int(np.prod(shape))
            sums = [np.bincount(key_N, values_N, minlength=size) for values_N in values_CN]
            return np.asarray(np.stack(sums).reshape(-1, *shape), np.float64)

        return cls(
            offered_SRT=np.bincount(key_N, minlength=int(np.prod(shape))).reshape(shape),
            solved_CSRT=add_up(columns.solved_CN),
            in_time_CSRT=add_up(columns.in_time_CN),
            success_CSRT=add_up(columns.solved_CN & columns.in_time_CN),
            answered_CSRT=add_up(columns.answered_CN),
            latency_s_CSRT=add_up(np.where(columns.answered_CN, columns.latency_s_CN, 0.0)),
            tokens_CSRT=add_up(columns.tokens_CN),
        )


def _cell_sums(columns: Columns, places: Sequence[_Place]) -> tuple[Floats, Floats]:
    """On-time successes (G, C, K) and questions (G, K) of each pair of seed and question."""
    success_CN = columns.solved_CN & columns.in_time_CN
    cells = int(columns.cell_N.max()) + 1
    hits, trials = [], []
    for place in places:
        mask = place.mask(columns)
        cell = columns.cell_N[mask]
        hits.append([np.bincount(cell, success_N[mask], minlength=cells) for success_N in success_CN])
        trials.append(np.bincount(cell, minlength=cells))
    return np.array(hits), np.array(trials, np.float64)


def _figures(
    columns: Columns, cubes: _Cubes, place: _Place, baseline: int, resampled_BC: Floats
) -> GroupFigures:
    offered_S = place.total(cubes.offered_SRT)
    success = _ratios(place.total(cubes.success_CSRT), offered_S, is_share=True)
    p50, p95 = _quantiles(columns, place)
    return GroupFigures(
        rate_per_min=None if place.rate is None else columns.rates_per_min[place.rate],
        tier=None if place.tier is None else TIERS[place.tier],
        offered=int(offered_S.sum()),
        on_time_success=success,
        accuracy=_ratios(place.total(cubes.solved_CSRT), offered_S, is_share=True),
        slo_attainment=_ratios(place.total(cubes.in_time_CSRT), offered_S, is_share=True),
        latency_mean_s=_ratios(place.total(cubes.latency_s_CSRT), place.total(cubes.answered_CSRT)),
        latency_p50_s=p50,
        latency_p95_s=p95,
        tokens=_ratios(place.total(cubes.tokens_CSRT), offered_S),
        hypervolume=_hypervolumes(cubes, place),
        idle=_idle(columns, place) if place.tier is None else None,
        models=_shares(columns.models, place),
        strategies=_shares(columns.strategies, place),
        topologies=_shares(columns.topologies, place),
        difference=_differences(success, baseline, resampled_BC),
    )


def _estimates(value_C: Floats, per_seed_CS: Floats, *, is_share: bool = False) -> Estimates:
    half_C = half_width(per_seed_CS)
    top = 1.0 if is_share else np.inf
    return Estimates(
        value_C=value_C,
        low_C=np.maximum(value_C - half_C, 0.0),
        high_C=np.minimum(value_C + half_C, top),
        per_seed_CS=per_seed_CS,
    )


def _divide(numerator: Floats, denominator: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(denominator > 0, numerator / denominator, np.nan), np.float64)


def _ratios(numerator_CS: Floats, denominator_S: Floats, *, is_share: bool = False) -> Estimates:
    """Ratio of sums; the denominator is by seed (S), or by contender and seed (C, S)."""
    value_C = _divide(numerator_CS.sum(axis=-1), denominator_S.sum(axis=-1))
    return _estimates(value_C, _divide(numerator_CS, denominator_S), is_share=is_share)


def _quantiles(columns: Columns, place: _Place) -> tuple[Estimates, Estimates]:
    """Median and 95 % quantile of the latency of answered questions."""
    in_group = place.mask(columns)
    parts = [in_group, *(in_group & (columns.seed_N == s) for s in range(len(columns.seeds)))]
    values = np.array(
        [
            [_two_quantiles(latency_s[part & answered]) for part in parts]
            for latency_s, answered in zip(columns.latency_s_CN, columns.answered_CN, strict=True)
        ]
    )
    p50, p95 = (_estimates(values[:, 0, q], values[:, 1:, q]) for q in range(2))
    return p50, p95


def _two_quantiles(latency_s: Floats) -> Floats:
    return np.quantile(latency_s, (0.50, 0.95)) if len(latency_s) else np.full(2, np.nan)


def _hypervolumes(cubes: _Cubes, place: _Place) -> Estimates:
    """Of the budget tiers' points; a tier without answers has no point."""
    tiers = range(len(TIERS)) if place.tier is None else [place.tier]
    at = [_Place(place.rate, tier) for tier in tiers]
    solved, offered, latency_s, answered = (
        np.stack([tier.total(cube) for tier in at], axis=-1)
        for cube in (cubes.solved_CSRT, cubes.offered_SRT, cubes.latency_s_CSRT, cubes.answered_CSRT)
    )
    per_seed = _volumes(_divide(latency_s, answered), _divide(solved, offered))
    together = _volumes(
        _divide(latency_s.sum(axis=1), answered.sum(axis=1)), _divide(solved.sum(axis=1), offered.sum(axis=0))
    )
    return _estimates(together, per_seed, is_share=True)


def _volumes(latency_s: Floats, accuracy: Floats) -> Floats:
    """Hypervolume of the points along the last axis."""
    flat = zip(
        latency_s.reshape(-1, latency_s.shape[-1]), accuracy.reshape(-1, accuracy.shape[-1]), strict=True
    )
    return np.array([hypervolume(*points) for points in flat]).reshape(latency_s.shape[:-1])


def _idle(columns: Columns, place: _Place) -> Estimates:
    rate = slice(None) if place.rate is None else slice(place.rate, place.rate + 1)
    return _ratios(
        columns.idle_sum_CSR[..., rate].sum(axis=-1),
        columns.idle_instants_CSR[..., rate].sum(axis=-1).astype(np.float64),
        is_share=True,
    )


def _shares(counts: LabelCounts, place: _Place) -> Shares:
    by_label_CL = place.total(np.moveaxis(counts.counts_CRTL, -1, 1))
    return Shares(labels=counts.labels, share_CL=_divide(by_label_CL, by_label_CL.sum(axis=1, keepdims=True)))


def _differences(success: Estimates, baseline: int, resampled_BC: Floats) -> Differences:
    low_C, high_C = percentile_interval(resampled_BC - resampled_BC[:, [baseline]])
    value_C = success.value_C - success.value_C[baseline]
    per_seed_CS = success.per_seed_CS - success.per_seed_CS[baseline]
    half_C = half_width(per_seed_CS)
    by_seed = Estimates(
        value_C=value_C, low_C=value_C - half_C, high_C=value_C + half_C, per_seed_CS=per_seed_CS
    )
    return Differences(value_C=value_C, low_C=low_C, high_C=high_C, by_seed=by_seed)


def _fronts(cubes: _Cubes) -> Fronts:
    offered, solved, answered, latency_s = (
        _with_totals(cube.sum(axis=-3))
        for cube in (cubes.offered_SRT, cubes.solved_CSRT, cubes.answered_CSRT, cubes.latency_s_CSRT)
    )
    return Fronts(latency_s_CRT=_divide(latency_s, answered), accuracy_CRT=_divide(solved, offered))


def _with_totals(cube: NDArray[np.generic]) -> Floats:
    """Put the sums over rates and over tiers in front of both axes."""
    rates = np.concatenate([cube.sum(axis=-2, keepdims=True), cube], axis=-2)
    return np.concatenate([rates.sum(axis=-1, keepdims=True), rates], axis=-1)
