"""Waking those who wait for news, on whatever thread or event loop they wait."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress

from inframind.errors import StoreClosed


class Bell:
    """Rung by any thread, heard on any event loop. It carries no news: who hears it goes and looks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rings = 0
        self._closed = False
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = set()

    @property
    def rings(self) -> int:
        """How often it has been rung: look here first, then at the news, then `wait` for more."""
        return self._rings

    def ring(self) -> None:
        """Wake everybody who waits."""
        with self._lock:
            self._rings += 1
            waiting, self._waiting = self._waiting, set()
        for loop, future in waiting:
            with suppress(RuntimeError):  # that loop was closed meanwhile, and with it who waited
                loop.call_soon_threadsafe(_wake, future)

    def close(self) -> None:
        """Wake everybody for the last time; who waits from now on is refused."""
        self._closed = True
        self.ring()

    async def wait(self, *, since: int, timeout_s: float) -> None:
        """Return when it has been rung more often than ``since``, or when the time is up.

        Raises:
            StoreClosed: the bell is closed, or is while waiting.
        """
        loop = asyncio.get_running_loop()
        place = (loop, loop.create_future())
        with self._lock:
            if self._rings == since:
                self._waiting.add(place)
            else:
                _wake(place[1])
        try:
            await asyncio.wait((place[1],), timeout=timeout_s)
        finally:
            place[1].cancel()
            with self._lock:
                self._waiting.discard(place)
        if self._closed:
            raise StoreClosed


async def wait_for_number(
    bell: Bell, read: Callable[[], Awaitable[int]], *, after: int, timeout_s: float, poll_s: float
) -> int:
    """The number that ``read`` gives: at once when it is greater than ``after``, else when it is, or time is up.

    Args:
        bell: is rung when the number may have grown; it need not be every time.
        read: looks.
        after: number that is known.
        timeout_s: seconds to wait in all.
        poll_s: look so often even when the bell is silent.
    """
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + timeout_s
    while True:
        rings = bell.rings
        number = await read()
        left_s = deadline_s - loop.time()
        if number > after or left_s <= 0:
            return number
        await bell.wait(since=rings, timeout_s=min(left_s, poll_s))


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
