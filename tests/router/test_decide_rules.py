"""Deciding under rules."""

from __future__ import annotations

from typing import Any

import pytest

from inframind.errors import ConfigError
from inframind.router.masks import TOO_SLOW
from inframind.router.policy import UniformPolicy
from inframind.router.rules import Circumstances, RoutingRule
from inframind.router.views import Query, Slot

MATH = Query(text="What is 1 + 1?", domain="math", prompt_tokens=8)
CODE = Query(text="Write a sort.", domain="code", prompt_tokens=8)
SLOT = Slot(topology="Chain", role="Solver", prompt_tokens=10)
NO_A = RoutingRule(name="no-a", avoid_models=frozenset({"a"}))
NO_B_FOR_CODE = RoutingRule(
    name="code", when=Circumstances(domains=frozenset({"code"})), avoid_models=frozenset({"b"})
)


def step(bench: Any, *rules: RoutingRule, query: Query = MATH, **asked: Any) -> Any:
    decider = bench.decider(UniformPolicy()).with_rules(rules)
    slot = asked.pop("slot", SLOT)
    load, budget_s = asked.pop("load", {}), asked.pop("budget_s", 60.0)
    return decider.step(query, slot, bench.snapshot(**load), bench.within(budget_s), decision_id="d", **asked)


def test_what_a_rule_avoids_is_masked_with_its_name(bench: Any) -> None:
    choice, decision = step(bench, NO_A)
    assert choice.model == "b"
    assert decision.masked == (*["rule no-a"] * 4, *[""] * 4)
    assert decision.probabilities[:4] == (0.0,) * 4


def test_a_rule_concerns_its_circumstances_alone(bench: Any) -> None:
    assert "rule code" not in step(bench, NO_B_FOR_CODE)[1].masked
    assert step(bench, NO_B_FOR_CODE, query=CODE)[1].masked == (*[""] * 4, *["rule code"] * 4)


def test_rules_come_after_what_is_impossible(bench: Any) -> None:
    choice, decision = step(bench, NO_A, load={"b": {"breaker": "open"}})
    assert choice.model == "a"
    assert decision.masked == (*[""] * 4, *["breaker open"] * 4)


def test_rules_come_after_what_the_caller_has_settled_on(bench: Any) -> None:
    pinned = Slot(topology="Chain", role="Solver", prompt_tokens=10, models=frozenset({"a"}))
    choice, decision = step(bench, NO_A, slot=pinned)
    assert choice.model == "a"
    assert "rule no-a" not in decision.masked


def test_rules_come_after_the_deadline(bench: Any) -> None:
    """Only the small model's short answers can be in time."""
    choice, decision = step(bench, NO_A, budget_s=0.6)
    assert choice.model == "a"
    assert "rule no-a" not in decision.masked and TOO_SLOW in decision.masked


def test_what_a_rule_avoids_is_fallen_back_on_after_all_else(bench: Any) -> None:
    choice, _ = step(bench, NO_A)
    assert choice.models == ("b", "a")


def test_what_is_avoided_is_fallen_back_on_before_what_is_too_slow(make_bench: Any) -> None:
    bench = make_bench(small={"size_b": 3.0}, middle={"size_b": 8.0}, large={"size_b": 70.0})
    rule = RoutingRule(name="no-middle", avoid_models=frozenset({"middle"}))
    plain = Slot(topology="Chain", role="Solver", prompt_tokens=10, strategies=frozenset({"Plain"}))
    q90_s = step(bench, slot=plain)[1].latency_q90_s
    budget_s = (q90_s[6] + q90_s[10]) / 2

    choice, decision = step(bench, rule, slot=plain, budget_s=budget_s)

    assert (decision.masked[2], decision.masked[6], decision.masked[10]) == ("", "rule no-middle", TOO_SLOW)
    assert choice.models == ("small", "middle", "large")


def test_plans_follow_rules_and_say_so(bench: Any) -> None:
    rule = RoutingRule(name="small", avoid_topologies=frozenset({"Debate"}), most_agents=2)
    decider = bench.decider(UniformPolicy()).with_rules([rule])
    plan, decision = decider.plan(MATH, bench.snapshot(), bench.within(), decision_id="d")
    assert plan.topology.name != "Debate" and len(plan.team) <= 2
    expected = [
        "rule small" if action.team_size > 2 or action.topology == "Debate" else ""
        for action in bench.actions.planner_actions
    ]
    assert list(decision.masked) == expected


def test_a_plan_that_the_caller_has_settled_on_is_made(bench: Any) -> None:
    rule = RoutingRule(name="small", most_agents=2)
    decider = bench.decider(UniformPolicy()).with_rules([rule])
    plan, _ = decider.plan(
        MATH, bench.snapshot(), bench.within(), decision_id="d", topology="Chain", team_size=4
    )
    assert (plan.topology.name, len(plan.team)) == ("Chain", 4)


def test_a_planner_sees_the_steps_that_rules_leave_to_every_role(bench: Any, make_watcher: Any) -> None:
    of_solvers = RoutingRule(
        name="solvers",
        when=Circumstances(roles=frozenset({"Solver"})),
        avoid_strategies=frozenset({"Flash"}),
    )
    watcher = make_watcher()
    decider = bench.decider(watcher).with_rules([NO_A, of_solvers])
    _, decision = decider.plan(MATH, bench.snapshot(), bench.within(), decision_id="d")
    assert watcher.plans[0].step_allowed.tolist() == [False] * 4 + [True] * 4
    assert decision.seen["step_allowed"] == [False] * 4 + [True] * 4


def test_a_pacer_reckons_with_the_steps_that_rules_leave(bench: Any) -> None:
    def round_q90_s(*rules: RoutingRule) -> float:
        _, decision = (
            bench.decider()
            .with_rules(rules)
            .pace(
                MATH,
                bench.actions.topology("Debate"),
                round_number=1,
                agreement=0.5,
                stagnation=0.0,
                snapshot=bench.snapshot(),
                deadline=bench.within(),
                decision_id="d",
            )
        )
        return float(decision.seen["round_q90_s"])

    q90_s = bench.latency.predict(bench.snapshot(), MATH.prompt_tokens).q90_s
    assert round_q90_s() == pytest.approx(2 * q90_s.min())
    assert round_q90_s(NO_A) == pytest.approx(2 * q90_s[1].min())


def test_servers_to_avoid_go_with_the_choice_and_into_the_record(bench: Any) -> None:
    night = RoutingRule(name="night", avoid_endpoints=frozenset({"a-0"}))
    choice, decision = step(bench, night)
    assert choice.avoid == {"a-0"} and choice.model == "b"
    assert decision.seen["avoid_endpoints"] == ["a-0"]
    plain_choice, plain = step(bench)
    assert plain_choice.avoid == frozenset() and "avoid_endpoints" not in plain.seen


def test_a_twin_with_another_policy_has_the_same_rules(bench: Any) -> None:
    decider = bench.decider().with_rules([NO_A])
    twin = decider.with_policy(UniformPolicy())
    assert twin.book.rules == (NO_A,)
    choice, _ = twin.step(MATH, SLOT, bench.snapshot(), bench.within(), decision_id="d")
    assert choice.model == "b"


def test_a_twin_with_other_rules_leaves_the_first_as_it_was(bench: Any) -> None:
    decider = bench.decider(UniformPolicy())
    decider.with_rules([NO_A])
    _, decision = decider.step(MATH, SLOT, bench.snapshot(), bench.within(), decision_id="d")
    assert set(decision.masked) == {""}


def test_rules_about_what_there_is_not_are_refused(bench: Any) -> None:
    with pytest.raises(ConfigError, match=r"rules\.r\.avoid_models = 'c'"):
        bench.decider().with_rules([RoutingRule(name="r", avoid_models=frozenset({"c"}))])


def test_the_only_server_of_a_model_that_is_chosen_all_the_same_is_not_tried_last(bench: Any) -> None:
    """All of b would be late, and a's server is the rule's: it is passed over, or the run would be late for sure."""
    fastest = min(step(bench)[1].latency_q90_s)
    choice, decision = step(
        bench, RoutingRule(name="not-there", avoid_endpoints=frozenset({"a-0"})), budget_s=fastest * 1.01
    )
    assert decision.masked[4:] == (TOO_SLOW,) * 4
    assert choice.models == ("a", "b") and choice.avoid == frozenset()
    assert "avoid_endpoints" not in decision.seen


def test_where_all_servers_are_to_be_avoided_that_of_the_chosen_model_is_not(bench: Any) -> None:
    both = RoutingRule(name="both", avoid_endpoints=frozenset({"a-0", "b-0"}))
    choice, _ = step(bench, both)
    assert choice.avoid == {"a-0", "b-0"} - {f"{choice.model}-0"}
