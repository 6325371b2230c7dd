"""Asks a judge, and waits only so long for what it says."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextvars import copy_context

from inframind.plugin.outcomes.judges import Score, settled

MOST_ASTRAY = 8
"""Threads of one judge that have not come back in time; with so many, it is not asked."""


class Asking:
    """Asks one judge in threads of its own, which nobody waits for at the end of the process.

    A thread cannot be ended from outside: one whose time is over is left to itself.

    Args:
        limit_s: seconds that one judgement may take.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._astray: set[Future[Score | Awaitable[Score]]] = set()

    @property
    def is_stuck(self) -> bool:
        """Whether so many threads have not come back that no more is to be asked for now."""
        return len(self._astray) >= MOST_ASTRAY

    async def score(self, ask: Callable[[], Score | Awaitable[Score]]) -> Score:
        """What the judge says.

        Raises:
            TimeoutError: it has not said it in time.
            Exception: whatever the judge raises.
        """
        said = _in_thread(ask)
        try:
            async with asyncio.timeout(self._limit_s) as time:
                return await settled(await asyncio.wrap_future(said))
        except TimeoutError as error:
            if not time.expired():
                raise
            raise TimeoutError(f"it said nothing within {self._limit_s:g} s") from error
        finally:
            if not said.done():
                self._astray.add(said)
                said.add_done_callback(self._astray.discard)


def _in_thread(ask: Callable[[], Score | Awaitable[Score]]) -> Future[Score | Awaitable[Score]]:
    """An executor's threads are waited for at exit, which one that hangs would put off for ever: not so this one."""
    said: Future[Score | Awaitable[Score]] = Future()
    said.set_running_or_notify_cancel()
    context = copy_context()

    def work() -> None:
        try:
            said.set_result(context.run(ask))
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is raised where it is waited for
            said.set_exception(error)

    threading.Thread(target=work, name="inframind-judge", daemon=True).start()
    return said
