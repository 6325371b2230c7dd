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
from typing import Generic, TypeVar

from inframind.errors import StoreClosed, StoreError

W = TypeVar("W")


class GroupCommit(Generic[W]):
    """One writer thread in front of a function that commits a batch.

    Args:
        commit: writes a batch in one transaction, all of it or nothing; raises StoreError when it could not.
            Always called from the same thread.
        thread_name: of the writer thread.
    """

    def __init__(self, commit: Callable[[Sequence[W]], None], thread_name: str) -> None:
        self._commit = commit
        self._thread = ThreadPoolExecutor(1, thread_name)
        self._lock = threading.Lock()
        self._open: list[W] | None = None
        self._done: Future[list[StoreError | None]] | None = None
        self._closed = False

    async def write(self, item: W) -> None:
        """Return once the item is committed.

        Cancelling the caller does not cancel the write: others may share its batch.

        Raises:
            StoreError: this item could not be written; the others of its batch may well have been.
            StoreClosed: after `close`.
        """
        done, index = self._join(item)
        error = (await asyncio.shield(asyncio.wrap_future(done)))[index]
        if error is not None:
            raise error

    def close(self) -> None:
        """Refuse further writes, commit those that wait, and stop the thread. Blocks; may be called twice."""
        with self._lock:
            self._closed = True
        self._thread.shutdown(wait=True)

    def _join(self, item: W) -> tuple[Future[list[StoreError | None]], int]:
        """Add to the open batch, or open one; the future of all its writes, and this write's place."""
        with self._lock:
            if self._closed:
                raise StoreClosed
            if self._open is None or self._done is None:
                self._open = []
                self._done = self._thread.submit(self._commit_open_batch)
            self._open.append(item)
            return self._done, len(self._open) - 1

    def _commit_open_batch(self) -> list[StoreError | None]:
        """What became of each write of the batch."""
        with self._lock:
            batch, self._open = self._open or [], None
        if len(batch) > 1:
            try:
                self._commit(batch)
            except StoreError:  # one bad write must not fail its neighbours: tell them apart, one by one
                return [self._error_of(item) for item in batch]
            return [None] * len(batch)
        return [self._error_of(item) for item in batch]

    def _error_of(self, item: W) -> StoreError | None:
        try:
            self._commit([item])
        except StoreError as error:
            return error
        return None
