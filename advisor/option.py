"""A change of the configuration that could be recommended, and what it promises."""

from __future__ import annotations

from dataclasses import dataclass

from inframind.router.rules import RoutingRule
from inframind.traces.advice import Metric, Prediction, RecommendationKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One change for one purpose.

    Attributes:
        option_id: 12 hex digits of what it changes and for whom; the same change has the same id tomorrow.
        kind: what it is after.
        cluster_id: failure pattern that it answers, or "" for the whole application.
        domain: of the questions it concerns, or "" for all.
        rules: what it adds to the configuration.
        title: one line for people, such as "Do not use qwen-7b where the domain is math".
        reason: why, in a sentence or two, with figures.
        predictions: what it promises, one per metric.
        evidence: ids of traces that speak for it.
    """

    option_id: str
    kind: RecommendationKind
    cluster_id: str
    domain: str
    rules: tuple[RoutingRule, ...]
    title: str
    reason: str
    predictions: tuple[Prediction, ...]
    evidence: tuple[str, ...]

    def prediction(self, metric: Metric) -> Prediction | None:
        """What it promises of one metric, or None."""
        return next((one for one in self.predictions if one.metric == metric), None)
