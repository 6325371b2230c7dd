"""Evaluations: independent of how they are run, paired over contenders, bounded from above."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from inframind.arena.contenders.contender import Contender, Setting
from inframind.arena.contenders.oracle import OraclePolicy
from inframind.arena.engines import EngineConfig
from inframind.arena.evaluation import BOUND, Stage, evaluate, n_runs, named_contenders
from inframind.arena.results.episodes import summarise
from inframind.arena.results.tables import Run
from inframind.arena.scenario import Scenario
from inframind.errors import ConfigError
from inframind.router.policy import JustEnoughPolicy, Policy
from inframind.simulator.items import generate_items
from inframind.simulator.outcome_parameters import OutcomeParameters
from inframind.simulator.profiles import load_profiles

ITEMS = generate_items(60, seed=11)
SCENARIO = Scenario(
    profiles=tuple(load_profiles().values()),
    items=ITEMS[:30],
    training_items=ITEMS[30:],
    questions=12,
    rates_per_min=(60.0, 300.0),
    seeds=(0, 1),
)


def test_results_do_not_depend_on_the_number_of_processes() -> None:
    names = ("just-enough", "random")
    alone = evaluate(SCENARIO, names)
    assert evaluate(SCENARIO, names, engine=EngineConfig(workers=2)) == alone


def test_every_contender_runs_at_every_seed_and_rate_and_is_told_of() -> None:
    told: list[Run] = []
    evaluation = evaluate(SCENARIO, ("just-enough", "random"), on_run=told.append, facts={"why": "a test"})
    assert len(told) == len(evaluation.runs) == n_runs(SCENARIO, ("just-enough", "random")) == 8
    assert {(run.contender, run.seed, run.rate_per_min) for run in told} == {
        (name, seed, rate) for name in ("just-enough", "random") for seed in (0, 1) for rate in (60.0, 300.0)
    }
    assert evaluation.facts == {"why": "a test"}


def test_the_group_of_fixed_arms_is_spelled_out_for_the_fleet() -> None:
    one_model = replace(SCENARIO, profiles=SCENARIO.profiles[:1])
    names = named_contenders(("random", "fixed"), one_model)
    assert names[0] == "random" and names[1] == f"fixed:IO/1/{one_model.profiles[0].name}/Flash"
    assert n_runs(one_model, ("random", "fixed")) == 4 * len(names)


def test_no_contender_exceeds_the_bound() -> None:
    evaluation = evaluate(SCENARIO, ("best-constant", "knn-on-time", "oracle"))
    bounds = {bound.rate_per_min: bound.on_time_success for bound in evaluation.bounds}
    assert set(bounds) == set(SCENARIO.rates_per_min)
    assert {bound.name for bound in evaluation.bounds} == {BOUND}
    for rate_per_min, bound in bounds.items():
        for name in ("best-constant", "knn-on-time", "oracle"):
            runs = [r for r in evaluation.runs if (r.contender, r.rate_per_min) == (name, rate_per_min)]
            n = sum(len(run.episodes) for run in runs)
            reached = np.mean([summarise(run.episodes).on_time_success.value for run in runs])
            # The bound is on the expectation; a run of n questions scatters around its own.
            assert reached <= bound + 2.6 * np.sqrt(0.25 / n)


def test_the_training_answers_do_not_hang_on_the_seed_of_a_run() -> None:
    stage = Stage.of(SCENARIO)
    assert stage.training.solved.shape == (30, 20)
    assert np.array_equal(stage.training.solved, Stage.of(SCENARIO).training.solved)
    first, second = stage.setting(0), stage.setting(1)
    assert first.budgets_s.tolist() != second.budgets_s.tolist()
    assert 5 <= first.budgets_s.min() <= first.budgets_s.max() <= 300
    assert first.truth is None


def test_the_truth_is_that_of_the_scenario() -> None:
    scenario = replace(SCENARIO, parameters=OutcomeParameters(rescue=0.0))
    truth = Stage.of(scenario).setting(0, sees_truth=True).known_truth
    assert truth.parameters == scenario.parameters
    assert set(truth.items) == {item.item_id for item in scenario.items}


def guided_by_the_truth(setting: Setting) -> Policy:
    return OraclePolicy(setting)


def test_only_those_who_say_that_they_are_oracles_are_told_the_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    declared = Contender(name="mine", family="oracle", summary="mine", make=guided_by_the_truth)
    own = SimpleNamespace(undeclared=guided_by_the_truth, declared=declared)
    monkeypatch.setitem(sys.modules, "my_oracles", own)
    once = replace(SCENARIO, seeds=(0,), rates_per_min=(60.0,))
    with pytest.raises(ConfigError, match='family "oracle"'):
        evaluate(once, ("my_oracles:undeclared",))
    assert [run.family for run in evaluate(once, ("my_oracles:declared",)).runs] == ["oracle"]


def my_policy(setting: Setting) -> Policy:
    """Good enough at half."""
    return JustEnoughPolicy(quality_floor=0.5)


def test_a_users_own_policy_takes_part_by_its_import_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "my_policies", SimpleNamespace(mine=my_policy))
    evaluation = evaluate(replace(SCENARIO, seeds=(0,), rates_per_min=(60.0,)), ("my_policies:mine",))
    (run,) = evaluation.runs
    assert run.contender == "my_policies:mine"
    assert all(len(episode.calls) == 1 for episode in run.episodes)


def test_a_contender_that_cannot_be_made_says_so_before_anyone_runs() -> None:
    told: list[Run] = []
    with pytest.raises(ConfigError, match="nomodel"):
        evaluate(SCENARIO, ("random", "fixed:IO/1/nomodel/Plain"), on_run=told.append)
    assert told == []


@pytest.mark.parametrize(
    ("contenders", "field"),
    [(("nobody",), "contender"), (("random", "random"), "contender")],
)
def test_what_cannot_be_run_is_named(contenders: tuple[str, ...], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        evaluate(SCENARIO, contenders)
    assert caught.value.field == field
