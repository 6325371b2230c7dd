"""Numbers for a trained policy: order, meaning, what unknown looks like, and what may be hidden."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframind.router.actions import PlannerAction
from inframind.router.columns import (
    ACTION_COLUMNS,
    LARGEST_LOG_RATIO,
    LARGEST_SLACK,
    PLAN_COLUMNS,
    ROLE_COLUMNS,
    STEP_COLUMNS,
    WORKFLOW_COLUMNS,
    action_names,
    column_counts,
    plan_names,
)
from inframind.router.features import FeatureBuilder, Features, Sight
from inframind.router.query_model import QueryModel, QueryWeights
from inframind.router.views import Array, Query, RoleView

Z90 = 1.2815515655446004
BUSY = {"running": 48.0, "waiting": 16.0, "kv_cache_usage": 0.25, "age_s": 1.5}


def builder(bench: Any, queries: QueryModel | None = None, **sight: bool) -> FeatureBuilder:
    return FeatureBuilder(bench.actions, queries or QueryModel(), Sight(**sight))


def column(found: Features, name: str, names: Sequence[str] = ACTION_COLUMNS) -> list[float]:
    values: list[float] = found.candidates[:, names.index(name)].tolist()
    return values


def state(found: Features, names: Sequence[str], *wanted: str) -> list[float]:
    return [float(found.state[names.index(name)]) for name in wanted]


def logit(share: float) -> float:
    return float(np.log(share / (1 - share)))


def hard_by_length(bench: Any, slope: float = 0.5) -> QueryModel:
    """Reads longer texts as harder: the difficulty is the log of the number of characters, less 1."""
    labels = bench.actions.executor_labels
    weights = np.zeros(384 + 5)
    weights[384] = 1.0
    return QueryModel(
        QueryWeights(
            mean=np.zeros(389),
            scale=np.ones(389),
            difficulty=weights,
            typical=1.0,
            length_slope=slope,
            abilities={label: float(place) for place, label in enumerate(labels)},
            discriminations=dict.fromkeys(labels, 2.0),
        )
    )


def test_every_row_has_the_columns_that_are_named(bench: Any) -> None:
    make = builder(bench)
    step, plan = make.step(bench.step_view()), make.plan(bench.plan_view())
    assert (
        (step.state.shape, step.candidates.shape)
        == ((14,), (8, 11))
        == (
            (column_counts("step")[0],),
            (8, column_counts("step")[1]),
        )
    )
    n_plans = len(bench.actions.planner_actions)
    assert (plan.state.shape, plan.candidates.shape) == ((7,), (n_plans, 6))
    assert column_counts("plan") == (7, 6) and column_counts("role") == (5, 1)
    for names in (STEP_COLUMNS, PLAN_COLUMNS, ROLE_COLUMNS, ACTION_COLUMNS, WORKFLOW_COLUMNS):
        assert len(set(names)) == len(names)


def test_the_state_says_where_the_workflow_stands(bench: Any) -> None:
    view = bench.step_view(
        kind="judge", role="Judge", position=2, team_size=3, round=2, depth_left=1, agreement=0.5
    )
    found = builder(bench).step(replace(view, remaining_s=30.0))
    names = ("is_judge", "position", "team_size", "round", "depth_left", "agreement", "agreement_known")
    assert state(found, STEP_COLUMNS, *names) == pytest.approx([1, 2 / 3, 1, 1, 1 / 3, 0.5, 1])
    times = ("log_remaining", "log_budget", "share_of_budget_left")
    assert state(found, STEP_COLUMNS, *times) == pytest.approx([np.log(30) / 5, np.log(60) / 5, 0.5])
    assert found.state_names == ("IO", "Judge", "math")
    first = builder(bench).step(bench.step_view())
    assert state(first, STEP_COLUMNS, "agreement", "agreement_known") == [0, 0]


def test_a_candidate_row_holds_its_models_load(bench: Any) -> None:
    found = builder(bench).step(bench.step_view(load={"a": {**BUSY, "waiting_here": 32}}))
    assert column(found, "crowding") == [1.5] * 4 + [0.0] * 4
    assert column(found, "waiting_per_slot") == [0.25] * 4 + [0.0] * 4
    assert column(found, "kv_cache_usage") == [0.25] * 4 + [0.0] * 4
    assert column(found, "load_known") == [1.0] * 8
    assert column(found, "load_age") == pytest.approx([1.5 / 60] * 4 + [0.1 / 60] * 4)
    assert state(found, STEP_COLUMNS, "crowding") == [0.75]


def test_crowding_is_counted_by_the_slots_of_one_engine(make_bench: Any) -> None:
    bench = make_bench(
        a={"size_b": 3.0, "max_num_seqs": 16, "max_concurrency": 512}, b={"size_b": 32.0, "max_num_seqs": 48}
    )
    found = builder(bench).step(bench.step_view(load={"a": {"running": 16.0}, "b": {"running": 24.0}}))
    assert column(found, "crowding") == [1.0] * 4 + [0.5] * 4


@pytest.mark.parametrize(
    ("load", "age", "crowding"),
    [
        (
            {"age_s": None, "running": None, "waiting": None, "kv_cache_usage": None, "in_flight": 16},
            1.0,
            0.25,
        ),
        ({"breaker": "open"}, 1.0, 1.0),
    ],
)
def test_an_unknown_load_is_marked_as_unknown_and_as_old_as_can_be(
    bench: Any, load: dict[str, Any], age: float, crowding: float
) -> None:
    found = builder(bench).step(bench.step_view(load={"a": load}))
    assert column(found, "load_known") == [0.0] * 4 + [1.0] * 4
    assert column(found, "load_age")[:4] == [age] * 4
    assert column(found, "crowding") == [crowding] * 4 + [0.0] * 4


def test_work_is_the_share_of_a_server_times_how_crowded_it_is(bench: Any) -> None:
    view = bench.step_view(load={"a": {"running": 32.0}})
    found = builder(bench).step(view)
    assert found.work == pytest.approx([*(view.q50_s[:4] / 64 * 0.5), 0, 0, 0, 0])


def test_slack_is_the_distance_to_the_deadline_in_spreads_of_the_log_latency(bench: Any) -> None:
    view = bench.step_view(depth_left=2)
    q50_s = np.full(8, 4.0)
    view = replace(view, q50_s=q50_s, q90_s=q50_s * np.exp(0.5 * Z90), remaining_s=12.0 * np.exp(1.0))
    found = builder(bench).step(view)
    assert found.slack == pytest.approx([2.0] * 8)
    assert column(found, "slack") == found.slack.tolist()
    assert column(found, "log_q50") == pytest.approx([np.log(4.0)] * 8)
    assert column(found, "log_share_of_time") == pytest.approx([-1.0] * 8)


def test_a_longer_question_is_expected_to_take_longer(bench: Any) -> None:
    make = builder(bench, hard_by_length(bench, slope=0.5))
    short, long = bench.step_view("ab"), bench.step_view("ab" * 50)
    longer = 0.5 * (np.log(101) - np.log(3))
    difference = np.array(column(make.step(long), "log_q50")) - column(make.step(short), "log_q50")
    assert difference == pytest.approx([longer] * 8)


def test_the_prior_is_ability_less_difficulty(bench: Any) -> None:
    found = builder(bench, hard_by_length(bench)).step(bench.step_view("ab"))
    difficulty = float(np.log(3)) - 1.0
    assert found.prior_logit == pytest.approx(np.clip(np.arange(8) - 2 * difficulty, -6, 6))
    assert state(found, STEP_COLUMNS, "difficulty", "log_length") == pytest.approx(
        [difficulty, 0.5 * difficulty]
    )
    untrained = builder(bench).step(bench.step_view())
    assert untrained.prior_logit[2] == pytest.approx(logit(3 / 9))
    assert untrained.prior_logit[4] == pytest.approx(logit(32 / 38 * 0.7))


@pytest.mark.parametrize("remaining_s", [0.0, -5.0, 1e-9])
def test_no_time_left_gives_bounded_numbers(bench: Any, remaining_s: float) -> None:
    step = builder(bench).step(replace(bench.step_view(), remaining_s=remaining_s))
    plan = builder(bench).plan(replace(bench.plan_view(), remaining_s=remaining_s))
    for found in (step, plan):
        assert np.isfinite(found.state).all() and np.isfinite(found.candidates).all()
        assert set(found.slack.tolist()) == {-LARGEST_SLACK}
    assert set(column(step, "log_share_of_time")) == {LARGEST_LOG_RATIO}
    assert state(step, STEP_COLUMNS, "share_of_budget_left")[0] == pytest.approx(0.0, abs=1e-9)


@given(
    remaining_s=st.floats(0.01, 1e4),
    running=st.floats(0, 500),
    waiting=st.floats(0, 500),
    age_s=st.none() | st.floats(0, 1e5),
)
def test_numbers_are_finite_whatever_the_load(
    shared_bench: Any, remaining_s: float, running: float, waiting: float, age_s: float | None
) -> None:
    load = {"b": {"running": running, "waiting": waiting, "age_s": age_s}}
    step = builder(shared_bench).step(shared_bench.step_view(budget_s=remaining_s, load=load))
    plan = builder(shared_bench).plan(shared_bench.plan_view(budget_s=remaining_s, load=load))
    for found in (step, plan):
        assert all(np.isfinite(part).all() for part in (found.state, found.candidates, found.work))
        assert (found.work >= 0).all() and (np.abs(found.slack) <= LARGEST_SLACK).all()


# Plans -------------------------------------------------------------------------------------------------


def plan_values(bench: Any, found: Features, values: Array, *labels: str) -> list[float]:
    places = [[plan.label for plan in bench.actions.planner_actions].index(label) for label in labels]
    return [float(values[place]) for place in places]


def test_a_plan_is_worth_its_best_call_and_costs_all_of_them(bench: Any) -> None:
    view = bench.plan_view(budget_s=1e6, load={"b": {"running": 32.0}})
    found = builder(bench).plan(view)
    best = bench.actions.executor_labels.index("b/DeepThink")
    prior = logit(32 / 38 * 1.05)
    assert found.prior_logit == pytest.approx([prior] * len(view.actions))
    one_call = float(view.step_q50_s[best]) / 64 * 0.5
    calls = {plan.label: n for plan, n in zip(view.actions, view.calls.tolist(), strict=True)}
    assert plan_values(bench, found, found.work, "IO/1", "Chain/3") == pytest.approx(
        [one_call * calls["IO/1"], one_call * calls["Chain/3"]]
    )
    assert column(found, "log_calls", WORKFLOW_COLUMNS) == pytest.approx(np.log(view.calls))
    assert column(found, "depth", WORKFLOW_COLUMNS) == pytest.approx(view.depth / 3)
    sizes = [plan.team_size / 3 for plan in view.actions]
    assert column(found, "team_size", WORKFLOW_COLUMNS) == pytest.approx(sizes)
    assert found.state_names == ("math",)


def test_a_deeper_plan_has_less_slack_and_takes_a_faster_call_where_time_is_short(bench: Any) -> None:
    view = bench.plan_view(budget_s=1e6)
    slow, fast = np.full(8, 20.0), 1.0
    step_q50_s = np.where(np.arange(8) == 0, fast, slow)
    view = replace(view, step_q50_s=step_q50_s, step_q90_s=step_q50_s * np.exp(0.5 * Z90), remaining_s=30.0)
    found = builder(bench).plan(view)
    flash_alone = logit(3 / 9 * 0.7)
    shallow, deep = plan_values(bench, found, found.prior_logit, "IO/1", "Chain/6")
    assert (shallow, deep) == pytest.approx((logit(32 / 38 * 1.05), flash_alone))
    assert plan_values(bench, found, found.slack, "IO/1", "Chain/6") == pytest.approx(
        [np.log(30 / 20) / 0.5, np.log(30 / 6) / 0.5]
    )


def test_a_call_that_is_masked_counts_for_nothing(bench: Any) -> None:
    view = bench.plan_view(budget_s=1e6)
    only_flash = np.arange(8) == 0
    found = builder(bench).plan(replace(view, step_allowed=only_flash))
    assert found.prior_logit == pytest.approx([logit(3 / 9 * 0.7)] * len(view.actions))


# Roles -------------------------------------------------------------------------------------------------


def test_a_role_is_known_by_its_name_and_by_whether_it_is_taken(bench: Any) -> None:
    view = RoleView(
        query=Query(text="ab", domain="math"),
        action=PlannerAction("Debate", 3),
        seat=1,
        roles=("Solver", "Checker"),
        taken=("Checker",),
        allowed=np.ones(2, dtype=bool),
    )
    found = builder(bench, hard_by_length(bench)).role(view)
    difficulty = float(np.log(3)) - 1.0
    assert found.candidates.tolist() == [[0.0], [1.0]]
    assert found.state == pytest.approx([difficulty, 0.5 * difficulty, 1 / 3, 1, 1])
    assert found.prior_logit == pytest.approx([3.5 - difficulty] * 2)
    assert found.state_names == ("Debate", "math") and not found.work.any()


# Hiding ------------------------------------------------------------------------------------------------


def same(left: Features, right: Features) -> bool:
    names = ("state", "candidates", "prior_logit", "slack", "work")
    return all(np.array_equal(getattr(left, name), getattr(right, name)) for name in names)


def test_hidden_load_leaves_nothing_of_it_in_the_numbers(bench: Any) -> None:
    make, sees = builder(bench, sees_load=False), builder(bench)
    for view in (bench.step_view(), bench.plan_view()):
        read: Any = make.step if view.actions == bench.actions.executor_actions else make.plan
        crowded = replace(view, snapshot=bench.snapshot(a=BUSY, b={"age_s": None, "running": None}))
        assert same(read(view), read(crowded))
        assert not read(crowded).work.any()
    assert not same(sees.step(bench.step_view()), sees.step(bench.step_view(load={"a": BUSY})))


def test_a_blind_planner_sees_the_question_alone(bench: Any) -> None:
    make = builder(bench, planner_sees_load=False)
    calm = bench.plan_view(budget_s=1e4)
    pressed = bench.plan_view(budget_s=2.0, load={"a": BUSY, "b": {"breaker": "open"}})
    assert same(make.plan(calm), make.plan(pressed))
    assert not same(builder(bench).plan(calm), builder(bench).plan(pressed))
    assert not same(make.step(bench.step_view()), make.step(bench.step_view(load={"a": BUSY})))


def test_candidates_are_named_by_what_they_are_made_of(bench: Any) -> None:
    names = action_names(bench.actions.executor_actions)
    assert names["model"] == ("a",) * 4 + ("b",) * 4
    assert names["strategy"] == ("Flash", "Concise", "Plain", "DeepThink") * 2
    assert plan_names([PlannerAction("IO", 1), PlannerAction("Debate", 3)]) == {"topology": ("IO", "Debate")}
