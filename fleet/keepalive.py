"""One kept-alive HTTP/1.1 connection that reads one page over and over, for a fraction of what a client costs.

Fifty endpoints read twice a second make a hundred requests a second for as long as the application runs, and a
client library spends 300 to 900 us of CPU on each. Here llhttp (httptools) parses the replies straight from an
asyncio transport; ``benchmarks/metrics.py`` compares them. Calls to models, which are few and long, use a client
library.

Not a general client: GET only; no redirects, compression, proxies or cookies.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import cast

import httpx
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

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

_REPLY_BYTES_MAX = 8 * 1024 * 1024


class KeptAlive:
    """Reads a page of one endpoint, one request at a time, over a connection that is opened when it is needed.

    Args:
        endpoint: name that errors carry.
        url: of the page.
        clock: for the elapsed time in errors.
        timeout_s: for one page, connecting included.
    """

    def __init__(self, endpoint: str, url: httpx.URL, *, clock: Clock, timeout_s: float) -> None:
        self._endpoint, self._clock, self._timeout_s = endpoint, clock, timeout_s
        self._host = url.host
        self._port = url.port or (443 if url.scheme == "https" else 80)
        self._tls = httpx.create_ssl_context() if url.scheme == "https" else None
        self._target = url.raw_path.decode()
        self._request = b"\r\n".join(
            (
                b"GET %s HTTP/1.1" % url.raw_path,
                b"host: %s" % url.netloc,
                b"accept: text/plain",
                b"accept-encoding: identity",
                b"\r\n",
            )
        )
        self._wire: _Wire | None = None

    async def get(self) -> bytes:
        """The page as it is now.

        Raises:
            EndpointError: there was no 200 with a whole body in time; the subclass says why.
        """
        started_s = self._clock.now_s()
        try:
            async with asyncio.timeout(self._timeout_s):
                status, body = await self._exchange()
        except TimeoutError as error:
            raise EndpointTimeout(self._endpoint, self._since(started_s), self._timeout_s) from error
        except OSError as error:
            raise EndpointUnreachable(self._endpoint, self._since(started_s), str(error)) from error
        except _NoReply as error:
            raise EndpointProtocolError(self._endpoint, self._since(started_s), str(error)) from error
        if status != HTTPStatus.OK:
            refusal = _error_of(status)
            raise refusal(self._endpoint, self._since(started_s), f"no page at {self._target}", status=status)
        return body

    def close(self) -> None:
        """Let go of the connection; the next `get` opens another."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    async def _exchange(self) -> tuple[int, bytes]:
        """Ask over the open connection; once more over a new one if the server had closed it meanwhile."""
        if self._wire is not None:
            try:
                return await self._ask(self._wire)
            except (ConnectionError, _NoReply):
                self.close()
        loop = asyncio.get_running_loop()
        _, self._wire = await loop.create_connection(_Wire, self._host, self._port, ssl=self._tls)
        return await self._ask(self._wire)

    async def _ask(self, wire: _Wire) -> tuple[int, bytes]:
        try:
            return await wire.get(self._request)
        finally:
            # Cancelled, failed, or the server will close: what may still come is not for the next request.
            if not wire.is_reusable:
                self.close()

    def _since(self, started_s: float) -> float:
        return self._clock.now_s() - started_s


class _NoReply(Exception):
    """What the server sent is no whole HTTP reply."""


class _Wire(asyncio.Protocol):
    """An open connection and the reply that is being read from it.

    Methods named ``on_*`` are called by the parser, ``connection_*`` and ``data_received`` by the event loop.
    """

    def __init__(self) -> None:
        self._parser = HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._reply: asyncio.Future[tuple[int, bytes]] | None = None
        self._reply_bytes = 0
        self._begin_message()

    async def get(self, request: bytes) -> tuple[int, bytes]:
        """Status and body of one request.

        Raises:
            OSError: the connection broke.
            _NoReply: the server closed it before the reply was whole, or does not talk HTTP.
        """
        if self._transport is None:
            raise _NoReply("the server closed the connection")
        self._reply = asyncio.get_running_loop().create_future()
        self._reply_bytes = 0
        self._begin_message()
        self._transport.write(request)
        return await self._reply

    def close(self) -> None:
        """Drop the connection at once: nothing that is still to be sent or read matters."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if exc is not None:
            self._fail(exc)
        elif self._ends_with_connection:
            self._succeed()
        else:
            place = "in the middle of a page" if self._reply_bytes else "without an answer"
            self._fail(_NoReply(f"the server closed the connection {place}"))

    def data_received(self, data: bytes) -> None:
        if not self._is_awaited:  # nobody asked; it would be taken for the next reply
            self.close()
            return
        self._reply_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            self._fail(_NoReply("the server switched to another protocol"))
        except HttpParserError as error:
            self._fail(_NoReply(str(error)))
        if self._reply_bytes > _REPLY_BYTES_MAX:
            self._fail(_NoReply(f"a page of more than {_REPLY_BYTES_MAX} bytes"))

    def on_message_begin(self) -> None:
        self._begin_message()

    def on_header(self, name: bytes, _: bytes) -> None:
        if name.lower() in (b"content-length", b"transfer-encoding"):
            self._says_its_end = True

    def on_headers_complete(self) -> None:
        self._ends_with_connection = not self._says_its_end

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() >= HTTPStatus.OK:  # below, it only announces the reply
            self.is_reusable = self._is_awaited and self._parser.should_keep_alive()
            self._succeed()

    @property
    def _is_awaited(self) -> bool:
        return self._reply is not None and not self._reply.done()

    def _begin_message(self) -> None:
        self.is_reusable = False
        self._says_its_end = self._ends_with_connection = False
        self._body: list[bytes] = []

    def _succeed(self) -> None:
        if self._reply is not None and not self._reply.done():
            self._reply.set_result((self._parser.get_status_code(), b"".join(self._body)))

    def _fail(self, error: Exception) -> None:
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(error)


def _error_of(status: int) -> type[EndpointError]:
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return EndpointUnauthorized
    return EndpointServerError if status >= HTTPStatus.INTERNAL_SERVER_ERROR else EndpointRejected
