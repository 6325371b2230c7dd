from __future__ import annotations

import numpy as np
import pytest

from inframind.advisor.option import Option
from inframind.arena.advice.equal import (
    EQUALS,
    Shares,
    drawn_season,
    equal_world,
    recommended_in,
    served_equals,
)
from inframind.router.rules import RoutingRule
from inframind.traces.records import Trajectory


@pytest.fixture(scope="module")
def served() -> tuple[Trajectory, ...]:
    return served_equals(equal_world(), seeds=[1], runs=48)


def option(**rule: object) -> Option:
    return Option(
        option_id="0" * 12,
        kind="balanced",
        cluster_id="",
        domain="",
        rules=(RoutingRule.model_validate({"name": "r", **rule}),),
        title="t",
        reason="r",
        predictions=(),
        evidence=(),
    )


def test_equals_differ_in_name_alone() -> None:
    world = equal_world()
    assert tuple(profile.name for profile in world.scenario.profiles) == EQUALS
    assert (
        len(
            {
                (profile.engine, profile.size_b, profile.price_per_mtoken)
                for profile in world.scenario.profiles
            }
        )
        == 1
    )
    assert len({world.scenario.parameters.model_traits(name) for name in EQUALS}) == 1


def test_a_drawn_season_has_ids_of_its_own_and_verdicts_for_most(served: tuple[Trajectory, ...]) -> None:
    drawn = drawn_season(served, 400, np.random.default_rng(0))
    assert len({run.trace_id for run in drawn}) == 400
    labelled = [run for run in drawn if run.solved is not None]
    assert 0.5 < len(labelled) / 400 < 0.7
    assert 0.5 < float(np.mean([run.solved for run in labelled])) < 0.7
    assert {run.question for run in drawn} <= {run.question for run in served}


def test_next_to_nothing_is_recommended_where_nothing_is_better(served: tuple[Trajectory, ...]) -> None:
    rng = np.random.default_rng(1)
    options = recommended_in(equal_world(), drawn_season(served, 400, rng), rng)
    found = Shares()
    found.count([one for one in options if all(p.is_enough for p in one.predictions)], EQUALS)
    assert found.options <= 1


def test_shares_count_whom_steps_are_moved_to_and_from() -> None:
    shares = Shares()
    shares.count([option(only_models=["amber"]), option(avoid_actions=["birch/Plain"])], EQUALS)
    assert shares.options == 2
    assert shares.favoured == pytest.approx({"amber": 1 + 1 / 3, "cedar": 1 / 3, "dogwood": 1 / 3})
    assert shares.avoided == pytest.approx({"birch": 1 / 3 + 1, "cedar": 1 / 3, "dogwood": 1 / 3})
    assert shares.ratio(shares.favoured, ("amber", "cedar")) == pytest.approx(4.0)
    assert shares.ratio(shares.favoured, EQUALS) == float("inf")


def test_changes_that_move_no_step_between_models_are_not_counted() -> None:
    shares = Shares()
    shares.count([option(avoid_strategies=["Plain"]), option(avoid_topologies=["Debate"])], EQUALS)
    assert shares.options == 0
