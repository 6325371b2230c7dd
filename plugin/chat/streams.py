"""One answer between the call that receives it and whoever reads it, on an event loop or in another thread.

The call runs as a task of its own, and is told of backpressure: no more than `AHEAD` pieces wait unread. Closing the
reader ends the call, so that an abandoned stream gives its slot back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from queue import SimpleQueue
from typing import Any

from inframind.fleet.messages import Delta, OnDelta
from inframind.graphs.portal import Portal
from inframind.plugin.calls.router import RoutedCall

AHEAD = 64
"""Pieces that may wait unread before the call waits for its reader."""

MakeCall = Callable[[OnDelta], Coroutine[Any, Any, RoutedCall]]


class AnswerStream:
    """The pieces of one answer as they come, and at last the whole.

    Args:
        make_call: makes the call, and awaits what it is given with each piece.
    """

    def __init__(self, make_call: MakeCall) -> None:
        self._make_call = make_call
        self._pieces: deque[Delta] = deque()
        self._news: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._task: asyncio.Task[RoutedCall] | None = None

    async def read(self) -> AsyncGenerator[Delta | RoutedCall]:
        """Make the call; yields its pieces, then what came of it. Raises what the call raises.

        Closing the generator cancels the call, and returns when that has ended.
        """
        task = self._task = asyncio.create_task(self._make_call(self._take))
        task.add_done_callback(self._wake_reader)
        try:
            while True:
                while self._pieces:
                    yield self._pieces.popleft()
                    self._wake_call()
                if task.done():
                    break
                self._news = asyncio.get_running_loop().create_future()
                await self._news
            yield task.result()
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """End the call, if it has not ended; returns when it has."""
        task = self._task
        if task is None:
            return
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # seen: nobody will ask a closed stream how its call ended

    async def _take(self, delta: Delta) -> None:
        self._pieces.append(delta)
        self._wake_reader()
        if len(self._pieces) >= AHEAD:
            self._room = asyncio.get_running_loop().create_future()
            await self._room

    def _wake_reader(self, _: object = None) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    def _wake_call(self) -> None:
        if self._room is not None and not self._room.done() and len(self._pieces) < AHEAD:
            self._room.set_result(None)


class ThreadedStream:
    """An `AnswerStream` that runs on the portal's loop and is read from another thread.

    Args:
        portal: where the call runs.
        make_call: as for `AnswerStream`.
    """

    def __init__(self, portal: Portal, make_call: MakeCall) -> None:
        self._portal, self._make_call = portal, make_call
        self._pieces: SimpleQueue[Delta | RoutedCall | BaseException] = SimpleQueue()
        self._given = self._taken = 0
        self._room: asyncio.Event | None = None
        self._task: asyncio.Task[RoutedCall] | None = None

    def read(self) -> Generator[Delta | RoutedCall]:
        """As `AnswerStream.read`, for a thread without a loop."""
        loop, has_ended = self._portal.run(self._begin()), False
        try:
            while not has_ended:
                piece = self._pieces.get()
                has_ended = not isinstance(piece, Delta)
                if isinstance(piece, BaseException):
                    raise piece
                yield piece
                self._taken += 1
                if self._given - self._taken == AHEAD - 1 and self._room is not None:
                    loop.call_soon_threadsafe(self._room.set)
        finally:
            if not has_ended:
                self._portal.run(self._end())

    async def _begin(self) -> asyncio.AbstractEventLoop:
        self._room = asyncio.Event()
        self._task = asyncio.create_task(self._make_call(self._take))
        self._task.add_done_callback(self._report)
        return asyncio.get_running_loop()

    async def _take(self, delta: Delta) -> None:
        self._given += 1
        self._pieces.put(delta)
        while self._given - self._taken >= AHEAD and self._room is not None:
            self._room.clear()
            if self._given - self._taken >= AHEAD:
                await self._room.wait()

    def _report(self, task: asyncio.Task[RoutedCall]) -> None:
        if task.cancelled():
            self._pieces.put(asyncio.CancelledError())
        else:
            self._pieces.put(task.exception() or task.result())

    async def _end(self) -> None:
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])
