"""Seconds from a model's size and load alone: what is believed of a model before its first call."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from inframind.errors import ConfigError
from inframind.router.latency import Array


@dataclass(frozen=True, kw_only=True)
class PhysicalPrior:
    """Seconds from a model's size; a line through the fitted H100 rows of five models, 3 to 34 B.

    The rows (step time at batch 1: 4.8, 6.5, 13.6, 25.5, 26.6 ms) scatter by 30 % around it, and other
    hardware moves it: it is a start, and the measured calls correct it.

        first token = overhead + prompt * prefill + waiting * service / max(running, smallest batch)
        token       = (base + size * per_b) * (1 + slowdown * running)

    The wait is Little's law: those who wait, over the rate at which the batch drains. ``service`` is the time of
    a typical answer.
    """

    tpot_base_s: float = 0.002
    """Seconds per output token, whatever the size."""
    tpot_per_b_s: float = 0.0009
    """Seconds per output token and billion parameters."""
    prefill_per_b_s: float = 3e-6
    """Seconds per prompt token and billion parameters."""
    batch_slowdown: float = 0.01
    """Relative slowdown of a token per running request."""
    overhead_s: float = 0.02
    """Seconds of a call outside the engine."""
    smallest_batch: float = 10.0
    """An engine that has a queue drains as if at least so many ran: a smaller batch is about to be refilled."""

    def __post_init__(self) -> None:
        for name in ("tpot_base_s", "overhead_s", "smallest_batch"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"latency.{name}", getattr(self, name), "use a positive number")
        for name in ("tpot_per_b_s", "prefill_per_b_s", "batch_slowdown"):
            if getattr(self, name) < 0:
                raise ConfigError(f"latency.{name}", getattr(self, name), "use 0 or more")

    def idle_tpot_s(self, size_b: Array) -> Array:
        """Seconds per output token of a request that runs alone."""
        return self.tpot_base_s + self.tpot_per_b_s * size_b

    def tpot_s(self, size_b: Array, running: Array) -> Array:
        """Seconds per output token in a batch."""
        return self.idle_tpot_s(size_b) * (1 + self.batch_slowdown * running)

    def prefill_s(self, size_b: Array, prompt_tokens: Array | float) -> Array:
        """Seconds to the first token without a queue."""
        return self.overhead_s + self.prefill_per_b_s * size_b * prompt_tokens

    def wait_s(self, service_s: Array, running: Array, waiting: Array) -> Array:
        """Seconds in the queue."""
        return waiting * service_s / np.maximum(running, self.smallest_batch)
