"""Advice as it is kept: recommendations, what they promise, and what became of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from inframind.traces.shelf import UNPROVEN

RecommendationKind = Literal["cheapest", "highest_performance", "balanced", "model_switch"]
KINDS: tuple[RecommendationKind, ...] = ("cheapest", "highest_performance", "balanced", "model_switch")
Metric = Literal["success", "solved", "on_time", "latency_s", "cost"]
METRICS: tuple[Metric, ...] = ("success", "solved", "on_time", "latency_s", "cost")
"""Right and in time, right, in time (shares of runs); mean seconds and mean cost of a run."""
BY_FILE = "file"
"""Who decided, where the configuration file alone says what was decided."""
AdviceEventKind = Literal[
    "shown", "accepted", "rejected", "proposed", "promoted", "rolled_back", "measured", "reverted"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What recorded runs say that a change would do to one metric.

    Attributes:
        metric: which.
        before: mean of what happened.
        change: expected difference, of all runs, affected or not; 0 where there is not enough evidence.
        low: lower end of its 95 % interval.
        high: upper end.
        runs: runs that were read.
        affected: runs that the change would have concerned.
        effective_size: decisions in effect that it rests on.
        method: name of the estimator.
        objection: why there is not enough evidence, or "".
    """

    metric: Metric
    before: float
    change: float
    low: float
    high: float
    runs: int
    affected: int
    effective_size: float
    method: str
    objection: str = ""

    @property
    def is_enough(self) -> bool:
        """Whether there is enough evidence."""
        return not self.objection


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """One change of the configuration that somebody is asked to accept.

    Attributes:
        recommendation_id: 32 lowercase hex digits.
        made_at_s: seconds since the Unix epoch.
        kind: what it is after.
        configuration_id: of the configuration that it would change.
        cluster_id: failure pattern that it answers, or "" for the whole application.
        title: one line for people.
        reason: why, in a sentence or two.
        rules: ``[[rules]]`` that it adds, as plain data of the file's form.
        predictions: what it promises.
        evidence: ids of traces that speak for it.
        segment: of the person it is made for, or "".
        domain: of the questions it concerns, or "".
        features: what the chooser saw of it, as numbers.
        features_version: version of these columns.
        chosen_by: name of the chooser.
        probability: with which it came first among those on offer, as far as the chooser knows.
        rank: 0-based place among those shown together.
    """

    recommendation_id: str
    made_at_s: float
    kind: RecommendationKind
    configuration_id: str
    cluster_id: str = ""
    title: str
    reason: str
    rules: tuple[Mapping[str, Any], ...]
    predictions: tuple[Prediction, ...]
    evidence: tuple[str, ...] = ()
    segment: str = ""
    domain: str = ""
    features: tuple[float, ...] = ()
    features_version: str = ""
    chosen_by: str = ""
    probability: float = 1.0
    rank: int = 0

    def prediction(self, metric: Metric) -> Prediction | None:
        """What it promises of one metric, or None."""
        return next((one for one in self.predictions if one.metric == metric), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdviceEvent:
    """One thing that became of a recommendation.

    Attributes:
        recommendation_id: of which.
        kind: what. ``proposed``: a version with it is tried; ``promoted``: it serves all runs; ``measured``: runs
            before and after were compared; ``reverted``: a person took it back.
        at_s: seconds since the Unix epoch.
        by: who: ``user``, a name, ``gate``, ``advisor``.
        facts: plain data: the file and its backup, the policy version, ``before`` and ``after`` with counts, ...
        number: 1-based place among all events; 0 before it is kept.
    """

    recommendation_id: str
    kind: AdviceEventKind
    at_s: float
    by: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    number: int = 0

    @property
    def is_unproven(self) -> bool:
        """Whether its trial ended for want of evidence, with nothing that speaks against it."""
        return self.kind == "rolled_back" and bool(self.facts.get(UNPROVEN))

    @property
    def is_loss(self) -> bool:
        """Whether it only says that the file lacks the rules: somebody overwrote it, and nobody took anything back.

        Where a copy of the file lies beside it with these rules, it was `inframind advise revert` that took them out.
        """
        return self.kind == "reverted" and self.by == BY_FILE and not self.facts.get("backup")
