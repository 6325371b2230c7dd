"""What lies between us and the endpoints. Replace it to go through a proxy, or to call a fleet in virtual time."""

from __future__ import annotations

from typing import Protocol

import httpcore2  # noqa: F401 - httpx2 imports it with its first client, and that reads a file: not on a loop
import httpx
import httpx2
from openai import DefaultAsyncHttpxClient

from inframind.errors import ConfigError, EndpointProtocolError
from inframind.fleet.clock import Clock
from inframind.fleet.endpoints import EndpointSpec
from inframind.fleet.keepalive import KeptAlive
from inframind.fleet.metrics_page import EngineMetrics, parse_metrics

METRICS_TIMEOUT_S = 2.0
"""For one metrics page, connecting included."""


class MetricsSource(Protocol):
    """Where the load figures of one endpoint come from; read by one reader at a time."""

    def at_hand(self) -> EngineMetrics | None:
        """The figures now, where nothing has to be waited for; else None."""
        ...

    async def read(self) -> EngineMetrics:
        """The figures now. Raises EndpointError."""
        ...

    def close(self) -> None:
        """Let go of what reading holds open; a later `read` opens it again."""
        ...


class Wire(Protocol):
    """Opens the two ways to an endpoint: calls, and load figures."""

    def http_client(self, spec: EndpointSpec) -> httpx2.AsyncClient | None:
        """The client that carries calls to an endpoint in the running loop; None for the SDK's own."""
        ...

    def metrics_source(self, spec: EndpointSpec, clock: Clock) -> MetricsSource | None:
        """Where its load figures come from; None when it has none."""
        ...


class HttpWire:
    """Real sockets: the SDK's own kind of client, and one kept-alive connection per metrics page.

    Reads the certificates that it trusts once, when it is made: that takes some 50 ms, which a client of its own
    would take from the event loop for every endpoint.
    """

    def __init__(self) -> None:
        self._trusted = httpx2.create_ssl_context()

    def http_client(self, spec: EndpointSpec) -> httpx2.AsyncClient | None:
        """With the SDK's defaults."""
        return DefaultAsyncHttpxClient(verify=self._trusted)

    def metrics_source(self, spec: EndpointSpec, clock: Clock) -> MetricsSource | None:
        """The page at ``spec.scrape_url``, if it has one."""
        return HttpMetricsPage(spec.name, spec.scrape_url, clock=clock) if spec.scrape_url else None


class HttpMetricsPage:
    """One endpoint's ``/metrics`` over HTTP.

    Args:
        endpoint: name that errors carry.
        url: of the page.
        clock: for the elapsed time in errors.
        timeout_s: for one page.

    Raises:
        ConfigError: the URL is not HTTP.
    """

    def __init__(
        self, endpoint: str, url: str, *, clock: Clock, timeout_s: float = METRICS_TIMEOUT_S
    ) -> None:
        parsed = httpx.URL(url)
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise ConfigError(f"metrics_url of {endpoint}", url, "give an http:// or https:// URL")
        self._endpoint = endpoint
        self._path = parsed.raw_path.decode()
        self._connection = KeptAlive(endpoint, parsed, clock=clock, timeout_s=timeout_s)

    def at_hand(self) -> EngineMetrics | None:
        """None: a page has to be fetched."""
        return None

    async def read(self) -> EngineMetrics:
        """The page's figures. Raises EndpointError."""
        metrics = parse_metrics(await self._connection.get())
        if not metrics.present:
            detail = f"{self._path} has no vllm: series; is this vLLM, without --disable-log-stats?"
            raise EndpointProtocolError(self._endpoint, 0.0, detail, status=200)
        return metrics

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()
