"""What a file promises beyond the contract: crashes, migrations, several processes, and errors with a fix."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from inframind.errors import ConfigError, StoreError, StoreUnavailable
from inframind.traces import sql
from inframind.traces.codec import encode
from inframind.traces.group_commit import WriteLimits
from inframind.traces.memory import MemoryStore
from inframind.traces.query import TraceQuery
from inframind.traces.records import Decision, Outcome, Trajectory
from inframind.traces.sql_migrations import MIGRATIONS
from inframind.traces.sqlite import SqliteStore
from inframind.traces.store import open_store

EVERY_VERSION = [(number + 1,) for number in range(len(MIGRATIONS))]

CHILD_PRELUDE = """
import asyncio, sys
from inframind.errors import StoreError
from inframind.traces.records import Trajectory
from inframind.traces.sqlite import SqliteStore

def trajectory(n, text="", offset=0):
    trace_id = f"{n + offset:032x}"
    return Trajectory(trace_id=trace_id, question="q", arrived_at_s=float(n), budget_s=1.0, text=text)
"""


def child(code: str, *args: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD_PRELUDE + code, *map(str, args)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def trajectory(n: int, **changes: Any) -> Trajectory:
    fields = {"trace_id": f"{n:032x}", "question": "q", "arrived_at_s": float(n), "budget_s": 1.0}
    return Trajectory(**{**fields, **changes})


DECISION = Decision(
    decision_id="d",
    kind="step",
    made_s=0.5,
    policy="uniform",
    policy_version="1",
    features_version="1",
    actions=("small/Plain", "large/Plain"),
    probabilities=(0.1, 0.9),
    masked=("", ""),
    chosen=1,
    probability=0.9,
    choice={"model": "large"},
)


@pytest.mark.parametrize("url", ["sqlite:///{}", "{}"])
async def test_traces_outlive_the_store(tmp_path: Path, url: str) -> None:
    path = tmp_path / "traces.db"
    async with open_store(url.format(path)) as store:
        await store.put(trajectory(1))
        await store.add_outcome(
            f"{2:032x}", Outcome(feedback_id="f", key="solved", score=1.0, recorded_at_s=1.0)
        )
    async with open_store(url.format(path)) as store:
        await store.put(trajectory(2))
        assert await store.get(f"{1:032x}") == trajectory(1)
        assert (await store.get(f"{2:032x}")).solved is True


@pytest.mark.parametrize("synchronous", ["NORMAL", "FULL"])
async def test_put_survives_a_kill_right_after_it_returned(tmp_path: Path, synchronous: str) -> None:
    path = tmp_path / "traces.db"
    code = """
async def main():
    store = SqliteStore(sys.argv[1], synchronous=sys.argv[2])
    n = 0
    while True:
        await asyncio.gather(*(store.put(trajectory(n + k)) for k in range(5)))
        n += 5
        print(n, flush=True)
asyncio.run(main())
"""
    with child(code, path, synchronous) as process:
        assert process.stdout is not None
        acknowledged = [int(process.stdout.readline()) for _ in range(20)][-1]
        process.send_signal(signal.SIGKILL)
        acknowledged = max([acknowledged, *map(int, process.stdout.read().split())])
    async with SqliteStore(path) as store:
        found = {t.trace_id async for t in store.iter()}
    assert {f"{n:032x}" for n in range(acknowledged)} <= found


async def test_two_processes_open_and_write_a_new_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    code = """
print("ready", flush=True)
sys.stdin.readline()
async def main():
    async with SqliteStore(sys.argv[1]) as store:
        for n in range(30):
            await store.put(trajectory(n, offset=int(sys.argv[2])))
asyncio.run(main())
"""
    with child(code, path, 1000) as one, child(code, path, 2000) as two:
        for process in (one, two):
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in (one, two):
            process.communicate("go\n", timeout=60)
        assert (one.returncode, two.returncode) == (0, 0)
    async with SqliteStore(path) as store:
        assert await store.count() == 60
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT version FROM schema_version").fetchall() == EVERY_VERSION


async def test_two_stores_on_one_file_see_each_other(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    async with SqliteStore(path) as one, SqliteStore(path) as two:
        await one.put(trajectory(1))
        await two.put(trajectory(2))
        assert await one.count() == await two.count() == 2


async def test_an_empty_file_is_migrated_and_a_current_one_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    path.touch()
    for expected in (0, 1):
        async with SqliteStore(path) as store:
            assert await store.count() == expected
            await store.put(trajectory(1))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT version FROM schema_version").fetchall() == EVERY_VERSION
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_a_file_of_the_first_schema_keeps_its_outcomes_and_learns_aliases(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    said = Outcome(feedback_id="f", key="solved", score=1.0, recorded_at_s=1.0)
    row = sql.outcome_row(said, trace_id=f"{1:032x}")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE schema_version (version INTEGER NOT NULL)")
        for statement in (*MIGRATIONS[0].sqlite, "INSERT INTO schema_version VALUES (1)"):
            connection.execute(statement)
        connection.execute(
            f"INSERT INTO outcomes ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", (*row.values(),)
        )
        connection.commit()
    async with SqliteStore(path) as store:
        await store.add_alias(f"run:{1:032x}", f"{2:032x}")
        await store.put(trajectory(2))
        assert (await store.get(f"{2:032x}")).outcomes == (said,)


async def test_early_feedback_is_durable_and_waits_for_its_alias_in_another_process(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    early = Outcome(feedback_id="f", key="thumbs", score=1.0, recorded_at_s=1.0)
    async with SqliteStore(path) as store:
        await store.add_outcome(f"run:{7:032x}", early)
    async with SqliteStore(path) as store:
        await store.put(trajectory(1))
        await store.add_alias(f"run:{7:032x}", f"{1:032x}")
        assert (await store.get(f"{1:032x}")).outcomes == (early,)


async def test_a_newer_schema_is_refused_with_both_versions(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    await SqliteStore(path).aclose()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO schema_version VALUES (99)")
        connection.commit()
    with pytest.raises(
        StoreError, match=f"schema version 99, this version of InfraMind knows {len(MIGRATIONS)}"
    ):
        SqliteStore(path)


async def test_a_failed_migration_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE outcomes (somebody_elses INTEGER)")
    with pytest.raises(StoreError, match="already exists"):
        SqliteStore(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("outcomes",)]


@pytest.mark.parametrize("synchronous", ["NORMAL", "FULL"])
async def test_a_lock_held_by_another_process_reaches_every_caller(tmp_path: Path, synchronous: Any) -> None:
    path = tmp_path / "traces.db"
    async with SqliteStore(path, synchronous=synchronous, busy_timeout_s=0.01) as store:
        await store.put(trajectory(1))
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            puts = [store.put(trajectory(n)) for n in (2, 3, 4)]
            results = await asyncio.gather(*puts, return_exceptions=True)
            assert [type(result) for result in results] == [StoreUnavailable] * 3
            assert str(path) in str(results[0])
            assert "busy_timeout_s" in str(results[0])
            assert await store.count() == 1
            other.execute("ROLLBACK")
        await store.put(trajectory(2))
        assert await store.count() == 2


async def test_a_reader_does_not_block_the_writer(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "traces.db") as store:
        for n in range(5):
            await store.put(trajectory(n))
        reading = store.iter()
        await anext(reading)
        await store.put(trajectory(9))
        assert len([t async for t in reading]) == 4


async def test_a_damaged_row_names_the_problem(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    async with SqliteStore(path) as store:
        await store.put(trajectory(1))
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("UPDATE traces SET payload = 'oops'")
            connection.commit()
        with pytest.raises(StoreError, match="not a trajectory"):
            await store.get(f"{1:032x}")


def test_a_missing_folder_says_to_create_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"create the folder {tmp_path / 'missing'} first"):
        open_store(f"sqlite:///{tmp_path}/missing/traces.db")


def test_a_folder_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=f"{tmp_path}: unable to open database file; check that the path"):
        SqliteStore(tmp_path)


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    path.write_bytes(b"definitely not a database " * 100)
    with pytest.raises(StoreError, match=f"{path}: file is not a database; .*move it away"):
        SqliteStore(path)
    assert path.read_bytes() == b"definitely not a database " * 100


@pytest.mark.skipif(os.geteuid() == 0, reason="needs a user for whom files can be read-only")
async def test_a_read_only_file_says_so(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    await SqliteStore(path).aclose()
    path.chmod(0o444)
    with pytest.raises(StoreError, match=f"{path}: attempt to write a readonly database; make the file"):
        SqliteStore(path)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_full_disk_reaches_the_caller_and_spares_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    code = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
async def main():
    async with SqliteStore(sys.argv[1]) as store:
        n = 0
        try:
            while True:
                await store.put(trajectory(n, text="x" * 10_000))
                n += 1
        except StoreError as error:
            print(n, await store.count(), error)
asyncio.run(main())
"""
    with child(code, path) as process:
        output, _ = process.communicate(timeout=60)
    written, readable, message = output.split(maxsplit=2)
    assert 0 < int(written) == int(readable)
    assert str(path) in message
    assert "disk" in message


async def test_writing_goes_on_when_a_full_disk_has_room_again(tmp_path: Path) -> None:
    def allow(pages: int) -> Callable[[Connection], object]:
        return lambda connection: connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    async with SqliteStore(tmp_path / "traces.db") as store:
        await store.transact("test", allow(60))
        results = await asyncio.gather(
            *(store.put(trajectory(n, text="x" * 10_000)) for n in range(40)), return_exceptions=True
        )
        refused = [result for result in results if result is not None]
        assert refused
        assert {type(error) for error in refused} == {StoreUnavailable}
        assert "database or disk is full; free some disk space" in str(refused[0])
        await store.transact("test", allow(1_000_000))
        await asyncio.gather(*(store.put(trajectory(n, text="x" * 10_000)) for n in range(40)))
        assert await store.count() == 40


@pytest.mark.parametrize(
    ("options", "field"),
    [({"synchronous": "OFF"}, "synchronous"), ({"busy_timeout_s": -1.0}, "busy_timeout_s")],
)
def test_options_out_of_range_are_named(tmp_path: Path, options: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        SqliteStore(tmp_path / "traces.db", **options)
    assert caught.value.field == field


async def test_memory_store_drops_the_oldest_trace_and_its_outcomes() -> None:
    async with MemoryStore(max_traces=2) as store:
        await store.add_outcome(
            f"{1:032x}", Outcome(feedback_id="f", key="solved", score=1.0, recorded_at_s=1.0)
        )
        for n in (1, 2, 3):
            await store.put(trajectory(n))
        assert [summary.trace_id for summary in await store.list()] == [f"{3:032x}", f"{2:032x}"]
        await store.put(trajectory(1))
        assert (await store.get(f"{1:032x}")).outcomes == ()


async def test_memory_store_bounds_outcomes_whose_trace_never_came() -> None:
    early = Outcome(feedback_id="f", key="solved", score=1.0, recorded_at_s=1.0)
    async with MemoryStore(max_traces=2) as store:
        await store.put(trajectory(100))
        for n in range(10):
            await store.add_outcome(f"{n:032x}", early)
        await store.put(trajectory(9))
        await store.put(trajectory(0))
        assert (await store.get(f"{9:032x}")).outcomes == (early,)
        assert (await store.get(f"{0:032x}")).outcomes == ()


async def test_memory_store_bounds_aliases_whose_trace_never_came() -> None:
    async with MemoryStore(max_traces=2) as store:
        await store.put(trajectory(100))
        await store.add_alias("thread:kept", f"{100:032x}")
        for n in range(10):
            await store.add_alias(f"thread:{n}", f"{n:032x}")
        assert await store.trace_of("thread:9") == f"{9:032x}"
        assert await store.trace_of("thread:0") is None
        assert await store.trace_of("thread:kept") == f"{100:032x}"


async def test_memory_store_forgets_the_aliases_of_a_dropped_trace() -> None:
    async with MemoryStore(max_traces=1) as store:
        await store.put(trajectory(1))
        await store.add_alias("thread:a", f"{1:032x}")
        await store.put(trajectory(2))
        assert await store.trace_of("thread:a") is None


def test_memory_store_needs_room_for_a_trace() -> None:
    with pytest.raises(ConfigError, match="max_traces"):
        MemoryStore(max_traces=0)


async def test_a_trace_of_an_earlier_schema_is_read_with_its_decisions(tmp_path: Path) -> None:
    """Its payload holds them; what is written now keeps them apart."""
    path = tmp_path / "traces.db"
    old, new = (replace(trajectory(n), decisions=(DECISION,)) for n in (1, 2))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE schema_version (version INTEGER NOT NULL)")
        for number, migration in enumerate(MIGRATIONS[:2], start=1):
            for statement in (*migration.sqlite, f"INSERT INTO schema_version VALUES ({number})"):
                connection.execute(statement)
        row = {**sql.trace_row(old), "payload": encode(old).decode()}
        del row["decisions"]
        connection.execute(
            f"INSERT INTO traces ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", (*row.values(),)
        )
        connection.commit()
    async with SqliteStore(path) as store:
        await store.put(new)
        assert await store.get(old.trace_id) == old
        assert [one async for one in store.iter(TraceQuery(oldest_first=True))] == [old, new]


async def test_a_store_keeps_to_its_limits_while_the_disk_is_busy(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    limits = WriteLimits(max_waiting=2, when_full="refuse")
    async with SqliteStore(path, busy_timeout_s=30.0, limits=limits) as store:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            waiting = [asyncio.create_task(store.put(trajectory(n))) for n in (1, 2)]
            for _ in range(10_000):
                if store.waiting == 2:
                    break
                await asyncio.sleep(0.001)
            with pytest.raises(StoreError, match="max_waiting"):
                await store.put(trajectory(3))
            other.execute("COMMIT")
        await asyncio.gather(*waiting)
        assert await store.count() == 2
