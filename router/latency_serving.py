"""The latency map as it is served: the formulas of `Beliefs` over constants that change only when something is learned.

Models are worked out in plain floats, cells in flat arrays of one shape. What a model's load adds is kept until that
load changes, since a reading or a call of ours changes one model's and leaves the others alone. For a handful of
models this takes a third of the time of the general form, which takes any rows, and learns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import mul
from typing import NamedTuple

import numpy as np

from inframind.fleet.snapshot import EndpointLoad
from inframind.router.latency import Array, LatencyMap
from inframind.router.latency_beliefs import LEAST_VARIANCE, Beliefs, log_variance
from inframind.router.latency_columns import (
    LENGTH_COLUMNS,
    PROMPT_COLUMNS,
    Known,
    Row,
    known_load,
    load_row,
    prompt_row,
    supposed_load,
)
from inframind.router.latency_parts import LONGEST_LOG, within_reach


class LatencyTables:
    """Predicts maps from one state of the beliefs, from any thread.

    C = cells, the models times the strategies, models outermost.

    Args:
        beliefs: what has been learned so far.
        stale_after_s: age of a load reading from which on it counts as unknown.
    """

    def __init__(self, beliefs: Beliefs, stale_after_s: float) -> None:
        self.beliefs = beliefs
        self._stale_after_s = stale_after_s
        self._shape = models, strategies = beliefs.models.shape
        self._engines = [_Engine(beliefs, place) for place in range(models)]
        self._usual: list[list[float]] = beliefs.typical.tolist()
        self._blind_variance: list[float] = beliefs.blind_variance.tolist()
        heads = np.stack([beliefs.parts.ttft, beliefs.parts.tpot], axis=1)
        self._prompt = heads[:, :, : len(PROMPT_COLUMNS)].copy()
        self._length = beliefs.parts.length.reshape(models * strategies, len(LENGTH_COLUMNS))
        self._expected = np.tile(beliefs.models.expected, models)
        self._decode_variance = beliefs.decode_variance.ravel()
        self._parts_share = beliefs.parts_share.ravel()
        self._level_variance = beliefs.level_variance.ravel()
        self._level_factor = beliefs.level_factor.ravel()
        self._median, self._upper = beliefs.quantiles.T.repeat(strategies, axis=1)

    def map(self, loads: Sequence[EndpointLoad | None], prompt_tokens: float) -> LatencyMap:
        """Quantiles for every model and strategy, from one load per model."""
        known = [known_load(load, self._stale_after_s) for load in loads]
        prompt = np.array(prompt_row(prompt_tokens))
        ttft_s, tpot_s, ttft_sd_s = self._by_cell(known, loads, prompt, prompt_tokens)
        log_length = within_reach(self._length.dot(prompt[: len(LENGTH_COLUMNS)]))
        decode_s = self._expected * np.exp(log_length) * tpot_s
        shown = log_variance(ttft_s, decode_s, ttft_sd_s, self._decode_variance)
        variance = np.maximum(self._parts_share * shown + self._level_variance, LEAST_VARIANCE)
        if None in known:
            variance += self._blindness(known)
        sigma = np.sqrt(variance)
        middle_s = (ttft_s + decode_s) * self._level_factor
        return LatencyMap(
            q50_s=(middle_s * np.exp(self._median * sigma)).reshape(self._shape),
            q90_s=(middle_s * np.exp(self._upper * sigma)).reshape(self._shape),
        )

    def _by_cell(
        self,
        known: list[Known | None],
        loads: Sequence[EndpointLoad | None],
        prompt: Array,
        prompt_tokens: float,
    ) -> Array:
        """Time to first token, time per output token, and standard deviation of the first (3, C)."""
        by_model = [
            engine.parts(prompt_tokens, supposed_load(load, usual) if row is None else row, *learned)
            for engine, row, load, usual, learned in zip(
                self._engines, known, loads, self._usual, self._prompt.dot(prompt).tolist(), strict=True
            )
        ]
        return np.array(list(zip(*by_model, strict=True))).repeat(self._shape[1], axis=1)

    def _blindness(self, known: list[Known | None]) -> Array:
        """What to add to the variance where the load is not known (C)."""
        added = [
            variance if row is None else 0.0
            for row, variance in zip(known, self._blind_variance, strict=True)
        ]
        return np.repeat(added, self._shape[1])


class _Met(NamedTuple):
    """What a load adds, whatever the prompt."""

    known: Known
    delay_s: float
    tpot_s: float
    log_tpot: float


class _Engine:
    """One model: the arithmetic of `PartModels` and `Beliefs` on single numbers.

    Args:
        beliefs: what has been learned so far.
        place: of the model.
    """

    def __init__(self, beliefs: Beliefs, place: int) -> None:
        models, prior = beliefs.models, beliefs.models.prior
        size_b = models.size_b[place]
        self._overhead_s = prior.overhead_s
        self._prefill_s = float(prior.prefill_per_b_s * size_b)
        self._idle_tpot_s = float(prior.idle_tpot_s(size_b) * beliefs.tpot_drift[place])
        self._slowdown, self._smallest_batch = prior.batch_slowdown, prior.smallest_batch
        self._service_s = float(models.service_s[place])
        self._soft_s = float(beliefs.soft_s[place])
        self._ttft_drift = float(beliefs.ttft_drift[place])
        self._ttft_sigma = float(beliefs.ttft_sigma[place])
        self._ttft: list[float] = beliefs.parts.ttft[place, len(PROMPT_COLUMNS) :].tolist()
        self._tpot: list[float] = beliefs.parts.tpot[place, len(PROMPT_COLUMNS) :].tolist()
        self._met = self._meet((0.0, 0.0, 0.0))

    def parts(
        self, prompt_tokens: float, known: Known, prompt_ttft: float, prompt_log_tpot: float
    ) -> tuple[float, float, float]:
        """Time to first token, time per output token, and standard deviation of the first.

        Args:
            prompt_tokens: length of the prompt.
            known: the load.
            prompt_ttft: what the prompt's columns add to the first, in service times.
            prompt_log_tpot: what they add to the log of the second.
        """
        met = self._met
        if met.known != known:
            met = self._met = self._meet(known)
        prefill_s = self._overhead_s + self._prefill_s * prompt_tokens
        ttft_s = max(prefill_s + met.delay_s + self._service_s * prompt_ttft, prefill_s / 2)
        soft_s = self._soft_s
        drifted_s = max((ttft_s + soft_s) * self._ttft_drift - soft_s, ttft_s / 4)
        log_tpot = min(max(met.log_tpot + prompt_log_tpot, -LONGEST_LOG), LONGEST_LOG)
        return drifted_s, met.tpot_s * math.exp(log_tpot), self._ttft_sigma * (drifted_s + soft_s)

    def _meet(self, known: Known) -> _Met:
        running, waiting, _ = known
        row = load_row(known)
        wait_s = waiting * self._service_s / max(running, self._smallest_batch)
        return _Met(
            known,
            delay_s=wait_s + self._service_s * _dot(row, self._ttft),
            tpot_s=self._idle_tpot_s * (1 + self._slowdown * running),
            log_tpot=_dot(row, self._tpot),
        )


def _dot(row: Row, coefficients: list[float]) -> float:
    return sum(map(mul, row, coefficients))
