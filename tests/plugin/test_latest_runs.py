"""Reading the latest runs: as many as wanted, the newest first, however many pages that takes."""

from __future__ import annotations

from inframind.plugin.latest_runs import READ_AT_ONCE, latest_runs
from inframind.traces.records import Trajectory
from inframind.traces.store import open_store


def _run(number: int) -> Trajectory:
    return Trajectory(trace_id=f"{number:032x}", question="q", arrived_at_s=float(number), budget_s=1.0)


async def test_the_newest_come_first_and_whoever_wants_to_know_is_told_of_every_page() -> None:
    told: list[tuple[str, int, int]] = []
    most = READ_AT_ONCE + 10
    async with open_store("memory:") as store:
        for number in range(most + 20):
            await store.put(_run(number))
        runs = await latest_runs(store, since_s=0.0, most=most, tell=lambda *said: told.append(said))
    assert [run.arrived_at_s for run in runs] == [float(number) for number in range(most + 19, 19, -1)]
    assert told == [("reading", 0, most), ("reading", READ_AT_ONCE, most), ("reading", most, most)]


async def test_what_is_too_old_is_left_out_and_nothing_is_no_runs() -> None:
    async with open_store("memory:") as store:
        assert await latest_runs(store, since_s=0.0, most=10) == []
        for number in range(4):
            await store.put(_run(number))
        assert [run.arrived_at_s for run in await latest_runs(store, since_s=2.0, most=10)] == [3.0, 2.0]
