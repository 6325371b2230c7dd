"""The published policy: what the planner and the executor say, as weights over the candidates of a view."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inframind.router.actions import PlannerAction
from inframind.router.policy import Proposal
from inframind.router.policy_parts import propose_pace
from inframind.router.published.executor import Executor
from inframind.router.published.layers import Weights, masked_softmax
from inframind.router.published.planner import Planner
from inframind.router.published.reading import Reader
from inframind.router.views import Mask, PaceView, PlanView, RoleView, StepView

SERVING_TEMPERATURE = 0.7
"""The published system samples its executor's actions also when it serves."""


class PublishedPolicy:
    """Proposes probabilities; a decider that is not greedy samples them, as published.

    A team size that a topology does not have, or that is masked, gives way to the nearest that may be chosen.

    Args:
        planner: weights of the planner's network.
        executor: weights of the executor's network.
        reader: reads views.
        temperature: of the executor's choice: 1 while it learns.
        version: of the weights.
        name: in traces.
    """

    def __init__(
        self,
        planner: Weights,
        executor: Weights,
        reader: Reader,
        *,
        temperature: float = SERVING_TEMPERATURE,
        version: str = "1",
        name: str = "published",
    ) -> None:
        self.version, self.name = version, name
        self._planner, self._executor = Planner(planner, reader), Executor(executor)
        self._reader, self._temperature = reader, temperature
        self._layout = lru_cache(maxsize=64)(self._laid_out)
        self._made_of = partial(
            PublishedPolicy, planner, executor, reader, temperature=temperature, version=version, name=name
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Travels to other processes as what it is made of."""
        return self._made_of, ()

    def plan(self, view: PlanView) -> Proposal:
        """The topology by the question alone, with the team size that the question gets."""
        size = self._planner.team_size(view.query.text)
        topology_P, size_P = self._layout(view.actions)
        place_T = _nearest(topology_P, size_P, view.allowed, size, len(self._reader.topologies))
        found_T = place_T >= 0
        shares_T = masked_softmax(self._planner.topology_logits(view.query.text), found_T)
        weights_P = np.zeros(len(view.actions))
        weights_P[place_T[found_T]] = shares_T[found_T]
        return Proposal(weights_P, f"a team of {size}")

    def role(self, view: RoleView) -> Proposal:
        """The role by question, topology and the roles taken."""
        logits_R = self._planner.role_logits(view.query.text, view.action.topology, view.taken, view.roles)
        return Proposal(masked_softmax(logits_R, view.allowed), "learned")

    def step(self, view: StepView) -> Proposal:
        """Model and strategy by question, role, time left and raw load; uniform where its strategies are all masked."""
        reader = self._reader
        logits_A = self._executor.logits(reader.semantic(view), reader.resources(view))
        weights = np.zeros(len(view.actions))
        weights[reader.places_A] = masked_softmax(
            logits_A / np.float32(self._temperature), reader.allowed(view)
        )
        return Proposal(weights, "learned")

    def pace(self, view: PaceView) -> Proposal:
        """The topology's default number of rounds."""
        return propose_pace(view)

    def _laid_out(self, actions: tuple[PlannerAction, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Topology and team size of each plan (P)."""
        topologies = self._reader.topologies
        return (
            np.array([topologies.index(action.topology) for action in actions]),
            np.array([action.team_size for action in actions]),
        )


def _nearest(
    topology_P: NDArray[np.int64], size_P: NDArray[np.int64], allowed_P: Mask, size: int, n_topologies: int
) -> NDArray[np.intp]:
    """Place of each topology's allowed plan whose team is nearest in size, the smaller of equals; -1 for none (T)."""
    place_T = np.full(n_topologies, -1, dtype=np.intp)
    places = np.flatnonzero(allowed_P)
    order = places[np.lexsort((size_P[places], np.abs(size_P[places] - size)))]
    place_T[topology_P[order[::-1]]] = order[::-1]
    return place_T
