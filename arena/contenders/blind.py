"""A latency model for contenders that never look at load, and for oracles, who reckon latencies themselves."""

from __future__ import annotations

import numpy as np

from inframind.fleet.snapshot import EndpointLoad, FleetSnapshot
from inframind.router.latency import LatencyMap, LatencyModel

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


class HiddenLoad:
    """A latency model that is shown an idle fleet, whatever the load: what a router knows that reads no metrics.

    It still learns from every call, so that it comes to expect the latency that is usual.

    Args:
        inner: predicts, and learns.
    """

    def __init__(self, inner: LatencyModel) -> None:
        self._inner = inner

    def predict(self, snapshot: FleetSnapshot, prompt_tokens: int) -> LatencyMap:
        """As if nobody were there."""
        return self._inner.predict(_idle(snapshot), prompt_tokens)

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
        """Learn from a call, as if nobody had been there."""
        self._inner.observe(
            model,
            strategy,
            _idle(snapshot),
            prompt_tokens,
            latency_s,
            ttft_s=ttft_s,
            output_tokens=output_tokens,
        )


def _idle(snapshot: FleetSnapshot) -> FleetSnapshot:
    """The same endpoints with nobody there, but for those whose breaker is open."""
    loads = {
        name: EndpointLoad(
            endpoint=name,
            model=load.model,
            breaker=load.breaker,
            max_concurrency=load.max_concurrency,
            age_s=0.0,
            running=0.0,
            waiting=0.0,
            kv_cache_usage=0.0,
        )
        for name, load in snapshot.loads.items()
    }
    return FleetSnapshot(taken_s=snapshot.taken_s, loads=loads)
