"""Runs to failure patterns, step by step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from inframind.advisor.cluster import FailureCluster, TraitName
from inframind.advisor.clustering.causes import causes_of
from inframind.advisor.clustering.config import ClusterConfig
from inframind.advisor.clustering.contrast import proportions_z, share
from inframind.advisor.clustering.describing import Pattern, describe
from inframind.advisor.clustering.embedding import Array, ExplainedWay, embed
from inframind.advisor.clustering.grouping import group
from inframind.advisor.clustering.identity import identified
from inframind.advisor.clustering.levels import Cuts
from inframind.advisor.clustering.observing import Facts, Observed, observe, ordered_facts
from inframind.advisor.clustering.ways import Way, ways_of
from inframind.traces.records import SolvedKeys, Trajectory

_DEFAULT = ClusterConfig()
_MOST_HAVE_IT = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Clustering:
    """Failure patterns of some runs.

    Attributes:
        clusters: largest first.
        notes: what a person should know: what could not be looked at, what belongs to no pattern.
        cuts: what low, middle and high mean in the traits.
    """

    clusters: tuple[FailureCluster, ...]
    notes: tuple[str, ...] = ()
    cuts: Mapping[TraitName, Cuts] = field(default_factory=dict)


def find_clusters(
    runs: Sequence[Trajectory],
    *,
    keys: SolvedKeys,
    previous: Sequence[FailureCluster] = (),
    rng: np.random.Generator,
    config: ClusterConfig | None = None,
) -> Clustering:
    """Failure patterns, largest first, with what sets each apart from runs that did not fail.

    The order of the runs makes no difference. A trait's ``failing`` is a share of the runs that could have failed this
    way: a late one could not be wrong, and of one without a verdict nobody knows.

    Args:
        runs: all runs of some time, failed or not; their steps, and the decisions where load is to be looked at.
        keys: which feedback says whether a run was solved.
        previous: patterns found earlier, of which these keep the ids.
        rng: draws the sample where there are more failures than `ClusterConfig.most_clustered`.
        config: how carefully; None is the usual.

    Raises:
        ConfigError: scikit-learn is not installed: ``pip install 'inframind[advisor]'``.
    """
    config = config or _DEFAULT
    observed = observe(runs, keys)
    failures = len(observed.failed)
    if failures < config.least_size:
        return Clustering(clusters=(), notes=_too_few(failures, len(observed.runs)), cuts=observed.cuts)
    ways = _explained(observed, config)
    points_FD = embed(observed, ways, observed.failed)
    groups_F = group(points_FD, rng, config.most_clustered)
    patterns = _patterns(observed, ways, points_FD, groups_F, config)
    found = sorted(
        (describe(observed, pattern, config) for pattern in patterns),
        key=lambda cluster: (-cluster.size, cluster.label),
    )
    return Clustering(
        clusters=identified(found, previous),
        notes=tuple(_notes(observed, ways, found, config)),
        cuts=observed.cuts,
    )


def _explained(observed: Observed, config: ClusterConfig) -> tuple[ExplainedWay, ...]:
    ways = ways_of(observed, config)
    return tuple(
        ExplainedWay(
            way=way,
            causes=causes_of(observed, way.failing_N, way.known_N, config=config, ways=len(ways)),
        )
        for way in ways
    )


# Patterns ----------------------------------------------------------------------------------------------


def _patterns(
    observed: Observed,
    ways: Sequence[ExplainedWay],
    points_FD: Array,
    groups_F: NDArray[np.int64],
    config: ClusterConfig,
) -> Iterator[Pattern]:
    """Groups that one thing sets apart, joined; groups that nothing sets apart, and small ones, are left out."""
    members: dict[tuple[int, Facts], list[NDArray[np.int64]]] = {}
    for number in range(int(groups_F.max()) + 1):
        within = np.flatnonzero(groups_F == number)
        index = _way_of(ways, observed.failed[within])
        main = _main_facts(observed, ways[index], observed.failed[within])
        if main:
            members.setdefault((index, main), []).append(within)
    for (index, main), parts in members.items():
        within = np.sort(np.concatenate(parts))
        if len(within) >= config.least_of(len(observed.failed)):
            yield Pattern(
                way=ways[index].way,
                main=main,
                causes=ways[index].causes,
                rows=observed.failed[within],
                points_FD=points_FD[within],
            )


def _way_of(ways: Sequence[ExplainedWay], rows: NDArray[np.int64]) -> int:
    """Index of the way in which most of some runs failed."""
    return int(np.argmax([explained.way.failing_N[rows].sum() for explained in ways]))


def _main_facts(observed: Observed, explained: ExplainedWay, rows: NDArray[np.int64]) -> Facts:
    """The cause that sets a group apart most, with the symptom of its way; only that; or nothing."""
    way = explained.way
    members_N = np.zeros(len(observed.runs), dtype=np.bool_)
    members_N[rows] = True
    told = [
        (proportions_z(observed.holds_N(cause.facts), members_N, way.fine_N), cause.facts)
        for cause in explained.causes
        if share(observed.holds_N(cause.facts), members_N) > _MOST_HAVE_IT
    ]
    if told:
        return ordered_facts((*max(told)[1], *way.symptom))
    return way.symptom if _tells_alone(way) else ()


def _tells_alone(way: Way) -> bool:
    """Whether a symptom is a pattern by itself: every failed run has some error, and that it has one says nothing."""
    return way.kind != "failed"


# Notes -------------------------------------------------------------------------------------------------


def _too_few(failures: int, runs: int) -> tuple[str, ...]:
    return (
        (f"{failures:,} of {runs:,} runs failed: too few to look for patterns",)
        if runs
        else ("there are no runs",)
    )


def _notes(
    observed: Observed,
    ways: Sequence[ExplainedWay],
    found: Sequence[FailureCluster],
    config: ClusterConfig,
) -> Iterator[str]:
    failures = len(observed.failed)
    left = failures - sum(cluster.size for cluster in found)
    if left:
        yield f"{left:,} of {failures:,} failures: no single condition sets them apart from runs that did not fail"
    for explained in ways:
        if explained.way.symptom and not explained.causes and not _tells_alone(explained.way):
            count, error = int(explained.way.failing_N.sum()), explained.way.symptom[0][1]
            yield f"{count:,} runs failed with {error}, and nothing sets them apart"
    if failures > config.most_clustered:
        yield (
            f"{config.most_clustered:,} of {failures:,} failures, drawn by chance, were clustered; "
            "the others joined the nearest cluster"
        )
    unjudged = sum(
        run.on_time and not judged for run, judged in zip(observed.runs, observed.judged_N, strict=True)
    )
    if unjudged:
        yield f"{unjudged:,} of {len(observed.runs):,} runs were in time and have no verdict: they may be wrong"
