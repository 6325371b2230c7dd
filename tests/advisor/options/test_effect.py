"""What recorded runs say of a rule, in cases that can be worked out by hand."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from inframind.advisor.options.claims import objection_of
from inframind.advisor.options.config import AnalysisConfig
from inframind.advisor.options.predicting import predictions_of
from inframind.errors import ConfigError
from inframind.router.ope.estimate import SupportRule
from inframind.router.rulebook import RuleBook
from inframind.router.rules import RoutingRule
from inframind.traces.advice import METRICS

ANYTHING = AnalysisConfig(support=SupportRule(least_effective_size=0, most_unsupported=1))
AVOID_A = RoutingRule(name="no a", avoid_models={"a"})
A, B = 0, 1


def values(*success: float) -> np.ndarray:
    """Runs that cost a dollar and take a second, right or wrong."""
    return np.array([[one, one, 1.0, 1.0, 1.0] for one in success])


@pytest.fixture
def single(make_logs: Any, make_space: Any, make_effects: Any) -> Any:
    """Runs of one step each, drawn evenly from a and b."""

    def make(chosen: list[int], success: list[float], **more: Any) -> Any:
        n = len(chosen)
        steps = {"run_N": np.arange(n), "chosen_N": np.array(chosen), "logged_NC": np.full((n, 2), 0.5)}
        domain = more.pop("domain", ["math"] * n)
        named = {name: more.pop(name) for name in ("role", "endpoint", "logged_NC", "hour_N") if name in more}
        logs = make_logs(domain=domain, value_RM=values(*success), steps={**steps, **named}, **more)
        return make_effects(logs, make_space(("a", "b"), ("S",), servers=2), ANYTHING)

    return make


def test_a_change_is_what_the_others_were_worth_less_what_was(single: Any) -> None:
    effect = single([A, A, B, B], [1, 0, 1, 1]).of(AVOID_A, is_choosing=False)
    assert (effect.runs, effect.affected, effect.level) == (4, 4, "exact")
    assert effect.before_M[0] == 0.75
    assert effect.change_M[0] == pytest.approx(0.25)
    assert effect.change_M[4] == pytest.approx(0.0)
    assert effect.size_M[0] == pytest.approx(2.0)


def test_runs_that_a_rule_does_not_concern_stay_what_they_were(single: Any) -> None:
    rule = RoutingRule(name="r", when={"domains": {"math"}}, avoid_models={"a"})
    domain = ["math", "math", "code", "code", "code", "code"]
    effect = single([A, B, A, A, B, B], [0, 1, 0, 0, 1, 1], domain=domain).of(rule, is_choosing=False)
    assert effect.affected == 2
    assert effect.change_M[0] == pytest.approx(1 / 6)
    assert (effect.least_M[0], effect.most_M[0]) == (pytest.approx(-1 / 6), pytest.approx(1 / 6))


def test_a_rule_that_leaves_nothing_is_passed_over(single: Any) -> None:
    only_a = single([A, A], [1, 0], logged_NC=np.array([[1.0, 0.0]] * 2))
    effect = only_a.of(AVOID_A, is_choosing=False)
    assert effect.affected == 0
    assert not effect.change_M.any()


def test_what_was_never_done_is_not_known(make_logs: Any, make_space: Any, make_effects: Any) -> None:
    n = 200
    logs = make_logs(
        domain=["math"] * n,
        value_RM=values(*[float(place % 4 > 0) for place in range(n)]),
        steps={
            "run_N": np.arange(n),
            "chosen_N": np.zeros(n, dtype=int),
            "logged_NC": np.array([[1.0, 0.0]] * n),
            "allowed_NC": np.ones((n, 2), dtype=bool),
        },
    )
    effect = make_effects(logs, make_space(("a", "b"), ("S",))).of(AVOID_A, is_choosing=False)
    assert effect.unsupported == 1.0
    told = predictions_of(effect, 0.05, AnalysisConfig())
    assert all("not enough evidence: 100%" in one.objection for one in told)
    assert [(one.change, one.low, one.high) for one in told[:3]] == [
        (0.0, pytest.approx(-0.75), pytest.approx(0.25)),
        (0.0, pytest.approx(-0.75), pytest.approx(0.25)),
        (0.0, pytest.approx(-1.0), pytest.approx(0.0)),
    ]


def test_steps_of_one_run_are_weighed_together_where_that_has_support(
    make_logs: Any, make_space: Any, make_effects: Any
) -> None:
    """All four pairs of choices, equally often; right only where both are b, so that neither alone would help."""
    pairs = list(product((A, B), repeat=2)) * 30
    logs = make_logs(
        domain=["math"] * len(pairs),
        value_RM=values(*[float(pair == (B, B)) for pair in pairs]),
        steps={
            "run_N": np.repeat(np.arange(len(pairs)), 2),
            "chosen_N": np.array(pairs).ravel(),
            "logged_NC": np.full((2 * len(pairs), 2), 0.5),
        },
    )
    space = make_space(("a", "b"), ("S",))
    levels = {}
    for least in (10, 100):
        config = AnalysisConfig(support=SupportRule(least_effective_size=least))
        effect = make_effects(logs, space, config).of(AVOID_A, is_choosing=False)
        levels[effect.level] = effect.change_M[0]
    assert levels == {"exact": pytest.approx(0.75), "first order": pytest.approx(0.5)}


def test_servers_are_weighed_as_if_drawn_among_those_of_their_model(single: Any) -> None:
    rule = RoutingRule(name="r", avoid_endpoints={"a-0"})
    effects = single([A, A, A, B], [0, 1, 1, 0], endpoint=["a-0", "a-1", "a-1", "b-0"])
    effect = effects.of(rule, is_choosing=False)
    assert effect.affected == 3
    assert effect.change_M[0] == pytest.approx((0 - 0 + 0.5 + 0.5) / 4)
    both = RoutingRule(name="r", avoid_endpoints={"a-0", "a-1"})
    assert effects.of(both, is_choosing=False).change_M[0] == pytest.approx(-1.0 / 2)


def test_runs_without_a_verdict_count_through_their_like(single: Any) -> None:
    known = np.array([[True] * 5, [True] * 5, [False, False, True, True, True], [True] * 5])
    effect = single([A, A, B, B], [1, 0, 0, 1], is_known_RM=known).of(AVOID_A, is_choosing=False)
    assert effect.before_M[0] == pytest.approx(2 / 3)
    assert effect.change_M[0] == pytest.approx((4 / 3) * (1 - 1) / 4)


def test_domains_without_any_verdict_are_an_objection(single: Any) -> None:
    known = np.array([[True] * 5, [True] * 5, *[[False, False, True, True, True]] * 2])
    domain = ["math", "math", "code", "code"]
    effects = single([A, B, A, B], [1, 0, 0, 1], domain=domain, is_known_RM=known)
    in_code = effects.of(
        RoutingRule(name="r", when={"domains": {"code"}}, avoid_models={"a"}), is_choosing=False
    )
    assert "no like has a verdict" in objection_of(in_code, 0, ANYTHING)
    assert objection_of(in_code, METRICS.index("on_time"), ANYTHING) == ""


def test_few_decisions_in_effect_are_an_objection(single: Any) -> None:
    effect = single([A, A, A, B], [1, 1, 1, 1]).of(AVOID_A, is_choosing=False)
    assert objection_of(effect, 0, AnalysisConfig()) == (
        "not enough evidence: 1 decisions in effect, 50 are needed: "
        "many times as many runs like these would tell, or more policy.exploration"
    )


def test_how_many_runs_are_missing_is_told(single: Any) -> None:
    effect = single([A, B] * 40, [1, 0] * 40).of(AVOID_A, is_choosing=False)
    assert effect.size_M[0] == pytest.approx(40)
    config = AnalysisConfig(choosing_share=0.2)
    assert objection_of(effect, 0, config).endswith(
        "40 decisions in effect, 50 are needed: "
        "about 25 more runs like these would tell, fewer with more policy.exploration"
    )


def test_runs_that_all_went_well_leave_some_doubt(single: Any) -> None:
    effect = single([A, B] * 50, [1.0] * 100).of(AVOID_A, is_choosing=False)
    success = predictions_of(effect, 0.05, ANYTHING)[0]
    assert success.change == pytest.approx(0.0)
    assert success.low < -0.01


def test_rules_are_read_as_those_who_decide_read_them(make_world: Any, make_effects: Any) -> None:
    world = make_world(seed=3, runs=60)
    logs = world.logs()
    effects = make_effects(logs, world.actions)
    for content in (
        {"avoid_models": {"a"}},
        {"only_models": {"b"}, "when": {"domains": {"math", "code"}, "roles": {"Critic"}}},
        {"avoid_actions": {"c/Plain"}, "when": {"hours_utc": (22, 13)}},
        {"avoid_strategies": {"Flash"}, "when": {"hours_utc": (13, 22)}},
        {"avoid_endpoints": {"a-0"}, "when": {"min_prompt_tokens": 51}},
        {"avoid_endpoints": {"a-0"}, "when": {"min_prompt_tokens": 50}},
    ):
        rule = RoutingRule(name="r", **content)
        book = RuleBook((rule,), world.actions)
        there_N, left_A = logs.steps.are_at(rule.when), effects.steps_left(rule)
        for place in range(len(logs.steps)):
            reasons = book.step_reasons(
                domain=logs.steps.domain.names[logs.steps.domain.code_N[place]],
                role=logs.steps.role.names[logs.steps.role.code_N[place]],
                topology="",
                prompt_tokens=int(logs.steps.tokens_N[place]),
                wall_s=float(logs.steps.hour_N[place]) * 3600,
            )
            expected = [not reason for reason in reasons] if reasons else [True] * len(left_A)
            assert (left_A | ~there_N[place]).tolist() == expected


@pytest.mark.parametrize("values_of", [{"choosing_share": 1.0}, {"delta": 0.0}, {"margin": -0.1}])
def test_settings_out_of_range_are_refused_by_name(values_of: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(values_of))):
        AnalysisConfig(**values_of)
