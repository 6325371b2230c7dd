"""A stored policy over two models, runs of one call, and a learner of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from inframind.router.encoder import HashingEncoder
from inframind.router.online.learner import OnlineLearner
from inframind.router.online.protocol import Label, LabelledRun
from inframind.router.policy import UniformPolicy
from inframind.router.policy_file import StoredPolicy
from inframind.router.policy_learned import PolicyWeights
from inframind.router.query_model import SHAPE_COLUMNS, QueryWeights
from inframind.router.scorer import ScorerWeights
from inframind.traces.records import Trajectory


def silenced(scorer: ScorerWeights) -> ScorerWeights:
    """Networks that say nothing, so that the prior alone speaks."""
    return replace(scorer, out=np.zeros_like(scorer.out), out_bias=np.zeros_like(scorer.out_bias))


def stored_policy(bench: Any, weights: PolicyWeights, ability: float = 1.0) -> StoredPolicy:
    """Every action of the bench is right with these log odds, whatever the question."""
    size = HashingEncoder().dimension + len(SHAPE_COLUMNS)
    heads = {
        kind: replace(head, critic=silenced(head.critic), actor=silenced(head.actor))
        for kind, head in weights.heads.items()
    }
    queries = QueryWeights(
        mean=np.zeros(size),
        scale=np.ones(size),
        difficulty=np.zeros(size),
        typical=0.0,
        length_slope=0.0,
        abilities=dict.fromkeys(bench.actions.executor_labels, ability),
        discriminations=dict.fromkeys(bench.actions.executor_labels, 1.0),
    )
    return StoredPolicy(weights=replace(weights, heads=heads), queries=queries, version="base")


def played(bench: Any, n: int, *, first: int = 0, seed: int = 0, policy: Any = None) -> list[Trajectory]:
    """Runs of one call each, of a policy's choice."""
    decider = bench.decider(policy or UniformPolicy(), seed=seed)
    return [
        bench.play(decider, "How many?", number=first + place, topology="IO", team_size=1)
        for place in range(n)
    ]


def labelled(runs: list[Trajectory], share_of: Callable[[str], float], seed: int = 0) -> list[LabelledRun]:
    """The runs with labels that are right as often as is said of what was called."""
    rng = np.random.default_rng(seed)
    return [
        LabelledRun(run=run, label=Label(solved=float(rng.random() < share_of(run.decisions[1].action))))
        for run in runs
    ]


@pytest.fixture
def stored(bench: Any, make_weights: Any) -> StoredPolicy:
    return stored_policy(bench, make_weights(bench))


@pytest.fixture
def learner(stored: StoredPolicy, bench: Any) -> OnlineLearner:
    return OnlineLearner(stored, bench.actions)


@pytest.fixture
def make_played() -> Callable[..., list[Trajectory]]:
    return played


@pytest.fixture
def make_labelled() -> Callable[..., list[LabelledRun]]:
    return labelled
