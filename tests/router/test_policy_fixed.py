"""Fixed arms, mixtures and seated teams: exact choices on hand-made views."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframind.errors import ConfigError
from inframind.router.actions import ExecutorAction, PlannerAction
from inframind.router.policy_fixed import Arm, FixedPolicy, parse_arm
from inframind.router.policy_mixture import MixturePolicy
from inframind.router.policy_seated import SeatedPolicy
from inframind.router.views import PlanView, Query, RoleView, Slot, StepView

QUERY = Query(text="q")
B_PLAIN = ExecutorAction("b", "Plain")


def step_view(bench: Any, allowed: list[str] | None = None, **slot: Any) -> StepView:
    actions = bench.actions.executor_actions
    flags = [allowed is None or action.label in allowed for action in actions]
    columns = {name: np.ones(len(actions)) for name in ("q50_s", "q90_s", "quality", "cost")}
    return StepView(
        query=QUERY,
        slot=Slot(topology="IO", **slot),
        budget_s=60.0,
        remaining_s=60.0,
        actions=actions,
        allowed=np.array(flags),
        models=bench.models,
        snapshot=bench.snapshot(),
        **columns,
    )


def plan_view(bench: Any, allowed: list[str] | None = None) -> PlanView:
    actions = bench.actions.planner_actions
    graphs = [bench.actions.topologies[a.topology].graph(a.team_size) for a in actions]
    steps = bench.actions.executor_actions
    return PlanView(
        query=QUERY,
        budget_s=60.0,
        remaining_s=60.0,
        actions=actions,
        calls=np.array([float(graph.calls) for graph in graphs]),
        allowed=np.array([allowed is None or action.label in allowed for action in actions]),
        q50_s=np.ones(len(actions)),
        q90_s=np.ones(len(actions)),
        step_quality=0.5,
        depth=np.array([float(graph.depth) for graph in graphs]),
        step_actions=steps,
        step_allowed=np.ones(len(steps), dtype=bool),
        step_q50_s=np.ones(len(steps)),
        step_q90_s=np.ones(len(steps)),
        models=bench.models,
        snapshot=bench.snapshot(),
    )


def chosen(view: Any, weights: np.ndarray) -> list[str]:
    return [view.actions[place].label for place in np.flatnonzero(weights)]


def test_a_fixed_arm_chooses_itself_and_nothing_else(bench: Any) -> None:
    policy = FixedPolicy(parse_arm("Debate/3/b/Plain", bench.actions))
    plan, step = plan_view(bench), step_view(bench)

    assert chosen(plan, policy.plan(plan).weights) == ["Debate/3"]
    assert chosen(step, policy.step(step).weights) == ["b/Plain"]


@pytest.mark.parametrize(
    ("allowed", "taken"),
    [
        (["a/Plain", "b/Flash", "b/Concise"], "b/Flash"),
        (["a/Flash", "a/Plain"], "a/Plain"),
        (["a/Flash", "a/Concise"], "a/Flash"),
    ],
)
def test_a_masked_arm_keeps_its_model_then_its_strategy(bench: Any, allowed: list[str], taken: str) -> None:
    view = step_view(bench, allowed)

    proposal = FixedPolicy(Arm(PlannerAction("IO", 1), B_PLAIN)).step(view)

    assert chosen(view, proposal.weights) == [taken] and "cannot be chosen" in proposal.reason


def test_a_masked_plan_becomes_the_one_with_the_fewest_calls(bench: Any) -> None:
    view = plan_view(bench, ["Debate/2", "Chain/2", "IO/3"])

    proposal = FixedPolicy(Arm(PlannerAction("Debate", 3), B_PLAIN)).plan(view)

    assert chosen(view, proposal.weights) == ["Chain/2"] and "Debate/3" in proposal.reason


def test_roles_are_seated_in_catalogue_order_and_repeat_when_all_are_taken(bench: Any) -> None:
    policy = FixedPolicy(Arm(PlannerAction("IO", 3), B_PLAIN))
    view = RoleView(
        query=QUERY,
        action=PlannerAction("IO", 3),
        seat=1,
        roles=("x", "y"),
        taken=("x",),
        allowed=np.ones(2, bool),
    )

    assert policy.role(view).weights.tolist() == [0, 1]
    assert policy.role(replace(view, taken=("x", "y"))).weights.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("done", "may_stay", "weights"), [(1, True, [1, 0]), (2, True, [0, 1]), (1, False, [0, 1])]
)
def test_a_debate_has_its_default_rounds(bench: Any, done: int, may_stay: bool, weights: list[int]) -> None:
    given = {"round": done, "rounds_left": 3 - done, "agreement": 1.0, "stagnation": 1.0}
    view = bench.pace_view(**given, allowed=np.array([may_stay, True]))

    assert FixedPolicy(Arm(PlannerAction("Debate", 3), B_PLAIN)).pace(view).weights.tolist() == weights


def test_a_model_whose_name_holds_slashes_is_read(make_bench: Any) -> None:
    bench = make_bench(**{"meta/llama/8b": {"size_b": 8.0}})

    assert parse_arm("IO/1/meta/llama/8b/Flash", bench.actions).step == ExecutorAction(
        "meta/llama/8b", "Flash"
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("IO/1/b", r"<topology>/<team>/<model>/<strategy>"),
        ("", r"<topology>/<team>/<model>/<strategy>"),
        ("Ring/1/b/Plain", r"topology.*IO, CoT, Chain"),
        ("IO/1/c/Plain", r"model.*a, b"),
        ("IO/1/b/Fast", r"strategy.*Flash, Concise, Plain, DeepThink"),
        ("IO/x/b/Plain", r"whole number of agents"),
        ("IO/7/b/Plain", r"IO is planned with 1 to 6 agents"),
        ("Debate/1/b/Plain", r"Debate is planned with 2 to 6 agents"),
        ("CoT/1/b/Flash", r"contradicts CoT"),
    ],
)
def test_an_arm_that_cannot_be_says_what_could(bench: Any, text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse_arm(text, bench.actions)


@given(place=st.integers(0, 7), team=st.integers(1, 6))
def test_an_arm_is_read_back_from_its_label(shared_bench: Any, place: int, team: int) -> None:
    arm = Arm(PlannerAction("IO", team), shared_bench.actions.executor_actions[place])

    assert parse_arm(arm.label, shared_bench.actions) == arm


def test_a_mixture_proposes_its_shares_of_single_calls(bench: Any) -> None:
    policy = MixturePolicy({ExecutorAction("a", "Flash"): 1.0, B_PLAIN: 3.0})
    plan, step = plan_view(bench), step_view(bench)

    assert chosen(plan, policy.plan(plan).weights) == ["IO/1"]
    weights = dict(zip((a.label for a in step.actions), policy.step(step).weights.tolist(), strict=True))
    assert {label: share for label, share in weights.items() if share} == {"a/Flash": 0.25, "b/Plain": 0.75}


def test_a_mixture_without_an_allowed_member_is_uniform(bench: Any) -> None:
    view = step_view(bench, ["a/Plain"])

    assert (MixturePolicy({B_PLAIN: 1.0}).step(view).weights == 1).all()


@pytest.mark.parametrize("shares", [{}, {B_PLAIN: 0.0}, {B_PLAIN: float("nan")}, {B_PLAIN: float("inf")}])
def test_a_mixture_needs_shares(shares: dict[ExecutorAction, float]) -> None:
    with pytest.raises(ConfigError, match="above 0"):
        MixturePolicy(shares)


def test_a_mixture_has_no_negative_shares() -> None:
    with pytest.raises(ConfigError, match="at least 0"):
        MixturePolicy({B_PLAIN: 1.5, ExecutorAction("a", "Plain"): -0.5})


def test_each_seat_has_its_own_model_and_the_judge_another(bench: Any) -> None:
    seats = [ExecutorAction("a", "Plain"), ExecutorAction("b", "Flash")]
    policy = SeatedPolicy("IO", seats, ExecutorAction("b", "DeepThink"))
    first, second = step_view(bench, position=0), step_view(bench, position=1)
    judge = step_view(bench, kind="judge")

    assert chosen(plan_view(bench), policy.plan(plan_view(bench)).weights) == ["IO/2"]
    assert chosen(first, policy.step(first).weights) == ["a/Plain"]
    assert chosen(second, policy.step(second).weights) == ["b/Flash"]
    assert chosen(judge, policy.step(judge).weights) == ["b/DeepThink"]


def test_a_masked_member_is_replaced_by_the_first_that_is_allowed(bench: Any) -> None:
    view = step_view(bench, ["a/Concise", "a/Plain"])

    assert chosen(view, SeatedPolicy("IO", [B_PLAIN], B_PLAIN).step(view).weights) == ["a/Concise"]


def test_a_team_needs_a_seat() -> None:
    with pytest.raises(ConfigError, match="at least one model"):
        SeatedPolicy("IO", [], B_PLAIN)
