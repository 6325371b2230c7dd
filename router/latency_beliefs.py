"""Everything that a latency prediction needs, at one instant, and the arithmetic that learning shares with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from inframind.router.latency import Array
from inframind.router.latency_columns import LoadColumns
from inframind.router.latency_parts import Design, PartModels, Parts, Rows

LEAST_VARIANCE = 1e-4
"""Of log latency: no prediction is surer than 1 %."""


@dataclass(frozen=True, slots=True)
class StepParts:
    """What the median of a step is made of.

    Attributes:
        ttft_s: seconds to the first token, queueing included (M).
        tpot_s: seconds per output token (M).
        output_tokens: median length of the answer (M, S).
    """

    ttft_s: Array
    tpot_s: Array
    output_tokens: Array

    @property
    def total_s(self) -> Array:
        """Seconds of the step (M, S)."""
        total: Array = self.ttft_s[:, None] + self.output_tokens * self.tpot_s[:, None]
        return total


@dataclass(frozen=True, slots=True, kw_only=True)
class Beliefs:
    """Replaced as a whole with every call that is learned, so that reading takes no lock.

    Attributes:
        models: prior and shape of the parts.
        parts: coefficients of the parts.
        ttft_drift: factor of time to first token (M).
        tpot_drift: factor of time per output token (M).
        ttft_sigma: standard deviation of log errors, softened by ``soft_s`` (M).
        decode_variance: of log errors of rate and length together (M, S).
        soft_s: seconds to the first token below which only their difference counts, not their ratio (M).
        level: log factor from calls that do not show their parts (M, S).
        level_factor: the same as a factor (M, S).
        level_variance: what those calls add to the variance (M, S).
        parts_share: weight of the parts' variance beside it (M, S).
        quantiles: median and 90 % quantile of standardised errors (M, 2).
        blind_variance: to add where the load is unknown (M).
        typical: usual running, waiting and KV use (M, 3).
    """

    models: PartModels
    parts: Parts
    ttft_drift: Array
    tpot_drift: Array
    ttft_sigma: Array
    decode_variance: Array
    soft_s: Array
    level: Array
    level_factor: Array
    level_variance: Array
    parts_share: Array
    quantiles: Array
    blind_variance: Array
    typical: Array

    def step_parts(self, rows: Rows, loads: LoadColumns, prompt_tokens: float) -> StepParts:
        """The parts of the models ``rows``, one load each."""
        design = self.models.design(rows, loads, prompt_tokens)
        return self.parts_of(design)

    def parts_of(self, design: Design) -> StepParts:
        """The same, of a design."""
        rows = design.rows
        ttft_s, tpot_s = self.models.ttft_tpot_s(self.parts, design)
        soft_s = self.soft_s[rows]
        drifted_s = (ttft_s + soft_s) * self.ttft_drift[rows] - soft_s
        return StepParts(
            np.maximum(drifted_s, ttft_s / 4),
            tpot_s * self.tpot_drift[rows],
            self.models.output_tokens(self.parts, design),
        )

    def sigma(self, rows: Rows, parts: StepParts, loads: LoadColumns) -> Array:
        """Standard deviation of log latency (rows, S): that of each part by its share, and what is not known."""
        ttft_s = parts.ttft_s[:, None]
        decode_s = parts.output_tokens * parts.tpot_s[:, None]
        ttft_sd_s = self.ttft_sigma[rows, None] * (ttft_s + self.soft_s[rows, None])
        shown = log_variance(ttft_s, decode_s, ttft_sd_s, self.decode_variance[rows])
        variance = np.maximum(self.parts_share[rows] * shown + self.level_variance[rows], LEAST_VARIANCE)
        if loads.is_blind is not None:
            variance = variance + (loads.is_blind * self.blind_variance[rows])[:, None]
        sigma: Array = np.sqrt(variance)
        return sigma


def log_variance(ttft_s: Array, decode_s: Array, ttft_sd_s: Array, decode_variance: Array) -> Array:
    """Variance of the log of a sum of two independent times, to first order; the second's is of its log."""
    variance: Array = (ttft_sd_s**2 + decode_s**2 * decode_variance) / (ttft_s + decode_s) ** 2
    return variance
