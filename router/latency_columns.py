"""What the learned part of the latency model regresses on: sole owner of the columns and their order.

K = load columns, Z = length columns. Every column is of order one, so that one ridge penalty fits all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inframind.fleet.snapshot import EndpointLoad
from inframind.router.latency import Array

LOAD_COLUMNS = (
    "one",
    "log_waiting",
    "waiting",
    "kv",
    "kv_over_60",
    "kv_over_80",
    "kv_over_90",
    "running",
    "log_running",
    "log_prompt",
    "log_prompt_over_7",
    "prompt",
    "has_queue",
    "queue_x_log_kv_per_request",
    "queue_x_kv",
    "log_waiting_x_kv",
    "log_waiting_x_log_running",
)
"""Columns for time to first token and time per output token."""

LENGTH_COLUMNS = ("one", "log_prompt", "log_prompt_over_7")
"""Columns for the length of the answer."""

_KV_FLOOR = 0.005
_LONG_PROMPT = 7.0  # log tokens, about 1,100: chat below, documents above


@dataclass(frozen=True, slots=True)
class LoadColumns:
    """Load of several endpoints as columns; whatever the rows are (models, or recorded calls).

    Attributes:
        running: requests in the batch.
        waiting: requests in the queue, ours that wait on our side included.
        kv: share of the KV cache in use, 0 to 1.
        is_blind: whether the load was not known.
    """

    running: Array
    waiting: Array
    kv: Array
    is_blind: NDArray[np.bool_]

    @classmethod
    def of(cls, loads: Sequence[EndpointLoad | None], typical: Array, stale_after_s: float) -> LoadColumns:
        """The loads now; where one is not known, our own calls and what is typical there (M, 3), if more.

        Columns of ``typical`` are running, waiting and KV use. An endpoint that cannot be called is blind too.
        """
        rows = [_known(load, stale_after_s) for load in loads]
        is_blind = np.array([row is None for row in rows])
        if not is_blind.any():
            known = np.array(rows, dtype=np.float64)
        else:
            filled = [
                (*_ours(load), 0.0) if row is None else row for load, row in zip(loads, rows, strict=True)
            ]
            known = np.array(filled, dtype=np.float64)
            known[is_blind] = np.maximum(known[is_blind], typical[is_blind])
        return cls(known[:, 0], known[:, 1], known[:, 2], is_blind)


def _known(load: EndpointLoad | None, stale_after_s: float) -> tuple[float, float, float] | None:
    if load is None or load.running is None or load.age_s is None or load.age_s > stale_after_s:
        return None
    running, waiting = load.running_now, load.waiting_now + load.waiting_here
    return running, waiting, load.kv_cache_usage or 0.0


def _ours(load: EndpointLoad | None) -> tuple[float, float]:
    return (float(load.in_flight), float(load.waiting_here)) if load else (0.0, 0.0)


def load_columns(loads: LoadColumns, prompt_tokens: Array | float) -> Array:
    """One row per load (rows, K), `LOAD_COLUMNS`."""
    running, waiting, kv = loads.running, loads.waiting, loads.kv
    log_prompt = np.log1p(prompt_tokens)
    log_waiting, log_running = np.log1p(waiting), np.log1p(running)
    has_queue = waiting > 0
    columns = np.empty((len(running), len(LOAD_COLUMNS)))
    columns[:, 0] = 1.0
    columns[:, 1] = log_waiting
    columns[:, 2] = waiting / 20
    columns[:, 3] = kv
    columns[:, 4] = np.maximum(kv - 0.6, 0.0)
    columns[:, 5] = np.maximum(kv - 0.8, 0.0)
    columns[:, 6] = np.maximum(kv - 0.9, 0.0)
    columns[:, 7] = running / 20
    columns[:, 8] = log_running
    columns[:, 9] = log_prompt / 5
    columns[:, 10] = np.maximum(log_prompt - _LONG_PROMPT, 0.0) / 3
    columns[:, 11] = np.divide(prompt_tokens, 1e4)
    columns[:, 12] = has_queue
    columns[:, 13] = has_queue * np.log(kv / np.maximum(running, 1.0) + _KV_FLOOR)
    columns[:, 14] = has_queue * kv
    columns[:, 15] = log_waiting * kv
    columns[:, 16] = log_waiting * log_running / 3
    return columns


def length_columns(prompt_tokens: Array | float) -> Array:
    """One row per prompt (rows, Z), `LENGTH_COLUMNS`; a single prompt gives (Z)."""
    log_prompt = np.log1p(prompt_tokens)
    long = np.maximum(log_prompt - _LONG_PROMPT, 0.0) / 3
    return np.stack([np.ones_like(log_prompt), log_prompt / 5, long], axis=-1)
