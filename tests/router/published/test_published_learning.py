"""How the published policy learns: its numbers, determinism, resuming, files, and that it does learn."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inframind.errors import CheckpointError, ConfigError
from inframind.rewards.functions import lagrangian, lagrangian_step
from inframind.router.actions import ActionSpace
from inframind.router.encoder import HashingEncoder
from inframind.router.learning.protocol import RoutingLearner
from inframind.router.learning.training_state import TrainingState
from inframind.router.published.experience import BatchReader
from inframind.router.published.learner import PublishedConfig, PublishedLearner
from inframind.router.published.policy import PublishedPolicy
from inframind.router.published.policy_file import load_published
from inframind.router.published.reading import Reader
from inframind.router.recorded_views import RecordedViews
from inframind.traces.records import Trajectory

Runs = tuple[list[Trajectory], dict[str, bool]]
Play = Callable[[PublishedPolicy, int], Runs]


@pytest.fixture(scope="module")
def runs(actions: ActionSpace, play: Play) -> Runs:
    return play(PublishedLearner(actions, seed=0).behaviour(0.0), 1)


def weights(learner: PublishedLearner) -> dict[str, Any]:
    return {
        f"{part}.{name}": tensor.numpy().copy()
        for part, module in learner.state().modules.items()
        for name, tensor in module.items()
    }


def equal(left: Mapping[str, Any], right: Mapping[str, Any]) -> bool:
    return left.keys() == right.keys() and all(np.array_equal(left[name], right[name]) for name in left)


def in_time(runs: Runs, latency_s: float, budget_s: float) -> Runs:
    """The same runs, all with this latency and budget."""
    return [replace(run, latency_s=latency_s, budget_s=budget_s) for run in runs[0]], runs[1]


def test_it_is_a_learner(actions: ActionSpace) -> None:
    learner: RoutingLearner = PublishedLearner(actions, seed=0)
    assert learner.name == learner.serving().name == "published"
    assert learner.multipliers == (0.2,)


def test_the_multiplier_climbs_the_mean_share_of_the_budget_after_each_batch(
    actions: ActionSpace, runs: Runs
) -> None:
    learner = PublishedLearner(actions, PublishedConfig(batch_runs=10), seed=0)
    learner.learn(*in_time(runs, latency_s=75.0, budget_s=50.0), 0.0)
    assert learner.multipliers == pytest.approx((0.2 + 2 * 0.001 * 0.5,))
    learner.learn(*in_time(runs, latency_s=5.0, budget_s=50.0), 0.0)
    assert learner.multipliers == pytest.approx((0.201 - 2 * 0.001 * 0.9,))


@pytest.mark.parametrize(("size", "batches"), [(64, 1), (16, 1), (9, 2), (7, 3), (1, 20)])
def test_runs_are_split_evenly_into_batches_of_about_the_given_size(
    actions: ActionSpace, runs: Runs, size: int, batches: int
) -> None:
    learner = PublishedLearner(actions, PublishedConfig(batch_runs=size), seed=0)
    learner.learn(*in_time(runs, latency_s=100.0, budget_s=50.0), 0.0)
    assert learner.multipliers == pytest.approx((0.2 + batches * 0.001,))


def test_rewards_charge_the_run_for_its_latency_and_each_step_for_its_own(
    actions: ActionSpace, runs: Runs
) -> None:
    reader = BatchReader(Reader(actions, ("Flash", "Concise", "DeepThink"), HashingEncoder()))
    trajectories = in_time(runs, latency_s=30.0, budget_s=60.0)[0][:2]
    first, second = trajectories
    batch = reader.read(trajectories, {first.trace_id: True, second.trace_id: False})
    assert lagrangian(batch.outcomes, np.full(2, 0.2)).total.tolist() == pytest.approx([0.9, -0.1])
    of_steps = lagrangian_step(batch.step_outcomes, np.full(len(batch.steps), 0.2)).total
    expected = [
        (run is first) - 0.2 * step.latency_s / 60.0
        for run in trajectories
        for step in sorted(run.steps, key=lambda step: _place(run, step.decision_id))
    ]
    assert of_steps.tolist() == pytest.approx(expected)


def _place(run: Trajectory, decision_id: str) -> int:
    return [decision.decision_id for decision in run.decisions].index(decision_id)


def test_a_batch_holds_every_decision_of_the_runs(actions: ActionSpace, runs: Runs) -> None:
    reader = BatchReader(Reader(actions, ("Flash", "Concise", "DeepThink"), HashingEncoder()))
    batch = reader.read(*runs)
    assert len(batch.outcomes) == len(batch.plans) == 20
    assert len(batch.plans.seat_chosen) == sum(len(run.team) for run in runs[0])
    assert len(batch.steps) == sum(len(run.steps) for run in runs[0])
    assert batch.steps.semantic.shape == (len(batch.steps), 768)
    assert batch.steps.resources.shape == (len(batch.steps), 16)
    assert batch.steps.allowed.shape == (len(batch.steps), 15)


def test_a_record_shows_the_policy_what_it_saw(actions: ActionSpace, runs: Runs) -> None:
    policy, views = PublishedLearner(actions, seed=0).behaviour(0.0), RecordedViews(actions)
    for run in runs[0]:
        for recorded in views.steps(run):
            np.testing.assert_allclose(policy.step(recorded.view).weights, recorded.probabilities, atol=1e-6)
        plan = views.plan(run)
        assert plan is not None
        np.testing.assert_allclose(policy.plan(plan.view).weights, plan.probabilities, atol=1e-6)


def test_the_first_pass_over_its_own_runs_meets_no_clip(actions: ActionSpace, runs: Runs) -> None:
    learner = PublishedLearner(actions, PublishedConfig(passes=1), seed=0)
    assert learner.learn(*runs, 0.0)["executor_loss"] == pytest.approx(0.0, abs=1e-5)


def test_the_same_runs_and_seed_give_the_same_weights(actions: ActionSpace, runs: Runs) -> None:
    learners = [PublishedLearner(actions, seed=seed) for seed in (4, 4, 5)]
    before = weights(learners[0])
    figures = [learner.learn(*runs, 0.0) for learner in learners]
    assert figures[0] == figures[1] != figures[2]
    assert equal(weights(learners[0]), weights(learners[1]))
    assert not equal(weights(learners[0]), before)


def test_a_learner_goes_on_from_a_file_as_if_it_had_not_stopped(
    actions: ActionSpace, runs: Runs, tmp_path: Path
) -> None:
    without_stop, stopped = (PublishedLearner(actions, seed=4) for _ in range(2))
    for learner in (without_stop, stopped):
        learner.learn(*runs, 0.0)
    stopped.state().save(tmp_path / "state")
    resumed = PublishedLearner(actions, seed=99)
    resumed.restore(TrainingState.load(tmp_path / "state"))
    figures = [learner.learn(*runs, 0.5) for learner in (without_stop, resumed)]
    assert figures[0] == figures[1]
    assert equal(weights(without_stop), weights(resumed))
    assert without_stop.multipliers == resumed.multipliers


def test_runs_that_are_not_graded_are_left_out(actions: ActionSpace, runs: Runs) -> None:
    learner = PublishedLearner(actions, seed=4)
    before = weights(learner)
    assert learner.learn(runs[0], {}, 0.0) == {}
    assert equal(weights(learner), before) and learner.multipliers == (0.2,)


def test_the_executor_comes_to_prefer_what_is_right_within_the_clip(actions: ActionSpace, runs: Runs) -> None:
    learner = PublishedLearner(actions, PublishedConfig(learning_rate=3e-3), seed=0)
    right = {
        run.trace_id: 2 * sum(step.strategy == "Flash" for step in run.steps) > len(run.steps)
        for run in runs[0]
    }
    assert 0 < sum(right.values()) < len(right)
    views = [step.view for run in runs[0] for step in RecordedViews(actions).steps(run)]
    is_flash = np.array([action.strategy == "Flash" for action in actions.executor_actions])

    def share() -> float:
        policy = learner.behaviour(0.0)
        return float(np.mean([policy.step(view).weights[is_flash].sum() for view in views]))

    before = share()
    for _ in range(10):
        learner.learn(runs[0], right, 0.0)
    assert 1.1 < share() / before < 1.3


def test_the_planner_comes_to_prefer_the_topology_that_is_right(actions: ActionSpace, runs: Runs) -> None:
    learner = PublishedLearner(actions, PublishedConfig(learning_rate=3e-3), seed=0)
    right = {run.trace_id: run.topology == "Debate" for run in runs[0]}
    assert any(right.values())
    plan = RecordedViews(actions).plan(runs[0][0])
    assert plan is not None
    is_debate = np.array([action.topology == "Debate" for action in plan.view.actions])

    def share() -> float:
        return float(learner.behaviour(0.0).plan(plan.view).weights[is_debate].sum())

    before = share()
    for _ in range(20):
        learner.learn(runs[0], right, 0.0)
    assert share() > before + 0.1


def test_a_saved_policy_proposes_the_same(actions: ActionSpace, play: Play, tmp_path: Path) -> None:
    learner = PublishedLearner(actions, seed=2)
    path = learner.save_policy(tmp_path, latency=None, facts={"seed": 2})
    stored = load_published(path)
    assert stored.facts == {"seed": 2} and stored.latency is None
    ours, theirs = play(learner.serving(), 3)[0], play(stored.bind(actions), 3)[0]
    assert [_chances(run) for run in ours] == [_chances(run) for run in theirs]
    explored = play(stored.bind(actions, explores=True), 3)[0]
    assert [_chances(run) for run in explored] != [_chances(run) for run in theirs]


def _chances(run: Trajectory) -> list[tuple[float, ...]]:
    return [decision.probabilities for decision in run.decisions]


def test_serving_a_saved_policy_loads_no_torch(actions: ActionSpace, tmp_path: Path) -> None:
    path = PublishedLearner(actions, seed=2).save_policy(tmp_path, latency=None, facts={})
    script = (
        "import sys; from pathlib import Path; from inframind.router.published.policy_file import load_published;"
        f"load_published(Path({str(path)!r})); print('torch' in sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stdout.strip() == "False"


def test_a_joint_head_is_bound_to_its_own_models_alone(
    actions: ActionSpace, bench: Any, tmp_path: Path
) -> None:
    stored = load_published(PublishedLearner(actions, seed=2).save_policy(tmp_path, latency=None, facts={}))
    with pytest.raises(ConfigError, match="models"):
        stored.bind(bench.actions)
    with pytest.raises(ConfigError, match=r"encoder\.dimension"):
        stored.bind(actions, encoder=HashingEncoder(64))


def test_weights_that_diverged_are_not_written(actions: ActionSpace, tmp_path: Path) -> None:
    learner = PublishedLearner(actions, seed=2)
    learner.state().modules["executor"]["choice.bias"].fill_(float("nan"))
    with pytest.raises(CheckpointError, match="not finite"):
        learner.save_policy(tmp_path, latency=None, facts={})


@pytest.mark.parametrize("wrong", [{"batch_runs": 0}, {"passes": 0}, {"clip": 0.0}, {"clip": 1.0}])
def test_a_configuration_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        PublishedConfig(**wrong)
