"""A learner that goes on from a policy's weights, as if it had trained them itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from inframind.router.actions import ActionSpace
from inframind.router.columns import CANDIDATE_TABLES, TABLES
from inframind.router.learning.config import LearnerConfig
from inframind.router.learning.learner import Learner, known_names
from inframind.router.policy_file import StoredPolicy
from inframind.router.policy_learned import KINDS, PolicyWeights
from inframind.router.query_model import QueryModel
from inframind.router.scorer import ScorerWeights
from inframind.router.views import Array

Tensors = Mapping[str, Any]
Names = Sequence[Sequence[str]]


def warm_learner(stored: StoredPolicy, actions: ActionSpace, config: LearnerConfig, *, seed: int) -> Learner:
    """A learner with a policy's networks and multipliers; its optimisers know nothing yet.

    Args:
        stored: the policy.
        actions: what may be chosen; names that the policy does not know begin with small random rows.
        config: how it learns on.
        seed: of those rows and of minibatches.
    """
    learner = Learner(actions, QueryModel(stored.queries), config, seed=seed)
    state, weights = learner.state(), stored.weights
    progress = {
        **state.progress,
        "multiplier": _multiplier(state.progress["multiplier"], weights.multipliers),
        "plan_runs": dict(weights.plan_runs),
    }
    learner.restore(replace(state, modules=_modules(state.modules, weights, actions), progress=progress))
    return learner


def _multiplier(fresh: Mapping[str, Any], multipliers: tuple[float, ...]) -> dict[str, Any]:
    return {**fresh, "multiplier": list(multipliers), "integral": list(multipliers)}


def _modules(
    fresh: Mapping[str, Tensors], weights: PolicyWeights, actions: ActionSpace
) -> dict[str, Tensors]:
    state_names, candidate_names = known_names(actions)
    modules: dict[str, Tensors] = {}
    for kind in KINDS:
        head = weights.heads[kind]
        rows = [state_names[table] for table in TABLES[kind]]
        columns = [candidate_names[table] for table in CANDIDATE_TABLES[kind]]
        for name, scorer in ((f"{kind}.critic", head.critic), (f"{kind}.actor", head.actor)):
            modules[name] = _tensors(fresh[name], scorer, rows, columns)
    return modules


def _tensors(fresh: Tensors, scorer: ScorerWeights, rows: Names, columns: Names) -> dict[str, Any]:
    filled = {
        name: fresh[name].new_tensor(getattr(scorer, name))
        for name in ("state", "bias", "candidate", "out", "out_bias")
    }
    known = list(scorer.candidate_names.values())
    for place, names in enumerate(rows):
        key = f"state_tables.{place}"
        filled[key] = _table(fresh[key], names, scorer.state_tables[place], scorer.state_names[place])
    for place, names in enumerate(columns):
        key = f"candidate_tables.{place}"
        filled[key] = _table(fresh[key], names, scorer.candidate_tables[place], known[place])
    return filled


def _table(fresh: Any, names: Sequence[str], trained: Array, known: Sequence[str]) -> Any:
    """The trained row of every name that is known, and a fresh one of every other."""
    table = fresh.clone()
    for row, name in enumerate(names):
        if name in known:
            table[row] = table.new_tensor(trained[known.index(name)])
    return table
