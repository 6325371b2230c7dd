"""What is known of a thread: which endpoint holds its conversation in its prefix cache, and its latest run."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
KEPT = 10_000
"""Threads that are remembered."""


@dataclass(frozen=True, slots=True)
class Warmth:
    """Where a thread's last call went.

    Attributes:
        model: model that answered.
        endpoint: endpoint that answered.
        tokens: tokens of that call's prompt and answer: what its prefix cache holds.
        at_s: when, on the clock's monotonic axis.
    """

    model: str
    endpoint: str
    tokens: int
    at_s: float


class Threads:
    """Remembers each thread's warmth.

    Args:
        lasts_s: seconds after which a prefix is taken to have been evicted.
        kept: threads that are remembered.
    """

    def __init__(self, *, lasts_s: float = 600.0, kept: int = KEPT) -> None:
        self._lasts_s, self._kept = lasts_s, kept
        self._warmth: OrderedDict[str, Warmth] = OrderedDict()
        self._runs: OrderedDict[str, str] = OrderedDict()

    def warmth(self, thread_id: str, now_s: float) -> Warmth | None:
        """Where the thread's prefix is, or None when that is not known or too long ago."""
        found = self._warmth.get(thread_id)
        return found if found is not None and now_s - found.at_s <= self._lasts_s else None

    def note(self, thread_id: str, warmth: Warmth) -> None:
        """Remember where a call went."""
        _remember(self._warmth, thread_id, warmth, self._kept)

    def begins(self, thread_id: str, trace_id: str) -> bool:
        """Whether this is another run than the thread's last one; it is the last one from now on."""
        is_new = self._runs.get(thread_id) != trace_id
        _remember(self._runs, thread_id, trace_id, self._kept)
        return is_new


def _remember(known: OrderedDict[str, T], key: str, value: T, most: int) -> None:
    """Keep the latest ``most``."""
    known[key] = value
    known.move_to_end(key)
    if len(known) > most:
        known.popitem(last=False)
