"""One chat request on its way through a simulated server: from the answer that is known to the bytes that leave.

`ChatExchange` is the reply as any wire takes it: a head, then pieces as the engine gives their tokens. `ChatReply`
puts it on an ASGI connection, and gives up its place in the engine when the client goes away.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from inframind.simulator.driver import EngineGone, TokenStream
from inframind.simulator.engine_records import RequestRecord
from inframind.simulator.exposition import RequestTallies
from inframind.simulator.faults import Fault
from inframind.simulator.openai_api import ChatCall
from inframind.simulator.openai_errors import ENGINE_DIED
from inframind.simulator.replies import (
    DONE,
    EventWriter,
    ReplyHead,
    completion,
    error_event,
    usage_event,
)
from inframind.simulator.speech import Speech

DROP_EXTENSION = "inframind.drop"

Headers = list[tuple[bytes, bytes]]

_JSON: Headers = [(b"content-type", b"application/json")]
_EVENTS: Headers = [(b"content-type", b"text/event-stream; charset=utf-8")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One choice in flight: what will be said, and the tokens that have come."""

    speech: Speech
    stream: TokenStream
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Head:
    """What comes before the body.

    Attributes:
        status: HTTP status.
        headers: its headers.
    """

    status: int
    headers: Headers


class ConnectionDropped(Exception):
    """The connection is to be closed here and now."""


class ChatExchange:
    """The answers to one request, as the engine gives their tokens.

    Attributes:
        is_client_gone: set by whoever watches the connection, followed by `close`.
    """

    def __init__(
        self,
        call: ChatCall,
        head: ReplyHead,
        answers: Sequence[Answer],
        news: asyncio.Event,
        tallies: RequestTallies,
        fault: Fault | None,
    ) -> None:
        self._call, self._head, self._answers = call, head, answers
        self._news, self._tallies, self._fault = news, tallies, fault
        self.is_client_gone = False

    async def parts(self) -> AsyncGenerator[Head | bytes]:
        """The head, then the body piece by piece; closing the generator gives up the place in the engine.

        Raises:
            ConnectionDropped: a fault closes the connection.
        """
        try:
            async with aclosing(self._events() if self._call.stream else self._body()) as parts:
                async for part in parts:
                    yield part
        except EngineGone:
            if not self.is_client_gone:
                for part in self._death():
                    yield part
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the engine, and wake whoever waits for it."""
        for answer in self._answers:
            answer.stream.close()
        self._news.set()

    async def _body(self) -> AsyncGenerator[Head | bytes]:
        while not self._is_complete():
            await self._wait()
            await self._strike()
        body = completion(self._head, [answer.speech for answer in self._answers], self._records())
        self._tally()
        yield _json_head(200, body)
        yield body

    async def _events(self) -> AsyncGenerator[Head | bytes]:
        yield Head(200, _EVENTS)
        writers = list(self._writers())
        sent, wanted = [0] * len(writers), [answer.speech.n_tokens for answer in self._answers]
        while sent != wanted:
            await self._wait()
            events = b"".join(self._new_events(writers, sent))
            if sent == wanted and self._fault is None:
                yield events + self._ending()
                return
            if events:
                yield events
            await self._strike()
        yield self._ending()

    def _ending(self) -> bytes:
        """Usage, if it was asked for, and the last word; counts the request."""
        self._tally()
        return (usage_event(self._head, self._records()) if self._call.include_usage else b"") + DONE

    def _writers(self) -> Iterator[EventWriter]:
        for index, answer in enumerate(self._answers):
            yield EventWriter(
                self._head,
                index,
                answer.speech,
                has_usage=self._call.continuous_usage,
                has_fingerprint=not self._call.include_usage,
            )

    def _new_events(self, writers: Sequence[EventWriter], sent: list[int]) -> Iterator[bytes]:
        for index, (writer, answer) in enumerate(zip(writers, self._answers, strict=True)):
            generated = answer.stream.generated
            if generated == sent[index]:
                continue
            if not sent[index]:
                yield writer.opening()
                # The first token has an event of its own, however many have come by now: clients time it.
                yield from writer.up_to(1, is_last=answer.speech.n_tokens == 1)
            if generated > max(sent[index], 1):
                yield from writer.up_to(generated, is_last=generated == answer.speech.n_tokens)
            sent[index] = generated

    async def _wait(self) -> None:
        """Wait until any answer has further tokens."""
        await self._news.wait()
        self._news.clear()
        for answer in self._answers:
            if answer.stream.is_gone:
                raise EngineGone(answer.stream.request.request_id)

    async def _strike(self) -> None:
        """Let a fault of after the first token happen."""
        if self._fault is None or not any(answer.stream.generated for answer in self._answers):
            return
        self.close()
        if self._fault is Fault.DROP:
            raise ConnectionDropped
        if self._fault is Fault.STALL:
            while not self.is_client_gone:
                await self._news.wait()
                self._news.clear()
        raise EngineGone(self._head.reply_id)

    def _death(self) -> Iterator[Head | bytes]:
        if self._call.stream:
            yield error_event(ENGINE_DIED) + DONE
            return
        body = orjson.dumps(ENGINE_DIED)
        yield _json_head(500, body)
        yield body

    def _is_complete(self) -> bool:
        return all(answer.stream.record is not None for answer in self._answers)

    def _records(self) -> list[RequestRecord]:
        return [answer.stream.record for answer in self._answers if answer.stream.record is not None]

    def _tally(self) -> None:
        self._tallies.record_request(self._records())
        for answer, record in zip(self._answers, self._records(), strict=True):
            self._tallies.record_answer(record, answer.speech.finish_reason, answer.max_tokens)


class ChatReply(Response):
    """Sends one exchange over an ASGI connection."""

    def __init__(self, exchange: ChatExchange) -> None:
        super().__init__()
        self._exchange = exchange

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send everything, unless the client goes away or a fault strikes first."""
        watcher = asyncio.create_task(self._watch(receive))
        try:
            await self._send_all(send)
        except ConnectionDropped:
            await drop(scope)
            await watcher
        finally:
            watcher.cancel()

    async def _send_all(self, send: Send) -> None:
        async with aclosing(self._exchange.parts()) as parts:
            async for part in parts:
                if isinstance(part, Head):
                    await send(
                        {"type": "http.response.start", "status": part.status, "headers": part.headers}
                    )
                else:
                    await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._exchange.is_client_gone = True
        self._exchange.close()


def _json_head(status: int, body: bytes) -> Head:
    return Head(status, [*_JSON, (b"content-length", b"%d" % len(body))])


async def drop(scope: Scope) -> None:
    """Close the connection without a word.

    Raises:
        RuntimeError: this ASGI server cannot do that; `inframind.simulator.fleet` runs one that can.
    """
    extension = scope.get("extensions", {}).get(DROP_EXTENSION)
    if extension is None:
        raise RuntimeError("this ASGI server cannot drop a connection: run the app in a SimulatedFleet")
    extension["close"]()
