"""Decisions: masked, explored, drawn, and recorded with their propensity."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inframind.errors import ConfigError, UnknownModel, UnknownTopology
from inframind.router.decide import DecideConfig
from inframind.router.policy import Proposal, UniformPolicy
from inframind.router.switching import SwitchingConfig
from inframind.router.views import Query, Slot

QUESTION = Query(text="How many?", domain="math", prompt_tokens=3)
SLOT = Slot(topology="IO", role="Solver")
WEIGHT = st.sampled_from([0.0, 1e-300, 1e-9, 0.25, 1.0, 3.0, 1e9])


class Weighted:
    """Proposes what it is told to, cut or repeated to the length that is asked for."""

    name, version = "weighted", "7"

    def __init__(self, weights: Any) -> None:
        self._weights = np.array(weights, dtype=float)

    def _proposal(self, length: int) -> Proposal:
        return Proposal(np.resize(self._weights, length), "as told")

    def plan(self, view: Any) -> Proposal:
        return self._proposal(len(view.actions))

    def role(self, view: Any) -> Proposal:
        return self._proposal(len(view.roles))

    def step(self, view: Any) -> Proposal:
        return self._proposal(len(view.actions))

    def pace(self, view: Any) -> Proposal:
        return self._proposal(2)


def step(bench: Any, decider: Any, *, budget_s: float = 60.0, load: Any = None, slot: Slot = SLOT) -> Any:
    return decider.step(
        QUESTION, slot, bench.snapshot(**(load or {})), bench.within(budget_s), decision_id="d"
    )


@settings(max_examples=60, deadline=None)
@given(
    weights=st.lists(WEIGHT, min_size=8, max_size=8),
    explore=st.sampled_from([0.0, 0.05, 0.5, 1.0]),
    open_models=st.sets(st.sampled_from(["a", "b"])),
    budget_s=st.sampled_from([0.01, 1.0, 3.0, 100.0]),
    seed=st.integers(0, 99),
)
def test_probabilities_are_a_distribution_over_what_is_allowed_with_a_floor(
    shared_bench: Any,
    weights: list[float],
    explore: float,
    open_models: set[str],
    budget_s: float,
    seed: int,
) -> None:
    bench = shared_bench
    load = {model: {"breaker": "open"} for model in open_models}
    decider = bench.decider(Weighted(weights), seed=seed, exploration=explore)
    choice, decision = step(bench, decider, budget_s=budget_s, load=load)
    probabilities = np.array(decision.probabilities)
    is_masked = np.array([bool(reason) for reason in decision.masked])
    assert probabilities.sum() == pytest.approx(1.0)
    assert (probabilities[is_masked] == 0).all() and not is_masked.all()
    assert (probabilities[~is_masked] >= explore / (~is_masked).sum() - 1e-12).all()
    assert not is_masked[decision.chosen]
    assert decision.probability == probabilities[decision.chosen] > 0
    assert decision.action == f"{choice.model}/{choice.strategy}" == decision.actions[decision.chosen]


@pytest.mark.parametrize("explore", [0.0, 0.2])
def test_the_recorded_probability_is_how_often_it_is_drawn(bench: Any, explore: float) -> None:
    decider = bench.decider(Weighted([4, 0, 1, 2, 0, 0, 3, 0]), seed=11, exploration=explore)
    draws, n = Counter[int](), 4000
    for _ in range(n):
        _, decision = step(bench, decider, budget_s=1000.0)
        draws[decision.chosen] += 1
    for place, probability in enumerate(decision.probabilities):
        tolerance = 4 * np.sqrt(max(probability * (1 - probability), 1e-9) / n)
        assert draws[place] / n == pytest.approx(probability, abs=tolerance)


def test_a_plans_probability_covers_topology_and_roles(bench: Any) -> None:
    decider = bench.decider(UniformPolicy(), seed=3)
    plan, decision = decider.plan(
        QUESTION, bench.snapshot(), bench.within(1e6), decision_id="d", topology="Debate", team_size=3
    )
    assert (plan.topology.name, len(plan.team)) == ("Debate", 3)
    assert set(plan.team) <= {"Solver", "Checker"}
    assert decision.probability == pytest.approx(0.5**3) == decision.seen["team_probability"]
    assert decision.choice == {"topology": "Debate", "team_size": 3, "team": list(plan.team)}


def test_the_same_seed_decides_the_same(bench: Any) -> None:
    def life(seed: int) -> list[Any]:
        decider = bench.decider(UniformPolicy(), seed=seed, exploration=0.3)
        made = []
        for _ in range(20):
            made.append(decider.plan(QUESTION, bench.snapshot(), bench.within(), decision_id="p")[1])
            made.append(step(bench, decider)[1])
        return made

    assert life(5) == life(5)
    assert life(5) != life(6)


def test_greedy_takes_the_best_and_says_so(bench: Any) -> None:
    decider = bench.decider(Weighted([1, 2, 9, 3, 1, 1, 1, 1]), greedy=True)
    choice, decision = step(bench, decider, budget_s=1000.0)
    assert (choice.model, choice.strategy, decision.probability) == ("a", "Plain", 1.0)
    assert decision.probabilities == (0, 0, 1, 0, 0, 0, 0, 0)


def test_a_policy_without_a_wish_is_uniform(bench: Any) -> None:
    _, decision = step(bench, bench.decider(Weighted([0.0])), budget_s=1000.0)
    assert decision.probabilities == pytest.approx((1 / 8,) * 8)


@pytest.mark.parametrize("weights", [[-1.0, 2.0], [float("nan")], [float("inf")]])
def test_impossible_weights_are_refused(bench: Any, weights: list[float]) -> None:
    with pytest.raises(ValueError, match="'weighted' proposed"):
        step(bench, bench.decider(Weighted(weights)), budget_s=1000.0)


def test_what_a_decision_remembers(bench: Any) -> None:
    bench.clock.at_s = 1000.0
    deadline = bench.within(10.0)
    bench.clock.at_s = 1004.0
    load = bench.snapshot(a={"running": 5.0})
    slot = Slot(
        topology="CoT", kind="judge", role="Judge", round=2, depth_left=1, agreement=0.5, prompt_tokens=9
    )
    _, decision = bench.decider().step(QUESTION, slot, load, deadline, decision_id="d-7")
    assert (decision.decision_id, decision.kind, decision.made_s) == ("d-7", "step", 4.0)
    assert (decision.policy, decision.policy_version) == ("just_enough", "1/floor=0.6")
    assert decision.seen["remaining_s"] == 6.0 and decision.seen["agreement"] == 0.5
    assert decision.seen["loads"]["a-0"]["running"] == 5.0
    assert decision.masked[0] == "strategy contradicts topology"
    assert len(decision.latency_q50_s) == len(decision.latency_q90_s) == len(decision.actions) == 8
    assert decision.reason


def test_failover_goes_by_the_policys_order_and_takes_the_slow_before_nothing(make_bench: Any) -> None:
    sizes = {"a": 3.0, "b": 8.0, "c": 14.0, "d": 32.0, "e": 5.0}
    bench = make_bench(**{name: {"size_b": size} for name, size in sizes.items()})
    weights = np.zeros((5, 4))
    weights[:, 2] = [9, 1, 2, 8, 5]
    load = {"e": {"breaker": "open"}}
    choice, _ = step(bench, bench.decider(Weighted(weights.ravel()), greedy=True), budget_s=9.0, load=load)
    assert choice.models == ("a", "c", "b", "d")
    last_resort, _ = step(
        bench, bench.decider(Weighted(weights.ravel()), greedy=True), budget_s=0.01, load=load
    )
    assert last_resort.strategy == "Flash" and last_resort.models == ("a", "b", "c", "d")


@pytest.mark.parametrize(
    ("fixed", "labels"),
    [
        ({"topology": "Chain"}, {f"Chain/{n}" for n in range(2, 7)}),
        ({"topology": "IO"}, {f"IO/{n}" for n in range(1, 7)}),
        ({"team_size": 1}, {"IO/1", "CoT/1", "Reflection/1"}),
        (
            {"team_size": 6},
            {f"{name}/6" for name in ("IO", "CoT", "Chain", "FullConnected", "Debate", "Reflection")},
        ),
        ({"topology": "Debate", "team_size": 1}, {"Debate/1"}),
    ],
)
def test_fixed_values_narrow_the_plan(bench: Any, fixed: dict[str, Any], labels: set[str]) -> None:
    _, decision = bench.decider().plan(
        QUESTION, bench.snapshot(), bench.within(1e6), decision_id="d", **fixed
    )
    assert set(decision.actions) == labels


@pytest.mark.parametrize("fixed", [{"team_size": 7}, {"team_size": 0}, {"topology": "IO", "team_size": 9}])
def test_a_team_that_cannot_be_is_refused(bench: Any, fixed: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="team_size"):
        bench.decider().plan(QUESTION, bench.snapshot(), bench.within(), decision_id="d", **fixed)


@pytest.mark.parametrize("fixed", [{"topology": "Ring"}, {"topology": "Ring", "team_size": 2}])
def test_an_unknown_topology_is_named_beside_the_known_ones(bench: Any, fixed: dict[str, Any]) -> None:
    with pytest.raises(UnknownTopology, match=r"'Ring'.*auto, IO, CoT, Chain"):
        bench.decider().plan(QUESTION, bench.snapshot(), bench.within(), decision_id="d", **fixed)


def test_a_tight_budget_masks_the_deep_plans_and_never_all(bench: Any) -> None:
    for budget_s in (1e6, 1.0, 1e-6):
        _, decision = bench.decider(UniformPolicy()).plan(
            QUESTION, bench.snapshot(), bench.within(budget_s), decision_id="d"
        )
        depth = {"Chain/6": 6, "IO/1": 1, "Debate/2": 3}
        fits = {label: decision.masked[decision.actions.index(label)] == "" for label in depth}
        fastest_q90_s = 0.02 + 40 * 0.0047 + 3 * 3e-6 * 3
        fastest_q90_s *= np.exp(1.2815515655446004 * 0.35)
        expected = {label: deep * fastest_q90_s <= budget_s for label, deep in depth.items()}
        if budget_s > 1e-6:
            assert fits == expected
        else:
            assert sum(not reason for reason in decision.masked) == 1


def pace(bench: Any, decider: Any, *, budget_s: float = 60.0, load: Any = None, **values: Any) -> Any:
    return decider.pace(
        QUESTION,
        bench.actions.topology("Debate"),
        **{"round_number": 1, "agreement": 0.5, "stagnation": 0.0, **values},
        snapshot=bench.snapshot(**(load or {})),
        deadline=bench.within(budget_s),
        decision_id="d",
    )


def test_pacing_stays_by_the_default_rounds_and_advances_when_all_agree(bench: Any) -> None:
    decider = bench.decider()
    assert pace(bench, decider)[0] is True
    assert pace(bench, decider, agreement=1.0)[0] is False
    assert pace(bench, decider, round_number=2)[0] is False


def test_pacing_advances_when_there_is_no_time_no_round_or_nobody_to_ask(bench: Any) -> None:
    decider = bench.decider(Weighted([1.0, 0.0]))
    both_open = {"a": {"breaker": "open"}, "b": {"breaker": "open"}}
    for stays, values in [
        (True, {}),
        (False, {"budget_s": 0.3}),
        (False, {"round_number": 3}),
        (False, {"load": both_open}),
    ]:
        found, decision = pace(bench, decider, **values)
        assert (found, decision.action) == (stays, "STAY" if stays else "ADVANCE")
        assert decision.probability == 1.0


def test_an_open_breakers_speed_does_not_make_a_round_look_affordable(bench: Any) -> None:
    decider = bench.decider(Weighted([1.0, 0.0]))
    assert pace(bench, decider, budget_s=2.0)[0] is True
    assert pace(bench, decider, budget_s=2.0, load={"a": {"breaker": "open"}})[0] is False


def hurried(bench: Any, budget_s: float, whole_s: float | None, *, weights: Any = None, **slot: Any) -> Any:
    """A step whose policy prefers b/DeepThink, the slowest, to b/Plain, and that to all else."""
    decider = bench.decider(Weighted(weights or [1, 1, 1, 1, 1, 1, 5, 9]), greedy=True)
    return decider.step(
        QUESTION,
        Slot(topology="IO", **slot),
        bench.snapshot(),
        bench.within(budget_s),
        decision_id="d",
        whole_s=whole_s,
    )[1]


def test_a_hurried_step_says_what_it_would_have_been(bench: Any) -> None:
    slowest = bench.actions.executor_labels[7]
    decision = hurried(bench, 3.0, 1000.0)
    assert decision.masked[7] == "too slow" and decision.seen["degraded"] == slowest
    assert hurried(bench, 1e-6, 1000.0).seen["degraded"] == slowest


@pytest.mark.parametrize(
    ("budget_s", "whole_s", "slot"),
    [
        (1000.0, 1000.0, {}),
        (1000.0, 5000.0, {}),
        (3.0, None, {}),
        (3.0, 3.1, {}),
        (3.0, 3.15, {}),
        (3.0, 1000.0, {"models": frozenset({"a"})}),
    ],
)
def test_what_more_time_would_not_change_is_not_degraded(
    bench: Any, budget_s: float, whole_s: float | None, slot: dict[str, Any]
) -> None:
    weights = [9, 1, 1, 1, 1, 1, 1, 1] if slot else None
    assert "degraded" not in hurried(bench, budget_s, whole_s, weights=weights, **slot).seen


def test_asking_what_would_have_been_draws_no_chance(bench: Any) -> None:
    def choices(whole_s: float | None) -> list[int]:
        decider = bench.decider(UniformPolicy(), seed=3)
        options = {"decision_id": "d", "whole_s": whole_s}
        load = bench.snapshot()
        return [decider.step(QUESTION, SLOT, load, bench.within(3.0), **options)[1].chosen for _ in range(20)]

    assert choices(1000.0) == choices(None)


def test_a_hurried_plan_says_what_it_would_have_been(bench: Any) -> None:
    labels = [action.label for action in bench.actions.planner_actions]
    weights = [9.0 if label == "Chain/6" else 1.0 for label in labels]
    decider = bench.decider(Weighted(weights), greedy=True)

    def degraded(whole_s: float | None) -> Any:
        _, decision = decider.plan(
            QUESTION, bench.snapshot(), bench.within(1.0), decision_id="d", whole_s=whole_s
        )
        return decision.seen.get("degraded")

    assert (degraded(None), degraded(1.0), degraded(1000.0)) == (None, None, "Chain/6")


def test_a_step_that_the_caller_has_narrowed_is_chosen_within(bench: Any) -> None:
    slot = Slot(topology="IO", models=frozenset({"b"}), strategies=frozenset({"Plain"}))
    choice, decision = step(bench, bench.decider(UniformPolicy()), slot=slot, budget_s=1000.0)
    assert (choice.model, choice.strategy, choice.models, decision.probability) == ("b", "Plain", ("b",), 1.0)
    assert decision.masked.count("not asked for") == 7


def test_names_that_there_are_not_are_refused_before_anything_is_decided(bench: Any) -> None:
    with pytest.raises(UnknownModel, match="'c'"):
        step(bench, bench.decider(), slot=Slot(topology="IO", models=frozenset({"c"})))
    with pytest.raises(ConfigError, match="strategy"):
        step(bench, bench.decider(), slot=Slot(topology="IO", strategies=frozenset({"Loud"})))


def test_context_is_kept_with_what_was_seen(bench: Any) -> None:
    _, decision = bench.decider().step(
        QUESTION, SLOT, bench.snapshot(), bench.within(), decision_id="d", context={"node": "draft"}
    )
    assert decision.seen["node"] == "draft"


def test_the_warm_model_reads_its_prefix_for_nothing(make_watcher: Any, bench: Any) -> None:
    def views(**warm: Any) -> Any:
        watcher = make_watcher()
        slot = Slot(topology="IO", prompt_tokens=10_000, **warm)
        _, decision = step(bench, bench.decider(watcher), slot=slot, budget_s=1000.0)
        return watcher.steps[0], decision

    cold, cold_decision = views()
    warm, warm_decision = views(warm_model="b", warm_tokens=4000)
    saved_s = 3e-6 * 4000 * 32.0
    assert cold.q50_s[:4] == pytest.approx(warm.q50_s[:4])
    assert cold.q50_s[4:] - warm.q50_s[4:] == pytest.approx([saved_s] * 4)
    assert cold.q90_s[4:] - warm.q90_s[4:] == pytest.approx([saved_s] * 4)
    assert warm_decision.seen["warm_model"] == "b" and warm_decision.seen["warm_tokens"] == 4000
    assert "warm_model" not in cold_decision.seen


def test_a_warm_cache_is_worth_half_of_a_prediction_at_most(make_watcher: Any, bench: Any) -> None:
    watcher = make_watcher()
    slot = Slot(topology="IO", prompt_tokens=10_000, warm_model="a", warm_tokens=10_000)
    heavy = SwitchingConfig(weight=1000.0)
    step(bench, bench.decider(watcher, switching=heavy), slot=slot, budget_s=1000.0)
    cold = bench.step_view(prompt_tokens=10_000, budget_s=1000.0)
    assert watcher.steps[0].q50_s[:4] == pytest.approx(cold.q50_s[:4] / 2)
    assert (watcher.steps[0].q90_s > watcher.steps[0].q50_s).all()


@pytest.mark.parametrize(
    "values", [{"exploration": 1.5}, {"exploration": -0.1}, {"greedy": True, "exploration": 0.1}]
)
def test_contradictory_settings_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"policy\.exploration"):
        DecideConfig(**values)


class SureOfOne:
    """Gives all weight to one model, and ranks the others all the same."""

    name, version = "sure", "1"

    def step(self, view: Any) -> Proposal:
        ranks = np.repeat([4.0, -1.0, -2.0, -3.0], 4)
        return Proposal((np.arange(16) == 0).astype(float), "sure", ranks)


def test_a_policy_that_is_sure_of_one_still_says_who_is_next(make_bench: Any) -> None:
    """Without ranks, all others would be alike, and the fastest, which is the smallest, would take over."""
    bench = make_bench(a={"size_b": 32.0}, b={"size_b": 14.0}, c={"size_b": 8.0}, d={"size_b": 3.0})
    choice, decision = step(bench, bench.decider(SureOfOne()), budget_s=200.0)
    assert choice.models == ("a", "b", "c", "d")
    assert decision.probability == 1.0


def test_a_name_that_is_nearly_right_is_guessed(bench: Any) -> None:
    with pytest.raises(UnknownTopology, match=r"'debat'; did you mean 'Debate'\? choose one of"):
        bench.decider().plan(QUESTION, bench.snapshot(), bench.within(), decision_id="d", topology="debat")
