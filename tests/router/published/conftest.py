"""Real traces: published policies on the simulated fleet, a few questions at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from inframind.arena.contenders.blind import NoForecast
from inframind.arena.grading import RememberingGrader
from inframind.arena.scenario import Scenario
from inframind.arena.virtual_run import run_virtually
from inframind.fleet.endpoints import group_by_model
from inframind.graphs.assembly import Parts
from inframind.router.actions import ActionSpace
from inframind.router.policy import Policy
from inframind.router.views import Query, Slot, StepView
from inframind.simulator.items import generate_items
from inframind.simulator.profiles import load_profiles
from inframind.traces.records import Trajectory

ITEMS = generate_items(40, seed=5)
SCENARIO = Scenario(
    profiles=tuple(load_profiles().values()), items=ITEMS[:30], training_items=ITEMS[30:], questions=20
)

Runs = tuple[list[Trajectory], dict[str, bool]]
Play = Callable[[Policy, int], Runs]


@pytest.fixture(scope="session")
def actions() -> ActionSpace:
    """Of the simulated fleet: five models, four strategies, six topologies."""
    parts = Parts(endpoints=SCENARIO.endpoints({spec.name: "http://gpu/v1" for spec in SCENARIO.specs()}))
    return parts.action_space(group_by_model(parts.endpoints))


@pytest.fixture(scope="session")
def play() -> Play:
    """Lets a policy answer twenty questions; its traces, and what was right."""
    grader = RememberingGrader()

    def answer(policy: Policy, seed: int) -> Runs:
        ran = run_virtually(
            SCENARIO,
            policy,
            seed=seed,
            rate_per_min=200.0,
            grader=grader,
            latency=NoForecast(models=5, strategies=4),
        )
        solved = {episode.trace_id: episode.solved for episode in ran.episodes if episode.trace_id}
        return list(ran.trajectories.values()), solved

    return answer


@pytest.fixture
def step_view() -> Callable[..., StepView]:
    """A view over a bench's candidates, all of them allowed."""

    def look(
        bench: Any, *, remaining_s: float = 60.0, q50_s: float = 1.0, **loads: dict[str, Any]
    ) -> StepView:
        n = len(bench.actions.executor_actions)
        return StepView(
            query=Query(text="What is 3 + 4?"),
            slot=Slot(topology="IO", role="Solver"),
            budget_s=300.0,
            remaining_s=remaining_s,
            actions=bench.actions.executor_actions,
            allowed=np.ones(n, dtype=np.bool_),
            q50_s=np.full(n, q50_s),
            q90_s=np.full(n, 2 * q50_s),
            quality=np.zeros(n),
            cost=np.zeros(n),
            models=bench.actions.models,
            snapshot=bench.snapshot(**loads),
        )

    return look
