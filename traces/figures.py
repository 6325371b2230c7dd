"""What became of runs, as numbers that can be added up: one run, many of them, and what is read off them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Final, Literal

from inframind.traces.differences import differences
from inframind.traces.newcombe import MISSED, share_difference
from inframind.traces.outcome_graph import (
    Comparison,
    ConfigurationSummary,
    MeanDifference,
    RunFigures,
    ShareDifference,
    Worsening,
)
from inframind.traces.records import Trajectory
from inframind.traces.welch import Sample, stratified_difference

ShareMetric = Literal["on_time", "solved", "success"]
SHARE_METRICS: tuple[ShareMetric, ...] = ("on_time", "solved", "success")
MeanMetric = Literal["latency_s", "cost"]
GROUPINGS: Final = ("configuration", "topology", "domain")
"""Fields of a run by which `worsenings` groups; a group's key has one of each, in this order."""
LEAST_RUNS = 10
"""With fewer on either side nothing is said to be worse, and nothing of means: the intervals are approximations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The figures of one run; a row beside its trace.

    Attributes:
        trace_id: of its trace.
        configuration: id of the configuration that decided it, or "".
        arrived_at_s: seconds since the Unix epoch.
        counts: whether it says how its configuration did: it came to an end, and nobody called it off while it had time
            left.
        is_on_time: whether there was an answer within the budget.
        is_failed: whether it ended without an answer.
        latency_s: seconds.
        cost: or None where it is not known.
        completion_tokens: of all steps.
        topology: name, or "".
        domain: name.
    """

    trace_id: str
    configuration: str
    arrived_at_s: float
    counts: bool
    is_on_time: bool
    is_failed: bool
    latency_s: float
    cost: float | None
    completion_tokens: int
    topology: str
    domain: str


def run_of(trajectory: Trajectory) -> Run:
    """The figures of a trajectory. An answer that came too late is one; an ``ok`` run needs no text to have one."""
    return Run(
        trace_id=trajectory.trace_id,
        configuration=trajectory.configuration,
        arrived_at_s=float(trajectory.arrived_at_s),
        counts=_counts(trajectory),
        is_on_time=trajectory.on_time,
        is_failed=trajectory.status != "ok" and not (trajectory.answer or trajectory.text),
        latency_s=float(trajectory.latency_s),
        cost=None if trajectory.cost is None else float(trajectory.cost),
        completion_tokens=trajectory.completion_tokens,
        topology=trajectory.topology,
        domain=trajectory.domain,
    )


def _counts(trajectory: Trajectory) -> bool:
    if trajectory.status == "cancelled":
        return trajectory.latency_s >= trajectory.budget_s
    return trajectory.status != "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Sums over runs, see `RunFigures`; times, costs and tokens are sums here, and ``priced`` runs have a cost.

    ``latency_squares`` and ``cost_squares`` are sums of squared deviations from the tally's own mean. Sums of squares
    would add up by themselves, but of values whose mean is large against their spread, ``sum(x^2) - sum(x)^2 / n``
    leaves little but rounding.
    """

    runs: int = 0
    on_time: int = 0
    failed: int = 0
    labelled: int = 0
    solved: int = 0
    success: int = 0
    priced: int = 0
    latency_s: float = 0.0
    cost: float = 0.0
    completion_tokens: float = 0.0
    latency_squares: float = 0.0
    cost_squares: float = 0.0

    def __add__(self, other: Tally) -> Tally:
        added = {name: getattr(self, name) + getattr(other, name) for name in _SUMS}
        added["latency_squares"] += _between(self.latency_s, self.runs, other.latency_s, other.runs)
        added["cost_squares"] += _between(self.cost, self.priced, other.cost, other.priced)
        return Tally(**added)

    @property
    def figures(self) -> RunFigures:
        """The same with means and standard deviations instead of sums."""
        runs, priced = max(self.runs, 1), max(self.priced, 1)
        return RunFigures(
            runs=self.runs,
            on_time=self.on_time,
            failed=self.failed,
            labelled=self.labelled,
            solved=self.solved,
            success=self.success,
            latency_s=self.latency_s / runs,
            cost=self.cost / priced,
            completion_tokens=self.completion_tokens / runs,
            priced=self.priced,
            latency_sd_s=_sd(self.latency_squares, self.runs),
            cost_sd=_sd(self.cost_squares, self.priced),
        )


_SUMS = tuple(field.name for field in fields(Tally))
NOTHING = Tally()


def tally_of(judged: Sequence[tuple[Run, bool | None]]) -> Tally:
    """Runs that have ended, each with its verdict."""
    latencies_s = [run.latency_s for run, _ in judged]
    costs = [run.cost for run, _ in judged if run.cost is not None]
    return Tally(
        runs=len(judged),
        on_time=sum(run.is_on_time for run, _ in judged),
        failed=sum(run.is_failed for run, _ in judged),
        labelled=sum(solved is not None for _, solved in judged),
        solved=sum(solved is True for _, solved in judged),
        success=sum(solved is True and run.is_on_time for run, solved in judged),
        priced=len(costs),
        latency_s=sum(latencies_s),
        cost=sum(costs),
        completion_tokens=float(sum(run.completion_tokens for run, _ in judged)),
        latency_squares=_squares(latencies_s),
        cost_squares=_squares(costs),
    )


def pooled(figures: Iterable[RunFigures]) -> RunFigures:
    """Figures of the runs of several together; their costs must be in one unit."""
    return sum(map(_tally, figures), NOTHING).figures


def _tally(figures: RunFigures) -> Tally:
    return Tally(
        runs=figures.runs,
        on_time=figures.on_time,
        failed=figures.failed,
        labelled=figures.labelled,
        solved=figures.solved,
        success=figures.success,
        priced=figures.priced,
        latency_s=figures.latency_s * figures.runs,
        cost=figures.cost * figures.priced,
        completion_tokens=figures.completion_tokens * figures.runs,
        latency_squares=figures.latency_sd_s**2 * max(figures.runs - 1, 0),
        cost_squares=figures.cost_sd**2 * max(figures.priced - 1, 0),
    )


def _squares(values: Sequence[float]) -> float:
    if not values:
        return 0.0
    mean = math.fsum(values) / len(values)
    return math.fsum((value - mean) ** 2 for value in values)


def _between(total: float, size: int, other: float, of_other: int) -> float:
    """Squared deviations of two samples' means from the mean of both (Chan, Golub and LeVeque 1979)."""
    if not (size and of_other):
        return 0.0
    return (other / of_other - total / size) ** 2 * size * of_other / (size + of_other)


def _sd(squares: float, size: int) -> float:
    return math.sqrt(max(squares, 0.0) / (size - 1)) if size > 1 else 0.0


def difference_of(
    metric: ShareMetric, before: RunFigures, after: RunFigures, *, missed: float = MISSED
) -> ShareDifference | None:
    """How far a share has moved; None where either side has nothing to take a share of."""
    of_before, of_after = _of(metric, before), _of(metric, after)
    if not (of_before and of_after):
        return None
    return share_difference(
        getattr(after, metric), of_after, getattr(before, metric), of_before, missed=missed
    )


def mean_change_of(
    metric: MeanMetric, strata: Sequence[tuple[RunFigures, RunFigures]]
) -> MeanDifference | None:
    """How far a mean has moved from before to after within strata; None below `LEAST_RUNS` on either side.

    Of the strata that `told_means` says something of. Costs must be in one unit.
    """
    told = told_means(metric, strata)
    sizes = sum(new.size for new, _ in told), sum(old.size for _, old in told)
    return stratified_difference(told) if min(sizes) >= LEAST_RUNS else None


def told_means(
    metric: MeanMetric, strata: Sequence[tuple[RunFigures, RunFigures]]
) -> list[tuple[Sample, Sample]]:
    """Means of after and before, of the strata with two runs or more on either side."""
    pairs = [(_sample(metric, after), _sample(metric, before)) for before, after in strata]
    return [(new, old) for new, old in pairs if min(new.size, old.size) > 1]


def have_one_cost_unit(summaries: Iterable[ConfigurationSummary]) -> bool:
    """Whether all of them count costs in the same unit, so that these can be compared and added."""
    return len({_cost_unit(summary) for summary in summaries}) <= 1


def comparison(old: ConfigurationSummary, new: ConfigurationSummary) -> Comparison:
    """Two configurations side by side."""
    in_one_unit, sides = have_one_cost_unit((old, new)), [(old.figures, new.figures)]
    return Comparison(
        old=old,
        new=new,
        changes=differences(old.configuration.document, new.configuration.document),
        success=difference_of("success", old.figures, new.figures),
        on_time=difference_of("on_time", old.figures, new.figures),
        solved=difference_of("solved", old.figures, new.figures),
        latency_s=mean_change_of("latency_s", sides),
        cost=mean_change_of("cost", sides) if in_one_unit else None,
    )


GroupKey = tuple[str, str, str]
"""Configuration, topology, domain."""


def worsenings(before: Mapping[GroupKey, Tally], after: Mapping[GroupKey, Tally]) -> Sequence[Worsening]:
    """What does worse after than before, for sure, the largest loss first.

    For sure: the intervals hold all at once with 95 % (Bonferroni), so that where nothing has changed, nothing at all
    is found in at least 19 of 20 looks, however many groups there are. What has no name is no group.
    """
    compared = [
        (by, name, metric, old, new)
        for place, by in enumerate(GROUPINGS)
        for name, (old, new) in _sides(_folded(before, place), _folded(after, place)).items()
        for metric in SHARE_METRICS
        if min(_of(metric, old), _of(metric, new)) >= LEAST_RUNS
    ]
    missed = MISSED / max(len(compared), 1)
    found = [worse for one in compared if (worse := _worse(*one, missed=missed)) is not None]
    return sorted(found, key=lambda one: (one.difference.change, one.by, one.name, one.metric))


def front(
    found: Iterable[tuple[ConfigurationSummary, Tally]], *, least_labels: int
) -> Sequence[ConfigurationSummary]:
    """Those that no other is at least as good as in success and cost, and better in one; cheapest first.

    Those whose cost nobody knows are left out, and so are those with fewer labels, and those whose cost is in another
    unit than that of the latest of the others.
    """
    known = [pair for pair in found if pair[1].priced and pair[1].labelled >= max(least_labels, 1)]
    unit = _cost_unit(max(known, key=lambda pair: pair[0].last_s)[0]) if known else None
    points = [
        (tally.cost / tally.priced, tally.success / tally.labelled, summary)
        for summary, tally in known
        if _cost_unit(summary) == unit
    ]
    points.sort(key=lambda point: (point[0], -point[1], point[2].configuration.configuration_id))
    kept: list[tuple[float, float, ConfigurationSummary]] = []
    for point in points:
        if not kept or point[1] > kept[-1][1] or point[:2] == kept[-1][:2]:
            kept.append(point)
    return [summary for _, _, summary in kept]


def _cost_unit(summary: ConfigurationSummary) -> object:
    return summary.configuration.document.get("cost_unit")


def _worse(
    by: str, name: str, metric: ShareMetric, before: RunFigures, after: RunFigures, *, missed: float
) -> Worsening | None:
    difference = difference_of(metric, before, after, missed=missed)
    if difference is None or difference.high >= 0:
        return None
    return Worsening(by=by, name=name, metric=metric, before=before, after=after, difference=difference)


def _of(metric: ShareMetric, figures: RunFigures) -> int:
    return figures.runs if metric == "on_time" else figures.labelled


def _sample(metric: MeanMetric, figures: RunFigures) -> Sample:
    if metric == "cost":
        return Sample(size=figures.priced, mean=figures.cost, sd=figures.cost_sd)
    return Sample(size=figures.runs, mean=figures.latency_s, sd=figures.latency_sd_s)


def _folded(tallies: Mapping[GroupKey, Tally], place: int) -> dict[str, Tally]:
    folded: dict[str, Tally] = {}
    for key, tally in tallies.items():
        folded[key[place]] = folded.get(key[place], NOTHING) + tally
    return folded


def _sides(
    before: Mapping[str, Tally], after: Mapping[str, Tally]
) -> dict[str, tuple[RunFigures, RunFigures]]:
    return {name: (before[name].figures, after[name].figures) for name in before if name and name in after}
