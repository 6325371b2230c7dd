"""One strategy alone is good, or one model alone is bad: which change is offered, and how often one is by chance."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.advisor.options.application import Application

from inframind.advisor.option import Option
from inframind.advisor.options.alone import effect_beyond
from inframind.advisor.options.config import AnalysisConfig
from inframind.advisor.options.generating import is_alone, modest, rules_at
from inframind.arena.advice.drawn_logs import DrawnWorld, effects_of, offered_in, space_of
from inframind.router.ope.estimate import SupportRule
from inframind.router.policy import UniformPolicy
from inframind.router.rules import Circumstances, RoutingRule
from inframind.traces.advice import METRICS

STRATEGIES = ("Plain", "Concise", "DeepThink", "Flash")
MODELS = ("a", "b", "c", "d", "e")
SUCCESS = METRICS.index("success")
ALL_BUT_PLAIN = frozenset({"Concise", "DeepThink", "Flash"})


def single_calls(make_world: Any, seed: int, well: Any, **more: Any) -> DrawnWorld:
    """Runs of one call by a policy without a preference; how well each action goes is a matter of the action alone."""
    world = make_world(
        seed=seed, strategies=STRATEGIES, is_equal=True, **{"models": MODELS, "steps": 1, **more}
    )
    object.__setattr__(world, "well_DKA", np.broadcast_to(well, world.well_DKA.shape).copy())
    object.__setattr__(world, "logging_DKA", np.full(world.well_DKA.shape, 1 / world.well_DKA.shape[2]))
    return world


def performance(options: tuple[Option, ...]) -> list[RoutingRule]:
    return [option.rules[0] for option in options if option.kind == "highest_performance"]


def test_where_one_strategy_alone_is_good_it_is_offered_alone(make_world: Any) -> None:
    """Each bad one by itself cannot be shown to be: 1,000 runs, 750 with a verdict, 78 % against 52 to 56 %."""
    well = np.tile([0.78, 0.56, 0.56, 0.52], len(MODELS))
    found = []
    for seed in range(6):
        world = single_calls(make_world, seed, well, runs=1000, labelled=0.75, in_time=1.0)
        _, options = offered_in(world)
        found += [rule.avoid_strategies == ALL_BUT_PLAIN for rule in performance(options)]
        assert all("Plain alone" in one.title for one in options if is_alone(one.rules[0]))
    assert found == [True] * len(found)
    assert len(found) >= 4


@pytest.mark.parametrize("models", [("a", "b", "c"), MODELS])
def test_of_one_bad_model_it_is_left_out_and_no_good_one_is_kept_to(
    make_world: Any, models: tuple[str, ...]
) -> None:
    well = np.repeat([0.5, *[0.85] * (len(models) - 1)], len(STRATEGIES))
    rules = []
    for seed in range(6):
        world = single_calls(make_world, seed, well, models=models, runs=2000)
        rules += [rule for option in offered_in(world)[1] for rule in option.rules]
    assert sum(rule.avoid_models == {"a"} for rule in rules) >= 5
    assert not any(rule.only_models for rule in rules)


def test_a_model_that_is_surely_better_than_all_is_offered_alone(make_world: Any) -> None:
    well = np.repeat([0.5, 0.5, 0.9], len(STRATEGIES))
    rules = []
    for seed in range(4):
        world = single_calls(make_world, seed, well, models=("a", "b", "c"), runs=2000)
        rules += performance(offered_in(world)[1])
    assert [rule.only_models for rule in rules] == [{"c"}] * 4


def test_what_a_change_does_beyond_another_is_the_difference_of_both(make_world: Any) -> None:
    well = np.repeat([0.3, 0.6, 0.9], len(STRATEGIES))
    world = single_calls(make_world, 1, well, models=("a", "b", "c"), runs=6000, in_time=1.0)
    logs = world.logs()
    effects = effects_of(logs, world.actions)
    alone, less = RoutingRule(name="r", only_models={"c"}), RoutingRule(name="s", avoid_models={"a"})
    beyond = effect_beyond(alone, less, effects, AnalysisConfig().support)
    assert beyond.change_M[SUCCESS] == pytest.approx(0.15, abs=3 * beyond.error_M[SUCCESS])
    assert 0 < beyond.error_M[SUCCESS] < 0.02
    both = [effects.of(rule, is_choosing=False).change_M for rule in (alone, less)]
    assert beyond.change_M == pytest.approx(both[0] - both[1])


def test_where_all_is_equal_keeping_to_one_thing_is_hardly_ever_claimed(make_world: Any) -> None:
    claimed = 0
    for seed in range(60):
        world = single_calls(make_world, seed, np.full(20, 0.7), runs=800)
        claimed += bool(offered_in(world)[1])
    assert claimed <= 3


def test_a_pattern_of_all_but_one_is_answered_by_keeping_to_that_one() -> None:
    well = {"Plain": 0.95, "Concise": 0.65, "DeepThink": 0.65, "Flash": 0.6}
    application = Application(UniformPolicy(), 1000, bad="", well=well)
    runs = [run if place % 4 else replace(run, outcomes=()) for place, run in enumerate(application.runs)]
    found = application.analysed(runs)
    assert [cluster.label for cluster in found.clusters] == ["wrong answers unless strategy is Plain"]
    best = next(option for option in found.options if option.kind == "highest_performance")
    assert best.cluster_id == found.clusters[0].cluster_id
    assert best.rules[0].avoid_strategies == ALL_BUT_PLAIN
    assert best.title == "Use strategy Plain alone (not Concise, DeepThink, Flash)"
    assert best.reason.endswith("Nothing is learned of other strategies then.")
    said = [(option.rules[0].when, option.predictions) for option in found.options]
    assert len({str(predictions) for _, predictions in said}) == len(said)


def test_with_few_runs_what_the_pattern_is_named_by_is_what_may_be_tried() -> None:
    well = {"Plain": 0.95, "Concise": 0.5, "DeepThink": 0.5, "Flash": 0.5}
    application = Application(UniformPolicy(), 450, bad="", well=well)
    config = AnalysisConfig(support=SupportRule(least_effective_size=200.0))
    found = application.analysed(config=config)
    (tried,) = [option for option in found.options if not option.predictions[0].is_enough]
    assert found.clusters[0].main_trait == {"strategy": "other than Plain"}
    assert tried.rules[0].avoid_strategies == ALL_BUT_PLAIN


def test_of_three_or_more_each_can_be_had_alone_and_of_two_it_is_to_leave_out_the_other() -> None:
    three = space_of(("a", "b", "c"), ("Plain", "Flash", "Concise"))
    rules = rules_at([Circumstances()], three, {})
    alone = [rule for rule in rules if is_alone(rule)]
    assert sorted(map(sorted, (one.avoid_strategies for one in alone if one.avoid_strategies))) == [
        ["Concise", "Flash"],
        ["Concise", "Plain"],
        ["Flash", "Plain"],
    ]
    assert len(alone) == 6
    assert not any(map(is_alone, rules_at([Circumstances()], space_of(("a", "b"), ("Plain", "Flash")), {})))
    (plain,) = [one for one in alone if one.avoid_strategies == {"Concise", "Flash"}]
    assert [sorted(one.avoid_strategies) for one in modest(plain, rules)] == [["Flash"], ["Concise"]]
    (model,) = [one for one in alone if one.only_models == {"a"}]
    assert {next(iter(one.avoid_models)) for one in modest(model, rules)} == {"b", "c"}
    at_night = RoutingRule(name="r", only_models={"a"}, when={"hours_utc": (22, 6)})
    assert modest(at_night, rules) == []
