"""The heads that serve, against the plain form over the features that training reads: the same worths."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inframind.router.actions import PlannerAction
from inframind.router.columns import action_names, plan_names, role_names
from inframind.router.features import FeatureBuilder, Features, Sight
from inframind.router.heads import Head, Valuation, Worth
from inframind.router.query_model import QueryModel, QueryWeights
from inframind.router.serving.plan_head import PlanHead
from inframind.router.serving.role_head import RoleHead
from inframind.router.serving.step_head import StepHead
from inframind.router.views import Query, RoleView

LOAD = st.fixed_dictionaries(
    {
        "running": st.none() | st.floats(0, 200),
        "waiting": st.floats(0, 100),
        "age_s": st.none() | st.floats(0, 100),
        "kv_cache_usage": st.none() | st.floats(0, 1),
        "waiting_here": st.integers(0, 50),
        "breaker": st.sampled_from(["closed", "closed", "open"]),
    }
)
VALUATION = st.builds(
    Valuation,
    price=st.sampled_from([0.0, 0.2, 3.0]),
    wrong_late=st.sampled_from([0.0, 0.1]),
    temperature=st.sampled_from([0.02, 1.0]),
    uses_prior=st.booleans(),
    uses_critic=st.booleans(),
)
SIGHT = st.builds(Sight, planner_sees_load=st.booleans(), sees_load=st.booleans())
TIME_S = st.floats(-1.0, 1e4)
SEED = st.integers(0, 50)


def reader(bench: Any, seed: int) -> QueryModel:
    """Reads questions of all kinds, of extreme difficulty as well."""
    rng = np.random.default_rng(seed)
    labels = bench.actions.executor_labels
    return QueryModel(
        QueryWeights(
            mean=np.zeros(389),
            scale=np.ones(389),
            difficulty=rng.normal(size=389),
            typical=0.0,
            length_slope=0.3,
            abilities=dict(zip(labels, (2 * rng.normal(size=8)).tolist(), strict=True)),
            discriminations=dict.fromkeys(labels, 1.3),
        )
    )


def assert_same(served: Worth, plain: Worth) -> None:
    for name in ("solved", "worth"):
        np.testing.assert_allclose(getattr(served, name), getattr(plain, name), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(served.logits, plain.logits, rtol=1e-9, atol=1e-7)


def plain(weights: Any, features: Features, names: Any, valuation: Valuation, multiplier: float) -> Worth:
    head = Head(weights, valuation)
    return head.worth(features, head.fixed_part(names), multiplier)


@settings(max_examples=60, deadline=None)
@given(
    seed=SEED, a=LOAD, b=LOAD, valuation=VALUATION, sight=SIGHT, remaining_s=TIME_S,
    depth_left=st.integers(0, 6), agreement=st.none() | st.floats(0, 1), multiplier=st.floats(0, 1),
    topology=st.sampled_from(["IO", "Ring"]),
)  # fmt: skip
def test_steps_are_worth_what_the_plain_form_says(
    shared_bench: Any, make_weights: Any, seed: int, a: Any, b: Any, valuation: Valuation, sight: Sight,
    remaining_s: float, depth_left: int, agreement: float | None, multiplier: float, topology: str,
) -> None:  # fmt: skip
    bench, weights = shared_bench, make_weights(shared_bench, seed).heads["step"]
    view = bench.step_view(f"question {seed}", load={"a": a, "b": b})
    slot = replace(view.slot, depth_left=depth_left, agreement=agreement, topology=topology)
    view = replace(view, remaining_s=remaining_s, slot=slot)
    builder = FeatureBuilder(bench.actions, reader(bench, seed), sight)
    names = action_names(bench.actions.executor_actions)
    head = StepHead(weights, builder, valuation)
    expected = plain(weights, builder.step(view), names, valuation, multiplier)
    assert_same(head.worth(view, multiplier), expected)
    assert_same(head.worth(view, multiplier), expected)


@settings(max_examples=60, deadline=None)
@given(
    seed=SEED, a=LOAD, b=LOAD, valuation=VALUATION, sight=SIGHT, remaining_s=TIME_S,
    multiplier=st.floats(0, 1), mask=st.lists(st.booleans(), min_size=8, max_size=8).filter(any),
)  # fmt: skip
def test_plans_are_worth_what_the_plain_form_says(
    shared_bench: Any, make_weights: Any, seed: int, a: Any, b: Any, valuation: Valuation, sight: Sight,
    remaining_s: float, multiplier: float, mask: list[bool],
) -> None:  # fmt: skip
    bench, weights = shared_bench, make_weights(shared_bench, seed).heads["plan"]
    view = bench.plan_view(f"question {seed}", load={"a": a, "b": b})
    view = replace(view, remaining_s=remaining_s, step_allowed=np.array(mask))
    builder = FeatureBuilder(bench.actions, reader(bench, seed), sight)
    head = PlanHead(weights, builder, valuation)
    some = tuple(plan for plan in view.actions if plan.team_size == 2)
    for plans in (view.actions, some, view.actions):
        offered = replace(view, actions=plans)
        expected = plain(weights, builder.plan(offered), plan_names(plans), valuation, multiplier)
        assert_same(head.worth(offered, multiplier), expected)


@settings(max_examples=40, deadline=None)
@given(
    seed=SEED,
    valuation=VALUATION,
    team_size=st.integers(1, 6),
    taken=st.lists(st.sampled_from(["Solver", "Checker"]), max_size=5),
    domain=st.sampled_from(["math", "poetry"]),
)
def test_roles_are_worth_what_the_plain_form_says(
    shared_bench: Any,
    make_weights: Any,
    seed: int,
    valuation: Valuation,
    team_size: int,
    taken: list[str],
    domain: str,
) -> None:
    bench, weights = shared_bench, make_weights(shared_bench, seed).heads["role"]
    taken = taken[: team_size - 1]
    view = RoleView(
        query=Query(text=f"question {seed}", domain=domain),
        action=PlannerAction("Debate", team_size),
        seat=len(taken),
        roles=("Solver", "Checker"),
        taken=tuple(taken),
        allowed=np.ones(2, dtype=bool),
    )
    builder = FeatureBuilder(bench.actions, reader(bench, seed))
    expected = plain(weights, builder.role(view), role_names(view.roles), valuation, 0.0)
    assert_same(RoleHead(weights, builder, valuation).worth(view), expected)


@pytest.mark.parametrize("text", ["", "7" * 500, "why " * 200])
def test_questions_far_from_all_others_are_worth_the_same_too(
    shared_bench: Any, make_weights: Any, text: str
) -> None:
    bench, weights, valuation = shared_bench, make_weights(shared_bench), Valuation()
    builder = FeatureBuilder(bench.actions, reader(bench, 1))
    step, plan = bench.step_view(text), bench.plan_view(text)
    names = action_names(bench.actions.executor_actions)
    assert_same(
        StepHead(weights.heads["step"], builder, valuation).worth(step, 0.8),
        plain(weights.heads["step"], builder.step(step), names, valuation, 0.8),
    )
    assert_same(
        PlanHead(weights.heads["plan"], builder, valuation).worth(plan, 0.8),
        plain(weights.heads["plan"], builder.plan(plan), plan_names(plan.actions), valuation, 0.8),
    )
