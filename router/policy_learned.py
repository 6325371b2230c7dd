"""The learned policy as it serves: numpy alone, one pass over all candidates per decision.

For every candidate a critic says how likely it is to end right (``P_S``), and in time when it does and when it does
not (``P_G = P_S P_T|S``). Both start from what was known before any workflow ran, the question's difficulty and the
predicted latency, and learn what is different. The candidate's worth is the expected reward, linear in the critic:

    Q = (1 - lambda) P_S + lambda P_G - w [(1 - P_T) - (P_S - P_G)] - price * work

with lambda the multiplier of the budget's tier. The last term charges for the server time that a choice takes from
others, by how crowded its servers are: without it every question takes the best model that is fast enough for
itself, and together they melt the fleet. The actor adds to Q / temperature what the critic does not see.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from inframind.errors import ConfigError
from inframind.rewards.multiplier import DEFAULT_EDGES_S
from inframind.router.actions import ActionSpace, PlannerAction
from inframind.router.features import (
    SLACK_LOGIT,
    FeatureBuilder,
    Features,
    Sight,
    action_names,
    plan_names,
    role_names,
)
from inframind.router.latency_state import LatencyState
from inframind.router.pacer import Pacer
from inframind.router.policy import Proposal
from inframind.router.policy_parts import one_hot, propose_pace
from inframind.router.query_model import QueryModel
from inframind.router.scorer import Scorer, ScorerWeights, joined
from inframind.router.views import Array, Mask, PaceView, PlanView, RoleView, StepView

KINDS = ("plan", "role", "step")
LARGEST_LOGIT = 12.0


@dataclass(frozen=True, kw_only=True)
class Valuation:
    """How the critic's probabilities become a worth, and worths a choice.

    Raises:
        ConfigError: a negative price or weight, or a temperature that is not positive.
    """

    price: float = 0.2
    """What a second of a whole server costs, in solved questions, when its slots are just taken."""
    wrong_late: float = 0.05
    """``w``: what being late costs when the answer is wrong too."""
    temperature: float = 0.02
    """Differences in worth of this size change odds by a factor e."""
    uses_prior: bool = True
    """Whether difficulty and predicted latency speak before anything is learned."""
    uses_critic: bool = True
    """Whether worths shape the choice at all; without, the actor alone does, as in the published designs."""

    def __post_init__(self) -> None:
        if self.price < 0 or self.wrong_late < 0:
            raise ConfigError("price, wrong_late", (self.price, self.wrong_late), "use numbers of at least 0")
        if not self.temperature > 0:
            raise ConfigError("temperature", self.temperature, "use a positive number")


@dataclass(frozen=True, kw_only=True, eq=False)
class HeadWeights:
    """One kind of decision.

    Attributes:
        critic: three outputs: log odds of right, of in time when right, of in time when wrong.
        actor: one output: what is added to the worths' logits.
    """

    critic: ScorerWeights
    actor: ScorerWeights


@dataclass(frozen=True, kw_only=True, eq=False)
class PolicyWeights:
    """Everything that a learned policy is made of.

    Attributes:
        heads: by kind of decision.
        multipliers: lambda of each budget tier, shortest budgets first.
        edges_s: budgets that part the tiers.
        latency: what was learned of the fleet's speed, to start from.
        excluded_strategies: never chosen while anything else is allowed.
    """

    heads: Mapping[str, HeadWeights]
    multipliers: tuple[float, ...]
    edges_s: tuple[float, ...] = DEFAULT_EDGES_S
    latency: LatencyState | None = None
    excluded_strategies: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Worth:
    """What a head makes of the candidates (C) each.

    Attributes:
        solved: P(right).
        on_time: P(right and in time).
        worth: expected reward less the price.
        logits: of the choice.
    """

    solved: Array
    on_time: Array
    worth: Array
    logits: Array


class Head:
    """Values the candidates of one kind of decision."""

    def __init__(self, weights: HeadWeights, valuation: Valuation) -> None:
        self._scorer = Scorer(joined(weights.critic, weights.actor))
        self._valuation = valuation

    def fixed_part(self, names: Mapping[str, Sequence[str]]) -> Array:
        """What the names of a set of candidates contribute; made once per set."""
        return self._scorer.fixed_part(names)

    def worth(self, features: Features, fixed_part: Array, multiplier: float) -> Worth:
        """Values of all candidates, in one pass."""
        valuation = self._valuation
        rows = self._scorer.score(features, fixed_part).T.copy()
        if valuation.uses_prior:
            rows[0] += features.prior_logit
            rows[1:3] += SLACK_LOGIT * features.slack
        solved, share, share_wrong = odds_share(rows[:3])
        on_time = solved * share
        wrong_late = (1.0 - solved) * (1.0 - share_wrong)
        worth = solved + multiplier * (on_time - solved)
        worth -= valuation.wrong_late * wrong_late
        worth -= valuation.price * features.work
        if valuation.uses_critic:
            rows[3] += worth / valuation.temperature
        return Worth(solved, on_time, worth, rows[3])


def odds_share(logits: Array) -> Array:
    np.maximum(logits, -LARGEST_LOGIT, out=logits)
    np.minimum(logits, LARGEST_LOGIT, out=logits)
    np.negative(logits, out=logits)
    np.exp(logits, out=logits)
    logits += 1.0
    return np.reciprocal(logits, out=logits)


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
        self.features = FeatureBuilder(actions, queries, sight)
        self._explores, self._pacer = explores, pacer
        valuation = valuation or Valuation()
        self._heads = {kind: Head(weights.heads[kind], valuation) for kind in KINDS}
        self._step_parts = self._heads["step"].fixed_part(action_names(actions.executor_actions))
        self._plan_parts = lru_cache(maxsize=64)(self._parts_of_plans)
        self._role_parts = lru_cache(maxsize=64)(self._parts_of_roles)
        self._allowed_strategies = np.array(
            [action.strategy not in weights.excluded_strategies for action in actions.executor_actions]
        )

    def plan(self, view: PlanView) -> Proposal:
        """The topology and team that are worth most."""
        worth = self._heads["plan"].worth(
            self.features.plan(view), self._plan_parts(view.actions), self._multiplier(view.budget_s)
        )
        return self._proposal(worth, view.allowed)

    def role(self, view: RoleView) -> Proposal:
        """The role that helps most."""
        worth = self._heads["role"].worth(self.features.role(view), self._role_parts(view.roles), 0.0)
        return self._proposal(worth, view.allowed)

    def step(self, view: StepView) -> Proposal:
        """The model and strategy that are worth most."""
        worth = self._heads["step"].worth(
            self.features.step(view), self._step_parts, self._multiplier(view.budget_s)
        )
        wanted = view.allowed & self._allowed_strategies
        return self._proposal(worth, wanted if wanted.any() else view.allowed)

    def pace(self, view: PaceView) -> Proposal:
        """The pacer's choice, or the default number of rounds."""
        return self._pacer.propose(view) if self._pacer else propose_pace(view)

    def _proposal(self, worth: Worth, allowed: Mask) -> Proposal:
        logits = np.where(allowed, worth.logits, -np.inf)
        best = int(logits.argmax())
        reason = f"worth {worth.worth.item(best):.2f}: right {worth.solved.item(best):.0%}"
        if not self._explores:
            return Proposal(one_hot(best, len(logits)), reason)
        return Proposal(np.exp(logits - logits[best]), reason)

    def _multiplier(self, budget_s: float) -> float:
        return self.weights.multipliers[bisect_right(self.weights.edges_s, budget_s)]

    def _parts_of_plans(self, plans: tuple[PlannerAction, ...]) -> Array:
        return self._heads["plan"].fixed_part(plan_names(plans))

    def _parts_of_roles(self, roles: tuple[str, ...]) -> Array:
        return self._heads["role"].fixed_part(role_names(roles))
