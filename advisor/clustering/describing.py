"""What sets a group of failures apart, and how it stands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inframind.advisor.cluster import FailureCluster, Trait
from inframind.advisor.clustering.causes import Cause
from inframind.advisor.clustering.config import ClusterConfig
from inframind.advisor.clustering.contrast import proportions_z, share
from inframind.advisor.clustering.embedding import Array
from inframind.advisor.clustering.observing import SYMPTOMS, Facts, Flags, Observed, ordered_facts
from inframind.advisor.clustering.ways import Way
from inframind.advisor.clustering.wording import label

_LEAST_Z = 3.5
_LEAST_LIFT = 1.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """Failures of one way, with what sets them apart.

    Attributes:
        way: in which they failed.
        main: facts that set them apart, its symptom included.
        causes: of their way, strongest first.
        rows: their indices among the runs.
        points_FD: where they stand.
    """

    way: Way
    main: Facts
    causes: tuple[Cause, ...]
    rows: NDArray[np.int64]
    points_FD: Array


def describe(observed: Observed, pattern: Pattern, config: ClusterConfig) -> FailureCluster:
    """The pattern for people, without an id as yet."""
    members_N = np.zeros(len(observed.runs), dtype=np.bool_)
    members_N[pattern.rows] = True
    arrived_N = np.array([run.arrived_at_s for run in observed.runs])
    trend, trend_z = _trend(members_N, arrived_N)
    centroid = pattern.points_FD.mean(axis=0)
    ids = [observed.runs[row].trace_id for row in pattern.rows]
    far = np.linalg.norm(pattern.points_FD - centroid, axis=1).round(9)
    typical = np.lexsort((np.arange(len(far)), far))[: config.exemplars]
    kinds = Counter(kind for row in pattern.rows if (kind := observed.kinds[row]))
    return FailureCluster(
        cluster_id="",
        label=label(pattern.way.kind, pattern.main),
        kinds=dict(kinds),
        size=len(ids),
        share=len(ids) / len(observed.failed),
        runs=len(observed.runs),
        trend=trend,
        trend_z=trend_z,
        traits=tuple(_traits(observed, pattern, members_N, config)),
        exemplars=tuple(ids[index] for index in typical),
        members=tuple(ids),
        centroid=tuple(centroid.round(6).tolist()),
        first_s=float(arrived_N[members_N].min()),
        last_s=float(arrived_N[members_N].max()),
    )


def _trend(members_N: Flags, arrived_N: Array) -> tuple[float, float]:
    """Change of the share of all runs from the first half of the time to the second, and its deviate."""
    later_N = arrived_N >= (arrived_N.min() + arrived_N.max()) / 2
    change = share(members_N, later_N) - share(members_N, ~later_N)
    return (change, proportions_z(members_N, later_N, ~later_N)) if not later_N.all() else (0.0, 0.0)


# Traits ------------------------------------------------------------------------------------------------


def _traits(observed: Observed, pattern: Pattern, members_N: Flags, config: ClusterConfig) -> list[Trait]:
    """The main trait, then what else the pattern has more of than runs that did not fail."""
    found = {pattern.main: _trait(observed, pattern, members_N, pattern.main)}
    for facts in _other_facts(observed, pattern):
        holds_N = observed.holds_N(facts)
        if facts in found or share(holds_N, members_N) < _LEAST_LIFT * share(holds_N, pattern.way.fine_N):
            continue
        found[facts] = _trait(observed, pattern, members_N, facts)
        if len(found) == config.most_traits:
            break
    return list(found.values())


def _other_facts(observed: Observed, pattern: Pattern) -> Iterator[Facts]:
    """The main cause without its symptom, other causes, and what tells more among the runs that have the main cause.

    What merely goes along with the main cause (the servers of a model that truncates) tells nothing among them.
    """
    way = pattern.way
    main = tuple(fact for fact in pattern.main if fact not in way.symptom)
    yield from (facts for facts in (main, way.symptom) if facts)
    yield from (cause.facts for cause in pattern.causes)
    within_N = way.known_N & observed.holds_N(main)
    z_of = {
        facts: proportions_z(way.failing_N, within_N & holds_N, within_N & ~holds_N)
        for facts, holds_N in zip(observed.singles.facts, observed.singles.holds_NM.T, strict=True)
        if facts[0][0] not in SYMPTOMS
    }
    telling = (facts for facts, z in z_of.items() if z >= _LEAST_Z)
    yield from sorted(telling, key=lambda facts: (-z_of[facts], facts))


def _trait(observed: Observed, pattern: Pattern, members_N: Flags, facts: Facts) -> Trait:
    way = pattern.way
    holds_N = observed.holds_N(facts)
    with_N, without_N = way.known_N & holds_N, way.known_N & ~holds_N
    return Trait(
        values=dict(ordered_facts(facts)),
        share=share(holds_N, members_N),
        share_elsewhere=share(holds_N, way.fine_N),
        failing=share(way.failing_N, with_N),
        failing_without=share(way.failing_N, without_N),
        z=proportions_z(way.failing_N, with_N, without_N),
    )
