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
    load_columns,
)
from inframind.router.latency_prior import PhysicalPrior
from inframind.router.latency_ridge import ForgettingRidge, Places, RidgeConfig

Rows = slice | Places
LONGEST_LOG = 3.0
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """What the parts of some calls are predicted from, without anything learned.

    Attributes:
        rows: models, one per row.
        x: load columns (rows, K).
        z: length columns (rows, Z), the first of the load columns.
        prefill_s: prior seconds to the first token without a queue (rows).
        ttft_s: prior seconds to the first token (rows).
        tpot_s: prior seconds per output token (rows).
    """

    rows: Rows
    x: Array
    z: Array
    prefill_s: Array
    ttft_s: Array
    tpot_s: Array


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
        self.prior = config.prior
        self.size_b = np.array([facts.size_b for facts in models.values()])
        self.expected = np.array([float(s.expected_output_tokens) for s in strategies.values()])
        self.service_s: Array = self.prior.idle_tpot_s(self.size_b) * float(self.expected.mean())
        self.shape = (len(models), len(strategies))
        self.ttft = ForgettingRidge(len(models), len(LOAD_COLUMNS), config.load)
        self.tpot = ForgettingRidge(len(models), len(LOAD_COLUMNS), config.load)
        self.length = ForgettingRidge(len(models) * len(strategies), len(LENGTH_COLUMNS), config.length)

    def now(self) -> Parts:
        """The coefficients as they stand."""
        return Parts(self.ttft.own, self.tpot.own, self.length.own.reshape(*self.shape, -1))

    def design(self, rows: Rows, loads: LoadColumns, prompt_tokens: Array | float) -> Design:
        """What the parts of the models ``rows`` are predicted from, one load each."""
        size_b = self.size_b[rows]
        prefill_s = self.prior.prefill_s(size_b, prompt_tokens)
        x = load_columns(loads, prompt_tokens)
        return Design(
            rows=rows,
            x=x,
            z=x[:, : len(LENGTH_COLUMNS)],
            prefill_s=prefill_s,
            ttft_s=prefill_s + self.prior.wait_s(self.service_s[rows], loads.running, loads.waiting),
            tpot_s=self.prior.tpot_s(size_b, loads.running),
        )

    def ttft_tpot_s(self, parts: Parts, design: Design) -> tuple[Array, Array]:
        """Seconds to first token and per output token."""
        rows, x = design.rows, design.x
        learned_s = self.service_s[rows] * (x * parts.ttft[rows]).sum(axis=1)
        factor = np.exp(within_reach((x * parts.tpot[rows]).sum(axis=1)))
        return np.maximum(design.ttft_s + learned_s, design.prefill_s / 2), design.tpot_s * factor

    def output_tokens(self, parts: Parts, design: Design) -> Array:
        """Median length with every strategy (rows, S)."""
        log_factor = (parts.length[design.rows] * design.z[:, None, :]).sum(axis=-1)
        tokens: Array = self.expected * np.exp(within_reach(log_factor))
        return tokens

    def observe(self, cells: Places, design: Design, ttft_s: Array, tpot_s: Array, tokens: Array) -> None:
        """Learn some complete calls, one row each, in this order."""
        heads, targets = self._targets(cells, design, ttft_s, tpot_s, tokens)
        for learner, head, rows, target in zip(
            self._learners, heads, self._inputs(design), targets, strict=True
        ):
            for place, row, wanted in zip(head.tolist(), rows, target.tolist(), strict=True):
                learner.observe(place, row, wanted)

    def fit(self, cells: Places, design: Design, ttft_s: Array, tpot_s: Array, tokens: Array) -> None:
        """Replace everything learned by a fit to these calls, one row each."""
        heads, targets = self._targets(cells, design, ttft_s, tpot_s, tokens)
        for learner, head, rows, target in zip(
            self._learners, heads, self._inputs(design), targets, strict=True
        ):
            learner.fit(head, rows, target)

    @property
    def _learners(self) -> tuple[ForgettingRidge, ForgettingRidge, ForgettingRidge]:
        return self.ttft, self.tpot, self.length

    def _inputs(self, design: Design) -> tuple[Array, Array, Array]:
        return design.x, design.x, design.z

    def _targets(
        self, cells: Places, design: Design, ttft_s: Array, tpot_s: Array, tokens: Array
    ) -> tuple[tuple[Places, Places, Places], tuple[Array, Array, Array]]:
        """Heads and targets of the three regressions; a cell is a (model, strategy), models outermost."""
        models, strategies = np.divmod(cells, self.shape[1])
        return (models, models, cells), (
            (ttft_s - design.ttft_s) / self.service_s[models],
            within_reach(np.log(tpot_s / design.tpot_s)),
            np.log(tokens / self.expected[strategies]),
        )


def within_reach(log_factor: Array) -> Array:
    """A learned log factor, cut at `LONGEST_LOG` on either side."""
    reached: Array = np.minimum(np.maximum(log_factor, -LONGEST_LOG), LONGEST_LOG)
    return reached
