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

LENGTH_COLUMNS = ("one", "log_prompt", "log_prompt_over_7")
"""Columns for the length of the answer."""

LOAD_COLUMNS = (
    *LENGTH_COLUMNS,
    "prompt",
    "kv",
    "kv_over_60",
    "kv_over_80",
    "kv_over_90",
    "log_running",
    "log_waiting",
    "running",
    "waiting",
    "has_queue",
    "queue_x_kv",
    "queue_x_log_kv_per_request",
    "log_waiting_x_kv",
    "log_waiting_x_log_running",
)
"""Columns for time to first token and time per output token."""

_KV_KNOTS = np.array([0.0, 0.6, 0.8, 0.9])
_KV_FLOOR = 0.005
_LONG_PROMPT = 7.0  # log tokens, about 1,100: chat below, documents above


@dataclass(frozen=True, slots=True)
class LoadColumns:
    """Load of several endpoints as columns; whatever the rows are (models, or recorded calls).

    Attributes:
        known: requests in the batch, requests in the queue (ours that wait on our side included), and share of
            the KV cache in use, 0 to 1 (rows, 3).
        is_blind: whether the load was not known (rows), or None when every one was.
    """

    known: Array
    is_blind: NDArray[np.bool_] | None = None

    @property
    def requests(self) -> Array:
        """Running and waiting (rows, 2)."""
        return self.known[:, :2]

    @property
    def running(self) -> Array:
        """Requests in the batch."""
        return self.known[:, 0]

    @property
    def waiting(self) -> Array:
        """Requests in the queue."""
        return self.known[:, 1]

    @property
    def kv(self) -> Array:
        """Share of the KV cache in use."""
        return self.known[:, 2]

    @classmethod
    def of(cls, loads: Sequence[EndpointLoad | None], typical: Array, stale_after_s: float) -> LoadColumns:
        """The loads now; where one is not known, our own calls and what is typical there (M, 3), if more.

        Columns of ``typical`` are running, waiting and KV use. An endpoint that cannot be called is blind too.
        """
        rows = [_known(load, stale_after_s) for load in loads]
        if None not in rows:
            return cls(np.array(rows, dtype=np.float64))
        is_blind = np.array([row is None for row in rows])
        filled = [(*_ours(load), 0.0) if row is None else row for load, row in zip(loads, rows, strict=True)]
        known = np.array(filled, dtype=np.float64)
        known[is_blind] = np.maximum(known[is_blind], typical[is_blind])
        return cls(known, is_blind)


def _known(load: EndpointLoad | None, stale_after_s: float) -> tuple[float, float, float] | None:
    if load is None or load.running is None or load.age_s is None or load.age_s > stale_after_s:
        return None
    running, waiting = load.running_now, load.waiting_now + load.waiting_here
    return running, waiting, load.kv_cache_usage or 0.0


def _ours(load: EndpointLoad | None) -> tuple[float, float]:
    return (float(load.in_flight), float(load.waiting_here)) if load else (0.0, 0.0)


def length_columns(prompt_tokens: Array | float) -> Array:
    """One row per prompt (rows, Z), `LENGTH_COLUMNS`; a single prompt gives (Z)."""
    log_prompt = np.log1p(prompt_tokens)
    columns = np.ones((*np.shape(prompt_tokens), len(LENGTH_COLUMNS)))
    columns[..., 1] = log_prompt / 5
    columns[..., 2] = np.maximum(log_prompt - _LONG_PROMPT, 0.0) / 3
    return columns


def load_columns(loads: LoadColumns, prompt_tokens: Array | float, lengths: Array) -> Array:
    """One row per load (rows, K), `LOAD_COLUMNS`; ``lengths`` are the prompts' length columns."""
    requests, kv = loads.requests, loads.kv
    logs = np.log1p(requests)
    has_queue = requests[:, 1] > 0
    log_kv_per_request = np.log(kv / np.maximum(requests[:, 0], 1.0) + _KV_FLOOR)
    columns = np.empty((len(kv), len(LOAD_COLUMNS)))
    columns[:, :3] = lengths
    columns[:, 3] = np.divide(prompt_tokens, 1e4)
    columns[:, 4:8] = np.maximum(kv[:, None] - _KV_KNOTS, 0.0)
    columns[:, 8:10] = logs
    columns[:, 10:12] = requests / 20
    columns[:, 12] = has_queue
    columns[:, 13] = has_queue * kv
    columns[:, 14] = has_queue * log_kv_per_request
    columns[:, 15] = logs[:, 1] * kv
    columns[:, 16] = logs[:, 1] * logs[:, 0] / 3
    return columns
