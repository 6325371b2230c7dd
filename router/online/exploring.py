"""A learned policy that tries, now and then, what may be better than what looks best. Numpy alone.

Every candidate gets a share that grows with the chance, by what is known of both, that it is worth more than the best:
Thompson sampling, but with probabilities that can be written down, so that every propensity is exact.
"""

from __future__ import annotations

import numpy as np

from inframind.router.actions import ActionSpace
from inframind.router.heads import Worth
from inframind.router.online.config import ExplorationConfig
from inframind.router.policy import Proposal
from inframind.router.policy_learned import LearnedPolicy
from inframind.router.views import Array, Mask, PaceView, PlanView, RoleView, StepView

_NORMAL_SLOPE = 1.702
_HARDLY = 1e-9
_EMPHASIS = 3
"""A fresh model is tried with what suits it best: its strategies have much in common, and most are worse."""


class ExploringPolicy:
    """Serves a learned policy, and explores.

    Args:
        policy: what is known; its weights hold what is not known as spreads of offsets.
        actions: what may be chosen.
        config: how much is tried.
    """

    def __init__(
        self, policy: LearnedPolicy, actions: ActionSpace, config: ExplorationConfig | None = None
    ) -> None:
        self.policy, self.name, self.version = policy, policy.name, policy.version
        self._config = config or ExplorationConfig()
        offsets = policy.weights.offsets
        self._spread = offsets.spreads(actions.executor_labels)
        self._is_fresh = np.array([action.model in offsets.fresh for action in actions.executor_actions])
        self._has_fresh = bool(self._is_fresh.any())

    def plan(self, view: PlanView) -> Proposal:
        """The best plan, and every other one seldom."""
        return _floored(self.policy.plan(view), view.allowed, self._config.floor)

    def role(self, view: RoleView) -> Proposal:
        """The best role, and every other one seldom."""
        return _floored(self.policy.role(view), view.allowed, self._config.floor)

    def step(self, view: StepView) -> Proposal:
        """The best action, others by the chance that they are better, and every one seldom."""
        worth, wanted = self.policy.step_worth(view), self.policy.wanted(view)
        logits = np.where(wanted, worth.logits, -np.inf)
        best = int(logits.argmax())
        shares = self._shares(worth, wanted, best)
        shares[best] = 1.0 - shares.sum()
        floor = self._config.floor
        weights = (1.0 - floor) * shares + floor * _evenly_in_order(worth, wanted, best)
        reason = f"worth {worth.worth.item(best):.2f}: right {worth.solved.item(best):.0%}"
        return Proposal(weights, reason)

    def pace(self, view: PaceView) -> Proposal:
        """As the learned policy does."""
        return self.policy.pace(view)

    def _shares(self, worth: Worth, wanted: Mask, best: int) -> Array:
        """What every candidate but the best gets (A), within the limits of share and of loss."""
        config = self._config
        sd = self._spread * worth.solved * (1.0 - worth.solved)
        gap = np.maximum(worth.worth.item(best) - worth.worth, 0.0)
        doubt = np.sqrt(sd**2 + sd[best] ** 2) + _HARDLY
        chance = np.where(wanted, 1.0 / (1.0 + np.exp(np.minimum(_NORMAL_SLOPE * gap / doubt, 50.0))), 0.0)
        chance[best] = 0.0
        if not self._has_fresh:
            return chance * _scale(chance, gap, config.share, config.loss)
        known = chance * ~self._is_fresh
        known *= _scale(known, gap, config.share, config.loss)
        fresh = chance * self._is_fresh
        promising = fresh**_EMPHASIS
        tried: Array = known + promising * (
            min(fresh.sum(), config.fresh_share) / (promising.sum() + _HARDLY)
        )
        return tried


def _evenly_in_order(worth: Worth, wanted: Mask, best: int) -> Array:
    """Shares of all that may be chosen, the best's at most twice the worst's: so failover has an order."""
    behind = np.where(wanted, worth.logits.item(best) - worth.logits, 0.0)
    order = np.where(wanted, 2.0 - behind / (behind.max() + _HARDLY), 0.0)
    return np.asarray(order / order.sum())


def _scale(chance: Array, gap: Array, share: float, loss: float) -> float:
    """Factor that keeps the sum within ``share`` and the expected loss within ``loss``."""
    total, expected = float(chance.sum()), float(chance.dot(gap))
    scale = 1.0
    if total > share:
        scale = share / total
    if scale * expected > loss:
        scale = loss / expected
    return scale


def _floored(proposal: Proposal, allowed: Mask, floor: float) -> Proposal:
    weights = np.where(allowed, proposal.weights, 0.0)
    total = weights.sum()
    if total <= 0:
        return proposal
    spread_evenly = floor / np.count_nonzero(allowed) * allowed
    return Proposal((1.0 - floor) * weights / total + spread_evenly, proposal.reason)
