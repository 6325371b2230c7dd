"""What a policy saw, rebuilt from a stored trace: the same numbers to the last bit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inframind.fleet.endpoints import EndpointSpec, group_by_model
from inframind.fleet.snapshot import EndpointLoad, FleetSnapshot
from inframind.router.features import FeatureBuilder, Features
from inframind.router.policy import UniformPolicy
from inframind.router.policy_shipped import shipped_policy
from inframind.router.query_model import QueryModel
from inframind.router.recorded_views import RecordedViews
from inframind.traces.codec import decode, encode
from inframind.traces.content import HashedContent

AGE = st.none() | st.floats(0, 100)
COUNT = st.integers(0, 200)
LOAD = st.fixed_dictionaries(
    {},
    optional={
        "running": st.none() | st.floats(0, 200),
        "waiting": st.none() | st.floats(0, 200),
        "age_s": AGE,
        "kv_cache_usage": st.none() | st.floats(0, 1),
        "in_flight": COUNT,
        "waiting_here": COUNT,
        "sent_since": COUNT,
        "ended_since": COUNT,
        "breaker": st.sampled_from(["closed", "half_open", "open"]),
    },
)


def equal(left: Features, right: Features) -> bool:
    names = ("state", "candidates", "prior_logit", "slack", "work")
    return left.state_names == right.state_names and all(
        np.array_equal(getattr(left, name), getattr(right, name)) for name in names
    )


@settings(max_examples=40, deadline=None)
@given(
    a=LOAD,
    b=LOAD,
    budget_s=st.floats(0.05, 1e4),
    text=st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    seed=st.integers(0, 99),
)
def test_features_of_a_stored_run_are_those_that_the_policy_saw(
    shared_bench: Any, make_any_watcher: Any, a: Any, b: Any, budget_s: float, text: str, seed: int
) -> None:
    bench, watcher = shared_bench, make_any_watcher(UniformPolicy())
    decider = bench.decider(watcher, seed=seed, exploration=0.1)
    run = decode(encode(bench.play(decider, text, budget_s=budget_s, load={"a": a, "b": b})))
    make, views = FeatureBuilder(bench.actions, QueryModel()), RecordedViews(bench.actions)

    steps = list(views.steps(run))
    assert len(steps) == len(watcher.steps) == len(run.team)
    for recorded, seen in zip(steps, watcher.steps, strict=True):
        assert equal(make.step(recorded.view), make.step(seen))
        assert recorded.view.allowed.tolist() == seen.allowed.tolist()
        assert recorded.view.slot == seen.slot and recorded.view.query == seen.query

    plan = views.plan(run)
    assert plan is not None
    (seen_plan,) = watcher.plans
    assert equal(make.plan(plan.view), make.plan(seen_plan))
    assert plan.view.allowed.tolist() == seen_plan.allowed.tolist()
    assert plan.view.depth.tolist() == seen_plan.depth.tolist()
    assert plan.view.calls.tolist() == seen_plan.calls.tolist()
    assert plan.view.actions is bench.actions.planner_actions

    assert len(plan.seats) == len(watcher.roles)
    for (recorded_role, place), seen_role in zip(plan.seats, watcher.roles, strict=True):
        assert equal(make.role(recorded_role), make.role(seen_role))
        assert (recorded_role.seat, recorded_role.taken) == (seen_role.seat, seen_role.taken)
        assert recorded_role.roles[place] == run.team[recorded_role.seat]


def test_rules_that_look_at_prior_quality_and_cost_see_what_they_saw(bench: Any, make_watcher: Any) -> None:
    watcher = make_watcher()
    run = decode(encode(bench.play(bench.decider(watcher), "q", topology="Debate", team_size=2)))
    for recorded, seen in zip(RecordedViews(bench.actions).steps(run), watcher.steps, strict=True):
        assert recorded.view.quality.tolist() == seen.quality.tolist()
        assert recorded.view.cost.tolist() == seen.cost.tolist()


def test_choices_and_their_probabilities_come_along(bench: Any) -> None:
    run = bench.play(bench.decider(UniformPolicy(), seed=4), "q", topology="Debate", team_size=3)
    views = RecordedViews(bench.actions)
    for recorded, decision in zip(views.steps(run), run.decisions[1:], strict=True):
        assert recorded.chosen == decision.chosen
        assert recorded.probabilities.tolist() == list(decision.probabilities)
        assert recorded.view.actions[recorded.chosen].label == decision.action
    plan = views.plan(run)
    assert plan is not None
    assert plan.view.actions[plan.chosen].label == "Debate/3"
    assert len(plan.view.actions) == 1 and plan.probabilities.tolist() == [1.0]


def test_replicas_are_told_apart_as_they_were(make_bench: Any, make_watcher: Any) -> None:
    """Which replica is the least loaded depends on the slots of each."""
    bench = make_bench()
    slots = {"a-0": 8, "a-1": 64}
    specs = [
        EndpointSpec(name=name, base_url="http://gpu/v1", model="a", size_b=3.0, max_concurrency=n)
        for name, n in slots.items()
    ]
    bench.models = group_by_model(specs)
    bench.actions = replace(bench.actions, models=bench.models)
    bench.latency = type(bench.latency)(bench.models, bench.strategies)
    running = {"a-0": 6.0, "a-1": 30.0}
    loads = {
        name: EndpointLoad(
            endpoint=name, model="a", max_concurrency=slots[name], age_s=0.1, running=n, waiting=0.0
        )
        for name, n in running.items()
    }
    bench.snapshot = lambda **_: FleetSnapshot(taken_s=0.0, loads=loads)
    watcher = make_watcher()
    run = decode(encode(bench.play(bench.decider(watcher), "q", topology="IO", team_size=1)))
    make = FeatureBuilder(bench.actions, QueryModel())
    (recorded,) = RecordedViews(bench.actions).steps(run)
    assert equal(make.step(recorded.view), make.step(watcher.steps[0]))


def test_decisions_over_other_candidates_are_left_out(make_bench: Any) -> None:
    old = make_bench(a={}, b={}, c={})
    run = old.play(old.decider(UniformPolicy()), "q", topology="Debate", team_size=2)
    views = RecordedViews(make_bench().actions)
    assert list(views.steps(run)) == [] and views.plan(run) is None
    same = RecordedViews(make_bench(a={"size_b": 70.0}, b={}, c={}).actions)
    assert len(list(same.steps(run))) == 2 and same.plan(run) is not None


def test_a_run_without_a_plan_has_none_to_rebuild(bench: Any) -> None:
    run = bench.play(bench.decider(), "q")
    views = RecordedViews(bench.actions)
    assert views.plan(replace(run, decisions=run.decisions[1:])) is None
    assert list(views.steps(replace(run, decisions=()))) == []


def test_plans_over_topologies_that_are_gone_are_left_out(bench: Any) -> None:
    run = bench.play(bench.decider(UniformPolicy(), seed=1), "q")
    kept = {name: spec for name, spec in bench.actions.topologies.items() if name != "Debate"}
    views = RecordedViews(replace(bench.actions, topologies=kept))
    assert views.plan(run) is None
    assert len(list(views.steps(run))) == len(run.team)


def test_plans_that_were_narrowed_keep_their_own_candidates(bench: Any) -> None:
    run = bench.play(bench.decider(UniformPolicy(), seed=1), "q", topology="Chain")
    plan = RecordedViews(bench.actions).plan(run)
    assert plan is not None
    assert [action.label for action in plan.view.actions] == [f"Chain/{n}" for n in range(2, 7)]
    assert plan.view.depth.tolist() == [2, 3, 4, 5, 6]


@pytest.mark.parametrize("role", ["Retired", ""])
def test_seats_after_a_role_that_is_gone_are_left_out(bench: Any, role: str) -> None:
    run = bench.play(bench.decider(UniformPolicy(), seed=1), "q", topology="Debate", team_size=3)
    changed = replace(run, team=(run.team[0], role, run.team[2]))
    plan = RecordedViews(bench.actions).plan(changed)
    assert plan is not None and len(plan.seats) == 1


def test_a_run_without_its_texts_teaches_the_same(shared_bench: Any, make_any_watcher: Any) -> None:
    queries = QueryModel(shipped_policy().queries)
    without_texts = HashedContent(key=b"sixteen bytes or more", read_question=queries.reading_of)
    bench = shared_bench
    run = bench.play(bench.decider(make_any_watcher(UniformPolicy()), seed=3), "How many primes below 100?")
    hashed = decode(encode(without_texts(run)))
    make, views = FeatureBuilder(bench.actions, queries), RecordedViews(bench.actions)

    for known, left in zip(views.steps(run), views.steps(hashed), strict=True):
        assert equal(make.step(known.view), make.step(left.view))
    known_plan, left_plan = views.plan(run), views.plan(hashed)
    assert known_plan is not None and left_plan is not None
    assert equal(make.plan(known_plan.view), make.plan(left_plan.view))
    policy = shipped_policy().bind(bench.actions)
    assert policy.plan(known_plan.view).weights.tolist() == policy.plan(left_plan.view).weights.tolist()
