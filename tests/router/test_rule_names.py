"""Rules by advice that speak of what is gone meanwhile, and rules of people that never were right."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inframind.errors import ConfigError
from inframind.router.rulebook import RuleBook
from inframind.router.rules import Circumstances, RoutingRule

ADVICE = "5b911ba3" * 4
HERE: dict[str, Any] = {
    "domain": "math", "role": "Solver", "topology": "Debate", "prompt_tokens": 10, "wall_s": 0.0,
}  # fmt: skip


def rule(**asked: Any) -> RoutingRule:
    return RoutingRule.model_validate({"name": "r", "advice": ADVICE, **asked})


def held(bench: Any, one: RoutingRule) -> tuple[dict[str, Any], ...]:
    """What holds of a rule, as plain data."""
    book = RuleBook([one], bench.actions)
    assert book.given == (one,)
    return tuple(
        {name: value for name, value in left.to_plain().items() if name not in ("name", "advice")}
        for left in book.rules
    )


@pytest.mark.parametrize(
    ("asked", "left", "said"),
    [
        ({"avoid_models": ["c"]}, None, "no model 'c'"),
        ({"only_models": ["c"]}, None, "no model 'c'"),
        ({"avoid_endpoints": ["c-0"]}, None, "no server 'c-0'"),
        ({"avoid_strategies": ["Fast"]}, None, "no strategy 'Fast'"),
        ({"avoid_actions": ["c/Flash"]}, None, "no pair 'c/Flash'"),
        ({"avoid_topologies": ["Ring"]}, None, "no topology 'Ring'"),
        ({"avoid_models": ["a", "c"]}, {"avoid_models": ["a"]}, "no model 'c'"),
        ({"only_models": ["a", "c"]}, {"only_models": ["a"]}, "no model 'c'"),
        ({"avoid_endpoints": ["a-0", "c-0"]}, {"avoid_endpoints": ["a-0"]}, "no server 'c-0'"),
        ({"avoid_actions": ["a/Flash", "c/Flash"]}, {"avoid_actions": ["a/Flash"]}, "no pair 'c/Flash'"),
        (
            {"only_models": ["c"], "avoid_strategies": ["Flash", "Fast"], "most_agents": 2},
            {"avoid_strategies": ["Flash"], "most_agents": 2},
            "no model 'c' and no strategy 'Fast'",
        ),
    ],
)
def test_what_a_rule_by_advice_says_of_what_is_gone_is_left_out(
    bench: Any, asked: dict[str, Any], left: dict[str, Any] | None, said: str
) -> None:
    assert held(bench, rule(**asked)) == (() if left is None else (left,))
    (one,) = RuleBook([rule(**asked)], bench.actions).without_effect
    assert (one.rule, one.advice, one.is_whole) == ("r", ADVICE, left is None)
    what = "has no effect" if left is None else "has only part of its effect"
    assert str(one) == f"rule 'r' {what}: there is {said}"


@pytest.mark.parametrize("when", [{"domains": ["sports"]}, {"roles": ["Poet"]}, {"topologies": ["Ring"]}])
def test_a_rule_about_questions_that_there_are_no_more_does_not_become_one_about_all(
    bench: Any, when: dict[str, Any]
) -> None:
    assert held(bench, rule(avoid_models=["a"], when=when)) == ()
    ((field, gone),) = when.items()
    (one,) = RuleBook([rule(avoid_models=["a"], when=when)], bench.actions).without_effect
    assert (one.gone, one.is_whole) == (((f"when.{field}", gone[0]),), True)


def test_of_several_circumstances_those_that_there_are_stay(bench: Any) -> None:
    when = {"domains": ["math", "sports"], "roles": ["Solver"], "hours_utc": [22, 6], "min_prompt_tokens": 5}
    left = {"domains": ["math"], "roles": ["Solver"], "hours_utc": [22, 6], "min_prompt_tokens": 5}
    assert held(bench, rule(avoid_models=["a"], when=when)) == ({"avoid_models": ["a"], "when": left},)


def test_rules_of_people_are_refused_beside_rules_by_advice_that_are_not(bench: Any) -> None:
    advised = rule(avoid_models=["c"])
    by_hand = RoutingRule(name="mine", avoid_models=frozenset({"a", "c"}))
    assert RuleBook([advised], bench.actions).rules == ()
    with pytest.raises(ConfigError, match=r"rules.mine.avoid_models = 'c': there is none; there are a, b"):
        RuleBook([advised, by_hand], bench.actions)


def test_what_comes_back_has_its_effect_again(bench: Any) -> None:
    """Nothing is forgotten: a book gives on what it was given."""
    stale = rule(avoid_models=["c"])
    decider = bench.decider().with_rules([stale])
    assert (decider.book.rules, decider.book.given) == ((), (stale,))
    own = bench.decider()
    assert own.with_rules(decider.book.given).book.without_effect == decider.book.without_effect


def test_a_decider_under_a_stale_rule_has_the_configuration_of_one_without(bench: Any) -> None:
    plain, stale = bench.decider(), bench.decider().with_rules([rule(avoid_models=["c"])])
    assert stale.configuration == plain.configuration


names = {
    "models": st.sets(st.sampled_from(["a", "b", "c"]), max_size=3),
    "strategies": st.sets(st.sampled_from(["Plain", "Flash", "Fast"]), max_size=2),
    "pairs": st.sets(st.sampled_from(["a/Plain", "b/Flash", "c/Plain", "a/Fast"]), max_size=3),
    "domains": st.sets(st.sampled_from(["math", "sports"]), max_size=2),
    "roles": st.sets(st.sampled_from(["Solver", "Poet"]), max_size=2),
}


@given(
    only=st.booleans(),
    models=names["models"],
    strategies=names["strategies"],
    pairs=names["pairs"],
    domains=names["domains"],
    roles=names["roles"],
)
@settings(max_examples=150, deadline=None)
def test_what_is_left_masks_what_the_whole_rule_would_of_what_there_is(
    shared_bench: Any,
    only: bool,
    models: set[str],
    strategies: set[str],
    pairs: set[str],
    domains: set[str],
    roles: set[str],
) -> None:
    if not (models or strategies or pairs):
        return
    asked = {"only_models" if only else "avoid_models": models, "avoid_strategies": strategies}
    when = Circumstances(domains=frozenset(domains), roles=frozenset(roles))
    one = rule(**asked, avoid_actions=pairs, when=when)
    applies = (not domains or "math" in domains) and (not roles or "Solver" in roles)
    kept_to = models & {"a", "b"} if only else set()
    steps = shared_bench.actions.executor_actions
    masked = [
        applies
        and (
            (only and bool(kept_to) and step.model not in kept_to)
            or (not only and step.model in models)
            or step.strategy in strategies
            or step.label in pairs
        )
        for step in steps
    ]
    reasons = RuleBook([one], shared_bench.actions).step_reasons(**HERE)
    assert [bool(reason) for reason in reasons or [""] * len(steps)] == masked
