"""Many small writes, few transactions: callers on any thread or event loop share commits.

The first write opens a batch and asks the one writer thread to commit it. While that thread is busy with the
batch before, other writes join. A lone write therefore starts at once, and under load the batch grows by
itself: there is no delay and no size to tune.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from inframind.errors import StoreClosed

W = TypeVar("W")
T = TypeVar("T")


@dataclass(slots=True)
class _Waiting(Generic[W]):
    """A write that has not been committed, and who waits for it."""

    item: W
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[None]

    def settle(self, error: BaseException | None) -> None:
        """Tell the caller, on its own loop, unless caller or loop are gone."""
        try:
            self.loop.call_soon_threadsafe(_settle, self.done, error)
        except RuntimeError:  # the loop was closed meanwhile; the write itself is done
            return


class GroupCommit(Generic[W]):
    """One writer thread in front of a function that commits a batch.

    Args:
        commit: writes a batch in one transaction, all of it or nothing; raises StoreError when it could not.
            Always called from the same thread.
        thread_name: of the writer thread.
        concerns_all: whether an error of a batch would meet each of its items alone, too, so that there is no
            point in trying.
    """

    def __init__(
        self,
        commit: Callable[[Sequence[W]], None],
        thread_name: str,
        concerns_all: Callable[[BaseException], bool] = lambda error: False,
    ) -> None:
        self._commit, self._concerns_all = commit, concerns_all
        self._thread = ThreadPoolExecutor(1, thread_name)
        self._lock = threading.Lock()
        self._open: list[_Waiting[W]] = []
        self._closed = False

    async def write(self, item: W) -> None:
        """Return once the item is committed.

        Cancelling the caller does not cancel the write: others may share its batch.

        Raises:
            StoreError: this item could not be written; the others of its batch may well have been.
            StoreClosed: after `close`.
        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting(item, loop, loop.create_future())
        self._join(waiting)
        await waiting.done

    def run(self, function: Callable[[], T]) -> Future[T]:
        """Call a function on the writer thread, after the batches that were opened before.

        Raises:
            StoreClosed: after `close`.
        """
        with self._lock:
            if self._closed:
                raise StoreClosed
            return self._thread.submit(function)

    def close(self) -> None:
        """Refuse further writes, commit those that wait, and stop the thread. Blocks; may be called twice."""
        with self._lock:
            self._closed = True
        self._thread.shutdown(wait=True)

    def _join(self, waiting: _Waiting[W]) -> None:
        """Add to the open batch; the first of a batch asks for its commit."""
        with self._lock:
            if self._closed:
                raise StoreClosed
            self._open.append(waiting)
            if len(self._open) == 1:
                self._thread.submit(self._commit_open_batch)

    def _commit_open_batch(self) -> None:
        with self._lock:
            batch, self._open = self._open, []
        error = self._error_of(batch)
        if error is None or len(batch) == 1 or self._concerns_all(error):
            for waiting in batch:
                waiting.settle(error)
            return
        for waiting in batch:  # one bad write must not fail its neighbours: tell them apart, one by one
            waiting.settle(self._error_of([waiting]))

    def _error_of(self, batch: Sequence[_Waiting[W]]) -> BaseException | None:
        try:
            self._commit([waiting.item for waiting in batch])
        except BaseException as error:  # noqa: BLE001 - whatever it is, it belongs to the callers, who wait
            return error
        return None


def _settle(done: asyncio.Future[None], error: BaseException | None) -> None:
    if done.done():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
