"""The oracle: exact choices where they can be worked out, and at least as good as anything on an idle fleet."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from inframind.arena.contenders.foresight import in_time
from inframind.arena.contenders.oracle import LoadPrice, OraclePolicy
from inframind.arena.contenders.service import engines_of, idle_latency_s
from inframind.errors import ConfigError
from inframind.router.views import Query, Slot
from inframind.simulator.profiles import load_profiles

SMALL, LARGE = "llama-3.2-3b", "mistral-small-24b"
SINGLE = "IO/1".__eq__


@pytest.fixture
def selfish(world: Any) -> OraclePolicy:
    return OraclePolicy(world.setting(), LoadPrice(full=0))


def test_with_time_and_room_the_likeliest_model_is_asked(
    world: Any, selfish: OraclePolicy, choice: Any
) -> None:
    for item in world.items:
        view = world.step_view(item, 300.0)
        truth = [
            world.outcomes.solo_probability(item, a.model, a.strategy, role="MathSolver")
            for a in view.actions
        ]

        label = choice(view, selfish.step(view).weights)
        assert truth[world.place(label)] == pytest.approx(max(truth), abs=1e-3)


def test_on_an_idle_fleet_no_single_call_is_worth_more(
    world: Any, selfish: OraclePolicy, choice: Any
) -> None:
    engines, setting = engines_of((SMALL, LARGE), load_profiles()), world.setting()
    for item in world.items:
        for remaining_s in (0.2, 0.6, 2.0, 5.0, 7.0, 9.0, 300.0):
            view = world.step_view(item, remaining_s)
            worth = [
                world.outcomes.solo_probability(item, a.model, a.strategy, role="MathSolver")
                * (
                    idle_latency_s(engines[a.model], setting.training.output_tokens[0, place], 40)
                    <= remaining_s
                )
                for place, a in enumerate(view.actions)
            ]

            assert worth[world.place(choice(view, selfish.step(view).weights))] >= max(worth) - 1e-3


def test_a_team_is_planned_where_it_helps_and_fits(world: Any, selfish: OraclePolicy, choice: Any) -> None:
    hard = min(world.items, key=lambda item: world.outcomes.solo_probability(item, LARGE, "Plain"))
    roomy, tight = world.plan_view(hard, 300.0), world.plan_view(hard, 2.0)

    assert choice(roomy, selfish.plan(roomy).weights) not in ("IO/1", "CoT/1")
    assert choice(tight, selfish.plan(tight).weights) in ("IO/1", "CoT/1")


def test_it_plans_within_the_mask(world: Any, selfish: OraclePolicy, choice: Any) -> None:
    view = world.plan_view(world.items[0], 300.0, allowed=lambda label: label in ("Chain/3", "Debate/2"))
    only_debate = world.plan_view(world.items[0], 300.0, allowed="Debate/2".__eq__)

    assert choice(view, selfish.plan(view).weights) == "Chain/3"
    assert choice(only_debate, selfish.plan(only_debate).weights) == "Debate/2"


def test_a_price_on_load_moves_work_to_where_there_is_room(world: Any, choice: Any) -> None:
    item = min(world.items, key=lambda item: abs(world.outcomes.solo_probability(item, LARGE, "Plain") - 0.8))
    policy = OraclePolicy(world.setting(), LoadPrice(full=1.0, power=2))
    idle, crowded = world.step_view(item, 300.0), world.step_view(item, 300.0, large=16)

    assert choice(idle, policy.step(idle).weights).startswith(LARGE)
    assert choice(crowded, policy.step(crowded).weights).startswith(SMALL)


def test_a_queue_that_the_budget_cannot_wait_for_is_left_alone(
    world: Any, selfish: OraclePolicy, choice: Any
) -> None:
    item = min(world.items, key=lambda item: abs(world.outcomes.solo_probability(item, LARGE, "Plain") - 0.8))
    short, long = world.step_view(item, 10.0, large=40), world.step_view(item, 300.0, large=40)

    assert choice(short, selfish.step(short).weights).startswith(SMALL)
    assert choice(long, selfish.step(long).weights).startswith(LARGE)


def test_calls_that_were_sent_after_the_reading_are_seen(
    world: Any, selfish: OraclePolicy, choice: Any
) -> None:
    item = min(world.items, key=lambda item: abs(world.outcomes.solo_probability(item, LARGE, "Plain") - 0.8))
    view, model = world.step_view(item, 10.0), {SMALL: 0, LARGE: 40}
    loads = {
        name: replace(load, age_s=1.0, running=0.0, waiting=0.0, sent_since=model[name])
        for name, load in view.snapshot.loads.items()
    }

    assert choice(view, selfish.step(view).weights).startswith(LARGE)
    crowded = replace(view, snapshot=replace(view.snapshot, loads=loads))
    assert choice(crowded, selfish.step(crowded).weights).startswith(SMALL)


def test_a_judge_takes_longer_step_by_step(world: Any, selfish: OraclePolicy, choice: Any) -> None:
    # 300 tokens take the large model 7.7 s, and 1.5 times as many 11.5 s.
    chosen = {
        topology: choice(view, selfish.step(view).weights)
        for topology in ("IO", "CoT")
        for view in [
            world.step_view(world.items[0], 9.0, slot=Slot(topology=topology, kind="judge", team_size=3))
        ]
    }

    assert chosen == {"IO": f"{LARGE}/Plain", "CoT": f"{SMALL}/Plain"}


@pytest.mark.parametrize("kind", ["judge", "agent"])
def test_the_last_word_goes_to_the_better_model_that_is_in_time(
    world: Any, selfish: OraclePolicy, choice: Any, kind: str
) -> None:
    topology = "IO" if kind == "judge" else "Chain"
    slot = Slot(topology=topology, kind=kind, position=0 if kind == "judge" else 2, team_size=3)
    late, early = (world.step_view(world.items[0], s, slot=slot) for s in (3.0, 300.0))

    assert choice(early, selfish.step(early).weights) == f"{LARGE}/Plain"
    assert choice(late, selfish.step(late).weights) == f"{SMALL}/Plain"


def test_roles_are_those_that_fit_best(world: Any, selfish: OraclePolicy) -> None:
    assert selfish.role(world.role_view(world.items[0])).weights.tolist() == [1, 0]


def test_the_same_view_gives_the_same_answer(world: Any) -> None:
    views = [world.step_view(item, 20.0, large=9) for item in world.items]
    one, two = (OraclePolicy(world.setting()) for _ in range(2))

    assert all((one.step(view).weights == two.step(view).weights).all() for view in views)


def test_a_question_that_it_does_not_know_is_refused(world: Any, selfish: OraclePolicy) -> None:
    view = world.step_view(world.items[0], 10.0)
    stranger = type(view)(
        **{name: getattr(view, name) for name in view.__slots__} | {"query": Query(text="?")}
    )

    with pytest.raises(ConfigError, match="questions of its setting"):
        selfish.step(stranger)


def test_prices_and_chances_are_checked() -> None:
    with pytest.raises(ConfigError, match="at least 0"):
        LoadPrice(full=-1)
    assert in_time(np.array([1.0, 10.0]), np.array([0.0, 0.0]), 5.0) == pytest.approx([1.0, 0.0], abs=1e-3)
    assert in_time(np.array([1.0]), np.array([1.0]), 0.0).tolist() == [0.0]
    # A log-normal of mean 1 and variance e - 1 has sigma 1 and median exp(-1/2).
    assert in_time(np.array([1.0]), np.array([np.e - 1]), np.exp(-0.5)) == pytest.approx([0.5], abs=1e-3)
