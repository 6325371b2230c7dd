"""One call to one endpoint, over a real socket to a server that misbehaves byte by byte."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import httpx2
import openai
import pytest
from pydantic import SecretStr

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
from inframind.fleet.client import TimedClient, foreign_error, is_refused, map_upstream_error
from inframind.fleet.clock import Deadline, SystemClock
from inframind.fleet.context import StepContext
from inframind.fleet.endpoints import EndpointSpec
from inframind.fleet.messages import ChatRequest, Delta

CLOCK = SystemClock()
HELLO = ChatRequest(messages=[{"role": "user", "content": "hello"}])
SECRET = "sk-very-secret-0123456789"


class Caller:
    """A client of one endpoint."""

    def __init__(self, base_url: str, **spec: Any) -> None:
        self.spec = EndpointSpec.model_validate({"name": "e", "base_url": base_url, "model": "tiny", **spec})
        self.client = TimedClient({"e": self.spec}, CLOCK)

    async def __call__(self, request: ChatRequest = HELLO, budget_s: float = 10.0, **options: Any) -> Any:
        return await self.client.complete(request, "e", Deadline.after(budget_s, CLOCK), **options)


@pytest.fixture
async def calling(serve: Any) -> AsyncIterator[Any]:
    """``caller, server = await calling(script)``; the client is closed with the test."""
    callers: list[Caller] = []

    async def make(script: Any, **spec: Any) -> Any:
        server = await serve(script)
        callers.append(Caller(server.base_url, **spec))
        return callers[-1], server

    yield make
    for caller in callers:
        await caller.client.aclose()


async def answering(wire: Any) -> None:
    await wire.answer("4", "2", metrics={"queue_time_ms": 2.0, "time_to_first_token_ms": 30.0})


async def test_a_streamed_answer_comes_back_whole_with_timings_in_order(calling: Any) -> None:
    caller, server = await calling(answering)
    seen: list[Delta] = []

    async def on_delta(delta: Delta) -> None:
        seen.append(delta)

    completion = await caller(on_delta=on_delta)
    assert (completion.text, completion.finish_reason, completion.model) == ("42", "stop", "tiny")
    assert (completion.endpoint, completion.request_id, completion.attempts) == ("e", "r1", ())
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (7, 2)
    assert [delta.text for delta in seen] == ["4", "2"]
    timings = completion.timings
    assert timings.sent_s < timings.first_token_s <= timings.piece_s[1] <= timings.finished_s
    assert timings.piece_s[0] == timings.first_token_s and len(timings.piece_s) == 2
    assert (timings.queue_s, timings.server_ttft_s) == (0.002, 0.03)
    assert timings.total_s == timings.finished_s - timings.sent_s
    assert timings.tpot_s(2) == timings.finished_s - timings.first_token_s
    assert server.asked[0].path == "/v1/chat/completions"
    assert server.asked[0].body == {
        "model": "tiny",
        "messages": [{"role": "user", "content": "hello"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def test_the_first_token_is_the_first_that_is_not_empty(calling: Any) -> None:
    go_on = asyncio.Event()

    async def script(wire: Any) -> None:
        await wire.begin()
        await wire.piece("")
        await wire.piece(None, role="assistant")
        await go_on.wait()
        await wire.piece("x")
        await wire.piece(None, finish_reason="stop")
        await wire.end()

    caller, server = await calling(script)
    call = asyncio.create_task(caller())
    while not server.asked:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    released_s = CLOCK.now_s()
    go_on.set()
    completion = await call
    assert completion.timings.first_token_s >= released_s
    assert completion.timings.ttft_s == completion.timings.first_token_s - completion.timings.sent_s
    assert completion.usage is None


async def test_an_answer_that_is_not_streamed(calling: Any) -> None:
    async def script(wire: Any) -> None:
        await wire.reply(
            200,
            {
                "id": "w",
                "model": "served-name",
                "choices": [{"message": {"content": "42", "tool_calls": None}, "finish_reason": "length"}],
                "usage": {"prompt_tokens": 1, "completion_tokens": 2},
                "metrics": {"queue_time_ms": 10.0, "time_to_first_token_ms": 20.0},
            },
        )

    caller, server = await calling(script)
    seen: list[Delta] = []

    async def on_delta(delta: Delta) -> None:
        seen.append(delta)

    request = ChatRequest(
        messages=HELLO.messages, stream=False, max_tokens=5, stop=("a",), seed=0, temperature=0.0
    )
    completion = await caller(request, on_delta=on_delta)
    assert (completion.text, completion.finish_reason, completion.model) == ("42", "length", "served-name")
    assert completion.timings.first_token_s is None
    assert completion.timings.ttft_s == pytest.approx(0.03)
    assert completion.timings.tpot_s(2) is None
    assert seen == [Delta("42")]
    body = server.asked[0].body
    assert "stream" not in body and "stream_options" not in body
    assert (body["max_tokens"], body["stop"], body["seed"], body["temperature"]) == (5, ["a"], 0, 0.0)


async def test_the_deadline_is_total_even_while_bytes_trickle_in(calling: Any) -> None:
    async def script(wire: Any) -> None:
        await wire.begin()
        await wire.piece("partial")
        while True:
            await wire.send(b":")
            await asyncio.sleep(0.05)

    caller, _ = await calling(script)
    with pytest.raises(EndpointTimeout) as caught:
        await caller(budget_s=0.4)
    error = caught.value
    assert (error.partial_text, error.deadline_s, error.endpoint) == ("partial", 0.4, "e")
    assert not error.is_retryable and not error.counts_against_endpoint


async def test_a_deadline_that_has_passed_sends_nothing_that_could_be_answered(calling: Any) -> None:
    caller, server = await calling(answering)
    with pytest.raises(EndpointTimeout):
        await caller(budget_s=-1.0)
    assert server.asked == []


async def test_a_silence_longer_than_the_read_timeout_moves_on(calling: Any) -> None:
    async def script(wire: Any) -> None:
        await wire.begin()
        await wire.piece("half")
        await wire.gone()

    caller, _ = await calling(script, read_timeout_s=0.1)
    with pytest.raises(EndpointUnreachable) as caught:
        await caller()
    assert caught.value.partial_text == "half" and caught.value.is_retryable


async def _drop_mid_stream(wire: Any) -> None:
    await wire.begin()
    await wire.piece("half")
    wire.drop()


async def _end_without_a_finish(wire: Any) -> None:
    await wire.begin()
    await wire.piece("half")
    await wire.raw(b"0\r\n\r\n")


async def _garbage_mid_stream(wire: Any) -> None:
    await wire.begin()
    await wire.piece("half")
    await wire.send(b"data: <html>\n\n")
    await wire.end()


def _error_mid_stream(code: int) -> Any:
    async def script(wire: Any) -> None:
        await wire.begin()
        await wire.piece("half")
        await wire.event({"error": {"message": "inside", "code": code}})
        await wire.end()

    return script


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (_drop_mid_stream, EndpointUnreachable),
        (_end_without_a_finish, EndpointProtocolError),
        (_garbage_mid_stream, EndpointProtocolError),
        (_error_mid_stream(500), EndpointServerError),
        (_error_mid_stream(400), EndpointRejected),
        (_error_mid_stream(429), EndpointOverloaded),
        (_error_mid_stream(503), EndpointOverloaded),
    ],
)
async def test_a_stream_that_breaks_off_keeps_what_had_arrived(
    calling: Any, script: Any, kind: type[EndpointError]
) -> None:
    caller, _ = await calling(script)
    with pytest.raises(EndpointError) as caught:
        await caller()
    assert (type(caught.value), caught.value.partial_text) == (kind, "half")


@pytest.mark.parametrize("ending", ["finish_reason without [DONE]", "[DONE] without finish_reason"])
async def test_either_end_marker_ends_an_answer(calling: Any, ending: str) -> None:
    async def script(wire: Any) -> None:
        await wire.begin()
        await wire.piece("all")
        if ending.startswith("finish"):
            await wire.piece(None, finish_reason="stop")
            await wire.raw(b"0\r\n\r\n")
        else:
            await wire.end()

    caller, _ = await calling(script)
    assert (await caller()).text == "all"


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("body", [b"<html>busy</html>", b"", b"\x00\xff" * 50, b"{}", b'"text"'])
async def test_garbage_with_status_200_is_a_protocol_error(calling: Any, body: bytes, stream: bool) -> None:
    async def script(wire: Any) -> None:
        await wire.reply(200, body, "text/html")

    caller, _ = await calling(script)
    with pytest.raises(EndpointProtocolError):
        await caller(ChatRequest(messages=HELLO.messages, stream=stream))


@pytest.mark.parametrize(
    ("status", "kind", "is_retryable"),
    [
        (400, EndpointRejected, False),
        (401, EndpointUnauthorized, False),
        (403, EndpointUnauthorized, False),
        (404, EndpointRejected, False),
        (409, EndpointRejected, False),
        (422, EndpointRejected, False),
        (408, EndpointOverloaded, True),
        (429, EndpointOverloaded, True),
        (500, EndpointServerError, True),
        (502, EndpointServerError, True),
        (503, EndpointOverloaded, True),
        (504, EndpointServerError, True),
    ],
)
async def test_each_status_has_its_error_and_is_asked_once(
    calling: Any, status: int, kind: type[EndpointError], is_retryable: bool
) -> None:
    async def script(wire: Any) -> None:
        await wire.fail(status, "as scripted")

    caller, server = await calling(script)
    with pytest.raises(EndpointError) as caught:
        await caller()
    assert (type(caught.value), caught.value.status) == (kind, status)
    assert "as scripted" in str(caught.value) and caught.value.is_retryable is is_retryable
    assert len(server.asked) == 1


async def test_a_refused_connection_is_unreachable(serve: Any) -> None:
    caller = Caller(serve.refused())
    with pytest.raises(EndpointUnreachable):
        await caller()
    await caller.client.aclose()


async def test_a_connection_closed_without_a_reply_is_unreachable(calling: Any) -> None:
    async def script(wire: Any) -> None:
        wire.drop()

    caller, _ = await calling(script)
    with pytest.raises(EndpointUnreachable):
        await caller()


async def test_cancelling_a_call_closes_its_connection(calling: Any) -> None:
    begun, left = asyncio.Event(), asyncio.Event()

    async def script(wire: Any) -> None:
        await wire.begin()
        await wire.piece("half")
        begun.set()
        await wire.gone()
        left.set()

    caller, _ = await calling(script)
    call = asyncio.create_task(caller())
    await begun.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await asyncio.wait_for(left.wait(), 5)


async def test_a_connection_is_used_again(calling: Any) -> None:
    caller, server = await calling(answering)
    for _ in range(3):
        await caller()
    assert (len(server.asked), server.connections) == (3, 1)


async def test_an_error_of_the_listener_is_the_listeners_own(calling: Any) -> None:
    async def on_delta(delta: Delta) -> None:
        raise TimeoutError("the listener's own")

    caller, _ = await calling(answering)
    with pytest.raises(TimeoutError, match="the listener's own"):
        await caller(on_delta=on_delta)


@pytest.mark.parametrize(("declares", "sent"), [(True, 5), (False, None)])
async def test_priority_is_sent_only_where_it_is_declared(
    calling: Any, declares: bool, sent: int | None
) -> None:
    caller, server = await calling(answering, priority=declares)
    completion = await caller(priority=5)
    assert (completion.priority, server.asked[0].body.get("priority")) == (sent, sent)


async def test_the_step_context_travels_as_baggage_beside_other_headers(calling: Any) -> None:
    caller, server = await calling(answering)
    context = StepContext(trace_id="t" * 32, question_id="q,1", topology="Debate", role="Inspector", round=2)
    await caller(ChatRequest(messages=HELLO.messages, context=context, headers={"traceparent": "00-ab"}))
    assert StepContext.from_baggage(server.asked[0].headers["baggage"]) == context
    assert server.asked[0].headers["traceparent"] == "00-ab"


def test_one_client_serves_one_loop_after_another_and_two_at_once(serve_in_thread: Any) -> None:
    caller = Caller(serve_in_thread)

    async def once() -> str:
        try:
            return str((await caller()).text)
        finally:
            await caller.client.aclose()

    assert [asyncio.run(once()) for _ in range(2)] == ["42", "42"]
    answers: list[str] = []
    threads = [threading.Thread(target=lambda: answers.append(asyncio.run(once()))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == ["42", "42"]


@pytest.fixture
def serve_in_thread() -> Any:
    """Base URL of a server on a loop of its own."""
    body = (
        b'{"model": "tiny", "choices": [{"index": 0, "delta": {"content": "42"}, "finish_reason": "stop"}]}'
    )
    answer = b"data: " + body + b"\n\ndata: [DONE]\n\n"
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n" % len(answer)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asked = await reader.readuntil(b"\r\n\r\n")
            length = int(asked.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            writer.write(head + answer)
            await writer.drain()
            await reader.read()
        finally:
            writer.close()
            await writer.wait_closed()

    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(handle, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"

    async def stop() -> None:
        server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run_coroutine_threadsafe(stop(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


# The key -----------------------------------------------------------------------------------------------


async def test_the_key_is_sent_and_shown_nowhere(calling: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("openai", "httpx2", "httpcore2", "inframind"):
        caplog.set_level(logging.DEBUG, logger=name)
    replies = [
        lambda wire: wire.answer("ok"),
        lambda wire: wire.fail(401, f"Incorrect API key provided: {SECRET}"),
        lambda wire: wire.fail(500, f"header was Bearer {SECRET}"),
        lambda wire: wire.reply(200, b"authorization: " + SECRET.encode()),
    ]

    async def script(wire: Any) -> None:
        await replies[len(server.asked) - 1](wire)

    caller, server = await calling(script, api_key=SecretStr(SECRET))
    await caller()
    for _ in replies[1:]:
        with pytest.raises(EndpointError) as caught:
            await caller()
        assert SECRET not in str(caught.value) + repr(caught.value) + caught.value.detail
    assert {asked.headers["authorization"] for asked in server.asked} == {f"Bearer {SECRET}"}
    assert SECRET not in repr(caller.spec) + str(caller.spec) + caller.spec.model_dump_json() + caplog.text
    assert "POST" in caplog.text


# The map of errors -------------------------------------------------------------------------------------


def _subclasses(kind: type) -> set[type]:
    return {kind}.union(*(_subclasses(child) for child in kind.__subclasses__()))


def _make(kind: type) -> Exception:
    request = httpx2.Request("POST", "http://server/v1")
    values: dict[str, Any] = {
        "message": "said",
        "request": request,
        "response": httpx2.Response(418, request=request),
        "body": None,
        "completion": SimpleNamespace(usage=None),
        "symbol": "x",
        "unsent_messages": [],
    }
    parameters = inspect.signature(kind.__init__).parameters
    needed = {name: values[name] for name in parameters if name in values}
    error = kind(**needed)
    assert isinstance(error, Exception)
    return error


@pytest.mark.parametrize("kind", sorted(_subclasses(openai.OpenAIError), key=lambda kind: kind.__qualname__))
def test_every_error_of_the_sdk_has_a_place_in_our_tree(kind: type) -> None:
    mapped = map_upstream_error(_make(kind), "e", 1.0, partial_text="half")
    assert isinstance(mapped, EndpointError) and type(mapped) is not EndpointError
    assert (mapped.endpoint, mapped.elapsed_s, mapped.partial_text) == ("e", 1.0, "half")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (httpx2.ReadTimeout("slow"), EndpointUnreachable),
        (httpx2.ConnectError("refused"), EndpointUnreachable),
        (httpx2.RemoteProtocolError("cut"), EndpointUnreachable),
        (httpx2.DecodingError("gzip"), EndpointProtocolError),
    ],
)
def test_every_error_of_the_transport_has_a_place_too(error: Exception, kind: type) -> None:
    assert type(map_upstream_error(error, "e", 1.0)) is kind


def test_anything_else_is_not_disguised() -> None:
    with pytest.raises(TypeError, match="KeyError"):
        map_upstream_error(KeyError("x"), "e", 1.0)


class _OtherSdkError(Exception):
    def __init__(self, status_code: object) -> None:
        self.status_code = status_code


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (_OtherSdkError(503), "EndpointOverloaded"),
        (_OtherSdkError(500), "EndpointServerError"),
        (_OtherSdkError(404), "EndpointRejected"),
        (ConnectionResetError(), "EndpointUnreachable"),
        (_OtherSdkError("soon"), "NoneType"),
        (_OtherSdkError(200), "NoneType"),
        (ValueError("the application's own"), "NoneType"),
        (asyncio.CancelledError(), "NoneType"),
    ],
)
def test_errors_of_other_clients_are_known_by_their_status(error: BaseException, kind: str) -> None:
    assert type(foreign_error(error, "e", 1.0)).__name__ == kind


def test_a_refused_connection_is_known_however_deep_it_lies() -> None:
    outer = RuntimeError("x")
    outer.__cause__ = OSError("all attempts failed")
    outer.__cause__.__context__ = ConnectionRefusedError()
    assert is_refused(outer)
    assert not is_refused(ConnectionResetError())
    assert not is_refused(None)
