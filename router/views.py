"""What a policy sees when it is asked: one view per kind of decision.

Views are made at every decision, so their fields are read-only to the type checker alone, see `EndpointLoad`.
A = number of executor actions, P = number of planner actions, R = number of roles of the domain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inframind.fleet.endpoints import Capability, ModelFacts
from inframind.fleet.snapshot import FleetSnapshot
from inframind.router.actions import ExecutorAction, PlannerAction
from inframind.router.topology import TopologySpec

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """The question, as far as routing needs it.

    Attributes:
        text: the question.
        domain: ``math``, ``code``, ``knowledge`` or ``general``.
        question_id: the caller's id, or "".
        prompt_tokens: rough number of tokens of the question.
        needs: capabilities that a model must have to answer it.
    """

    text: str
    domain: str = "general"
    question_id: str = ""
    prompt_tokens: int = 0
    needs: frozenset[Capability] = frozenset()


@dataclass(slots=True, kw_only=True)
class PlanView:
    """What a planner sees.

    Attributes:
        query: the question.
        budget_s: the whole budget.
        remaining_s: what is left of it.
        actions: candidates (P).
        calls: calls of each candidate with its default number of rounds (P).
        allowed: candidates that are not masked (P).
        q50_s: predicted median seconds of the whole workflow (P).
        q90_s: predicted 90 % quantile (P).
        step_quality: best predicted share solved of a single call that fits the time left.
        depth: calls of each candidate that must follow one another (P).
        step_actions: what its calls may be (A).
        step_allowed: those that a single call from the question alone may be (A).
        step_q50_s: predicted median seconds of such a call (A).
        step_q90_s: predicted 90 % quantile (A).
        models: facts by model.
        snapshot: the fleet's load.
    """

    query: Final[Query]
    budget_s: Final[float]
    remaining_s: Final[float]
    actions: Final[tuple[PlannerAction, ...]]
    calls: Final[Array]
    allowed: Final[Mask]
    q50_s: Final[Array]
    q90_s: Final[Array]
    step_quality: Final[float]
    depth: Final[Array]
    step_actions: Final[tuple[ExecutorAction, ...]]
    step_allowed: Final[Mask]
    step_q50_s: Final[Array]
    step_q90_s: Final[Array]
    models: Final[Mapping[str, ModelFacts]]
    snapshot: Final[FleetSnapshot]


@dataclass(slots=True, kw_only=True)
class RoleView:
    """What a planner sees when it fills one seat of the team.

    Attributes:
        query: the question.
        action: topology and team size, as chosen.
        seat: 0-based seat.
        roles: candidates (R).
        taken: roles of the earlier seats.
        allowed: candidates that are not masked (R).
    """

    query: Final[Query]
    action: Final[PlannerAction]
    seat: Final[int]
    roles: Final[tuple[str, ...]]
    taken: Final[tuple[str, ...]]
    allowed: Final[Mask]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """The step of a workflow that needs a model and a strategy.

    Attributes:
        topology: name of the topology.
        kind: ``agent`` or ``judge``.
        position: 0-based seat; 0 for the judge.
        team_size: number of agents.
        role: role name.
        round: 1-based round.
        depth_left: calls that must follow this one, one after the other.
        agreement: share of the visible answers that equal the most frequent one; None when none is visible.
        prompt_tokens: rough number of tokens of the prompt.
        models: models that its caller lets choose from; None is all of them.
        strategies: strategies that its caller lets choose from; None is all of them.
        warm_model: model whose prefix cache holds the beginning of the prompt, or "".
        warm_tokens: rough number of the prompt's tokens that are there.
    """

    topology: str
    kind: str = "agent"
    position: int = 0
    team_size: int = 1
    role: str = ""
    round: int = 1
    depth_left: int = 0
    agreement: float | None = None
    prompt_tokens: int = 0
    models: frozenset[str] | None = None
    strategies: frozenset[str] | None = None
    warm_model: str = ""
    warm_tokens: int = 0


@dataclass(slots=True, kw_only=True)
class StepView:
    """What an executor sees.

    Attributes:
        query: the question.
        slot: the step.
        budget_s: the whole budget.
        remaining_s: what is left of it.
        actions: candidates (A).
        allowed: candidates that are not masked (A).
        q50_s: predicted median seconds of the step (A).
        q90_s: predicted 90 % quantile (A).
        quality: predicted share solved by a single call (A).
        cost: expected price of the answer in dollars, or expected size x tokens where no price is known (A).
        models: facts by model.
        snapshot: the fleet's load.
    """

    query: Final[Query]
    slot: Final[Slot]
    budget_s: Final[float]
    remaining_s: Final[float]
    actions: Final[tuple[ExecutorAction, ...]]
    allowed: Final[Mask]
    q50_s: Final[Array]
    q90_s: Final[Array]
    quality: Final[Array]
    cost: Final[Array]
    models: Final[Mapping[str, ModelFacts]]
    snapshot: Final[FleetSnapshot]


@dataclass(frozen=True, slots=True, kw_only=True)
class PaceView:
    """What a pacer sees between two rounds.

    Attributes:
        query: the question.
        topology: the topology's spec.
        round: rounds done so far.
        rounds_left: rounds that may still be run.
        agreement: share of the answers that equal the most frequent one, 0 to 1; 0 for a single agent, who
            has nobody to agree with.
        stagnation: share of the agents whose answer did not change in the last round, 0 to 1; 0 after round 1.
        budget_s: the whole budget.
        remaining_s: what is left of it.
        round_q90_s: predicted 90 % quantile of one more round and a judge, each on the fastest choice.
        allowed: whether STAY and ADVANCE are allowed (2).
        team_size: number of agents, or None where the graph does not say.
    """

    query: Query
    topology: TopologySpec
    round: int
    rounds_left: int
    agreement: float
    stagnation: float
    budget_s: float
    remaining_s: float
    round_q90_s: float
    allowed: Mask
    team_size: int | None = None
