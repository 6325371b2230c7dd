"""A policy that is asked again what it would do, about decisions that were recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from inframind.advisor.options.logs import Array, Ints, Mask, Narrow
from inframind.router.choosing import behaviour
from inframind.router.policy import Proposal
from inframind.router.ruled_views import RuledViews
from inframind.router.views import PlanView, StepView

Propose = Callable[[PlanView], Proposal] | Callable[[StepView], Proposal]


class Asked:
    """A policy, and the views that it is asked about; ``columns`` are the places of their candidates, where not all."""

    def __init__(
        self,
        propose: Propose,
        views: Sequence[PlanView] | Sequence[StepView],
        name: str,
        exploration: float,
        greedy: bool,
        columns: Sequence[Ints] | None = None,
    ) -> None:
        self._propose, self._views, self._name = propose, views, name
        self._exploration, self._greedy, self._columns = exploration, greedy, columns

    def proposals(self, allowed_NC: Mask) -> tuple[Array, Array]:
        """Weights of the candidates (N, C), and their ranks, all 0 where it gives none (N, C)."""
        weights_NC, ranks_NC = np.zeros(allowed_NC.shape), np.zeros(allowed_NC.shape)
        for place in range(len(self._views)):
            proposal, column = self._proposal(place, allowed_NC[place])
            weights, ranks = proposal.weights, proposal.ranks
            if self._greedy:
                ranks = weights if ranks is None else ranks
                weights = np.array(self._behaviour(proposal, allowed_NC[place][column]))
            weights_NC[place, column] = weights
            if ranks is not None:
                ranks_NC[place, column] = ranks
        return weights_NC, ranks_NC

    def again(self, weights_NC: Array, narrow: Narrow) -> Narrow:
        """What it would do where less is left. It is asked only where it loses what it gave any weight to."""

        def ask(places: Ints, left_nC: Mask) -> Array:
            target_nC = narrow(places, left_nC)
            loses_n = ((weights_NC[places] > 0) & ~left_nC).any(axis=1)
            for row in np.flatnonzero(loses_n).tolist():
                proposal, column = self._proposal(int(places[row]), left_nC[row])
                target_nC[row, column] = self._behaviour(proposal, left_nC[row][column])
            return target_nC

        return ask

    def under(
        self, ruled: RuledViews, places: Ints, walls: Sequence[float], width: int
    ) -> tuple[Mask, Array]:
        """What rules leave of some plans (n, C), and what it would do there (n, C); C is ``width``."""
        left_nC = np.zeros((len(places), width), dtype=np.bool_)
        target_nC = np.zeros((len(places), width))
        for row, place in enumerate(places.tolist()):
            column = slice(None) if self._columns is None else self._columns[place]
            view = ruled.plan(self._views[place], walls[place])
            left_nC[row, column] = view.allowed
            target_nC[row, column] = self._behaviour(self._propose(view), view.allowed)  # type: ignore[arg-type]
        return left_nC, target_nC

    def _behaviour(self, proposal: Proposal, left_c: Mask) -> list[float]:
        return behaviour(
            proposal.weights.tolist(),
            left_c,
            exploration=self._exploration,
            greedy=self._greedy,
            policy=self._name,
        )

    def _proposal(self, place: int, left_C: Mask) -> tuple[Proposal, Ints | slice]:
        column = slice(None) if self._columns is None else self._columns[place]
        view = replace(self._views[place], allowed=left_C[column])
        return self._propose(view), column  # type: ignore[arg-type]
