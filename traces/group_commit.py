"""Many small writes, few transactions: callers on any thread or event loop share commits.

The first write opens a batch and asks the one writer thread to commit it. While that thread is busy with the
batch before, other writes join. A lone write therefore starts at once, and under load the batch grows by
itself: there is no delay and no size to tune. When more waits than `WriteLimits` allow, callers wait for room or
are refused; what was taken on is never dropped.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from inframind.errors import ConfigError, StoreClosed, StoreError

W = TypeVar("W")
T = TypeVar("T")

_BATCH_WRITES = 512
"""One transaction holds so many at most: beyond that they gain nothing, and others wait for its end."""

_LAST_ORDERS_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteLimits:
    """How much may wait to be written, and what happens to more.

    Attributes:
        max_waiting: writes that may wait at once; each holds some ten kilobytes.
        when_full: ``block``: further callers wait until there is room; ``refuse``: they get a StoreError at once.

    Raises:
        ConfigError: no room at all, or another word.
    """

    max_waiting: int = 10_000
    when_full: Literal["block", "refuse"] = "block"

    def __post_init__(self) -> None:
        if self.max_waiting < 1:
            raise ConfigError("max_waiting", self.max_waiting, "give a positive number of writes")
        if self.when_full not in ("block", "refuse"):
            raise ConfigError("when_full", self.when_full, "choose block or refuse")


DEFAULT_LIMITS = WriteLimits()


@dataclass(slots=True, eq=False)
class _Promise:
    """A caller, on its own loop, who is told of one thing."""

    loop: asyncio.AbstractEventLoop
    told: asyncio.Future[None]

    @classmethod
    def here(cls) -> _Promise:
        """To the coroutine that runs now."""
        loop = asyncio.get_running_loop()
        return cls(loop, loop.create_future())

    def keep(self, error: BaseException | None = None) -> bool:
        """Tell the caller, unless it is gone; whether its loop was still there."""
        try:
            self.loop.call_soon_threadsafe(_tell, self.told, error)
        except RuntimeError:  # the loop was closed meanwhile
            return False
        return True


class GroupCommit(Generic[W]):
    """One writer thread in front of a function that commits a batch.

    Args:
        commit: writes a batch in one transaction, all of it or nothing; raises StoreError when it could not.
            Always called from the same thread.
        thread_name: of the writer thread.
        concerns_all: whether an error of a batch would meet each of its items alone, too, so that there is no
            point in trying.
        limits: how much may wait.
    """

    def __init__(
        self,
        commit: Callable[[Sequence[W]], None],
        thread_name: str,
        concerns_all: Callable[[BaseException], bool] = lambda error: False,
        limits: WriteLimits = DEFAULT_LIMITS,
    ) -> None:
        self._commit, self._concerns_all, self._limits = commit, concerns_all, limits
        self._thread = ThreadPoolExecutor(1, thread_name)
        self._lock = threading.Lock()
        self._emptied = threading.Condition(self._lock)
        self._inside = 0
        self._line: deque[_Promise] = deque()
        self._open: list[tuple[W, _Promise]] = []
        self._closed = self._stopped = False

    @property
    def waiting(self) -> int:
        """Number of writes that are not committed yet, those that wait for room included."""
        return self._inside + len(self._line)

    async def write(self, make: Callable[[], W]) -> None:
        """Return once an item is committed.

        Cancelling the caller does not cancel the write, once there is room for it: others may share its batch.

        Args:
            make: gives the item; called once there is room for it. What it raises is raised here.

        Raises:
            StoreError: this item could not be written (the others of its batch may well have been), or was refused.
            StoreClosed: after `close`.
        """
        await self._enter()
        try:
            item = make()
        except BaseException:
            self._leave(1)
            raise
        committed = _Promise.here()
        self._join(item, committed)
        await committed.told

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
        """Refuse further writes, commit those that wait, and stop the thread. Blocks; may be called twice.

        Callers that wait for room are let in, but not waited for longer than some seconds: their loop may stand.
        """
        with self._lock:
            self._closed = True
            while self._line:
                self._inside += self._line.popleft().keep()
            self._emptied.wait_for(lambda: self._inside == 0, timeout=_LAST_ORDERS_S)
            self._stopped = True
        self._thread.shutdown(wait=True)

    async def _enter(self) -> None:
        with self._lock:
            if self._closed:
                raise StoreClosed
            if self._inside < self._limits.max_waiting:
                self._inside += 1
                return
            if self._limits.when_full == "refuse":
                raise StoreError(
                    "write",
                    f"{self._inside} writes wait already, and max_waiting allows no more; "
                    "see why the storage is slow, raise max_waiting, or let callers wait (when_full)",
                )
            turn = _Promise.here()
            self._line.append(turn)
        try:
            await turn.told
        except asyncio.CancelledError:
            self._lose(turn)
            raise

    def _lose(self, turn: _Promise) -> None:
        """A caller gave up its place in the line, or the room that it had just got."""
        with self._lock:
            if turn in self._line:
                self._line.remove(turn)
                return
        self._leave(1)

    def _leave(self, number: int) -> None:
        """Make room, first of all for those in the line."""
        with self._lock:
            self._inside -= number
            while self._line and self._inside < self._limits.max_waiting:
                self._inside += self._line.popleft().keep()
            self._emptied.notify_all()

    def _join(self, item: W, committed: _Promise) -> None:
        """Add to the open batch; the first of a batch asks for its commit."""
        with self._lock:
            if self._stopped:
                raise StoreClosed
            self._open.append((item, committed))
            if len(self._open) == 1:
                self._thread.submit(self._commit_open_batch)

    def _commit_open_batch(self) -> None:
        """Commit what gathered. What is left for another batch waits its turn, behind what others ask of the thread."""
        is_last_call = True
        while is_last_call:
            with self._lock:
                batch, self._open = self._open[:_BATCH_WRITES], self._open[_BATCH_WRITES:]
                is_last_call = bool(self._open) and self._stopped
                if self._open and not self._stopped:
                    self._thread.submit(self._commit_open_batch)
            self._settle(batch)
            self._leave(len(batch))

    def _settle(self, batch: Sequence[tuple[W, _Promise]]) -> None:
        error = self._error_of(batch) if batch else None
        if error is None or len(batch) == 1 or self._concerns_all(error):
            for _, committed in batch:
                committed.keep(error)
            return
        for one in batch:  # one bad write must not fail its neighbours: tell them apart, one by one
            one[1].keep(self._error_of([one]))

    def _error_of(self, batch: Sequence[tuple[W, _Promise]]) -> BaseException | None:
        try:
            self._commit([item for item, _ in batch])
        except BaseException as error:  # noqa: BLE001 - whatever it is, it belongs to the callers, who wait
            return error
        return None


def _tell(told: asyncio.Future[None], error: BaseException | None) -> None:
    if told.done():
        return
    if error is None:
        told.set_result(None)
    else:
        told.set_exception(error)
