"""The registry, and the contenders that no router has to train: exact choices on a setting made by hand."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframind.arena.contenders.constant import expected_on_time, hull_mixture
from inframind.arena.contenders.contender import Contender
from inframind.arena.contenders.published import mode_distribution
from inframind.arena.contenders.registry import (
    DEFAULT_CONTENDERS,
    check_names,
    contender_by_name,
    contenders_by_name,
    describe_contenders,
    expand_groups,
)
from inframind.arena.replay.front import upper_front
from inframind.errors import ConfigError
from inframind.router.policy import UniformPolicy
from inframind.router.views import Slot

SMALL, LARGE = "llama-3.2-3b", "mistral-small-24b"


def test_every_default_contender_makes_a_policy_that_proposes_for_every_view(world: Any) -> None:
    setting = world.setting(world.grid({f"{SMALL}/Plain": 0.5, f"{LARGE}/Plain": 0.75}))
    item = world.items[0]

    for contender in contenders_by_name(DEFAULT_CONTENDERS):
        policy = contender.make(setting)
        plan, step, role = world.plan_view(item, 20.0), world.step_view(item, 20.0), world.role_view(item)
        for proposal, view in (
            (policy.plan(plan), plan.actions),
            (policy.step(step), step.actions),
            (policy.role(role), role.roles),
        ):
            assert len(proposal.weights) == len(view), contender.name
            assert (proposal.weights >= 0).all() and proposal.weights.sum() > 0, contender.name


def test_every_default_contender_finds_something_under_any_mask(world: Any) -> None:
    setting, item = world.setting(), world.items[0]

    for contender in contenders_by_name(DEFAULT_CONTENDERS):
        policy = contender.make(setting)
        for label in world.actions.executor_labels:
            for slot in (
                Slot(topology="IO"),
                Slot(topology="Debate", team_size=3, round=2),
                Slot(topology="IO", kind="judge", team_size=2),
            ):
                view = world.step_view(item, -1.0, slot=slot, allowed=label.__eq__)
                assert policy.step(view).weights[view.allowed].sum() > 0, (contender.name, label, slot)
        for plan in world.actions.planner_actions:
            view = world.plan_view(item, 0.5, allowed=plan.label.__eq__)
            assert policy.plan(view).weights[view.allowed].sum() > 0, (contender.name, plan)


def test_names_are_kept_in_order_and_only_once() -> None:
    assert [c.name for c in contenders_by_name(["oracle", "knn:0.3", "mixture"])] == [
        "oracle",
        "knn:0.3",
        "mixture",
    ]
    with pytest.raises(ConfigError, match="once"):
        contenders_by_name(["oracle", "knn", "oracle"])


def test_help_names_every_default_contender() -> None:
    forms = [form.partition("[")[0] for form in describe_contenders()]

    assert set(DEFAULT_CONTENDERS) <= set(forms)
    assert all(line and "\n" not in line for line in describe_contenders().values())


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("best", "best-constant, random"),
        ("knn:", "best-constant, random"),
        ("knn:much", "number from 0 to 1"),
        ("mixture:1.2", "number from 0 to 1"),
        ("mixture:nan", "number from 0 to 1"),
        ("fixed:IO/1", "fixed:<topology>/<team>/<model>/<strategy>"),
        ("no_such_module_here:Policy", "No module named"),
        ("collections:Policy", "collections has no 'Policy'"),
        ("math:pi", "a Contender, a policy class"),
    ],
)
def test_a_name_that_cannot_be_says_what_could(name: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        contender_by_name(name)


def test_a_users_own_is_imported(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("my_router")
    made = Contender(name="mine", family="learned", summary="mine", make=lambda setting: UniformPolicy())
    module.made, module.Uniform = made, UniformPolicy  # type: ignore[attr-defined]
    module.build, module.Broken = (lambda setting: UniformPolicy()), dict  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "my_router", module)

    assert contender_by_name("my_router:made") is made
    for name in ("my_router:Uniform", "my_router:build"):
        contender = contender_by_name(name)
        assert contender.name == name and isinstance(contender.make(world.setting()), UniformPolicy)
    with pytest.raises(ConfigError, match="methods plan, role, step, pace"):
        contender_by_name("my_router:Broken").make(world.setting())


def test_the_best_constant_solves_most_in_time_not_most(world: Any, choice: Any) -> None:
    grid = world.grid({f"{SMALL}/Plain": 0.5, f"{LARGE}/Plain": 1.0})
    step = world.step_view(world.items[0], 300.0)

    # An idle 24B takes 7.6 s for 300 tokens, a 3B 1.5 s.
    patient = contender_by_name("best-constant").make(world.setting(grid, [20.0]))
    hurried = contender_by_name("best-constant").make(world.setting(grid, [5.0]))
    assert choice(step, patient.step(step).weights) == f"{LARGE}/Plain"
    assert choice(step, hurried.step(step).weights) == f"{SMALL}/Plain"


def test_expected_on_time_success_is_counted_over_questions_and_budgets(world: Any) -> None:
    grid = world.grid({f"{SMALL}/Plain": 0.5, f"{LARGE}/Plain": 1.0})

    shares = expected_on_time(world.setting(grid, [1.0, 5.0, 5.0, 20.0]))

    assert shares[world.place(f"{SMALL}/Plain")] == 0.5 * 0.75
    assert shares[world.place(f"{LARGE}/Plain")] == 0.25


def test_a_fixed_arm_is_read_when_the_policy_is_made(world: Any, choice: Any) -> None:
    plan = world.plan_view(world.items[0], 300.0)

    policy = contender_by_name(f"fixed:Chain/3/{LARGE}/Concise").make(world.setting())
    assert choice(plan, policy.plan(plan).weights) == "Chain/3"
    with pytest.raises(ConfigError, match="use one of: llama"):
        contender_by_name("fixed:IO/1/gpt-9/Plain").make(world.setting())


def test_all_single_calls_and_some_teams_are_listed_as_fixed_arms(world: Any) -> None:
    first, *names, last = expand_groups(("random", "fixed", "oracle"), world.actions)

    assert (first, last) == ("random", "oracle")
    assert names[:8] == [f"fixed:IO/1/{label}" for label in world.actions.executor_labels]
    assert f"fixed:Debate/3/{LARGE}/Plain" in names and len(names) == 8 + 6
    for contender in contenders_by_name(names):
        contender.make(world.setting())


def test_a_group_passes_where_names_are_checked_but_is_no_single_contender() -> None:
    check_names(("random", "fixed"))
    with pytest.raises(ConfigError, match="use one of"):
        check_names(("fixed", "best"))
    with pytest.raises(ConfigError, match="a group"):
        contender_by_name("fixed")


def test_a_model_without_a_profile_has_no_known_speed(make_world: Any) -> None:
    world = make_world(models=["my-own-7b"])

    for name in ("best-constant", "mixture", "oracle"):
        with pytest.raises(ConfigError, match="profiled models"):
            contender_by_name(name).make(world.setting())


HULL_S, HULL_QUALITY = np.array([1.0, 2.0, 3.0, 5.0, 4.0]), np.array([0.2, 0.6, 0.55, 0.8, 0.65])


@pytest.mark.parametrize(
    ("way", "shares"),
    [
        (0.0, {0: 1.0}),
        (0.125, {0: 0.5, 1: 0.5}),
        (0.25, {1: 1.0}),
        (0.5, {1: 2 / 3, 3: 1 / 3}),
        (1.0, {3: 1.0}),
    ],
)
def test_a_mixture_walks_along_the_hull(way: float, shares: dict[int, float]) -> None:
    assert dict(hull_mixture(HULL_S, HULL_QUALITY, way)) == pytest.approx(shares)


@given(st.lists(st.tuples(st.floats(0.1, 10), st.floats(0, 1)), min_size=1, max_size=8))
def test_no_arm_lies_above_the_hull(arms: list[tuple[float, float]]) -> None:
    latency_s, quality = (np.array(column) for column in zip(*arms, strict=True))

    hull = upper_front(latency_s, quality)[::-1]

    assert (np.diff(latency_s[hull]) >= 0).all() and (np.diff(quality[hull]) > 0).all()
    best_until = np.interp(latency_s, latency_s[hull], quality[hull])
    assert (quality <= best_until + 1e-9).all()


def test_moa_asks_every_model_and_the_largest_decides(world: Any, choice: Any) -> None:
    policy, item = contender_by_name("moa").make(world.setting()), world.items[0]
    plan = world.plan_view(item, 300.0)

    assert choice(plan, policy.plan(plan).weights) == "IO/2"
    asked = [
        choice(view, policy.step(view).weights)
        for view in (
            world.step_view(item, 9.0, slot=Slot(topology="IO", team_size=2, position=0)),
            world.step_view(item, 9.0, slot=Slot(topology="IO", team_size=2, position=1)),
            world.step_view(item, 9.0, slot=Slot(topology="IO", team_size=2, kind="judge")),
        )
    ]
    assert asked == [f"{SMALL}/Plain", f"{LARGE}/Plain", f"{LARGE}/Plain"]


def test_gptswarm_is_a_row_of_all_models(world: Any, choice: Any) -> None:
    plan = world.plan_view(world.items[0], 300.0)

    assert (
        choice(plan, contender_by_name("gptswarm").make(world.setting()).plan(plan).weights)
        == "FullConnected/2"
    )


def test_masrouter_draws_from_the_published_mix(world: Any) -> None:
    policy, item = contender_by_name("masrouter").make(world.setting()), world.items[0]
    plan, agent = world.plan_view(item, 300.0), world.step_view(item, 300.0)
    judge = world.step_view(item, 300.0, slot=Slot(topology="IO", kind="judge", team_size=5))

    topologies = {
        a.label: w for a, w in zip(plan.actions, policy.plan(plan).weights.tolist(), strict=True) if w
    }
    assert topologies == {
        "IO/5": 0.188,
        "CoT/5": 0.218,
        "Chain/5": 0.256,
        "FullConnected/5": 0.088,
        "Debate/5": 0.048,
        "Reflection/5": 0.202,
    }
    agents = policy.step(agent).weights
    assert {a.label for a, w in zip(agent.actions, agents, strict=True) if w} == {
        f"{SMALL}/Plain",
        f"{LARGE}/Plain",
    }
    small, large = agents[world.place(f"{SMALL}/Plain")], agents[world.place(f"{LARGE}/Plain")]
    assert (small, large) == (0.0687, 0.2588)
    share = small / (small + large)
    judges = policy.step(judge).weights
    majority = sum(n * share**k * (1 - share) ** (5 - k) for k, n in ((3, 10), (4, 5), (5, 1)))
    assert judges[world.place(f"{SMALL}/Plain")] == pytest.approx(majority)


def test_masrouter_needs_one_of_its_models(make_world: Any) -> None:
    with pytest.raises(ConfigError, match="the mix needs one of"):
        contender_by_name("masrouter").make(make_world(models=["my-own-7b"]).setting())


def test_the_mode_of_two_draws_is_the_first_when_they_differ() -> None:
    assert mode_distribution([0.3, 0.7], 2) == pytest.approx([0.3, 0.7])
    assert mode_distribution([1, 1, 2], 1) == pytest.approx([0.25, 0.25, 0.5])


@given(shares=st.lists(st.floats(0.01, 1), min_size=2, max_size=4), draws=st.integers(1, 6))
def test_a_mode_is_always_something(shares: list[float], draws: int) -> None:
    assert mode_distribution(shares, draws).sum() == pytest.approx(1)


def test_forecasts_are_for_those_who_would_have_them() -> None:
    takes = {
        contender.name: contender.takes_forecasts for contender in contenders_by_name(DEFAULT_CONTENDERS)
    }

    assert {name for name, it_does in takes.items() if it_does} == {
        "just-enough",
        "knn",
        "knn-on-time",
        "learned",
    }
