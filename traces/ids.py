"""Ids of what is kept: of traces, and of recommendations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def new_ids(rng: np.random.Generator) -> Callable[[], str]:
    """A source of ids, the same again from the same seed: 128 bits as 32 lowercase hex digits, as W3C trace ids are."""
    return lambda: rng.bit_generator.random_raw(2).tobytes().hex()  # a twentieth of what `rng.bytes` costs
