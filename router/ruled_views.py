"""Recorded decisions as they would have been seen under rules: what the rules leave of what was on offer then."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from inframind.router.masks import plan_masks
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
        is_careful: whether plans must fit by the 90 % quantile of the fastest step that rules leave, or by its median
            alone; None where no more plans are to be masked as too slow than were.
    """

    def __init__(self, book: RuleBook, *, is_careful: bool | None = None) -> None:
        self._book, self._is_careful = book, is_careful
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
        q50_s, q90_s = (sorted(column[allowed].tolist()) for column in (view.step_q50_s, view.step_q90_s))
        return replace(
            view,
            allowed=self._in_time(view, q50_s[0], q90_s[0]),
            step_allowed=allowed,
            q50_s=view.depth * median(q50_s),
            q90_s=view.depth * median(q90_s),
            step_quality=float(self._quality[allowed].max()),
        )

    def _in_time(self, view: PlanView, least_q50_s: float, least_q90_s: float) -> Mask:
        """Plans that are left where the fastest step is another (P), or the shortest of them."""
        if self._is_careful is None:
            return view.allowed
        least_s = view.depth * (least_q90_s if self._is_careful else least_q50_s)
        return plan_masks(np.where(view.allowed, least_s, np.inf), view.remaining_s)[0]


def _left(allowed: Mask, ruled: RuledOut) -> Mask:
    return narrowed(tuple("" if may else _BEFORE for may in allowed.tolist()), ruled)[0]
