"""How long a step will take: quantiles for every (model, strategy) at once, before anything is sent.

A physical prior gives the shape, the calls that we see correct its level and its spread:

    prior = wait + prompt * prefill + output * tpot * (1 + b * running)
    q50   = prior * exp(mu),   q90 = q50 * exp(z90 * sigma)

with ``mu`` and ``sigma`` the exponentially forgetting mean and standard deviation of
``log(measured / prior)``, per (model, strategy), drawn towards the prior (0, 0.35) while data is scarce.

An endpoint whose load is not known, or was read too long ago, is not an idle one: its median rests on our own
calls in flight alone, and its spread is wider until measured calls have shown how wide it really is.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from inframind.errors import ConfigError
from inframind.fleet.endpoints import ModelFacts
from inframind.fleet.snapshot import EndpointLoad, FleetSnapshot
from inframind.router.actions import StrategySpec

Array = NDArray[np.float64]
Z90 = 1.2815515655446004
"""Standard normal quantile of 0.9."""


@dataclass(frozen=True, slots=True)
class LatencyMap:
    """Predicted step latency; models on the first axis, strategies on the second (M, S).

    Attributes:
        q50_s: median seconds, queueing included.
        q90_s: 90 % quantile in seconds.
    """

    q50_s: Array
    q90_s: Array


class LatencyModel(Protocol):
    """Predicts a whole map in one pass, and learns from every call."""

    def predict(self, snapshot: FleetSnapshot, prompt_tokens: int) -> LatencyMap:
        """Quantiles of step latency for every model and strategy under this load."""
        ...

    def observe(
        self, model: str, strategy: str, snapshot: FleetSnapshot, prompt_tokens: int, latency_s: float
    ) -> None:
        """Learn from a step that took ``latency_s`` when it was dispatched under ``snapshot``."""
        ...


@dataclass(frozen=True, kw_only=True)
class PhysicalPrior:
    """Seconds from a model's size alone; a line through the fitted H100 rows of five models, 3 to 34 B.

    The rows (step time at batch 1: 4.8, 6.5, 13.6, 25.5, 26.6 ms) scatter by 30 % around it, and other
    hardware moves it: it is a start, and the measured calls correct it.
    """

    tpot_base_s: float = 0.002
    """Seconds per output token, whatever the size."""
    tpot_per_b_s: float = 0.0009
    """Seconds per output token and billion parameters."""
    prefill_per_b_s: float = 3e-6
    """Seconds per prompt token and billion parameters."""
    batch_slowdown: float = 0.01
    """Relative slowdown of a token per running request."""
    overhead_s: float = 0.02
    """Seconds of a call outside the engine."""
    sigma: float = 0.35
    """Prior standard deviation of log latency."""
    prior_calls: float = 8.0
    """Weight of the prior, in calls."""
    forgetting: float = 0.98
    """Weight that old calls keep with each new one."""
    blind_sigma: float = 0.35
    """Added to the standard deviation (in squares) where the load is unknown; fades with measured calls."""
    stale_after_s: float = 10.0
    """Age of a load reading from which on it counts as unknown."""
    shortest_s: float = 1e-3
    """Measured latencies are not taken to be shorter than this."""

    def __post_init__(self) -> None:
        if not 0 < self.forgetting <= 1:
            raise ConfigError("latency.forgetting", self.forgetting, "use a value in (0, 1]")


class PriorLatencyModel:
    """The physical prior, corrected online by a forgetting mean and spread per (model, strategy)."""

    def __init__(
        self,
        models: Mapping[str, ModelFacts],
        strategies: Mapping[str, StrategySpec],
        prior: PhysicalPrior | None = None,
    ) -> None:
        self._prior = prior or PhysicalPrior()
        self._models = tuple(models)
        self._place_of_model = {model: place for place, model in enumerate(models)}
        self._place_of_strategy = {name: place for place, name in enumerate(strategies)}
        sizes = np.array([facts.size_b for facts in models.values()])
        self._output_tokens = np.array([float(s.expected_output_tokens) for s in strategies.values()])
        self._tpot_s = self._prior.tpot_base_s + self._prior.tpot_per_b_s * sizes
        self._prefill_s = self._prior.prefill_per_b_s * sizes
        shape = (len(models), len(strategies))
        self._weight = np.zeros(shape)
        self._sum = np.zeros(shape)
        self._sum_squares = np.zeros(shape)
        self._level = np.zeros(shape)
        self._spread = np.full(shape, self._prior.sigma)
        self._lock = threading.Lock()

    def predict(self, snapshot: FleetSnapshot, prompt_tokens: int) -> LatencyMap:
        """Quantiles for every model and strategy, each model on its least loaded replica."""
        loads = self._loads(snapshot)
        q50_s = self._prior_s(loads, prompt_tokens) * np.exp(self._level)
        return LatencyMap(q50_s=q50_s, q90_s=q50_s * np.exp(Z90 * self._spread_under(loads)))

    def observe(
        self, model: str, strategy: str, snapshot: FleetSnapshot, prompt_tokens: int, latency_s: float
    ) -> None:
        """Move the level and the spread of one (model, strategy) towards what was measured."""
        place = (self._place_of_model[model], self._place_of_strategy[strategy])
        prior_s = self._prior_s(self._loads(snapshot), prompt_tokens)[place]
        log_ratio = float(np.log(max(latency_s, self._prior.shortest_s) / prior_s))
        keep = self._prior.forgetting
        with self._lock:
            self._weight[place] = keep * self._weight[place] + 1.0
            self._sum[place] = keep * self._sum[place] + log_ratio
            self._sum_squares[place] = keep * self._sum_squares[place] + log_ratio**2
            self._level[place], self._spread[place] = self._posterior(place)

    def _posterior(self, place: tuple[int, int]) -> tuple[float, float]:
        prior_calls, prior_sigma = self._prior.prior_calls, self._prior.sigma
        total = self._weight[place] + prior_calls
        level = self._sum[place] / total
        squares = self._sum_squares[place] + prior_calls * prior_sigma**2
        return float(level), float(np.sqrt(max(squares / total - level**2, 1e-4)))

    def _loads(self, snapshot: FleetSnapshot) -> list[EndpointLoad | None]:
        return [self._if_fresh(snapshot.least_loaded(model)) for model in self._models]

    def _if_fresh(self, load: EndpointLoad | None) -> EndpointLoad | None:
        """The load, without the readings that are too old to mean anything."""
        if load is None or load.age_s is None or load.age_s <= self._prior.stale_after_s:
            return load
        return replace(load, age_s=None, running=None, waiting=None, kv_cache_usage=None)

    def _spread_under(self, loads: Sequence[EndpointLoad | None]) -> Array:
        is_blind = np.array([load is None or load.running is None for load in loads])[:, None]
        fading = self._prior.prior_calls / (self._weight + self._prior.prior_calls)
        spread: Array = np.sqrt(self._spread**2 + is_blind * fading * self._prior.blind_sigma**2)
        return spread

    def _prior_s(self, loads: Sequence[EndpointLoad | None], prompt_tokens: int) -> Array:
        running = np.array([_running(load) for load in loads])
        wait_s = np.array(
            [self._wait_s(load, tpot_s) for load, tpot_s in zip(loads, self._tpot_s, strict=True)]
        )
        token_s = self._tpot_s * (1 + self._prior.batch_slowdown * running)
        fixed_s = self._prior.overhead_s + wait_s + prompt_tokens * self._prefill_s
        prior_s: Array = fixed_s[:, None] + token_s[:, None] * self._output_tokens[None, :]
        return prior_s

    def _wait_s(self, load: EndpointLoad | None, tpot_s: float) -> float:
        """Seconds in the queue by Little's law: those who wait, over the rate at which the batch drains."""
        waiting = ((load.waiting or 0.0) + load.waiting_here) if load else 0.0
        if not load or waiting <= 0:
            return 0.0
        service_s = float(self._output_tokens.mean()) * tpot_s
        return waiting * service_s / max(_running(load), 1.0)


def _running(load: EndpointLoad | None) -> float:
    return max(load.running or 0.0, float(load.in_flight)) if load else 0.0


def estimate_tokens(texts: Sequence[str]) -> int:
    """Rough number of tokens of some texts: four UTF-8 bytes each. For masks and predictions only.

    Bytes rather than characters, because a Chinese or Japanese character is three bytes and most of a token.
    """
    return sum(len(text) if text.isascii() else len(text.encode()) for text in texts) // 4 + 1
