"""A latency model for contenders that never look at load, and for oracles, who reckon latencies themselves."""

from __future__ import annotations

import numpy as np

from inframind.fleet.snapshot import FleetSnapshot
from inframind.router.latency import LatencyMap

NO_TIME_S = 1e-3


class NoForecast:
    """Predicts next to no time for everything, and learns nothing.

    With it the decider masks nothing as too slow: a blind contender then really asks the model that it names,
    however long the queue, as the published blind routers do. Its calls are ordered by deadline alone.

    Args:
        models: number of models.
        strategies: number of strategies.
    """

    def __init__(self, models: int, strategies: int) -> None:
        nothing_s = np.full((models, strategies), NO_TIME_S)
        self._map = LatencyMap(q50_s=nothing_s, q90_s=nothing_s)

    def predict(self, snapshot: FleetSnapshot, prompt_tokens: int) -> LatencyMap:
        """A millisecond for every model and strategy."""
        return self._map

    def observe(
        self,
        model: str,
        strategy: str,
        snapshot: FleetSnapshot,
        prompt_tokens: int,
        latency_s: float,
        *,
        ttft_s: float | None = None,
        output_tokens: int | None = None,
    ) -> None:
        """Learn nothing."""
