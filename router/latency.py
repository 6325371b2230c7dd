"""What a latency model is: quantiles of step latency for every (model, strategy) at once, before anything is sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from inframind.fleet.snapshot import FleetSnapshot

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LatencyMap:
    """Predicted step latency; models on the first axis, strategies on the second (M, S).

    Attributes:
        q50_s: median seconds, queueing included.
        q90_s: 90 % quantile in seconds.
    """

    q50_s: Array
    q90_s: Array


class LatencyModel(Protocol):
    """Predicts a whole map in one pass, and learns from every call."""

    def predict(self, snapshot: FleetSnapshot, prompt_tokens: int) -> LatencyMap:
        """Quantiles of step latency for every model and strategy under this load."""
        ...

    def observe(
        self,
        model: str,
        strategy: str,
        snapshot: FleetSnapshot,
        prompt_tokens: int,
        latency_s: float,
        *,
        ttft_s: float | None = None,
        output_tokens: int | None = None,
    ) -> None:
        """Learn from a step that was dispatched under ``snapshot``.

        Args:
            model: model that answered.
            strategy: strategy of its prompt.
            snapshot: the load that the prediction was made from.
            prompt_tokens: as given to ``predict``.
            latency_s: seconds from the snapshot to the last byte.
            ttft_s: seconds from the snapshot to the first token, or None where it was not seen.
            output_tokens: tokens of the answer, or None where the server did not count them.
        """
        ...


def estimate_tokens(texts: Sequence[str]) -> int:
    """Rough number of tokens of some texts: four UTF-8 bytes each. For masks and predictions only.

    Bytes rather than characters, because a Chinese or Japanese character is three bytes and most of a token.
    """
    return sum(len(text) if text.isascii() else len(text.encode()) for text in texts) // 4 + 1
