"""One kept-alive HTTP/1.1 connection that reads pages, for a fraction of what a client library costs.

Fifty endpoints read twice a second make a hundred requests a second for as long as the application runs. httpx
spends 300 to 900 us of CPU on each, h11 over asyncio streams about 75 us; ``benchmarks/metrics.py`` compares
them. Calls to models, which are few and long, use a client library.

Not a general client: GET only; no redirects, compression, proxies or cookies.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field

import h11
import httpx

from inframind.errors import (
    EndpointError,
    EndpointProtocolError,
    EndpointRejected,
    EndpointServerError,
    EndpointTimeout,
    EndpointUnauthorized,
    EndpointUnreachable,
)
from inframind.fleet.clock import Clock

_READ_BYTES = 256 * 1024
_BODY_BYTES_MAX = 8 * 1024 * 1024


class KeptAlive:
    """Reads pages of one endpoint, one at a time, over a connection that is opened when it is needed.

    Args:
        endpoint: name that errors carry.
        url: of the server; only scheme, host and port matter.
        clock: for the elapsed time in errors.
        timeout_s: for one page, connecting included.
    """

    def __init__(self, endpoint: str, url: httpx.URL, *, clock: Clock, timeout_s: float) -> None:
        self._endpoint, self._clock, self._timeout_s = endpoint, clock, timeout_s
        self._host = url.host
        self._port = url.port or (443 if url.scheme == "https" else 80)
        self._tls = httpx.create_ssl_context() if url.scheme == "https" else None
        self._headers = [
            ("host", url.netloc.decode()),
            ("accept", "text/plain"),
            ("accept-encoding", "identity"),
        ]
        self._wire: _Wire | None = None

    async def get(self, target: str) -> bytes:
        """The body of a path (and query) of this server.

        Raises:
            EndpointError: there was no 200 with a whole body in time; the subclass says why.
        """
        started_s = self._clock.now_s()
        try:
            async with asyncio.timeout(self._timeout_s):
                status, body = await self._exchange(target)
        except TimeoutError as error:
            raise EndpointTimeout(self._endpoint, self._since(started_s), self._timeout_s) from error
        except OSError as error:
            raise EndpointUnreachable(self._endpoint, self._since(started_s), str(error)) from error
        except h11.RemoteProtocolError as error:
            raise EndpointProtocolError(self._endpoint, self._since(started_s), str(error)) from error
        if status != 200:
            refusal = _error_of(status)
            raise refusal(self._endpoint, self._since(started_s), f"no page at {target}", status=status)
        return body

    def close(self) -> None:
        """Let go of the connection; the next `get` opens another."""
        if self._wire is not None:
            self._wire.writer.close()
            self._wire = None

    async def _exchange(self, target: str) -> tuple[int, bytes]:
        """Ask over the open connection; once more over a new one if the server had closed it meanwhile."""
        if self._wire is not None:
            try:
                return await self._ask(self._wire, target)
            except (ConnectionError, h11.RemoteProtocolError):
                self.close()
        self._wire = await _connect(self._host, self._port, self._tls)
        return await self._ask(self._wire, target)

    async def _ask(self, wire: _Wire, target: str) -> tuple[int, bytes]:
        is_whole = False
        try:
            reply = await wire.get(target, self._headers)
            is_whole = wire.is_reusable
        finally:
            if not is_whole:  # cancelled, failed, or the server will close: what is left in it is not ours
                self.close()
        return reply

    def _since(self, started_s: float) -> float:
        return self._clock.now_s() - started_s


@dataclass(slots=True)
class _Wire:
    """An open connection and the state of its HTTP conversation."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    http: h11.Connection = field(default_factory=lambda: h11.Connection(h11.CLIENT))
    is_reusable: bool = True

    async def get(self, target: str, headers: list[tuple[str, str]]) -> tuple[int, bytes]:
        """Status and body of one request."""
        self.is_reusable = False
        request = self.http.send(h11.Request(method="GET", target=target, headers=headers))
        self.http.send(h11.EndOfMessage())
        self.writer.write(request or b"")
        status, body = 0, bytearray()
        while not isinstance(event := await self._next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += event.data
            if len(body) > _BODY_BYTES_MAX:
                raise h11.RemoteProtocolError(f"a page of more than {_BODY_BYTES_MAX} bytes")
        if self.http.our_state is h11.DONE and self.http.their_state is h11.DONE:
            self.http.start_next_cycle()
            self.is_reusable = True
        return status, bytes(body)

    async def _next_event(self) -> object:
        while (event := self.http.next_event()) is h11.NEED_DATA:
            data = await self.reader.read(_READ_BYTES)
            if not data and self.http.their_state is h11.SEND_RESPONSE:
                raise h11.RemoteProtocolError("the server closed the connection without an answer")
            self.http.receive_data(data)
        return event


async def _connect(host: str, port: int, tls: ssl.SSLContext | None) -> _Wire:
    reader, writer = await asyncio.open_connection(host, port, ssl=tls, limit=_READ_BYTES)
    return _Wire(reader, writer)


def _error_of(status: int) -> type[EndpointError]:
    if status in (401, 403):
        return EndpointUnauthorized
    return EndpointServerError if status >= 500 else EndpointRejected
