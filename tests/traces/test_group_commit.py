"""What waits to be written is bounded, and nothing that was taken on is dropped."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from inframind.errors import ConfigError, StoreClosed, StoreError
from inframind.traces.group_commit import GroupCommit, WriteLimits


class Disk:
    """Commits batches, one for each `let`, once the gate is open for good all of them."""

    def __init__(self, fail: Callable[[Sequence[int]], BaseException | None] = lambda batch: None) -> None:
        self.batches: list[list[int]] = []
        self.begun = threading.Semaphore(0)
        self._gate, self._fail = threading.Event(), fail

    def commit(self, batch: Sequence[int]) -> None:
        self.begun.release()
        self._gate.wait(30)
        self.batches.append([*batch])
        if error := self._fail(batch):
            raise error

    def open(self) -> None:
        self._gate.set()

    @property
    def written(self) -> list[int]:
        return sorted(n for batch in self.batches for n in batch)


def give(n: int) -> Callable[[], int]:
    return lambda: n


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def begin(commits: GroupCommit[int], disk: Disk, *numbers: int) -> list[asyncio.Task[None]]:
    """Writes that wait; the first is being committed already."""
    first = asyncio.create_task(commits.write(give(numbers[0])))
    await turns()
    await asyncio.to_thread(disk.begun.acquire)
    others = [asyncio.create_task(commits.write(give(n))) for n in numbers[1:]]
    await turns()
    return [first, *others]


async def test_a_full_writer_refuses_and_says_how_many_wait() -> None:
    disk = Disk()
    commits = GroupCommit(disk.commit, "t", limits=WriteLimits(max_waiting=3, when_full="refuse"))
    tasks = await begin(commits, disk, 1, 2, 3)
    with pytest.raises(StoreError, match="3 writes wait already, and max_waiting allows no more"):
        await commits.write(give(4))
    disk.open()
    await asyncio.gather(*tasks)
    await commits.write(give(5))
    commits.close()
    assert disk.written == [1, 2, 3, 5]


async def test_a_full_writer_lets_callers_wait_for_room_before_they_encode() -> None:
    disk, made = Disk(), []
    commits = GroupCommit(disk.commit, "t", limits=WriteLimits(max_waiting=2))
    tasks = await begin(commits, disk, 1, 2)

    def make() -> int:
        made.append(3)
        return 3

    late = asyncio.create_task(commits.write(make))
    await turns()
    assert (made, commits.waiting) == ([], 3)
    disk.open()
    await asyncio.gather(*tasks, late)
    commits.close()
    assert (disk.written, commits.waiting) == ([1, 2, 3], 0)


async def test_who_gives_up_its_place_in_the_line_does_not_hold_up_the_others() -> None:
    disk = Disk()
    commits = GroupCommit(disk.commit, "t", limits=WriteLimits(max_waiting=1))
    tasks = await begin(commits, disk, 1, 2, 3)
    tasks[1].cancel()
    disk.open()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [type(None), asyncio.CancelledError, type(None)]
    commits.close()
    assert disk.written == [1, 3]


async def test_what_cannot_be_encoded_leaves_its_room_to_others() -> None:
    disk = Disk()
    disk.open()
    commits = GroupCommit(disk.commit, "t", limits=WriteLimits(max_waiting=1))
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            await commits.write(lambda: 1 // 0)
    await commits.write(give(1))
    commits.close()
    assert disk.written == [1]


async def test_close_lets_in_who_waits_in_the_line_and_commits_everything() -> None:
    disk = Disk()
    commits = GroupCommit(disk.commit, "t", limits=WriteLimits(max_waiting=1))
    tasks = await begin(commits, disk, *range(40))
    closing = asyncio.create_task(asyncio.to_thread(commits.close))
    await turns()
    disk.open()
    await asyncio.gather(*tasks, closing)
    assert disk.written == [*range(40)]
    with pytest.raises(StoreClosed):
        await commits.write(give(1))
    with pytest.raises(StoreClosed):
        commits.run(lambda: None)


async def test_more_than_a_batch_is_committed_in_several_and_functions_get_their_turn() -> None:
    disk = Disk()
    commits = GroupCommit(disk.commit, "t")
    tasks = await begin(commits, disk, *range(1201))
    seen = commits.run(lambda: len(disk.batches))
    disk.open()
    await asyncio.gather(*tasks)
    commits.close()
    assert disk.written == [*range(1201)]
    assert max(map(len, disk.batches)) == 512
    assert seen.result() < len(disk.batches)


async def test_one_bad_item_fails_alone() -> None:
    disk = Disk(lambda batch: ValueError("bad") if 3 in batch else None)
    commits = GroupCommit(disk.commit, "t")
    tasks = await begin(commits, disk, 1, 2, 3, 4)
    disk.open()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    commits.close()
    assert [result if result is None else str(result) for result in results] == [None, None, "bad", None]


async def test_an_error_of_the_storage_itself_is_not_tried_item_by_item() -> None:
    disk = Disk(lambda batch: OSError("full"))
    commits = GroupCommit(disk.commit, "t", concerns_all=lambda error: isinstance(error, OSError))
    tasks = await begin(commits, disk, 1, 2, 3, 4)
    disk.open()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    commits.close()
    assert [str(result) for result in results] == ["full"] * 4
    assert disk.batches == [[1], [2, 3, 4]]


@pytest.mark.parametrize(
    ("options", "field"), [({"max_waiting": 0}, "max_waiting"), ({"when_full": "drop"}, "when_full")]
)
def test_limits_out_of_range_are_named(options: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        WriteLimits(**options)
    assert caught.value.field == field
