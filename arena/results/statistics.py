"""The arithmetic of the arena, on plain arrays: intervals, differences, ranks, fronts and idle slots.

Axes: S = seeds, C = contenders, G = groups of questions (a rate, a budget tier, all), K = cells, that is pairs of
seed and question, B = resamples. Chance is an argument.

Two kinds of 95 % interval, for two purposes:

* of one figure: seeds are the replicates, ``value -+ t * s / sqrt(S)``, because the questions of one run share a
  queue and are not independent of each other;
* of the difference between two contenders: a percentile bootstrap over the pairs of seed and question that both
  of them met (common random numbers), which cancels what is hard for both. It does not see that the questions of
  one run share a queue; the t-interval over the seeds' differences, which does, is given beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from inframind.traces.student import student_quantile

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SEEDS_NEEDED = 3
"""An interval over fewer replicates than this says nothing."""
LATENCY_RANGE_S = (0.1, 1000.0)
"""Ends of the latency axis of the hypervolume."""
CHUNK = 4_000_000
"""Numbers that a bootstrap draws at a time: 32 MB."""
_LEVELS = (0.025, 0.975)


@cache
def t_quantile_975(degrees: int) -> float:
    """Quantile of 0.975 of Student's t.

    Args:
        degrees: of freedom, at least 1.
    """
    return student_quantile(0.975, degrees)


def half_width(per_seed: Floats) -> Floats:
    """Half the 95 % t-interval of the mean over the last axis.

    Args:
        per_seed: one figure per seed (..., S); NaN where a seed has none.

    Returns:
        (...); NaN where fewer than three seeds have a figure.
    """
    flat = per_seed.reshape(-1, per_seed.shape[-1])
    return np.array([_half_width(row[~np.isnan(row)]) for row in flat]).reshape(per_seed.shape[:-1])


def _half_width(values: Floats) -> float:
    count = len(values)
    if count < SEEDS_NEEDED:
        return float("nan")
    return float(t_quantile_975(count - 1) * values.std(ddof=1) / count**0.5)


def idle_shares(t_s: Floats, running: Ints, waiting: Ints, slots: Ints) -> Floats:
    """Share of all slots that are free, at each instant at which any endpoint has a queue.

    Args:
        t_s: when each sample was taken; samples of the same instant belong together.
        running: requests that hold a slot.
        waiting: requests in the queue.
        slots: requests that can run at once.

    Returns:
        One share per instant with a queue, in order of time; empty when nothing ever queued.
    """
    if not len(t_s):
        return np.empty(0)
    _, instant = np.unique(t_s, return_inverse=True)
    free = np.bincount(instant, np.maximum(slots - running, 0))
    total = np.bincount(instant, slots)
    is_queued = (np.bincount(instant, waiting) > 0) & (total > 0)
    return free[is_queued] / total[is_queued]


def pareto_front(latency_s: Floats, accuracy: Floats) -> Ints:
    """Indices of the points that no other point beats in both, by ascending latency.

    Of points that agree in both, the first is kept; NaN is never on the front.
    """
    front: list[int] = []
    best = -np.inf
    for i in np.lexsort((-accuracy, latency_s)):
        if not np.isnan(latency_s[i]) and accuracy[i] > best:
            front.append(int(i))
            best = accuracy[i]
    return np.array(front, np.int64)


def hypervolume(latency_s: Floats, accuracy: Floats) -> float:
    """Share of the accuracy-latency plane that a set of points dominates.

    The latency axis is ``log10`` from 0.1 s to 1000 s, scaled to [0, 1]; points beyond an end count as at that end.
    The reference point is 1000 s and accuracy 0. So 1 means "all right in 0.1 s", and one point at latency x and
    accuracy a has ``(1 - x) a``. After Zitzler and Thiele, PPSN V (1998) 292.

    Args:
        latency_s: positive; points with NaN are left out.
        accuracy: in [0, 1].
    """
    low, high = np.log10(LATENCY_RANGE_S)
    front = pareto_front(latency_s, accuracy)
    if not len(front):
        return 0.0
    clipped = np.clip(latency_s[front], *LATENCY_RANGE_S)
    x = (np.log10(clipped) - low) / (high - low)
    return float(np.sum(np.diff(np.append(x, 1.0)) * accuracy[front]))


def bootstrap_ratios(
    hits_GCK: Floats, trials_GK: Floats, *, resamples: int, rng: np.random.Generator
) -> Floats:
    """Resample the cells with replacement, the same for all groups and contenders.

    Args:
        hits_GCK: successes of each contender in each cell, by group.
        trials_GK: questions in each cell, by group.
        resamples: how many.
        rng: chance.

    Returns:
        Successes over questions of each resample (B, G, C); NaN where a resample met no question of the group.
    """
    groups, contenders, cells = hits_GCK.shape
    stacked = np.concatenate([hits_GCK, trials_GK[:, None, :]], axis=1).reshape(-1, cells).T
    step = max(1, CHUNK // cells)
    chunks = [
        _draw_weights(min(step, resamples - begin), cells, rng) @ stacked
        for begin in range(0, resamples, step)
    ]
    sums = np.concatenate(chunks).reshape(resamples, groups, contenders + 1)
    with np.errstate(invalid="ignore"):
        return np.asarray(sums[:, :, :-1] / sums[:, :, -1:], np.float64)


def _draw_weights(resamples: int, cells: int, rng: np.random.Generator) -> Floats:
    drawn = rng.integers(cells, size=(resamples, cells)) + cells * np.arange(resamples)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=resamples * cells)
    return counts.reshape(resamples, cells).astype(np.float64)


def percentile_interval(resampled: Floats) -> Floats:
    """The middle 95 % over the first axis (B, ...), as (2, ...); resamples with NaN are left out."""
    if np.isnan(resampled).any():
        return np.asarray(np.nanquantile(resampled, _LEVELS, axis=0))
    return np.asarray(np.quantile(resampled, _LEVELS, axis=0))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ranking:
    """Who is better than whom.

    Attributes:
        rank_C: 1 plus the number of attainable contenders that are better beyond the interval; equal ranks are
            ties. 0 for those that are not attainable.
        is_better_CC: whether the row is better than the column beyond the intervals of their difference.
    """

    rank_C: Ints
    is_better_CC: NDArray[np.bool_]


def rank(resampled_BC: Floats, per_seed_CS: Floats, is_attainable_C: NDArray[np.bool_]) -> Ranking:
    """Rank contenders by a figure, higher first; they tie where an interval of their difference contains 0.

    There are two such intervals, and a gap must be beyond both: the bootstrap's over questions, which does not see
    that questions of one run share its queues, and Student's over the paired differences of the seeds, which does
    but needs three of them.

    Args:
        resampled_BC: the figure of each contender in each resample; resamples are shared.
        per_seed_CS: the figure of each contender by seed.
        is_attainable_C: whether the contender is ranked; an oracle is compared but takes no place.
    """
    low_CC = np.stack(
        [percentile_interval(resampled_BC[:, [c]] - resampled_BC)[0] for c in range(resampled_BC.shape[1])]
    )
    differences_CCS = per_seed_CS[:, None, :] - per_seed_CS[None, :, :]
    width_CC = np.nan_to_num(half_width(differences_CCS))
    is_better = (low_CC > 0) & (differences_CCS.mean(axis=2) > width_CC)
    rank_C = np.where(is_attainable_C, 1 + is_better[is_attainable_C].sum(axis=0), 0)
    return Ranking(rank_C=rank_C, is_better_CC=is_better)


def ranking_stability(per_seed_CS: Floats, is_better_CC: NDArray[np.bool_]) -> Ints:
    """On how many seeds each order that holds beyond the interval holds as well.

    Args:
        per_seed_CS: the figure that was ranked, by seed.
        is_better_CC: whether the row is better than the column, over all seeds.

    Returns:
        Number of seeds (C, C); 0 for pairs that tie or are the other way round.
    """
    holds = per_seed_CS[:, None, :] > per_seed_CS[None, :, :]
    return np.asarray(np.where(is_better_CC, holds.sum(axis=2), 0), np.int64)
