"""Readings come from real sockets: live, dead, failing, garbled and stalling servers, each on its own."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from inframind.errors import ConfigError
from inframind.fleet.metrics import MetricsScraper, parse_metrics
from inframind.fleet.wire import HttpMetricsPage, MetricsSource

PAGE = b"# HELP vllm:num_requests_running n\nvllm:num_requests_running 3\nvllm:num_requests_waiting 2\n"
Respond = Callable[[str], Awaitable[bytes]]


class FakeClock:
    def __init__(self) -> None:
        self.time_s = 100.0

    def now_s(self) -> float:
        return self.time_s

    def wall_s(self) -> float:
        return 1.7e9 + self.time_s


def ok(body: bytes, *, close: bool = False) -> bytes:
    ending = b"connection: close\r\n" if close else b""
    return b"HTTP/1.1 200 OK\r\n%scontent-length: %d\r\n\r\n%s" % (ending, len(body), body)


def status(line: str) -> bytes:
    return f"HTTP/1.1 {line}\r\ncontent-length: 4\r\n\r\noops".encode()


@dataclass
class Server:
    """A local HTTP server that answers with whatever bytes it is told to, and remembers what it was asked."""

    respond: Respond
    targets: list[str] = field(default_factory=list)
    connections: int = 0
    url: str = ""
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    closes_after_reply: bool = False
    handlers: set[asyncio.Task[None]] = field(default_factory=set)

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.handlers.add(asyncio.create_task(self.converse(reader, writer)))

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.targets.append(head.split(b" ")[1].decode())
                self.asked.set()
                reply = await self.respond(self.targets[-1])
                writer.write(reply)
                if self.closes_after_reply or b"connection: close" in reply or not reply:
                    break
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def serve(
    respond: Respond | bytes, *, tls: ssl.SSLContext | None = None, **options: Any
) -> AsyncIterator[Server]:
    async def always(_: str) -> bytes:
        assert isinstance(respond, bytes)
        return respond

    server = Server(always if isinstance(respond, bytes) else respond, **options)
    listening = await asyncio.start_server(server.accept, "127.0.0.1", 0, ssl=tls)
    scheme = "http" if tls is None else "https"
    server.url = f"{scheme}://127.0.0.1:{listening.sockets[0].getsockname()[1]}/metrics"
    try:
        yield server
    finally:
        listening.close()
        for handler in server.handlers:
            handler.cancel()
        await asyncio.gather(*server.handlers, return_exceptions=True)


def pages(clock: FakeClock, *, timeout_s: float = 2.0, **urls: str) -> dict[str, MetricsSource]:
    return {name: HttpMetricsPage(name, url, clock=clock, timeout_s=timeout_s) for name, url in urls.items()}


@contextlib.asynccontextmanager
async def scraping(clock: FakeClock | None = None, **urls: str) -> AsyncIterator[MetricsScraper]:
    clock = clock or FakeClock()
    scraper = MetricsScraper(pages(clock, timeout_s=5.0, **urls), clock=clock, rng=np.random.default_rng(0))
    try:
        yield scraper
    finally:
        await scraper.aclose()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 (the scraper's readings have no event to wait for)
            await asyncio.sleep(0.001)


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    options = [
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=it",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
    ]
    command = [openssl, "req", *options, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


@pytest.fixture
def dead_url() -> Iterator[str]:
    """A port that is bound, so nobody else takes it, and refuses connections because nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}/metrics"


async def test_a_live_endpoint_gives_a_reading_with_the_time_it_was_asked() -> None:
    clock = FakeClock()

    async def slowly(_: str) -> bytes:
        clock.time_s += 10
        return ok(PAGE)

    async with serve(slowly) as live, scraping(clock, live=live.url) as scraper:
        await scraper.scrape_once()
        assert scraper.readings["live"].metrics == parse_metrics(PAGE)
        assert scraper.readings["live"].at_s == 100.0
        assert scraper.errors == {}


async def test_a_dead_endpoint_has_an_error_and_no_reading(dead_url: str) -> None:
    async with serve(ok(PAGE)) as live, scraping(live=live.url, dead=dead_url) as scraper:
        await scraper.scrape_once()
        assert set(scraper.readings) == {"live"}
        assert set(scraper.errors) == {"dead"}
        assert "endpoint 'dead'" in scraper.errors["dead"]


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (status("500 Internal Server Error"), "HTTP 500"),
        (status("401 Unauthorized"), "HTTP 401"),
        (status("307 Temporary Redirect"), "HTTP 307"),
        (ok(b"<html>hello</html>"), "no vllm: series"),
        (ok(b"\x00\xff garbage"), "no vllm: series"),
        (ok(b""), "no vllm: series"),
        (b"not HTTP at all\r\n\r\n", "endpoint 'it'"),
        (b"", "closed the connection without an answer"),
        (b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 999\r\n\r\nvllm:num", "endpoint 'it'"),
        (ok(b"x" * 9_000_000), "a page of more than 8388608 bytes"),
    ],
    ids=["500", "401", "307", "html", "binary", "empty", "no http", "closed", "cut short", "endless"],
)
async def test_what_is_no_metrics_page_is_an_error(reply: bytes, problem: str) -> None:
    async with serve(reply) as server, scraping(it=server.url) as scraper:
        await scraper.scrape_once()
        assert scraper.readings == {}
        assert problem in scraper.errors["it"]


async def test_a_reading_that_cannot_be_renewed_stays_and_grows_old() -> None:
    clock, replies = FakeClock(), [ok(PAGE), status("500 Oh No"), ok(PAGE)]

    async def next_reply(_: str) -> bytes:
        return replies.pop(0)

    async with serve(next_reply) as server, scraping(clock, it=server.url) as scraper:
        await scraper.scrape_once()
        before = scraper.readings
        clock.time_s = 107.0
        await scraper.scrape_once()
        assert scraper.readings["it"].at_s == 100.0
        assert "HTTP 500" in scraper.errors["it"]
        clock.time_s = 120.0
        await scraper.scrape_once()
        assert scraper.readings["it"].at_s == 120.0
        assert scraper.errors == {}
        assert before["it"].at_s == 100.0


async def test_a_stalling_endpoint_delays_nobody_and_is_asked_once() -> None:
    release = asyncio.Event()

    async def stall(_: str) -> bytes:
        await release.wait()
        return ok(PAGE)

    async with (
        serve(stall) as stalling,
        serve(ok(PAGE)) as live,
        scraping(stalling=stalling.url, live=live.url) as scraper,
    ):
        first = asyncio.create_task(scraper.scrape_once())
        await until(lambda: "live" in scraper.readings and stalling.targets)
        live_requests = len(live.targets)
        await scraper.scrape_once()
        assert len(live.targets) > live_requests
        assert len(stalling.targets) == 1
        release.set()
        await first
        assert set(scraper.readings) == {"stalling", "live"}


async def test_a_stall_ends_at_the_timeout_and_the_next_reading_uses_a_new_connection() -> None:
    clock, stalls = FakeClock(), [True]

    async def stall_once(_: str) -> bytes:
        if stalls.pop() if stalls else False:
            await asyncio.Event().wait()
        return ok(PAGE)

    async with serve(stall_once) as server:
        scraper = MetricsScraper(
            pages(clock, timeout_s=0.05, it=server.url), clock=clock, rng=np.random.default_rng(0)
        )
        await scraper.scrape_once()
        assert "no complete answer within 0.05 s" in scraper.errors["it"]
        clock.time_s += 10
        await scraper.scrape_once()
        assert scraper.readings["it"].metrics.running == 3.0
        assert server.connections == 2
        await scraper.aclose()


async def test_failures_are_asked_ever_more_seldom_up_to_five_seconds() -> None:
    clock = FakeClock()
    async with serve(status("503 Busy")) as server, scraping(clock, it=server.url) as scraper:
        asked_at_s = []
        for _ in range(400):
            before = len(server.targets)
            await scraper.scrape_once()
            if len(server.targets) > before:
                asked_at_s.append(clock.time_s)
            clock.time_s += 0.05
        pauses_s = np.diff(asked_at_s)
        longest_s = np.minimum(5.0, 0.5 * 2.0 ** np.arange(len(pauses_s)))
        assert len(pauses_s) >= 5
        assert (pauses_s <= longest_s + 0.051).all()
        assert (pauses_s >= 0.9 * longest_s - 0.051).all()


async def test_a_success_ends_the_backing_off() -> None:
    clock, replies = FakeClock(), [status("503 Busy")] * 3
    async with (
        serve(lambda _: asyncio.sleep(0, replies.pop() if replies else ok(PAGE))) as server,
        scraping(clock, it=server.url) as scraper,
    ):
        for _ in range(4):
            await scraper.scrape_once()
            clock.time_s += 5
        assert scraper.errors == {}
        requests = len(server.targets)
        await scraper.scrape_once()
        assert len(server.targets) == requests + 1


async def test_connections_are_kept_alive() -> None:
    async with serve(ok(PAGE)) as server, scraping(it=server.url) as scraper:
        for _ in range(5):
            await scraper.scrape_once()
        assert (server.connections, len(server.targets)) == (1, 5)


@pytest.mark.parametrize("reply", [ok(PAGE), ok(PAGE, close=True)], ids=["silently", "announced"])
async def test_a_server_that_closes_between_readings_costs_no_reading(reply: bytes) -> None:
    async with serve(reply, closes_after_reply=True) as server, scraping(it=server.url) as scraper:
        for _ in range(3):
            await scraper.scrape_once()
            assert scraper.errors == {}
        assert server.connections == len(server.targets) == 3


async def test_chunked_pages_are_read() -> None:
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (PAGE[:10], PAGE[10:]))
    reply = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    async with serve(reply) as server, scraping(it=server.url) as scraper:
        await scraper.scrape_once()
        assert scraper.readings["it"].metrics == parse_metrics(PAGE)


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + PAGE,
        b"HTTP/1.0 200 OK\r\n\r\n" + PAGE,
    ],
    ids=["1.1", "1.0"],
)
async def test_pages_that_end_with_their_connection_are_read(reply: bytes) -> None:
    async with serve(reply, closes_after_reply=True) as server, scraping(it=server.url) as scraper:
        for count in (1, 2):
            await scraper.scrape_once()
            assert scraper.readings["it"].metrics == parse_metrics(PAGE)
            assert server.connections == count


async def test_what_only_announces_the_reply_is_passed_over() -> None:
    reply = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + ok(PAGE)
    async with serve(reply) as server, scraping(it=server.url) as scraper:
        for _ in range(2):
            await scraper.scrape_once()
            assert scraper.readings["it"].metrics == parse_metrics(PAGE)
        assert server.connections == 1


async def test_a_server_that_does_not_keep_connections_is_asked_once_on_each() -> None:
    reply = b"HTTP/1.0 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(PAGE), PAGE)
    async with serve(reply) as server, scraping(it=server.url) as scraper:
        for count in (1, 2):
            await scraper.scrape_once()
            assert scraper.readings["it"].metrics == parse_metrics(PAGE)
            assert server.connections == len(server.targets) == count


@pytest.mark.parametrize("surplus", [ok(b"vllm:num_requests_running 9\n"), b"HTTP/1.1 200", b"\x00"])
async def test_bytes_that_nobody_asked_for_are_not_the_next_page(surplus: bytes) -> None:
    async with serve(ok(PAGE) + surplus) as server, scraping(it=server.url) as scraper:
        for count in (1, 2, 3):
            await scraper.scrape_once()
            assert scraper.readings["it"].metrics == parse_metrics(PAGE)
            assert server.connections == len(server.targets) == count


async def test_a_page_that_is_pushed_later_ends_the_connection() -> None:
    pushed = asyncio.Event()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ok(PAGE))
        await pushed.wait()
        writer.write(ok(b"vllm:num_requests_running 9\n"))
        await reader.read()
        writer.close()
        closed.set()

    closed = asyncio.Event()
    listening = await asyncio.start_server(converse, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/metrics"
    async with listening, scraping(it=url) as scraper:
        await scraper.scrape_once()
        pushed.set()
        async with asyncio.timeout(10):
            await closed.wait()
        assert scraper.readings["it"].metrics == parse_metrics(PAGE)


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nvllm:\r\n", "in the middle of a page"),
        (b"HTTP/1.1 200 OK\r\ncontent-len", "in the middle of a page"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", "endpoint 'it'"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"x" * 9_000_000, "a page of more than 8388608 bytes"),
        (b"HTTP/1.1 101 Hi\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n", "switched to another protocol"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "HTTP 204"),
    ],
    ids=["cut between chunks", "cut in the head", "no chunk", "endless head", "101", "204"],
)
async def test_what_is_no_whole_reply_is_an_error(reply: bytes, problem: str) -> None:
    clock = FakeClock()
    async with (
        serve(reply, closes_after_reply=True) as server,
        scraping(clock, it=server.url) as scraper,
    ):
        for _ in range(2):
            await scraper.scrape_once()
            assert problem in scraper.errors["it"]
            clock.time_s += 10


async def test_a_reused_connection_does_not_end_a_page_with_the_one_before() -> None:
    clock, replies = FakeClock(), [b"HTTP/1.1 204 No Content\r\n\r\n", b"", ok(PAGE)]

    async def next_reply(_: str) -> bytes:
        return replies.pop(0)

    async with serve(next_reply) as server, scraping(clock, it=server.url) as scraper:
        await scraper.scrape_once()
        assert "HTTP 204" in scraper.errors["it"]
        clock.time_s += 10
        await scraper.scrape_once()
        assert scraper.errors == {}
        assert (server.connections, len(server.targets)) == (2, 3)


async def test_pages_are_read_over_tls_from_a_server_that_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    async with serve(ok(PAGE), tls=context) as server:
        async with scraping(it=server.url) as scraper:
            await scraper.scrape_once()
            assert "CERTIFICATE_VERIFY_FAILED" in scraper.errors["it"]
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        async with scraping(it=server.url) as scraper:
            for _ in range(2):
                await scraper.scrape_once()
                assert scraper.readings["it"].metrics == parse_metrics(PAGE)
            assert len(server.targets) == 2


async def test_a_query_of_the_url_itself_is_kept() -> None:
    async with serve(ok(PAGE)) as server, scraping(it=server.url + "?job=vllm") as scraper:
        await scraper.scrape_once()
        assert server.targets == ["/metrics?job=vllm"]


async def test_prometheus_client_s_own_server_is_read() -> None:
    registry = CollectorRegistry()
    Gauge("vllm:num_requests_running", "n", registry=registry).set(3)
    Counter("vllm:prompt_tokens", "n", registry=registry).inc(7)
    Histogram("vllm:time_to_first_token_seconds", "n", registry=registry).observe(0.5)
    server, thread = start_http_server(0, addr="127.0.0.1", registry=registry)
    try:
        async with scraping(it=f"http://127.0.0.1:{server.server_port}/metrics") as scraper:
            for _ in range(2):
                await scraper.scrape_once()
            metrics = scraper.readings["it"].metrics
            assert (metrics.running, metrics.prompt_tokens, metrics.ttft_sum_s) == (3.0, 7.0, 0.5)
            assert (metrics.waiting, metrics.ttft_count) == (None, 1.0)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


async def test_start_polls_again_and_again_until_closed() -> None:
    async with serve(ok(PAGE)) as server:
        clock = FakeClock()
        scraper = MetricsScraper(
            pages(clock, it=server.url), clock=clock, rng=np.random.default_rng(0), interval_s=0.001
        )
        await scraper.start()
        await scraper.start()
        await until(lambda: len(server.targets) >= 5)
        assert server.connections == 1
        await scraper.aclose()
        await scraper.aclose()
        asked = len(server.targets)
        assert "inframind-metrics" not in {task.get_name() for task in asyncio.all_tasks()}
        assert scraper.readings["it"].metrics.running == 3.0
        await scraper.start()
        await until(lambda: len(server.targets) > asked)
        await scraper.aclose()


async def test_closing_does_not_wait_for_a_stalled_server() -> None:
    async def stall(_: str) -> bytes:
        await asyncio.Event().wait()
        return b""

    async with serve(stall) as server, scraping(it=server.url) as scraper:
        await scraper.start()
        await server.asked.wait()
        await scraper.aclose()
        assert scraper.readings == scraper.errors == {}


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"interval_s": 0.0}, "metrics.interval_s"),
        ({"backoff_max_s": -1.0}, "metrics.backoff_max_s"),
    ],
)
def test_wrong_settings_are_named(options: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        MetricsScraper(**{"sources": {}, "clock": FakeClock(), "rng": np.random.default_rng(0), **options})
    assert caught.value.field == field


@pytest.mark.parametrize("url", ["ftp://host/metrics", "/metrics"])
def test_a_page_that_is_not_http_is_named(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        HttpMetricsPage("it", url, clock=FakeClock())
    assert caught.value.field == "metrics_url of it"
