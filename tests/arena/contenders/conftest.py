"""A setting that is small enough to work out by hand, on two models of the simulated fleet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from inframind.arena.contenders.contender import Setting, TrainingGrid, Truth
from inframind.fleet.endpoints import EndpointSpec, group_by_model
from inframind.fleet.snapshot import EndpointLoad, FleetSnapshot
from inframind.graphs.registry import TopologyRegistry
from inframind.router.actions import DEFAULT_STRATEGIES, ActionSpace, strategies_by_name
from inframind.router.views import PlanView, Query, RoleView, Slot, StepView
from inframind.simulator.items import Item, generate_items
from inframind.simulator.outcome_parameters import OutcomeParameters
from inframind.simulator.outcomes import LatentDifficultyModel
from inframind.simulator.profiles import load_profiles
from inframind.simulator.prompt_reading import AnswerKey

SMALL, LARGE = "llama-3.2-3b", "mistral-small-24b"
ROLES = {"math": ("MathSolver", "Mathematician"), "general": ("Assistant",)}
TOKENS = {"Flash": 10, "Concise": 100, "Plain": 300, "DeepThink": 500}


class World:
    """Questions, models and views of them."""

    def __init__(
        self,
        models: Sequence[str] = (SMALL, LARGE),
        n_items: int = 12,
        parameters: OutcomeParameters | None = None,
    ) -> None:
        parameters = parameters or OutcomeParameters()
        self.items = generate_items(n_items, seed=5)
        self.outcomes = LatentDifficultyModel(AnswerKey(self.items), parameters)
        self.truth = Truth(
            outcomes=self.outcomes,
            parameters=parameters,
            items={item.item_id: item for item in self.items},
        )
        sizes = {name: profile.size_b for name, profile in load_profiles().items()}
        specs = [
            EndpointSpec.model_validate(
                {"name": model, "base_url": "http://gpu/v1", "model": model, "size_b": sizes.get(model, 8.0)}
            )
            for model in models
        ]
        self.actions = ActionSpace(
            models=group_by_model(specs),
            strategies=strategies_by_name(DEFAULT_STRATEGIES),
            topologies=TopologyRegistry().specs,
            roles=ROLES,
        )

    def place(self, label: str) -> int:
        return self.actions.executor_labels.index(label)

    def grid(self, solved: dict[str, float] | None = None) -> TrainingGrid:
        """Answers of `TOKENS` tokens; of each action the first so many (shares) of the questions are solved."""
        steps, n = self.actions.executor_actions, len(self.items)
        shares = [(solved or {}).get(action.label, 0.0) for action in steps]
        return TrainingGrid(
            items=self.items,
            solved=np.arange(n)[:, None] < np.round(np.array(shares) * n)[None, :],
            output_tokens=np.tile(np.array([TOKENS[action.strategy] for action in steps]), (n, 1)),
        )

    def setting(self, grid: TrainingGrid | None = None, budgets_s: Sequence[float] = (5.0, 300.0)) -> Setting:
        return Setting(
            actions=self.actions,
            training=grid or self.grid(),
            budgets_s=np.array(budgets_s),
            rng=np.random.default_rng(0),
            truth=self.truth,
        )

    def snapshot(self, **in_flight: int) -> FleetSnapshot:
        """Idle, but for so many calls of ours on ``small`` and ``large``."""
        counts = {SMALL: in_flight.get("small", 0), LARGE: in_flight.get("large", 0)}
        loads = [
            EndpointLoad(endpoint=model, model=model, in_flight=counts.get(model, 0))
            for model in self.actions.models
        ]
        return FleetSnapshot(taken_s=0.0, loads={load.endpoint: load for load in loads})

    def query(self, item: Item) -> Query:
        return Query(text=item.question, domain="math", question_id=item.item_id, prompt_tokens=40)

    def plan_view(
        self, item: Item, remaining_s: float, *, allowed: Callable[[Any], bool] = bool, **in_flight: int
    ) -> PlanView:
        plans = self.actions.planner_actions
        graphs = [self.actions.topologies[plan.topology].graph(plan.team_size) for plan in plans]
        n, per_step = np.ones(len(plans)), np.ones(len(self.actions.executor_actions))
        return PlanView(
            query=self.query(item),
            budget_s=300.0,
            remaining_s=remaining_s,
            actions=plans,
            calls=np.array([float(graph.calls) for graph in graphs]),
            allowed=np.array([allowed(plan.label) for plan in plans]),
            q50_s=n,
            q90_s=n,
            step_quality=0.5,
            depth=np.array([float(graph.depth) for graph in graphs]),
            step_actions=self.actions.executor_actions,
            step_allowed=per_step.astype(np.bool_),
            step_q50_s=per_step,
            step_q90_s=per_step,
            models=self.actions.models,
            snapshot=self.snapshot(**in_flight),
        )

    def step_view(
        self,
        item: Item,
        remaining_s: float,
        *,
        slot: Slot | None = None,
        allowed: Callable[[Any], bool] = bool,
        **in_flight: int,
    ) -> StepView:
        n = np.ones(len(self.actions.executor_actions))
        return StepView(
            query=self.query(item),
            slot=slot or Slot(topology="IO"),
            budget_s=300.0,
            remaining_s=remaining_s,
            actions=self.actions.executor_actions,
            allowed=np.array([allowed(label) for label in self.actions.executor_labels]),
            q50_s=n,
            q90_s=n,
            quality=n,
            cost=n,
            models=self.actions.models,
            snapshot=self.snapshot(**in_flight),
        )

    def role_view(self, item: Item) -> RoleView:
        roles = self.actions.roles_for("math")
        return RoleView(
            query=self.query(item),
            action=self.actions.planner_actions[0],
            seat=0,
            roles=roles,
            taken=(),
            allowed=np.ones(len(roles), dtype=np.bool_),
        )


def chosen(view: PlanView | StepView, weights: np.ndarray) -> str:
    """Label of the only candidate that has weight."""
    (place,) = np.flatnonzero(weights)
    return view.actions[int(place)].label


@pytest.fixture(scope="session")
def world() -> World:
    return World()


@pytest.fixture
def make_world() -> Callable[..., World]:
    return World


@pytest.fixture
def choice() -> Callable[[PlanView | StepView, np.ndarray], str]:
    return chosen
