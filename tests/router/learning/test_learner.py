"""Learning from runs whose rule is known: what is right is found, again and again the same, whatever the reward."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from inframind.errors import CheckpointError, ConfigError
from inframind.rewards.advantage import AdvantageConfig
from inframind.rewards.multiplier import PidConfig
from inframind.rewards.registry import RewardConfig
from inframind.router.learning.config import LearnerConfig, TemperatureSchedule
from inframind.router.learning.learner import Learner
from inframind.router.learning.training_state import TrainingState
from inframind.router.policy import UniformPolicy
from inframind.router.policy_file import load_policy
from inframind.router.policy_learned import Valuation
from inframind.router.query_model import QueryModel
from inframind.router.views import Query, RoleView
from inframind.traces.records import Trajectory

RULE = "a/Concise"
"""The only right choice; neither its size nor its prompt speaks for it."""
QUESTIONS = ("How many primes?", "What is the sum?", "Prove it.")
Batch = tuple[list[Trajectory], dict[str, bool]]


def config(**values: Any) -> LearnerConfig:
    """Fast enough for a test: one epoch of the real thing is thousands of runs."""
    given: dict[str, Any] = {
        "hidden": 12,
        "critic_rate": 0.02,
        "actor_rate": 0.02,
        "critic_batches": 4,
        "critic_batch_size": 64,
        "actor_batch_size": 32,
        "distrust": {"plan": 0.001, "role": 0.001, "step": 0.001},
        "actor_decay": 0.001,
    }
    return LearnerConfig(**{**given, **values})


def step_rule(run: Trajectory) -> bool:
    return run.decisions[1].action == RULE


def batch(
    bench: Any,
    number: int,
    n: int = 64,
    *,
    rule: Callable[[Trajectory], bool] = step_rule,
    late_every: int = 0,
    policy: Any = None,
    **play: Any,
) -> Batch:
    """Runs ``number * n`` and following; every ``late_every``-th is late."""
    decider = bench.decider(policy or UniformPolicy(), seed=number)
    plan = {"topology": "IO", "team_size": 1} | play
    runs = [
        bench.play(
            decider,
            QUESTIONS[place % 3],
            number=number * n + place,
            latency_s=100.0 if late_every and place % late_every == 0 else 1.0,
            **plan,
        )
        for place in range(n)
    ]
    return runs, {run.trace_id: rule(run) for run in runs}


def learner(bench: Any, *, seed: int = 0, **values: Any) -> Learner:
    return Learner(bench.actions, QueryModel(), config(**values), seed=seed)


def teach(one: Learner, batches: Sequence[Batch]) -> list[Mapping[str, float]]:
    figures = [one.learn(*given, place / len(batches)) for place, given in enumerate(batches)]
    one.end_epoch()
    return figures


def actor_alone(bench: Any, **values: Any) -> Learner:
    alone = Valuation(uses_critic=False, uses_prior=False)
    given = {"valuation": alone, "critic_batches": 2, "actor_rate": 0.1, "actor_batch_size": 16}
    return learner(bench, **{**given, **values})


def teach_by_its_own_choices(bench: Any, one: Learner, rounds: int = 10) -> None:
    for number in range(rounds):
        progress = number / rounds
        one.learn(*batch(bench, number, 48, late_every=5, policy=one.behaviour(progress)), progress)


def taken(bench: Any, one: Learner) -> str:
    view = bench.step_view("Never seen", budget_s=60.0)
    (place,) = np.flatnonzero(one.serving().step(view).weights)
    return str(view.actions[place].label)


def share(bench: Any, one: Learner) -> float:
    """Of the right choice, while it explores."""
    view = bench.step_view("Never seen", budget_s=60.0)
    weights = one.behaviour(1.0).step(view).weights
    return float(weights[bench.actions.executor_labels.index(RULE)] / weights.sum())


def weights_of(one: Learner, ending: str = "") -> list[np.ndarray]:
    """As they are now: the learner goes on in the same memory."""
    modules = one.state().modules
    names = [name for name in modules if name.endswith(ending)]
    return [tensor.numpy().copy() for name in names for tensor in modules[name].values()]


def same(one: Learner, other: Learner) -> bool:
    return equal(weights_of(one), weights_of(other))


def equal(left: list[np.ndarray], right: list[np.ndarray]) -> bool:
    return all(np.array_equal(one, other) for one, other in zip(left, right, strict=True))


@pytest.fixture(scope="module")
def batches(shared_bench: Any) -> list[Batch]:
    """Choices at random, a fifth of the runs late."""
    return [batch(shared_bench, number, late_every=5) for number in range(12)]


# The rule ----------------------------------------------------------------------------------------------


def test_it_learns_which_choice_is_right(shared_bench: Any, batches: list[Batch]) -> None:
    one = learner(shared_bench)
    assert taken(shared_bench, one) != RULE
    figures = teach(one, batches)
    assert taken(shared_bench, one) == RULE
    assert share(shared_bench, one) > 0.9
    assert figures[-1]["step_critic_loss"] < 0.7 * figures[0]["step_critic_loss"]
    assert 0 <= figures[-1]["step_entropy"] <= np.log(8)


def test_the_critic_says_how_likely_a_choice_is_right_and_in_time(
    shared_bench: Any, batches: list[Batch]
) -> None:
    one = learner(shared_bench, critic_batches=12)
    teach(one, batches)
    policy = one.serving()
    view = shared_bench.step_view("Never seen", budget_s=60.0)
    reason = policy.step(view).reason
    assert float(reason.rpartition(" ")[2].rstrip("%")) > 90
    worth = float(reason.split()[1].rstrip(":"))
    multiplier = one.multipliers[2]
    assert worth == pytest.approx(1 - multiplier * 0.2, abs=0.12)


@pytest.mark.parametrize("loss", ["reinforce", "ppo"])
@pytest.mark.parametrize("reward", ["on_time", "additive", "signed", "lagrangian"])
def test_every_reward_teaches_the_rule_to_an_actor_alone(shared_bench: Any, reward: str, loss: str) -> None:
    one = actor_alone(shared_bench, reward=RewardConfig(name=reward), loss=loss)
    assert share(shared_bench, one) == pytest.approx(1 / 8)
    teach_by_its_own_choices(shared_bench, one)
    assert share(shared_bench, one) > 0.8


@pytest.mark.parametrize(
    ("baseline", "standardisation"),
    [
        ("counterfactual", "none"),
        ("counterfactual", "batch"),
        ("counterfactual", "centre"),
        ("value", "scale"),
        ("leave_one_out", "scale"),
        ("shrinkage", "scale"),
    ],
)
def test_every_baseline_teaches_the_rule_to_an_actor_alone(
    shared_bench: Any, baseline: Any, standardisation: Any
) -> None:
    advantage = AdvantageConfig(baseline=baseline, standardisation=standardisation)
    one = actor_alone(shared_bench, advantage=advantage)
    teach_by_its_own_choices(shared_bench, one)
    assert share(shared_bench, one) > 0.8


def test_steps_paid_for_the_change_they_bring_about_teach_the_rule_as_well(shared_bench: Any) -> None:
    one = learner(shared_bench, credit="potential", temperature=TemperatureSchedule(start=0.5, end=0.05))
    teach_by_its_own_choices(shared_bench, one)
    assert taken(shared_bench, one) == RULE


@pytest.mark.parametrize(("topology", "team_size", "is_same"), [("IO", 1, True), ("Chain", 2, False)])
def test_how_a_return_is_shared_matters_to_teams_alone(
    shared_bench: Any, topology: str, team_size: int, is_same: bool
) -> None:
    runs = batch(shared_bench, 0, topology=topology, team_size=team_size)
    one, paid_by_change = (learner(shared_bench, credit=credit) for credit in ("run", "potential"))
    for each in (one, paid_by_change):
        each.learn(*runs, 0.5)
    pairs = zip(actors_of(one), actors_of(paid_by_change), strict=True)
    assert all(np.allclose(*pair, atol=1e-5) for pair in pairs) == is_same


def test_critic_and_actor_learn_together_from_their_own_choices(shared_bench: Any) -> None:
    one = learner(shared_bench, temperature=TemperatureSchedule(start=0.5, end=0.05))
    teach_by_its_own_choices(shared_bench, one)
    assert taken(shared_bench, one) == RULE


def test_it_learns_which_plan_is_right(shared_bench: Any) -> None:
    def chain_only(run: Trajectory) -> bool:
        return run.topology == "Chain"

    one = learner(shared_bench)
    free = {"topology": None, "team_size": 2}
    teach(one, [batch(shared_bench, n, 48, rule=chain_only, **free) for n in range(8)])
    decider = shared_bench.decider(one.serving())
    run = shared_bench.play(decider, "Never seen", team_size=2)
    assert run.topology == "Chain"


def test_it_learns_which_role_is_right(shared_bench: Any) -> None:
    def checked(run: Trajectory) -> bool:
        return "Checker" in run.team

    one = learner(shared_bench)
    teach(one, [batch(shared_bench, n, rule=checked) for n in range(6)])
    action = shared_bench.actions.planner_actions[0]
    view = RoleView(
        query=Query(text="Never seen", domain="math"),
        action=action,
        seat=0,
        roles=("Solver", "Checker"),
        taken=(),
        allowed=np.ones(2, dtype=bool),
    )
    assert one.serving().role(view).weights.tolist() == [0, 1]


# The same again ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["reinforce", "ppo"])
def test_the_same_runs_and_seed_give_the_same_weights(
    shared_bench: Any, batches: list[Batch], loss: str
) -> None:
    one, same_seed, other_seed = (learner(shared_bench, seed=seed, loss=loss) for seed in (3, 3, 4))
    for each in (one, same_seed, other_seed):
        teach(each, batches[:3])
    assert same(one, same_seed) and not same(one, other_seed)


def test_other_chance_in_the_process_changes_nothing(shared_bench: Any, batches: list[Batch]) -> None:
    one, other = learner(shared_bench), learner(shared_bench)
    teach(one, batches[:2])
    torch.manual_seed(99)
    torch.rand(5)
    teach(other, batches[:2])
    assert same(one, other)


def test_it_goes_on_after_a_stop_as_if_there_had_been_none(
    shared_bench: Any, batches: list[Batch], tmp_path: Path
) -> None:
    kept_short = {"runs_kept": 128, "pid": PidConfig(start=0.4)}
    one = learner(shared_bench, **kept_short)
    teach(one, batches[:3])
    one.learn(*batches[3], 0.5)
    one.learn(batches[6][0], {}, 0.5, imputed=as_guesses(batches[6], lambda right: 0.2 + 0.6 * right))
    one.state().save(tmp_path / "state.safetensors")

    resumed = learner(shared_bench, seed=77, **kept_short)
    resumed.restore(TrainingState.load(tmp_path / "state.safetensors"))
    assert same(one, resumed) and one.multipliers == resumed.multipliers
    for each in (one, resumed):
        each.learn(*batches[4], 0.6)
        each.end_epoch()
        each.learn(*batches[5], 0.7)
    assert same(one, resumed) and one.multipliers == resumed.multipliers
    one.save_policy(tmp_path / "one.safetensors", latency=None, facts={})
    resumed.save_policy(tmp_path / "resumed.safetensors", latency=None, facts={})
    contents = [(tmp_path / f"{name}.safetensors").read_bytes() for name in ("one", "resumed")]
    assert contents[0] == contents[1]


def test_a_stored_policy_is_the_one_that_serves(
    shared_bench: Any, batches: list[Batch], tmp_path: Path
) -> None:
    one = learner(shared_bench)
    teach(one, batches[:6])
    path = one.save_policy(tmp_path / "p.safetensors", latency=None, facts={"seed": 0})
    stored = load_policy(path).bind(shared_bench.actions)
    for text in QUESTIONS:
        step, plan = shared_bench.step_view(text), shared_bench.plan_view(text)
        assert stored.step(step).weights.tolist() == one.serving().step(step).weights.tolist()
        assert stored.plan(plan).weights.tolist() == one.serving().plan(plan).weights.tolist()


# What counts -------------------------------------------------------------------------------------------


def test_runs_without_a_label_are_left_out(shared_bench: Any, batches: list[Batch]) -> None:
    runs, solved = batches[0]
    graded = {run.trace_id: solved[run.trace_id] for run in runs[::2]}
    one, other = learner(shared_bench), learner(shared_bench)
    one.learn(runs, graded, 0.0)
    other.learn(runs[::2], solved, 0.0)
    assert same(one, other)
    before = weights_of(one)
    assert one.learn(runs, {}, 0.5) == {}
    assert equal(before, weights_of(one))


def as_guesses(given: Batch, share: Callable[[bool], float] = float) -> dict[str, float]:
    """Imputed labels of a batch, which is then one without labels."""
    return {trace_id: share(solved) for trace_id, solved in given[1].items()}


def critics_of(one: Learner) -> list[np.ndarray]:
    return weights_of(one, "critic")


def actors_of(one: Learner) -> list[np.ndarray]:
    return weights_of(one, "actor")


def test_imputed_labels_teach_the_critics_and_nobody_else(shared_bench: Any, batches: list[Batch]) -> None:
    one = learner(shared_bench, pid=PidConfig(start=0.5))
    fresh_actors, fresh_critics = actors_of(one), critics_of(one)
    for place, (runs, solved) in enumerate(batches):
        figures = one.learn(
            runs,
            {},
            place / len(batches),
            imputed={key: 0.95 if right else 0.05 for key, right in solved.items()},
        )
        assert set(figures) == {"plan_critic_loss", "role_critic_loss", "step_critic_loss"}
    one.end_epoch()
    assert taken(shared_bench, one) == RULE
    assert not equal(critics_of(one), fresh_critics)
    assert equal(actors_of(one), fresh_actors)
    assert one.multipliers == (0.5,) * 4
    assert one.serving().weights.plan_runs == {}


def test_nothing_that_is_imputed_reaches_actors_and_multipliers(
    shared_bench: Any, batches: list[Batch]
) -> None:
    (runs, solved), guessed = batches[0], batches[1]
    # Critics that stay as they are, for actors follow critics.
    one, opposite, untaught = (learner(shared_bench, critic_rate=1e-30) for _ in range(3))
    for each, share in ((one, float), (opposite, lambda right: 1.0 - right)):
        each.learn([*guessed[0], *runs], solved, 0.0, imputed=as_guesses(guessed, share))
        each.end_epoch()
    assert equal(actors_of(one), actors_of(opposite))
    assert not equal(actors_of(one), actors_of(untaught))
    untaught.learn(runs, solved, 0.0)
    untaught.end_epoch()
    assert one.multipliers == untaught.multipliers
    assert one.serving().weights.plan_runs == untaught.serving().weights.plan_runs


def test_a_run_with_a_label_counts_in_full_whatever_is_imputed_for_it(
    shared_bench: Any, batches: list[Batch]
) -> None:
    runs, solved = batches[0]
    one, other = learner(shared_bench), learner(shared_bench)
    one.learn(runs, solved, 0.0, imputed=as_guesses(batches[0], lambda right: 1.0 - right))
    other.learn(runs, solved, 0.0)
    assert same(one, other)


def test_a_certain_guess_weighs_half_of_a_label(shared_bench: Any, batches: list[Batch]) -> None:
    """Where labels say right and guesses say wrong of the same runs, what is believed is two thirds."""
    runs, _ = batches[0]
    guessed = [replace(run, trace_id=f"{place:032x}") for place, run in enumerate(runs, start=10**6)]
    one = learner(shared_bench, critic_batches=60, critic_batch_size=128, critic_rate=0.05)
    for _ in range(4):
        one.learn(
            [*runs, *guessed],
            dict.fromkeys([run.trace_id for run in runs], True),
            0.5,
            imputed=dict.fromkeys([run.trace_id for run in guessed], 0.0),
        )
    policy = one.serving()
    reason = policy.step(shared_bench.step_view(QUESTIONS[0], budget_s=60.0)).reason
    assert float(reason.rpartition(" ")[2].rstrip("%")) == pytest.approx(100 * 2 / 3, abs=6)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_guess_that_is_no_probability_is_refused(
    shared_bench: Any, batches: list[Batch], share: float
) -> None:
    with pytest.raises(ValueError, match="probabilities in"):
        learner(shared_bench).learn(batches[0][0], {}, 0.0, imputed=as_guesses(batches[0], lambda _: share))


def test_runs_that_cannot_be_rebuilt_teach_nothing_but_count_as_late_or_not(
    shared_bench: Any, make_any_bench: Any, batches: list[Batch]
) -> None:
    other = make_any_bench(c={}, d={})
    runs, solved = batch(other, 50, 8, rule=lambda run: True)
    runs = [replace(run, decisions=run.decisions[1:]) for run in runs]
    one, pid = learner(shared_bench, pid=PidConfig(start=0.5)), 0.5
    fresh = weights_of(one)
    assert one.learn(runs, solved, 0.0) == {}
    assert equal(fresh, weights_of(one))
    one.end_epoch()
    assert one.multipliers[2] < pid
    one.learn(*batches[0], 0.1)
    assert not same(one, learner(shared_bench))


def test_a_failed_run_teaches_as_a_wrong_one(shared_bench: Any, batches: list[Batch]) -> None:
    runs, solved = batches[1]
    failed = [replace(run, status="failed", answer="", latency_s=0.0) for run in runs]
    one = learner(shared_bench)
    figures = one.learn(failed, dict.fromkeys(solved, False), 0.0)
    assert np.isfinite(list(figures.values())).all()


@pytest.mark.parametrize(
    ("late_every", "budget_s", "expected"),
    [
        (1, 5.0, (0.9, 0.5, 0.5, 0.5)),
        (0, 60.0, (0.5, 0.5, 0.375, 0.5)),
        (2, 60.0, (0.5, 0.5, 0.9, 0.5)),
        (0, 300.0, (0.5, 0.5, 0.5, 0.375)),
    ],
)
def test_multipliers_move_by_the_late_share_of_their_own_tier(
    shared_bench: Any, late_every: int, budget_s: float, expected: tuple[float, ...]
) -> None:
    one = learner(shared_bench, pid=PidConfig(target=0.1, start=0.5, ki=0.25, kp=1.0))
    given = [batch(shared_bench, n, 8, late_every=late_every, budget_s=budget_s) for n in (0, 1)]
    for runs in given:
        one.learn(*runs, 0.0)
        assert one.multipliers == (0.5,) * 4
    one.end_epoch()
    assert one.multipliers == pytest.approx(expected)
    assert one.serving().weights.multipliers == one.multipliers
    one.end_epoch()
    assert one.multipliers == pytest.approx(expected)


@pytest.mark.parametrize(
    ("status", "latency_s", "is_late"),
    [
        ("ok", 60.0, False),
        ("late", 60.0, True),
        ("late", 60.0 - 1e-14, True),
        ("late", 61.0, True),
        ("failed", 60.0, True),
        ("failed", 60.0 - 1e-14, True),
        ("failed", 3.0, False),
    ],
)
def test_a_run_that_its_deadline_cut_off_is_late_though_it_ended_on_the_dot(
    shared_bench: Any, batches: list[Batch], status: Any, latency_s: float, is_late: bool
) -> None:
    runs, solved = batches[0]
    one = learner(shared_bench, pid=PidConfig(target=0.1, start=0.5, ki=0.25, kp=1.0))
    one.learn([replace(run, status=status, latency_s=latency_s) for run in runs], solved, 0.0)
    one.end_epoch()
    assert one.multipliers[2] == pytest.approx(0.9 if is_late else 0.375)


def test_an_excluded_strategy_is_not_served_even_where_it_is_right(
    shared_bench: Any, batches: list[Batch]
) -> None:
    one = learner(shared_bench, excluded_strategies=frozenset({"Concise"}))
    figures = teach(one, batches[:6])
    assert figures[-1]["step_entropy"] <= np.log(7)
    assert "Concise" not in taken(shared_bench, one)
    view = shared_bench.step_view("Never seen")
    assert one.behaviour(0.0).step(view).weights.reshape(2, 4)[:, 1].tolist() == [0, 0]


def test_choices_grow_sharper_over_the_training(shared_bench: Any) -> None:
    one = learner(shared_bench)
    view = shared_bench.step_view("Never seen")
    early, late = (np.sort(one.behaviour(progress).step(view).weights)[-2] for progress in (0.0, 1.0))
    assert early > late
    schedule = TemperatureSchedule(start=0.08, end=0.02)
    assert [schedule.at(progress) for progress in (-1, 0, 0.5, 1, 2)] == pytest.approx(
        [0.08, 0.08, 0.04, 0.02, 0.02]
    )


def test_weights_that_have_diverged_are_not_stored(shared_bench: Any, tmp_path: Path) -> None:
    one = learner(shared_bench)
    state = one.state()
    modules = {
        name: {key: torch.full_like(tensor, float("nan")) for key, tensor in tensors.items()}
        for name, tensors in state.modules.items()
    }
    one.restore(replace(state, modules=modules))
    with pytest.raises(CheckpointError, match="not finite"):
        one.save_policy(tmp_path / "p.safetensors", latency=None, facts={})


@pytest.mark.parametrize(
    "values",
    [
        {"loss": "trpo"},
        {"distrust": {"step": 0.1}},
        {"credit": "all"},
        {"credit": "potential", "advantage": AdvantageConfig(baseline="value")},
    ],
)
def test_settings_that_cannot_be_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        LearnerConfig(**values)


def test_another_reward_is_learned_by_an_actor_alone_against_a_baseline_of_its_own(shared_bench: Any) -> None:
    ours, other = (LearnerConfig.for_reward(RewardConfig(name=name)) for name in ("on_time", "signed"))
    assert (ours.reward.name, ours.valuation.uses_critic) == ("on_time", True)
    assert (other.reward.name, other.valuation.uses_critic) == ("signed", False)
    assert other.advantage.baseline == "value"
    one = Learner(
        shared_bench.actions, QueryModel(), replace(other, actor_rate=0.1, actor_batch_size=16), seed=0
    )
    teach_by_its_own_choices(shared_bench, one)
    assert share(shared_bench, one) > 0.8


def test_candidates_that_are_known_by_name_alone_are_learned_too(
    shared_bench: Any, batches: list[Batch]
) -> None:
    one = learner(shared_bench, reads_candidates=False)
    teach(one, batches)
    assert taken(shared_bench, one) == RULE
