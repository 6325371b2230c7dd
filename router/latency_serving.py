"""The latency map as it is served: the formulas of `Beliefs` over constants that change only when something is learned.

What all strategies of a model share is worked out in plain floats: for a handful of models an array operation costs
more than its arithmetic. What a model's load adds is kept until that load changes, since a reading or a call of ours
changes one model's and leaves the others alone. The cells follow as flat arrays, which numpy is quickest with. This
takes a quarter of the time of the general form, which takes any rows, and learns.

M = models, S = strategies, A = M S cells, models outermost.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp
from operator import mul
from typing import NamedTuple

import numpy as np

from inframind.fleet.snapshot import EndpointLoad
from inframind.router.latency import Array, LatencyMap
from inframind.router.latency_beliefs import LEAST_VARIANCE, Beliefs
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
from inframind.router.latency_parts import LONGEST_LOG


class LatencyTables:
    """Predicts maps from one state of the beliefs, from any thread.

    Args:
        beliefs: what has been learned so far.
        stale_after_s: age of a load reading from which on it counts as unknown.
    """

    def __init__(self, beliefs: Beliefs, stale_after_s: float) -> None:
        self.beliefs = beliefs
        self._stale_after_s = stale_after_s
        self._shape = models, strategies = beliefs.models.shape
        self._engines = [_Engine(beliefs, place) for place in range(models)]
        n_prompt, n_length, parts = len(PROMPT_COLUMNS), len(LENGTH_COLUMNS), beliefs.parts
        self._prompt = np.zeros((2 * models + models * strategies, n_prompt))
        self._prompt[:models] = parts.ttft[:, :n_prompt]
        self._prompt[models : 2 * models] = parts.tpot[:, :n_prompt]
        self._prompt[2 * models :, :n_length] = parts.length.reshape(-1, n_length)
        self._is_of_model = np.repeat(np.eye(models), strategies, axis=1)
        self._expected = np.tile(beliefs.models.expected, models)
        self._decode_variance, self._parts_share = (
            beliefs.decode_variance.ravel(),
            beliefs.parts_share.ravel(),
        )
        self._level_variance, self._level_factor = (
            beliefs.level_variance.ravel(),
            beliefs.level_factor.ravel(),
        )
        self._median, self._upper = np.repeat(beliefs.quantiles.T, strategies, axis=1)

    def map(self, loads: Sequence[EndpointLoad | None], prompt_tokens: float) -> LatencyMap:
        """Quantiles for every model and strategy, from one load per model."""
        learned = self._prompt.dot(prompt_row(prompt_tokens))
        n_models = len(self._engines)
        by_model = learned[: 2 * n_models].tolist()
        numbers: list[float] = []
        for engine, load, ttft, log_tpot in zip(
            self._engines, loads, by_model[:n_models], by_model[n_models:], strict=True
        ):
            known = known_load(load, self._stale_after_s)
            if known is None:
                supposed = supposed_load(load, engine.usual)
                numbers += engine.parts(prompt_tokens, supposed, ttft, log_tpot, engine.blind_variance)
            else:
                numbers += engine.parts(prompt_tokens, known, ttft, log_tpot, 0.0)
        return self._quantiles(np.array(numbers).reshape(n_models, 4), learned[2 * n_models :])

    def _quantiles(self, parts: Array, log_length: Array) -> LatencyMap:
        """From each model's `_Parts` (M, 4) and the log of learned lengths (A), which is changed."""
        ttft_s, ttft_variance, tpot_s, more_variance = parts.T.dot(self._is_of_model)
        np.minimum(np.maximum(log_length, -_LONGEST_LOG, out=log_length), _LONGEST_LOG, out=log_length)
        decode_s = np.exp(log_length, out=log_length)
        decode_s *= self._expected
        decode_s *= tpot_s
        total_s = decode_s + ttft_s
        variance = decode_s * decode_s
        variance *= self._decode_variance
        variance += ttft_variance
        variance /= total_s * total_s
        variance *= self._parts_share
        variance += self._level_variance
        np.maximum(variance, _LEAST_VARIANCE, out=variance)
        variance += more_variance
        sigma = np.sqrt(variance, out=variance)
        total_s *= self._level_factor
        q50_s, q90_s = self._median * sigma, self._upper * sigma
        for quantile_s in (q50_s, q90_s):
            np.exp(quantile_s, out=quantile_s)
            quantile_s *= total_s
        return LatencyMap(q50_s=q50_s.reshape(self._shape), q90_s=q90_s.reshape(self._shape))


_LEAST_VARIANCE, _LONGEST_LOG = np.array(LEAST_VARIANCE), np.array(LONGEST_LOG)
"""Arrays without axes: numpy takes half as long with them as with plain floats."""


class _Met(NamedTuple):
    """What a load adds, whatever the prompt."""

    known: Known
    delay_s: float
    tpot_s: float
    log_tpot: float


_Parts = tuple[float, float, float, float]
"""Time to first token, its variance, time per output token, and the variance to add."""


class _Engine:
    """One model: the arithmetic of `PartModels` and `Beliefs` on single numbers.

    Args:
        beliefs: what has been learned so far.
        place: of the model.

    Attributes:
        usual: usual running, waiting and KV use.
        blind_variance: to add where the load is unknown.
    """

    def __init__(self, beliefs: Beliefs, place: int) -> None:
        models, prior = beliefs.models, beliefs.models.prior
        size_b = models.size_b[place]
        self.usual: list[float] = beliefs.typical[place].tolist()
        self.blind_variance = float(beliefs.blind_variance[place])
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
        self,
        prompt_tokens: float,
        known: Known,
        prompt_ttft: float,
        prompt_log_tpot: float,
        more_variance: float,
    ) -> _Parts:
        """What a step's latency is made of, but for the length of its answer.

        Args:
            prompt_tokens: length of the prompt.
            known: the load.
            prompt_ttft: what the prompt's columns add to the time to first token, in service times.
            prompt_log_tpot: what they add to the log of the time per output token.
            more_variance: handed on.
        """
        met = self._met
        if met.known != known:
            met = self._met = self._meet(known)
        prefill_s = self._overhead_s + self._prefill_s * prompt_tokens
        ttft_s = prefill_s + met.delay_s + self._service_s * prompt_ttft
        if ttft_s < prefill_s / 2:
            ttft_s = prefill_s / 2
        soft_s = self._soft_s
        drifted_s = (ttft_s + soft_s) * self._ttft_drift - soft_s
        if drifted_s < ttft_s / 4:
            drifted_s = ttft_s / 4
        log_tpot = met.log_tpot + prompt_log_tpot
        if not -LONGEST_LOG < log_tpot < LONGEST_LOG:
            log_tpot = min(max(log_tpot, -LONGEST_LOG), LONGEST_LOG)
        tpot_s = met.tpot_s * exp(log_tpot)
        ttft_sd_s = self._ttft_sigma * (drifted_s + soft_s)
        return drifted_s, ttft_sd_s * ttft_sd_s, tpot_s, more_variance

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
    products: map[float] = map(mul, row, coefficients)
    return sum(products)
