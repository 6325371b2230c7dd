from __future__ import annotations

from typing import Any

import pytest

from inframind.advisor.ranking.changes import change_of, have_changed, rule_document, rules_of, switches_model


def test_the_same_change_is_known_again_whatever_its_rules_are_called_and_come_from(bench: Any) -> None:
    one = bench.rule(avoid_models=frozenset({"a", "b"}), when={"domains": {"math"}})
    other = bench.rule(avoid_strategies=frozenset({"Flash"}))
    again = one.model_copy(update={"name": "otherwise", "advice": "1" * 32})
    assert change_of([one, other]) == change_of([other, again])


@pytest.mark.parametrize(
    "otherwise",
    [{"avoid_models": {"b"}}, {"only_models": {"a"}}, {"avoid_models": {"a"}, "when": {"roles": {"x"}}}],
)
def test_another_change_is_another(bench: Any, otherwise: dict[str, Any]) -> None:
    assert change_of([bench.rule()]) != change_of([bench.rule(**otherwise)])


def test_a_rule_s_document_is_of_the_file_s_form_and_reads_back(bench: Any) -> None:
    rule = bench.rule(
        name="night", avoid_actions=frozenset({"b/Flash", "a/Flash"}), when={"hours_utc": (22, 6)}
    )
    document = rule_document(rule, advice="2" * 32)
    assert document == {
        "name": "night",
        "when": {"hours_utc": [22, 6]},
        "avoid_actions": ["a/Flash", "b/Flash"],
        "advice": "2" * 32,
    }
    assert rules_of([document]) == (rule.model_copy(update={"advice": "2" * 32}),)


@pytest.mark.parametrize(
    ("asked", "switches"),
    [
        ({"avoid_models": {"a"}}, True),
        ({"only_models": {"a"}}, True),
        ({"avoid_actions": {"a/Flash"}}, True),
        ({"avoid_strategies": {"Flash"}}, False),
        ({"avoid_endpoints": {"gpu-0"}}, False),
        ({"most_agents": 2}, False),
    ],
)
def test_models_are_switched_by_rules_about_models_alone(
    bench: Any, asked: dict[str, Any], switches: bool
) -> None:
    assert switches_model([bench.rule(**asked)]) is switches


@pytest.mark.parametrize(
    ("change", "objection", "is_news"),
    [(0.09, "", False), (0.11, "", True), (-0.01, "", True), (0.05, "too few runs", True)],
)
def test_predictions_are_news_outside_their_former_interval_or_with_other_evidence(
    bench: Any, change: float, objection: str, is_news: bool
) -> None:
    before = [bench.prediction("success", 0.05)]
    assert have_changed(before, [bench.prediction("success", change, objection=objection)]) is is_news


def test_a_metric_that_is_predicted_for_the_first_time_is_news_if_there_is_evidence(bench: Any) -> None:
    success, cost = bench.prediction("success", 0.05), bench.prediction("cost", -0.1)
    assert have_changed([success], [success, cost])
    assert not have_changed([success], [success, bench.prediction("cost", 0.0, objection="too few runs")])
