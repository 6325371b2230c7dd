"""The policies that learn, and one of them at it.

Their networks are as large as trained ones, and their weights as they begin: no decision takes longer for having been
learned. Questions are read by weights drawn at random, so that each has its own difficulty.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import numpy as np
import torch
from _decision_world import Task, World

from inframind.router.actions import ActionSpace
from inframind.router.decide import Decider
from inframind.router.encoder import HashingEncoder
from inframind.router.learning.config import LearnerConfig
from inframind.router.learning.learner import Learner
from inframind.router.policy import Policy, UniformPolicy
from inframind.router.published.learner import PublishedLearner
from inframind.router.query_model import SHAPE_COLUMNS, QueryModel, QueryWeights
from inframind.router.views import Slot
from inframind.traces.records import Trajectory

RUNS, RUNS_KEPT = 8, 256
"""Runs that one step of learning is given, and how many earlier ones it learns from again."""


def learned(actions: ActionSpace) -> Policy:
    """Ours, as it serves."""
    return Learner(actions, reader(actions), seed=0).serving()


def published(actions: ActionSpace) -> Policy:
    """The published one, as it serves."""
    return PublishedLearner(actions, seed=0).serving()


def reader(actions: ActionSpace) -> QueryModel:
    rng = np.random.default_rng(0)
    length = HashingEncoder().dimension + len(SHAPE_COLUMNS)
    weights = QueryWeights(
        mean=np.zeros(length),
        scale=np.ones(length),
        difficulty=rng.standard_normal(length),
        typical=0.0,
        length_slope=0.1,
        abilities={label: float(rng.standard_normal()) for label in actions.executor_labels},
        discriminations={label: float(rng.uniform(0.5, 1.5)) for label in actions.executor_labels},
    )
    return QueryModel(weights)


def learner(seed: int = 0) -> Callable[[], object]:
    """One step of learning of ours: some new runs, the critics from all that are kept, the actors from the new ones."""
    torch.set_num_threads(1)
    world = World(seed)
    one = Learner(world.actions, reader(world.actions), LearnerConfig(runs_kept=RUNS_KEPT), seed=seed)
    decider = world.decider(UniformPolicy())
    runs = [run(world, decider, place) for place in range(RUNS)]
    solved = {each.trace_id: place % 2 == 0 for place, each in enumerate(runs)}
    steps = count()

    def step() -> None:
        one.learn(runs, solved, min(next(steps) / 1000, 1.0))

    return step


def run(world: World, decider: Decider, place: int) -> Trajectory:
    """A plan, and a step for every seat of its team."""
    task, snapshot = world.next_task(), world.fleet.snapshot()
    deadline = world.deadline(task)
    plan, decision = decider.plan(task.query, snapshot, deadline, decision_id="plan")
    decisions = [decision]
    for seat in range(len(plan.team)):
        slot = slot_of(task, plan.topology.name, plan.team, seat)
        decisions.append(decider.step(task.query, slot, snapshot, deadline, decision_id=f"step {seat}")[1])
    return Trajectory(
        trace_id=f"{place:032x}",
        question=task.query.text,
        domain=task.query.domain,
        arrived_at_s=0.0,
        budget_s=task.budget_s,
        topology=plan.topology.name,
        team=plan.team,
        decisions=tuple(decisions),
        latency_s=task.budget_s * float(world.rng.uniform(0.5, 1.2)),
    )


def slot_of(task: Task, topology: str, team: tuple[str, ...], seat: int) -> Slot:
    return Slot(
        topology=topology,
        position=seat,
        team_size=len(team),
        role=team[seat],
        prompt_tokens=task.query.prompt_tokens,
    )
