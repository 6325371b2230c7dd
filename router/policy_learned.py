"""The learned policy as it serves: numpy alone, one pass over all candidates per decision.

What a choice is worth is in `inframind.router.heads`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from inframind.rewards.multiplier import DEFAULT_EDGES_S
from inframind.router.actions import ActionSpace, PlannerAction
from inframind.router.features import FeatureBuilder, Sight
from inframind.router.heads import LARGEST_LOGIT, Head, HeadWeights, Valuation, Worth
from inframind.router.latency_state import LatencyState
from inframind.router.offsets import Offsets
from inframind.router.pacer import Pacer
from inframind.router.policy import Proposal
from inframind.router.policy_parts import one_hot, propose_pace
from inframind.router.query_model import QueryModel
from inframind.router.serving.memory import LastSeen
from inframind.router.serving.plan_head import PlanHead
from inframind.router.serving.role_head import RoleHead
from inframind.router.serving.step_head import StepHead
from inframind.router.views import Array, Mask, PaceView, PlanView, RoleView, StepView

__all__ = [
    "KINDS",
    "LARGEST_LOGIT",
    "Head",
    "HeadWeights",
    "LearnedPolicy",
    "PolicyWeights",
    "Valuation",
    "Worth",
]

KINDS = ("plan", "role", "step")
_NEVER = np.array(-np.inf)


@dataclass(frozen=True, kw_only=True, eq=False)
class PolicyWeights:
    """Everything that a learned policy is made of.

    Attributes:
        heads: by kind of decision.
        multipliers: lambda of each budget tier, shortest budgets first.
        edges_s: budgets that part the tiers.
        latency: what was learned of the fleet's speed, to start from.
        excluded_strategies: never chosen while anything else is allowed.
        plan_runs: how often each plan was run in training, by its label.
        offsets: what traffic has taught since of each model and strategy.
    """

    heads: Mapping[str, HeadWeights]
    multipliers: tuple[float, ...]
    edges_s: tuple[float, ...] = DEFAULT_EDGES_S
    latency: LatencyState | None = None
    excluded_strategies: frozenset[str] = frozenset()
    plan_runs: Mapping[str, int] = field(default_factory=dict)
    offsets: Offsets = field(default_factory=Offsets)


class LearnedPolicy:
    """Plans, fills seats and chooses calls by what was learned.

    Args:
        weights: what was learned.
        actions: what may be chosen; models and strategies that the weights do not know are valued by description.
        queries: reads questions.
        valuation: how probabilities become a choice.
        sight: what may be looked at.
        explores: propose probabilities; otherwise always the best candidate.
        pacer: decides between rounds; the topology's default number of rounds unless given.
        version: of the weights.
        name: in traces.
    """

    def __init__(
        self,
        weights: PolicyWeights,
        actions: ActionSpace,
        queries: QueryModel,
        *,
        valuation: Valuation | None = None,
        sight: Sight | None = None,
        explores: bool = False,
        pacer: Pacer | None = None,
        version: str = "1",
        name: str = "learned",
    ) -> None:
        self.weights, self.version, self.name = weights, version, name
        self.features = FeatureBuilder(actions, queries, sight, weights.offsets)
        self._explores, self._pacer = explores, pacer
        self.valuation = valuation = valuation or Valuation()
        self._plans = PlanHead(weights.heads["plan"], self.features, valuation)
        self._roles = RoleHead(weights.heads["role"], self.features, valuation)
        self._steps = StepHead(weights.heads["step"], self.features, valuation)
        self._doubts = LastSeen(self._doubts_of)
        self._wanted = np.array(
            [action.strategy not in weights.excluded_strategies for action in actions.executor_actions]
        )
        self._wants_all = bool(self._wanted.all())
        self._made_of = partial(
            LearnedPolicy,
            weights,
            actions,
            queries,
            valuation=valuation,
            sight=sight,
            explores=explores,
            pacer=pacer,
            version=version,
            name=name,
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Travels to other processes as what it is made of."""
        return self._made_of, ()

    def plan(self, view: PlanView) -> Proposal:
        """The topology and team that are worth most."""
        worth = self._plans.worth(view, self._multiplier(view.budget_s))
        # Doubt is in units of worth, which an actor that decides alone does not propose by.
        doubts_worth = self.valuation.uses_critic and not self._explores
        doubt = self._doubts(view.actions) if doubts_worth else None
        return self._proposal(worth, view.allowed, doubt)

    def role(self, view: RoleView) -> Proposal:
        """The role that helps most."""
        return self._proposal(self._roles.worth(view), view.allowed)

    def step(self, view: StepView) -> Proposal:
        """The model and strategy that are worth most."""
        return self._proposal(self.step_worth(view), self.wanted(view))

    def step_worth(self, view: StepView) -> Worth:
        """What each model with each strategy is worth here, allowed or not."""
        return self._steps.worth(view, self._multiplier(view.budget_s))

    def wanted(self, view: StepView) -> Mask:
        """What may be chosen: what is allowed, less the excluded strategies while anything else is left (A)."""
        if self._wants_all:
            return view.allowed
        wanted = view.allowed & self._wanted
        return wanted if wanted.any() else view.allowed

    def pace(self, view: PaceView) -> Proposal:
        """The pacer's choice, or the default number of rounds."""
        return self._pacer.propose(view) if self._pacer else propose_pace(view)

    def _doubts_of(self, plans: tuple[PlannerAction, ...]) -> Array:
        """Standard error of each plan's share solved, at most, in logits of the choice (P).

        A lower confidence bound (as in pessimistic offline learning; Rashidinejad et al. 2021): of thirty plans that
        are all but equal, the best-looking is the one whose luck was best.
        """
        runs = np.array([self.weights.plan_runs.get(plan.label, 0) for plan in plans])
        doubts: Array = self.valuation.caution * 0.5 / np.sqrt(runs + 1.0) / self.valuation.temperature
        return doubts

    def _proposal(self, worth: Worth, allowed: Mask, doubt: Array | None = None) -> Proposal:
        logits = np.where(allowed, worth.logits if doubt is None else worth.logits - doubt, _NEVER)
        best = int(logits.argmax())
        reason = f"worth {worth.worth.item(best):.2f}: right {worth.solved.item(best):.0%}"
        if not self._explores:
            return Proposal(one_hot(best, len(logits)), reason, logits)
        return Proposal(np.exp(logits - logits[best]), reason)

    def _multiplier(self, budget_s: float) -> float:
        return self.weights.multipliers[bisect_right(self.weights.edges_s, budget_s)]
