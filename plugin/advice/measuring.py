"""What an accepted recommendation did to reliability: runs with it beside, or after, runs without it.

While a canary serves, both serve at the same time: their difference is the gate's own estimate, which drift cannot
fool, with an interval that holds however often one looks. Where nothing was tried, runs of configurations with the
recommendation's rules are held against those of the configuration before: the world may have changed in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from inframind.router.gate.bounds import alarm_interval
from inframind.router.gate.evidence import Evidence
from inframind.traces.newcombe import share_difference
from inframind.traces.outcome_graph import RunFigures

LEAST_LABELS = 30
"""Labelled runs on either side before anything is said."""
GROWTH = 1.5
"""A measurement is repeated when so many times as many labelled runs came with the change."""
_DELTA = 0.025
"""Chance that either end is wrong."""
Method = Literal["canary", "before and after"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """Shares of runs that were right and in time, without a change and with it.

    Attributes:
        method: how they were compared.
        before: share without it.
        after: share with it.
        change: estimated difference.
        low: lower end of its 95 % interval.
        high: upper end.
        before_labelled: labelled runs without it.
        after_labelled: labelled runs with it.
        together_with: ids of other recommendations that came into effect with it: all of them did what is measured.
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

    @property
    def improved(self) -> bool:
        """Whether it is better for sure."""
        return self.low > 0.0

    def to_facts(self) -> dict[str, Any]:
        """For the event ``measured``."""
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
        }


def of_canary(evidence: Evidence) -> Measurement | None:
    """From a trial's evidence; None while there is too little."""
    tried, other = evidence.records["candidate"], evidence.records["serving"]
    if min(tried.labelled, other.labelled) < LEAST_LABELS:
        return None
    interval = alarm_interval(evidence.success, delta=_DELTA)
    change = min(max(evidence.success.gap, -1.0), 1.0)
    return Measurement(
        method="canary",
        before=other.success_share,
        after=tried.success_share,
        change=change,
        low=max(interval.low, -1.0),
        high=min(interval.high, 1.0),
        before_labelled=other.labelled,
        after_labelled=tried.labelled,
    )


def of_before_and_after(before: RunFigures, after: RunFigures) -> Measurement | None:
    """From runs of before and of after; None while there are too few."""
    if min(before.labelled, after.labelled) < LEAST_LABELS:
        return None
    found = share_difference(after.success, after.labelled, before.success, before.labelled)
    return Measurement(
        method="before and after",
        before=before.success / before.labelled,
        after=after.success / after.labelled,
        change=found.change,
        low=found.low,
        high=found.high,
        before_labelled=before.labelled,
        after_labelled=after.labelled,
    )


def is_news(found: Measurement, latest: Mapping[str, Any] | None) -> bool:
    """Whether so much came since the latest measurement that it is worth another."""
    if latest is None:
        return True
    return found.after_labelled >= GROWTH * int(latest.get("after_labelled", 0))


def labelled_sum(figures: Iterable[RunFigures]) -> RunFigures:
    """Labels and successes of several configurations together."""
    found = list(figures)
    return RunFigures(
        runs=sum(one.runs for one in found),
        labelled=sum(one.labelled for one in found),
        success=sum(one.success for one in found),
    )
