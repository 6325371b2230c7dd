"""Sums over ranges of hours: every range of the clock, around midnight too, in one pass."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

HOURS = 24
SHORTEST, LONGEST = 2, 12


def range_sums(parts_NK: Array, flags_NM: NDArray[np.bool_], hour_N: NDArray[np.int64]) -> Array:
    """Sums of the parts over runs with a flag that arrive within a range (M, 24, ranges' lengths, K)."""
    at_hour = np.stack(
        [flags_NM[hour_N == hour].astype(np.float64).T @ parts_NK[hour_N == hour] for hour in range(HOURS)],
        axis=1,
    )
    around = np.concatenate([at_hour, at_hour[:, : LONGEST - 1]], axis=1)
    until = np.concatenate([np.zeros_like(around[:, :1]), around.cumsum(axis=1)], axis=1)
    starts = np.arange(HOURS)
    return np.stack(
        [until[:, starts + length] - until[:, starts] for length in range(SHORTEST, LONGEST + 1)], axis=2
    )


def span(start: int, length_index: int) -> str:
    """A range as it is written."""
    return f"{start}-{(start + SHORTEST + length_index) % HOURS}"
