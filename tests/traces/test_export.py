"""Traces leave as JSON Lines and come back the same."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from inframind.errors import StoreError
from inframind.traces.export import export_jsonl, import_jsonl
from inframind.traces.memory import MemoryStore
from inframind.traces.query import TraceQuery
from inframind.traces.records import Outcome, Trajectory
from inframind.traces.sqlite import SqliteStore

COUNT = 300


def trajectory(n: int) -> Trajectory:
    feedback = Outcome(feedback_id="f", key="solved", score=float(n % 2), recorded_at_s=1.0)
    return Trajectory(
        trace_id=f"{n:032x}",
        question=f"line\nbreak \u2028 {n}",
        arrived_at_s=float(n),
        budget_s=1.0,
        outcomes=(feedback,) if n % 3 else (),
    )


async def full_store() -> MemoryStore:
    store = MemoryStore()
    for n in range(COUNT):
        await store.put(trajectory(n))
    return store


def names_in(folder: Path, pattern: str) -> list[str]:
    return [path.name for path in folder.glob(pattern)]


async def test_round_trip_between_stores(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    async with await full_store() as original, SqliteStore(tmp_path / "copy.db") as copy:
        assert await export_jsonl(original, path) == COUNT
        assert await import_jsonl(copy, path) == COUNT
        assert await import_jsonl(copy, path) == COUNT
        assert [t async for t in copy.iter()] == [t async for t in original.iter()]
    assert names_in(tmp_path, "*.jsonl*") == ["traces.jsonl"]


async def test_one_json_object_per_line_in_the_query_s_order(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    async with await full_store() as store:
        assert await export_jsonl(store, path, TraceQuery(solved=True, oldest_first=True, limit=2)) == 2
    lines = path.read_bytes().splitlines()
    assert [json.loads(line)["arrived_at_s"] for line in lines] == [1.0, 5.0]
    assert json.loads(lines[0])["outcomes"][0]["score"] == 1.0


async def test_streams_are_left_open() -> None:
    stream = io.BytesIO()
    async with await full_store() as original, MemoryStore() as copy:
        await export_jsonl(original, stream)
        stream.seek(0)
        assert await import_jsonl(copy, stream) == COUNT
        assert not stream.closed


async def test_an_empty_store_gives_an_empty_file(tmp_path: Path) -> None:
    async with MemoryStore() as store:
        assert await export_jsonl(store, tmp_path / "traces.jsonl") == 0
    assert (tmp_path / "traces.jsonl").read_bytes() == b""


async def test_import_names_file_and_line_of_what_it_cannot_read(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    async with await full_store() as store, MemoryStore() as copy:
        await export_jsonl(store, path)
        with path.open("ab") as stream:
            stream.write(b'{"trace_id": "cut sho')
        with pytest.raises(StoreError, match=f"{path}, line {COUNT + 1}: not a trajectory"):
            await import_jsonl(copy, path)


async def test_a_failed_export_leaves_the_older_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    path.write_text("precious")
    store = await full_store()
    await store.aclose()
    with pytest.raises(Exception, match="closed"):
        await export_jsonl(store, path)
    assert path.read_text() == "precious"
    assert names_in(tmp_path, "*") == ["traces.jsonl"]


async def test_a_file_that_cannot_be_written_or_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "traces.jsonl"
    async with MemoryStore() as store:
        with pytest.raises(StoreError, match=f"export: {path}: No such file"):
            await export_jsonl(store, path)
        with pytest.raises(StoreError, match=f"import: {path}: No such file"):
            await import_jsonl(store, path)
