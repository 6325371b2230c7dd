"""The two rules that need no training, by literal cases."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from inframind.errors import ConfigError
from inframind.router.policy import JustEnoughPolicy, UniformPolicy, policy_by_name
from inframind.router.views import PlanView, Query, RoleView, Slot, StepView

QUERY = Query(text="q")
POLICY = JustEnoughPolicy(quality_floor=0.6)


def step_view(bench: Any, **values: Any) -> StepView:
    columns: dict[str, Any] = {
        "allowed": np.ones(8, dtype=bool),
        "q50_s": np.arange(8.0) + 1,
        "q90_s": np.arange(8.0) + 2,
        "quality": np.array([0.2, 0.3, 0.4, 0.5, 0.5, 0.7, 0.8, 0.9]),
        "cost": np.array([1.0, 2, 3, 4, 5, 6, 6, 7]),
    }
    columns.update({name: np.array(value) for name, value in values.items()})
    return StepView(
        query=QUERY,
        slot=Slot(topology="IO"),
        budget_s=60.0,
        remaining_s=60.0,
        actions=bench.actions.executor_actions,
        models=bench.models,
        snapshot=bench.snapshot(),
        **columns,
    )


@pytest.mark.parametrize(
    ("values", "place", "why"),
    [
        ({}, 5, "cheapest"),
        ({"cost": [9.0, 9, 9, 9, 9, 9, 6, 7]}, 6, "cheapest"),
        ({"q50_s": [1.0, 1, 1, 1, 1, 9, 2, 1]}, 6, "cheapest"),
        ({"allowed": [1, 1, 1, 1, 1, 0, 0, 1]}, 7, "cheapest"),
        ({"allowed": [1, 1, 1, 1, 1, 0, 0, 0]}, 3, "the best in time"),
        ({"allowed": [1, 0, 0, 0, 0, 0, 0, 0]}, 0, "the best in time"),
        ({"quality": [0.5, 0.6, 0.6, 0.4, 0.3, 0.3, 0.3, 0.3]}, 1, "cheapest"),
    ],
)
def test_the_cheapest_good_enough_one_else_the_best(
    bench: Any, values: dict[str, Any], place: int, why: str
) -> None:
    if "allowed" in values:
        values["allowed"] = [bool(flag) for flag in values["allowed"]]
    proposal = POLICY.step(step_view(bench, **values))
    assert np.flatnonzero(proposal.weights).tolist() == [place] and why in proposal.reason


def plan_view(bench: Any, calls: list[float], allowed: list[bool], step_quality: float) -> PlanView:
    steps = bench.actions.executor_actions
    return PlanView(
        query=QUERY,
        budget_s=60.0,
        remaining_s=60.0,
        actions=bench.actions.planner_actions[: len(calls)],
        calls=np.array(calls),
        allowed=np.array(allowed),
        q50_s=np.array(calls),
        q90_s=np.array(calls),
        step_quality=step_quality,
        depth=np.array(calls),
        step_actions=steps,
        step_allowed=np.ones(len(steps), dtype=bool),
        step_q50_s=np.ones(len(steps)),
        step_q90_s=np.ones(len(steps)),
        models=bench.models,
        snapshot=bench.snapshot(),
    )


@pytest.mark.parametrize(
    ("calls", "allowed", "quality", "place"),
    [
        ([4.0, 1, 3, 1], [True] * 4, 0.6, 1),
        ([4.0, 1, 3, 1], [True] * 4, 0.59, 2),
        ([4.0, 1, 3, 1], [True, True, False, True], 0.5, 0),
        ([4.0, 1, 3, 1], [False, True, False, True], 0.5, 1),
        ([4.0, 1, 3, 1], [True, False, True, False], 0.9, 2),
    ],
)
def test_one_call_when_it_is_good_enough_else_the_smallest_workflow(
    bench: Any, calls: list[float], allowed: list[bool], quality: float, place: int
) -> None:
    proposal = POLICY.plan(plan_view(bench, calls, allowed, quality))
    assert np.flatnonzero(proposal.weights).tolist() == [place]


@pytest.mark.parametrize(
    ("taken", "place"), [((), 0), (("x",), 1), (("x", "y", "z"), 0), (("y",), 0), (("z", "x"), 1)]
)
def test_roles_in_catalogue_order_without_repeats(bench: Any, taken: tuple[str, ...], place: int) -> None:
    action = bench.actions.planner_actions[0]
    view = RoleView(
        query=QUERY,
        action=action,
        seat=len(taken),
        roles=("x", "y", "z"),
        taken=taken,
        allowed=np.ones(3, dtype=bool),
    )
    assert int(np.argmax(POLICY.role(view).weights)) == place


@pytest.mark.parametrize(
    ("values", "weights"),
    [({}, [1, 0]), ({"agreement": 1.0}, [0, 1]), ({"round": 2}, [0, 1]), ({"round": 3}, [0, 1])],
)
def test_rounds_end_by_agreement_or_by_default(
    bench: Any, values: dict[str, Any], weights: list[int]
) -> None:
    assert POLICY.pace(bench.pace_view(**values)).weights.tolist() == weights


def test_uniform_wishes_for_nothing_in_particular(bench: Any) -> None:
    policy = UniformPolicy()
    assert (policy.step(step_view(bench)).weights == 1).all()
    assert (policy.plan(plan_view(bench, [1.0, 2.0], [True] * 2, 0.5)).weights == 1).all()
    assert policy.pace(bench.pace_view()).weights.tolist() == [1, 1]


def test_policies_by_name() -> None:
    assert policy_by_name("uniform").name == "uniform"
    assert policy_by_name("just_enough").version == "1/floor=0.6"
    assert policy_by_name("just_enough", quality_floor=0.25).version == "1/floor=0.25"


@pytest.mark.parametrize(
    ("name", "floor", "field"),
    [
        ("best", None, "policy.name"),
        ("uniform", 0.5, "policy.quality_floor"),
        ("just_enough", 1.0, "policy.quality_floor"),
    ],
)
def test_policies_that_cannot_be(name: str, floor: float | None, field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        policy_by_name(name, quality_floor=floor)
    assert caught.value.field == field
