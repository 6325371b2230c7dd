"""What the learned part of the latency model regresses on: sole owner of the columns and their order.

K = load columns, Z = length columns. Every column is of order one, so that one ridge penalty fits all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inframind.fleet.snapshot import EndpointLoad
from inframind.router.latency import Array

LENGTH_COLUMNS = ("one", "log_prompt", "log_prompt_over_7")
"""Columns for the length of the answer."""

PROMPT_COLUMNS = (*LENGTH_COLUMNS, "prompt")
"""Columns that the prompt alone decides."""

LOAD_COLUMNS = (
    *PROMPT_COLUMNS,
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

Row = tuple[float, ...]
Known = tuple[float, float, float]
"""Requests in the batch, requests in the queue, and share of the KV cache in use."""
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
        rows = [known_load(load, stale_after_s) for load in loads]
        if None not in rows:
            return cls(np.array(rows, dtype=np.float64))
        is_blind = np.array([row is None for row in rows])
        filled = [
            supposed_load(load, usual) if row is None else row
            for row, load, usual in zip(rows, loads, typical.tolist(), strict=True)
        ]
        return cls(np.array(filled, dtype=np.float64), is_blind)


def known_load(load: EndpointLoad | None, stale_after_s: float) -> Known | None:
    """The load now, ours that wait on our side included; None where it is not known or was read too long ago."""
    if load is None or load.running is None or load.age_s is None or load.age_s > stale_after_s:
        return None
    running, waiting = load.engine_now
    return running, waiting + load.waiting_here, load.kv_cache_usage or 0.0


def supposed_load(load: EndpointLoad | None, usual: Sequence[float]) -> Known:
    """What stands for a load that is not known: our own calls, and what is usual there, if more."""
    running, waiting, kv = usual
    if load is None:
        return running, waiting, kv
    return max(float(load.in_flight), running), max(float(load.waiting_here), waiting), kv


def prompt_row(prompt_tokens: float) -> Row:
    """`PROMPT_COLUMNS` of one prompt."""
    log_prompt = math.log1p(prompt_tokens)
    return 1.0, log_prompt / 5, max(log_prompt - _LONG_PROMPT, 0.0) / 3, prompt_tokens / 1e4


def load_row(known: Known) -> Row:
    """The rest of `LOAD_COLUMNS` for one load.

    In plain floats: a prediction needs a handful of rows, which numpy takes several times as long to make.
    """
    running, waiting, kv = known
    log_running, log_waiting = math.log1p(running), math.log1p(waiting)
    has_queue = 1.0 if waiting > 0 else 0.0
    return (
        kv,
        max(kv - 0.6, 0.0),
        max(kv - 0.8, 0.0),
        max(kv - 0.9, 0.0),
        log_running,
        log_waiting,
        running / 20,
        waiting / 20,
        has_queue,
        has_queue * kv,
        has_queue * math.log(kv / max(running, 1.0) + _KV_FLOOR),
        log_waiting * kv,
        log_waiting * log_running / 3,
    )


def load_columns(loads: LoadColumns, prompt_tokens: Array | float) -> Array:
    """One row per load (rows, K), `LOAD_COLUMNS`; one prompt for all of them, or one each."""
    prompts = np.broadcast_to(prompt_tokens, len(loads.known)).tolist()
    rows = [
        prompt_row(prompt) + load_row((running, waiting, kv))
        for prompt, (running, waiting, kv) in zip(prompts, loads.known.tolist(), strict=True)
    ]
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(LOAD_COLUMNS))
