"""What cannot be chosen, and why: masks that are recorded with the decision, never learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import compress
from typing import NamedTuple

import numpy as np

from inframind.fleet.endpoints import ModelFacts
from inframind.fleet.snapshot import FleetSnapshot
from inframind.router.actions import ActionSpace
from inframind.router.views import Array, Mask, Query, Slot

OPEN, CONTEXT, CAPABILITY = "breaker open", "context too long", "capability missing"
NOT_ASKED = "not asked for"
"""The caller has settled on another model or strategy."""
MIN_ANSWER_TOKENS = 64
"""Room that a prompt must leave for an answer."""
CONTRADICTS, TOO_SLOW, NO_ROUNDS = "strategy contradicts topology", "too slow", "no rounds left"


class StepMasks:
    """Masks executor actions.

    What the models' states and the topology forbid comes in few combinations, so each is worked out once.

    Args:
        actions: what may be chosen.
    """

    def __init__(self, actions: ActionSpace) -> None:
        self._actions = actions
        self._all_free = ("",) * len(actions.models)
        self._shortest_context = min(facts.context_length for facts in actions.models.values())
        self._hard = lru_cache(maxsize=_HARD_KEPT)(self._work_out)

    def of(
        self,
        query: Query,
        slot: Slot,
        snapshot: FleetSnapshot,
        q50_s: Array,
        upper_s: Array,
        remaining_s: float,
    ) -> tuple[Mask, tuple[str, ...]]:
        """Which executor actions are allowed (A), and the reason for each that is not ("" otherwise) (A).

        A step is too slow when its own ``upper_s`` (the quantile that must fit) and the least time that must follow
        it (``depth_left`` calls at the fastest possible median) exceed what is left. When every candidate is masked
        the fastest possible one is let through after all, or, when none is possible, the fastest of those that the
        caller asked for: the call itself then says what is wrong.
        """
        spec = self._actions.topologies.get(slot.topology)
        hard = self._hard(
            spec.excluded_strategies if spec else frozenset(),
            slot.strategies,
            self._by_model(query, slot, snapshot),
        )
        uppers_s = upper_s.tolist()
        if not hard.n_possible:
            asked = [place for place, reason in enumerate(hard.reasons) if reason != NOT_ASKED]
            return _only(min(asked, key=uppers_s.__getitem__), hard.reasons)
        after_s = (
            slot.depth_left * min(compress(q50_s.tolist(), hard.is_possible)) if slot.depth_left else 0.0
        )
        if max(uppers_s) + after_s <= remaining_s:
            return hard.mask, hard.reasons
        reasons = tuple(
            [
                reason or ("" if upper_s + after_s <= remaining_s else TOO_SLOW)
                for reason, upper_s in zip(hard.reasons, uppers_s, strict=True)
            ]
        )
        if "" not in reasons:
            possible = compress(range(len(uppers_s)), hard.is_possible)
            return _only(min(possible, key=uppers_s.__getitem__), reasons)
        return np.array([not reason for reason in reasons]), reasons

    def _by_model(self, query: Query, slot: Slot, snapshot: FleetSnapshot) -> tuple[str, ...]:
        tokens, models = slot.prompt_tokens + MIN_ANSWER_TOKENS, self._actions.models
        is_narrow = query.needs or slot.models is not None
        if not is_narrow and tokens <= self._shortest_context and models.keys() <= snapshot.callable_models:
            return self._all_free
        return tuple(
            [
                NOT_ASKED
                if slot.models is not None and model not in slot.models
                else OPEN
                if model not in snapshot.callable_models
                else _unfit(facts, query, tokens)
                for model, facts in models.items()
            ]
        )

    def _work_out(
        self, excluded: frozenset[str], asked: frozenset[str] | None, by_model: tuple[str, ...]
    ) -> _Hard:
        reason_of = dict(zip(self._actions.models, by_model, strict=True))
        unwanted = dict.fromkeys(excluded, CONTRADICTS)
        if asked is not None:
            unwanted |= dict.fromkeys(self._actions.strategies.keys() - asked, NOT_ASKED)
        reasons = tuple(
            _first_of(unwanted.get(action.strategy, ""), reason_of[action.model])
            for action in self._actions.executor_actions
        )
        is_possible = [not reason for reason in reasons]
        mask = np.array(is_possible)
        mask.setflags(write=False)
        return _Hard(mask, is_possible, reasons, sum(is_possible))


class _Hard(NamedTuple):
    """What cannot be chosen however much time there is, as a mask and as a list (A), why (A), and how many are left."""

    mask: Mask
    is_possible: list[bool]
    reasons: tuple[str, ...]
    n_possible: int


_HARD_KEPT = 1024


def _first_of(strategy: str, model: str) -> str:
    """What to say of a candidate: that nobody asked for it before anything else."""
    return NOT_ASKED if NOT_ASKED in (strategy, model) else model or strategy


def _unfit(facts: ModelFacts, query: Query, tokens: int) -> str:
    if not query.needs <= facts.capabilities:
        return CAPABILITY
    return CONTEXT if tokens > facts.context_length else ""


def plan_masks(least_s: Array, remaining_s: float) -> tuple[Mask, tuple[str, ...]]:
    """Which planner actions are allowed (P): those whose least time fits, or the shortest when none does."""
    allowed = least_s <= remaining_s
    reasons = tuple(["" if fits else TOO_SLOW for fits in allowed.tolist()])
    return (allowed, reasons) if "" in reasons else _only(int(least_s.argmin()), reasons)


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


def _only(place: int, reasons: Sequence[str]) -> tuple[Mask, tuple[str, ...]]:
    """Allow one candidate alone, as the last resort."""
    allowed = np.zeros(len(reasons), dtype=np.bool_)
    allowed[place] = True
    return allowed, tuple("" if here == place else reason for here, reason in enumerate(reasons))
