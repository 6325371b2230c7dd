"""How much a policy changes: what it would have done otherwise in decisions that were made."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from inframind.errors import ConfigError
from inframind.router.choosing import behaviour, best_of
from inframind.router.policy import Policy
from inframind.router.views import Array, PlanView, StepView


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Between two policies, over recorded decisions.

    Attributes:
        decisions: number of decisions.
        changed: share of them whose best candidate is another.
        variation: mean total variation between both distributions, 0 to 1.
        moved: total variation between what both choose over all decisions: how much the mix of models changes.
        shares: share of each choice, before and after, by label.
    """

    decisions: int
    changed: float
    variation: float
    moved: float
    shares: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class StepLimit:
    """How much may change in one publication.

    Raises:
        ConfigError: a share outside (0, 1].
    """

    most_changed: float = 0.5
    """Share of decisions whose best candidate may be another."""
    most_moved: float = 0.4
    """Share of all choices that may go elsewhere."""

    def __post_init__(self) -> None:
        for name in ("most_changed", "most_moved"):
            if not 0 < getattr(self, name) <= 1:
                raise ConfigError(f"guards.step.{name}", getattr(self, name), "use a share in (0, 1]")

    def objection(self, change: Change) -> str:
        """What is too much, in words; "" where nothing is."""
        if change.changed > self.most_changed:
            return f"{change.changed:.0%} of {change.decisions} decisions change; at most {self.most_changed:.0%} may"
        if change.moved > self.most_moved:
            return f"{change.moved:.0%} of choices go elsewhere; at most {self.most_moved:.0%} may"
        return ""


def change_of(
    new: Policy, old: Policy, views: Iterable[PlanView | StepView], *, exploration: float = 0.0
) -> Change:
    """What ``new`` does otherwise than ``old``, with the same exploration of both.

    Args:
        new: a policy.
        old: another.
        views: what was seen, from `inframind.router.recorded_views`.
        exploration: share that is spread evenly over what is allowed.
    """
    changed, variations = 0, []
    before: dict[str, float] = defaultdict(float)
    after: dict[str, float] = defaultdict(float)
    for view in views:
        p, q = _shares(old, view, exploration), _shares(new, view, exploration)
        changed += best_of(p.tolist(), view.allowed) != best_of(q.tolist(), view.allowed)
        variations.append(0.5 * float(np.abs(p - q).sum()))
        for label, was, will in zip(_labels(view), p.tolist(), q.tolist(), strict=True):
            before[label] += was
            after[label] += will
    n = len(variations)
    if not n:
        return Change(decisions=0, changed=0.0, variation=0.0, moved=0.0)
    shares = {label: (before[label] / n, after[label] / n) for label in before}
    moved = 0.5 * sum(abs(was - will) for was, will in shares.values())
    return Change(
        decisions=n, changed=changed / n, variation=float(np.mean(variations)), moved=moved, shares=shares
    )


def _shares(policy: Policy, view: PlanView | StepView, exploration: float) -> Array:
    proposal = policy.plan(view) if isinstance(view, PlanView) else policy.step(view)
    weights = proposal.weights.tolist()
    return np.array(
        behaviour(weights, view.allowed, exploration=exploration, greedy=False, policy=policy.name)
    )


def _labels(view: PlanView | StepView) -> list[str]:
    if isinstance(view, PlanView):
        return [plan.label for plan in view.actions]
    return [step.label for step in view.actions]
