"""Traces as JSON Lines: one trajectory per line, outcomes included, for other tools and other stores.

Feedback whose trace has not arrived yet is not exported: it has no line to stand on.
"""

from __future__ import annotations

import asyncio
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from inframind.errors import StoreError
from inframind.traces.codec import decode, encode
from inframind.traces.query import ALL_TRACES, TraceQuery
from inframind.traces.records import Trajectory
from inframind.traces.store import TraceStore

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
    path = Path(target)
    partial = path.with_name(path.name + ".partial")
    try:
        with await asyncio.to_thread(partial.open, "wb") as stream:
            lines = await _write(store, stream, query)
        await asyncio.to_thread(partial.replace, path)
    except OSError as error:
        raise StoreError(
            "export", f"{path}: {error.strerror or error}; check the folder and its free space"
        ) from error
    finally:
        await asyncio.to_thread(partial.unlink, missing_ok=True)
    return lines


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
