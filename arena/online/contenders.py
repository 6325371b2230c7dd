"""Who is judged in a season: the frozen policy, learners to compare with, and the reference that was told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from inframind.arena.online.refit import Refit
from inframind.arena.online.season import Entry, Start
from inframind.arena.online.warm_start import warm_learner
from inframind.errors import ConfigError
from inframind.router.actions import ActionSpace
from inframind.router.learning.config import LearnerConfig
from inframind.router.online.learner import OnlineLearner
from inframind.router.online.protocol import LabelledRun, OnlineRouting
from inframind.router.policy import Policy, Proposal
from inframind.router.policy_file import StoredPolicy
from inframind.router.views import PaceView, PlanView, RoleView, StepView


class Frozen:
    """The trained policy, as it is; what it serves is the best candidate, and it learns nothing."""

    name = "frozen"

    def __init__(self, start: Start) -> None:
        self._stored = start.stored
        self._policy: Policy = start.stored.bind(start.actions)

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


class Warned:
    """The reference where a server goes: the trained policy, which never considers that model any more.

    Args:
        start: as for every contender.
        model: that is going to be lost.
    """

    name = "retrained"

    def __init__(self, start: Start, model: str) -> None:
        self._policy: Policy = start.stored.bind(start.actions)
        self._avoiding = Avoiding(self._policy, model)

    def behaviour(self) -> Policy:
        """With the model, or without."""
        return self._policy

    def learn(self, runs: Sequence[LabelledRun]) -> Mapping[str, float]:
        """Nothing."""
        return {}

    def welcome(self, actions: ActionSpace) -> None:
        """There are no newcomers where a server goes."""

    def world_changed(self) -> None:
        """Do without the model."""
        self._policy = self._avoiding


class Avoiding:
    """A policy that does as another one does without one of the models."""

    name, version = "avoiding", "1"

    def __init__(self, policy: Policy, model: str) -> None:
        self._policy, self._model = policy, model

    def plan(self, view: PlanView) -> Proposal:
        """As the other one."""
        return self._policy.plan(view)

    def role(self, view: RoleView) -> Proposal:
        """As the other one."""
        return self._policy.role(view)

    def step(self, view: StepView) -> Proposal:
        """Without the model, unless nothing else is allowed."""
        others = view.allowed & np.array([action.model != self._model for action in view.actions])
        return self._policy.step(replace(view, allowed=others) if others.any() else view)

    def pace(self, view: PaceView) -> Proposal:
        """As the other one."""
        return self._policy.pace(view)


class InPlace:
    """Actor-critic on the latest runs alone, as in training: no replay, and no regard to which policy chose.

    Runs without a label teach it nothing; what being late costs stays as trained.
    """

    name = "a2c"

    def __init__(self, start: Start) -> None:
        self._seed, self._config = start.seed, LearnerConfig(runs_kept=1)
        self._learner = warm_learner(start.stored, start.actions, self._config, seed=start.seed)
        self._stored = start.stored

    def behaviour(self) -> Policy:
        """Explores by the temperature that training ended with."""
        return self._learner.behaviour(1.0)

    def learn(self, runs: Sequence[LabelledRun]) -> Mapping[str, float]:
        """One round of learning from the labelled runs."""
        labels = {one.run.trace_id: one.label.solved >= 0.5 for one in runs if one.label is not None}
        if not labels:
            return {}
        return self._learner.learn([one.run for one in runs], labels, 1.0)

    def welcome(self, actions: ActionSpace) -> None:
        """Go on over these, with rows of their own for newcomers and fresh optimisers."""
        weights = self._learner.serving().weights
        self._stored = replace(self._stored, weights=weights)
        self._learner = warm_learner(self._stored, actions, self._config, seed=self._seed)


OURS = "online"


def _ours(start: Start) -> OnlineRouting:
    return OnlineLearner(start.stored, start.actions, name=OURS)


RIVALS: Mapping[str, Entry] = MappingProxyType(
    {OURS: _ours, "frozen": Frozen, "a2c": InPlace, "refit": Refit}
)
"""Entries that need nothing but the start, by name."""


def rival(name: str) -> Entry:
    """One of `RIVALS`.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in RIVALS:
        raise ConfigError("contender", name, f"use one of: {', '.join(RIVALS)}")
    return RIVALS[name]
