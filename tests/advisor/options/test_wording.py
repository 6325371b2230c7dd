"""What people read of a change."""

from __future__ import annotations

from typing import Any

import pytest

from inframind.advisor.cluster import FailureCluster
from inframind.advisor.options.generating import Pattern
from inframind.advisor.options.wording import name_of, reason_of, title_of
from inframind.router.rules import RoutingRule
from inframind.traces.advice import Metric, Prediction


@pytest.mark.parametrize(
    ("content", "title"),
    [
        (
            {"only_models": {"big"}, "when": {"domains": {"math"}}},
            "Use big instead of small where the domain is math",
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
            {"avoid_models": {"small"}, "when": {"domains": {"math"}, "topologies": {"Chain"}}},
            "Do not use small where the domain is math and the topology is Chain",
        ),
    ],
)
def test_titles_say_what_changes_and_where(content: dict[str, Any], title: str) -> None:
    pattern = Pattern((), frozenset({"small"}), frozenset())
    assert title_of(RoutingRule(name="r", **content), pattern) == title


def test_names_of_rules_are_their_own() -> None:
    rule = RoutingRule(name="r", only_models={"big"})
    assert name_of(rule, set()) == "Use big alone"
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
