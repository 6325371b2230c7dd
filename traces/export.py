"""Traces as files: whole ones as JSON Lines, for other stores; rows to train on as JSON Lines or Parquet.

Feedback whose trace has not arrived yet is not exported: it has no line to stand on.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import orjson

from inframind.errors import StoreError
from inframind.traces.codec import decode, encode
from inframind.traces.parquet import WriteRows, open_parquet
from inframind.traces.query import ALL_TRACES, TraceQuery
from inframind.traces.records import Trajectory
from inframind.traces.store import TraceStore
from inframind.traces.training_rows import Pairs, Row, TrainingRows

_CHUNK_LINES = 256


async def export_jsonl(
    store: TraceStore, target: str | Path | BinaryIO, query: TraceQuery = ALL_TRACES
) -> int:
    """Write the traces that a query selects; the number of lines.

    A file appears under its name only once it is complete; a stream is written to as it is, and not closed.

    Raises:
        StoreError: the store could not be read, or the file not be written.
    """
    if not isinstance(target, (str, Path)):
        return await _write(store, target, query)
    with _whole_file(Path(target)) as partial, partial.open("wb") as stream:
        return await _write(store, stream, query)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What an export came to.

    Attributes:
        rows: written.
        without_texts: traces that were left out because their texts were not kept.
    """

    rows: int
    without_texts: int


async def export_rows(
    store: TraceStore, target: str | Path, rows: TrainingRows, query: TraceQuery = ALL_TRACES
) -> Exported:
    """Write rows to train on, as JSON Lines or, where the name ends in ``.parquet``, as Parquet.

    A file appears under its name only once it is complete. Rows are written in chunks; pairs alone are gathered first.

    Raises:
        ConfigError: Parquet without the library for it.
        StoreError: the store could not be read, or the file not be written.
    """
    path = Path(target)
    open_file = open_parquet if path.suffix == ".parquet" else _open_lines
    with _whole_file(path) as partial, open_file(partial, rows.columns) as write:
        return await _write_rows(store, write, rows, query)


async def import_jsonl(store: TraceStore, source: str | Path | BinaryIO) -> int:
    """Put every line of an export into a store; the number of traces. Importing twice changes nothing.

    Raises:
        StoreError: the file cannot be read, or a line is no trajectory: its number is given, and the traces
            before it may already have been stored.
    """
    if not isinstance(source, (str, Path)):
        return await _read(store, source, "stream")
    try:
        with await asyncio.to_thread(Path(source).open, "rb") as stream:
            return await _read(store, stream, str(source))
    except OSError as error:
        raise StoreError("import", f"{source}: {error.strerror or error}; name a readable file") from error


@contextmanager
def _whole_file(path: Path) -> Iterator[Path]:
    """Somewhere to write, which gets its name in the end: nobody finds half a file."""
    partial = path.with_name(path.name + ".partial")
    try:
        yield partial
        partial.replace(path)
    except OSError as error:
        raise StoreError(
            "export", f"{path}: {error.strerror or error}; check the folder and its free space"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _open_lines(path: Path, _: object) -> Iterator[WriteRows]:
    with path.open("wb") as stream:
        yield lambda rows: stream.writelines(orjson.dumps(row) + b"\n" for row in rows)


async def _write_rows(store: TraceStore, write: WriteRows, rows: TrainingRows, query: TraceQuery) -> Exported:
    count, without_texts = 0, Counter[bool]()
    async for chunk in _chunks(store, rows, query, without_texts):
        await asyncio.to_thread(write, chunk)
        count += len(chunk)
    return Exported(rows=count, without_texts=without_texts[True])


async def _chunks(
    store: TraceStore, rows: TrainingRows, query: TraceQuery, without_texts: Counter[bool]
) -> AsyncIterator[list[Row]]:
    pairs, chunk = Pairs(), list[Row]()
    async for trajectory in store.iter(query):
        without_texts[bool(trajectory.question_read)] += 1
        found = rows.of(trajectory)
        if rows.shape == "pairs":
            pairs.add(found)
            continue
        chunk += found
        if len(chunk) >= _CHUNK_LINES:
            yield chunk
            chunk = []
    yield chunk + list(pairs)


async def _write(store: TraceStore, stream: BinaryIO, query: TraceQuery) -> int:
    count, lines = 0, list[bytes]()
    async for trajectory in store.iter(query):
        lines.append(encode(trajectory) + b"\n")
        if len(lines) == _CHUNK_LINES:
            await asyncio.to_thread(stream.writelines, lines)
            count, lines = count + len(lines), []
    await asyncio.to_thread(stream.writelines, lines)
    return count + len(lines)


async def _read(store: TraceStore, stream: BinaryIO, name: str) -> int:
    count = 0
    while lines := await asyncio.to_thread(_take, stream):
        trajectories = [_decode(line, f"{name}, line {count + n}") for n, line in enumerate(lines, start=1)]
        await asyncio.gather(*(store.put(trajectory) for trajectory in trajectories))
        count += len(lines)
    return count


def _take(stream: BinaryIO) -> list[bytes]:
    return list(islice(stream, _CHUNK_LINES))


def _decode(line: bytes, where: str) -> Trajectory:
    try:
        return decode(line)
    except StoreError as error:
        raise StoreError("import", f"{where}: {error.detail}") from error
