"""What could be recommended today: analyses out of a generator, each of another application, with all four kinds.

What an option promises depends on its kind only as its name says: the cheapest saves cost and hardly changes success,
and so on; how much, and how sure it is, is drawn. Names are new every time, so that nothing can be learned by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inframind.advisor.analysis import Analysis
from inframind.advisor.cluster import FailureCluster, Trait, TraitName
from inframind.advisor.option import Option
from inframind.router.rules import Circumstances, RoutingRule
from inframind.traces.advice import KINDS, Metric, Prediction, RecommendationKind

DOMAINS = ("math", "code", "knowledge", "general")
PATTERNS = ("truncation", "contradiction", "night", "waste", "plain")
DIMENSION = 32
"""Of failure patterns' centroids."""
_PATTERNS_SEED = 71_200
_Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class _Promise:
    """Ranges of what a kind of change promises: points of success, and relative cost and latency."""

    success: _Range
    cost: _Range
    latency: _Range
    moves_models: float


_PROMISES: Mapping[RecommendationKind, _Promise] = {
    "cheapest": _Promise((-0.03, 0.02), (-0.5, -0.1), (-0.3, 0.1), 0.5),
    "highest_performance": _Promise((0.02, 0.12), (0.0, 0.6), (-0.1, 0.4), 0.5),
    "balanced": _Promise((0.0, 0.06), (-0.25, 0.05), (-0.2, 0.05), 0.25),
    "model_switch": _Promise((0.0, 0.10), (-0.3, 0.4), (-0.2, 0.2), 1.0),
}


class Offers:
    """Draws analyses.

    Args:
        rng: all chance there is.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng, self._drawn = rng, 0
        self._centres = np.random.default_rng(_PATTERNS_SEED).standard_normal((len(PATTERNS), DIMENSION))

    def draw(self, at_s: float) -> Analysis:
        """An analysis with one failure pattern and an option of every kind that answers it."""
        rng, self._drawn = self._rng, self._drawn + 1
        app = f"app{self._drawn:05d}"
        domain = str(rng.choice(DOMAINS))
        cluster = self._cluster(app, domain)
        options = tuple(self._option(app, kind, cluster, domain) for kind in KINDS)
        return Analysis(
            at_s=at_s,
            configuration_id=f"{self._drawn:064x}",
            runs=cluster.runs,
            labelled=cluster.runs // 2,
            failures=round(cluster.size / cluster.share),
            since_s=at_s - 86_400.0,
            until_s=at_s,
            clusters=(cluster,),
            options=options,
        )

    def _cluster(self, app: str, domain: str) -> FailureCluster:
        rng = self._rng
        pattern = int(rng.integers(len(PATTERNS)))
        runs, share, of_runs = 2000, float(rng.uniform(0.1, 0.6)), float(rng.uniform(0.02, 0.2))
        size = max(1, round(of_runs * runs))
        late = round(float(rng.beta(0.5, 0.5)) * size)
        centroid: NDArray[np.float64] = self._centres[pattern] + 0.5 * rng.standard_normal(DIMENSION)
        traits: dict[TraitName, str] = {"model": f"{app}-large", "domain": domain}
        return FailureCluster(
            cluster_id=f"{int(rng.integers(2**47)):012x}",
            label=f"{PATTERNS[pattern]} failures of {app}-large in {domain}",
            kinds={"late": late, "wrong": size - late},
            size=size,
            share=share,
            runs=runs,
            trend=float(rng.normal(0, 0.01)),
            trend_z=float(rng.normal(0, 1.5)),
            traits=(
                Trait(
                    values=traits, share=0.8, share_elsewhere=0.3, failing=0.3, failing_without=0.05, z=8.0
                ),
            ),
            exemplars=(),
            centroid=tuple(centroid.tolist()),
        )

    def _option(self, app: str, kind: RecommendationKind, cluster: FailureCluster, domain: str) -> Option:
        rng, promise = self._rng, _PROMISES[kind]
        rule = _rule(app, kind, domain, moves_models=bool(rng.random() < promise.moves_models))
        return Option(
            option_id=f"{int(rng.integers(2**47)):012x}",
            kind=kind,
            cluster_id=cluster.cluster_id,
            domain=domain,
            rules=(rule,),
            title=f"{kind} for {domain} of {app}",
            reason="drawn",
            predictions=(
                self._share("success", promise.success, cluster),
                self._share("on_time", (-0.02, 0.06), cluster),
                self._amount("latency_s", promise.latency, cluster),
                self._amount("cost", promise.cost, cluster),
            ),
            evidence=(),
        )

    def _share(self, metric: Metric, change: _Range, cluster: FailureCluster) -> Prediction:
        return self._prediction(metric, float(self._rng.uniform(0.4, 0.85)), change, 0.02, cluster)

    def _amount(self, metric: Metric, relative: _Range, cluster: FailureCluster) -> Prediction:
        before = float(np.exp(self._rng.uniform(0.0, 3.0)))
        scaled = (relative[0] * before, relative[1] * before)
        return self._prediction(metric, before, scaled, 0.06 * before, cluster)

    def _prediction(
        self, metric: Metric, before: float, change: _Range, spread: float, cluster: FailureCluster
    ) -> Prediction:
        rng = self._rng
        found, half = float(rng.uniform(*change)), spread * float(rng.uniform(0.5, 2.0))
        return Prediction(
            metric=metric,
            before=before,
            change=found,
            low=found - half,
            high=found + half,
            runs=cluster.runs,
            affected=cluster.size,
            effective_size=float(rng.uniform(50, 500)),
            method="drawn",
        )


def _rule(app: str, kind: RecommendationKind, domain: str, *, moves_models: bool) -> RoutingRule:
    when = Circumstances(domains=frozenset({domain}))
    name = f"{app}-{kind}"
    if moves_models:
        return RoutingRule(name=name, when=when, avoid_models=frozenset({f"{app}-{kind}-model"}))
    return RoutingRule(name=name, when=when, avoid_strategies=frozenset({f"{app}-{kind}-strategy"}))
