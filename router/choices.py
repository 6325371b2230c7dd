"""What deciding comes to: a plan, or a model and a strategy with what to fall back on."""

from __future__ import annotations

from dataclasses import dataclass

from inframind.router.topology import TopologySpec


@dataclass(frozen=True, slots=True)
class Plan:
    """A topology, and the role of each agent."""

    topology: TopologySpec
    team: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StepChoice:
    """A model, a strategy, and what to fall back on.

    Attributes:
        model: chosen model.
        strategy: chosen strategy.
        models: the chosen model first, then for failover the allowed ones in the policy's order, then those that
            rules avoid, and at last those that are only predicted to be too slow: late is better than none.
        q50_s: predicted median seconds of the step.
        q90_s: predicted 90 % quantile.
        avoid: servers to try after all others.
    """

    model: str
    strategy: str
    models: tuple[str, ...]
    q50_s: float
    q90_s: float
    avoid: frozenset[str] = frozenset()
