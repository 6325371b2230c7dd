"""What is offered keeps its promises: over worlds whose truth is known, whatever things are called."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from inframind.advisor.option import Option
from inframind.advisor.options.choosing import Bucket, Chooser
from inframind.advisor.options.config import AnalysisConfig
from inframind.advisor.options.generating import rule_of, step_contents
from inframind.advisor.options.logs import Choices, Coded, Logs, renormalised
from inframind.advisor.options.standing import clashes, content_of
from inframind.arena.advice.drawn_logs import DrawnWorld, kept_by, offered_in
from inframind.router.ope.estimate import SupportRule
from inframind.router.rulebook import RuleBook
from inframind.router.rules import Circumstances, RoutingRule

SMALL = {"models": ("a", "b"), "strategies": ("Plain",), "runs": 800, "steps": 2}


def offered(make_world: Any, seed: int, **world: Any) -> tuple[DrawnWorld, Logs, tuple[Option, ...]]:
    made = make_world(seed=seed, **world)
    return made, *offered_in(made)


def test_intervals_of_what_is_offered_hold_the_truth(make_world: Any) -> None:
    held: list[bool] = []
    for seed in range(200):
        world, logs, options = offered(make_world, seed, **SMALL)
        held += [kept for option in options for kept in kept_by(world, logs, option).values()]
    assert len(held) > 200
    assert np.mean(held) >= 0.92


def test_where_all_is_equal_nothing_is_claimed(make_world: Any) -> None:
    claims = [bool(offered(make_world, seed, is_equal=True, **SMALL)[2]) for seed in range(120)]
    assert np.mean(claims) <= 0.05


def test_where_all_is_equal_no_model_is_preferred(make_world: Any, make_effects: Any) -> None:
    """Even before the other runs are asked, which then let almost nothing pass."""
    preferred: Counter[str] = Counter()
    for seed in range(160):
        equal = {"is_equal": True, "strategies": ("S",), "runs": 800, "steps": 1}
        world = make_world(seed=seed, **equal)
        logs = world.logs()
        contents = [one for one in step_contents(world.actions, {}) if "only_models" in one]
        places = [Circumstances(), *(Circumstances(domains=frozenset({name})) for name in logs.domain.names)]
        rules = {rule_of(content, when): 0.0 for when in places for content in contents}
        config = AnalysisConfig(tries=4, least_gain=0, least_saving=0)
        chooser = Chooser(make_effects(logs, world.actions), config, np.random.default_rng(seed))
        for choice in chooser.picked([Bucket(None, None, rules)]):
            preferred.update(choice.effect.rule.only_models)
    assert preferred.total() > 300
    assert max(preferred.values()) <= 1.5 * min(preferred[model] for model in ("a", "b", "c"))


def renamed(logs: Logs, models: dict[str, str], strategies: tuple[str, str]) -> Logs:
    """The same runs where models are called otherwise, and stand in another order, as strategies do."""
    old_models, new_models = tuple(models), tuple(sorted(models.values()))
    old_of = {new: old for old, new in models.items()}
    columns = np.array(
        [
            old_models.index(old_of[model]) * 2 + (1 - place)
            for model in new_models
            for place in range(len(strategies))
        ]
    )
    steps: Choices = logs.steps
    logged_NC = steps.logged_NC[:, columns]
    narrow = renormalised(logged_NC, 0.0)
    called = [
        models[steps.endpoint.names[code][:-2]] + steps.endpoint.names[code][-2:]
        for code in steps.endpoint.code_N
    ]
    return replace(
        logs,
        steps=replace(
            steps,
            chosen_N=np.argsort(columns)[steps.chosen_N],
            logged_NC=logged_NC,
            allowed_NC=steps.allowed_NC[:, columns],
            now_NC=logged_NC,
            endpoint=Coded.of(called),
            narrow=narrow,
            ask_again=narrow,
        ),
    )


def test_nothing_depends_on_what_models_are_called_and_in_which_order(
    make_world: Any, make_space: Any, make_proposer: Any
) -> None:
    models = {"a": "zebra", "b": "gpt", "c": "alpaca"}
    told = 0
    for seed in range(3):
        _, logs, options = offered(make_world, seed, servers=2)
        other = renamed(logs, models, ("Plain", "Flash"))
        space = make_space(sorted(models.values()), ("Plain", "Flash"), servers=2)
        others = make_proposer(other, space, seed=seed).options(())
        assert [content_of(translated(one.rules[0], models)) for one in options] == [
            content_of(one.rules[0]) for one in others
        ]
        for one, same in zip(options, others, strict=True):
            assert one.kind == same.kind
            assert [p.change for p in one.predictions] == pytest.approx([p.change for p in same.predictions])
            assert [p.low for p in one.predictions] == pytest.approx([p.low for p in same.predictions])
        told += len(options)
    assert told > 3


def server_of(name: str, models: dict[str, str]) -> str:
    return f"{models[name[:-2]]}{name[-2:]}"


def translated(rule: RoutingRule, models: dict[str, str]) -> RoutingRule:
    def action(label: str) -> str:
        model, _, strategy = label.rpartition("/")
        return f"{models[model]}/{strategy}"

    return RoutingRule(
        name=rule.name,
        when=rule.when,
        avoid_models={models[name] for name in rule.avoid_models},
        only_models={models[name] for name in rule.only_models},
        avoid_strategies=rule.avoid_strategies,
        avoid_actions={action(label) for label in rule.avoid_actions},
        avoid_endpoints={server_of(name, models) for name in rule.avoid_endpoints},
        avoid_topologies=rule.avoid_topologies,
        most_agents=rule.most_agents,
    )


def test_kinds_are_after_what_they_are_called_and_change_different_things(make_world: Any) -> None:
    seen: Counter[str] = Counter()
    for seed in range(6):
        world, _, options = offered(make_world, seed)
        changes = [content_of(option.rules[0]) for option in options]
        assert len(set(changes)) == len(changes)
        assert len({option.kind for option in options}) == len(options)
        RuleBook([option.rules[0] for option in options], world.actions)
        for option in options:
            success, cost = option.prediction("success"), option.prediction("cost")
            assert success is not None and cost is not None
            if option.kind == "highest_performance":
                assert success.low > 0
            if option.kind == "cheapest":
                assert cost.high < 0
                assert success.low >= -0.01
            seen[option.kind] += 1
    assert set(seen) == {"highest_performance", "cheapest", "balanced"}


def test_what_is_in_force_is_not_offered_again_nor_contradicted(make_world: Any, make_effects: Any) -> None:
    world = make_world(seed=2, runs=10)
    effects = make_effects(world.logs(), world.actions)
    night = {"hours_utc": (22, 6)}
    old = RoutingRule(name="old", only_models={"a"}, when=night, advice="0" * 32)
    for content, is_refused in (
        ({"only_models": {"a"}, "when": night}, True),
        ({"only_models": {"b"}}, True),
        ({"avoid_models": {"a"}, "when": {"domains": {"math"}}}, True),
        ({"only_models": {"b"}, "when": {"hours_utc": (6, 22)}}, False),
        ({"only_models": {"a"}}, False),
        ({"avoid_models": {"b"}}, False),
        ({"avoid_strategies": {"Flash"}, "when": night}, False),
        ({"most_agents": 1}, False),
    ):
        assert clashes(RoutingRule(name="new", **content), old, effects) is is_refused, content


def test_where_evidence_is_lacking_nothing_is_promised(make_world: Any, make_proposer: Any) -> None:
    world = make_world(seed=1)
    config = AnalysisConfig(support=SupportRule(least_effective_size=1e6))
    assert make_proposer(world.logs(), world.actions, config=config).options(()) == ()


def test_an_analysis_of_nothing_offers_nothing(make_world: Any, make_proposer: Any) -> None:
    world = make_world(seed=1, runs=3)
    assert make_proposer(world.logs(), world.actions).options(()) == ()
