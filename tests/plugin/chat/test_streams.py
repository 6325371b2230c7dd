"""Between a call and its reader: order, ends, and backpressure."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, cast

import pytest

from inframind.fleet.messages import Delta, OnDelta
from inframind.graphs.portal import Portal
from inframind.plugin.calls.router import RoutedCall
from inframind.plugin.chat.streams import AHEAD, AnswerStream, ThreadedStream

DONE = RoutedCall(completion=cast(Any, "the whole"), account={})
TURNS = 50
"""Of the loop, in which a call that may go on would go on."""


class Telling:
    """A call that tells ``pieces`` numbers as fast as it may."""

    def __init__(self, pieces: int, error: Exception | None = None) -> None:
        self.pieces, self.error = pieces, error
        self.told = 0
        self.has_ended = False

    async def __call__(self, tell: OnDelta) -> RoutedCall:
        try:
            for number in range(self.pieces):
                await tell(Delta(str(number)))
                self.told += 1
            if self.error:
                raise self.error
            return DONE
        finally:
            self.has_ended = True


async def turns() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


@pytest.fixture
def portal() -> Iterator[Portal]:
    portal = Portal()
    yield portal
    portal.close()


def texts(parts: list[Any]) -> list[str]:
    return [part.text for part in parts if isinstance(part, Delta)]


async def test_every_piece_comes_in_order_and_then_the_whole() -> None:
    parts = [part async for part in AnswerStream(Telling(3 * AHEAD)).read()]
    assert texts(parts) == [str(number) for number in range(3 * AHEAD)]
    assert parts[-1] is DONE


def test_in_a_thread_too(portal: Portal) -> None:
    parts = list(ThreadedStream(portal, Telling(3 * AHEAD)).read())
    assert texts(parts) == [str(number) for number in range(3 * AHEAD)]
    assert parts[-1] is DONE


async def test_what_the_call_raises_comes_after_the_pieces() -> None:
    parts: list[Any] = []
    with pytest.raises(ValueError, match="broken"):
        async for part in AnswerStream(Telling(2, ValueError("broken"))).read():
            parts.append(part)
    assert texts(parts) == ["0", "1"]


def test_in_a_thread_it_does_too(portal: Portal) -> None:
    parts: list[Any] = []
    with pytest.raises(ValueError, match="broken"):
        parts.extend(ThreadedStream(portal, Telling(2, ValueError("broken"))).read())
    assert texts(parts) == ["0", "1"]


async def test_a_call_waits_for_a_reader_who_does_not_read() -> None:
    telling = Telling(10 * AHEAD)
    parts = AnswerStream(telling).read()
    await anext(parts)
    await turns()
    assert telling.told <= AHEAD
    await anext(parts)
    await turns()
    assert telling.told <= AHEAD + 1
    await parts.aclose()
    assert telling.has_ended


def test_it_waits_for_a_reader_in_a_thread(portal: Portal) -> None:
    telling = Telling(10 * AHEAD)
    parts = ThreadedStream(portal, telling).read()
    next(parts)
    portal.run(turns())
    assert telling.told <= AHEAD
    next(parts)
    portal.run(turns())
    assert telling.told <= AHEAD + 1
    parts.close()
    assert telling.has_ended


async def test_a_closed_stream_lets_a_failed_call_rest() -> None:
    parts = AnswerStream(Telling(1, ValueError("nobody asks"))).read()
    await anext(parts)
    await turns()
    await parts.aclose()
