"""The timed client: one call to one endpoint on the ``openai`` SDK, with our deadline and our errors.

The SDK builds the request, owns the connections and raises its errors; its own retries are off, because
there is one retry layer and it is ours (`inframind.fleet.pool`). Answers are read as raw bytes.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Mapping
from typing import Any, cast

import httpx2
import openai
import orjson
from openai import AsyncOpenAI, AsyncStream

from inframind.errors import (
    EndpointError,
    EndpointOverloaded,
    EndpointProtocolError,
    EndpointRejected,
    EndpointServerError,
    EndpointTimeout,
    EndpointUnauthorized,
    EndpointUnreachable,
)
from inframind.fleet.clock import Clock, Deadline
from inframind.fleet.endpoints import EndpointSpec
from inframind.fleet.messages import CallTimings, ChatRequest, Completion, OnDelta
from inframind.fleet.sse import AnswerAssembler, ErrorInStream, MalformedReply
from inframind.fleet.wire import HttpWire, Wire

MAX_DETAIL_CHARS = 500
_NO_KEY = "none"
_Clients = dict[str, AsyncOpenAI]


class TimedClient:
    """Calls endpoints and times every call. One SDK client per event loop and endpoint.

    An SDK client belongs to the loop that first used it; a shared one fails with "Event loop is closed" as
    soon as a second loop (a test, the synchronous API, a notebook) comes by.
    """

    def __init__(
        self,
        endpoints: Mapping[str, EndpointSpec],
        clock: Clock,
        wire: Wire | None = None,
    ) -> None:
        self._endpoints = endpoints
        self._clock = clock
        self._wire = wire or HttpWire()
        self._clients: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Clients] = (
            weakref.WeakKeyDictionary()
        )

    async def complete(
        self,
        request: ChatRequest,
        endpoint: str,
        deadline: Deadline,
        *,
        priority: int | None = None,
        on_delta: OnDelta | None = None,
    ) -> Completion:
        """One call to one endpoint, ended by our own timer when the deadline comes.

        Args:
            request: what to ask.
            endpoint: name of the endpoint.
            deadline: when to give up; the SDK's own timeout is per read, so it cannot serve for this.
            priority: sent when the endpoint schedules by priority.
            on_delta: awaited with each non-empty piece, in order.

        Raises:
            EndpointError: the call failed; the class says how, and carries what had arrived.
        """
        spec = self._endpoints[endpoint]
        call = _Call(spec, request, priority if spec.priority else None, self._clock, on_delta)
        client = self._client(spec)
        try:
            async with asyncio.timeout(deadline.remaining_s(self._clock)) as timer:
                return await call.run(client)
        except TimeoutError as error:
            if not timer.expired():
                raise
            raise EndpointTimeout(
                endpoint, call.elapsed_s, deadline.budget_s, partial_text=call.answer.text
            ) from error
        except (openai.OpenAIError, httpx2.HTTPError, MalformedReply, ErrorInStream) as error:
            raise map_upstream_error(
                error, endpoint, call.elapsed_s, partial_text=call.answer.text, secret=_key_of(spec)
            ) from error

    async def aclose(self) -> None:
        """Close the connections that the running loop owns."""
        for client in self._clients.pop(asyncio.get_running_loop(), {}).values():
            await client.close()

    def _client(self, spec: EndpointSpec) -> AsyncOpenAI:
        loop = asyncio.get_running_loop()
        clients = self._clients.get(loop)
        if clients is None:
            clients = self._clients.setdefault(loop, {})
        client = clients.get(spec.name)
        if client is None:
            client = clients[spec.name] = self._make_client(spec)
        return client

    def _make_client(self, spec: EndpointSpec) -> AsyncOpenAI:
        client = AsyncOpenAI(
            base_url=spec.base_url,
            api_key=_key_of(spec) or _NO_KEY,
            max_retries=0,
            timeout=httpx2.Timeout(None, connect=spec.connect_timeout_s, read=spec.read_timeout_s),
            http_client=self._wire.http_client(spec),
        )
        # Left open, the SDK looks it up in a thread before the first call. Nothing orders that thread's end against
        # other calls, so that runs in virtual time would differ now and then. It is only a header.
        client._platform = "Unknown"
        return client


class _Call:
    """One call on its way: what it needs, what has arrived, and when."""

    def __init__(
        self,
        spec: EndpointSpec,
        request: ChatRequest,
        priority: int | None,
        clock: Clock,
        on_delta: OnDelta | None,
    ) -> None:
        self._spec, self._request, self._priority = spec, request, priority
        self._clock, self._on_delta = clock, on_delta
        self._sent_s = clock.now_s()
        self._piece_s: list[float] = []
        self.answer = AnswerAssembler()

    @property
    def elapsed_s(self) -> float:
        return self._clock.now_s() - self._sent_s

    async def run(self, client: AsyncOpenAI) -> Completion:
        self._sent_s = self._clock.now_s()
        response = await self._send(client)
        if self._request.stream:
            await self._read_stream(response)
        else:
            delta = self.answer.take_whole(response.content)
            if self._on_delta:
                await self._on_delta(delta)
        return self._completion()

    async def _send(self, client: AsyncOpenAI) -> httpx2.Response:
        headers = dict(self._request.headers)
        if self._request.context is not None:
            headers["baggage"] = self._request.context.to_baggage()
        # The whole URL: joining a relative one to the client's base costs a tenth of the SDK's time.
        response = await client.post(
            self._spec.chat_url,
            cast_to=httpx2.Response,
            content=orjson.dumps(self._request.body(self._spec.model, self._priority), default=_as_dict),
            options={"headers": headers},
            stream=self._request.stream,
            stream_cls=AsyncStream[object],
        )
        # With this cast_to the SDK hands out the response itself, streamed or not.
        return cast(httpx2.Response, response)

    async def _read_stream(self, response: httpx2.Response) -> None:
        try:
            async for data in response.aiter_bytes():
                deltas = self.answer.feed(data)
                if deltas:
                    self._piece_s.extend([self._clock.now_s()] * len(deltas))
                    if self._on_delta:
                        for delta in deltas:
                            await self._on_delta(delta)
        finally:
            await response.aclose()
        if not self.answer.is_done and not self.answer.finish_reason:
            kind = response.headers.get("content-type", "no content type")
            raise MalformedReply(f"the stream ({kind}) ended before the answer did")

    def _completion(self) -> Completion:
        answer = self.answer
        return Completion(
            text=answer.text,
            reasoning=answer.reasoning,
            tool_calls=answer.tool_calls,
            finish_reason=answer.finish_reason,
            usage=answer.usage,
            timings=self._timings(),
            endpoint=self._spec.name,
            model=answer.model or self._spec.model,
            request_id=answer.request_id,
            priority=self._priority,
        )

    def _timings(self) -> CallTimings:
        metrics = self.answer.metrics
        return CallTimings(
            sent_s=self._sent_s,
            first_token_s=self._piece_s[0] if self._piece_s else None,
            finished_s=self._clock.now_s(),
            piece_s=tuple(self._piece_s),
            queue_s=_seconds(metrics.get("queue_time_ms")),
            server_ttft_s=_seconds(metrics.get("time_to_first_token_ms")),
        )


def _as_dict(value: object) -> dict[str, Any]:
    """Read-only mappings, which callers may well give; anything else cannot be sent."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a request cannot carry a {type(value).__name__}")


def _key_of(spec: EndpointSpec) -> str:
    return spec.api_key.get_secret_value() if spec.api_key else ""


def _seconds(milliseconds: object) -> float | None:
    return milliseconds / 1000 if isinstance(milliseconds, int | float) else None


def map_upstream_error(
    error: Exception, endpoint: str, elapsed_s: float, *, partial_text: str = "", secret: str = ""
) -> EndpointError:
    """Our error for one of the SDK's, the transport's or the reader's.

    Some servers repeat the key that they refuse: ``secret`` is struck from what they say.

    Raises:
        TypeError: an error that has no place in our tree; a test keeps the SDK's from getting here.
    """
    detail = _detail_of(error)
    detail = (detail.replace(secret, "***") if secret else detail)[:MAX_DETAIL_CHARS]
    if isinstance(error, openai.APIStatusError):
        kind = _class_for_status(error.status_code)
        return kind(endpoint, elapsed_s, detail, status=error.status_code, partial_text=partial_text)
    if isinstance(error, ErrorInStream):
        kind = _class_for_status(error.status or 500)
        return kind(endpoint, elapsed_s, detail, status=error.status, partial_text=partial_text)
    for upstream, ours in _CLASS_FOR_UPSTREAM:
        if isinstance(error, upstream):
            return ours(endpoint, elapsed_s, detail, partial_text=partial_text)
    raise TypeError(f"no mapping for {type(error).__module__}.{type(error).__qualname__}") from error


def foreign_error(error: BaseException, endpoint: str, elapsed_s: float) -> EndpointError | None:
    """Our error for one that another client's call to an endpoint ended with; None where it says nothing of that.

    Args:
        error: of the ``openai`` SDK, of its transport, of another SDK that tells the HTTP status, or Python's own.
        endpoint: name of the endpoint.
        elapsed_s: seconds from sending the request to the failure.
    """
    if isinstance(error, openai.APIError | httpx2.HTTPError):
        return map_upstream_error(error, endpoint, elapsed_s)
    status = getattr(error, "status_code", None)
    if isinstance(status, int) and status >= 400:
        return _class_for_status(status)(endpoint, elapsed_s, type(error).__name__, status=status)
    if isinstance(error, ConnectionError):
        return EndpointUnreachable(endpoint, elapsed_s, type(error).__name__)
    return None


def is_refused(error: BaseException | None) -> bool:
    """Whether nobody listens at the address: no connection was made at all."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, httpx2.ConnectError | ConnectionRefusedError):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


def _class_for_status(status: int) -> type[EndpointError]:
    if status in (401, 403):
        return EndpointUnauthorized
    if status in (408, 429, 503):
        return EndpointOverloaded
    return EndpointServerError if status >= 500 else EndpointRejected


# First match wins. A read error after the stream began reaches us as the transport's own error.
_CLASS_FOR_UPSTREAM: tuple[tuple[type[Exception], type[EndpointError]], ...] = (
    (MalformedReply, EndpointProtocolError),
    (openai.APIResponseValidationError, EndpointProtocolError),
    (openai.APIConnectionError, EndpointUnreachable),
    (openai.APIError, EndpointServerError),
    (openai.OpenAIError, EndpointProtocolError),
    (httpx2.DecodingError, EndpointProtocolError),
    (httpx2.HTTPError, EndpointUnreachable),
)


def _detail_of(error: Exception) -> str:
    if isinstance(error, openai.APIStatusError):
        body = error.body
        message = body.get("message") if isinstance(body, dict) else body
        return str(message or error.message)
    cause = error.__cause__
    said = str(cause) if cause is not None and str(cause) else str(error)
    return said or type(error).__name__
