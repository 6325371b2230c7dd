"""Rules over what may be chosen: whom they concern, what they mask, and what they may not speak of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframind.errors import ConfigError
from inframind.router.actions import PlannerAction
from inframind.router.rulebook import RuleBook, narrowed
from inframind.router.rules import Circumstances, RoutingRule

NOON_S = 12 * 3600.0
HERE: dict[str, Any] = {
    "domain": "math",
    "role": "Solver",
    "topology": "Chain",
    "prompt_tokens": 100,
    "wall_s": NOON_S,
}
STRATEGIES = ("Flash", "Concise", "Plain", "DeepThink")


def rule(name: str = "r", when: Circumstances | None = None, **what: Any) -> RoutingRule:
    return RoutingRule.model_validate({"name": name, "when": when or Circumstances(), **what})


def masked(bench: Any, *rules: RoutingRule, **circumstances: Any) -> list[str]:
    """Labels of the steps that rules mask."""
    reasons = RuleBook(rules, bench.actions).step_reasons(**{**HERE, **circumstances})
    labels = bench.actions.executor_labels
    return [label for label, reason in zip(labels, reasons or [""] * len(labels), strict=True) if reason]


def test_without_rules_nothing_is_said(bench: Any) -> None:
    book = RuleBook((), bench.actions)
    assert book.step_reasons(**HERE) is None
    assert (
        book.plan_reasons(bench.actions.planner_actions, domain="math", prompt_tokens=1, wall_s=0.0) is None
    )
    assert book.avoided_endpoints(**HERE) == frozenset()


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ({"avoid_models": {"a"}}, [f"a/{name}" for name in STRATEGIES]),
        ({"only_models": {"a"}}, [f"b/{name}" for name in STRATEGIES]),
        ({"avoid_strategies": {"Flash", "Plain"}}, ["a/Flash", "a/Plain", "b/Flash", "b/Plain"]),
        ({"avoid_actions": {"b/DeepThink"}}, ["b/DeepThink"]),
        ({"avoid_endpoints": {"a-0"}}, [f"a/{name}" for name in STRATEGIES]),
        ({"most_agents": 2}, []),
        ({"avoid_topologies": {"Debate"}}, []),
    ],
)
def test_a_rule_masks_the_steps_that_it_names(bench: Any, what: dict[str, Any], expected: list[str]) -> None:
    assert masked(bench, rule(**what)) == expected


@pytest.mark.parametrize(
    ("when", "circumstances", "applies"),
    [
        ({"domains": {"math", "code"}}, {"domain": "code"}, True),
        ({"domains": {"math", "code"}}, {"domain": "general"}, False),
        ({"roles": {"Solver"}}, {"role": "Solver"}, True),
        ({"roles": {"Solver"}}, {"role": "Checker"}, False),
        ({"roles": {"Solver"}}, {"role": ""}, False),
        ({"roles": {"Judge"}}, {"role": "Judge"}, True),
        ({"topologies": {"Chain"}}, {"topology": "Chain"}, True),
        ({"topologies": {"Chain"}}, {"topology": ""}, False),
        ({"min_prompt_tokens": 100}, {"prompt_tokens": 100}, True),
        ({"min_prompt_tokens": 100}, {"prompt_tokens": 99}, False),
        ({"hours_utc": (22, 6)}, {"wall_s": 22 * 3600.0}, True),
        ({"hours_utc": (22, 6)}, {"wall_s": 86_400.0 + 5.99 * 3600.0}, True),
        ({"hours_utc": (22, 6)}, {"wall_s": 6 * 3600.0}, False),
        ({"hours_utc": (9, 17)}, {"wall_s": 17 * 3600.0 - 1}, True),
        ({"hours_utc": (9, 17)}, {"wall_s": 17 * 3600.0}, False),
        ({"domains": {"math"}, "roles": {"Checker"}}, {}, False),
    ],
)
def test_a_rule_applies_where_all_of_its_circumstances_hold(
    bench: Any, when: dict[str, Any], circumstances: dict[str, Any], applies: bool
) -> None:
    found = masked(bench, rule(when=Circumstances.model_validate(when), avoid_models={"a"}), **circumstances)
    assert bool(found) is applies


def test_a_reason_is_the_first_rule_that_masks(bench: Any) -> None:
    book = RuleBook([rule("one", avoid_models={"a"}), rule("two", avoid_strategies={"Flash"})], bench.actions)
    assert book.step_reasons(**HERE) == (*["rule one"] * 4, "rule two", "", "", "")


def test_a_model_is_avoided_once_none_of_its_servers_is_left(make_bench: Any) -> None:
    bench = make_bench()
    servers = {"a": ("a-0", "a-1"), "b": ("b-0",)}
    first, second = rule("one", avoid_endpoints={"a-0"}), rule("two", avoid_endpoints={"a-1"})
    alone, both = RuleBook([first], bench.actions, servers), RuleBook([first, second], bench.actions, servers)

    assert alone.step_reasons(**HERE) is None
    assert alone.avoided_endpoints(**HERE) == {"a-0"}
    assert both.step_reasons(**HERE) == (*["rule two"] * 4, *[""] * 4)
    assert both.avoided_endpoints(**HERE) == {"a-0", "a-1"}


def test_plans_are_masked_by_topology_and_size(bench: Any) -> None:
    plans = [PlannerAction("IO", 1), PlannerAction("Chain", 3), PlannerAction("Debate", 2)]
    book = RuleBook(
        [
            rule("small", when=Circumstances(domains=frozenset({"math"})), most_agents=2),
            rule("calm", avoid_topologies={"Debate"}),
        ],
        bench.actions,
    )
    known = {"prompt_tokens": 1, "wall_s": 0.0}
    assert book.plan_reasons(plans, domain="math", **known) == ("", "rule small", "rule calm")
    assert book.plan_reasons(plans, domain="code", **known) == ("", "", "rule calm")
    assert book.plan_reasons(plans[:1], domain="math", **known) is None


@pytest.mark.parametrize(
    ("field", "value", "there_is"),
    [
        ("avoid_models", "c", "a, b"),
        ("only_models", "c", "a, b"),
        ("avoid_endpoints", "c-0", "a-0, b-0"),
        ("avoid_strategies", "Fast", "Concise, DeepThink, Flash, Plain"),
        ("avoid_actions", "a/Fast", "a/Concise, a/DeepThink"),
        ("avoid_topologies", "Ring", "Chain, CoT, Debate"),
        ("when.domains", "sports", "code, general, knowledge, math"),
        ("when.roles", "Poet", "Checker, Helper, Judge, Solver"),
        ("when.topologies", "Ring", "Chain, CoT, Debate"),
    ],
)
def test_a_rule_may_not_speak_of_what_there_is_not(bench: Any, field: str, value: str, there_is: str) -> None:
    asked: dict[str, Any] = {"name": "r", "avoid_models": ["a"]}
    section, _, name = field.rpartition(".")
    asked |= {section: {name: [value]}} if section else {name: [value]}
    if name == "only_models":
        del asked["avoid_models"]
    with pytest.raises(ConfigError) as refused:
        RuleBook([RoutingRule.model_validate(asked)], bench.actions)
    assert (refused.value.field, refused.value.value) == (f"rules.r.{field}", value)
    assert there_is in refused.value.fix


def test_two_rules_may_not_have_one_name(bench: Any) -> None:
    with pytest.raises(ConfigError, match=r"rules.name = 'r': give every rule its own name"):
        RuleBook([rule(avoid_models={"a"}), rule(avoid_models={"b"})], bench.actions)


def test_roles_beside_the_planned_ones_may_be_named(bench: Any) -> None:
    of_poets = rule(when=Circumstances(roles=frozenset({"Poet"})), avoid_models={"a"})
    book = RuleBook([of_poets], bench.actions, roles=["Poet"])
    assert book.step_reasons(**{**HERE, "role": "Poet"}) is not None
    assert book.with_rules([of_poets]).rules == (of_poets,)


def test_of_rules_that_leave_nothing_together_the_earlier_ones_count(bench: Any) -> None:
    book = RuleBook(
        [
            rule("one", avoid_models={"a"}),
            rule("two", avoid_models={"b"}),
            rule("three", avoid_strategies={"Flash"}),
        ],
        bench.actions,
    )
    ruled = book.at_step(**HERE)
    assert ruled is not None
    allowed, reasons = narrowed(("",) * 8, ruled)
    assert reasons == (*["rule one"] * 4, "rule three", "", "", "")
    assert allowed.tolist() == [False] * 5 + [True] * 3


# Properties ------------------------------------------------------------------------------------------------

names = st.sampled_from(["a", "b"])
some_rules = st.lists(
    st.one_of(
        st.builds(lambda model: {"avoid_models": {model}}, names),
        st.builds(lambda model: {"only_models": {model}}, names),
        st.builds(
            lambda chosen: {"avoid_strategies": chosen}, st.sets(st.sampled_from(STRATEGIES), min_size=1)
        ),
        st.builds(
            lambda model, one: {"avoid_actions": {f"{model}/{one}"}}, names, st.sampled_from(STRATEGIES)
        ),
        st.builds(lambda model: {"avoid_endpoints": {f"{model}-0"}}, names),
    ),
    min_size=1,
    max_size=6,
).map(lambda parts: [rule(f"r{number}", **what) for number, what in enumerate(parts)])
before = st.lists(st.sampled_from(["", "too slow", "breaker open"]), min_size=8, max_size=8).map(tuple)


@given(rules=some_rules, reasons=before)
def test_rules_never_leave_nothing_and_never_allow_what_was_masked(
    shared_bench: Any, rules: list[RoutingRule], reasons: tuple[str, ...]
) -> None:
    ruled = RuleBook(rules, shared_bench.actions).at_step(**HERE)
    if ruled is None:
        return
    allowed, said = narrowed(reasons, ruled)
    was = np.array([not reason for reason in reasons])
    assert not (allowed & ~was).any()
    assert allowed.any() == was.any()
    assert allowed.tolist() == [not reason for reason in said]
    assert [new for old, new in zip(reasons, said, strict=True) if old] == [old for old in reasons if old]


@given(rules=some_rules, reasons=before)
def test_what_all_rules_leave_together_is_left(
    shared_bench: Any, rules: list[RoutingRule], reasons: tuple[str, ...]
) -> None:
    ruled = RuleBook(rules, shared_bench.actions).at_step(**HERE)
    if ruled is None:
        return
    together = [not (old or new) for old, new in zip(reasons, ruled.reasons, strict=True)]
    if any(together):
        assert narrowed(reasons, ruled)[0].tolist() == together
