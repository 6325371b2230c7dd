"""What our client may expect of a vLLM server: simulated ones are held against it always, real ones on demand.

Answers of the real, tiny, random model are noise, so every test asks for what the protocol promises, whoever
writes. The tests take nothing for granted about earlier ones, and bring their own prompts where caching matters.
"""

from __future__ import annotations

import asyncio
import json
import math
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest
from pydantic import SecretStr
from tests.contract.vllm_servers import (
    BLOCK_SIZE,
    MAX_MODEL_LEN,
    MAX_NUM_SEQS,
    MAX_UNFINISHED,
    MODEL,
    PATIENCE_S,
    Server,
    Target,
    has_real_target,
    real_target,
    simulated_target,
    total,
)

from inframind.errors import (
    EndpointError,
    EndpointOverloaded,
    EndpointRejected,
    EndpointServerError,
    EndpointTimeout,
    EndpointUnauthorized,
    EndpointUnreachable,
)
from inframind.fleet.clock import Deadline, SystemClock
from inframind.fleet.context import StepContext
from inframind.fleet.messages import ChatRequest, Completion, Delta
from inframind.fleet.metrics import EngineMetrics, MetricsScraper, parse_metrics
from inframind.fleet.pool import Fleet, FleetConfig
from inframind.fleet.wire import HttpMetricsPage

MESSAGES = [
    {"role": "system", "content": "You add numbers."},
    {"role": "user", "content": "What is two plus two?"},
]
TOOL = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Looks up a run.",
        "strict": True,  # otherwise vLLM takes any JSON for arguments
        "parameters": {"type": "object", "properties": {"fast": {"type": "boolean"}}, "required": ["fast"]},
    },
}
NAMED = {"type": "function", "function": {"name": "look_up"}}
VERDICT = {
    "type": "object",
    "properties": {"ok": {"type": "boolean"}, "level": {"enum": ["low", "high"]}},
    "required": ["ok", "level"],
    "additionalProperties": False,
}
LONG = 15_000
"""Tokens of an answer that is still being written when a test has seen enough of it: half a minute's worth."""


@pytest.fixture(params=["simulated", pytest.param("vllm", marks=pytest.mark.vllm)])
async def target(request: pytest.FixtureRequest) -> AsyncIterator[Target]:
    if request.param == "vllm" and not has_real_target():
        pytest.skip("needs real vLLM servers: run `make test-vllm`")
    async with real_target() if request.param == "vllm" else simulated_target() as servers:
        yield servers


@pytest.fixture
def fcfs(target: Target) -> Server:
    return target.fcfs


@pytest.fixture
def priority(target: Target) -> Server:
    return target.priority


def chat(max_tokens: int = 12, **fields: Any) -> ChatRequest:
    """A request for exactly so many tokens, unless a stop string or a schema ends the answer before."""
    fields = {"messages": MESSAGES, "temperature": 0.0, "extra": {"ignore_eos": True}} | fields
    return ChatRequest(max_tokens=max_tokens, **fields)


def fresh_prompt(words: int) -> list[dict[str, str]]:
    """A prompt that no server has seen."""
    return [{"role": "user", "content": f"{uuid.uuid4()} {'number ' * words}"}]


@asynccontextmanager
async def writing(server: Server) -> AsyncIterator[asyncio.Task[Completion]]:
    """A call that is being answered, for long; given up at the end of the block."""
    begun = asyncio.Event()

    async def note(_: Delta) -> None:
        begun.set()

    call = asyncio.create_task(server.ask(chat(LONG), on_delta=note))
    try:
        async with asyncio.timeout(PATIENCE_S):
            await begun.wait()
        yield call
    finally:
        call.cancel()
        await asyncio.wait([call])


# Answers.


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_an_answer_of_the_length_asked_for_is_counted_and_timed(fcfs: Server, stream: bool) -> None:
    context = StepContext(trace_id="t", question_id="q", strategy="Flash")
    answer = await fcfs.ask(chat(12, stream=stream, context=context))
    assert answer.text
    assert answer.finish_reason == "length"
    assert (answer.model, answer.endpoint) == (MODEL, "fcfs")
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 12
    timings = answer.timings
    instants = [timings.sent_s, *timings.piece_s, timings.finished_s]
    assert instants == sorted(instants)
    assert (timings.first_token_s, len(timings.piece_s) > 0) == (
        (timings.piece_s[0], True) if stream else (None, False)
    )
    assert timings.queue_s is not None
    assert timings.server_ttft_s is not None
    assert 0 <= timings.queue_s + timings.server_ttft_s <= timings.total_s


async def test_a_stream_says_what_the_whole_answer_says(fcfs: Server) -> None:
    pieces: list[str] = []

    async def note(delta: Delta) -> None:
        pieces.append(delta.text)

    streamed = await fcfs.ask(chat(40), on_delta=note)
    whole = await fcfs.ask(chat(40, stream=False))
    assert "".join(pieces) == streamed.text == whole.text
    assert (streamed.finish_reason, streamed.model) == (whole.finish_reason, whole.model)
    assert streamed.usage == whole.usage


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_a_stop_string_ends_the_answer_and_is_not_part_of_it(fcfs: Server, stream: bool) -> None:
    whole = (await fcfs.ask(chat(40))).text
    words = [word for word in whole.split(" ") if word.isascii() and word.isprintable() and len(word) > 1]
    stop = words[len(words) // 2]
    answer = await fcfs.ask(chat(40, stream=stream, stop=(stop,)))
    assert answer.text == whole[: whole.index(stop)]
    assert answer.finish_reason == "stop"
    assert answer.usage is not None
    assert 0 < answer.usage.completion_tokens <= 40


async def test_the_same_request_gets_the_same_answer(fcfs: Server) -> None:
    greedy = [(await fcfs.ask(chat(24))).text for _ in range(2)]
    assert greedy[0] == greedy[1]
    drawn = [(await fcfs.ask(chat(24, temperature=1.0, seed=seed))).text for seed in (1, 2, 3, 4, 1, 2, 3, 4)]
    assert drawn[:4] == drawn[4:]
    assert len(set(drawn)) > 1


async def test_n_answers_come_apart_and_are_charged_together(fcfs: Server) -> None:
    reply = await fcfs.post(messages=MESSAGES, n=2, max_tokens=8, temperature=1.0, seed=3, ignore_eos=True)
    body = reply.json()
    assert [choice["index"] for choice in body["choices"]] == [0, 1]
    assert body["usage"]["completion_tokens"] == 16
    single = (await fcfs.ask(chat(8))).usage
    assert single is not None
    assert body["usage"]["prompt_tokens"] == single.prompt_tokens


async def test_the_prompt_is_charged_as_tokenize_counts_it(fcfs: Server) -> None:
    counted = (await fcfs.post("/tokenize", messages=MESSAGES)).json()
    usage = (await fcfs.ask(chat(1))).usage
    assert usage is not None
    assert usage.prompt_tokens == counted["count"] == len(counted["tokens"])
    assert counted["max_model_len"] == MAX_MODEL_LEN


async def test_a_repeated_prompt_comes_from_the_cache_in_whole_blocks(fcfs: Server) -> None:
    request = chat(2, messages=fresh_prompt(words=150))
    hits = (await fcfs.metrics()).prefix_cache_hits
    usages = [(await fcfs.ask(request)).usage for _ in range(2)]
    assert usages[0] is not None
    assert usages[1] is not None
    # The last token is always computed, because the first new one follows from it.
    cacheable = (usages[0].prompt_tokens - 1) // BLOCK_SIZE * BLOCK_SIZE
    assert (usages[0].cached_tokens, usages[1].cached_tokens) == (0, cacheable)
    assert cacheable > 0
    assert hits is not None
    settled = await fcfs.metrics_when(lambda now: (now.prefix_cache_hits or 0) > hits)
    assert settled.prefix_cache_hits == hits + cacheable


async def test_a_request_id_is_given_back(fcfs: Server) -> None:
    answer = await fcfs.ask(chat(2, headers={"x-request-id": "run-42:planner:3"}))
    assert answer.request_id == "chatcmpl-run-42:planner:3"
    headers = fcfs.key_header | {"x-request-id": "abc"}
    assert (await fcfs.http.get("/v1/models", headers=headers)).headers["x-request-id"] == "abc"


# Tools and schemas.


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("tool_choice", ["required", NAMED], ids=["required", "named"])
async def test_a_tool_that_must_be_called_is_called_with_json(
    fcfs: Server, tool_choice: Any, stream: bool
) -> None:
    answer = await fcfs.ask(
        chat(400, tools=[TOOL], tool_choice=tool_choice, temperature=1.0, seed=1, stream=stream, extra={})
    )
    if answer.finish_reason != "length":
        assert answer.tool_calls
        assert answer.finish_reason == ("stop" if tool_choice == NAMED else "tool_calls")
    for call in answer.tool_calls:
        assert call["function"]["name"] == "look_up"
        assert call["id"]
        if answer.finish_reason != "length":
            arguments = json.loads(call["function"]["arguments"])
            assert arguments.keys() == {"fast"}
            assert isinstance(arguments["fast"], bool)


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_a_json_schema_is_obeyed(fcfs: Server, stream: bool) -> None:
    response_format = {"type": "json_schema", "json_schema": {"name": "verdict", "schema": VERDICT}}
    answer = await fcfs.ask(
        chat(400, response_format=response_format, temperature=1.0, seed=1, stream=stream, extra={})
    )
    if answer.finish_reason == "length":
        assert answer.text.lstrip().startswith("{")
        return
    verdict = json.loads(answer.text)
    assert verdict.keys() == {"ok", "level"}
    assert isinstance(verdict["ok"], bool)
    assert verdict["level"] in ("low", "high")


async def test_a_tool_that_does_not_exist_cannot_be_chosen(fcfs: Server) -> None:
    other = {"type": "function", "function": {"name": "other"}}
    with pytest.raises(EndpointRejected) as caught:
        await fcfs.ask(chat(8, tools=[TOOL], tool_choice=other))
    assert caught.value.status == 400


# Refusals.


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -1.0},
        {"max_tokens": MAX_MODEL_LEN + 1},
        {"max_tokens": 0},
        {"messages": [{"role": "user", "content": "7 " * MAX_MODEL_LEN}]},
        {"extra": {"top_p": 2.0}},
        {"messages": []},
    ],
    ids=["temperature", "too_many", "none", "long_prompt", "top_p", "no_messages"],
)
async def test_what_cannot_be_served_is_rejected(fcfs: Server, wrong: dict[str, Any], stream: bool) -> None:
    with pytest.raises(EndpointRejected) as caught:
        await fcfs.ask(replace(chat(4, stream=stream), **wrong))
    assert caught.value.status == 400
    assert caught.value.detail


async def test_an_answer_gets_what_the_context_leaves(fcfs: Server) -> None:
    async def count(words: int) -> int:
        counted: int = (await fcfs.post("/tokenize", messages=prompt(words))).json()["count"]
        return counted

    def prompt(words: int) -> list[dict[str, str]]:
        return [{"role": "user", "content": "7 " * words}]

    per_word = (await count(200) - await count(100)) / 100
    words = int((MAX_MODEL_LEN - 60 - await count(0)) / per_word)
    answer = await fcfs.ask(chat(MAX_MODEL_LEN, messages=prompt(words)))
    assert answer.finish_reason == "length"
    assert answer.usage is not None
    assert 0 < answer.usage.completion_tokens < 100
    assert answer.usage.prompt_tokens + answer.usage.completion_tokens == MAX_MODEL_LEN


async def test_an_unknown_model_is_rejected(fcfs: Server) -> None:
    with pytest.raises(EndpointRejected) as caught:
        await fcfs.ask(chat(), model="nobody")
    assert caught.value.status == 404
    assert "nobody" in caught.value.detail


@pytest.mark.parametrize("key", [None, SecretStr("another")], ids=["no_key", "wrong_key"])
async def test_a_wrong_key_is_unauthorized(fcfs: Server, key: SecretStr | None) -> None:
    with pytest.raises(EndpointUnauthorized) as caught:
        await fcfs.ask(chat(), api_key=key)
    assert (caught.value.status, caught.value.detail) == (401, "Unauthorized")


@pytest.mark.parametrize(
    ("body", "kind", "param"),
    [
        (b"{nonsense", "Bad Request", "body.1"),
        (b'{"model": "tiny"}', "Bad Request", "body.messages"),
        (b'{"model": "nobody", "messages": [{"role": "user", "content": "a"}]}', "NotFoundError", "model"),
    ],
    ids=["bad_json", "missing_field", "unknown_model"],
)
async def test_a_refusal_is_an_error_object(fcfs: Server, body: bytes, kind: str, param: str) -> None:
    headers = fcfs.key_header | {"content-type": "application/json"}
    reply = await fcfs.http.post("/v1/chat/completions", content=body, headers=headers)
    error = reply.json()["error"]
    assert (error["type"], error["param"], error["code"]) == (kind, param, reply.status_code)
    assert error["message"]


async def test_routes_that_do_not_exist_are_not_found(fcfs: Server, priority: Server) -> None:
    for server, path, headers in (
        (fcfs, "/nowhere", {}),
        (fcfs, "/v1/nowhere", fcfs.key_header),
        (priority, "/v1/nowhere", {}),
    ):
        reply = await server.http.get(path, headers=headers)
        assert (reply.status_code, reply.json()) == (404, {"detail": "Not Found"})
    assert (await fcfs.http.get("/v1/nowhere")).status_code == 401
    reply = await priority.http.get("/v1/chat/completions")
    assert (reply.status_code, reply.json()) == (405, {"detail": "Method Not Allowed"})


async def test_a_full_queue_is_overloaded(priority: Server) -> None:
    refused = await priority.total("vllm:admission_rejections_total", reason="max_num_queued_reqs")
    async with AsyncExitStack() as stack:
        for _ in range(MAX_NUM_SEQS):
            await stack.enter_async_context(writing(priority))
        queued = [asyncio.create_task(priority.ask(chat())) for _ in range(MAX_UNFINISHED - MAX_NUM_SEQS)]
        await priority.metrics_when(lambda now: now.waiting == len(queued))
        for stream in (True, False):
            with pytest.raises(EndpointOverloaded) as caught:
                await priority.ask(chat(stream=stream))
            assert caught.value.status == 503
    await asyncio.gather(*queued)
    now_refused = await priority.total("vllm:admission_rejections_total", reason="max_num_queued_reqs")
    assert now_refused == refused + 2


# What a server says about itself.


async def test_a_server_says_that_it_is_there_and_what_it_serves(fcfs: Server, priority: Server) -> None:
    for server in (fcfs, priority):
        for path in ("/health", "/ping"):
            reply = await server.http.get(path)
            assert (reply.status_code, reply.content) == (200, b"")
        assert (await server.http.get("/version")).json()["version"].startswith("0.32.0")
        model, *_aliases = (await server.http.get("/v1/models", headers=server.key_header)).json()["data"]
        assert (model["id"], model["max_model_len"]) == (MODEL, MAX_MODEL_LEN)


async def test_the_load_is_the_number_of_requests_in_flight(priority: Server) -> None:
    assert (await priority.http.get("/load")).json() == {"server_load": 0}
    async with writing(priority), writing(priority):
        assert (await priority.http.get("/load")).json() == {"server_load": 2}


def by_prometheus_client(page: str) -> EngineMetrics:
    """The figures of a page with one engine, without our parser."""
    histograms = {"ttft": "time_to_first_token", "itl": "inter_token_latency", "e2e": "e2e_request_latency"}
    histograms["queue_time"] = "request_queue_time"
    figures = {
        f"{ours}_{ours_part}": total(page, f"vllm:{theirs}_seconds_{part}")
        for ours, theirs in histograms.items()
        for ours_part, part in (("sum_s", "sum"), ("count", "count"))
    }
    counters = (
        "num_preemptions",
        "prompt_tokens",
        "generation_tokens",
        "prefix_cache_queries",
        "prefix_cache_hits",
    )
    figures |= {name: total(page, f"vllm:{name}_total") for name in counters}
    return EngineMetrics(
        running=total(page, "vllm:num_requests_running"),
        waiting=total(page, "vllm:num_requests_waiting"),
        kv_cache_usage=total(page, "vllm:kv_cache_usage_perc"),
        engines=1,
        **figures,
    )


async def test_our_parser_reads_of_a_page_what_prometheus_client_reads(fcfs: Server) -> None:
    await fcfs.ask(chat(5))
    async with writing(fcfs):
        await fcfs.metrics_when(lambda now: now.running == 1)
        page = await fcfs.metrics_page()
    read = parse_metrics(page.encode())
    assert read == by_prometheus_client(page)
    assert read.running == 1
    assert read.kv_cache_usage is not None
    assert 0 < read.kv_cache_usage < 1
    assert len(read.present) == 16


async def test_the_counters_move_by_what_we_were_charged(fcfs: Server) -> None:
    before = await fcfs.until_idle()
    length = await fcfs.total("vllm:request_success_total", finished_reason="length")
    answers = [await fcfs.ask(chat(tokens, messages=fresh_prompt(words=20))) for tokens in (1, 7, 30)]
    usages = [answer.usage for answer in answers if answer.usage]
    assert before.e2e_count is not None
    after = await fcfs.metrics_when(lambda now: now.e2e_count == before.e2e_count + 3)  # type: ignore[operator]
    moved = {name: getattr(after, name) - getattr(before, name) for name in before.present}
    assert moved["prompt_tokens"] == sum(usage.prompt_tokens for usage in usages)
    assert moved["prefix_cache_queries"] == moved["prompt_tokens"]
    assert moved["generation_tokens"] == sum(usage.completion_tokens for usage in usages) == 38
    assert (moved["ttft_count"], moved["queue_time_count"], moved["itl_count"]) == (3, 3, 35)
    assert (moved["num_preemptions"], moved["prefix_cache_hits"]) == (0, 0)
    queue_s = sum(answer.timings.queue_s or 0.0 for answer in answers)
    assert moved["queue_time_sum_s"] == pytest.approx(queue_s, abs=1e-6)
    assert moved["e2e_sum_s"] >= moved["ttft_sum_s"] > 0
    assert await fcfs.total("vllm:request_success_total", finished_reason="length") == length + 3


async def test_the_scraper_reads_every_figure(target: Target) -> None:
    servers = (target.fcfs, target.priority)
    clock = SystemClock()
    pages = {
        server.spec.name: HttpMetricsPage(
            server.spec.name, server.spec.scrape_url or "", clock=clock, timeout_s=PATIENCE_S
        )
        for server in servers
    }
    scraper = MetricsScraper(pages, clock=clock, rng=np.random.default_rng(0))
    try:
        for _ in range(2):  # the whole page first, then the figures alone where the server can filter
            await scraper.scrape_once()
            assert scraper.errors == {}
            for server in servers:
                assert scraper.readings[server.spec.name].metrics == await server.metrics()
    finally:
        await scraper.aclose()


# Order.


async def order_of_service(server: Server) -> list[str]:
    """Who is served when one slot stays busy and the other becomes free, the urgent one having asked last."""
    served: list[str] = []

    async def ask(name: str, priority: int) -> None:
        async def note(_: Delta) -> None:
            if name not in served:
                served.append(name)

        await server.ask(chat(32), priority=priority, on_delta=note)

    asking: list[asyncio.Task[None]] = []
    async with writing(server):
        async with writing(server):
            for name, urgency in [*((f"low {number}", 10) for number in range(5)), ("urgent", -5)]:
                asking.append(asyncio.create_task(ask(name, urgency)))
                await server.metrics_when(lambda now: now.waiting == len(asking))
        await asyncio.gather(*asking)
    return served


async def test_an_urgent_call_overtakes_all_that_wait(priority: Server) -> None:
    assert await order_of_service(priority) == ["urgent", *(f"low {number}" for number in range(5))]


async def test_a_server_without_priorities_ignores_them(fcfs: Server) -> None:
    stubborn = Server(fcfs.spec.model_copy(update={"priority": True}), fcfs.http)
    assert (await stubborn.ask(chat(), priority=-5)).priority == -5
    assert await order_of_service(stubborn) == [*(f"low {number}" for number in range(5)), "urgent"]


# Endings.


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_a_call_that_we_give_up_frees_its_place_and_counts_as_no_request(
    fcfs: Server, stream: bool
) -> None:
    before = await fcfs.until_idle()
    finished = await fcfs.total("vllm:request_success_total")
    call = asyncio.create_task(fcfs.ask(chat(LONG, stream=stream)))
    generated = before.generation_tokens or 0
    await fcfs.metrics_when(lambda now: now.running == 1 and (now.generation_tokens or 0) > generated)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    after = await fcfs.until_idle()
    assert generated < (after.generation_tokens or math.inf) < generated + LONG
    assert after.e2e_count == before.e2e_count
    assert after.kv_cache_usage == 0
    assert await fcfs.total("vllm:request_success_total") == finished
    assert (await fcfs.http.get("/load")).json() == {"server_load": 0}


async def test_a_waiting_call_that_we_give_up_leaves_the_queue(fcfs: Server) -> None:
    async with writing(fcfs), writing(fcfs):
        call = asyncio.create_task(fcfs.ask(chat()))
        await fcfs.metrics_when(lambda now: now.waiting == 1)
        call.cancel()
        await fcfs.metrics_when(lambda now: now.waiting == 0 and now.running == 2)


async def test_our_deadline_ends_a_long_answer_and_keeps_what_had_come(fcfs: Server) -> None:
    whole = (await fcfs.ask(chat(40))).text
    with pytest.raises(EndpointTimeout) as caught:
        await fcfs.ask(chat(LONG), deadline_s=3.0)
    assert caught.value.partial_text.startswith(whole[:8])
    assert caught.value.deadline_s == 3.0
    await fcfs.until_idle()


async def test_a_killed_engine_fails_its_calls_and_the_fleet_goes_elsewhere(target: Target) -> None:
    """Last in the file: a real server does not come back."""
    specs = (target.fcfs.spec, target.priority.spec)
    fleet = Fleet(specs, rng=np.random.default_rng(0), config=FleetConfig(backoff_s=0.01))

    async def ask_fleet(request: ChatRequest) -> Completion:
        return await fleet.complete(request, [MODEL], Deadline.after(PATIENCE_S, fleet.clock))

    try:
        async with writing(target.fcfs) as running, writing(target.fcfs):
            waiting = asyncio.create_task(ask_fleet(chat(stream=False)))
            await target.fcfs.metrics_when(lambda now: now.waiting == 1)
            target.kill_fcfs()
            with pytest.raises((EndpointServerError, EndpointUnreachable)):
                await running
            moved_on = await waiting
        await until_unreachable(target.fcfs)
        later = await ask_fleet(chat())
    finally:
        await fleet.aclose()
    for answer in (moved_on, later):
        assert (answer.endpoint, answer.finish_reason) == ("priority", "length")
        assert [attempt.endpoint for attempt in answer.attempts] == ["fcfs"]
    assert later.attempts[0].error == "EndpointUnreachable"


async def until_unreachable(server: Server) -> None:
    """Return once calls find nobody there; before, a real server may still say that its engine died."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with pytest.raises(EndpointError) as caught:
                await server.ask(chat())
            if isinstance(caught.value, EndpointUnreachable):
                break
            assert isinstance(caught.value, EndpointServerError)
            await asyncio.sleep(0.1)
    with pytest.raises(httpx.TransportError):
        await server.http.get("/health")
