"""A failure pattern: runs that failed alike, and what sets them apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from inframind.advisor.failure import FailureKind

TraitName = Literal[
    "model",
    "endpoint",
    "strategy",
    "role",
    "topology",
    "team_size",
    "domain",
    "hour_utc",
    "finish_reason",
    "error",
    "prompt_length",
    "load",
    "budget",
]
"""What is looked at. ``model``, ``endpoint``, ``strategy``, ``role``, ``finish_reason`` and ``error`` are of any step
of the run; ``hour_utc`` is the hour of arrival; ``prompt_length``, ``load`` and ``budget`` are low, middle or high."""
OTHER_THAN = "other than "
"""Stands before the value of a ``model``, ``strategy`` or ``topology`` where any other one is meant, in any step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trait:
    """A feature, or a few together, in which failures of a cluster differ from runs that did not fail.

    Attributes:
        values: value of each feature, such as ``{"strategy": "Flash", "role": "Critic"}``. An ``hour_utc`` range is
            written ``"22-6"``; ``{"strategy": "other than Plain"}`` is any other, see `OTHER_THAN`.
        share: of the cluster's runs that have it.
        share_elsewhere: of the runs that did not fail that have it.
        failing: share of all runs with it that fail as this cluster does.
        failing_without: the same of the runs without it.
        z: standard normal deviate of the difference of these two.
    """

    values: Mapping[TraitName, str]
    share: float
    share_elsewhere: float
    failing: float
    failing_without: float
    z: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureCluster:
    """A failure pattern.

    Attributes:
        cluster_id: 12 hex digits; a pattern that is found again keeps its id.
        label: short, for people: what fails, where, as in "truncated answers of qwen-7b in math".
        kinds: number of its runs by how they failed.
        size: number of its runs.
        share: of all failures.
        runs: runs that were looked at, failed or not.
        trend: change of its share of all runs, second half of the time less first half.
        trend_z: standard normal deviate of it.
        traits: what sets it apart, most telling first.
        exemplars: ids of its most typical traces.
        members: ids of all its traces.
        centroid: of its embedding.
        first_s: earliest arrival, seconds since the Unix epoch.
        last_s: latest.
        notes: what else a person should know of it, as sentences without a capital.
    """

    cluster_id: str
    label: str
    kinds: Mapping[FailureKind, int]
    size: int
    share: float
    runs: int
    trend: float
    trend_z: float
    traits: tuple[Trait, ...]
    exemplars: tuple[str, ...]
    members: tuple[str, ...] = field(repr=False, default=())
    centroid: tuple[float, ...] = field(repr=False, default=())
    first_s: float = 0.0
    last_s: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def main_kind(self) -> FailureKind:
        """How most of its runs failed."""
        return max(self.kinds, key=lambda kind: self.kinds[kind])

    @property
    def main_trait(self) -> Mapping[TraitName, str]:
        """What sets it apart most; empty where nothing does."""
        return self.traits[0].values if self.traits else {}
