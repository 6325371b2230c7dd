"""What it costs to know the fleet's load: parsing a metrics page, and reading 50 endpoints twice a second.

The endpoints are 50 ports of a trivial server in another process, so only the reader's CPU time is counted.

    python benchmarks/metrics.py [--quick] [--json] [--page FILE]
"""

from __future__ import annotations

import asyncio
import multiprocessing
import time
import timeit
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import httpx
import numpy as np
from _common import Bench, arguments, percentile
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from inframind.fleet.clock import SystemClock
from inframind.fleet.metrics import MetricsScraper, parse_metrics
from inframind.fleet.wire import HttpMetricsPage

ENDPOINTS = 50
READS_PER_S = 2.0
PAGE_BYTES = 70_000
GAUGES = ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc")
COUNTERS = (
    "num_preemptions",
    "prompt_tokens",
    "generation_tokens",
    "prefix_cache_queries",
    "prefix_cache_hits",
)
HISTOGRAMS = ("time_to_first_token", "inter_token_latency", "request_queue_time", "e2e_request_latency")
BUCKETS = [0.001 * 1.5**n for n in range(24)]

Read = Callable[[int], Awaitable[object]]


def main() -> None:
    """Measure, and print."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--page", type=Path, help="a captured /metrics page (default: one made here)")
    options = parser.parse_args()
    page = options.page.read_bytes() if options.page else make_page(np.random.default_rng(options.seed))
    bench = Bench(
        title="Cost of load metrics",
        packages=("httpx", "httptools", "prometheus-client"),
        seed=options.seed,
    )
    bench.add_figure(
        "page_bytes", len(page), "bytes", str(options.page.name) if options.page else "made here"
    )
    measure_parsing(bench, page, repeats=20 if options.quick else 200)
    measure_reading(bench, page, duration_s=3.0 if options.quick else 10.0, seed=options.seed)
    bench.print(as_json=options.json)


def make_page(rng: np.random.Generator) -> bytes:
    """A page of vLLM's size and shape: what we read, among histograms that we do not."""
    registry = CollectorRegistry()
    labels = {"engine": "0", "model_name": "some-organisation/some-model-14b"}
    for name in GAUGES:
        Gauge(f"vllm:{name}", name, list(labels), registry=registry).labels(**labels).set(rng.random())
    for name in COUNTERS:
        Counter(f"vllm:{name}", name, list(labels), registry=registry).labels(**labels).inc(
            int(rng.integers(10**6))
        )
    others = (f"request_other_{n}" for n in range(10**6))
    names = iter([*HISTOGRAMS, *others])
    while len(page := generate_latest(registry)) < PAGE_BYTES:
        name = f"vllm:{next(names)}_seconds"
        Histogram(name, name, list(labels), buckets=BUCKETS, registry=registry).labels(**labels).observe(
            rng.random()
        )
    return page


def measure_parsing(bench: Bench, page: bytes, *, repeats: int) -> None:
    """CPU time of one page, ours and prometheus_client's."""
    ours = timeit.repeat(lambda: parse_metrics(page), number=1, repeat=10 * repeats)
    text = page.decode()
    full = timeit.repeat(
        lambda: list(text_string_to_metric_families(text)), number=1, repeat=max(3, repeats // 20)
    )
    parse_us = percentile(ours, 50) * 1e6
    bench.add_bar("parse_us_per_page", parse_us, 200.0, "us")
    bench.add_figure("parse_p99_us_per_page", percentile(ours, 99) * 1e6, "us")
    bench.add_figure("prometheus_client_us_per_page", percentile(full, 50) * 1e6, "us", "for comparison")
    share = parse_us * 1e-6 * ENDPOINTS * READS_PER_S * 100
    bench.add_bar("parse_only_core_percent", share, 2.0, "% of a core")


def measure_reading(bench: Bench, page: bytes, *, duration_s: float, seed: int) -> None:
    """CPU time of the whole reading, and of httpx doing the same without parsing."""
    with page_server(page) as urls:
        percent, oldest_s = asyncio.run(scraper_cost(urls, duration_s, seed))
        bench.add_bar("scrape_core_percent", percent, 2.0, "% of a core")
        bench.add_figure("oldest_reading_s", oldest_s, "s", "at the end of the run")
        for name, variant in (("httpx_client", httpx_client_cost), ("httpx_transport", httpx_transport_cost)):
            percent = asyncio.run(variant(urls, duration_s / 2))
            bench.add_figure(f"{name}_core_percent", percent, "% of a core", "no parsing")


async def scraper_cost(urls: list[str], duration_s: float, seed: int) -> tuple[float, float]:
    """Percent of a core over the duration, and the age of the oldest reading at its end."""
    clock = SystemClock()
    scraper = MetricsScraper(
        {url: HttpMetricsPage(url, url, clock=clock) for url in urls},
        clock=clock,
        rng=np.random.default_rng(seed),
        interval_s=1 / READS_PER_S,
    )
    await scraper.start()
    await asyncio.sleep(1.0)  # until the connections are open
    percent = await core_percent(asyncio.sleep(duration_s))
    if scraper.errors or len(scraper.readings) < len(urls):
        raise RuntimeError(f"the local server failed: {dict(scraper.errors)}")
    oldest_s = clock.now_s() - min(reading.at_s for reading in scraper.readings.values())
    await scraper.aclose()
    return percent, oldest_s


async def httpx_client_cost(urls: list[str], duration_s: float) -> float:
    """One AsyncClient for all endpoints, the obvious way."""
    async with httpx.AsyncClient() as client:
        return await sweeps_cost(lambda k: client.get(urls[k]), duration_s)


async def httpx_transport_cost(urls: list[str], duration_s: float) -> float:
    """One transport per endpoint, called without a client: the cheapest way that is httpx's own."""
    context = httpx.create_ssl_context()
    limits = httpx.Limits(max_connections=1)
    transports = [httpx.AsyncHTTPTransport(verify=context, limits=limits) for _ in urls]
    requests = [httpx.Request("GET", url) for url in urls]

    async def read(k: int) -> bytes:
        response = await transports[k].handle_async_request(requests[k])
        return await response.aread()

    percent = await sweeps_cost(read, duration_s)
    for transport in transports:
        await transport.aclose()
    return percent


async def sweeps_cost(read: Read, duration_s: float) -> float:
    """Percent of a core of reading every endpoint at once, at the same rate as the scraper."""

    async def sweep() -> None:
        await asyncio.gather(*(read(k) for k in range(ENDPOINTS)))

    async def sweeps() -> None:
        for _ in range(round(duration_s * READS_PER_S)):
            await asyncio.gather(sweep(), asyncio.sleep(1 / READS_PER_S))

    await sweep()
    return await core_percent(sweeps())


async def core_percent(work: Awaitable[object]) -> float:
    """CPU time of this process, all threads, as percent of the time that the work took."""
    cpu_s, wall_s = time.process_time(), time.monotonic()
    await work
    return 100 * (time.process_time() - cpu_s) / (time.monotonic() - wall_s)


@contextmanager
def page_server(page: bytes) -> Iterator[list[str]]:
    """URLs of 50 endpoints in another process."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    server = context.Process(target=serve_pages, args=(page, there), daemon=True)
    server.start()
    try:
        yield [f"http://127.0.0.1:{port}/metrics" for port in here.recv()]
    finally:
        server.terminate()
        server.join()


def serve_pages(page: bytes, pipe: Connection) -> None:
    """Runs in the other process: constant replies, as cheap as can be."""
    reply = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n%s" % (len(page), page)

    class Conversation(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            assert isinstance(self.transport, asyncio.WriteTransport)
            self.transport.write(reply)

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        servers = [await loop.create_server(Conversation, "127.0.0.1", 0) for _ in range(ENDPOINTS)]
        pipe.send([server.sockets[0].getsockname()[1] for server in servers])
        await asyncio.Event().wait()

    asyncio.run(serve())


if __name__ == "__main__":
    main()
