from __future__ import annotations

from dataclasses import replace

import pytest

from inframind.arena.online.worlds import (
    NEWCOMER,
    WORLDS,
    Change,
    Labels,
    best_model,
    degraded,
    world_named,
)
from inframind.errors import ConfigError
from inframind.simulator.faults import Fault
from inframind.simulator.outcomes import LatentDifficultyModel
from inframind.simulator.prompt_reading import AnswerKey

BEST, WORST = "deepseek-r1-32b", "llama-3.2-3b"


def test_silent_degradation_changes_what_a_model_knows_and_nothing_that_takes_time() -> None:
    world = world_named("a")
    before = world.scenario.parameters.models[BEST]
    after = world.changed.parameters.models[BEST]

    assert replace(after, skill=before.skill) == before
    assert after.skill < before.skill
    assert world.changed.profiles == world.scenario.profiles
    assert world.changed.parameters.strategies == world.scenario.parameters.strategies


def test_a_degraded_model_solves_as_much_at_its_best_as_the_worst() -> None:
    scenario = world_named("a").changed
    outcomes = LatentDifficultyModel(
        AnswerKey(scenario.items), replace(scenario.parameters, quirk_spread=0.0)
    )
    item = next(item for item in scenario.items if item.level == 3)

    def best(model: str) -> float:
        return max(
            outcomes.solo_probability(item, model, strategy) for strategy in scenario.parameters.strategies
        )

    assert best(BEST) == pytest.approx(best(WORST))


def test_the_best_model_is_told_by_its_best_strategy() -> None:
    parameters = world_named("a").scenario.parameters
    assert best_model(parameters) == BEST
    assert (
        best_model(replace(parameters, models={**parameters.models, BEST: degraded(parameters, BEST)}))
        != BEST
    )


@pytest.mark.parametrize(("name", "fault"), [("b", Fault.REFUSE), ("b-hang", Fault.STALL)])
def test_a_server_that_goes_is_not_part_of_the_changed_world(name: str, fault: Fault) -> None:
    world = world_named(name)
    assert world.change.outage is not None
    assert (world.change.outage.endpoint, world.change.outage.fault) == (BEST, fault)
    assert [profile.name for profile in world.changed.profiles] == [
        profile.name for profile in world.scenario.profiles if profile.name != BEST
    ]


def test_a_newcomer_is_better_than_the_best_and_of_the_speed_of_the_middle() -> None:
    world = world_named("c")
    speeds = {profile.name: profile.engine for profile in world.changed.profiles}
    assert NEWCOMER not in world.scenario.profiles_by_name
    assert best_model(world.changed.parameters) == NEWCOMER
    assert speeds[NEWCOMER] == speeds["qwen2.5-coder-14b"]


def test_questions_shift_with_the_first_request_after_the_change() -> None:
    world = replace(world_named("d"), before=7, after=60)
    items = world.season_scenario().workload(3, world.rate_per_min).items

    assert {item.domain for item in items[:7]} == {"math"}
    assert {item.domain for item in items[7:]} == {"math", "code"}
    assert {item.level for item in items[7:]} == {4, 5}
    assert min(item.level for item in items[:7]) < 4


def test_worlds_ask_nothing_that_references_are_trained_on() -> None:
    scenario = world_named("d").changed
    asked = {item.question for item in scenario.items}
    assert not asked & {item.question for item in scenario.training_items}
    assert {item.domain for item in scenario.training_items} == {"math", "code"}


def test_few_labels_are_the_same_world_with_fewer_labels() -> None:
    degraded_world, few = world_named("a"), world_named("e")
    assert few.change == degraded_world.change
    assert few.retrained_as == degraded_world.retrained_as == "a"
    assert (degraded_world.labels, few.labels) == (Labels(), Labels(share=0.1))


def test_worlds_are_found_by_name() -> None:
    assert [world_named(name).name for name in WORLDS] == ["a", "b", "b-hang", "c", "d", "e"]
    with pytest.raises(ConfigError, match="use one of: a, b"):
        world_named("z")


@pytest.mark.parametrize(("share", "delay"), [(0.0, 1), (1.1, 1), (0.5, -1)])
def test_labels_out_of_range_are_refused(share: float, delay: int) -> None:
    with pytest.raises(ConfigError, match="labels"):
        Labels(share=share, delay=delay)


def test_a_change_changes_something() -> None:
    with pytest.raises(ConfigError, match="change something"):
        Change()
