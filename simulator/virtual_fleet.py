"""The simulated fleet in virtual time: the servers of `inframind.simulator.server` behind a wire without sockets.

Clients, retries, breakers, metric readers, graphs and routers run as they do in production; what is replaced is the
transport under the HTTP client and the fetching of ``/metrics``. The engines are those of the HTTP fleet.

The transport keeps no timeouts of its own: those of an HTTP client, an endpoint's ``read_timeout_s`` among them, have
no meaning in virtual time, and a server that stalls is left at the deadline of the call.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import httpx2

from inframind.errors import ConfigError, EndpointUnreachable
from inframind.fleet.clock import Clock
from inframind.fleet.endpoints import EndpointSpec
from inframind.fleet.metrics_page import EngineMetrics
from inframind.fleet.wire import MetricsSource
from inframind.simulator.chat import ChatExchange, ConnectionDropped, Head
from inframind.simulator.faults import EVERY_ROUTE
from inframind.simulator.model import LanguageModel
from inframind.simulator.openai_errors import UNAUTHORIZED, ApiError
from inframind.simulator.server import ServerSpec, SimulatedServer, asgi_app

CHAT_PATH = "/v1/chat/completions"
DOMAIN = "virtual.invalid"
"""Host names end so; RFC 2606 keeps ``.invalid`` from ever naming a machine."""


class VirtualFleet:
    """Simulated servers, and the `Wire` that leads to them.

    Streams send their first token and their last piece alone, at the right instants: what lies between would cost
    time and tell nothing.

    Args:
        specs: one per replica; names must differ.
        model: thinks of the answers of all of them.
        clock: must agree with the running loop.
        seed: of all replies; added to each spec's own.

    Attributes:
        servers: by name; their ``faults`` can be changed at any time.
        base_urls: ``http://<name>.virtual.invalid/v1`` by server name.

    Raises:
        ConfigError: no specs, or two of one name.
    """

    def __init__(
        self, specs: Sequence[ServerSpec], model: LanguageModel, *, clock: Clock, seed: int = 0
    ) -> None:
        names = [spec.name for spec in specs]
        if len(set(names)) != len(names) or not names:
            raise ConfigError("specs", names, "give at least one spec, and each a name of its own")
        self.servers: Mapping[str, SimulatedServer] = MappingProxyType(
            {
                spec.name: SimulatedServer(
                    replace(spec, seed=spec.seed + seed), model, clock, flush_interval_s=None
                )
                for spec in specs
            }
        )
        self.base_urls: Mapping[str, str] = MappingProxyType(
            {name: f"http://{_host(name)}/v1" for name in names}
        )
        self._server_of_host = {_host(name): server for name, server in self.servers.items()}
        self._transport_of_host = {host: _Transport(server) for host, server in self._server_of_host.items()}

    # The wire.

    def http_client(self, spec: EndpointSpec) -> httpx2.AsyncClient:
        """A client whose transport hands requests to the server of the endpoint's host."""
        return httpx2.AsyncClient(transport=self._transport_of_host[self._host_of(spec)], trust_env=False)

    def metrics_source(self, spec: EndpointSpec, clock: Clock) -> MetricsSource:
        """The server's own gauges and counters."""
        return _Gauges(spec.name, self._server_of_host[self._host_of(spec)])

    def close(self) -> None:
        """Let go of every request in flight."""
        for server in self.servers.values():
            server.close()

    def _host_of(self, spec: EndpointSpec) -> str:
        host = httpx2.URL(spec.base_url).host
        if host not in self._server_of_host:
            raise ConfigError(
                f"base_url of {spec.name}", spec.base_url, f"use one of: {', '.join(self.base_urls.values())}"
            )
        return host


def _host(name: str) -> str:
    return f"{name.lower()}.{DOMAIN}"


class _Gauges:
    """Load figures read from an engine itself: what its metrics page would say. A server that is gone has none."""

    def __init__(self, endpoint: str, server: SimulatedServer) -> None:
        self._endpoint, self._server = endpoint, server

    def at_hand(self) -> EngineMetrics | None:
        return None if self._server.faults.fault in EVERY_ROUTE else self._server.load_figures()

    async def read(self) -> EngineMetrics:
        if self._server.faults.take(among=EVERY_ROUTE):
            raise EndpointUnreachable(self._endpoint, 0.0, "the simulated server closed the connection")
        return self._server.load_figures()

    def close(self) -> None:
        """Nothing is held open."""


class _Transport(httpx2.AsyncBaseTransport):
    """Hands chat requests to the server directly, and everything else to its ASGI app. Clients share it."""

    def __init__(self, server: SimulatedServer) -> None:
        self._server = server
        self._app = httpx2.ASGITransport(app=asgi_app(server))

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        server, headers = self._server, request.headers
        if server.faults.take(among=EVERY_ROUTE):
            raise httpx2.RemoteProtocolError("the simulated server closed the connection")
        if request.url.path != CHAT_PATH or request.method != "POST":
            return await self._app.handle_async_request(request)
        if not server.may_pass(headers.get("authorization", "").encode()):
            return httpx2.Response(401, json=UNAUTHORIZED)
        baggage, request_id = headers.get("baggage", ""), headers.get("x-request-id", "")
        try:
            taken = server.take_chat(await request.aread(), baggage, request_id)
        except ApiError as error:
            return httpx2.Response(error.status, json=error.body)
        if isinstance(taken, ChatExchange):
            return await _begin(taken)
        return httpx2.Response(taken.status_code, headers=taken.raw_headers, content=bytes(taken.body))


async def _begin(exchange: ChatExchange) -> httpx2.Response:
    """The response, as soon as its head is known; its body comes as the engine gives it."""
    parts = exchange.parts()
    try:
        head = await anext(parts)
    except ConnectionDropped as error:
        raise httpx2.RemoteProtocolError("the simulated server closed the connection") from error
    assert isinstance(head, Head)
    return httpx2.Response(head.status, headers=head.headers, stream=_Body(parts))


class _Body(httpx2.AsyncByteStream):
    """The rest of an exchange; closing it is what a client that hangs up does."""

    def __init__(self, parts: AsyncGenerator[Head | bytes]) -> None:
        self._parts = parts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for part in self._parts:
                assert isinstance(part, bytes)
                yield part
        except ConnectionDropped as error:
            raise httpx2.RemoteProtocolError("the simulated server closed the connection") from error

    async def aclose(self) -> None:
        await self._parts.aclose()
