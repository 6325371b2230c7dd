"""Everything that learns about latency, and the one place where a call is taken apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from inframind.errors import ConfigError
from inframind.fleet.endpoints import ModelFacts
from inframind.fleet.snapshot import EndpointLoad
from inframind.router.actions import StrategySpec
from inframind.router.latency import Array
from inframind.router.latency_beliefs import Beliefs, StepParts
from inframind.router.latency_columns import LoadColumns
from inframind.router.latency_parts import Design, PartModels, PartsConfig
from inframind.router.latency_ridge import ForgettingRidge, Places, require_forgetting
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
    drift_calls: float = 0.5
    """Weight of no drift, in calls."""
    drift_forgetting: float = 0.93
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
    learn_every: int = 8
    """Calls that are learned together, which costs half as much; each by itself until there are ten times as many,
    and where one does not show its parts, because such a call may be the first sign of trouble."""

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
    "learn_every",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of one model.

    Attributes:
        model: place of its model.
        strategy: place of its strategy.
        load: the load that it met, or None when the model could not be called.
        prompt_tokens: as it was predicted with.
        latency_s: the whole.
        ttft_s: seconds to the first token, or None where it does not show its parts.
        output_tokens: tokens of the answer, or None where it does not show its parts.
    """

    model: int
    strategy: int
    load: EndpointLoad | None
    prompt_tokens: int
    latency_s: float
    ttft_s: float | None = None
    output_tokens: int | None = None

    @property
    def is_cut(self) -> bool:
        """Whether the deadline cut it, or the server counted nothing: all that is known is that it took so long."""
        return self.ttft_s is None and self.output_tokens is None

    @property
    def shows_parts(self) -> bool:
        """Whether it tells time to first token and rate apart; a single token shows no rate."""
        return self.ttft_s is not None and self.output_tokens is not None and self.output_tokens > 1


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
        level = self._level.mean(prior).reshape(shape)
        tpot_variance = self.tpot_square.mean(prior, config.tpot_sigma**2)
        length_variance = self.length_square.mean(prior, config.length_sigma**2).reshape(shape)
        return Beliefs(
            models=self.parts,
            parts=self.parts.now(),
            ttft_drift=np.exp(self._ttft_drift.mean(config.drift_calls)),
            tpot_drift=np.exp(self._tpot_drift.mean(config.drift_calls)),
            ttft_sigma=np.sqrt(self.ttft_square.mean(prior, config.ttft_sigma**2)),
            decode_variance=tpot_variance[:, None] + length_variance,
            soft_s=self.soft_s,
            level=level,
            level_factor=np.exp(level),
            level_variance=self._level_square.mean(prior).reshape(shape) - level**2,
            parts_share=(prior / (self._level.weight + prior)).reshape(shape),
            quantiles=self.quantiles.values(),
            blind_variance=config.blind_sigma**2 * prior / (self._blind.weight + prior),
            typical=self.load.mean(1e-9),
        )

    def learn(self, calls: Sequence[Call], beliefs: Beliefs) -> None:
        """Some calls that were predicted from the same beliefs, in their order."""
        for group in ([c for c in calls if c.shows_parts], [c for c in calls if not c.shows_parts]):
            if group:
                self._learn_group(group, beliefs)

    def _learn_group(self, calls: list[Call], beliefs: Beliefs) -> None:
        models = np.array([call.model for call in calls])
        strategies = np.array([call.strategy for call in calls])
        loads = LoadColumns.of(
            [call.load for call in calls], beliefs.typical[models], self._config.stale_after_s
        )
        prompt_tokens = np.array([float(call.prompt_tokens) for call in calls])
        design = self.parts.design(models, loads, prompt_tokens)
        predicted = beliefs.parts_of(design)
        latency_s = np.maximum([call.latency_s for call in calls], self._config.shortest_s)
        log_ratio = np.log(latency_s / predicted.total_s[np.arange(len(calls)), strategies])
        cells = models * self._shape[1] + strategies
        if calls[0].shows_parts:
            sigma = beliefs.sigma(models, predicted, loads)[np.arange(len(calls)), strategies]
            standardised = (log_ratio - beliefs.level[models, strategies]) / sigma
            self._learn_parts(calls, cells, design, predicted, latency_s, standardised, beliefs)
        else:
            self._learn_totals(cells, log_ratio)
        self._learn_loads(models, loads)

    def _learn_parts(
        self,
        calls: list[Call],
        cells: Places,
        design: Design,
        predicted: StepParts,
        latency_s: Array,
        standardised: Array,
        beliefs: Beliefs,
    ) -> None:
        """Calls that show their parts."""
        models, strategies = np.divmod(cells, self._shape[1])
        shortest_s, soft_s = self._config.shortest_s, self.soft_s[models]
        tokens = np.array([float(call.output_tokens or 1) for call in calls])
        ttft_s = np.maximum([call.ttft_s or 0.0 for call in calls], shortest_s)
        tpot_s = np.maximum(latency_s - ttft_s, shortest_s) / tokens
        ttft_error = np.log((ttft_s + soft_s) / (predicted.ttft_s + soft_s))
        tpot_error = np.log(tpot_s / predicted.tpot_s)
        length_error = np.log(tokens / predicted.output_tokens[np.arange(len(calls)), strategies])
        for learner, places, values in (
            (self.ttft_square, models, _squared(ttft_error)),
            (self.tpot_square, models, _squared(tpot_error)),
            (self.length_square, cells, _squared(length_error)),
            # What the slow coefficients do not know yet: the drift that was believed, and what it left over.
            (self._ttft_drift, models, _bounded(np.log(beliefs.ttft_drift[models]) + ttft_error)),
            (self._tpot_drift, models, _bounded(np.log(beliefs.tpot_drift[models]) + tpot_error)),
            (self.quantiles, models, standardised),
        ):
            for place, value in zip(places.tolist(), values.tolist(), strict=True):
                learner.observe(place, value)
        self.parts.observe(cells, design, ttft_s, tpot_s, tokens)
        for cell in cells.tolist():
            self._level.fade(cell)
            self._level_square.fade(cell)

    def _learn_totals(self, cells: Places, log_ratio: Array) -> None:
        """Calls that show nothing but how long they took."""
        for cell, value in zip(cells.tolist(), log_ratio.tolist(), strict=True):
            self._level.observe(cell, value)
            self._level_square.observe(cell, value**2)

    def _learn_loads(self, models: Places, loads: LoadColumns) -> None:
        """What load is usual at a model, for when it is not known; and how often it was not."""
        for row, model in enumerate(models.tolist()):
            if loads.is_blind is not None and loads.is_blind[row]:
                self._blind.observe(model, 1.0)
            else:
                self.load.observe(model, loads.known[row])

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


def _squared(log_error: Array) -> Array:
    squared: Array = np.minimum(np.abs(log_error), _LARGEST_ERROR) ** 2
    return squared


def _bounded(drift: Array) -> Array:
    bounded: Array = np.minimum(np.maximum(drift, -_LARGEST_DRIFT), _LARGEST_DRIFT)
    return bounded
