"""A simulated server met over HTTP, as any client would meet it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from inframind.errors import ConfigError
from inframind.fleet.context import StepContext
from inframind.simulator.engine_profile import EngineProfile
from inframind.simulator.faults import Fault, FaultPlan
from inframind.simulator.fleet import SimulatedFleet, SimulatedFleetProcess, default_specs
from inframind.simulator.model import EchoModel, SimReply, SimRequest
from inframind.simulator.profiles import load_profiles
from inframind.simulator.server import ServerSpec
from inframind.simulator.tokens import count_prompt_tokens, count_tokens

PROFILE = EngineProfile(
    step_base_s=0.01,
    per_prefill_token_s=0.0001,
    per_decode_token_s=0.0001,
    kv_blocks=512,
    max_num_seqs=2,
    max_model_len=4096,
    scheduling_policy="priority",
)
SPEC = ServerSpec(name="a", model="tiny", profile=PROFILE)
MESSAGES = [{"role": "user", "content": "count to ten"}]
TOOL = {
    "type": "function",
    "function": {
        "name": "look",
        "parameters": {
            "type": "object",
            "properties": {"run": {"type": "integer", "minimum": 3}, "fast": {"type": "boolean"}},
            "required": ["run", "fast"],
        },
    },
}


@dataclass(frozen=True)
class Scripted:
    """Says one thing."""

    text: str
    reasoning: str = ""

    def reply(self, request: SimRequest) -> SimReply:
        return SimReply(text=self.text, reasoning=self.reasoning)


class Seeds:
    """Says its seed."""

    def reply(self, request: SimRequest) -> SimReply:
        return SimReply(text=str(request.seed))


class Client:
    """One server and an HTTP client for it."""

    def __init__(self, fleet: SimulatedFleet, http: httpx.AsyncClient) -> None:
        self.fleet, self.http = fleet, http
        self.server = fleet.servers["a"]

    async def chat(self, headers: dict[str, str] | None = None, **body: Any) -> httpx.Response:
        body = {"model": "tiny", "messages": MESSAGES} | body
        return await self.http.post("/v1/chat/completions", json=body, headers=headers)

    async def events(self, **body: Any) -> list[dict[str, Any]]:
        reply = await self.chat(stream=True, **body)
        lines = [line for line in reply.text.split("\n\n") if line]
        assert lines[-1] == "data: [DONE]"
        return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]

    async def metric(self, name: str, **labels: str) -> float:
        text = (await self.http.get("/metrics")).text
        values = [
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        assert len(values) == 1, (name, values)
        return values[0]


class Serve:
    """``async with Serve(model=...) as client``: a fleet of one."""

    def __init__(self, spec: ServerSpec = SPEC, model: Any = None, speed: float = 100.0) -> None:
        self._fleet = SimulatedFleet([spec], model or EchoModel(n_tokens=8), speed=speed)

    async def __aenter__(self) -> Client:
        await self._fleet.__aenter__()
        self._http = httpx.AsyncClient(base_url=self._fleet.base_urls["a"].removesuffix("/v1"), timeout=10.0)
        return Client(self._fleet, self._http)

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()
        await self._fleet.__aexit__(None, None, None)


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with Serve() as client:
        yield client


def content(reply: httpx.Response) -> str:
    text = reply.json()["choices"][0]["message"]["content"]
    assert isinstance(text, str)
    return text


async def until(condition: Callable[[], bool]) -> None:
    """Yield to the server until it is so; the suite's own time limit is the only other way out."""
    while not condition():  # noqa: ASYNC110 (the server has no event for what tests ask)
        await asyncio.sleep(0.001)


async def until_running(client: Client) -> None:
    def is_running() -> bool:
        client.server.driver.sync()
        return client.server.driver.engine.num_running > 0

    await until(is_running)


async def until_idle(client: Client) -> None:
    await until(lambda: client.server.driver.engine.num_running == 0)


async def test_usage_counts_prompt_and_answer(client: Client) -> None:
    reply = await client.chat()
    usage = reply.json()["usage"]
    assert usage["prompt_tokens"] == count_prompt_tokens(MESSAGES)
    assert usage["completion_tokens"] == 8 == count_tokens(content(reply))
    assert usage["total_tokens"] == usage["prompt_tokens"] + 8
    assert reply.json()["choices"][0]["finish_reason"] == "stop"


async def test_a_stream_says_what_the_body_says(client: Client) -> None:
    events = await client.events(stream_options={"include_usage": True})
    assert events[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    text = "".join(event["choices"][0]["delta"]["content"] for event in events[1:-1])
    reply = await client.chat()
    assert text == content(reply)
    assert events[-2]["choices"][0]["finish_reason"] == "stop"
    assert events[-1]["choices"] == []
    assert events[-1]["usage"]["completion_tokens"] == 8


async def test_continuous_usage_grows_to_the_total(client: Client) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    counts = [event["usage"]["completion_tokens"] for event in await client.events(stream_options=options)]
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (0, 8)


async def test_max_tokens_cuts_the_answer(client: Client) -> None:
    whole = content(await client.chat())
    for name in ("max_tokens", "max_completion_tokens"):
        reply = await client.chat(**{name: 3})
        assert reply.json()["choices"][0]["finish_reason"] == "length"
        assert reply.json()["usage"]["completion_tokens"] == 3
        assert whole.startswith(content(reply))


async def test_ignore_eos_writes_on_to_the_limit(client: Client) -> None:
    reply = await client.chat(max_tokens=20, ignore_eos=True)
    assert reply.json()["usage"]["completion_tokens"] == 20
    assert reply.json()["choices"][0]["finish_reason"] == "length"


async def test_min_tokens_lengthens_the_answer(client: Client) -> None:
    reply = await client.chat(min_tokens=12)
    assert reply.json()["usage"]["completion_tokens"] == 12
    assert reply.json()["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_stop_string_ends_the_answer_and_is_not_part_of_it(stream: bool) -> None:
    async with Serve(model=Scripted("one two three. four five")) as client:
        if stream:
            events = await client.events(stop=["four", "ee."])
            text = "".join(event["choices"][0]["delta"].get("content", "") for event in events)
            choice = events[-1]["choices"][0]
        else:
            reply = await client.chat(stop=["four", "ee."])
            choice, text = reply.json()["choices"][0], content(reply)
            assert reply.json()["usage"]["completion_tokens"] == 4
        assert text == "one two thr"
        assert (choice["finish_reason"], choice["stop_reason"]) == ("stop", "ee.")


async def test_an_empty_answer_is_one_token(client: Client) -> None:
    async with Serve(model=Scripted("")) as client:
        reply = await client.chat()
        assert (content(reply), reply.json()["usage"]["completion_tokens"]) == ("", 1)
        assert [event["choices"][0]["finish_reason"] for event in await client.events()] == [None, "stop"]


async def test_n_answers_differ_and_share_one_prompt() -> None:
    async with Serve(model=Seeds()) as client:
        body = (await client.chat(n=3)).json()
        texts = [choice["message"]["content"] for choice in body["choices"]]
        assert len(set(texts)) == 3
        assert body["metrics"] is None
        assert body["usage"]["prompt_tokens"] == count_prompt_tokens(MESSAGES)
        streamed = {0: "", 1: "", 2: ""}
        for event in await client.events(n=3):
            choice = event["choices"][0]
            streamed[choice["index"]] += choice["delta"].get("content", "")
        assert list(streamed.values()) == texts


async def test_reasoning_comes_before_the_answer_and_counts() -> None:
    spec = replace(SPEC, is_reasoning=True)
    async with Serve(spec, EchoModel(n_tokens=5, reasoning_tokens=7)) as client:
        reply = (await client.chat()).json()
        assert reply["usage"]["completion_tokens"] == 12
        events = await client.events()
        kinds = [next(iter(event["choices"][0]["delta"])) for event in events[1:]]
        assert kinds == sorted(kinds, reverse=True)
        thought = "".join(event["choices"][0]["delta"].get("reasoning", "") for event in events)
        assert thought == reply["choices"][0]["message"]["reasoning"]


async def test_without_a_reasoning_parser_thinking_is_written_into_the_text() -> None:
    async with Serve(model=Scripted("four", reasoning="two and two")) as client:
        assert content(await client.chat()) == "<think>\ntwo and two\n</think>\n\nfour"


async def test_a_required_tool_is_called_with_arguments_that_fit_its_schema(client: Client) -> None:
    for choice, finish in (
        ("required", "tool_calls"),
        ({"type": "function", "function": {"name": "look"}}, "stop"),
    ):
        body = (await client.chat(tools=[TOOL], tool_choice=choice)).json()
        (call,) = body["choices"][0]["message"]["tool_calls"]
        assert call["function"]["name"] == "look"
        assert json.loads(call["function"]["arguments"]) == {"run": 3, "fast": True}
        assert body["choices"][0]["finish_reason"] == finish


async def test_a_streamed_tool_call_adds_up(client: Client) -> None:
    events = await client.events(tools=[TOOL], tool_choice="required")
    calls = [c for e in events for c in e["choices"][0]["delta"].get("tool_calls") or []]
    assert calls[0]["function"]["name"] == "look"
    arguments = "".join(call["function"].get("arguments", "") for call in calls)
    assert json.loads(arguments) == {"run": 3, "fast": True}


async def test_under_auto_the_model_decides_by_writing_a_call_or_not() -> None:
    async with Serve(
        model=Scripted('<tool_call>{"name": "look", "arguments": {"run": 9}}</tool_call>')
    ) as client:
        (call,) = (await client.chat(tools=[TOOL])).json()["choices"][0]["message"]["tool_calls"]
        assert json.loads(call["function"]["arguments"]) == {"run": 9}
        plain = (await client.chat(tools=[TOOL], tool_choice="none")).json()["choices"][0]
        assert "tool_calls" not in plain["message"]


async def test_a_json_schema_is_obeyed(client: Client) -> None:
    schema = {
        "type": "object",
        "properties": {
            "ok": {"type": "boolean"},
            "level": {"enum": ["low", "high"]},
            "parts": {"type": "array", "items": {"$ref": "#/$defs/part"}, "minItems": 2},
        },
        "required": ["ok", "level", "parts"],
        "$defs": {"part": {"anyOf": [{"type": "string", "minLength": 6}, {"type": "null"}]}},
    }
    response_format = {"type": "json_schema", "json_schema": {"name": "verdict", "schema": schema}}
    reply = await client.chat(response_format=response_format)
    assert json.loads(content(reply)) == {"ok": True, "level": "low", "parts": ["text..", "text.."]}


async def test_a_json_object_holds_the_answer() -> None:
    async with Serve(model=Scripted('say "four"')) as client:
        reply = await client.chat(response_format={"type": "json_object"})
        assert json.loads(content(reply)) == {"answer": 'say "four"'}


async def test_a_schema_without_end_is_refused(client: Client) -> None:
    schema = {"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]}
    response_format = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    assert (await client.chat(response_format=response_format)).status_code == 400


async def test_the_same_step_gets_the_same_answer_whatever_the_order() -> None:
    async def ask(client: Client, **about: Any) -> str:
        context = StepContext(**({"trace_id": "t", "question_id": "q", "strategy": "Flash"} | about))
        return content(await client.chat(headers={"baggage": context.to_baggage()}, temperature=0.7))

    async with Serve(model=Seeds()) as client:
        first = await ask(client)
        other = await ask(client, position=1)
        assert await ask(client, trace_id="another run") == first
        assert (
            len({first, other, await ask(client, question_id="r"), await ask(client, strategy="Plain")}) == 4
        )
    async with Serve(model=Seeds()) as client:
        assert (await ask(client, position=1), await ask(client)) == (other, first)


async def test_baggage_that_cannot_be_read_is_refused(client: Client) -> None:
    reply = await client.chat(headers={"baggage": "inframind.position=first"})
    assert reply.status_code == 400


async def test_a_repeated_prompt_is_found_in_the_prefix_cache(client: Client) -> None:
    messages = [{"role": "user", "content": "word " * 64}]
    details = [
        (await client.chat(messages=messages)).json()["usage"]["prompt_tokens_details"] for _ in range(2)
    ]
    assert [detail["cached_tokens"] for detail in details] == [0, 64]
    assert await client.metric("vllm:prefix_cache_hits_total") == 64


async def test_a_client_that_leaves_frees_its_place_and_is_not_counted() -> None:
    async with Serve(model=EchoModel(n_tokens=4000), speed=1.0) as client:
        request = {"model": "tiny", "messages": MESSAGES, "stream": True}
        async with client.http.stream("POST", "/v1/chat/completions", json=request) as reply:
            await anext(reply.aiter_lines())
            assert (await client.http.get("/load")).json() == {"server_load": 1}
        await until_idle(client)
        assert await client.metric("vllm:generation_tokens_total") > 0
        for reason in ("stop", "length", "abort"):
            assert await client.metric("vllm:request_success_total", finished_reason=reason) == 0
        assert await client.metric("vllm:e2e_request_latency_seconds_count") == 0


async def test_a_client_that_leaves_before_a_whole_body_frees_its_place_too() -> None:
    async with Serve(model=EchoModel(n_tokens=4000), speed=1.0) as client:
        request = asyncio.create_task(client.chat())
        await until_running(client)
        request.cancel()
        await until_idle(client)


async def test_a_full_queue_answers_503_and_counts() -> None:
    spec = replace(SPEC, profile=replace(PROFILE, max_num_seqs=1, max_num_queued_reqs=2))
    async with Serve(spec, EchoModel(n_tokens=100), speed=10.0) as client:
        replies = await asyncio.gather(*(client.chat() for _ in range(4)))
        codes = sorted(reply.status_code for reply in replies)
        assert codes == [200, 200, 503, 503]
        assert await client.metric("vllm:admission_rejections_total", reason="max_num_queued_reqs") == 2


async def test_the_most_urgent_of_the_waiting_goes_first() -> None:
    spec = replace(SPEC, profile=replace(PROFILE, max_num_seqs=1))
    async with Serve(spec, EchoModel(n_tokens=30), speed=1.0) as client:
        order: list[str] = []

        async def ask(name: str, priority: int) -> None:
            await client.chat(priority=priority)
            order.append(name)

        async with asyncio.TaskGroup() as group:
            group.create_task(ask("running", 10))
            await until_running(client)
            for waiting, (name, priority) in enumerate([("low", 10), ("urgent", -5)], start=1):
                group.create_task(ask(name, priority))
                await until(lambda waiting=waiting: client.server.driver.engine.num_waiting == waiting)  # type: ignore[misc]
        assert order == ["running", "urgent", "low"]


async def test_metrics_count_what_happened(client: Client) -> None:
    for limit in (3, None):
        await client.chat(max_tokens=limit)
    assert await client.metric("vllm:request_success_total", finished_reason="length") == 1
    assert await client.metric("vllm:request_success_total", finished_reason="stop") == 1
    assert await client.metric("vllm:generation_tokens_total") == 11
    assert await client.metric("vllm:prompt_tokens_total") == 2 * count_prompt_tokens(MESSAGES)
    assert await client.metric("vllm:time_to_first_token_seconds_count") == 2
    assert await client.metric("vllm:inter_token_latency_seconds_count") == 9
    assert await client.metric("vllm:num_requests_running") == 0


async def test_the_metrics_block_adds_up_in_simulated_time(client: Client) -> None:
    block = (await client.chat()).json()["metrics"]
    prompt = count_prompt_tokens(MESSAGES)
    assert block["time_to_first_token_ms"] == pytest.approx(10 + 0.1 * prompt)
    assert block["generation_time_ms"] == pytest.approx(7 * 10.1)
    assert block["mean_itl_ms"] == pytest.approx(10.1)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", [Fault.REFUSE, Fault.DROP])
async def test_a_closed_connection_is_a_protocol_error_to_the_client(fault: Fault, stream: bool) -> None:
    async with Serve() as client:
        client.server.faults.inject(fault, times=1)
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            await client.chat(stream=stream)
        assert (await client.chat()).status_code == 200
        assert client.server.faults.met == {fault: 1}


async def test_a_refusing_server_refuses_its_health_as_well(client: Client) -> None:
    client.server.faults.inject(Fault.REFUSE)
    for path in ("/health", "/metrics"):
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            await client.http.get(path)
    client.server.faults.clear()
    assert (await client.http.get("/health")).status_code == 200


@pytest.mark.parametrize(
    ("fault", "status"), [(Fault.TOO_MANY_REQUESTS, 429), (Fault.UNAVAILABLE, 503), (Fault.DIE, 500)]
)
async def test_faults_with_a_status(client: Client, fault: Fault, status: int) -> None:
    client.server.faults.inject(fault)
    reply = await client.chat()
    assert reply.status_code == status
    assert reply.json()["error"]["code"] == status


async def test_an_engine_that_dies_in_a_stream_says_so_inside_it(client: Client) -> None:
    client.server.faults.inject(Fault.DIE)
    events = await client.events()
    assert events[-1]["error"]["type"] == "InternalServerError"


async def test_garbage_is_not_json(client: Client) -> None:
    client.server.faults.inject(Fault.GARBAGE)
    reply = await client.chat()
    assert reply.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        reply.json()


async def test_a_stalled_stream_stays_silent_until_the_client_leaves(client: Client) -> None:
    client.server.faults.inject(Fault.STALL)
    with pytest.raises(httpx.ReadTimeout):
        await client.http.post(
            "/v1/chat/completions",
            json={"model": "tiny", "messages": MESSAGES, "stream": True},
            timeout=httpx.Timeout(5.0, read=0.1),
        )


def test_a_fault_for_no_requests_is_refused() -> None:
    with pytest.raises(ConfigError, match="times"):
        FaultPlan().inject(Fault.DROP, times=0)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"\xff\xfe",
        b'{"messages": "no"}',
        b'{"messages": [3]}',
        b'{"messages": []}',
        b"[" * 5000,
    ]
    + [
        json.dumps({"messages": MESSAGES} | extra).encode()
        for extra in (
            {"n": 0},
            {"n": "two"},
            {"stop": 3},
            {"tools": "x"},
            {"tools": [3]},
            {"tool_choice": "auto"},
            {"max_tokens": 0},
            {"max_tokens": 1.5},
            {"max_tokens": 4097},
            {"stream": "yes"},
            {"stream_options": {"include_usage": True}},
            {"response_format": {"type": "xml"}},
            {"response_format": []},
            {"temperature": "hot"},
            {"top_p": 0},
            {"priority": "high"},
        )
    ],
)
async def test_a_body_that_makes_no_sense_is_refused_and_the_server_lives_on(
    client: Client, body: bytes
) -> None:
    reply = await client.http.post("/v1/chat/completions", content=body)
    assert reply.status_code == 400
    assert reply.json()["error"]["code"] == 400
    assert (await client.chat()).status_code == 200


async def test_the_key_guards_v1_alone() -> None:
    async with Serve(replace(SPEC, api_key="secret")) as client:
        assert (await client.chat()).status_code == 401
        assert (await client.chat(headers={"authorization": "Bearer wrong"})).json() == {
            "error": "Unauthorized"
        }
        assert (await client.chat(headers={"authorization": "Bearer secret"})).status_code == 200
        for path in ("/health", "/metrics"):
            assert (await client.http.get(path)).status_code == 200


def test_a_key_is_not_shown() -> None:
    assert "secret" not in repr(replace(SPEC, api_key="secret"))


async def test_replicas_give_the_same_answers_and_names_must_differ() -> None:
    specs = [SPEC, replace(SPEC, name="b")]
    async with SimulatedFleet(specs, Seeds(), seed=3) as fleet, httpx.AsyncClient() as http:
        body = {"model": "tiny", "messages": MESSAGES}
        urls = [f"{url}/chat/completions" for url in fleet.base_urls.values()]
        texts = [content(await http.post(url, json=body)) for url in urls]
        assert list(fleet.base_urls) == ["a", "b"]
        assert len(set(urls)) == 2
        assert texts[0] == texts[1]
    with pytest.raises(ConfigError, match="specs"):
        SimulatedFleet([SPEC, SPEC], Seeds())


def test_the_default_fleet_is_the_shipped_models_as_often_as_asked() -> None:
    specs = default_specs(replicas=2, scheduling_policy="priority")
    assert [spec.name for spec in specs][:3] == ["llama-3.2-3b-0", "llama-3.2-3b-1", "llama-3.1-8b-0"]
    assert {spec.model for spec in specs if spec.is_reasoning} == {"deepseek-r1-32b"}
    assert {spec.profile.scheduling_policy for spec in specs} == {"priority"}
    assert [spec.name for spec in default_specs()] == list(load_profiles())


async def test_a_fleet_stops_at_once_with_requests_in_flight() -> None:
    async with Serve(model=EchoModel(n_tokens=4000), speed=1.0) as client:
        requests = [asyncio.create_task(client.chat(stream=stream)) for stream in (False, True)]
        await until_running(client)
    outcomes = await asyncio.gather(*requests, return_exceptions=True)
    assert all(isinstance(outcome, httpx.TransportError) for outcome in outcomes)


def test_a_fleet_process_serves_and_ends_with_its_block() -> None:
    with SimulatedFleetProcess([SPEC], EchoModel(n_tokens=3), speed=100.0) as fleet:
        body = {"model": "tiny", "messages": MESSAGES}
        reply = httpx.post(f"{fleet.base_urls['a']}/chat/completions", json=body)
        assert reply.json()["usage"]["completion_tokens"] == 3
        url = fleet.base_urls["a"]
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/models")


ORPHAN_MAKER = """
import os
from inframind.simulator.engine_profile import EngineProfile
from inframind.simulator.fleet import SimulatedFleetProcess
from inframind.simulator.model import EchoModel
from inframind.simulator.server import ServerSpec
profile = EngineProfile(step_base_s=0.01, per_prefill_token_s=0, per_decode_token_s=0, kv_blocks=1024)
spec = ServerSpec(name="a", model="tiny", profile=profile)
fleet = SimulatedFleetProcess([spec], EchoModel()).__enter__()
print(fleet.base_urls["a"], flush=True)
os._exit(1)
"""


def test_a_fleet_process_ends_when_its_parent_crashes() -> None:
    crashed = subprocess.run(
        [sys.executable, "-c", ORPHAN_MAKER], stdout=subprocess.PIPE, text=True, timeout=60, check=False
    )
    assert crashed.returncode == 1
    url = crashed.stdout.strip()
    with pytest.raises((httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError)):
        while True:
            httpx.get(f"{url}/models")
