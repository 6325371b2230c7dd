"""A fixed workflow whose seats belong to fixed models: one proposer per model, one model as the judge."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from inframind.errors import ConfigError
from inframind.router.actions import ExecutorAction, PlannerAction
from inframind.router.policy import Proposal
from inframind.router.policy_parts import one_hot, propose_pace, propose_plan, propose_role
from inframind.router.topology import JUDGE
from inframind.router.views import PaceView, PlanView, RoleView, StepView


class SeatedPolicy:
    """Seat k asks the k-th member, the judge's call goes to one model, whatever the question and the load.

    Where a member is masked, the first allowed candidate takes its place. A team that shrank, because the plan
    was masked, keeps the first members.

    Args:
        topology: name of the topology.
        seats: model and strategy of each seat; their number is the team's size.
        judge: model and strategy of the judge.
        name: name in traces.

    Raises:
        ConfigError: no seats.
    """

    version = "1"

    def __init__(
        self, topology: str, seats: Sequence[ExecutorAction], judge: ExecutorAction, *, name: str = "seated"
    ) -> None:
        if not seats:
            raise ConfigError("seats", seats, "give at least one model")
        self._plan = PlannerAction(topology, len(seats))
        self._seats, self._judge = tuple(seats), judge
        self.name = name

    def plan(self, view: PlanView) -> Proposal:
        """The topology with a seat per member."""
        return propose_plan(view, self._plan)

    def role(self, view: RoleView) -> Proposal:
        """Catalogue order."""
        return propose_role(view)

    def step(self, view: StepView) -> Proposal:
        """The seat's own model and strategy."""
        slot = view.slot
        wanted = self._judge if slot.kind == JUDGE else self._seats[slot.position % len(self._seats)]
        place = view.actions.index(wanted)
        if view.allowed[place]:
            return Proposal(one_hot(place, len(view.actions)), wanted.label)
        first = int(np.argmax(view.allowed))
        return Proposal(one_hot(first, len(view.actions)), f"{wanted.label} cannot be chosen")

    def pace(self, view: PaceView) -> Proposal:
        """The topology's default number of rounds."""
        return propose_pace(view)
