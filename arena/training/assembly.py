"""From a scenario to a trainer: records the single calls, reads them, and puts learner and fleet together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from inframind.arena.contenders.contender import TrainingGrid
from inframind.arena.evaluation import Stage
from inframind.arena.scenario import Scenario
from inframind.arena.training.curriculum import Curriculum
from inframind.arena.training.environment import Environment, VirtualEnvironment
from inframind.arena.training.rollouts import InTurn, Rollouts
from inframind.arena.training.trainer import SelectionConfig, Trainer
from inframind.errors import ConfigError
from inframind.router.actions import ActionSpace
from inframind.router.decide import DecideConfig
from inframind.router.latency_learned import LearnedLatencyModel
from inframind.router.latency_state import LatencyState
from inframind.router.learning.config import LearnerConfig
from inframind.router.learning.learner import Learner
from inframind.router.learning.protocol import RoutingLearner
from inframind.router.learning.query_fit import cross_fitted
from inframind.router.published.learner import PublishedLearner
from inframind.router.query_model import QueryModel

LEARNERS = ("learned", "published")
DECIDE = DecideConfig(deadline_quantile=0.5)
"""How a learned policy's proposals become choices, in training and afterwards: it weighs the risk itself."""


class LatencyFactory(Protocol):
    """Makes a latency model for the fleet that is trained on."""

    def __call__(self, state: LatencyState | None = None) -> LearnedLatencyModel:
        """The model that knows what ``state`` knows."""
        ...


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """What is learned, and how.

    Raises:
        ConfigError: there is no such learner.
    """

    learner: str = "learned"
    """``learned``, or ``published``: the reference design, which has a configuration of its own."""
    config: LearnerConfig = field(default_factory=LearnerConfig)
    """Of ``learned``."""
    curriculum: Curriculum = field(default_factory=Curriculum)
    """What is asked."""
    selection: SelectionConfig = field(default_factory=SelectionConfig)
    """What is kept."""
    seed: int = 0
    """Of weights, workloads and replies."""

    def __post_init__(self) -> None:
        if self.learner not in LEARNERS:
            raise ConfigError("learner", self.learner, f"use one of: {', '.join(LEARNERS)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """A trainer that is ready, and what makes a latency model for its fleet."""

    trainer: Trainer
    latency: LatencyFactory


def virtual_training(
    scenario: Scenario,
    plan: TrainingPlan,
    *,
    stage: Stage | None = None,
    watched: Callable[[Environment], Environment] = lambda environment: environment,
    rollouts: Callable[[Environment], Rollouts] = InTurn,
) -> Training:
    """A training on the scenario's fleet in virtual time, asked its training questions.

    Args:
        scenario: what policies will meet.
        plan: what is learned, and how.
        stage: the scenario with its single calls, where they are recorded already.
        watched: wraps the environment, to see sweeps go by.
        rollouts: how sweeps are played there.

    Raises:
        ConfigError: the scenario has no training questions, or the plan cannot be carried out.
    """
    if not scenario.training_items:
        raise ConfigError("training_items", 0, "give questions to learn from")
    stage = stage or Stage.of(scenario)
    actions = stage.setting(plan.seed).actions
    queries = _fitted(stage.training, actions, plan.seed) if plan.learner == "learned" else QueryModel()
    environment = watched(VirtualEnvironment(scenario, DECIDE))
    return training_on(environment, actions, queries, plan, rollouts=rollouts)


def training_on(
    environment: Environment,
    actions: ActionSpace,
    queries: QueryModel,
    plan: TrainingPlan,
    *,
    rollouts: Callable[[Environment], Rollouts] = InTurn,
) -> Training:
    """A training wherever sweeps can be played.

    Args:
        environment: where they are played.
        actions: what may be chosen there.
        queries: reads questions; an empty one takes all of them for typical.
        plan: what is learned, and how.
        rollouts: how sweeps are played there.
    """

    def latency(state: LatencyState | None = None) -> LearnedLatencyModel:
        return LearnedLatencyModel(actions.models, actions.strategies, state=state)

    trainer = Trainer(
        _learner(actions, queries, plan),
        rollouts(environment),
        latency(),
        curriculum=plan.curriculum,
        selection=plan.selection,
        seed=plan.seed,
    )
    return Training(trainer=trainer, latency=latency)


def _learner(actions: ActionSpace, queries: QueryModel, plan: TrainingPlan) -> RoutingLearner:
    if plan.learner == "published":
        return PublishedLearner(actions, seed=plan.seed)
    return Learner(actions, queries, plan.config, seed=plan.seed)


def _fitted(grid: TrainingGrid, actions: ActionSpace, seed: int) -> QueryModel:
    return cross_fitted(
        [item.question for item in grid.items],
        list(actions.executor_labels),
        grid.solved,
        grid.output_tokens,
        seed=seed,
    )
