"""Fleets of five models, as decisions meet them: no decision sees the load that the last one saw.

Fleet, client and metrics reader are the real ones; behind them stands a server in this process that answers once as
many calls as are wanted are in flight.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx2
import numpy as np

from inframind.fleet.clock import Clock, Deadline, SystemClock
from inframind.fleet.endpoints import EndpointSpec
from inframind.fleet.messages import ChatRequest
from inframind.fleet.metrics_page import EngineMetrics
from inframind.fleet.pool import Fleet
from inframind.fleet.snapshot import FleetSnapshot
from inframind.graphs.registry import TopologyRegistry
from inframind.router.actions import DEFAULT_STRATEGIES, ActionSpace, strategies_by_name
from inframind.router.decide import DecideConfig, Decider, StepChoice
from inframind.router.latency_learned import LearnedLatencyModel
from inframind.router.policy import Policy
from inframind.router.views import Query, Slot

SIZES_B = (3.0, 8.0, 14.0, 24.0, 32.0)
ROLES = {"math": ("Solver", "Checker", "Planner", "Algebraist", "Geometer", "Critic"), "general": ("Helper",)}
IN_FLIGHT = 24
"""Calls that are kept in flight, over all models."""
BUDGETS_S = (5.0, 10.0, 20.0, 40.0, 80.0)
_REPLY = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "25"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 60, "completion_tokens": 1, "total_tokens": 61},
}


@dataclass(frozen=True, slots=True)
class Task:
    """One step to decide on, or one question to plan for."""

    query: Query
    slot: Slot
    budget_s: float


class World:
    """Use `open_world`.

    Attributes:
        fleet: one with calls in flight, see `send`.
        moments: the same endpoints at five moments, from each of which to the next one model's load changes: what
            decisions meet that follow each other closely.
    """

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.clock: Clock = SystemClock()
        self._wire = _HoldingWire(self.rng)
        specs = [
            EndpointSpec(
                name=f"gpu-{place}",
                base_url="http://in-process/v1",
                model=f"m{place}",
                size_b=size_b,
                context_length=32_768,
            )
            for place, size_b in enumerate(SIZES_B)
        ]
        self.fleet = Fleet(specs, clock=self.clock, rng=self.rng, wire=self._wire)
        self.moments = [
            Fleet(specs, clock=self.clock, rng=self.rng, wire=_StillWire(moment))
            for moment in range(len(SIZES_B))
        ]
        self.actions = ActionSpace(
            models=self.fleet.models,
            strategies=strategies_by_name(DEFAULT_STRATEGIES),
            topologies=TopologyRegistry().specs,
            roles=ROLES,
        )
        self.latency = LearnedLatencyModel(self.fleet.models, self.actions.strategies)
        self._calls: deque[asyncio.Task[object]] = deque()

    def decider(self, policy: Policy, *, exploration: float = 0.05) -> Decider:
        return Decider(
            self.actions,
            policy,
            self.latency,
            clock=self.clock,
            rng=np.random.default_rng(1),
            config=DecideConfig(exploration=exploration),
        )

    def next_task(self) -> Task:
        """Another question, prompt length, place in the workflow and budget."""
        rng = self.rng
        prompt_tokens = int(rng.integers(80, 3000))
        query = Query(
            text=f"How many primes are there below {int(rng.integers(1000))}?",
            domain="math",
            prompt_tokens=prompt_tokens // 2,
        )
        slot = Slot(
            topology=str(rng.choice(["IO", "CoT", "Chain", "Debate"])),
            role="Solver",
            team_size=3,
            depth_left=int(rng.integers(4)),
            agreement=float(rng.random()),
            prompt_tokens=prompt_tokens,
        )
        return Task(query, slot, float(rng.choice(BUDGETS_S)))

    def deadline(self, task: Task) -> Deadline:
        return Deadline.after(task.budget_s, self.clock)

    async def read_loads(self) -> None:
        """Let the metrics readers have their turn: a reading of 10 s ago counts as none."""
        for _ in range(3):
            await asyncio.sleep(0)

    async def send(self, choice: StepChoice, snapshot: FleetSnapshot, slot: Slot) -> None:
        """Send the chosen call, let the oldest one end, and learn how long such a call takes."""
        self._calls.append(asyncio.create_task(self._call(choice)))
        await self._wire.held(min(len(self._calls), IN_FLIGHT + 1))
        if len(self._calls) > IN_FLIGHT:
            self._wire.release()
            await self._calls.popleft()
        latency_s = choice.q50_s * float(np.exp(0.3 * self.rng.standard_normal()))
        tokens = int(self.rng.integers(20, 600))
        self.latency.observe(
            choice.model,
            choice.strategy,
            snapshot,
            slot.prompt_tokens,
            latency_s,
            ttft_s=latency_s / 10,
            output_tokens=tokens,
        )

    async def _call(self, choice: StepChoice) -> object:
        request = ChatRequest(messages=[{"role": "user", "content": "?"}], max_tokens=8, stream=False)
        return await self.fleet.complete(request, choice.models[:1], Deadline.after(600.0, self.clock))

    async def aclose(self) -> None:
        while self._calls:
            self._wire.release()
            await self._calls.popleft()
        for fleet in (self.fleet, *self.moments):
            await fleet.aclose()


@asynccontextmanager
async def open_world(seed: int) -> AsyncIterator[World]:
    """A world whose load is being read and whose calls are in flight."""
    world = World(seed)
    for fleet in (world.fleet, *world.moments):
        await fleet.watch(first_readings_s=1.0)
    try:
        yield world
    finally:
        await world.aclose()


class _HoldingWire:
    """Holds every call until it is released, and reads out load figures that wander."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._gates: deque[asyncio.Event] = deque()
        self._came_in = asyncio.Event()

    async def held(self, count: int) -> None:
        """Wait until so many calls have come in and are held."""
        while len(self._gates) < count:
            await self._came_in.wait()
            self._came_in.clear()

    def release(self) -> None:
        """Let the oldest call be answered."""
        self._gates.popleft().set()

    def http_client(self, spec: EndpointSpec) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(transport=httpx2.MockTransport(self._answer))

    def metrics_source(self, spec: EndpointSpec, clock: Clock) -> _WanderingFigures:
        return _WanderingFigures(self._rng)

    async def _answer(self, request: httpx2.Request) -> httpx2.Response:
        gate = asyncio.Event()
        self._gates.append(gate)
        self._came_in.set()
        await gate.wait()
        return httpx2.Response(200, json=_REPLY)


class _WanderingFigures:
    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def at_hand(self) -> EngineMetrics:
        running = float(self._rng.integers(40))
        waiting = float(self._rng.integers(8)) if running > 30 else 0.0
        return EngineMetrics(running=running, waiting=waiting, kv_cache_usage=float(self._rng.random()))

    async def read(self) -> EngineMetrics:
        return self.at_hand()

    def close(self) -> None:
        pass


class _StillWire:
    """Load figures of one moment; the last model whose figures have changed is the moment's own."""

    def __init__(self, moment: int) -> None:
        self._moment = moment

    def http_client(self, spec: EndpointSpec) -> None:
        return None

    def metrics_source(self, spec: EndpointSpec, clock: Clock) -> _StillFigures:
        place = int(spec.name.removeprefix("gpu-"))
        return _StillFigures(4.0 * place + 5.0 * (place <= self._moment))


class _StillFigures:
    def __init__(self, running: float) -> None:
        waiting = 3.0 if running > 15 else 0.0
        self._metrics = EngineMetrics(running=running, waiting=waiting, kv_cache_usage=running / 40)

    def at_hand(self) -> EngineMetrics:
        return self._metrics

    async def read(self) -> EngineMetrics:
        return self._metrics

    def close(self) -> None:
        pass
