"""Fits the latency model to recorded calls, from traces or from any table that can be turned into samples."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from inframind.errors import ConfigError
from inframind.fleet.endpoints import ModelFacts
from inframind.router.actions import StrategySpec
from inframind.router.latency import Array
from inframind.router.latency_beliefs import log_variance
from inframind.router.latency_columns import LoadColumns
from inframind.router.latency_learners import LatencyConfig, Learners
from inframind.router.latency_parts import PartModels
from inframind.router.latency_ridge import Places
from inframind.router.latency_samples import CallSample
from inframind.router.latency_state import LatencyState

FOLDS = 5
_SHORTEST_S = 1e-3


def fit(
    samples: Sequence[CallSample],
    models: Mapping[str, ModelFacts],
    strategies: Mapping[str, StrategySpec],
    config: LatencyConfig | None = None,
) -> LatencyState:
    """What a latency model would know had it seen these calls; closed form, well under a second for thousands.

    Spreads and quantiles come from calls that were left out of the fit (cross-fitted over five folds by group),
    so that they are those of unseen calls.

    Raises:
        ConfigError: no samples, or one of an unknown model or strategy.
    """
    config = config or LatencyConfig()
    table = _Table.of(samples, tuple(models), tuple(strategies))
    learners = Learners(models, strategies, config)
    predicted = np.empty((3, len(samples)))
    for fold in range(FOLDS):
        out = table.fold == fold
        rest = PartModels(models, strategies, config.parts)
        table.rows(~out).teach(rest)
        predicted[:, out] = table.rows(out).predict(rest)
    _fit_spreads(learners, table, predicted)
    table.teach(learners.parts)
    for model in range(len(models)):
        for row in np.flatnonzero(table.model == model):
            learners.load.observe(model, table.loads.known[row])
    return LatencyState(models=tuple(models), strategies=tuple(strategies), sums=learners.sums())


def _fit_spreads(learners: Learners, table: _Table, predicted: Array) -> None:
    ttft_s, tpot_s, tokens = predicted
    soft_s = learners.soft_s[table.model]
    ttft_error = np.log((table.ttft_s + soft_s) / (ttft_s + soft_s))
    learners.ttft_square.fit(table.model, ttft_error**2)
    learners.tpot_square.fit(table.model, np.log(table.tpot_s / tpot_s) ** 2)
    learners.length_square.fit(table.cell, np.log(table.tokens / tokens) ** 2)
    beliefs = learners.beliefs()
    ttft_sd_s = beliefs.ttft_sigma[table.model] * (ttft_s + soft_s)
    decode_variance = beliefs.decode_variance[table.model, table.strategy]
    sigma = np.sqrt(log_variance(ttft_s, tokens * tpot_s, ttft_sd_s, decode_variance))
    log_error = np.log((table.ttft_s + table.tokens * table.tpot_s) / (ttft_s + tokens * tpot_s))
    learners.quantiles.fit(table.model, log_error / sigma)


@dataclass(frozen=True, slots=True)
class _Table:
    """Samples as columns."""

    model: Places
    strategy: Places
    cell: Places
    loads: LoadColumns
    prompt_tokens: Array
    ttft_s: Array
    tpot_s: Array
    tokens: Array
    fold: Places

    @classmethod
    def of(
        cls, samples: Sequence[CallSample], models: tuple[str, ...], strategies: tuple[str, ...]
    ) -> _Table:
        if not samples:
            raise ConfigError("samples", 0, "record calls that stream and count their tokens first")
        model = _places("model", [sample.model for sample in samples], models)
        strategy = _places("strategy", [sample.strategy for sample in samples], strategies)
        ttft_s = np.maximum([sample.ttft_s for sample in samples], _SHORTEST_S)
        tokens = np.array([float(sample.output_tokens) for sample in samples])
        decode_s = np.array([sample.latency_s for sample in samples]) - ttft_s
        return cls(
            model=model,
            strategy=strategy,
            cell=model * len(strategies) + strategy,
            loads=LoadColumns(np.array([(s.running, s.waiting, s.kv_cache_usage) for s in samples])),
            prompt_tokens=np.array([float(sample.prompt_tokens) for sample in samples]),
            ttft_s=ttft_s,
            tpot_s=np.maximum(decode_s, _SHORTEST_S) / tokens,
            tokens=tokens,
            fold=np.array([_fold(sample.group or str(place)) for place, sample in enumerate(samples)]),
        )

    def rows(self, which: np.ndarray) -> _Table:
        return _Table(
            self.model[which],
            self.strategy[which],
            self.cell[which],
            LoadColumns(self.loads.known[which]),
            self.prompt_tokens[which],
            self.ttft_s[which],
            self.tpot_s[which],
            self.tokens[which],
            self.fold[which],
        )

    def teach(self, parts: PartModels) -> None:
        design = parts.design(self.model, self.loads, self.prompt_tokens)
        parts.fit(self.cell, design, self.ttft_s, self.tpot_s, self.tokens)

    def predict(self, parts: PartModels) -> Array:
        """Time to first token, time per output token and length (3, rows)."""
        now = parts.now()
        design = parts.design(self.model, self.loads, self.prompt_tokens)
        lengths = parts.output_tokens(now, design)[np.arange(len(self.model)), self.strategy]
        return np.stack([*parts.ttft_tpot_s(now, design), lengths])


def _places(what: str, names: list[str], known: tuple[str, ...]) -> Places:
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise ConfigError(f"samples.{what}", unknown, f"leave them out, or describe them: known are {known}")
    by_name = {name: place for place, name in enumerate(known)}
    return np.array([by_name[name] for name in names], dtype=np.intp)


def _fold(group: str) -> int:
    return zlib.crc32(group.encode()) % FOLDS
