"""Endpoints that are not what their configuration says, each over a real socket."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import SecretStr

from inframind.fleet.clock import SystemClock
from inframind.fleet.endpoints import EndpointSpec
from inframind.fleet.probe import Finding, probe_endpoint
from inframind.simulator.engine_profile import EngineProfile
from inframind.simulator.faults import Fault
from inframind.simulator.fleet import SimulatedFleet
from inframind.simulator.model import EchoModel
from inframind.simulator.server import ServerSpec

PROFILE = EngineProfile(
    step_base_s=0.001, per_prefill_token_s=0.0, per_decode_token_s=0.0, kv_blocks=512, max_model_len=4096
)
KEY = "sesame"


class ShiftedClock(SystemClock):
    """A machine whose wall clock is wrong."""

    def __init__(self, shift_s: float) -> None:
        self._shift_s = shift_s

    def wall_s(self) -> float:
        return super().wall_s() + self._shift_s


@pytest.fixture
async def fleet() -> AsyncIterator[SimulatedFleet]:
    specs = [
        ServerSpec(name="open", model="tiny", profile=PROFILE),
        ServerSpec(name="locked", model="tiny", profile=PROFILE, api_key=KEY),
    ]
    async with SimulatedFleet(specs, EchoModel()) as fleet:
        yield fleet


async def examine(base_url: str, clock: SystemClock | None = None, **changes: Any) -> dict[str, Finding]:
    values = {"name": "it", "base_url": base_url, "model": "tiny", "context_length": 4096} | changes
    findings = await probe_endpoint(EndpointSpec(**values), clock or SystemClock(), timeout_s=5.0)
    by_check = {finding.check: finding for finding in findings}
    assert len(by_check) == len(findings), "a check is reported twice"
    return by_check


def levels(findings: Mapping[str, Finding]) -> dict[str, str]:
    return {check: finding.level for check, finding in findings.items() if finding.level != "ok"}


async def test_a_server_as_described_passes_every_check(fleet: SimulatedFleet) -> None:
    findings = await examine(fleet.base_urls["open"])

    assert levels(findings) == {}
    assert list(findings) == [
        "reachable", "model", "context", "api key", "chat", "request metrics", "priority", "metrics", "clock",
    ]  # fmt: skip
    assert findings["metrics"].found == "all 16 series read"


async def test_a_server_that_is_down_is_one_fault() -> None:
    with socket.socket() as nobody_listens:
        nobody_listens.bind(("127.0.0.1", 0))
        findings = await examine(f"http://127.0.0.1:{nobody_listens.getsockname()[1]}/v1")

    assert levels(findings) == {"reachable": "fail"}
    assert list(findings) == ["reachable"]
    assert "start the server" in findings["reachable"].fix


@pytest.mark.parametrize("key", [None, SecretStr("guess")])
async def test_a_refused_key_is_one_fault_that_does_not_show_the_key(
    fleet: SimulatedFleet, key: SecretStr | None
) -> None:
    findings = await examine(fleet.base_urls["locked"], api_key=key)

    assert levels(findings) == {"api key": "fail"}
    assert "api_key_env" in findings["api key"].fix
    assert "guess" not in str(findings)


async def test_the_right_key_is_accepted(fleet: SimulatedFleet) -> None:
    findings = await examine(fleet.base_urls["locked"], api_key=SecretStr(KEY))

    assert levels(findings) == {}
    assert findings["api key"].found == "accepted"


async def test_a_model_that_is_not_served_is_answered_with_those_that_are(fleet: SimulatedFleet) -> None:
    findings = await examine(fleet.base_urls["open"], model="gpt")

    assert levels(findings) == {"model": "fail"}
    assert "served: tiny" in findings["model"].found
    assert "'tiny'" in findings["model"].fix


async def test_a_context_beyond_the_servers_is_a_fault_with_the_right_number(fleet: SimulatedFleet) -> None:
    findings = await examine(fleet.base_urls["open"], context_length=8192)

    assert levels(findings) == {"context": "fail"}
    assert findings["context"].fix == "set context_length = 4096"


async def test_a_metrics_page_that_is_not_there_is_a_fault(fleet: SimulatedFleet) -> None:
    findings = await examine(
        fleet.base_urls["open"], metrics_url=fleet.base_urls["open"].replace("/v1", "/nothing")
    )

    assert levels(findings) == {"metrics": "fail"}
    assert "HTTP 404" in findings["metrics"].found


async def test_a_page_without_the_engines_series_is_a_fault(fleet: SimulatedFleet) -> None:
    findings = await examine(
        fleet.base_urls["open"], metrics_url=fleet.base_urls["open"].replace("/v1", "/version")
    )

    assert levels(findings) == {"metrics": "fail"}
    assert "no vllm: series" in findings["metrics"].found


async def test_metrics_that_are_switched_off_are_no_fault(fleet: SimulatedFleet) -> None:
    findings = await examine(fleet.base_urls["open"], metrics=False)

    assert levels(findings) == {}
    assert "do not see this server's load" in findings["metrics"].found


@pytest.mark.parametrize(("shift_s", "words"), [(60.0, "behind ours"), (-60.0, "ahead of ours")])
async def test_a_clock_that_is_off_is_a_warning(fleet: SimulatedFleet, shift_s: float, words: str) -> None:
    findings = await examine(fleet.base_urls["open"], ShiftedClock(shift_s))

    assert levels(findings) == {"clock": "warn"}
    assert words in findings["clock"].found


async def test_priority_is_taken_on_trust_and_said_to_be(fleet: SimulatedFleet) -> None:
    findings = await examine(fleet.base_urls["open"], priority=True)

    assert levels(findings) == {}
    assert "cannot be verified from outside" in findings["priority"].found


async def test_a_server_that_lists_models_but_cannot_chat_is_a_fault(fleet: SimulatedFleet) -> None:
    fleet.servers["open"].faults.fault = Fault.UNAVAILABLE
    findings = await examine(fleet.base_urls["open"])

    assert levels(findings) == {"chat": "fail"}
    assert "HTTP 503" in findings["chat"].found


async def test_a_base_url_without_v1_is_pointed_out(fleet: SimulatedFleet) -> None:
    findings = await examine(fleet.base_urls["open"].removesuffix("/v1"))

    assert levels(findings)["model"] == "fail"
    assert "/v1" in findings["model"].fix


# Servers that are OpenAI-compatible, and no more ----------------------------------------------------------

CHUNK = {
    "id": "1",
    "model": "tiny",
    "choices": [{"index": 0, "delta": {"content": "Yes"}, "finish_reason": "stop"}],
}
STREAM = f"data: {json.dumps(CHUNK)}\n\ndata: [DONE]\n\n"
LISTED = json.dumps({"object": "list", "data": [{"id": "tiny"}]})


@asynccontextmanager
async def plain_server(pages: Mapping[str, str]) -> AsyncIterator[str]:
    """Serves fixed pages by path, with as few headers as can be; its base URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = head.split()[1]
        status = "200 OK" if path in pages else "404 Not Found"
        body = pages.get(path, "{}").encode()
        kind = "text/event-stream" if path.endswith("completions") else "application/json"
        lines = (
            f"HTTP/1.1 {status}",
            f"content-type: {kind}",
            f"content-length: {len(body)}",
            "connection: close",
        )
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


async def test_what_a_plain_server_does_not_tell_is_said_and_no_fault() -> None:
    pages = {"/v1/models": LISTED, "/v1/chat/completions": STREAM}
    async with plain_server(pages) as base_url:
        findings = await examine(base_url, metrics=False)

    assert levels(findings) == {"request metrics": "warn"}
    assert "--enable-per-request-metrics" in findings["request metrics"].fix
    assert "does not say its max_model_len" in findings["context"].found
    assert findings["clock"].found == "the server does not send its time"


async def test_missing_load_figures_are_named() -> None:
    metrics = "vllm:num_requests_running 3\nvllm:kv_cache_usage_perc 0.5\n"
    pages = {"/v1/models": LISTED, "/v1/chat/completions": STREAM, "/metrics": metrics}
    async with plain_server(pages) as base_url:
        findings = await examine(base_url)

    assert findings["metrics"].level == "warn"
    assert "2 of 16 series" in findings["metrics"].found
    assert "waiting" in findings["metrics"].found


@pytest.mark.parametrize("page", ["<html>", "[]", '{"data": 3}'])
async def test_a_list_of_models_that_is_none_is_a_fault(page: str) -> None:
    async with plain_server({"/v1/models": page}) as base_url:
        findings = await examine(base_url, metrics=False)

    assert findings["model"].level == "fail"
    assert "no list of models" in findings["model"].found
