"""What runs beside requests begins anew after a failure, and not after its end, a cancellation or a closed store."""

from __future__ import annotations

import asyncio

import pytest

from inframind.errors import ConfigError, StoreClosed
from inframind.fleet.clock import SystemClock
from inframind.plugin.online.tending import TendConfig, tend

CLOCK = SystemClock()
QUICK = TendConfig(first_wait_s=0.001, max_wait_s=60.0)


class Job:
    """Ends in the ways that it is given, one after the other."""

    def __init__(self, *ends: BaseException | None) -> None:
        self._ends, self.begun = list(ends), 0

    async def __call__(self) -> None:
        self.begun += 1
        await asyncio.sleep(0)
        end = self._ends.pop(0)
        if end is not None:
            raise end


@pytest.mark.parametrize("end", [None, StoreClosed(), asyncio.CancelledError()])
async def test_a_failed_job_begins_anew_until_it_ends_for_good(
    end: BaseException | None, caplog: pytest.LogCaptureFixture
) -> None:
    job = Job(OSError("no space left"), ValueError("a strange number"), end)
    await tend("counting", job, clock=CLOCK, config=QUICK)
    assert job.begun == 3
    said = [record for record in caplog.records if record.levelname == "ERROR"]
    assert [record.getMessage().split(" s;")[0] for record in said] == [
        "counting has failed and begins anew in 0.001",
        "counting has failed and begins anew in 0.002",
    ]
    assert all(record.exc_info for record in said)


async def test_whoever_cancels_tending_cancels_the_job() -> None:
    begun, was_cancelled = asyncio.Event(), asyncio.Event()

    async def job() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            was_cancelled.set()

    task = asyncio.create_task(tend("waiting", job, clock=CLOCK, config=QUICK))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert was_cancelled.is_set()


async def test_waits_do_not_grow_beyond_the_longest(caplog: pytest.LogCaptureFixture) -> None:
    job = Job(*(OSError(str(number)) for number in range(4)), None)
    await tend("failing", job, clock=_Still(), config=TendConfig(first_wait_s=0.001, max_wait_s=0.002))
    waits = [record.getMessage().split(" in ")[1].split(" s;")[0] for record in caplog.records]
    assert waits == ["0.001", "0.002", "0.002", "0.002"]


class _Still(SystemClock):
    """Time stands."""

    def now_s(self) -> float:
        return 0.0


@pytest.mark.parametrize("values", [{"first_wait_s": 0.0}, {"first_wait_s": 2.0, "max_wait_s": 1.0}])
def test_waits_that_contradict_each_other_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="first_wait_s"):
        TendConfig(**values)
