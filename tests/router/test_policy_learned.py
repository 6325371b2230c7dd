"""The learned policy as it serves: what it proposes follows from chances, time, price and masks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inframind.errors import ConfigError
from inframind.router.actions import ActionSpace, PlannerAction, StrategySpec
from inframind.router.features import FeatureBuilder, Sight
from inframind.router.learning.learner import Learner
from inframind.router.policy import Proposal
from inframind.router.policy_learned import LearnedPolicy, PolicyWeights, Valuation
from inframind.router.query_model import QueryModel
from inframind.router.views import PaceView, PlanView, Query, RoleView, StepView

CROWDED = {"running": 64.0, "waiting": 64.0}
Z90 = 1.2815515655446004


def policy(bench: Any, weights: PolicyWeights, **values: Any) -> LearnedPolicy:
    return LearnedPolicy(weights, bench.actions, QueryModel(), **values)


def untrained(bench: Any, **values: Any) -> PolicyWeights:
    weights = Learner(bench.actions, QueryModel(), seed=0).serving().weights
    return replace(weights, **values)


def logistic(logit: Any) -> Any:
    return 1 / (1 + np.exp(-np.clip(logit, -12, 12)))


def best(view: Any, proposal: Proposal) -> str:
    (place,) = np.flatnonzero(proposal.weights)
    return str(view.actions[place].label)


def role_view(bench: Any, allowed: tuple[bool, bool] = (True, True)) -> RoleView:
    return RoleView(
        query=Query(text="q", domain="math"),
        action=PlannerAction("Debate", 2),
        seat=0,
        roles=("Solver", "Checker"),
        taken=(),
        allowed=np.array(allowed),
    )


# Masks and chances -------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(mask=st.lists(st.booleans(), min_size=8, max_size=8).filter(any), seed=st.integers(0, 5))
def test_what_is_masked_gets_nothing_and_something_else_gets_it(
    shared_bench: Any, make_weights: Any, mask: list[bool], seed: int
) -> None:
    bench, weights = shared_bench, make_weights(shared_bench, seed)
    step, plan = bench.step_view(), bench.plan_view()
    step = replace(step, allowed=np.array(mask))
    plan = replace(plan, allowed=np.resize(np.array(mask), len(plan.actions)))
    for explores in (False, True):
        made = policy(bench, weights, explores=explores)
        for view, found in ((step, made.step(step).weights), (plan, made.plan(plan).weights)):
            assert (found[~view.allowed] == 0).all() and np.isfinite(found).all() and (found >= 0).all()
            assert found.max() == 1.0


def test_serving_takes_the_best_and_exploring_takes_it_most_often(bench: Any, make_weights: Any) -> None:
    weights = make_weights(bench)
    serves, explores = policy(bench, weights), policy(bench, weights, explores=True)
    for ask, view in (("step", bench.step_view()), ("plan", bench.plan_view()), ("role", role_view(bench))):
        one, many = getattr(serves, ask)(view).weights, getattr(explores, ask)(view).weights
        assert sorted(one)[-2:] == [0.0, 1.0] and one.argmax() == many.argmax()
        assert (many > 0).sum() > 1


def test_odds_are_those_of_the_worth_by_temperature(bench: Any) -> None:
    """An untrained policy values by its priors alone, so that its odds can be worked out."""
    valuation = Valuation(price=0.3, wrong_late=0.1, temperature=0.5)
    weights = untrained(bench, multipliers=(0.9, 0.8, 0.7, 0.6))
    view = replace(bench.step_view(load={"a": CROWDED}), allowed=np.ones(8, dtype=bool), remaining_s=4.0)
    seen = FeatureBuilder(bench.actions, QueryModel()).step(view)
    solved, in_time = logistic(seen.prior_logit), logistic(1.702 * seen.slack)
    worth = 0.3 * solved + 0.7 * solved * in_time - 0.1 * (1 - solved) * (1 - in_time) - 0.3 * seen.work
    found = policy(bench, weights, valuation=valuation, explores=True).step(view).weights
    assert found == pytest.approx(np.exp((worth - worth.max()) / 0.5))


def test_the_decider_records_the_policys_own_probabilities(bench: Any, make_weights: Any) -> None:
    made = policy(bench, make_weights(bench), explores=True, valuation=Valuation(temperature=1.0))
    view = bench.step_view(budget_s=1000.0)
    found = made.step(view).weights
    run = bench.play(bench.decider(made), "q", budget_s=1000.0, topology="IO", team_size=1)
    plan, step = run.decisions
    assert min(step.probabilities) > 0 and step.probability == step.probabilities[step.chosen]
    assert sum(step.probabilities) == pytest.approx(1.0)
    assert len(found) == len(step.probabilities) and plan.probability > 0
    assert (step.policy, step.policy_version, step.features_version) == ("learned", "1", "2")


# Worth -------------------------------------------------------------------------------------------------


def test_an_untrained_policy_takes_what_is_most_likely_right_and_in_time(bench: Any) -> None:
    made = policy(bench, untrained(bench))
    calm, hurried = bench.step_view(budget_s=1e6), bench.step_view(budget_s=1.0)
    assert best(calm, made.step(calm)) == "b/DeepThink"
    assert best(hurried, made.step(hurried)) in {"a/Flash", "b/Flash"}


def test_a_price_moves_work_off_a_crowded_model(bench: Any) -> None:
    calm = bench.step_view(budget_s=1e6)
    crowded = replace(calm, snapshot=bench.snapshot(b=CROWDED))
    free, dear = (policy(bench, untrained(bench), valuation=Valuation(price=price)) for price in (0.0, 100.0))
    assert best(calm, free.step(calm)) == best(crowded, free.step(crowded)) == "b/DeepThink"
    assert best(calm, dear.step(calm)) == "b/DeepThink"
    assert best(crowded, dear.step(crowded)).startswith("a/")


@pytest.mark.parametrize(("multiplier", "taken"), [(0.3, "b/Plain"), (0.9, "a/Plain")])
@pytest.mark.parametrize(("budget_s", "tier"), [(5.0, 0), (10.0, 1), (50.0, 2), (100.0, 3)])
def test_the_tiers_multiplier_says_how_much_being_in_time_counts(
    bench: Any, multiplier: float, taken: str, budget_s: float, tier: int
) -> None:
    multipliers = [0.6] * 4
    multipliers[tier] = multiplier
    late, early = 1e4, 0.01
    q50_s = np.where(np.arange(8) < 4, early, late)
    view = replace(
        bench.step_view(budget_s=budget_s),
        q50_s=q50_s,
        q90_s=q50_s * np.exp(0.3 * Z90),
        allowed=np.array([label.endswith("Plain") for label in bench.actions.executor_labels]),
    )
    made = policy(bench, untrained(bench, multipliers=tuple(multipliers)))
    assert best(view, made.step(view)) == taken


def test_without_the_prior_nothing_tells_untrained_candidates_apart(bench: Any) -> None:
    made = policy(bench, untrained(bench), valuation=Valuation(uses_prior=False), explores=True)
    assert made.step(bench.step_view()).weights == pytest.approx(np.ones(8))


def test_without_the_critic_the_actor_alone_decides(bench: Any, make_weights: Any) -> None:
    weights = make_weights(bench)
    other = make_weights(bench, 1)
    heads = {kind: replace(head, critic=other.heads[kind].critic) for kind, head in weights.heads.items()}
    view, alone = bench.step_view(), Valuation(uses_critic=False)
    one, same = (
        policy(bench, given, valuation=alone, explores=True).step(view).weights
        for given in (weights, replace(weights, heads=heads))
    )
    assert one == pytest.approx(same) and one.min() < 0.99


def test_a_role_is_valued_by_being_right_alone(bench: Any, make_weights: Any) -> None:
    view = role_view(bench)
    found = [
        policy(bench, make_weights(bench, 3, multipliers=(multiplier,) * 4), explores=True)
        .role(view)
        .weights.tolist()
        for multiplier in (0.05, 0.9)
    ]
    assert found[0] == found[1]
    assert policy(bench, make_weights(bench)).role(role_view(bench, (False, True))).weights.tolist() == [0, 1]


@pytest.mark.parametrize("values", [{"price": -0.1}, {"wrong_late": -1.0}, {"temperature": 0.0}])
def test_worths_that_cannot_be_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        Valuation(**values)


@pytest.mark.parametrize(("caution", "taken"), [(0.0, "Chain/3"), (1.0, "Debate/2")])
def test_a_plan_that_was_seldom_run_must_look_much_better_to_be_served(
    bench: Any, make_weights: Any, caution: float, taken: str
) -> None:
    """The network is made to prefer Chain a little."""
    known = untrained(bench, plan_runs={"Debate/2": 10_000, "Chain/3": 24})
    head = known.heads["plan"]
    critic = head.critic
    topologies = critic.candidate_names["topology"]
    table = np.zeros_like(critic.candidate_tables[0])
    table[topologies.index("Chain")] = 0.2
    leaning = replace(
        critic,
        state=np.zeros_like(critic.state),
        bias=np.zeros_like(critic.bias),
        candidate=np.zeros_like(critic.candidate),
        state_tables=tuple(map(np.zeros_like, critic.state_tables)),
        candidate_tables=(table,),
        out=np.eye(len(critic.out), 3),
    )
    weights = replace(known, heads={**known.heads, "plan": replace(head, critic=leaning)})
    view = bench.plan_view(budget_s=1e6)
    wanted = [plan.label in ("Chain/3", "Debate/2") for plan in view.actions]
    view = replace(view, allowed=np.array(wanted))
    valuation = Valuation(caution=caution, price=0.0)
    assert best(view, policy(bench, weights, valuation=valuation).plan(view)) == taken
    explores = policy(bench, weights, valuation=valuation, explores=True).plan(view).weights
    assert view.actions[int(explores.argmax())].label == "Chain/3"


def test_an_actor_that_decides_alone_is_not_doubted(bench: Any, make_weights: Any) -> None:
    weights = make_weights(bench, 2)
    counted = replace(weights, plan_runs={"Debate/2": 10_000})
    view, alone = bench.plan_view(), Valuation(uses_critic=False, caution=5.0)
    one, other = (policy(bench, given, valuation=alone).plan(view).weights for given in (weights, counted))
    assert one.tolist() == other.tolist()


# What may be chosen ------------------------------------------------------------------------------------


def test_an_excluded_strategy_is_taken_only_where_nothing_else_is_allowed(bench: Any) -> None:
    made = policy(bench, untrained(bench, excluded_strategies=frozenset({"DeepThink", "Plain"})))
    view = bench.step_view(budget_s=1e6)
    assert best(view, made.step(view)) == "b/Concise"
    only = replace(view, allowed=np.array([label == "a/Plain" for label in bench.actions.executor_labels]))
    assert best(only, made.step(only)) == "a/Plain"


def test_a_new_model_and_a_new_strategy_are_valued_and_the_others_stay_as_they_were(
    make_bench: Any, make_weights: Any
) -> None:
    old, new = make_bench(), make_bench(a={"size_b": 3.0}, b={"size_b": 32.0}, c={"size_b": 70.0})
    odd = StrategySpec(name="Odd", max_tokens=64, expected_output_tokens=20)
    new.strategies = {**new.strategies, "Odd": odd}
    new.actions = ActionSpace(
        models=new.models,
        strategies=new.strategies,
        topologies=new.actions.topologies,
        roles={**new.actions.roles, "law": ("Counsel",)},
    )
    new.latency = type(new.latency)(new.models, new.strategies)
    weights = make_weights(old)
    ours, grown = policy(old, weights, explores=True), policy(new, weights, explores=True)
    before, after = old.step_view(budget_s=1e6), new.step_view(budget_s=1e6)
    was = dict(zip(old.actions.executor_labels, np.log(ours.step(before).weights), strict=True))
    now = dict(zip(new.actions.executor_labels, np.log(grown.step(after).weights), strict=True))
    assert len(now) == 15 and np.isfinite(list(now.values())).all()
    shift = now["a/Flash"] - was["a/Flash"]
    assert [now[label] - was[label] for label in was] == pytest.approx([shift] * 8)
    counsel = replace(role_view(new), query=Query(text="q", domain="law"), roles=("Counsel",))
    assert grown.role(replace(counsel, allowed=np.ones(1, dtype=bool))).weights.tolist() == [1.0]
    assert np.isfinite(grown.plan(new.plan_view()).weights).all()


# What may be seen --------------------------------------------------------------------------------------


def crowded(bench: Any, view: StepView | PlanView) -> Any:
    return replace(view, snapshot=bench.snapshot(a={"running": 7.0}, b={**CROWDED, "age_s": None}))


def test_hidden_load_changes_no_proposal(bench: Any, make_weights: Any) -> None:
    step, plan = bench.step_view(), bench.plan_view()
    hides, sees = (
        policy(bench, make_weights(bench), sight=Sight(sees_load=shown), explores=True)
        for shown in (False, True)
    )
    assert hides.step(step).weights.tolist() == hides.step(crowded(bench, step)).weights.tolist()
    assert hides.plan(plan).weights.tolist() == hides.plan(crowded(bench, plan)).weights.tolist()
    assert sees.step(step).weights.tolist() != sees.step(crowded(bench, step)).weights.tolist()
    assert sees.plan(plan).weights.tolist() != sees.plan(crowded(bench, plan)).weights.tolist()


def test_a_blind_planner_plans_the_same_under_any_load_while_its_executor_sees(
    bench: Any, make_weights: Any
) -> None:
    sight = Sight(planner_sees_load=False)
    made = policy(bench, make_weights(bench), sight=sight, explores=True)
    calm = bench.plan_view(budget_s=500.0)
    pressed = bench.plan_view(budget_s=500.0, load={"a": CROWDED, "b": CROWDED})
    pressed = replace(pressed, remaining_s=0.5, allowed=calm.allowed)
    assert made.plan(calm).weights.tolist() == made.plan(pressed).weights.tolist()
    step = bench.step_view()
    assert made.step(step).weights.tolist() != made.step(crowded(bench, step)).weights.tolist()


# Rounds ------------------------------------------------------------------------------------------------


class Stop:
    """A pacer that never goes on."""

    name, version = "stop", "1"

    def propose(self, view: PaceView) -> Proposal:
        return Proposal(np.array([0.0, 1.0]), "stop")


def test_rounds_are_the_pacers_or_the_default_ones(bench: Any) -> None:
    weights, view = untrained(bench), bench.pace_view()
    assert policy(bench, weights, pacer=Stop()).pace(view).weights.tolist() == [0, 1]
    assert policy(bench, weights).pace(view).weights.tolist() == [1, 0]
    assert policy(bench, weights).pace(replace(view, round=2)).weights.tolist() == [0, 1]
