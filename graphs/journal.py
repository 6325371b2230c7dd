"""Writes the traces of runs that may go on in another process, while they go on. No call waits for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from inframind.errors import StoreClosed, StoreError
from inframind.traces.records import Trajectory

REST_S = 0.05
"""Seconds that a writer waits for more to happen. A run that ends meanwhile is written once, by its end."""

_log = logging.getLogger(__name__)


class Journal:
    """One writer per run: what happens during a write is in the next one, and nothing is written twice at a time.

    Args:
        put: stores a trace.
    """

    def __init__(self, put: Callable[[Trajectory], Awaitable[None]]) -> None:
        self._put = put
        self._writers: dict[str, asyncio.Task[None]] = {}
        self._stale: set[str] = set()
        self._storing: set[str] = set()

    def write_soon(self, trace_id: str, freeze: Callable[[], Trajectory]) -> None:
        """Write what ``freeze`` gives by then; must be called on the loop that the run goes on."""
        self._stale.add(trace_id)
        writer = self._writers.get(trace_id)
        if writer is None or writer.done():  # one that has just ended is still there, and writes no more
            task = asyncio.get_running_loop().create_task(self._write(trace_id, freeze))
            self._writers[trace_id] = task
            task.add_done_callback(lambda _: self._forget(trace_id, task))

    async def settle(self, trace_id: str) -> None:
        """Make sure that nothing is being written of a run, so that what its end writes comes last."""
        self._stale.discard(trace_id)
        task = self._writers.get(trace_id)
        if task is None or task.get_loop() is not asyncio.get_running_loop():
            return
        if trace_id not in self._storing:
            task.cancel()
        await asyncio.wait([task])

    def pending(self) -> tuple[asyncio.Task[None], ...]:
        """Writers at work."""
        return tuple(self._writers.values())

    def _forget(self, trace_id: str, task: asyncio.Task[None]) -> None:
        if self._writers.get(trace_id) is task:
            del self._writers[trace_id]

    async def _write(self, trace_id: str, freeze: Callable[[], Trajectory]) -> None:
        while trace_id in self._stale:
            await asyncio.sleep(REST_S)
            self._stale.discard(trace_id)
            self._storing.add(trace_id)
            try:
                await self._put(freeze())
            except (StoreError, StoreClosed) as error:
                # The end of the run writes all of it again, and raises what is still wrong then.
                _log.warning("the trace %s of a run in progress was not written: %s", trace_id, error)
            finally:
                self._storing.discard(trace_id)
