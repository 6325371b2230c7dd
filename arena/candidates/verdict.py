"""What all results together say of each candidate: by how much it differs from what there is, and how surely.

C = candidates, S = seeds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import NormalDist, fmean
from typing import Any, Literal

import numpy as np

from inframind.arena.candidates.campaign import Plan
from inframind.arena.candidates.candidate import AS_IT_IS, plain_rule
from inframind.arena.candidates.results import Job, JobResult, PlayedFigures
from inframind.arena.results.statistics import SEEDS_NEEDED, Floats, pareto_front
from inframind.router.confidence import Moments, student_interval
from inframind.traces.advice import METRICS, Metric, Prediction

SUMMARY_LAYOUT = 1
DELTA = 0.05
Standing = Literal[
    "better", "likely better", "undecided", "likely worse", "worse", "unknown", "failed", "invalid"
]
"""By success. ``better`` and ``worse`` hold for all candidates at once (Bonferroni); ``likely`` for this one alone, so
that one in twenty looks so by luck; ``unknown``: there is not enough evidence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a candidate does to one metric.

    Attributes:
        value: with it; None where there is not enough evidence or the metric is not known.
        change: difference to the configuration as it is, or None likewise.
        low: lower end of its 95 % interval; None where there is none.
        high: upper end.
        objection: why there is not enough evidence, or "".
    """

    value: float | None
    change: float | None
    low: float | None = None
    high: float | None = None
    objection: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is concluded of one candidate.

    Attributes:
        name: of it.
        source: where it comes from.
        rules: that it adds, as plain data.
        standing: in a word.
        on_front: whether no other candidate, nor what there is, beats it in both success and cost.
        changes: by metric; empty where it failed or could not be tried.
        by_rate: every figure by arrivals a minute, where it was simulated.
        reason: why it failed, could not be tried, or nothing is concluded.
        concerned: recorded runs that it would have decided otherwise; None where that is not known.
    """

    name: str
    source: str
    rules: tuple[Mapping[str, Any], ...]
    standing: Standing
    on_front: bool = False
    changes: Mapping[Metric, Change] = field(default_factory=dict)
    by_rate: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    reason: str = ""
    concerned: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standings:
    """All verdicts, best success first, then those of which nothing is known.

    Attributes:
        verdicts: one per candidate.
        baseline: the configuration as it is, by metric; empty where it failed.
        baseline_on_front: whether it is on the front, too.
        reason: why the baseline failed, or "".
    """

    verdicts: tuple[Verdict, ...]
    baseline: Mapping[Metric, float]
    baseline_on_front: bool
    reason: str = ""


def standings_of(plan: Plan, done: Mapping[Job, JobResult]) -> Standings:
    """What is concluded from the results that there are; candidates with jobs left to do are left out.

    Args:
        plan: what is evaluated.
        done: results by job, in any order.
    """
    first = next(iter(plan.batches()))
    jobs = [job for candidate, job in first if candidate.name == AS_IT_IS]
    baseline = [done[job] for job in jobs if job in done]
    broken = next((result.error for result in baseline if result.error), "")
    count = max(len(plan.candidates), 1)
    judged = [
        _verdict(one.name, one.source, tuple(map(plain_rule, one.rules)), results, baseline, broken, count)
        for one in plan.candidates
        if len(results := [done[job] for job in plan.traffic.jobs(one) if job in done]) == len(jobs)
        and len(baseline) == len(jobs)
    ]
    refused = [
        Verdict(name=one.name, source=one.source, rules=(), standing="invalid", reason=one.reason)
        for one in plan.refused
    ]
    values = {} if broken or not baseline else _values(baseline)
    ordered = sorted(judged, key=_rank)
    on_front = _front({AS_IT_IS: (values.get("success"), values.get("cost")), **_points(judged)})
    return Standings(
        verdicts=(*(replace(one, on_front=one.name in on_front) for one in ordered), *refused),
        baseline=values,
        baseline_on_front=AS_IT_IS in on_front,
        reason=broken,
    )


def _verdict(
    name: str,
    source: str,
    rules: tuple[Mapping[str, Any], ...],
    results: Sequence[JobResult],
    baseline: Sequence[JobResult],
    broken: str,
    count: int,
) -> Verdict:
    made = Verdict(name=name, source=source, rules=rules, standing="failed")
    failures = [result.error for result in results if result.error]
    if failures:
        share = f"{len(failures)} of {len(results)} jobs: " if len(results) > 1 else ""
        return replace(made, reason=share + failures[0])
    if broken:
        return replace(made, standing="unknown", reason=f"the configuration as it is failed: {broken}")
    if results[0].figures is None:
        changes, surely = _predicted(results[0].predictions, count)
    else:
        changes, surely = _played(results, baseline, count)
    success = changes["success"]
    return replace(
        made,
        standing=_standing(success, surely),
        changes=changes,
        by_rate=_by_rate(results),
        reason=success.objection,
        concerned=max((one.affected for one in results[0].predictions), default=None),
    )


# Recorded --------------------------------------------------------------------------------------------------


def _predicted(
    predictions: Iterable[Prediction], count: int
) -> tuple[dict[Metric, Change], tuple[float, float] | None]:
    """Changes by metric, and the interval of success that holds for so many candidates at once."""
    by_metric = {one.metric: one for one in predictions}
    changes = {metric: _change(by_metric.get(metric)) for metric in METRICS}
    success = changes["success"]
    if success.change is None or success.low is None or success.high is None:
        return changes, None
    wider = _normal(DELTA / count) / _normal(DELTA)
    low, high = (success.change + wider * (end - success.change) for end in (success.low, success.high))
    return changes, (low, high)


def _change(prediction: Prediction | None) -> Change:
    if prediction is None:
        return Change(value=None, change=None, objection="not recorded")
    if not prediction.is_enough:
        return Change(value=None, change=None, objection=prediction.objection)
    return Change(
        value=prediction.before + prediction.change,
        change=prediction.change,
        low=prediction.low,
        high=prediction.high,
    )


def _normal(delta: float) -> float:
    return NormalDist().inv_cdf(1 - delta / 2)


# Simulated -------------------------------------------------------------------------------------------------


def _played(
    results: Sequence[JobResult], baseline: Sequence[JobResult], count: int
) -> tuple[dict[Metric, Change], tuple[float, float] | None]:
    """As `_predicted`, from differences on the same workloads, seed by seed."""
    changes = {metric: _difference(results, baseline, metric) for metric in METRICS}
    if unchanged := _never_applied(results):
        never = {
            one: Change(value=made.value, change=None, objection=unchanged) for one, made in changes.items()
        }
        return never, None
    difference_S = _by_seed(results, "success") - _by_seed(baseline, "success")
    if len(difference_S) < SEEDS_NEEDED:
        return changes, None
    surely = student_interval(Moments.of(difference_S), delta=DELTA / count)
    return changes, (surely.low, surely.high)


def _never_applied(results: Sequence[JobResult]) -> str:
    """What there is to say of rules that changed no run at all, or ""."""
    figures = [result.figures for result in results if result.figures is not None]
    if any(one.applied is None or one.applied > 0 for one in figures):
        return ""
    return f"applied to 0 of {sum(one.offered for one in figures):,} runs"


def _difference(results: Sequence[JobResult], baseline: Sequence[JobResult], metric: Metric) -> Change:
    new_S, old_S = _by_seed(results, metric), _by_seed(baseline, metric)
    if np.isnan(new_S).any() or np.isnan(old_S).any():
        return Change(value=None, change=None, objection="not known")
    difference_S = new_S - old_S
    value, change = float(new_S.mean()), float(difference_S.mean())
    if len(difference_S) < SEEDS_NEEDED:
        fix = f"intervals need {SEEDS_NEEDED} seeds: there are {len(difference_S)}"
        return Change(value=value, change=change, objection=fix)
    interval = student_interval(Moments.of(difference_S), delta=DELTA)
    return Change(value=value, change=change, low=interval.low, high=interval.high)


def _by_seed(results: Sequence[JobResult], metric: Metric) -> Floats:
    """A metric's mean over all rates, by seed (S); NaN where it is not known."""
    by_seed: dict[int, list[float]] = {}
    for result in results:
        by_seed.setdefault(result.job.seed or 0, []).append(_figure(result.figures, metric))
    return np.array([fmean(by_seed[seed]) for seed in sorted(by_seed)])


def _figure(figures: PlayedFigures | None, metric: Metric) -> float:
    value = getattr(figures, metric, None)
    return math.nan if value is None else float(value)


def _by_rate(results: Sequence[JobResult]) -> dict[str, dict[str, float | None]]:
    """Every figure's mean over the seeds, by rate."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for result in results:
        if result.figures is not None:
            groups.setdefault(f"{result.job.rate_per_min:g}", []).append(asdict(result.figures))
    return {
        rate: {name: _mean([one[name] for one in some]) for name in some[0]} for rate, some in groups.items()
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if len(known) == len(values) else None


# All together ----------------------------------------------------------------------------------------------


def _standing(success: Change, surely: tuple[float, float] | None) -> Standing:
    if success.low is None or success.high is None or surely is None:
        return "unknown"
    if success.low > 0:
        return "better" if surely[0] > 0 else "likely better"
    if success.high < 0:
        return "worse" if surely[1] < 0 else "likely worse"
    return "undecided"


def _values(baseline: Sequence[JobResult]) -> dict[Metric, float]:
    """What there is, by metric, as far as it is known."""
    if baseline[0].figures is None:
        return {one.metric: one.before for one in baseline[0].predictions}
    means = {metric: float(_by_seed(baseline, metric).mean()) for metric in METRICS}
    return {metric: mean for metric, mean in means.items() if not math.isnan(mean)}


Point = tuple[float | None, float | None]
"""Success and cost."""


def _points(verdicts: Iterable[Verdict]) -> dict[str, Point]:
    return {
        one.name: (one.changes["success"].value, one.changes["cost"].value) for one in verdicts if one.changes
    }


def _front(points: Mapping[str, Point]) -> set[str]:
    """Names of those that no other beats in both; of equals the first."""
    names = [name for name, point in points.items() if None not in point]
    success = np.array([points[name][0] for name in names], dtype=np.float64)
    cost = np.array([points[name][1] for name in names], dtype=np.float64)
    return {names[place] for place in pareto_front(cost, success)}


def _rank(verdict: Verdict) -> tuple[bool, float, str]:
    """Known ones first, best success first."""
    success = verdict.changes.get("success")
    value = success.value if success else None
    return value is None, -(value or 0.0), verdict.name


def summary_of(plan: Plan, standings: Standings) -> dict[str, Any]:
    """Everything as plain data, for ``summary.json``; hangs on the plan and the results alone."""
    return {
        "layout": SUMMARY_LAYOUT,
        "method": _METHOD,
        "plan": plan.document(),
        "baseline": {
            "name": AS_IT_IS,
            "values": dict(standings.baseline),
            "on_front": standings.baseline_on_front,
            "reason": standings.reason,
        },
        "front": _front_names(standings),
        "candidates": [asdict(one) for one in standings.verdicts],
    }


def _front_names(standings: Standings) -> list[str]:
    own = [AS_IT_IS] if standings.baseline_on_front else []
    return own + [one.name for one in standings.verdicts if one.on_front]


_METHOD = {
    "change": "difference to the configuration as it is, of the same runs or on the same workloads",
    "interval": "95 %, of each difference by itself; of simulated traffic Student's over the seeds, from three on",
    "better, worse": "the interval holds for all candidates at once (Bonferroni)",
    "likely": "it holds for this candidate by itself",
    "front": "no other is better in both success and cost, by their estimates",
}
