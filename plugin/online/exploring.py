"""Serves what was learned, and tries what may be better: only where somebody learns from what is tried."""

from __future__ import annotations

from dataclasses import dataclass

from inframind.router.actions import ActionSpace
from inframind.router.latency_state import LatencyState
from inframind.router.online.config import ExplorationConfig
from inframind.router.online.exploring import ExploringPolicy
from inframind.router.policy_file import StoredPolicy
from inframind.router.rules import RoutingRule

TRIES = ExplorationConfig(floor=0.0)
"""The floor under every propensity is ``policy.exploration``: the decider draws that share of decisions evenly."""


def exploring(stored: StoredPolicy, actions: ActionSpace) -> ExploringPolicy:
    """The policy over these candidates, with shares for what may be better than it knows."""
    return ExploringPolicy(stored.bind(actions), actions, TRIES)


@dataclass(frozen=True, slots=True)
class Exploring:
    """A learned policy that is to explore, before it knows the fleet; see `inframind.graphs.assembly.PolicyToBind`."""

    stored: StoredPolicy

    @property
    def latency(self) -> LatencyState | None:
        """What was learned of the fleet's speed, to start from."""
        return self.stored.latency

    @property
    def rules(self) -> tuple[RoutingRule, ...]:
        """Under which it serves, beside those of the configuration."""
        return self.stored.rules

    def bind(self, actions: ActionSpace) -> ExploringPolicy:
        """The policy over these models, strategies and topologies."""
        return exploring(self.stored, actions)
