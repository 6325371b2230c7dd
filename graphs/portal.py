"""A background event loop for callers without one: the synchronous API, and graphs that are invoked
synchronously. Started on first use, shared by all threads, safe to call with or without a running loop."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Portal:
    """Runs coroutines on a loop of its own, in a daemon thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._process_id = 0
        self._spawned: set[asyncio.Task[None]] = set()

    @property
    def is_running(self) -> bool:
        """Whether the background loop has been started and not closed."""
        return self._loop is not None

    @property
    def is_current(self) -> bool:
        """Whether the caller is on the portal's own thread."""
        return threading.current_thread() is self._thread

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end; cancels it when the waiting thread is interrupted.

        Raises:
            RuntimeError: called from the portal's own thread, which would wait for itself; or in a fork of the process
                that started the portal, which has no such thread.
        """
        try:
            loop = self._started()
        except RuntimeError:
            coroutine.close()
            raise
        future = asyncio.run_coroutine_threadsafe(coroutine, loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Have a coroutine run there, with nobody waiting; from any thread, the portal's own too.

        Raises:
            RuntimeError: in a fork of the process that started the portal.
        """
        if self.is_current:
            self._hold(asyncio.get_running_loop().create_task(coroutine))
            return
        try:
            loop = self._started()
        except RuntimeError:
            coroutine.close()
            raise
        loop.call_soon_threadsafe(lambda: self._hold(loop.create_task(coroutine)))

    def _hold(self, task: asyncio.Task[None]) -> None:
        """A loop holds its tasks weakly: one that nobody waits for might be collected before its end."""
        self._spawned.add(task)
        task.add_done_callback(self._spawned.discard)

    def close(self) -> None:
        """Stop the loop and wait for its thread; a later `run` starts a new one."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is not None and thread is not None:
            asyncio.run_coroutine_threadsafe(_wind_down(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    def _started(self) -> asyncio.AbstractEventLoop:
        if self.is_current:
            raise RuntimeError("synchronous call from the background loop itself; await the async method")
        with self._lock:
            if self._loop is None:
                self._process_id = os.getpid()
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._loop.run_forever, name="inframind-portal", daemon=True
                )
                self._thread.start()
            elif self._process_id != os.getpid():
                raise RuntimeError(
                    "threads do not survive a fork; make an InfraMind of its own in each process"
                )
            return self._loop


async def _wind_down() -> None:
    """End what still runs on the loop, as `asyncio.run` does at its end."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()
    await asyncio.get_running_loop().shutdown_default_executor()
