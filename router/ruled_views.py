"""Recorded decisions as they would have been seen under rules: what the rules leave of what was on offer then."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from inframind.router.rulebook import RuleBook, RuledOut, narrowed
from inframind.router.viewer import median, static_columns
from inframind.router.views import Mask, PlanView, Query, StepView

_BEFORE = "masked then"


class RuledViews:
    """Puts rules on views that were rebuilt from traces.

    What was masked when a decision was made stays masked, whatever masked it; rules that were in force then and now
    change nothing. How long plans would take is told by the steps that are left.

    Args:
        book: rules over the candidates that the views are over.
    """

    def __init__(self, book: RuleBook) -> None:
        self._book = book
        self._quality, _ = static_columns(book.actions)

    def step(self, view: StepView, wall_s: float) -> StepView:
        """A step's view at an instant, in seconds since the Unix epoch."""
        slot = view.slot
        ruled = self._at_step(view.query, slot.role, slot.topology, wall_s)
        return replace(view, allowed=_left(view.allowed, ruled)) if ruled else view

    def plan(self, view: PlanView, wall_s: float) -> PlanView:
        """A plan's view at an instant, in seconds since the Unix epoch."""
        steps = self._at_step(view.query, "", "", wall_s)
        if steps is not None:
            view = self._with_steps(view, _left(view.step_allowed, steps))
        plans = self._book.at_plan(
            view.actions, domain=view.query.domain, prompt_tokens=view.query.prompt_tokens, wall_s=wall_s
        )
        return replace(view, allowed=_left(view.allowed, plans)) if plans else view

    def _at_step(self, query: Query, role: str, topology: str, wall_s: float) -> RuledOut | None:
        return self._book.at_step(
            domain=query.domain,
            role=role,
            topology=topology,
            prompt_tokens=query.prompt_tokens,
            wall_s=wall_s,
        )

    def _with_steps(self, view: PlanView, allowed: Mask) -> PlanView:
        if np.array_equal(allowed, view.step_allowed):
            return view
        return replace(
            view,
            step_allowed=allowed,
            q50_s=view.depth * median(sorted(view.step_q50_s[allowed].tolist())),
            q90_s=view.depth * median(sorted(view.step_q90_s[allowed].tolist())),
            step_quality=float(self._quality[allowed].max()),
        )


def _left(allowed: Mask, ruled: RuledOut) -> Mask:
    return narrowed(tuple("" if may else _BEFORE for may in allowed.tolist()), ruled)[0]
