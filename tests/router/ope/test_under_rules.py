"""What a policy would have done under rules, over what was on offer when the runs were made."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from inframind.router.ope.evaluation import OpeConfig, compare_read, evaluate_read
from inframind.router.ope.reading import ReadTraces, TraceReader
from inframind.router.policy import UniformPolicy
from inframind.router.rulebook import RuleBook
from inframind.router.rules import Circumstances, RoutingRule
from inframind.traces.records import Trajectory

AVOID_A = RoutingRule(name="no-a", avoid_models=frozenset({"a"}))


def runs_of(bench: Any, *, n: int = 40, rules: tuple[RoutingRule, ...] = ()) -> list[Trajectory]:
    decider = bench.decider(UniformPolicy(), exploration=0.1).with_rules(rules)
    return [bench.play(decider, f"What is {i} + 1?", number=i, team_size=1) for i in range(n)]


def read(bench: Any, runs: list[Trajectory]) -> ReadTraces:
    """Right is what model b answered."""
    labels = {run.trace_id: float(run.decisions[1].choice["model"] == "b") for run in runs}
    return TraceReader(bench.actions).read(runs, labels, reward="solved")


def test_without_rules_nothing_changes(bench: Any) -> None:
    traces = read(bench, runs_of(bench))

    plain = traces.under(UniformPolicy())
    empty = traces.under(UniformPolicy(), rules=RuleBook((), bench.actions))

    assert np.array_equal(plain.steps.target_NA, empty.steps.target_NA)
    assert np.array_equal(plain.plans.target_NA, empty.plans.target_NA)


def test_steps_are_shared_among_what_rules_leave(bench: Any) -> None:
    traces = read(bench, runs_of(bench))

    under = traces.under(UniformPolicy(), rules=RuleBook([AVOID_A], bench.actions))

    of_a = [action.model == "a" for action in bench.actions.executor_actions]
    assert under.steps.target_NA[:, of_a].max() == 0.0
    assert under.steps.target_NA.sum(axis=1) == pytest.approx(1.0)


def test_plans_are_shared_among_what_rules_leave(bench: Any) -> None:
    decider = bench.decider(UniformPolicy(), exploration=0.1)
    traces = read(bench, [bench.play(decider, "What is 1 + 1?", number=i) for i in range(5)])
    small = RoutingRule(name="small", most_agents=1)

    under = traces.under(UniformPolicy(), rules=RuleBook([small], bench.actions))

    is_large = [action.team_size > 1 for action in bench.actions.planner_actions]
    assert under.plans.target_NA[:, is_large].max() == 0.0


def test_a_rule_that_does_not_apply_to_a_run_changes_nothing_for_it(bench: Any) -> None:
    traces = read(bench, runs_of(bench))
    of_code = RoutingRule(
        name="code", when=Circumstances(domains=frozenset({"code"})), avoid_models=frozenset({"a"})
    )

    under = traces.under(UniformPolicy(), rules=RuleBook([of_code], bench.actions))

    assert np.array_equal(under.steps.target_NA, traces.under(UniformPolicy()).steps.target_NA)


def test_hours_are_those_of_the_runs(bench: Any) -> None:
    hour = int(bench.clock.wall_s() // 3600) % 24
    now = RoutingRule(
        name="now",
        when=Circumstances(hours_utc=(hour, (hour + 1) % 24)),
        avoid_models=frozenset({"a"}),
    )
    early = runs_of(bench)
    bench.clock.at_s += 3600.0
    late = runs_of(bench)
    book = RuleBook([now], bench.actions)

    in_time, later = read(bench, early), read(bench, late)

    of_a = [action.model == "a" for action in bench.actions.executor_actions]
    assert in_time.under(UniformPolicy(), rules=book).steps.target_NA[:, of_a].max() == 0.0
    assert np.array_equal(
        later.under(UniformPolicy(), rules=book).steps.target_NA,
        later.under(UniformPolicy()).steps.target_NA,
    )


def test_the_value_under_a_rule_is_that_of_what_it_leaves(bench: Any) -> None:
    traces = read(bench, runs_of(bench, n=400))
    config = OpeConfig(level="step", methods=("snips",), reward="solved")
    book = RuleBook([AVOID_A], bench.actions)

    found = evaluate_read(UniformPolicy(), traces, config, rules=book).best
    gained = compare_read(UniformPolicy(), UniformPolicy(), traces, config, rules=book).best

    assert found.value == pytest.approx(1.0, abs=0.02)
    assert gained.value == pytest.approx(0.5, abs=0.1)


def test_what_another_rule_masked_then_stays_masked(bench: Any) -> None:
    traces = read(bench, runs_of(bench, rules=(AVOID_A,)))
    flash = RoutingRule(name="no-flash", avoid_strategies=frozenset({"Flash"}))

    under = traces.under(UniformPolicy(), rules=RuleBook([flash], bench.actions))

    left = [action.model == "b" and action.strategy != "Flash" for action in bench.actions.executor_actions]
    assert (under.steps.target_NA[0] > 0).tolist() == left


def test_a_planner_is_asked_with_the_steps_that_rules_leave(bench: Any, make_watcher: Any) -> None:
    traces = read(bench, runs_of(bench))
    watcher, ruled = make_watcher(), make_watcher()
    decider = bench.decider(ruled).with_rules([AVOID_A])

    traces.under(watcher, rules=RuleBook([AVOID_A], bench.actions))
    bench.play(decider, "What is 0 + 1?", team_size=1)

    asked, served = watcher.plans[0], ruled.plans[0]
    assert asked.step_allowed.tolist() == served.step_allowed.tolist()
    assert asked.q50_s.tolist() == pytest.approx(served.q50_s.tolist())
    assert asked.q90_s.tolist() == pytest.approx(served.q90_s.tolist())
    assert asked.step_quality == served.step_quality
