"""Ids of patterns: the same pattern keeps its id; a new one has one that anybody would give it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from inframind.advisor.cluster import FailureCluster, TraitName
from inframind.advisor.clustering.observing import hours_in

_LEAST_ALIKE = 0.6
_DIGITS = 12
_QUARTERS = ("night", "morning", "noon", "evening")


def identified(
    found: Sequence[FailureCluster], previous: Sequence[FailureCluster]
) -> tuple[FailureCluster, ...]:
    """Patterns with ids: of the earlier pattern that each is most like, one to one, else of its own.

    Two are alike by half their main traits and half their centroids, if they fail in the same way. So a range of
    hours may move a little, and a fact may be added, but neither traits nor centroid alone are enough.
    """
    ids = _kept_ids(found, previous)
    taken = set(ids.values())
    for index, cluster in enumerate(found):
        if index not in ids:
            ids[index] = _own_id(cluster, taken)
            taken.add(ids[index])
    return tuple(replace(cluster, cluster_id=ids[index]) for index, cluster in enumerate(found))


def alike(left: FailureCluster, right: FailureCluster) -> float:
    """How much two patterns are the same, from 0 to 1."""
    if left.main_kind != right.main_kind:
        return 0.0
    return 0.5 * _traits_alike(left.main_trait, right.main_trait) + 0.5 * _cosine(
        left.centroid, right.centroid
    )


def _kept_ids(found: Sequence[FailureCluster], previous: Sequence[FailureCluster]) -> dict[int, str]:
    pairs = sorted(
        (-alike(new, old), old.cluster_id, index)
        for index, new in enumerate(found)
        for old in previous
        if alike(new, old) >= _LEAST_ALIKE
    )
    ids: dict[int, str] = {}
    for _, cluster_id, index in pairs:
        if index not in ids and cluster_id not in ids.values():
            ids[index] = cluster_id
    return ids


def _own_id(cluster: FailureCluster, taken: set[str]) -> str:
    """Digest of how it fails and of its main trait; hours count as a quarter of the day."""
    words = sorted(
        f"{name}={_quarter(value) if name == 'hour_utc' else value}"
        for name, value in cluster.main_trait.items()
    )
    salt = 0
    while True:
        text = "|".join([cluster.main_kind, *words, *([str(salt)] if salt else [])])
        cluster_id = hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
        if cluster_id not in taken:
            return cluster_id
        salt += 1


def _quarter(span: str) -> str:
    """Quarter of the day in which the middle of a range lies; nights are from 23 to 5."""
    hours = hours_in(span)
    middle = hours[0] + len(hours) / 2
    return _QUARTERS[int((middle + 1) % 24 // 6)]


def _traits_alike(left: Mapping[TraitName, str], right: Mapping[TraitName, str]) -> float:
    """Facts in common over facts of either; ranges of hours by the hours in common."""
    names = left.keys() | right.keys()
    if not names:
        return 1.0
    return sum(_values_alike(name, left.get(name), right.get(name)) for name in sorted(names)) / len(names)


def _values_alike(name: TraitName, left: str | None, right: str | None) -> float:
    if left is None or right is None:
        return 0.0
    if name != "hour_utc":
        return float(left == right)
    mine, theirs = set(hours_in(left)), set(hours_in(right))
    return len(mine & theirs) / len(mine | theirs)


def _cosine(left: Sequence[float], right: Sequence[float]) -> float:
    a, b = np.asarray(left), np.asarray(right)
    if a.shape != b.shape or not a.any() or not b.any():
        return 0.0
    return float(max(0.0, a @ b / (np.linalg.norm(a) * np.linalg.norm(b))))
