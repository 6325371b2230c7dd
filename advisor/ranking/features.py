"""What choosers see of an option: fixed, versioned, bounded columns, and no name in any of them.

No column says which model, server or strategy a change is about, who makes it, or what the application calls its
parts: two options that promise the same look the same, whoever they are in favour of. What the columns are is written
in `COLUMNS`, one by one.

K = options, D = columns.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from inframind.advisor.analysis import Analysis
from inframind.advisor.cluster import FailureCluster
from inframind.advisor.option import Option
from inframind.advisor.ranking.changes import switches_model
from inframind.advisor.ranking.protocol import Array
from inframind.router.rules import RoutingRule
from inframind.router.topology import MAX_TEAM_SIZE
from inframind.traces.advice import KINDS, Metric, Prediction, RecommendationKind
from inframind.traces.configurations import Configuration

VERSION = "advice-1"
"""Of these columns; kept with every recommendation. Another order, meaning or scale is another version."""
Group = Literal[
    "level", "kind", "change", "cluster", "pattern", "configuration", "domain", "promise", "history"
]
"""Columns of one group have one prior spread."""


@dataclass(frozen=True, slots=True)
class Column:
    """One number that is known of an option.

    Attributes:
        name: of the column.
        group: what it is about.
        low: smallest value.
        high: largest value.
        says: what it is.
    """

    name: str
    group: Group
    low: float
    high: float
    says: str


@dataclass(frozen=True, slots=True)
class Tally:
    """Verdicts of some sort.

    Attributes:
        accepted: recommendations that were accepted.
        rejected: recommendations that were rejected.
    """

    accepted: int = 0
    rejected: int = 0

    @property
    def labels(self) -> int:
        """Verdicts."""
        return self.accepted + self.rejected

    @property
    def leaning(self) -> float:
        """Acceptance as ``2 (a + 1) / (n + 2) - 1``: -1 to 1, and 0 of nothing (Laplace's rule)."""
        return 2 * (self.accepted + 1) / (self.labels + 2) - 1


class Acceptance(Protocol):
    """Counts verdicts."""

    def tally(
        self,
        *,
        segment: str | None = None,
        kind: RecommendationKind | None = None,
        switches: bool | None = None,
    ) -> Tally:
        """Verdicts of a segment, of a kind, of changes that switch models or of those that do not; None is all."""
        ...


_METRICS: tuple[Metric, ...] = ("success", "on_time", "latency_s", "cost")
_FOLDS = 4
_DOMAINS = ("math", "code", "knowledge")
_SHARE_SCALE = 0.1
"""A change of a share by this much is a large one: tanh(1)."""
_RELATIVE_SCALE = 0.25
"""So is one of seconds or cost, of what it was."""
_RATIO_SCALE = 0.5
"""So is one of the logarithm of success per cost."""
_LEAST_BEFORE = 1e-9
"""Seconds, cost and shares below this are nothing that a change could be a part of."""
_SURE_Z = 2.0
_Z95 = 1.959964
_MANY = 32
"""A count of this many is 1."""
_MANY_LABELS = 10
"""Half-way to knowing a segment."""


def _promise_columns() -> tuple[Column, ...]:
    says = {
        "success": "predicted change of the share that is right and in time, tanh(change / 0.1)",
        "on_time": "predicted change of the share that is in time, tanh(change / 0.1)",
        "latency_s": "predicted seconds saved, of those before, tanh(saved / 0.25)",
        "cost": "predicted cost saved, of that before, tanh(saved / 0.25)",
    }
    columns: list[Column] = []
    for metric in _METRICS:
        columns += (
            Column(f"{metric}_gain", "promise", -1, 1, says[metric] + "; 0 without enough evidence"),
            Column(f"{metric}_sure", "promise", -1, 1, f"how sure that is for {metric}, signed: tanh(z / 2)"),
            Column(f"{metric}_known", "promise", 0, 1, f"whether there is enough evidence on {metric}"),
        )
    return tuple(columns)


COLUMNS: tuple[Column, ...] = (
    Column("level", "level", 1, 1, "1: how readily anything is accepted"),
    *(Column(f"is_{kind}", "kind", 0, 1, f"whether the change is after that: {kind}") for kind in KINDS),
    Column("switches_model", "change", 0, 1, "whether steps are moved from one model to another"),
    Column("avoids_endpoints", "change", 0, 1, "whether servers are avoided"),
    Column("avoids_strategies", "change", 0, 1, "whether strategies are avoided, for all models"),
    Column("narrows_plans", "change", 0, 1, "whether topologies or team sizes are narrowed"),
    Column("is_conditional", "change", 0, 1, "share of its rules that hold under some circumstances only"),
    Column("rules_added", "change", 0, 1, "number of its rules, log(1 + n) / log(1 + 32)"),
    Column(
        "for_cluster", "cluster", 0, 1, "whether it answers a failure pattern; the next ones are 0 where not"
    ),
    Column("cluster_share", "cluster", 0, 1, "share of all failures that are of that pattern"),
    Column("cluster_rate", "cluster", 0, 1, "square root of the share of all runs that are of that pattern"),
    Column("cluster_trend", "cluster", -1, 1, "whether it becomes more common, tanh(z / 2) of the trend"),
    Column("cluster_failed", "cluster", 0, 1, "share of its runs that had no answer"),
    Column("cluster_late", "cluster", 0, 1, "share of its runs that were late"),
    Column("cluster_wrong", "cluster", 0, 1, "share of its runs that were wrong"),
    *(
        Column(
            f"pattern_{k}", "pattern", -1, 1, f"tanh of projection {k} of its unit centroid on fixed signs"
        )
        for k in range(_FOLDS)
    ),
    Column(
        "rules_in_force", "configuration", 0, 1, "rules of the present configuration, log(1 + n) / log(33)"
    ),
    Column("rules_of_advice", "configuration", 0, 1, "share of these that came from recommendations"),
    Column("models", "configuration", 0, 1, "number of models, log(1 + n) / log(33)"),
    Column("strategies", "configuration", 0, 1, "number of strategies, log(1 + n) / log(33)"),
    Column("topologies", "configuration", 0, 1, "number of topologies, log(1 + n) / log(33)"),
    Column("largest_team", "configuration", 0, 1, "largest team, of the largest there can be"),
    Column("has_tools", "configuration", 0, 1, "whether tools are in use"),
    Column("rules_x_switch", "configuration", 0, 1, "rules_in_force where models are switched, else 0"),
    Column("models_x_switch", "configuration", 0, 1, "models where models are switched, else 0"),
    *(
        Column(f"for_{name}", "domain", 0, 1, f"whether it concerns {name} questions only")
        for name in _DOMAINS
    ),
    Column("for_other", "domain", 0, 1, "whether it concerns questions of another one domain only"),
    Column("for_own", "domain", 0, 1, "whether it concerns the person's domain only"),
    *_promise_columns(),
    Column("bargain", "promise", -1, 1, "success per cost, after over before: tanh(log ratio / 0.5)"),
    Column("segment_kind", "history", -1, 1, "acceptance of this kind in the segment, see Tally.leaning"),
    Column("everyone_kind", "history", -1, 1, "the same of all segments"),
    Column(
        "segment_switch", "history", -1, 1, "acceptance in the segment of changes that switch models (or not)"
    ),
    Column("everyone_switch", "history", -1, 1, "the same of all segments"),
    Column("segment_known", "history", 0, 1, "verdicts of the segment, n / (n + 10)"),
)
NAMES: tuple[str, ...] = tuple(column.name for column in COLUMNS)
PLACES: Mapping[str, int] = {name: place for place, name in enumerate(NAMES)}


def features_of(
    options: Sequence[Option],
    *,
    analysis: Analysis,
    acceptance: Acceptance,
    segment: str = "",
    domain: str = "",
    configuration: Configuration | None = None,
) -> Array:
    """Columns of options (K, D), for a person of a segment and domain.

    Args:
        options: of the analysis.
        analysis: knows their failure patterns.
        acceptance: what was accepted before; usually a `inframind.advisor.ranking.history.History`.
        segment: of the person, "" where there are none.
        domain: of the person's questions, "" for all.
        configuration: in force; its columns are 0 where it is not known.
    """
    clusters = {one.cluster_id: _cluster(one) for one in analysis.clusters}
    nowhere = [0.0] * (7 + _FOLDS)
    present = _configuration(configuration)
    known = acceptance.tally(segment=segment).labels
    rows = []
    for option in options:
        switches = switches_model(option.rules)
        rows.append(
            [
                1.0,
                *(float(option.kind == kind) for kind in KINDS),
                *_change(option.rules, switches),
                *clusters.get(option.cluster_id, nowhere),
                *present,
                present[0] * switches,
                present[2] * switches,
                *_domain(option.domain, domain),
                *_promises(option),
                *_history(acceptance, segment, option.kind, switches),
                known / (known + _MANY_LABELS),
            ]
        )
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(COLUMNS))


def _change(rules: Sequence[RoutingRule], switches: bool) -> tuple[float, ...]:
    always = RoutingRule.model_fields["when"].default
    return (
        float(switches),
        float(any(rule.avoid_endpoints for rule in rules)),
        float(any(rule.avoid_strategies for rule in rules)),
        float(any(rule.avoid_topologies or rule.most_agents is not None for rule in rules)),
        sum(rule.when != always for rule in rules) / max(len(rules), 1),
        _count(len(rules)),
    )


def _cluster(cluster: FailureCluster) -> list[float]:
    size = max(cluster.size, 1)
    return [
        1.0,
        _clipped(cluster.share),
        math.sqrt(_clipped(cluster.size / max(cluster.runs, 1))),
        math.tanh(cluster.trend_z / _SURE_Z),
        *(_clipped(cluster.kinds.get(kind, 0) / size) for kind in ("failed", "late", "wrong")),
        *_folded(cluster.centroid),
    ]


def _folded(centroid: Sequence[float]) -> list[float]:
    """A unit vector's projections on vectors of signs: about standard normal, and far apart for what is far apart."""
    if not centroid:
        return [0.0] * _FOLDS
    unit = np.asarray(centroid, dtype=np.float64)
    unit = unit / max(float(np.linalg.norm(unit)), 1e-12)
    folded: list[float] = np.tanh(_signs(len(unit)) @ unit).tolist()
    return folded


def _signs(length: int) -> Array:
    """Signs (4, length) that are the same everywhere for ever: a bit of a mixed number each (SplitMix64)."""
    mixed = np.arange(1, length + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed = mixed ^ (mixed >> np.uint64(31))
    bits = (mixed[None, :] >> np.arange(_FOLDS, dtype=np.uint64)[:, None]) & np.uint64(1)
    return 2 * bits.astype(np.float64) - 1


def _configuration(configuration: Configuration | None) -> list[float]:
    if configuration is None:
        return [0.0] * 7
    document = configuration.document
    rules = document.get("rules") or ()
    advised = sum(bool(rule.get("advice")) for rule in rules)
    return [
        _count(len(rules)),
        advised / max(len(rules), 1),
        *(_count(_size(document.get(name))) for name in ("models", "strategies", "topologies")),
        _clipped(float(document.get("max_team") or 0) / MAX_TEAM_SIZE),
        float(bool(document.get("tools"))),
    ]


def _domain(of_option: str, of_person: str) -> tuple[float, ...]:
    return (
        *(float(of_option == name) for name in _DOMAINS),
        float(bool(of_option) and of_option not in _DOMAINS),
        float(bool(of_option) and of_option == of_person),
    )


def _promises(option: Option) -> list[float]:
    found = {one.metric: one for one in option.predictions if one.is_enough}
    columns: list[float] = []
    for metric in _METRICS:
        columns += _promise(metric, found.get(metric))
    columns.append(_bargain(found.get("success"), found.get("cost")))
    return columns


def _promise(metric: Metric, prediction: Prediction | None) -> tuple[float, float, float]:
    if prediction is None:
        return 0.0, 0.0, 0.0
    is_share = metric in ("success", "on_time")
    sign = 1.0 if is_share else -1.0
    scale = _SHARE_SCALE if is_share else _RELATIVE_SCALE * max(abs(prediction.before), _LEAST_BEFORE)
    spread = max((prediction.high - prediction.low) / (2 * _Z95), 1e-9)
    gain = sign * prediction.change
    return math.tanh(gain / scale), math.tanh(gain / spread / _SURE_Z), 1.0


def _bargain(success: Prediction | None, cost: Prediction | None) -> float:
    """0 where either is unknown: no bargain is seen where there is no evidence of one."""
    if success is None or cost is None or min(success.before, cost.before) < _LEAST_BEFORE:
        return 0.0
    better = max(success.before + success.change, 1e-3) / success.before
    dearer = max(cost.before + cost.change, 1e-3 * cost.before) / cost.before
    return math.tanh(math.log(better / dearer) / _RATIO_SCALE)


def _history(
    acceptance: Acceptance, segment: str, kind: RecommendationKind, switches: bool
) -> tuple[float, ...]:
    return (
        acceptance.tally(segment=segment, kind=kind).leaning,
        acceptance.tally(kind=kind).leaning,
        acceptance.tally(segment=segment, switches=switches).leaning,
        acceptance.tally(switches=switches).leaning,
    )


def _size(value: Any) -> int:
    return len(value) if value else 0


def _count(number: int) -> float:
    return _clipped(math.log1p(number) / math.log1p(_MANY))


def _clipped(share: float) -> float:
    return min(max(share, 0.0), 1.0)
