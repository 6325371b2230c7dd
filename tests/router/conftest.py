"""A small action space, and a decider over it whose clock stands still."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from inframind.fleet.clock import Deadline
from inframind.fleet.endpoints import EndpointSpec, group_by_model
from inframind.fleet.snapshot import EndpointLoad, FleetSnapshot
from inframind.graphs.registry import TopologyRegistry
from inframind.router.actions import DEFAULT_STRATEGIES, ActionSpace, strategies_by_name
from inframind.router.decide import DecideConfig, Decider
from inframind.router.latency import estimate_tokens
from inframind.router.latency_learned import LearnedLatencyModel
from inframind.router.latency_learners import LatencyConfig
from inframind.router.learning.config import LearnerConfig
from inframind.router.learning.learner import Learner
from inframind.router.policy import JustEnoughPolicy, Policy, Proposal, UniformPolicy
from inframind.router.policy_learned import HeadWeights, PolicyWeights
from inframind.router.query_model import QueryModel
from inframind.router.scorer import ScorerWeights
from inframind.router.views import PaceView, PlanView, Query, RoleView, Slot, StepView
from inframind.traces.records import Trajectory

ROLES = {"math": ("Solver", "Checker"), "general": ("Helper",)}


@dataclass
class StillClock:
    """Stands where it is put."""

    at_s: float = 1000.0

    def now_s(self) -> float:
        return self.at_s

    def wall_s(self) -> float:
        return 1_800_000_000.0 + self.at_s


class Watcher:
    """Another policy, whose views it keeps."""

    def __init__(self, inner: Policy | None = None) -> None:
        self.inner = inner or UniformPolicy()
        self.name, self.version = self.inner.name, self.inner.version
        self.plans: list[PlanView] = []
        self.roles: list[RoleView] = []
        self.steps: list[StepView] = []

    def plan(self, view: PlanView) -> Proposal:
        self.plans.append(view)
        return self.inner.plan(view)

    def role(self, view: RoleView) -> Proposal:
        self.roles.append(view)
        return self.inner.role(view)

    def step(self, view: StepView) -> Proposal:
        self.steps.append(view)
        return self.inner.step(view)

    def pace(self, view: PaceView) -> Proposal:
        return self.inner.pace(view)


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

    def step_view(
        self, text: str = "q", *, budget_s: float = 60.0, load: Any = None, latency: Any = None, **slot: Any
    ) -> StepView:
        """What a policy is shown of a step."""
        watcher = Watcher()
        self.decider(watcher, latency=latency).step(
            query_of(text),
            Slot(**{"topology": "IO", "role": "Solver", "prompt_tokens": 10, **slot}),
            self.snapshot(**(load or {})),
            self.within(budget_s),
            decision_id="d",
        )
        return watcher.steps[0]

    def plan_view(
        self, text: str = "q", *, budget_s: float = 60.0, load: Any = None, latency: Any = None
    ) -> PlanView:
        """What a policy is shown of a plan."""
        watcher = Watcher()
        self.decider(watcher, latency=latency).plan(
            query_of(text), self.snapshot(**(load or {})), self.within(budget_s), decision_id="d"
        )
        return watcher.plans[0]

    def pace_view(self, **values: Any) -> PaceView:
        """What a policy is shown after the first round of a debate that has not agreed; ``values`` are other."""
        given = {
            "query": query_of("q"),
            "topology": self.actions.topology("Debate"),
            "round": 1,
            "rounds_left": 2,
            "agreement": 0.5,
            "stagnation": 0.0,
            "budget_s": 60.0,
            "remaining_s": 60.0,
            "round_q90_s": 1.0,
            "allowed": np.ones(2, dtype=bool),
        }
        return PaceView(**{**given, **values})

    def play(
        self,
        decider: Decider,
        text: str,
        *,
        number: int = 0,
        budget_s: float = 60.0,
        latency_s: float = 1.0,
        load: Any = None,
        **plan: Any,
    ) -> Trajectory:
        """A run of a plan and a step for each of its agents, as it is stored."""
        query, snapshot, deadline = query_of(text), self.snapshot(**(load or {})), self.within(budget_s)
        chosen, decision = decider.plan(query, snapshot, deadline, decision_id=f"{number}-plan", **plan)
        decisions = [decision]
        for position, role in enumerate(chosen.team):
            slot = Slot(
                topology=chosen.topology.name,
                role=role,
                position=position,
                team_size=len(chosen.team),
                prompt_tokens=query.prompt_tokens,
            )
            step = decider.step(query, slot, snapshot, deadline, decision_id=f"{number}-{position}")
            decisions.append(step[1])
        return Trajectory(
            trace_id=f"{number:032x}",
            question=text,
            domain=query.domain,
            arrived_at_s=self.clock.wall_s(),
            budget_s=budget_s,
            topology=chosen.topology.name,
            team=chosen.team,
            rounds=1,
            decisions=tuple(decisions),
            latency_s=latency_s,
            status="ok" if latency_s <= budget_s else "late",
        )


def query_of(text: str) -> Query:
    return Query(text=text, domain="math", prompt_tokens=estimate_tokens([text]))


@pytest.fixture
def make_watcher() -> Callable[..., Watcher]:
    return Watcher


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


@pytest.fixture(scope="session")
def make_any_watcher() -> Callable[..., Watcher]:
    """For properties that need a watcher of their own for each example."""
    return Watcher


def random_weights(bench: Bench, seed: int = 0, **values: Any) -> PolicyWeights:
    """Weights that prefer this and that, by chance."""
    rng = np.random.default_rng(seed)
    learner = Learner(bench.actions, QueryModel(), LearnerConfig(hidden=6), seed=seed)

    def shaken(scorer: ScorerWeights) -> ScorerWeights:
        return replace(scorer, out=rng.normal(size=scorer.out.shape))

    heads = {
        kind: HeadWeights(critic=shaken(head.critic), actor=shaken(head.actor))
        for kind, head in learner.serving().weights.heads.items()
    }
    return replace(PolicyWeights(heads=heads, multipliers=(0.9, 0.8, 0.7, 0.6)), **values)


@pytest.fixture(scope="session")
def make_weights() -> Callable[..., PolicyWeights]:
    return random_weights
