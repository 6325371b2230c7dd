"""A storage that is away holds up no caller, and gets what it missed when it is back."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from inframind.errors import StoreClosed, StoreError, StoreUnavailable
from inframind.graphs.outbox import Outbox, OutboxConfig


class Storage:
    """Takes writes by name, unless it is away; without an answer where it hangs."""

    def __init__(self) -> None:
        self.holds: dict[str, int] = {}
        self.is_away = self.hangs = False
        self.asked = 0

    async def put(self, name: str, value: int) -> None:
        self.asked += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.is_away:
            raise StoreUnavailable("put", "out of reach")
        self.holds[name] = value

    def write(self, box: Outbox, name: str, value: int) -> Any:
        return box.write(name, lambda: self.put(name, value))


def box_of(**options: Any) -> Outbox:
    return Outbox(OutboxConfig(**{"patience_s": 60.0, **options}))


async def emptied(box: Outbox) -> None:
    async with asyncio.timeout(30):
        while box.waiting:  # noqa: ASYNC110 - another thread empties it
            await asyncio.sleep(0.001)


async def test_a_write_is_made_before_its_caller_goes_on() -> None:
    storage, box = Storage(), box_of()
    await storage.write(box, "a", 1)
    assert storage.holds == {"a": 1} and box.waiting == 0


async def test_what_is_refused_is_kept_and_made_in_the_end(caplog: pytest.LogCaptureFixture) -> None:
    storage, box = Storage(), box_of()
    storage.is_away = True
    for number, name in enumerate("abc"):
        await storage.write(box, name, number)
    assert (storage.holds, box.waiting) == ({}, 3)
    storage.is_away = False
    await emptied(box)
    assert storage.holds == {"a": 0, "b": 1, "c": 2}
    box.close()
    away, back = [one for one in caplog.records if one.levelno == logging.WARNING]
    assert "does not take writes" in away.message and "3 that waited are made" in back.message


async def test_nobody_waits_for_a_storage_that_is_known_to_hang() -> None:
    storage, box = Storage(), box_of(patience_s=0.01, last_orders_s=0.01)
    storage.hangs = True
    await storage.write(box, "a", 1)
    async with asyncio.timeout(30):
        while storage.asked < 2:  # noqa: ASYNC110 - the box asks once more, and then hangs there
            await asyncio.sleep(0.001)
    for name in "bcd":
        await storage.write(box, name, 1)
    assert (storage.asked, box.waiting) == (2, 4)
    await asyncio.to_thread(box.close)


async def test_a_later_write_of_the_same_takes_the_place_of_an_earlier_one() -> None:
    storage, box = Storage(), box_of()
    storage.is_away = True
    await storage.write(box, "a", 1)
    await storage.write(box, "a", 2)
    assert box.waiting == 1
    storage.is_away = False
    await emptied(box)
    assert storage.holds == {"a": 2}
    box.close()


async def test_what_is_wrong_with_a_write_itself_is_said_at_once() -> None:
    async def refuse() -> None:
        raise StoreError("put", "not plain JSON data")

    box = box_of()
    with pytest.raises(StoreError, match="not plain JSON data"):
        await box.write("a", refuse)
    assert (box.waiting, box.lost) == (0, 0)


async def test_more_than_there_is_room_for_is_lost_aloud(caplog: pytest.LogCaptureFixture) -> None:
    storage, box = Storage(), box_of(most=2)
    storage.is_away = True
    for name in "abcde":
        await storage.write(box, name, 1)
    assert (box.waiting, box.lost) == (2, 3)
    said = [one.message for one in caplog.records if one.levelno == logging.ERROR]
    assert [one.split(" ")[0] for one in said] == ["1", "2"] and "traces.max_waiting" in said[0]
    storage.is_away = False
    await emptied(box)
    assert storage.holds == {"a": 1, "b": 1}
    box.close()


async def test_a_kept_write_that_can_never_be_made_is_lost_aloud_and_holds_up_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    storage, box = Storage(), box_of()
    storage.is_away = True

    async def never() -> None:
        if storage.is_away:
            raise StoreUnavailable("put", "out of reach")
        raise StoreError("put", "not plain JSON data")

    await box.write("bad", never)
    await storage.write(box, "good", 1)
    storage.is_away = False
    await emptied(box)
    assert storage.holds == {"good": 1} and box.lost == 1
    box.close()
    assert any("a write is lost, bad" in one.message for one in caplog.records)


async def test_closing_says_what_is_lost_and_takes_no_more(caplog: pytest.LogCaptureFixture) -> None:
    storage, box = Storage(), box_of(last_orders_s=0.01)
    storage.is_away = True
    await storage.write(box, "a", 1)
    await asyncio.to_thread(box.close)
    assert box.lost == 1 and "1 writes are lost" in caplog.records[-1].message
    with pytest.raises(StoreClosed):
        await storage.write(box, "b", 1)


async def test_closing_waits_for_what_can_be_written() -> None:
    storage, box = Storage(), box_of()
    storage.is_away = True
    await storage.write(box, "a", 1)
    storage.is_away = False
    await asyncio.to_thread(box.close)
    assert storage.holds == {"a": 1} and box.lost == 0
