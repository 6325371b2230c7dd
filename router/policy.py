"""The seam for policies, and the two that need no training: `UniformPolicy` and `JustEnoughPolicy`.

A policy proposes weights over candidates; `inframind.router.decide` masks, explores, samples and records.
A policy therefore never sees a random number, a clock or a store, and a trained one plugs in here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from inframind.errors import ConfigError
from inframind.router.views import Array, PaceView, PlanView, RoleView, StepView


@dataclass(slots=True)
class Proposal:
    """Weights over the candidates of a view, and why.

    Attributes:
        weights: non-negative, any scale, one per candidate; masked candidates are ignored.
        reason: a few words for people.
        ranks: of the candidates, the greater the better, for failover; the weights unless given. A greedy policy gives
            all weight to one candidate, and still knows which is second.
    """

    weights: Final[Array]
    reason: Final[str]
    ranks: Final[Array | None] = None


class Policy(Protocol):
    """Maps what is seen to weights over what may be done."""

    @property
    def name(self) -> str:
        """Name in traces and in the configuration."""
        ...

    @property
    def version(self) -> str:
        """Version of the weights or rules."""
        ...

    def plan(self, view: PlanView) -> Proposal:
        """Weights over (topology, team size)."""
        ...

    def role(self, view: RoleView) -> Proposal:
        """Weights over the roles for one seat."""
        ...

    def step(self, view: StepView) -> Proposal:
        """Weights over (model, strategy)."""
        ...

    def pace(self, view: PaceView) -> Proposal:
        """Weights over (STAY, ADVANCE)."""
        ...


class UniformPolicy:
    """Every allowed candidate is as likely as any other. The reference for exploration and for propensities."""

    name = "uniform"
    version = "1"

    def plan(self, view: PlanView) -> Proposal:
        """Uniform over what fits."""
        return Proposal(np.ones(len(view.actions)), "uniform over what is allowed")

    def role(self, view: RoleView) -> Proposal:
        """Uniform over the domain's roles."""
        return Proposal(np.ones(len(view.roles)), "uniform over what is allowed")

    def step(self, view: StepView) -> Proposal:
        """Uniform over what is allowed."""
        return Proposal(np.ones(len(view.actions)), "uniform over what is allowed")

    def pace(self, view: PaceView) -> Proposal:
        """A fair coin."""
        return Proposal(np.ones(2), "uniform over what is allowed")


@dataclass(frozen=True, kw_only=True)
class JustEnoughPolicy:
    """The cheapest that is good enough and in time: a strong rule, and the rival that learning has to beat.

    Executor: among the candidates whose q90 latency fits the time left (the others are masked), the cheapest
    whose predicted quality reaches the floor; when none reaches it, the best. Planner: one agent with the
    fewest calls while a single call reaches the floor, otherwise the smallest workflow of several calls that
    fits. Pacer: stop when all agree, otherwise the topology's default number of rounds.

    Raises:
        ConfigError: a floor outside [0, 1).
    """

    quality_floor: float = 0.6
    """Share of questions that a call should solve, by the prior or learned estimate."""

    def __post_init__(self) -> None:
        if not 0 <= self.quality_floor < 1:
            raise ConfigError("policy.quality_floor", self.quality_floor, "use a share in [0, 1)")

    @property
    def name(self) -> str:
        """Name in traces and in the configuration."""
        return "just_enough"

    @property
    def version(self) -> str:
        """The rule's version and its one parameter."""
        return f"1/floor={self.quality_floor:g}"

    def plan(self, view: PlanView) -> Proposal:
        """Fewest calls when one is good enough, else the smallest workflow with several."""
        calls = view.calls
        floor_met = view.step_quality >= self.quality_floor
        wanted = view.allowed & ((calls == 1) if floor_met else (calls > 1))
        pool = wanted if wanted.any() else view.allowed
        place = _argbest(pool, calls, view.q50_s)
        reason = (
            f"one call reaches the floor {self.quality_floor:g}"
            if floor_met
            else f"no single call reaches {self.quality_floor:g} in time: more calls"
        )
        return Proposal(_one_hot(place, len(calls)), reason)

    def role(self, view: RoleView) -> Proposal:
        """Roles in the catalogue's order, which lists the most useful first; repeats only when all are taken."""
        fresh = np.array([role not in view.taken for role in view.roles]) & view.allowed
        pool = fresh if fresh.any() else view.allowed
        return Proposal(_one_hot(int(np.argmax(pool)), len(view.roles)), "catalogue order")

    def step(self, view: StepView) -> Proposal:
        """The cheapest allowed candidate whose quality reaches the floor, else the best one."""
        good = view.allowed & (view.quality >= self.quality_floor)
        if good.any():
            place = _argbest(good, view.cost, view.q50_s)
            return Proposal(
                _one_hot(place, len(view.cost)), f"cheapest with quality >= {self.quality_floor:g}"
            )
        place = _argbest(view.allowed, -view.quality, view.q50_s)
        return Proposal(
            _one_hot(place, len(view.cost)), f"none reaches {self.quality_floor:g}: the best in time"
        )

    def pace(self, view: PaceView) -> Proposal:
        """ADVANCE on agreement or after the default number of rounds."""
        if view.agreement == 1.0:
            return Proposal(np.array([0.0, 1.0]), "all agree")
        if view.round >= view.topology.rounds:
            return Proposal(np.array([0.0, 1.0]), f"{view.topology.rounds} rounds are done")
        return Proposal(np.array([1.0, 0.0]), f"agreement is {view.agreement:.0%}")


def _argbest(pool: np.ndarray, first: Array, then: Array) -> int:
    """Index of the smallest ``first`` within the pool, ties by ``then``, then by order."""
    places = np.flatnonzero(pool)
    order = np.lexsort((then[places], first[places]))
    return int(places[order[0]])


def _one_hot(place: int, length: int) -> Array:
    weights = np.zeros(length)
    weights[place] = 1.0
    return weights


def policy_by_name(name: str, *, quality_floor: float | None = None) -> Policy:
    """The untrained policy of that name.

    Raises:
        ConfigError: there is none, or a parameter that it does not have.
    """
    if name == "uniform":
        if quality_floor is not None:
            raise ConfigError("policy.quality_floor", quality_floor, "policy 'uniform' has no quality floor")
        return UniformPolicy()
    if name == "just_enough":
        return JustEnoughPolicy() if quality_floor is None else JustEnoughPolicy(quality_floor=quality_floor)
    raise ConfigError("policy.name", name, "use 'just_enough' or 'uniform'")
