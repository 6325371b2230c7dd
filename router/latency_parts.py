"""The parts of a step's latency: time to first token, time per output token, and length of the answer.

    ttft   = prior + service * (x b_ttft)         x: load columns, service: time of a typical answer when idle
    tpot   = prior * exp(x b_tpot)
    length = expected * exp(z b_length)           z: length columns, per (model, strategy)

Time to first token is a sum of waits, so its correction is added and measured in answers; the other two are
rates and sizes, so theirs are factors. The units carry over from model to model, which is what lets a new model
start from the coefficients of the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from inframind.fleet.endpoints import ModelFacts
from inframind.router.actions import StrategySpec
from inframind.router.latency import Array
from inframind.router.latency_columns import (
    LENGTH_COLUMNS,
    LOAD_COLUMNS,
    LoadColumns,
    length_columns,
    load_columns,
)
from inframind.router.latency_prior import PhysicalPrior
from inframind.router.latency_ridge import ForgettingRidge, Places, RidgeConfig

Rows = slice | Places
_LONGEST_LOG = 3.0
"""A learned factor stays within e^3 = 20 of the prior: beyond that it is extrapolation."""


@dataclass(frozen=True, kw_only=True)
class PartsConfig:
    """The prior, and how the corrections learn."""

    prior: PhysicalPrior = field(default_factory=PhysicalPrior)
    """Seconds before the first call."""
    load: RidgeConfig = field(default_factory=RidgeConfig)
    """Corrections of time to first token and time per output token."""
    length: RidgeConfig = field(default_factory=RidgeConfig)
    """Corrections of the length."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Coefficients at one instant; predictions read them without a lock.

    Attributes:
        ttft: (M, K).
        tpot: (M, K).
        length: (M, S, Z).
    """

    ttft: Array
    tpot: Array
    length: Array


class PartModels:
    """Predicts the parts, and learns them from complete calls.

    Args:
        models: facts by model.
        strategies: by name.
        config: prior and learning.
    """

    def __init__(
        self, models: Mapping[str, ModelFacts], strategies: Mapping[str, StrategySpec], config: PartsConfig
    ) -> None:
        self._prior = config.prior
        self._size_b = np.array([facts.size_b for facts in models.values()])
        self._expected = np.array([float(s.expected_output_tokens) for s in strategies.values()])
        self.service_s: Array = self._prior.idle_tpot_s(self._size_b) * float(self._expected.mean())
        self.shape = (len(models), len(strategies))
        self.ttft = ForgettingRidge(len(models), len(LOAD_COLUMNS), config.load)
        self.tpot = ForgettingRidge(len(models), len(LOAD_COLUMNS), config.load)
        self.length = ForgettingRidge(len(models) * len(strategies), len(LENGTH_COLUMNS), config.length)

    def now(self) -> Parts:
        """The coefficients as they stand."""
        return Parts(self.ttft.own, self.tpot.own, self.length.own.reshape(*self.shape, -1))

    def ttft_tpot_s(
        self, parts: Parts, rows: Rows, loads: LoadColumns, prompt_tokens: Array | float
    ) -> tuple[Array, Array]:
        """Seconds to first token and per output token, of the models ``rows`` under ``loads``."""
        x = load_columns(loads, prompt_tokens)
        prefill_s, wait_s, tpot_s = self._priors(rows, loads, prompt_tokens)
        learned_s = self.service_s[rows] * (x * parts.ttft[rows]).sum(axis=1)
        factor = np.exp(np.clip((x * parts.tpot[rows]).sum(axis=1), -_LONGEST_LOG, _LONGEST_LOG))
        return np.maximum(prefill_s + wait_s + learned_s, prefill_s / 2), tpot_s * factor

    def output_tokens(self, parts: Parts, rows: Rows, prompt_tokens: float) -> Array:
        """Median length of the models ``rows`` with every strategy (rows, S)."""
        factor = np.clip(parts.length[rows] @ length_columns(prompt_tokens), -_LONGEST_LOG, _LONGEST_LOG)
        tokens: Array = self._expected * np.exp(factor)
        return tokens

    def lengths(self, parts: Parts, models: Places, strategies: Places, prompt_tokens: Array) -> Array:
        """Median length of each (model, strategy, prompt); one row each."""
        products = (parts.length[models, strategies] * length_columns(prompt_tokens)).sum(axis=1)
        tokens: Array = self._expected[strategies] * np.exp(np.clip(products, -_LONGEST_LOG, _LONGEST_LOG))
        return tokens

    def observe(
        self, model: int, strategy: int, loads: LoadColumns, prompt_tokens: float, ttft_s: float, tpot_s: float,
        tokens: float,
    ) -> None:  # fmt: skip
        """Learn one complete call."""
        rows = slice(model, model + 1)
        x = load_columns(loads, prompt_tokens)[0]
        targets = self._load_targets(rows, loads, prompt_tokens, ttft_s, tpot_s)
        self.ttft.observe(model, x, float(targets[0][0]))
        self.tpot.observe(model, x, float(targets[1][0]))
        log_length = float(np.log(tokens / self._expected[strategy]))
        self.length.observe(model * self.shape[1] + strategy, length_columns(prompt_tokens), log_length)

    def fit(
        self, models: Places, strategies: Places, loads: LoadColumns, prompt_tokens: Array, ttft_s: Array,
        tpot_s: Array, tokens: Array,
    ) -> None:  # fmt: skip
        """Replace everything learned by a fit to these calls, one row each."""
        x = load_columns(loads, prompt_tokens)
        ttft, tpot = self._load_targets(models, loads, prompt_tokens, ttft_s, tpot_s)
        self.ttft.fit(models, x, ttft)
        self.tpot.fit(models, x, tpot)
        cells = models * self.shape[1] + strategies
        self.length.fit(cells, length_columns(prompt_tokens), np.log(tokens / self._expected[strategies]))

    def _load_targets(
        self, rows: Rows, loads: LoadColumns, prompt_tokens: Array | float, ttft_s: Array | float,
        tpot_s: Array | float,
    ) -> tuple[Array, Array]:  # fmt: skip
        prefill_s, wait_s, prior_tpot_s = self._priors(rows, loads, prompt_tokens)
        log_tpot = np.clip(np.log(tpot_s / prior_tpot_s), -_LONGEST_LOG, _LONGEST_LOG)
        return (ttft_s - prefill_s - wait_s) / self.service_s[rows], log_tpot

    def _priors(
        self, rows: Rows, loads: LoadColumns, prompt_tokens: Array | float
    ) -> tuple[Array, Array, Array]:
        size_b = self._size_b[rows]
        return (
            self._prior.prefill_s(size_b, prompt_tokens),
            self._prior.wait_s(self.service_s[rows], loads.running, loads.waiting),
            self._prior.tpot_s(size_b, loads.running),
        )
