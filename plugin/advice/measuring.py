"""What an accepted recommendation did: runs with it beside, or after, runs without it.

While a canary serves, both serve at the same time: the difference of success, and of being in time, is the gate's own
estimate, which drift cannot fool, with an interval that holds however often one looks. Seconds and costs are compared
among runs of the same time, while as large a share of them had the change. Where nothing was tried, runs of
configurations with the recommendation's rules are held against those of the configuration before, each against its own
counterpart: the world may have changed in between, and how many runs each of them has is no merit of the change.

Success alone says whether there was an improvement; see `inframind.plugin.advice.promises` for what was promised.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from inframind.router.gate.bounds import alarm_interval
from inframind.router.gate.evidence import Evidence, Scores
from inframind.traces.figures import MeanMetric, mean_change_of, told_means
from inframind.traces.newcombe import Counts, stratified_share_difference
from inframind.traces.outcome_graph import MeanDifference, RunFigures, ShareDifference
from inframind.traces.strata import stratum_weights

Pair = tuple[RunFigures, RunFigures]
"""Figures of the like without a change, and with it."""
LEAST_LABELS = 30
"""Labelled runs on either side before anything is said."""
GROWTH = 1.5
"""A measurement is repeated when so many times as many labelled runs came with the change."""
_DELTA = 0.025
"""Chance that either end is wrong."""
Method = Literal["canary", "before and after"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What became of a share or a mean, without a change and with it.

    Attributes:
        before: without it; of several strata, their mean with the weights of the difference.
        after: with it, likewise.
        change: estimated difference.
        low: lower end of its 95 % interval.
        high: upper end.
        before_runs: runs without it that are counted.
        after_runs: runs with it.
    """

    before: float
    after: float
    change: float
    low: float
    high: float
    before_runs: int
    after_runs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """Shares of runs that were right and in time, without a change and with it, and what else became of them.

    Attributes:
        method: how they were compared.
        before: share without it, see `Moved`.
        after: share with it.
        change: estimated difference.
        low: lower end of its 95 % interval.
        high: upper end.
        before_labelled: labelled runs without it.
        after_labelled: labelled runs with it.
        together_with: ids of other recommendations that came into effect with it: all of them did what is measured.
        families: families of configurations that served before and after, of which all this is; 0 in a canary.
        left_out: families that served with it, but not without it before: nothing of theirs counts.
        on_time: what became of being in time, of all runs; None where that is not known.
        latency_s: the same of mean seconds.
        cost: the same of mean cost, of the runs where it is known.
    """

    method: Method
    before: float
    after: float
    change: float
    low: float
    high: float
    before_labelled: int
    after_labelled: int
    together_with: tuple[str, ...] = ()
    families: int = 0
    left_out: int = 0
    on_time: Moved | None = None
    latency_s: Moved | None = None
    cost: Moved | None = None

    @property
    def improved(self) -> bool:
        """Whether it is better for sure."""
        return self.low > 0.0

    def to_facts(self) -> dict[str, Any]:
        """For the event ``measured``; what is not known is left out."""
        further = {"on_time": self.on_time, "latency_s": self.latency_s, "cost": self.cost}
        return {
            "method": self.method,
            "before": self.before,
            "after": self.after,
            "change": self.change,
            "low": self.low,
            "high": self.high,
            "before_labelled": self.before_labelled,
            "after_labelled": self.after_labelled,
            "improved": self.improved,
            "together_with": list(self.together_with),
            "families": self.families,
            "left_out": self.left_out,
            **{name: asdict(moved) for name, moved in further.items() if moved is not None},
        }


def of_canary(evidence: Evidence) -> Measurement | None:
    """From a trial's evidence; None while there is too little."""
    tried, other = evidence.records["candidate"], evidence.records["serving"]
    if min(tried.labelled, other.labelled) < LEAST_LABELS:
        return None
    success = _adjusted(evidence.success)
    return Measurement(
        method="canary",
        before=other.success_share,
        after=tried.success_share,
        change=success.change,
        low=success.low,
        high=success.high,
        before_labelled=other.labelled,
        after_labelled=tried.labelled,
        on_time=_moved(
            _adjusted(evidence.on_time),
            (other.on_time_share, tried.on_time_share),
            (other.runs, tried.runs),
        ),
    )


def of_before_and_after(strata: Sequence[Pair]) -> Measurement | None:
    """From runs of before and of after, family by family; None while there are too few.

    Families without a label on either side say nothing.
    """
    told = [(before, after) for before, after in strata if before.labelled and after.labelled]
    labelled = sum(before.labelled for before, _ in told), sum(after.labelled for _, after in told)
    if min(labelled) < LEAST_LABELS:
        return None
    success = _shares_moved([(_right(after), _right(before)) for before, after in told])
    return Measurement(
        method="before and after",
        before=success.before,
        after=success.after,
        change=success.change,
        low=success.low,
        high=success.high,
        before_labelled=success.before_runs,
        after_labelled=success.after_runs,
        families=len(told),
        on_time=_shares_moved([(_in_time(after), _in_time(before)) for before, after in told]),
    )


def mean_moved(metric: MeanMetric, strata: Sequence[Pair]) -> Moved | None:
    """What became of mean seconds or costs; None where too few runs tell.

    Args:
        metric: which; costs must be in one unit.
        strata: figures without a change and with it, of each family and time while as large a share of the runs had it.
    """
    found = mean_change_of(metric, strata)
    if found is None:
        return None
    told = told_means(metric, strata)
    weights = stratum_weights([(new.size, old.size) for new, old in told])
    before = sum(weight * old.mean for weight, (_, old) in zip(weights, told, strict=True))
    after = sum(weight * new.mean for weight, (new, _) in zip(weights, told, strict=True))
    runs = sum(old.size for _, old in told), sum(new.size for new, _ in told)
    return _moved(found, (before, after), runs)


def is_news(found: Measurement, latest: Mapping[str, Any] | None) -> bool:
    """Whether so much came since the latest measurement that it is worth another."""
    if latest is None:
        return True
    return found.after_labelled >= GROWTH * int(latest.get("after_labelled", 0))


def _adjusted(scores: Scores) -> ShareDifference:
    """The gate's estimate, which takes into account when each was dealt out."""
    interval = alarm_interval(scores, delta=_DELTA)
    low, change, high = (min(max(one, -1.0), 1.0) for one in (interval.low, scores.gap, interval.high))
    return ShareDifference(change=change, low=low, high=high)


def _right(figures: RunFigures) -> Counts:
    return figures.success, figures.labelled


def _in_time(figures: RunFigures) -> Counts:
    return figures.on_time, figures.runs


def _shares_moved(strata: Sequence[tuple[Counts, Counts]]) -> Moved:
    """Of new and old counts, of each stratum."""
    weights = stratum_weights([(new[1], old[1]) for new, old in strata])
    before = sum(weight * old[0] / old[1] for weight, (_, old) in zip(weights, strata, strict=True))
    after = sum(weight * new[0] / new[1] for weight, (new, _) in zip(weights, strata, strict=True))
    runs = sum(old[1] for _, old in strata), sum(new[1] for new, _ in strata)
    return _moved(stratified_share_difference(strata), (before, after), runs)


def _moved(
    found: ShareDifference | MeanDifference, sides: tuple[float, float], runs: tuple[int, int]
) -> Moved:
    return Moved(
        before=sides[0],
        after=sides[1],
        change=found.change,
        low=found.low,
        high=found.high,
        before_runs=runs[0],
        after_runs=runs[1],
    )
