"""A limit on calls in flight at one endpoint; what exceeds it waits on our side, most urgent first."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import threading
from dataclasses import dataclass, field

from inframind.errors import ConfigError


@dataclass(order=True, slots=True)
class _Waiter:
    priority: int
    arrival: int
    loop: asyncio.AbstractEventLoop = field(compare=False)
    granted: asyncio.Future[None] = field(compare=False)


class ConcurrencyLimit:
    """At most ``limit`` holders at once, across event loops and threads.

    A plain `asyncio.Semaphore` belongs to one loop, but one fleet serves the caller's loop and the loop
    behind the synchronous API. The lock is held for a few list operations only, never across an await.
    """

    def __init__(self, limit: int) -> None:
        if limit < 1:
            raise ConfigError("max_concurrency", limit, "use 1 or more")
        self._limit = limit
        self._held = 0
        self._waiting: list[_Waiter] = []
        self._arrivals = itertools.count()
        self._lock = threading.Lock()

    @property
    def held(self) -> int:
        """Calls that hold a slot now."""
        return self._held

    @property
    def waiting(self) -> int:
        """Calls that wait for a slot now."""
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        """Whether a call that came now would have to wait."""
        return self._held >= self._limit

    def acquire_now(self) -> bool:
        """Take one slot if one is free."""
        with self._lock:
            is_free = self._held < self._limit
            self._held += is_free
            return is_free

    async def acquire(self, priority: int = 0) -> None:
        """Take one slot; lower ``priority`` is served sooner, ties in order of arrival."""
        with self._lock:
            if self._held < self._limit:
                self._held += 1
                return
            loop = asyncio.get_running_loop()
            waiter = _Waiter(priority, next(self._arrivals), loop, loop.create_future())
            heapq.heappush(self._waiting, waiter)
        try:
            await waiter.granted
        except asyncio.CancelledError:
            self._withdraw(waiter)
            raise

    def _withdraw(self, waiter: _Waiter) -> None:
        with self._lock:
            still_waiting = waiter in self._waiting
            if still_waiting:
                self._waiting.remove(waiter)
                heapq.heapify(self._waiting)
        if not still_waiting:
            # The slot was handed over while the cancellation was on its way: pass it on.
            self.release()

    def release(self) -> None:
        """Give one slot back, to the most urgent that waits."""
        with self._lock:
            while self._waiting:
                waiter = heapq.heappop(self._waiting)
                try:
                    waiter.loop.call_soon_threadsafe(_grant, waiter.granted)
                except RuntimeError:  # its loop is closed, so nobody waits there any more
                    continue
                return
            self._held -= 1


def _grant(granted: asyncio.Future[None]) -> None:
    if not granted.done():
        granted.set_result(None)
