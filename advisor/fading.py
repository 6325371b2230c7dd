"""Failure patterns that are over: something was mended that no configuration names, as a server or a provider's model.

A pattern is what its main trait's runs fail more often than the others do. It is over where its share of all runs fell
for sure, and of that excess surely no more than a quarter is left among the latest runs: a quarter of them, and a day's
at least, so that what happens at night is not over by day.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from inframind.advisor.cluster import FailureCluster
from inframind.advisor.clustering.observing import SYMPTOMS, Flags, Observed, observe, ordered_facts
from inframind.advisor.options.doubts import latest_part
from inframind.traces.newcombe import share_difference
from inframind.traces.records import SolvedKeys, Trajectory

_FALLEN_Z = -3.0
_LEFT = 0.25
_FEWEST = 30
"""Runs with and without a trait, early and late, below which nothing is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fading:
    """Patterns, told apart.

    Attributes:
        lasting: those that are still there, as far as the runs say.
        notes: which are over.
    """

    lasting: tuple[FailureCluster, ...]
    notes: tuple[str, ...] = ()


def faded(clusters: Sequence[FailureCluster], runs: Sequence[Trajectory], keys: SolvedKeys) -> Fading:
    """Which patterns are still there.

    Args:
        clusters: patterns that were found in the runs.
        runs: in any order.
        keys: which feedback says whether a run was solved.
    """
    falling = {cluster.cluster_id for cluster in clusters if cluster.trend_z <= _FALLEN_Z}
    if not falling:
        return Fading(lasting=tuple(clusters))
    observed = observe(runs, keys)
    is_late_N = _late(observed)
    over = {
        cluster.cluster_id: note
        for cluster in clusters
        if cluster.cluster_id in falling and is_late_N is not None
        if (note := _over(cluster, observed, is_late_N))
    }
    return Fading(
        lasting=tuple(cluster for cluster in clusters if cluster.cluster_id not in over),
        notes=tuple(over.values()),
    )


def _late(observed: Observed) -> Flags | None:
    arrived_N = np.array([run.arrived_at_s for run in observed.runs])
    order_N = np.argsort(arrived_N, kind="stable")
    is_late_R = latest_part(arrived_N[order_N])
    if is_late_R is None:
        return None
    is_late_N = np.zeros(len(arrived_N), dtype=np.bool_)
    is_late_N[order_N] = is_late_R
    return is_late_N


def _over(cluster: FailureCluster, observed: Observed, is_late_N: Flags) -> str:
    """What is said of a pattern that is over, or ""."""
    facts = ordered_facts([(name, value) for name, value in cluster.main_trait.items()])
    symptoms = tuple(fact for fact in facts if fact[0] in SYMPTOMS)
    has_N = observed.holds_N(tuple(fact for fact in facts if fact[0] not in SYMPTOMS))
    failed_N = observed.failed_as_N(cluster.main_kind) & observed.holds_N(symptoms)
    known_N = _known(cluster, observed) | failed_N
    counts = [
        (int((failed_N & which_N).sum()), int(which_N.sum()))
        for which_N in (
            known_N & has_N & ~is_late_N,
            known_N & ~has_N & ~is_late_N,
            known_N & has_N & is_late_N,
            known_N & ~has_N & is_late_N,
        )
    ]
    if min(of for _, of in counts) < _FEWEST:
        return ""
    early, early_others, late, late_others = counts
    before = share_difference(*early, *early_others)
    now = share_difference(*late, *late_others)
    if before.low <= 0 or now.high >= _LEFT * before.change:
        return ""
    return (
        f'"{cluster.label}" seems to be over: of the latest {late[1]:,} such runs {late[0] / late[1]:.0%} failed so, '
        f"of the {early[1]:,} before {early[0] / early[1]:.0%}. Nothing is recommended against it."
    )


def _known(cluster: FailureCluster, observed: Observed) -> Flags:
    """Of which runs it is known whether they failed so: a late one cannot show that it was wrong."""
    ended_N = observed.ended_N
    if cluster.main_kind != "wrong":
        return ended_N
    on_time_N = np.array([run.on_time for run in observed.runs], dtype=np.bool_)
    return ended_N & observed.judged_N & on_time_N
