"""Our server beside captures of a real vLLM 0.32: same requests, same shapes."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from inframind.simulator.engine_profile import EngineProfile
from inframind.simulator.faults import Fault
from inframind.simulator.fleet import SimulatedFleet
from inframind.simulator.model import EchoModel
from inframind.simulator.server import ServerSpec

CAPTURES = Path(__file__).resolve().parents[2].parent / "shared/fixtures/vllm/0.32.0"
pytestmark = pytest.mark.skipif(not CAPTURES.exists(), reason="needs ../shared/fixtures/vllm")

MODEL = "tiny-a"
PROFILE = EngineProfile(
    step_base_s=0.001,
    per_prefill_token_s=0.0,
    per_decode_token_s=0.0,
    kv_blocks=8192,
    block_size=128,
    max_num_seqs=8,
    max_model_len=1024,
    scheduling_policy="priority",
)

BODIES = (
    *("chat_basic_length", "chat_ignore_eos_min_tokens", "chat_json_schema", "chat_max_completion_tokens"),
    *("chat_n2", "chat_priority_high", "chat_priority_low", "chat_repeat_prefix_cached", "chat_tools_auto"),
    *("chat_repeat_prefix_cached2", "chat_request_id_body", "chat_request_id_header", "chat_stop"),
    *("chat_tools_named", "health", "load", "models", "ping", "tokenize", "version"),
)
STREAMS = (
    "chat_stream_usage",
    "chat_stream_continuous_usage",
    "chat_stream_no_usage",
    "chat_tools_required_stream",
)
ERRORS = (
    *("err_bad_json", "err_bad_temperature", "err_bad_tool_choice", "err_context_too_long"),
    *("err_max_tokens_too_big", "err_missing_messages", "err_unknown_model", "err_unknown_route"),
)

# Every way in which our shapes may differ, by path, with the reason.
ALLOWED_DIFFERENCES = {
    "chat_stop": {
        # The capture was stopped at once; our filler contains no stop string that early.
        "$.metrics.mean_itl_ms": "a single token has no gap between tokens, several do",
    },
}
# Captures that are not replayed at all.
NOT_REPLAYED = {
    "chat_lora": "no LoRA adapters are simulated",
    "chat_lora_coder": "no LoRA adapters are simulated",
    "chat_logprobs": "no log-probabilities are simulated; the request gets an answer without them",
    "chat_stop_token_ids": "token ids are not a real vocabulary's",
    "chat_tools_required": "the capture's tiny model ran out of tokens before its call was complete",
    "completions": "the legacy route is not simulated",
    "responses": "the responses route is not simulated",
    "err_401_models": "in test_the_key_is_refused_as_captured",
    "err_401_no_key": "in test_the_key_is_refused_as_captured",
    "err_engine_died_inflight_500": "in test_error_bodies_that_need_a_state",
    "err_queue_full_503": "in test_error_bodies_that_need_a_state",
    "err_priority_on_fcfs_server": "that server had the metrics block and cached token counts switched off",
    "health_no_key_ok": "in test_the_key_is_refused_as_captured",
    "load_under_load": "same shape as load",
}
# Families of the capture that we leave out, and labels that we leave off.
FAMILIES_LEFT_OUT = {
    "vllm:estimated_flops_per_gpu": "nothing is computed",
    "vllm:estimated_read_bytes_per_gpu": "nothing is read",
    "vllm:estimated_write_bytes_per_gpu": "nothing is written",
    "vllm:kv_block_lifetime_seconds": "sampled block life is not followed",
    "vllm:kv_block_idle_before_evict_seconds": "sampled block life is not followed",
    "vllm:kv_block_reuse_gap_seconds": "sampled block life is not followed",
    "vllm:lora_requests_info": "no LoRA",
    "vllm:tool_call_parser_invocations": "no parser runs",
}
CACHE_CONFIG_LABELS = {
    *("block_size", "enable_prefix_caching", "engine", "kv_cache_size_tokens", "num_gpu_blocks"),
}


def capture(name: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((CAPTURES / "responses" / f"{name}.json").read_text())
    return data


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    spec = ServerSpec(name="a", model=MODEL, profile=PROFILE)
    async with SimulatedFleet([spec], EchoModel(n_tokens=30), speed=20.0) as fleet:
        base_url = fleet.base_urls["a"].removesuffix("/v1")
        async with httpx.AsyncClient(base_url=base_url) as client:
            yield client


async def replay(http: httpx.AsyncClient, request: dict[str, Any]) -> httpx.Response:
    return await http.request(
        request.get("method", "POST"),
        request["path"],
        json=request.get("json"),
        content=request.get("raw"),
        headers=request.get("headers"),
    )


def shape(value: object, path: str = "$") -> dict[str, str]:
    """Every path in a JSON value with the type found there; the items of a list share one path."""
    if isinstance(value, dict):
        inner = [shape(item, f"{path}.{key}") for key, item in value.items()]
    elif isinstance(value, list):
        inner = [shape(item, f"{path}[]") for item in value]
    else:
        kind = (
            "number"
            if isinstance(value, int | float) and not isinstance(value, bool)
            else type(value).__name__
        )
        return {path: kind}
    return {path: type(value).__name__} | {key: kind for part in inner for key, kind in part.items()}


def differences(ours: object, theirs: object) -> set[str]:
    mine, real = shape(ours), shape(theirs)
    return {path for path in mine.keys() | real.keys() if mine.get(path) != real.get(path)}


def headers_that_count(headers: Any) -> dict[str, str]:
    """Names and values, without what differs from reply to reply."""
    varying = {"date", "content-length", "x-request-id"}
    return {name: "*" if name in varying else value for name, value in headers.items() if name != "date"}


def test_every_capture_is_replayed_or_named_with_a_reason() -> None:
    names = {path.stem for path in (CAPTURES / "responses").glob("*.json")}
    assert names == {*BODIES, *STREAMS, *ERRORS, *NOT_REPLAYED}


@pytest.mark.parametrize("name", BODIES)
async def test_bodies_and_headers(http: httpx.AsyncClient, name: str) -> None:
    real = capture(name)
    reply = await replay(http, real["request"])
    assert reply.status_code == real["status"]
    assert headers_that_count(reply.headers) == headers_that_count(real["headers"])
    if "json" not in real:
        assert reply.text == real["text"]
        return
    theirs = real["json"]
    if name == "models":
        theirs["data"] = theirs["data"][:1]
    allowed = set(ALLOWED_DIFFERENCES.get(name, ()))
    assert differences(reply.json(), theirs) - allowed == set()
    assert list(reply.json()) == list(theirs)


@pytest.mark.parametrize(
    "name", ["chat_basic_length", "chat_max_completion_tokens", "chat_ignore_eos_min_tokens"]
)
async def test_the_same_limits_end_the_answer_at_the_same_length(http: httpx.AsyncClient, name: str) -> None:
    real = capture(name)
    ours, theirs = (await replay(http, real["request"])).json(), real["json"]
    assert ours["choices"][0]["finish_reason"] == theirs["choices"][0]["finish_reason"]
    assert ours["usage"]["completion_tokens"] == theirs["usage"]["completion_tokens"]


async def test_a_request_id_comes_back(http: httpx.AsyncClient) -> None:
    for name in ("chat_request_id_header", "chat_request_id_body"):
        real = capture(name)
        assert (await replay(http, real["request"])).json()["id"] == real["json"]["id"]
    header = capture("chat_request_id_header")
    reply = await replay(http, header["request"])
    assert reply.headers["x-request-id"] == header["headers"]["x-request-id"]


def event_shapes(text: str) -> list[dict[str, str]]:
    """Distinct shapes of the events, in order of first appearance."""
    events = [
        json.loads(line.removeprefix("data: ")) for line in text.split("\n\n") if line.startswith("data: {")
    ]
    distinct: list[dict[str, str]] = []
    for found in map(shape, events):
        if found not in distinct:
            distinct.append(found)
    return distinct


@pytest.mark.parametrize("name", STREAMS)
async def test_streams(http: httpx.AsyncClient, name: str) -> None:
    real = capture(name)
    reply = await replay(http, real["request"])
    assert reply.status_code == 200
    assert headers_that_count(reply.headers) == headers_that_count(real["headers"])
    assert reply.text.endswith("data: [DONE]\n\n")
    assert real["sse"][-1] == "data: [DONE]"
    ours, theirs = event_shapes(reply.text), event_shapes("\n\n".join(real["sse"]))
    if name != "chat_tools_required_stream":
        assert ours == theirs
        return
    # Ours may put the name and the first arguments into one event, and ends with arguments rather than with
    # an empty delta; OpenAI's own stream does both. All keys are among the captured ones.
    assert {path for found in ours for path in found} <= {path for found in theirs for path in found}
    assert ours[0] == theirs[0]


@pytest.mark.parametrize("name", ERRORS)
async def test_error_bodies_are_equal_to_the_letter_but_for_the_template_s_characters(
    http: httpx.AsyncClient, name: str
) -> None:
    real = capture(name)
    reply = await replay(http, real["request"])
    assert reply.status_code == real["status"]
    ours, theirs = reply.json(), real["json"]
    if name == "err_context_too_long":
        # The real count includes the chat template of that very model.
        for body in (ours, theirs):
            body["error"]["message"] = re.sub(r"240\d\d", "240xx", body["error"]["message"])
    assert ours == theirs
    assert headers_that_count(reply.headers) == headers_that_count(real["headers"])


async def test_error_bodies_that_need_a_state() -> None:
    spec = ServerSpec(name="a", model=MODEL, profile=PROFILE)
    async with SimulatedFleet([spec], EchoModel()) as fleet, httpx.AsyncClient() as client:
        faults = fleet.servers["a"].faults
        for fault, name in (
            (Fault.UNAVAILABLE, "err_queue_full_503"),
            (Fault.DIE, "err_engine_died_inflight_500"),
        ):
            faults.inject(fault)
            body = {"messages": [{"role": "user", "content": "a"}]}
            reply = await client.post(f"{fleet.base_urls['a']}/chat/completions", json=body)
            real = capture(name)
            assert (reply.status_code, reply.json()) == (real["status"], real["json"])


async def test_the_key_is_refused_as_captured() -> None:
    spec = ServerSpec(name="a", model=MODEL, profile=PROFILE, api_key="secret")
    async with SimulatedFleet([spec], EchoModel()) as fleet:
        base_url = fleet.base_urls["a"].removesuffix("/v1")
        async with httpx.AsyncClient(base_url=base_url) as client:
            for name in ("err_401_models", "err_401_no_key"):
                real = capture(name)
                method = "POST" if "json" in real["request"] else "GET"
                reply = await replay(client, real["request"] | {"method": method})
                assert (reply.status_code, reply.json()) == (real["status"], real["json"])
                assert headers_that_count(reply.headers) == headers_that_count(real["headers"])
            assert (await client.get("/health")).status_code == capture("health_no_key_ok")["status"]


def families(text: str) -> dict[str, Any]:
    return {
        family.name: family
        for family in text_string_to_metric_families(text)
        if family.name.startswith("vllm:") and not family.name.endswith("_created")
    }


async def test_metric_names_types_labels_and_buckets(http: httpx.AsyncClient) -> None:
    for name in ("chat_basic_length", "chat_stream_usage"):
        await replay(http, capture(name)["request"])
    ours = families((await http.get("/metrics")).text)
    theirs = families((CAPTURES / "metrics/metrics_after_requests.prom").read_text())
    assert theirs.keys() - ours.keys() == FAMILIES_LEFT_OUT.keys()
    assert ours.keys() <= theirs.keys()
    for name, family in ours.items():
        real = theirs[name]
        assert family.type == real.type, name
        if name == "vllm:cache_config_info":
            assert {*family.samples[0].labels} == CACHE_CONFIG_LABELS <= {*real.samples[0].labels}
            continue
        mine = {(s.name, tuple(sorted(s.labels.items()))) for s in family.samples}
        assert mine == {(s.name, tuple(sorted(s.labels.items()))) for s in real.samples}, name


async def test_an_idle_server_reads_as_an_idle_server(http: httpx.AsyncClient) -> None:
    ours = families((await http.get("/metrics")).text)
    theirs = families((CAPTURES / "metrics/metrics_idle_fresh.prom").read_text())
    for name, family in ours.items():
        if name == "vllm:cache_config_info":
            continue
        real = {(s.name, tuple(sorted(s.labels.items()))): s.value for s in theirs[name].samples}
        assert {(s.name, tuple(sorted(s.labels.items()))): s.value for s in family.samples} == real, name


async def test_counters_have_created_twins(http: httpx.AsyncClient) -> None:
    text = (await http.get("/metrics")).text
    real = (CAPTURES / "metrics/metrics_after_requests.prom").read_text()

    def created(source: str) -> set[str]:
        return {
            line.split()[2]
            for line in source.splitlines()
            if line.startswith("# TYPE") and "_created" in line
        }

    assert created(text) <= created(real)
    assert {"vllm:request_success_created", "vllm:e2e_request_latency_seconds_created"} <= created(text)


async def test_the_content_type_of_metrics_is_that_of_the_text_format(http: httpx.AsyncClient) -> None:
    reply = await http.get("/metrics")
    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
