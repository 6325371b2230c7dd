"""Paged KV memory: how many blocks are in use, and which prompt prefixes are still there.

Only full blocks of prompts are shared. Blocks of generated tokens are private and forgotten when freed, so a
follow-up turn finds its old prompt in the cache and recomputes the answer between; the real server would find
both. Empty blocks are used before cached ones are evicted, oldest first, last block of a prompt first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence


class Holding:
    """The blocks that one sequence holds.

    Attributes:
        shared: keys of the cached prompt blocks, in the prompt's order.
        private: number of blocks that nobody else can use.
    """

    __slots__ = ("private", "shared")

    def __init__(self) -> None:
        self.shared: list[Hashable] = []
        self.private = 0

    @property
    def blocks(self) -> int:
        """Number of blocks held."""
        return len(self.shared) + self.private


class BlockPool:
    """All KV blocks of one engine."""

    def __init__(self, total: int) -> None:
        self.total = total
        self._empty = total
        self._holders: dict[Hashable, int] = {}
        self._idle: OrderedDict[Hashable, None] = OrderedDict()

    @property
    def available(self) -> int:
        """Blocks that can be taken: empty ones and cached ones that nobody holds."""
        return self._empty + len(self._idle)

    @property
    def usage(self) -> float:
        """Share of blocks held by sequences, 0 to 1."""
        return 1.0 - self.available / self.total

    def match(self, keys: Sequence[Hashable]) -> int:
        """How many leading blocks of a prompt are cached."""
        for index, key in enumerate(keys):
            if key not in self._holders:
                return index
        return len(keys)

    def fits(self, hits: Sequence[Hashable], new: int) -> bool:
        """Whether ``new`` blocks can be taken besides the cached blocks ``hits``."""
        return new <= self.available - sum(key in self._idle for key in hits)

    def adopt(self, holding: Holding, hits: Sequence[Hashable]) -> None:
        """Share cached blocks; nobody can evict them until they are released."""
        for key in hits:
            self._holders[key] += 1
            self._idle.pop(key, None)
        holding.shared.extend(hits)

    def take(self, holding: Holding, new: int) -> None:
        """Take blocks that are `available`; the caller has checked that there are enough."""
        evicted = max(0, new - self._empty)
        for _ in range(evicted):
            key, _ = self._idle.popitem(last=False)
            del self._holders[key]
        self._empty -= new - evicted
        holding.private += new

    def publish(self, holding: Holding, keys: Sequence[Hashable]) -> int:
        """Put private prompt blocks into the cache; returns how many were not there yet."""
        fresh = [key for key in keys if key not in self._holders]
        for key in fresh:
            self._holders[key] = 1
        holding.private -= len(fresh)
        holding.shared.extend(fresh)
        return len(fresh)

    def release(self, holding: Holding) -> None:
        """Give back everything that is held; cached blocks stay findable until they are evicted."""
        self._empty += holding.private
        for key in reversed(holding.shared):
            self._holders[key] -= 1
            if not self._holders[key]:
                self._idle[key] = None
        holding.private = 0
        holding.shared.clear()
