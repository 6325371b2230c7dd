"""Who is judged in a season: the frozen policy, learners to compare with, and the reference that was told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from inframind.arena.online.season import Start
from inframind.router.actions import ActionSpace
from inframind.router.online.protocol import LabelledRun
from inframind.router.policy import Policy
from inframind.router.policy_file import StoredPolicy


class Frozen:
    """The trained policy, as it is; what it serves is the best candidate, and it learns nothing."""

    name = "frozen"

    def __init__(self, start: Start) -> None:
        self._stored, self._policy = start.stored, start.stored.bind(start.actions)

    def behaviour(self) -> Policy:
        """The policy."""
        return self._policy

    def learn(self, runs: Sequence[LabelledRun]) -> Mapping[str, float]:
        """Nothing."""
        return {}

    def welcome(self, actions: ActionSpace) -> None:
        """Value newcomers by their description."""
        self._policy = self._stored.bind(actions)


class Retrained:
    """The reference: changes over to a policy that was trained in the changed world, the moment that it changes.

    Args:
        start: as for every contender.
        retrained: the other policy.
    """

    name = "retrained"

    def __init__(self, start: Start, retrained: StoredPolicy) -> None:
        self._actions, self._retrained = start.actions, retrained
        self._policy: Policy = start.stored.bind(start.actions)

    def behaviour(self) -> Policy:
        """The one policy, or the other."""
        return self._policy

    def learn(self, runs: Sequence[LabelledRun]) -> Mapping[str, float]:
        """Nothing."""
        return {}

    def welcome(self, actions: ActionSpace) -> None:
        """Take newcomers in."""
        self._actions = actions

    def world_changed(self) -> None:
        """Change over."""
        self._policy = self._retrained.bind(self._actions)
