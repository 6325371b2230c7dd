"""Work that nobody waits for, on the background loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from inframind.graphs.portal import Portal
from inframind.graphs.services import Services
from inframind.plugin.graphs.mishaps import Mishaps


class Background:
    """Hands work to the portal's loop, in order, from any thread and with or without a running loop.

    Never to the application's own loop: that may end, as `asyncio.run` does, before a trace is written.
    `InfraMind.close` waits for what was handed over.

    Args:
        portal: whose loop it is.
        services: counts writes in progress.
        mishaps: keeps the errors of the work.
    """

    def __init__(self, portal: Portal, services: Services, mishaps: Mishaps) -> None:
        self._portal, self._services, self._mishaps = portal, services, mishaps
        self._loop: asyncio.AbstractEventLoop | None = None

    def call(self, job: Callable[..., object], *arguments: object) -> None:
        """Have a function called there soon."""
        self._its_loop().call_soon_threadsafe(self._guarded, job, *arguments)

    def write(self, work: Coroutine[Any, Any, None]) -> None:
        """Have a coroutine run there soon, after what was handed over before has begun. From there, it begins now."""
        if self._portal.is_current:
            self._services.write_soon(self._finished(work))
        else:
            self._its_loop().call_soon_threadsafe(self._services.write_soon, self._finished(work))

    async def caught_up(self) -> None:
        """Return when all functions have been called that were handed over before, from another loop than that one."""
        if self._loop is not None and not self._loop.is_closed() and not self._portal.is_current:
            await asyncio.to_thread(self._portal.run, _running_loop())

    def _its_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None or self._loop.is_closed():
            is_there = self._portal.is_current
            self._loop = asyncio.get_running_loop() if is_there else self._portal.run(_running_loop())
        return self._loop

    def _guarded(self, job: Callable[..., object], *arguments: object) -> None:
        with self._mishaps:
            job(*arguments)

    async def _finished(self, work: Coroutine[Any, Any, None]) -> None:
        with self._mishaps:
            await work


async def _running_loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()
