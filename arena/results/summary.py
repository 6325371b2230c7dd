"""Every figure of an evaluation as one JSON document.

A figure that does not exist is NaN here and ``null`` in the file: the latency of a contender that answered
nothing, an interval over fewer than three seeds.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from inframind.arena.results.columns import TIERS
from inframind.arena.results.figures import Differences, Estimates, GroupFigures, Judgement, Shares
from inframind.arena.results.statistics import LATENCY_RANGE_S
from inframind.arena.results.tables import Evaluation

SCHEMA_VERSION = 1
ESTIMATES = (
    "on_time_success",
    "accuracy",
    "slo_attainment",
    "latency_mean_s",
    "latency_p50_s",
    "latency_p95_s",
    "tokens",
    "hypervolume",
)


def summary_document(evaluation: Evaluation, judgement: Judgement) -> dict[str, Any]:
    """The content of ``summary.json``: plain data, with numpy scalars."""
    columns = judgement.columns
    return {
        "schema_version": SCHEMA_VERSION,
        "facts": dict(evaluation.facts),
        "seeds": columns.seeds,
        "rates_per_min": columns.rates_per_min,
        "budget_tiers": TIERS,
        "method": _method(judgement),
        "baseline": columns.contenders[judgement.baseline],
        "best_constant": _name(judgement, judgement.best_constant),
        "best_constant_in_hindsight": _name(judgement, judgement.hindsight_constant),
        "ranking": [_ranked(judgement, c) for c in judgement.order],
        "ranking_stability": _stability(judgement),
        "bounds": [
            {"name": one.name, "rate_per_min": one.rate_per_min, "on_time_success": one.on_time_success}
            for one in evaluation.bounds
        ],
        "figures": [
            _figures(judgement, group, c)
            for group in judgement.groups
            for c in range(len(columns.contenders))
        ],
    }


def _name(judgement: Judgement, c: int | None) -> str | None:
    return None if c is None else judgement.columns.contenders[c]


def _method(judgement: Judgement) -> dict[str, Any]:
    return {
        "rates": "over all offered questions",
        "latency": "seconds from the planned arrival, over the answered questions",
        "interval": "95 % t-interval over the seeds, from three seeds on",
        "difference": "95 % percentile bootstrap over the pairs of seed and question, the same for all contenders",
        "resamples": judgement.resamples,
        "rank": "1 plus the attainable contenders that are better beyond the interval of the difference",
        "hypervolume": f"log10 latency from {LATENCY_RANGE_S[0]:g} to {LATENCY_RANGE_S[1]:g} s, accuracy from 0 to 1",
    }


def _ranked(judgement: Judgement, c: int) -> dict[str, Any]:
    return {
        "rank": int(judgement.ranking.rank_C[c]) or None,
        "contender": judgement.columns.contenders[c],
        "family": judgement.columns.families[c],
        "on_time_success": judgement.overall.on_time_success.value_C[c],
    }


def _stability(judgement: Judgement) -> dict[str, Any]:
    is_better = judgement.ranking.is_better_CC
    held = judgement.stable_seeds_CC[is_better]
    seeds = len(judgement.columns.seeds)
    return {
        "seeds": seeds,
        "ordered_pairs": len(held),
        "pairs_held_on_every_seed": int((held == seeds).sum()),
        "mean_share_of_seeds": held.mean() / seeds if len(held) else None,
        "pairs_not_held_on_every_seed": list(_unstable_pairs(judgement)),
    }


def _unstable_pairs(judgement: Judgement) -> Iterator[dict[str, Any]]:
    names, seeds = judgement.columns.contenders, len(judgement.columns.seeds)
    for better, worse in np.argwhere(judgement.ranking.is_better_CC & (judgement.stable_seeds_CC < seeds)):
        held = judgement.stable_seeds_CC[better, worse]
        yield {"better": names[better], "worse": names[worse], "seeds_that_agree": held}


def _figures(judgement: Judgement, group: GroupFigures, c: int) -> dict[str, Any]:
    return {
        "contender": judgement.columns.contenders[c],
        "family": judgement.columns.families[c],
        "rate_per_min": group.rate_per_min,
        "budget_tier": group.tier,
        "offered": group.offered,
        **{name: _estimate(getattr(group, name), c) for name in ESTIMATES},
        "idle_while_queued": None if group.idle is None else _estimate(group.idle, c),
        "models": _shares(group.models, c),
        "strategies": _shares(group.strategies, c),
        "topologies": _shares(group.topologies, c),
        "difference_to_baseline": _difference(group.difference, c),
    }


def _estimate(estimates: Estimates, c: int) -> dict[str, Any]:
    return {
        "value": estimates.value_C[c],
        "low": estimates.low_C[c],
        "high": estimates.high_C[c],
        "per_seed": np.ascontiguousarray(estimates.per_seed_CS[c]),
    }


def _difference(differences: Differences, c: int) -> dict[str, Any]:
    return {
        "value": differences.value_C[c],
        "low": differences.low_C[c],
        "high": differences.high_C[c],
        "over_seeds": _estimate(differences.by_seed, c),
    }


def _shares(shares: Shares, c: int) -> dict[str, Any]:
    return dict(zip(shares.labels, shares.share_CL[c], strict=True)) if shares.labels else {}
