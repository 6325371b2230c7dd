"""What cannot be chosen, and why: masks that are recorded with the decision, never learned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from inframind.fleet.snapshot import FleetSnapshot
from inframind.router.actions import ActionSpace
from inframind.router.views import Array, Mask, Query, Slot

OPEN, CONTEXT, CAPABILITY = "breaker open", "context too long", "capability missing"
MIN_ANSWER_TOKENS = 64
"""Room that a prompt must leave for an answer."""
CONTRADICTS, TOO_SLOW, NO_ROUNDS = "strategy contradicts topology", "too slow", "no rounds left"


def step_masks(
    actions: ActionSpace,
    query: Query,
    slot: Slot,
    snapshot: FleetSnapshot,
    q50_s: Array,
    q90_s: Array,
    remaining_s: float,
) -> tuple[Mask, tuple[str, ...]]:
    """Which executor actions are allowed (A), and the reason for each that is not ("" otherwise) (A).

    A step is too slow when its own q90 and the least time that must follow it (``depth_left`` calls at the
    fastest possible median) exceed what is left. When every candidate is masked the fastest possible one is
    let through after all, or, when none is possible, the fastest: the call itself then says what is wrong.
    """
    reasons = _hard_reasons(actions, query, slot, snapshot)
    possible = np.fromiter((not reason for reason in reasons), dtype=np.bool_, count=len(reasons))
    if not possible.any():
        return _only(int(np.argmin(q90_s)), reasons)
    downstream_s = slot.depth_left * float(q50_s[possible].min()) if slot.depth_left else 0.0
    allowed = possible & (q90_s + downstream_s <= remaining_s)
    if not allowed.any():
        fastest = int(np.argmin(np.where(possible, q90_s, np.inf)))
        return _only(fastest, [reason or TOO_SLOW for reason in reasons])
    fits = zip(reasons, allowed.tolist(), strict=True)
    return allowed, tuple("" if is_allowed else reason or TOO_SLOW for reason, is_allowed in fits)


def plan_masks(least_s: Array, remaining_s: float) -> tuple[Mask, tuple[str, ...]]:
    """Which planner actions are allowed (P): those whose least time fits, or the shortest when none does."""
    allowed = least_s <= remaining_s
    reasons = ["" if fits else TOO_SLOW for fits in allowed]
    if allowed.any():
        return allowed, tuple(reasons)
    return _only(int(np.argmin(least_s)), reasons)


@dataclass(frozen=True, slots=True)
class PaceMask:
    """Whether STAY and ADVANCE are allowed; ADVANCE always is."""

    allowed: Mask
    reasons: tuple[str, ...]

    @classmethod
    def of(cls, rounds_left: int, round_q90_s: float, remaining_s: float) -> PaceMask:
        """STAY needs a round that may be run and the time for it."""
        reason = NO_ROUNDS if rounds_left < 1 else TOO_SLOW if round_q90_s > remaining_s else ""
        return cls(np.array([not reason, True]), (reason, ""))


def _hard_reasons(actions: ActionSpace, query: Query, slot: Slot, snapshot: FleetSnapshot) -> list[str]:
    spec = actions.topologies.get(slot.topology)
    excluded = spec.excluded_strategies if spec else frozenset()
    by_model = {model: _model_reason(actions, model, query, slot, snapshot) for model in actions.models}
    return [
        by_model[action.model] or (CONTRADICTS if action.strategy in excluded else "")
        for action in actions.executor_actions
    ]


def _model_reason(actions: ActionSpace, model: str, query: Query, slot: Slot, snapshot: FleetSnapshot) -> str:
    facts = actions.models[model]
    if snapshot.least_loaded(model) is None:
        return OPEN
    if not query.needs <= facts.capabilities:
        return CAPABILITY
    return CONTEXT if slot.prompt_tokens + MIN_ANSWER_TOKENS > facts.context_length else ""


def _only(place: int, reasons: list[str]) -> tuple[Mask, tuple[str, ...]]:
    """Allow one candidate alone, as the last resort."""
    allowed = np.zeros(len(reasons), dtype=np.bool_)
    allowed[place] = True
    return allowed, tuple("" if here == place else reason for here, reason in enumerate(reasons))
