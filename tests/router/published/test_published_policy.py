"""The published policy on views: blind planning, masks, and no strategy that it never had."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from inframind.router.decide import Decider
from inframind.router.published.learner import PublishedLearner
from inframind.router.published.policy import PublishedPolicy
from inframind.router.views import Query, Slot, StepView

QUERY = Query(text="What is 3 + 4?", domain="math", prompt_tokens=10)
SLOT = Slot(topology="IO", role="Solver", prompt_tokens=10)


@pytest.fixture
def policy(bench: Any) -> PublishedPolicy:
    return PublishedLearner(bench.actions, seed=0).serving()


def step_of(decider: Decider, bench: Any, slot: Slot = SLOT, budget_s: float = 60.0, **loads: Any) -> Any:
    return decider.step(QUERY, slot, bench.snapshot(**loads), bench.within(budget_s), decision_id="d")[1]


def plan_of(decider: Decider, bench: Any, budget_s: float = 60.0, **options: Any) -> Any:
    snapshot = bench.snapshot(**options.pop("loads", {}))
    return decider.plan(QUERY, snapshot, bench.within(budget_s), decision_id="d", **options)[1]


def shares(decision: Any) -> dict[str, float]:
    return dict(zip(decision.actions, decision.probabilities, strict=True))


def test_plain_is_never_chosen_while_others_are_allowed(bench: Any, policy: PublishedPolicy) -> None:
    found = shares(step_of(bench.decider(policy), bench))
    assert found["a/Plain"] == found["b/Plain"] == 0.0
    assert all(share > 0 for label, share in found.items() if not label.endswith("Plain"))


def test_where_nothing_else_is_allowed_it_asks_for_nothing(
    bench: Any, policy: PublishedPolicy, step_view: Callable[..., StepView]
) -> None:
    view = step_view(bench)
    only_plain = np.array([action.strategy == "Plain" for action in view.actions])
    assert policy.step(replace(view, allowed=only_plain)).weights.sum() == 0.0


def test_masked_models_get_nothing(bench: Any, policy: PublishedPolicy) -> None:
    found = shares(step_of(bench.decider(policy), bench, a={"breaker": "open"}))
    assert sum(share for label, share in found.items() if label.startswith("b/")) == pytest.approx(1.0)
    assert not any(share for label, share in found.items() if label.startswith("a/"))


def test_the_executor_sees_the_load(bench: Any, policy: PublishedPolicy) -> None:
    decider = bench.decider(policy)
    idle = step_of(decider, bench)
    busy = step_of(decider, bench, a={"running": 16.0, "waiting": 16.0, "kv_cache_usage": 0.9})
    assert idle.probabilities != busy.probabilities


def test_the_planner_sees_neither_load_nor_budget(bench: Any, policy: PublishedPolicy) -> None:
    decider = bench.decider(policy)
    idle = plan_of(decider, bench, budget_s=300.0)
    busy = plan_of(decider, bench, budget_s=200.0, loads={"a": {"running": 16.0, "waiting": 16.0}})
    assert set(idle.masked) == set(busy.masked) == {""}
    assert idle.probabilities == busy.probabilities


def test_every_topology_is_planned_with_the_one_team_size(bench: Any, policy: PublishedPolicy) -> None:
    found = shares(plan_of(bench.decider(policy), bench, budget_s=300.0))
    assert {label.split("/")[1] for label, share in found.items() if share} == {"3"}
    assert sum(share > 0 for share in found.values()) == len(bench.actions.topologies)


def test_a_team_size_that_may_not_be_chosen_gives_way_to_the_nearest(
    bench: Any, policy: PublishedPolicy
) -> None:
    found = shares(plan_of(bench.decider(policy), bench, team_size=5))
    assert {label.split("/")[1] for label, share in found.items() if share} == {"5"}
    assert sum(found.values()) == pytest.approx(1.0)


def test_serving_is_sharper_than_exploring(bench: Any) -> None:
    learner = PublishedLearner(bench.actions, seed=0)
    exploring = step_of(bench.decider(learner.behaviour(0.5)), bench)
    serving = step_of(bench.decider(learner.serving()), bench)
    explored = np.array([share for share in exploring.probabilities if share])
    served = np.array([share for share in serving.probabilities if share])
    sharpened = explored ** (1 / 0.7)
    np.testing.assert_allclose(served, sharpened / sharpened.sum(), rtol=1e-5)


def test_roles_may_be_drawn_twice(bench: Any, policy: PublishedPolicy) -> None:
    teams = [
        plan_of(bench.decider(policy, seed=seed), bench, budget_s=300.0).choice["team"] for seed in range(20)
    ]
    assert any(len(set(team)) < len(team) for team in teams)
    assert {role for team in teams for role in team} == {"Solver", "Checker"}
