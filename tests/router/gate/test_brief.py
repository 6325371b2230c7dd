"""What is known of a candidate before its trial: whether recorded runs vouch for it, and which runs it concerns."""

from __future__ import annotations

import json
from typing import Any

import pytest

from inframind.router.gate.brief import Brief, Foretold
from inframind.router.rules import Circumstances, RoutingRule
from inframind.traces.records import Decision, Trajectory

FORETOLD = Foretold(change=0.001, low=-0.004, high=0.006, runs=900)
HOUR_S = 3600.0


def rule(name: str = "a rule", **when: Any) -> RoutingRule:
    return RoutingRule(name=name, when=Circumstances(**when), avoid_models=frozenset({"large"}))


def decision(made_s: float = 0.0, **seen: Any) -> Decision:
    return Decision(
        decision_id="d", kind="step", made_s=made_s, policy="learned", policy_version="",
        features_version="1", actions=("a",), probabilities=(1.0,), masked=("",), chosen=0,
        probability=1.0, choice={}, seen=seen,
    )  # fmt: skip


def run(*decisions: Decision, **values: Any) -> Trajectory:
    given: dict[str, Any] = {
        "trace_id": "0" * 32, "question": "q", "domain": "math", "arrived_at_s": 0.0, "budget_s": 10.0,
        "latency_s": 1.0,
    }  # fmt: skip
    return Trajectory(**{**given, **values}, decisions=decisions)


def concerned(found: Trajectory, *rules: RoutingRule) -> bool:
    return Brief.of_rules(rules, None).is_concerned(found)


def test_it_comes_back_from_the_facts_of_a_version() -> None:
    rules = (rule(domains={"math"}, hours_utc=(22, 6)), rule(min_prompt_tokens=500))
    brief = Brief.of_rules(rules, FORETOLD)
    assert Brief.of_facts(json.loads(json.dumps(brief.to_facts()))) == brief
    assert Brief.of_facts({"advice": "a" * 32, "title": "t"}) == Brief()


def test_what_applies_everywhere_concerns_every_run() -> None:
    assert Brief.of_rules((rule(domains={"math"}), rule()), None).concerns == ()
    assert concerned(run(domain="code"), rule(domains={"math"}), rule())


def test_roles_and_topologies_are_chosen_in_a_run_and_part_no_runs() -> None:
    assert Brief.of_rules((rule(roles={"critic"}, topologies={"Debate"}),), None).concerns == ()
    brief = Brief.of_rules((rule(roles={"critic"}, domains={"math"}),), None)
    assert brief.concerns == (Circumstances(domains=frozenset({"math"})),)


@pytest.mark.parametrize(("domain", "is_concerned"), [("math", True), ("code", False), ("general", True)])
def test_a_rule_for_a_domain_concerns_its_questions(domain: str, is_concerned: bool) -> None:
    assert concerned(run(domain=domain), rule(domains={"math", "general"})) == is_concerned


def test_one_of_several_rules_is_enough() -> None:
    assert concerned(run(domain="code"), rule(domains={"math"}), rule(domains={"code"}))
    assert not concerned(run(domain="general"), rule(domains={"math"}), rule(domains={"code"}))


def test_a_run_that_reaches_into_the_hours_is_concerned_from_there_on() -> None:
    night = rule(hours_utc=(22, 6))
    evening = run(decision(), decision(made_s=40.0), arrived_at_s=22 * HOUR_S - 30.0)
    assert concerned(evening, night)
    assert not concerned(run(decision(), decision(made_s=20.0), arrived_at_s=22 * HOUR_S - 30.0), night)


def test_long_questions_are_told_by_their_length() -> None:
    long = rule(min_prompt_tokens=100)
    assert concerned(run(question="word " * 400), long)
    assert not concerned(run(question="word"), long)


def test_a_call_of_its_own_domain_makes_its_run_one_of_those_concerned() -> None:
    found = run(decision(), decision(made_s=1.0, domain="code"))
    assert concerned(found, rule(domains={"code"}))


@pytest.mark.parametrize(("low", "is_vouched"), [(-0.004, True), (-0.01, False), (0.02, True)])
def test_recorded_runs_vouch_for_what_surely_loses_less_than_may_be(low: float, is_vouched: bool) -> None:
    brief = Brief(foretold=Foretold(change=low + 0.01, low=low, high=low + 0.02, runs=900))
    assert brief.is_vouched(0.01) == is_vouched
    assert not Brief().is_vouched(0.01)
