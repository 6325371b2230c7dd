"""A static mixture of single calls: a coin decides, whatever the question, the budget and the load."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from inframind.errors import ConfigError
from inframind.router.actions import ExecutorAction
from inframind.router.policy import Proposal
from inframind.router.policy_parts import SINGLE_CALL, propose_pace, propose_plan, propose_role
from inframind.router.views import PaceView, PlanView, RoleView, StepView


class MixturePolicy:
    """Draws each single call from fixed shares. Assumes nothing; needs a decider that is not greedy.

    What a router that looks at nothing can reach: any point on the line between two models' accuracy and
    latency. Where every member is masked, all that is allowed is as likely as any other.

    Args:
        shares: weight of each model and strategy; scaled to a sum of 1.
        name: name in traces.

    Raises:
        ConfigError: no share at all, or one that is negative or not finite.
    """

    version = "1"

    def __init__(self, shares: Mapping[ExecutorAction, float], *, name: str = "mixture") -> None:
        total = sum(shares.values())
        if not (0 < total < math.inf and min(shares.values()) >= 0):
            labels = {action.label: share for action, share in shares.items()}
            raise ConfigError("shares", labels, "give shares of at least 0, and one above 0")
        self.shares = {action: share / total for action, share in shares.items()}
        self.name = name
        self._reason = ", ".join(f"{share:.0%} {action.label}" for action, share in self.shares.items())

    def plan(self, view: PlanView) -> Proposal:
        """A single call."""
        return propose_plan(view, SINGLE_CALL)

    def role(self, view: RoleView) -> Proposal:
        """Catalogue order."""
        return propose_role(view)

    def step(self, view: StepView) -> Proposal:
        """The shares."""
        weights = np.array([self.shares.get(action, 0.0) for action in view.actions])
        if weights[view.allowed].sum() > 0:
            return Proposal(weights, self._reason)
        return Proposal(np.ones(len(weights)), "no member can be chosen: uniform over what is allowed")

    def pace(self, view: PaceView) -> Proposal:
        """The topology's default number of rounds."""
        return propose_pace(view)
