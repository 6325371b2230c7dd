"""Values roles, decision after decision."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from inframind.router.actions import PlannerAction
from inframind.router.columns import LARGEST_SLACK, QUESTION_COLUMNS, role_names
from inframind.router.features import FeatureBuilder, Features
from inframind.router.heads import Head, HeadWeights, Valuation, Worth
from inframind.router.serving.memory import QUESTIONS_KEPT
from inframind.router.views import Array, RoleView


class _Seated(NamedTuple):
    """The question and the team whose seats are filled; nothing else decides what a role is worth."""

    text: str
    domain: str
    action: PlannerAction
    roles: tuple[str, ...]


class RoleHead:
    """Values roles: for all seats of a team at once, with and without each role taken, and then looks up.

    Args:
        weights: what was learned.
        builder: what a role's features are.
        valuation: how probabilities become a worth.
    """

    def __init__(self, weights: HeadWeights, builder: FeatureBuilder, valuation: Valuation) -> None:
        self._builder, self._head = builder, Head(weights, valuation)
        self._tables = lru_cache(maxsize=QUESTIONS_KEPT)(self._table)
        self._fixed_parts = lru_cache(maxsize=64)(self._fixed_part)
        self._cells = lru_cache(maxsize=1024)(_seat_cells)
        self._seats = lru_cache(maxsize=64)(_seat_states)

    def worth(self, view: RoleView) -> Worth:
        """Values of all roles of the domain for one seat."""
        table = self._tables(_Seated(view.query.text, view.query.domain, view.action, view.roles))
        cells = self._cells(view.seat, view.taken, view.roles)
        return Worth(table.solved[cells], table.worth[cells], table.logits[cells])

    def _table(self, seated: _Seated) -> Worth:
        """For each seat, without and with anyone seated before, each role that is free and that is taken."""
        size = seated.action.team_size
        question = self._builder.queries.read(seated.text)
        seats, is_taken, always, never = self._seats(size, len(seated.roles))
        state = seats.copy()
        state[:, : len(QUESTION_COLUMNS)] = question.columns
        features = Features(
            state=state,
            state_names=(seated.action.topology, seated.domain),
            candidates=is_taken,
            prior_logit=always * (question.typical_logit / LARGEST_SLACK),
            slack=always,
            work=never,
        )
        return self._head.worth(features, self._fixed_parts(seated.roles, size), 0.0)

    def _fixed_part(self, roles: tuple[str, ...], size: int) -> Array:
        return np.tile(self._head.fixed_part(role_names(roles)).repeat(2, axis=0), (2 * size, 1))


def _seat_cells(seat: int, taken: tuple[str, ...], roles: tuple[str, ...]) -> NDArray[np.int64]:
    """Place of each role in a table of seats, for one of them (R)."""
    first = 2 * len(roles) * (2 * seat + bool(taken))
    return np.array([first + 2 * place + (role in taken) for place, role in enumerate(roles)])


def _seat_states(size: int, n_roles: int) -> tuple[Array, Array, Array, Array]:
    """States but for the question, whether the role is taken, and columns of the largest slack and of zeros."""
    places = np.indices((size, 2, n_roles, 2)).reshape(4, -1).astype(np.float64)
    seat, is_taken_by_someone, _, is_taken = places
    question = np.zeros((len(QUESTION_COLUMNS), len(seat)))
    states = np.vstack([question, seat / 3, np.full_like(seat, size / 3), is_taken_by_someone]).T.copy()
    return states, is_taken[:, None], np.full_like(seat, LARGEST_SLACK), np.zeros_like(seat)
