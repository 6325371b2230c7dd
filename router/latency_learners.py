"""Everything that learns about latency, and the one place where a call is taken apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from inframind.errors import ConfigError
from inframind.fleet.endpoints import ModelFacts
from inframind.router.actions import StrategySpec
from inframind.router.latency import Array
from inframind.router.latency_beliefs import Beliefs, StepParts
from inframind.router.latency_columns import LoadColumns
from inframind.router.latency_parts import PartModels, PartsConfig
from inframind.router.latency_ridge import ForgettingRidge, require_forgetting
from inframind.router.latency_spread import FadingMean, QuantileTracker

Learner = ForgettingRidge | FadingMean | QuantileTracker
_LARGEST_DRIFT = 1.0
"""A single call moves a drift by no more than e."""
_LARGEST_ERROR = 3.0
"""A single call moves a spread by no more than this log error."""


@dataclass(frozen=True, kw_only=True)
class LatencyConfig:
    """How fast the model learns and forgets, and how sure it is before it has learned anything."""

    parts: PartsConfig = field(default_factory=PartsConfig)
    """Prior, and the corrections of the parts."""
    ttft_sigma: float = 0.2
    """Prior standard deviation of log time to first token."""
    tpot_sigma: float = 0.18
    """Prior standard deviation of log time per output token."""
    length_sigma: float = 0.3
    """Prior standard deviation of log length."""
    soft_answers: float = 0.1
    """Times to first token below this share of an answer's idle time differ in seconds, not in ratio."""
    prior_calls: float = 8.0
    """Weight of the prior in levels and spreads, in calls."""
    forgetting: float = 0.98
    """Weight that old calls keep with each new one, in levels and spreads."""
    drift_calls: float = 2.0
    """Weight of no drift, in calls."""
    drift_forgetting: float = 0.9
    """Weight that old calls keep with each new one in a model's drift, which follows a slowdown."""
    blind_sigma: float = 0.35
    """Added to the standard deviation (in squares) where the load is unknown; fades with blind calls."""
    stale_after_s: float = 10.0
    """Age of a load reading from which on it counts as unknown."""
    shortest_s: float = 1e-3
    """Measured times are not taken to be shorter than this."""
    quantile_calls: float = 20.0
    """Weight of the normal distribution in a model's quantiles, in calls."""
    quantile_memory: float = 200.0
    """Calls of a model after which its quantiles have forgotten a call."""

    def __post_init__(self) -> None:
        for name in _POSITIVE:
            if getattr(self, name) <= 0:
                raise ConfigError(f"latency.{name}", getattr(self, name), "use a positive number")
        if self.blind_sigma < 0:
            raise ConfigError("latency.blind_sigma", self.blind_sigma, "use 0 or more")
        require_forgetting(self.forgetting)
        require_forgetting(self.drift_forgetting)


_POSITIVE = (
    "ttft_sigma",
    "tpot_sigma",
    "length_sigma",
    "soft_answers",
    "prior_calls",
    "drift_calls",
    "stale_after_s",
    "shortest_s",
    "quantile_calls",
    "quantile_memory",
)


@dataclass(frozen=True, slots=True)
class Call:
    """One call of one model, as columns of one row.

    Attributes:
        model: place of its model.
        strategy: place of its strategy.
        loads: the load that it met.
        prompt_tokens: as it was predicted with.
        latency_s: the whole.
    """

    model: int
    strategy: int
    loads: LoadColumns
    prompt_tokens: int
    latency_s: float

    @property
    def row(self) -> slice:
        """Its model, as rows."""
        return slice(self.model, self.model + 1)


class Learners:
    """What the calls of a fleet teach. Not thread-safe: whoever owns it locks.

    Args:
        models: facts by model.
        strategies: by name.
        config: prior and learning.
    """

    def __init__(
        self, models: Mapping[str, ModelFacts], strategies: Mapping[str, StrategySpec], config: LatencyConfig
    ) -> None:
        self._config = config
        self.parts = PartModels(models, strategies, config.parts)
        self.soft_s: Array = config.soft_answers * self.parts.service_s
        self._shape = rows, columns = self.parts.shape
        self.ttft_square = FadingMean((rows,), config.forgetting)
        self.tpot_square = FadingMean((rows,), config.forgetting)
        self.length_square = FadingMean((rows * columns,), config.forgetting)
        self.quantiles = QuantileTracker(rows, config.quantile_calls, config.quantile_memory)
        self.load = FadingMean((rows, 3), config.forgetting)
        self._ttft_drift = FadingMean((rows,), config.drift_forgetting)
        self._tpot_drift = FadingMean((rows,), config.drift_forgetting)
        self._blind = FadingMean((rows,), config.forgetting)
        self._level = FadingMean((rows * columns,), config.forgetting)
        self._level_square = FadingMean((rows * columns,), config.forgetting)

    def beliefs(self) -> Beliefs:
        """What follows from the calls so far."""
        config, prior, shape = self._config, self._config.prior_calls, self._shape
        return Beliefs(
            models=self.parts,
            parts=self.parts.now(),
            ttft_drift=self._ttft_drift.mean(config.drift_calls),
            tpot_drift=self._tpot_drift.mean(config.drift_calls),
            ttft_variance=self.ttft_square.mean(prior, config.ttft_sigma**2),
            tpot_variance=self.tpot_square.mean(prior, config.tpot_sigma**2),
            length_variance=self.length_square.mean(prior, config.length_sigma**2).reshape(shape),
            soft_s=self.soft_s,
            level=self._level.mean(prior).reshape(shape),
            level_square=self._level_square.mean(prior).reshape(shape),
            parts_share=(prior / (self._level.weight + prior)).reshape(shape),
            quantiles=self.quantiles.values(),
            blind_variance=config.blind_sigma**2 * prior / (self._blind.weight + prior),
            typical=self.load.mean(1e-9),
        )

    def learn_parts(self, call: Call, beliefs: Beliefs, ttft_s: float, output_tokens: int) -> None:
        """A call that shows its parts."""
        tokens = float(output_tokens)
        ttft_s = max(ttft_s, self._config.shortest_s)
        tpot_s = max(call.latency_s - ttft_s, self._config.shortest_s) / tokens
        predicted = beliefs.step_parts(call.row, call.loads, call.prompt_tokens)
        self._learn_quantiles(call, beliefs, predicted)
        self._learn_spreads(call, predicted, ttft_s, tpot_s, tokens)
        self._learn_drifts(call, beliefs, ttft_s, tpot_s)
        self.parts.observe(call.model, call.strategy, call.loads, call.prompt_tokens, ttft_s, tpot_s, tokens)
        cell = self._cell(call)
        self._level.fade(cell)
        self._level_square.fade(cell)

    def learn_total(self, call: Call, beliefs: Beliefs) -> None:
        """A call that shows nothing but how long it took."""
        predicted = beliefs.step_parts(call.row, call.loads, call.prompt_tokens)
        log_ratio = float(np.log(call.latency_s / predicted.total_s[0, call.strategy]))
        cell = self._cell(call)
        self._level.observe(cell, log_ratio)
        self._level_square.observe(cell, log_ratio**2)

    def learn_load(self, call: Call) -> None:
        """What load is usual at a model, for when it is not known; and how often it was not."""
        loads = call.loads
        if loads.is_blind[0]:
            self._blind.observe(call.model, 1.0)
        else:
            self.load.observe(call.model, np.array([loads.running[0], loads.waiting[0], loads.kv[0]]))

    def sums(self) -> dict[str, dict[str, Array]]:
        """Everything learned, by learner."""
        return {name: learner.sums() for name, learner in (self._by_model() | self._by_cell()).items()}

    def restore(
        self, sums: Mapping[str, Mapping[str, Array]], models: Mapping[int, int], cells: Mapping[int, int]
    ) -> None:
        """Take over what others learned: places here by places there, of models and of (model, strategy)."""
        for learners, places in ((self._by_model(), models), (self._by_cell(), cells)):
            here = np.fromiter(places.keys(), dtype=np.intp, count=len(places))
            there = np.fromiter(places.values(), dtype=np.intp, count=len(places))
            for name, learner in learners.items():
                learner.restore(sums[name], here, there)

    def _by_model(self) -> dict[str, Learner]:
        return {
            "ttft": self.parts.ttft,
            "tpot": self.parts.tpot,
            "ttft_square": self.ttft_square,
            "tpot_square": self.tpot_square,
            "ttft_drift": self._ttft_drift,
            "tpot_drift": self._tpot_drift,
            "quantiles": self.quantiles,
            "load": self.load,
            "blind": self._blind,
        }

    def _by_cell(self) -> dict[str, Learner]:
        return {
            "length": self.parts.length,
            "length_square": self.length_square,
            "level": self._level,
            "level_square": self._level_square,
        }

    def _cell(self, call: Call) -> int:
        return call.model * self._shape[1] + call.strategy

    def _learn_quantiles(self, call: Call, beliefs: Beliefs, predicted: StepParts) -> None:
        sigma = beliefs.sigma(call.row, predicted, call.loads)[0, call.strategy]
        level = beliefs.level[call.model, call.strategy]
        error = np.log(call.latency_s / predicted.total_s[0, call.strategy]) - level
        self.quantiles.observe(call.model, float(error / sigma))

    def _learn_spreads(
        self, call: Call, predicted: StepParts, ttft_s: float, tpot_s: float, tokens: float
    ) -> None:
        soft_s = self.soft_s[call.model]
        for learner, place, ratio in (
            (self.ttft_square, call.model, (ttft_s + soft_s) / (predicted.ttft_s[0] + soft_s)),
            (self.tpot_square, call.model, tpot_s / predicted.tpot_s[0]),
            (self.length_square, self._cell(call), tokens / predicted.output_tokens[0, call.strategy]),
        ):
            learner.observe(place, min(abs(float(np.log(ratio))), _LARGEST_ERROR) ** 2)

    def _learn_drifts(self, call: Call, beliefs: Beliefs, ttft_s: float, tpot_s: float) -> None:
        """What the slow coefficients do not know yet."""
        slow_ttft_s, slow_tpot_s = self.parts.ttft_tpot_s(
            beliefs.parts, call.row, call.loads, call.prompt_tokens
        )
        soft_s = self.soft_s[call.model]
        ttft_error = float(np.log((ttft_s + soft_s) / (slow_ttft_s[0] + soft_s)))
        self._ttft_drift.observe(call.model, _within(ttft_error, _LARGEST_DRIFT))
        self._tpot_drift.observe(call.model, _within(float(np.log(tpot_s / slow_tpot_s[0])), _LARGEST_DRIFT))


def _within(value: float, limit: float) -> float:
    return min(max(value, -limit), limit)
