"""Options, analyses, recommendations and lessons, with everything that a test does not name."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from inframind.advisor.analysis import Analysis
from inframind.advisor.cluster import FailureCluster
from inframind.advisor.option import Option
from inframind.advisor.ranking.features import COLUMNS, PLACES, VERSION
from inframind.advisor.ranking.protocol import Array, Lesson, Verdict
from inframind.router.rules import RoutingRule
from inframind.traces.advice import KINDS, AdviceEvent, Metric, Prediction, Recommendation, RecommendationKind

CONFIGURATION = "c" * 64


@dataclass
class Bench:
    """Makes things; numbers those that need to be told apart."""

    count: itertools.count[int] = field(default_factory=itertools.count)

    def new_id(self) -> str:
        return f"{next(self.count):032x}"

    def prediction(self, metric: Metric, change: float, *, half: float = 0.05, **more: Any) -> Prediction:
        known: dict[str, Any] = {
            "before": 0.5,
            "low": change - half,
            "high": change + half,
            "runs": 500,
            "affected": 200,
            "effective_size": 150.0,
            "method": "dr",
        }
        return Prediction(metric=metric, change=change, **{**known, **more})

    def rule(self, **asked: Any) -> RoutingRule:
        return RoutingRule(name=asked.pop("name", "rule"), **(asked or {"avoid_models": frozenset({"a"})}))

    def option(self, kind: RecommendationKind = "balanced", **more: Any) -> Option:
        number = next(self.count)
        known: dict[str, Any] = {
            "option_id": f"{number:012x}",
            "cluster_id": "",
            "domain": "",
            "rules": (self.rule(avoid_models=frozenset({f"model-{number}"})),),
            "title": "Change something",
            "reason": "It helps.",
            "predictions": (self.prediction("success", 0.05),),
            "evidence": (),
        }
        return Option(kind=kind, **{**known, **more})

    def four(self) -> tuple[Option, ...]:
        """One option of each kind, equal but for it."""
        return tuple(self.option(kind) for kind in KINDS)

    def cluster(self, cluster_id: str = "0" * 12, **more: Any) -> FailureCluster:
        known: dict[str, Any] = {
            "label": "late answers",
            "kinds": {"late": 6, "wrong": 2},
            "size": 8,
            "share": 0.4,
            "runs": 200,
            "trend": 0.1,
            "trend_z": 2.0,
            "traits": (),
            "exemplars": (),
            "centroid": (0.6, -0.8, 0.0),
        }
        return FailureCluster(cluster_id=cluster_id, **{**known, **more})

    def analysis(self, options: tuple[Option, ...], clusters: tuple[FailureCluster, ...] = ()) -> Analysis:
        return Analysis(
            at_s=0.0,
            configuration_id=CONFIGURATION,
            runs=200,
            labelled=150,
            failures=20,
            since_s=0.0,
            until_s=1.0,
            clusters=clusters,
            options=options,
        )

    def recommendation(self, kind: RecommendationKind = "balanced", **more: Any) -> Recommendation:
        known: dict[str, Any] = {
            "recommendation_id": self.new_id(),
            "made_at_s": 0.0,
            "configuration_id": CONFIGURATION,
            "title": "Change something",
            "reason": "It helps.",
            "rules": ({"name": "rule", "avoid_models": ["a"]},),
            "predictions": (self.prediction("success", 0.05),),
            "features": tuple(self.columns(kind).tolist()),
            "features_version": VERSION,
        }
        return Recommendation(kind=kind, **{**known, **more})

    def event(
        self, made: Recommendation, kind: Any, at_s: float, by: str = "user", **facts: Any
    ) -> AdviceEvent:
        return AdviceEvent(recommendation_id=made.recommendation_id, kind=kind, at_s=at_s, by=by, facts=facts)

    def columns(self, kind: RecommendationKind = "balanced", **values: float) -> Array:
        columns_D = np.zeros(len(COLUMNS))
        for name, value in {"level": 1.0, f"is_{kind}": 1.0, **values}.items():
            columns_D[PLACES[name]] = value
        return columns_D

    def lesson(
        self,
        verdict: Verdict = "accepted",
        kind: RecommendationKind = "balanced",
        *,
        values: dict[str, float] | None = None,
        **more: Any,
    ) -> Lesson:
        number = next(self.count)
        known: dict[str, Any] = {
            "recommendation_id": f"{number:032x}",
            "features_D": self.columns(kind, **(values or {})),
            "segment": "",
            "at_s": float(number),
        }
        return Lesson(verdict=verdict, **{**known, **more})

    def random_lessons(self, rng: np.random.Generator, count: int, segments: int = 3) -> list[Lesson]:
        """Bounded columns, verdicts that hang on some of them, some improved."""
        lessons = []
        for _ in range(count):
            kind = KINDS[rng.integers(4)]
            values = {name: float(rng.uniform(-1, 1)) for name in ("success_gain", "cost_gain", "pattern_1")}
            likes = values["cost_gain"] + (kind == "cheapest") > rng.normal()
            lessons.append(
                self.lesson(
                    "accepted" if likes else "rejected",
                    kind,
                    values=values,
                    segment=f"segment-{rng.integers(segments)}",
                    improved=bool(likes and rng.random() < 0.5),
                )
            )
        return lessons


@pytest.fixture
def bench() -> Bench:
    return Bench()
