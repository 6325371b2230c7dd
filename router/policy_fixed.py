"""One arm for every question: a topology, a team size, a model and a strategy. The floor of every comparison."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from inframind.errors import ConfigError
from inframind.router.actions import ActionSpace, ExecutorAction, PlannerAction
from inframind.router.policy import Proposal
from inframind.router.policy_parts import one_hot, propose_pace, propose_plan, propose_role
from inframind.router.topology import MAX_TEAM_SIZE
from inframind.router.views import PaceView, PlanView, RoleView, StepView

ARM_FORM = "<topology>/<team>/<model>/<strategy>"


@dataclass(frozen=True, slots=True)
class Arm:
    """A whole way to answer: every call of the topology goes to one model with one strategy.

    Attributes:
        plan: topology and team size.
        step: model and strategy.
    """

    plan: PlannerAction
    step: ExecutorAction

    @property
    def label(self) -> str:
        """``<topology>/<team>/<model>/<strategy>``, as `parse_arm` reads it."""
        return f"{self.plan.label}/{self.step.label}"


def parse_arm(text: str, actions: ActionSpace) -> Arm:
    """Read an arm such as ``IO/1/llama-3.1-8b/Plain``; a model's name may hold slashes.

    Raises:
        ConfigError: not of that form, or a name that the action space does not have.
    """
    topology, _, rest = text.partition("/")
    team, _, rest = rest.partition("/")
    model, _, strategy = rest.rpartition("/")
    if not (topology and team and model and strategy):
        raise ConfigError("arm", text, f"write {ARM_FORM}, such as IO/1/{next(iter(actions.models))}/Plain")
    _require("topology", topology, tuple(actions.topologies))
    _require("model", model, tuple(actions.models))
    _require("strategy", strategy, tuple(actions.strategies))
    arm = Arm(PlannerAction(topology, _team_size(team)), ExecutorAction(model, strategy))
    require_arm(arm, actions)
    return arm


def require_arm(arm: Arm, actions: ActionSpace) -> None:
    """Check that an arm can be chosen.

    Raises:
        ConfigError: a team size that is not planned, or a strategy that contradicts the topology.
    """
    topology, team_size = arm.plan.topology, arm.plan.team_size
    sizes = [plan.team_size for plan in actions.planner_actions if plan.topology == topology]
    if team_size not in sizes:
        raise ConfigError("team", team_size, f"{topology} is planned with {sizes[0]} to {sizes[-1]} agents")
    excluded = actions.topologies[topology].excluded_strategies
    if arm.step.strategy in excluded:
        raise ConfigError(
            "strategy", arm.step.strategy, f"it contradicts {topology}: use another strategy or topology"
        )


class FixedPolicy:
    """The same arm, always. Assumes that one choice suits every question, budget and load.

    Where the arm is masked (its model cannot be called, or the call would come too late) it keeps to the model
    with another strategy if it can, else to the strategy with another model, else to what is allowed: the first
    in the order of the action space each time.

    Args:
        arm: what to choose.
        name: name in traces.
    """

    version = "1"

    def __init__(self, arm: Arm, *, name: str = "fixed") -> None:
        self.arm = arm
        self.name = name

    def plan(self, view: PlanView) -> Proposal:
        """The arm's topology and team size."""
        return propose_plan(view, self.arm.plan)

    def role(self, view: RoleView) -> Proposal:
        """Catalogue order."""
        return propose_role(view)

    def step(self, view: StepView) -> Proposal:
        """The arm's model and strategy."""
        wanted = self.arm.step
        place = view.actions.index(wanted)
        if view.allowed[place]:
            return Proposal(one_hot(place, len(view.actions)), wanted.label)
        return Proposal(
            one_hot(_nearest(view, wanted), len(view.actions)), f"{wanted.label} cannot be chosen"
        )

    def pace(self, view: PaceView) -> Proposal:
        """The topology's default number of rounds."""
        return propose_pace(view)


def _nearest(view: StepView, wanted: ExecutorAction) -> int:
    closeness = [
        2 * (action.model == wanted.model) + (action.strategy == wanted.strategy) for action in view.actions
    ]
    return int(np.argmax(np.where(view.allowed, closeness, -1)))


def _require(field: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise ConfigError(field, name, f"use one of: {', '.join(known)}")


def _team_size(text: str) -> int:
    if not text.isdecimal():
        raise ConfigError("team", text, f"give a whole number of agents, 1 to {MAX_TEAM_SIZE}")
    return int(text)
