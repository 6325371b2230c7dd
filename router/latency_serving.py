"""The latency map as it is served: the formulas of `Beliefs` over constants that change only when something is learned.

In plain floats, one cell after the other: for some twenty cells an array operation costs more than its arithmetic.
What a model's load adds is kept until that load changes, since a reading or a call of ours changes one model's and
leaves the others alone. This takes a third of the time of the general form, which takes any rows, and learns.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, sqrt
from operator import mul
from typing import NamedTuple

import numpy as np

from inframind.fleet.snapshot import EndpointLoad
from inframind.router.latency import LatencyMap
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
from inframind.router.latency_parts import LONGEST_LOG, within_reach


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
        heads = np.stack([beliefs.parts.ttft, beliefs.parts.tpot], axis=1)
        self._prompt = heads[:, :, : len(PROMPT_COLUMNS)].copy()
        self._length = beliefs.parts.length.reshape(models * strategies, len(LENGTH_COLUMNS))
        self._expected = np.tile(beliefs.models.expected, models)

    def map(self, loads: Sequence[EndpointLoad | None], prompt_tokens: float) -> LatencyMap:
        """Quantiles for every model and strategy, from one load per model."""
        row = np.array(prompt_row(prompt_tokens))
        learned = self._prompt.dot(row).tolist()
        log_length = within_reach(self._length.dot(row[: len(LENGTH_COLUMNS)]))
        output_tokens = (self._expected * np.exp(log_length)).reshape(self._shape).tolist()
        q50_s: list[float] = []
        q90_s: list[float] = []
        for engine, load, (ttft, log_tpot), lengths in zip(
            self._engines, loads, learned, output_tokens, strict=True
        ):
            known = known_load(load, self._stale_after_s)
            parts = engine.parts(prompt_tokens, known or supposed_load(load, engine.usual), ttft, log_tpot)
            engine.add_quantiles(
                parts, lengths, engine.blind_variance if known is None else 0.0, q50_s, q90_s
            )
        return LatencyMap(
            q50_s=np.array(q50_s).reshape(self._shape), q90_s=np.array(q90_s).reshape(self._shape)
        )


class _Met(NamedTuple):
    """What a load adds, whatever the prompt."""

    known: Known
    delay_s: float
    tpot_s: float
    log_tpot: float


_Parts = tuple[float, float, float]
"""Time to first token, its standard deviation, and time per output token."""
_Cell = tuple[float, float, float, float]
"""Of one strategy on a model: variance of decoding, the parts' share, and the level's variance and factor."""


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
        self._median, self._upper = beliefs.quantiles[place].tolist()
        columns = (
            beliefs.decode_variance[place],
            beliefs.parts_share[place],
            beliefs.level_variance[place],
            beliefs.level_factor[place],
        )
        self._cells: list[_Cell] = list(zip(*(column.tolist() for column in columns), strict=True))
        self._met = self._meet((0.0, 0.0, 0.0))

    def parts(self, prompt_tokens: float, known: Known, prompt_ttft: float, prompt_log_tpot: float) -> _Parts:
        """What a step's latency is made of, but for the length of its answer.

        Args:
            prompt_tokens: length of the prompt.
            known: the load.
            prompt_ttft: what the prompt's columns add to the time to first token, in service times.
            prompt_log_tpot: what they add to the log of the time per output token.
        """
        met = self._met
        if met.known != known:
            met = self._met = self._meet(known)
        prefill_s = self._overhead_s + self._prefill_s * prompt_tokens
        ttft_s = max(prefill_s + met.delay_s + self._service_s * prompt_ttft, prefill_s / 2)
        soft_s = self._soft_s
        drifted_s = max((ttft_s + soft_s) * self._ttft_drift - soft_s, ttft_s / 4)
        log_tpot = min(max(met.log_tpot + prompt_log_tpot, -LONGEST_LOG), LONGEST_LOG)
        tpot_s = met.tpot_s * exp(log_tpot)
        return drifted_s, self._ttft_sigma * (drifted_s + soft_s), tpot_s

    def add_quantiles(
        self,
        parts: _Parts,
        output_tokens: Sequence[float],
        blind_variance: float,
        q50_s: list[float],
        q90_s: list[float],
    ) -> None:
        """Append the median and the 90 % quantile with every strategy."""
        ttft_s, ttft_sd_s, tpot_s = parts
        ttft_variance, median, upper = ttft_sd_s * ttft_sd_s, self._median, self._upper
        for tokens, cell in zip(output_tokens, self._cells, strict=True):
            decode_variance, parts_share, level_variance, level_factor = cell
            decode_s = tokens * tpot_s
            total_s = ttft_s + decode_s
            shown = (ttft_variance + decode_s * decode_s * decode_variance) / (total_s * total_s)
            variance = parts_share * shown + level_variance
            sigma = sqrt((variance if variance > LEAST_VARIANCE else LEAST_VARIANCE) + blind_variance)
            middle_s = total_s * level_factor
            q50_s.append(middle_s * exp(median * sigma))
            q90_s.append(middle_s * exp(upper * sigma))

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
