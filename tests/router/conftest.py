"""A small action space, and a decider over it whose clock stands still."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from inframind.fleet.clock import Deadline
from inframind.fleet.endpoints import EndpointSpec, group_by_model
from inframind.fleet.snapshot import EndpointLoad, FleetSnapshot
from inframind.graphs.registry import TopologyRegistry
from inframind.router.actions import DEFAULT_STRATEGIES, ActionSpace, strategies_by_name
from inframind.router.decide import DecideConfig, Decider
from inframind.router.latency_learned import LearnedLatencyModel
from inframind.router.latency_learners import LatencyConfig
from inframind.router.policy import JustEnoughPolicy

ROLES = {"math": ("Solver", "Checker"), "general": ("Helper",)}


@dataclass
class StillClock:
    """Stands where it is put."""

    at_s: float = 1000.0

    def now_s(self) -> float:
        return self.at_s

    def wall_s(self) -> float:
        return 1_800_000_000.0 + self.at_s


class Bench:
    """Two models, a and b, of 3 and 32 billion parameters; everything else can be said."""

    def __init__(self, **endpoints: dict[str, Any]) -> None:
        given = endpoints or {"a": {"size_b": 3.0}, "b": {"size_b": 32.0}}
        specs = [
            EndpointSpec.model_validate(
                {
                    "name": f"{name}-0",
                    "base_url": "http://gpu/v1",
                    "model": name,
                    "capabilities": ["json"],
                    **values,
                }
            )
            for name, values in given.items()
        ]
        self.clock = StillClock()
        self.models = group_by_model(specs)
        self.strategies = strategies_by_name(DEFAULT_STRATEGIES)
        self.actions = ActionSpace(
            models=self.models, strategies=self.strategies, topologies=TopologyRegistry().specs, roles=ROLES
        )
        self.latency = LearnedLatencyModel(self.models, self.strategies)

    def snapshot(self, **loads: dict[str, Any]) -> FleetSnapshot:
        """Idle and just read, unless ``loads`` says otherwise of a model."""
        idle = {"age_s": 0.1, "running": 0.0, "waiting": 0.0, "kv_cache_usage": 0.0}
        all_loads = [
            EndpointLoad(**{"endpoint": f"{model}-0", "model": model, **idle, **loads.get(model, {})})
            for model in self.models
        ]
        return FleetSnapshot(taken_s=self.clock.now_s(), loads={load.endpoint: load for load in all_loads})

    def decider(self, policy: Any = None, *, seed: int = 0, latency: Any = None, **config: Any) -> Decider:
        return Decider(
            self.actions,
            policy or JustEnoughPolicy(),
            latency or self.latency,
            clock=self.clock,
            rng=np.random.default_rng(seed),
            config=DecideConfig(**config),
        )

    def within(self, budget_s: float = 60.0) -> Deadline:
        return Deadline.after(budget_s, self.clock)

    def latency_with(self, **values: Any) -> LearnedLatencyModel:
        return LearnedLatencyModel(self.models, self.strategies, LatencyConfig(**values))


@pytest.fixture
def make_bench() -> Callable[..., Bench]:
    return Bench


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture(scope="module")
def shared_bench() -> Bench:
    """For properties: hypothesis allows no fixture that is made anew for each example."""
    return Bench()


@pytest.fixture(scope="session")
def make_any_bench() -> Callable[..., Bench]:
    """For properties that need a bench of their own for each example."""
    return Bench
