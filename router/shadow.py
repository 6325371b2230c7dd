"""What a policy that is only being watched would have chosen: asked of what was seen, and never acted on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from inframind.router.actions import ActionSpace
from inframind.router.policy import Policy
from inframind.router.recorded_views import RecordedViews
from inframind.router.rulebook import RuleBook
from inframind.router.ruled_views import RuledViews
from inframind.router.views import Array, Mask
from inframind.traces.records import Decision, Trajectory

KEY = "candidate"
"""Where a trace keeps it, among the run's own records in its metadata."""


@dataclass(slots=True, eq=False)
class WouldChoose:
    """What a watched policy would have chosen in one run.

    Attributes:
        version: of the policy, as its decisions would carry it.
        choices: label of its best candidate, by the id of the decision that was made instead.
    """

    version: str
    choices: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of_plain(cls, kept: Mapping[str, Any] | None) -> WouldChoose | None:
        """From what a trace keeps."""
        return cls(kept["version"], dict(kept["choices"])) if kept else None

    def to_plain(self) -> Mapping[str, Any]:
        """For a trace; nothing before anything was asked."""
        return {KEY: {"version": self.version, "choices": dict(self.choices)}} if self.choices else {}


def best_choice(
    policy: Policy, trajectory: Trajectory, decision: Decision, views: RecordedViews, rules: RuledViews
) -> str | None:
    """Label of what a policy prefers where a run decided on a plan or a step.

    None for other decisions, and where what was seen cannot be rebuilt over the present candidates.
    """
    alone = replace(trajectory, decisions=(decision,))
    if decision.kind == "plan":
        plan = views.plan(alone)
        if plan is None:
            return None
        planned = rules.plan(plan.view, plan.wall_s)
        return _best(policy.plan(planned).weights, planned.allowed, decision)
    steps = (rules.step(step.view, step.wall_s) for step in views.steps(alone))
    return next((_best(policy.step(view).weights, view.allowed, decision) for view in steps), None)


def _best(weights: Array, allowed: Mask, decision: Decision) -> str:
    return decision.actions[int(np.where(allowed, weights, -np.inf).argmax())]


class Shadow:
    """Looks at runs beside a policy that does not serve.

    Args:
        policy: who is asked.
        actions: over what.
        book: under which rules; none unless given.
    """

    def __init__(self, policy: Policy, actions: ActionSpace, book: RuleBook | None = None) -> None:
        self.policy = policy
        self._views = RecordedViews(actions)
        self._rules = RuledViews(book or RuleBook((), actions))

    def look(self, trajectory: Trajectory, noted: WouldChoose) -> None:
        """Note what it would have chosen in a run so far."""
        for decision in trajectory.decisions:
            if decision.decision_id not in noted.choices:
                label = best_choice(self.policy, trajectory, decision, self._views, self._rules)
                if label is not None:
                    noted.choices[decision.decision_id] = label
