"""From traces to estimates: what another policy would have achieved on runs that somebody else decided."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from inframind.errors import ConfigError
from inframind.router.ope.estimate import Estimate, NoSupport, SupportRule
from inframind.router.ope.evaluation import (
    OpeConfig,
    compare,
    compare_read,
    evaluate,
    evaluate_read,
    read_traces,
)
from inframind.router.ope.methods import METHODS
from inframind.router.ope.runs import LEVELS
from inframind.router.policy import JustEnoughPolicy, Proposal, UniformPolicy
from inframind.router.policy_learned import LearnedPolicy
from inframind.router.query_model import QueryModel
from inframind.router.views import RoleView, StepView
from inframind.traces.codec import decode, encode
from inframind.traces.records import Trajectory

SOLVED_BY_B, SOLVED_BY_A = 0.9, 0.4
ANYTHING = SupportRule(least_effective_size=0, most_unsupported=1)


class Always(UniformPolicy):
    """Steps by one model, everything else by chance."""

    def __init__(self, model: str) -> None:
        self.model = model

    def step(self, view: StepView) -> Proposal:
        return Proposal(np.array([float(action.model == self.model) for action in view.actions]), "always")


class Traces:
    """Single calls drawn uniformly from two models and their strategies; b is right more often than a."""

    def __init__(self, bench: Any, runs: int = 400, **config: Any) -> None:
        self.actions = bench.actions
        rng = np.random.default_rng(3)
        decider = bench.decider(UniformPolicy(), seed=5, **config)
        self.runs: list[Trajectory] = [
            decode(
                encode(
                    bench.play(decider, f"question {place % 50}", number=place, topology="IO", team_size=1)
                )
            )
            for place in range(runs)
        ]
        self.labels = {
            run.trace_id: float(rng.random() < (SOLVED_BY_B if self.model_of(run) == "b" else SOLVED_BY_A))
            for run in self.runs
        }

    @staticmethod
    def model_of(run: Trajectory) -> str:
        return str(run.decisions[-1].choice["model"])

    def share_of(self, model: str) -> float:
        return float(np.mean([self.labels[run.trace_id] for run in self.runs if self.model_of(run) == model]))


@pytest.fixture(scope="module")
def traces(shared_bench: Any) -> Traces:
    return Traces(shared_bench)


def test_a_policy_that_never_served_is_valued_by_the_runs_that_did_as_it_would(traces: Traces) -> None:
    for model, chance in (("b", SOLVED_BY_B), ("a", SOLVED_BY_A)):
        for level in ("step", "workflow", "sequence"):
            config = OpeConfig(level=level, methods=METHODS)
            evaluation = evaluate(
                Always(model), traces.runs, traces.labels, actions=traces.actions, config=config
            )
            assert evaluation.runs == 400
            for method, found in evaluation.found.items():
                assert isinstance(found, Estimate), method
                assert chance in found.interval(delta=0.01), (level, method)
            snips = evaluation.found["snips"]
            assert isinstance(snips, Estimate)
            assert snips.value == pytest.approx(traces.share_of(model), abs=0.005)


def test_the_policy_that_served_is_worth_what_came_of_it(traces: Traces) -> None:
    mean = float(np.mean(list(traces.labels.values())))
    for level in LEVELS:
        config = OpeConfig(level=level, methods=("ips", "snips"))
        found = evaluate(UniformPolicy(), traces.runs, traces.labels, actions=traces.actions, config=config)
        assert found.logged.value == pytest.approx(mean)
        assert isinstance(found.best, Estimate)
        assert found.best.value == pytest.approx(mean)
        assert found.best.effective_size == pytest.approx(400)


def test_a_difference_is_better_known_than_what_it_is_the_difference_of(traces: Traces) -> None:
    config = OpeConfig(level="step", exploration=0.2)
    both = {"actions": traces.actions, "config": config}
    gap = compare(Always("b"), UniformPolicy(), traces.runs, traces.labels, **both).best
    assert isinstance(gap, Estimate)
    assert 0.8 * (SOLVED_BY_B - SOLVED_BY_A) / 2 in gap.interval(delta=0.01)
    assert gap.interval().low > 0
    none = compare(Always("b"), Always("b"), traces.runs, traces.labels, **both).best
    assert isinstance(none, Estimate)
    assert (none.value, none.standard_error) == (0, 0)


def test_compared_with_nobody_is_compared_with_what_happened(traces: Traces) -> None:
    config = OpeConfig(level="step")
    read = read_traces(traces.runs, traces.labels, traces.actions, config)
    with_none, with_server = (
        compare_read(Always("b"), old, read, config).best for old in (None, UniformPolicy())
    )
    assert isinstance(with_none, Estimate) and isinstance(with_server, Estimate)
    assert with_none.contribution_R == pytest.approx(with_server.contribution_R)


def test_runs_without_a_label_are_left_out_and_not_wrong(traces: Traces) -> None:
    some = {run.trace_id: 1.0 for run in traces.runs[:150]}
    found = evaluate(UniformPolicy(), traces.runs, some, actions=traces.actions)
    assert found.runs == 150 and found.left_out["without a label"] == 250
    assert found.logged.value == 1.0


def test_labels_that_come_seldom_for_some_are_made_up_for(traces: Traces) -> None:
    """Every run of b is labelled, every third of a."""
    probability = {run.trace_id: 1.0 if traces.model_of(run) == "b" else 1 / 3 for run in traces.runs}
    rng = np.random.default_rng(0)
    kept = {name: label for name, label in traces.labels.items() if rng.random() < probability[name]}
    whole = float(np.mean(list(traces.labels.values())))
    naive, mended = (
        evaluate(
            UniformPolicy(), traces.runs, kept, actions=traces.actions, labelled_probability=chance
        ).logged
        for chance in (None, probability)
    )
    assert naive.value > whole + 0.06
    assert abs(mended.value - whole) < 0.05


def test_late_runs_are_not_on_time_however_right(traces: Traces) -> None:
    late = [replace(run, latency_s=1e6, status="late") for run in traces.runs]
    right = dict.fromkeys(traces.labels, 1.0)
    values = [
        evaluate(UniformPolicy(), late, right, actions=traces.actions, config=OpeConfig(reward=reward)).logged
        for reward in ("on_time", "solved")
    ]
    assert [one.value for one in values] == [0.0, 1.0]


def test_traces_of_a_rule_that_never_explored_say_nothing_of_others(shared_bench: Any) -> None:
    decider = shared_bench.decider(JustEnoughPolicy())
    runs = [shared_bench.play(decider, "q", number=place) for place in range(120)]
    labels = {run.trace_id: 1.0 for run in runs}
    found = evaluate(UniformPolicy(), runs, labels, actions=shared_bench.actions).best
    assert isinstance(found, NoSupport) and "never did" in found.reason
    same = evaluate(JustEnoughPolicy(), runs, labels, actions=shared_bench.actions).best
    assert isinstance(same, Estimate) and same.value == pytest.approx(1.0, abs=0.02)


def test_runs_over_other_candidates_are_left_out_and_counted(traces: Traces, make_any_bench: Any) -> None:
    other = make_any_bench(a={}, b={}, c={})
    mixed = [*traces.runs[:100], *Traces(other, 20).runs]
    labels = {f"{place:032x}": 1.0 for place in range(100)}
    found = evaluate(UniformPolicy(), mixed, labels, actions=traces.actions)
    assert found.runs == 100 and found.left_out["decisions that cannot be rebuilt"] == 20


def test_seats_cost_a_weight_each_only_where_they_are_asked_about(shared_bench: Any) -> None:
    decider = shared_bench.decider(UniformPolicy(), seed=1)
    runs = [
        shared_bench.play(decider, "q", number=place, topology="Debate", team_size=3) for place in range(200)
    ]
    labels = {run.trace_id: 1.0 for run in runs}
    sizes = []
    for weighs_roles in (False, True):
        config = OpeConfig(level="plan", methods=("ips",), weighs_roles=weighs_roles, rule=ANYTHING)
        found = evaluate(SameSeats(), runs, labels, actions=shared_bench.actions, config=config).best
        assert isinstance(found, Estimate)
        sizes.append(found.effective_size)
    # Two roles for three seats: one team in eight is the one that the policy would have seated.
    assert sizes[0] == pytest.approx(200)
    assert sizes[1] == pytest.approx(sum(run.team == ("Solver",) * 3 for run in runs))


class SameSeats(UniformPolicy):
    """Always the first role."""

    def role(self, view: RoleView) -> Proposal:
        return Proposal(np.eye(len(view.roles))[0], "first")


def test_a_critic_may_guide_the_model(traces: Traces, make_weights: Any, shared_bench: Any) -> None:
    critic = LearnedPolicy(make_weights(shared_bench), shared_bench.actions, QueryModel())
    for reward in ("on_time", "solved"):
        config = OpeConfig(level="step", methods=("dr", "switch_dr"), reward=reward)
        found = evaluate(
            Always("b"), traces.runs, traces.labels, actions=traces.actions, config=config, critic=critic
        ).best
        assert isinstance(found, Estimate)
        assert SOLVED_BY_B in found.interval(delta=0.01)


def test_several_policies_are_asked_about_traces_that_were_read_once(traces: Traces) -> None:
    config = OpeConfig(level="step")
    read = read_traces(traces.runs, traces.labels, traces.actions, config)
    values = []
    for policy in (Always("a"), UniformPolicy(), Always("b")):
        found = evaluate_read(policy, read, config).best
        assert isinstance(found, Estimate)
        values.append(found.value)
    assert values == sorted(values)


@pytest.mark.parametrize(
    ("field", "value"),
    [("level", "team"), ("reward", "cost"), ("methods", ()), ("methods", ("best",)), ("exploration", 1.5)],
)
def test_what_cannot_be_evaluated_is_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=field):
        OpeConfig(**{field: value})


def test_labels_and_chances_out_of_range_are_refused(traces: Traces) -> None:
    ids = dict.fromkeys(traces.labels, 2.0)
    with pytest.raises(ConfigError, match="labels"):
        evaluate(UniformPolicy(), traces.runs, ids, actions=traces.actions)
    with pytest.raises(ConfigError, match="labelled_probability"):
        evaluate(
            UniformPolicy(), traces.runs, traces.labels, actions=traces.actions, labelled_probability=ids
        )
    with pytest.raises(ConfigError, match="at least one"):
        evaluate(UniformPolicy(), traces.runs, {}, actions=traces.actions)
