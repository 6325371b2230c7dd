"""What people read of a change."""

from __future__ import annotations

from typing import Any

import pytest

from inframind.advisor.cluster import FailureCluster
from inframind.advisor.options.generating import Pattern
from inframind.advisor.options.wording import name_of, reason_of, title_of
from inframind.arena.advice.drawn_logs import space_of
from inframind.fleet.endpoints import EndpointSpec, group_by_model
from inframind.graphs.registry import TopologyRegistry
from inframind.router.actions import ActionSpace, StrategySpec
from inframind.router.rules import RoutingRule
from inframind.traces.advice import Metric, Prediction

ACTIONS = ActionSpace(
    models=group_by_model(
        [
            EndpointSpec(name=f"{model}-0", base_url="http://gpu/v1", model=model)
            for model in ("big", "huge", "small")
        ]
    ),
    strategies={
        name: StrategySpec(name=name, max_tokens=100, expected_output_tokens=50)
        for name in ("Plain", "Flash", "Concise", "DeepThink")
    },
    topologies={name: TopologyRegistry().specs[name] for name in ("IO", "Chain", "Debate")},
    roles={"general": ("Solver",)},
)


@pytest.mark.parametrize(
    ("content", "title"),
    [
        (
            {"only_models": {"big"}, "when": {"domains": {"math"}}},
            "Use big alone (not small, huge) where the domain is math",
        ),
        ({"avoid_models": {"small"}}, "Do not use small"),
        (
            {"avoid_strategies": {"Flash"}, "when": {"roles": {"Critic"}}},
            "Do not use strategy Flash where the role is Critic",
        ),
        ({"avoid_actions": {"org/small/Flash"}}, "Do not use org/small with Flash"),
        (
            {"avoid_endpoints": {"gpu-1"}, "when": {"hours_utc": (22, 6)}},
            "Do not call server gpu-1 while its model has another where it is 22:00 to 06:00 UTC",
        ),
        (
            {"avoid_topologies": {"Debate"}, "when": {"min_prompt_tokens": 1200}},
            "Do not plan Debate where the question has 1,200 tokens or more",
        ),
        ({"most_agents": 1}, "Plan no more than 1 agent"),
        (
            {"avoid_strategies": {"Flash", "Concise", "DeepThink"}},
            "Use strategy Plain alone (not Concise, DeepThink, Flash)",
        ),
        (
            {"avoid_strategies": {"Flash", "Concise", "DeepThink"}, "when": {"domains": {"math"}}},
            "Use strategy Plain alone (not Concise or 2 others) where the domain is math",
        ),
        ({"avoid_strategies": {"Flash", "Concise"}}, "Do not use strategy Concise and Flash"),
        ({"avoid_topologies": {"Chain", "Debate"}}, "Plan IO alone (not Chain, Debate)"),
        (
            {"avoid_models": {"small"}, "when": {"domains": {"math"}, "topologies": {"Chain"}}},
            "Do not use small where the domain is math and the topology is Chain",
        ),
    ],
)
def test_titles_say_what_changes_and_where(content: dict[str, Any], title: str) -> None:
    pattern = Pattern((), frozenset({"small"}), frozenset())
    assert title_of(RoutingRule(name="r", **content), pattern, ACTIONS) == title


@pytest.mark.parametrize("models", [5, 12])
def test_titles_of_many_models_say_how_many_are_forbidden_and_name_the_guilty_first(models: int) -> None:
    names = [f"some-model-{number}b" for number in range(models)]
    actions = space_of(names, ("Plain",))
    pattern = Pattern((), frozenset({"some-model-3b"}), frozenset())
    rule = RoutingRule(name="r", only_models={"some-model-1b"}, when={"domains": {"math"}})
    title = title_of(rule, pattern, actions)
    assert title == (
        f"Use some-model-1b alone (not some-model-3b or {models - 2} others) where the domain is math"
    )


def test_names_of_rules_are_their_own() -> None:
    rule = RoutingRule(name="r", only_models={"big"})
    assert name_of(rule, set()) == "Use big alone"
    assert name_of(RoutingRule(name="r", avoid_topologies={"Chain", "Debate"}), set(), ACTIONS) == (
        "Plan IO alone"
    )
    assert name_of(rule, {"Use big alone"}) == "Use big alone (2)"
    assert name_of(rule, {"Use big alone", "Use big alone (2)"}) == "Use big alone (3)"


def prediction(metric: Metric, before: float, change: float, half: float, objection: str = "") -> Prediction:
    return Prediction(
        metric=metric,
        before=before,
        change=change,
        low=change - half,
        high=change + half,
        runs=2310,
        affected=800,
        effective_size=412.3,
        method="importance weights, exact",
        objection=objection,
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"only_models": {"big"}}, "effect. Nothing is learned of other models then."),
        ({"avoid_strategies": {"a", "b"}}, "effect. Nothing is learned of other strategies then."),
        ({"avoid_topologies": {"a", "b"}}, "effect. Nothing is learned of other topologies then."),
        ({"avoid_models": {"big"}}, "decisions in effect."),
    ],
)
def test_reasons_say_what_is_not_learned_any_more(content: dict[str, Any], said: str) -> None:
    rule = RoutingRule(name="r", **content)
    assert reason_of([prediction("success", 0.61, 0.11, 0.04)], None, rule).endswith(said)


def test_reasons_give_figures() -> None:
    told = reason_of([prediction("success", 0.61, 0.11, 0.04), prediction("cost", 0.5, 0.06, 0.01)], None)
    assert told == (
        "Success 61.0% -> 72.0% (+7.0 to +15.0 points), cost +12.0% (+10.0% to +14.0%); "
        "2,310 runs, 800 concerned, 412 decisions in effect."
    )


def test_reasons_say_where_evidence_is_lacking() -> None:
    why = "not enough evidence: 12 decisions in effect, 50 are needed"
    told = reason_of([prediction("success", 0.61, 0.0, 0.3, why)], None)
    assert told.startswith(f"Success: {why}; 2,310 runs")


def test_that_a_pattern_is_sure_is_said_where_its_answer_is_not() -> None:
    cluster = FailureCluster(
        cluster_id="0" * 12,
        label="wrong answers of small",
        kinds={"wrong": 1200},
        size=1200,
        share=0.5,
        runs=2310,
        trend=0.0,
        trend_z=0.0,
        traits=(),
        exemplars=(),
    )
    why = "not enough evidence: 12 decisions in effect, 50 are needed"
    doubtful = reason_of([prediction("success", 0.61, 0.0, 0.3, why)], cluster)
    assert doubtful.startswith(
        'Answers "wrong answers of small", 1,200 runs. The pattern is sure, what this change brings is not. '
        f"Success: {why}"
    )
    assert "is sure" not in reason_of([prediction("success", 0.61, 0.11, 0.04)], cluster)
