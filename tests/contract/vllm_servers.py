"""The servers that the vLLM contract is held against, simulated and real, behind one interface.

Each target is a pair of servers of one model: ``fcfs`` asks for an API key and schedules first come, first
served; ``priority`` does neither and refuses more than `MAX_UNFINISHED` requests. ``.ci/test-vllm`` starts the
real pair with the same limits and says where in the environment.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from inframind.fleet.client import TimedClient
from inframind.fleet.clock import Deadline, SystemClock
from inframind.fleet.endpoints import EndpointSpec
from inframind.fleet.messages import ChatRequest, Completion, OnDelta
from inframind.fleet.metrics import EngineMetrics, parse_metrics
from inframind.simulator.engine_profile import EngineProfile
from inframind.simulator.faults import Fault
from inframind.simulator.fleet import SimulatedFleet
from inframind.simulator.model import EchoModel
from inframind.simulator.server import ServerSpec

MODEL = "tiny"
ALIAS = "tiny-urgent"
"""What the real ``priority`` server also answers to, so that the pair can be taken for servers of two models."""
MAX_NUM_SEQS = 2
MAX_NUM_BATCHED_TOKENS = 2048
MAX_MODEL_LEN = 16384
MAX_UNFINISHED = 10
BLOCK_SIZE = 32
KV_BLOCKS = MAX_MODEL_LEN // BLOCK_SIZE
"""KV memory holds one request of the greatest length. A real server has one block more, which no request gets."""
API_KEY = "a-key-for-tests"
PATIENCE_S = 60.0
"""How long to wait for what must come; a machine that is busy elsewhere makes real servers slow."""

_CLOCK = SystemClock()
SIMULATED_PROFILE = EngineProfile(
    step_base_s=0.002,
    per_prefill_token_s=0.000002,
    per_decode_token_s=0.00001,
    kv_blocks=KV_BLOCKS,
    block_size=BLOCK_SIZE,
    max_num_seqs=MAX_NUM_SEQS,
    max_num_batched_tokens=MAX_NUM_BATCHED_TOKENS,
    max_model_len=MAX_MODEL_LEN,
)


class Server:
    """One server, as our client sees it and as a plain HTTP client does.

    Attributes:
        spec: the endpoint as our own configuration would describe it.
        http: a client of the server's root; sends no key by itself.
    """

    def __init__(self, spec: EndpointSpec, http: httpx.AsyncClient) -> None:
        self.spec, self.http = spec, http

    @property
    def key_header(self) -> dict[str, str]:
        """What the server's ``/v1`` routes want to see."""
        key = self.spec.api_key
        return {"authorization": f"Bearer {key.get_secret_value()}"} if key else {}

    async def ask(
        self,
        request: ChatRequest,
        *,
        deadline_s: float = PATIENCE_S,
        priority: int | None = None,
        on_delta: OnDelta | None = None,
        **changed: Any,
    ) -> Completion:
        """One call with our client; ``changed`` are fields of the endpoint to get wrong."""
        spec = self.spec.model_copy(update=changed)
        client = TimedClient({spec.name: spec}, _CLOCK)
        try:
            return await client.complete(
                request,
                spec.name,
                Deadline.after(deadline_s, _CLOCK),
                priority=priority,
                on_delta=on_delta,
            )
        finally:
            await client.aclose()

    async def post(self, path: str = "/v1/chat/completions", **body: Any) -> httpx.Response:
        """One request without our client."""
        return await self.http.post(path, json={"model": MODEL} | body, headers=self.key_header)

    async def metrics_page(self) -> str:
        """The page itself."""
        return (await self.http.get("/metrics")).text

    async def metrics(self) -> EngineMetrics:
        """The page as our parser reads it."""
        return parse_metrics((await self.metrics_page()).encode())

    async def total(self, name: str, **labels: str) -> float:
        """Sum of the samples of that name which carry the labels, as prometheus_client reads them."""
        return total(await self.metrics_page(), name, **labels)

    async def metrics_when(self, condition: Callable[[EngineMetrics], bool]) -> EngineMetrics:
        """The metrics as soon as they fulfil the condition.

        Raises:
            TimeoutError: they do not within `PATIENCE_S`.
        """
        async with asyncio.timeout(PATIENCE_S):
            while not condition(metrics := await self.metrics()):  # noqa: ASYNC110 (a page has no events)
                await asyncio.sleep(0.01)
        return metrics

    async def until_idle(self) -> EngineMetrics:
        """The metrics as soon as nothing runs or waits."""
        return await self.metrics_when(lambda metrics: metrics.running == 0 and metrics.waiting == 0)


@dataclass(frozen=True, kw_only=True)
class Target:
    """A pair of servers to hold the contract against.

    Attributes:
        fcfs: asks for `API_KEY`.
        priority: runs urgent requests first.
        kill_fcfs: ends the engine behind ``fcfs`` at once, for good.
    """

    fcfs: Server
    priority: Server
    kill_fcfs: Callable[[], None]


def total(page: str, name: str, **labels: str) -> float:
    """Sum of a page's samples of that name which carry the labels, as prometheus_client reads them."""
    values = [
        sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    assert values, f"no sample {name} {labels}"
    return sum(values)


@asynccontextmanager
async def simulated_target() -> AsyncIterator[Target]:
    """Our own two servers."""
    priority = replace(SIMULATED_PROFILE, scheduling_policy="priority", max_num_queued_reqs=MAX_UNFINISHED)
    specs = (
        ServerSpec(name="fcfs", model=MODEL, profile=SIMULATED_PROFILE, api_key=API_KEY),
        ServerSpec(name="priority", model=MODEL, profile=priority),
    )
    async with SimulatedFleet(specs, EchoModel(n_tokens=24)) as fleet:

        def kill() -> None:
            server = fleet.servers["fcfs"]
            server.faults.inject(Fault.REFUSE)
            server.close()

        async with _target(fleet.base_urls, kill) as target:
            yield target


@asynccontextmanager
async def real_target() -> AsyncIterator[Target]:
    """The two servers that ``.ci/test-vllm`` has started."""
    pid = int(os.environ[_PID_VARIABLE])
    async with _target(real_base_urls(), lambda: os.kill(_engine_of(pid), signal.SIGKILL)) as target:
        await target.fcfs.until_idle()
        await target.priority.until_idle()
        yield target


def real_base_urls() -> dict[str, str]:
    """Where the two servers are, by name."""
    return {name: os.environ[variable] for name, variable in _URL_VARIABLES.items()}


def has_real_target() -> bool:
    """Whether the environment says where real servers are."""
    return all(variable in os.environ for variable in (*_URL_VARIABLES.values(), _PID_VARIABLE))


_URL_VARIABLES = {"fcfs": "INFRAMIND_VLLM_FCFS_URL", "priority": "INFRAMIND_VLLM_PRIORITY_URL"}
_PID_VARIABLE = "INFRAMIND_VLLM_FCFS_PID"


@asynccontextmanager
async def _target(base_urls: Mapping[str, str], kill: Callable[[], None]) -> AsyncIterator[Target]:
    common = {"model": MODEL, "context_length": MAX_MODEL_LEN}
    fcfs = EndpointSpec(name="fcfs", base_url=base_urls["fcfs"], api_key=API_KEY, **common)
    priority = EndpointSpec(name="priority", base_url=base_urls["priority"], priority=True, **common)
    async with _http(fcfs) as fcfs_http, _http(priority) as priority_http:
        yield Target(fcfs=Server(fcfs, fcfs_http), priority=Server(priority, priority_http), kill_fcfs=kill)


def _http(spec: EndpointSpec) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=spec.root_url, timeout=PATIENCE_S)


def _engine_of(server_pid: int) -> int:
    """The EngineCore process below an API server, from Linux's ``/proc``."""
    for pid in _children(server_pid):
        if "EngineCore" in Path(f"/proc/{pid}/cmdline").read_text():
            return pid
    raise ProcessLookupError(f"the API server {server_pid} has no EngineCore process; is it vLLM, and alive?")


def _children(pid: int) -> list[int]:
    threads = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for thread in threads for child in (thread / "children").read_text().split()]
