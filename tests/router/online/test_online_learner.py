"""Learning while serving, through the learner's own door."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inframind.errors import CheckpointError, ConfigError
from inframind.router.online.config import BeliefConfig, ExplorationConfig, OnlineConfig
from inframind.router.online.learner import OnlineLearner
from inframind.router.online.protocol import Label, LabelledRun
from inframind.router.policy_file import StoredPolicy, load_policy, save_policy
from inframind.traces.records import Step, Trajectory

Played = Callable[..., list[Trajectory]]
Labelled = Callable[..., list[LabelledRun]]
MODEL_A_FAILS = {"a": 0.3}


def share_right(label: str) -> float:
    """Model a has become worse than it was; b is as it was."""
    return MODEL_A_FAILS.get(label.partition("/")[0], 0.731)


def call_of(run: Trajectory, **values: Any) -> Trajectory:
    """The run with the call that its step's decision led to."""
    decision = run.decisions[1]
    given: dict[str, Any] = {
        "step_id": 0,
        "node": "agent",
        "kind": "agent",
        "position": 0,
        "round": 1,
        "role": "Solver",
        "parents": (),
        "decision_id": decision.decision_id,
        "model": decision.choice["model"],
        "strategy": decision.choice["strategy"],
        "served_model": decision.choice["model"],
        "started_s": 0.0,
        "finished_s": 1.0,
    }
    return replace(run, steps=(Step(**{**given, **values}),), final_step_id=0)


def test_a_degraded_model_is_found_within_two_hundred_labelled_runs(
    learner: OnlineLearner, bench: Any, make_played: Played, make_labelled: Labelled
) -> None:
    figures = learner.learn(make_labelled(make_played(bench, 200), share_right))
    offsets = learner.offsets.logit
    assert max(offsets[f"a/{name}"] for name in bench.strategies) < -0.3
    assert min(offsets[f"b/{name}"] for name in bench.strategies) >= 0.0
    assert figures["labelled"] == 200
    assert figures["least_offset"] == min(offsets.values())


def test_what_it_has_found_out_is_what_it_serves(
    learner: OnlineLearner, bench: Any, make_played: Played, make_labelled: Labelled, tmp_path: Path
) -> None:
    learner.learn(make_labelled(make_played(bench, 200), share_right))
    view, plan = bench.step_view(), bench.plan_view()
    published = load_policy(save_policy(tmp_path / "policy.safetensors", learner.candidate()))

    policy = published.bind(bench.actions)

    n = len(bench.strategies)
    assert int(policy.step(view).weights.argmax()) >= n  # model b's
    before = 1 / (1 + np.exp(-1.0))
    assert policy.step_worth(view).solved[:n].max() < before
    assert published.weights.offsets == learner.offsets
    assert "right" in policy.plan(plan).reason


def test_the_planner_sees_that_every_call_has_become_worse(
    learner: OnlineLearner, stored: StoredPolicy, bench: Any
) -> None:
    offsets = replace(learner.offsets, logit=dict.fromkeys(bench.actions.executor_labels, -2.0))
    worse = replace(stored, weights=replace(stored.weights, offsets=offsets)).bind(bench.actions)
    assert stored.bind(bench.actions).plan(bench.plan_view()).reason.endswith("right 73%")
    assert worse.plan(bench.plan_view()).reason.endswith("right 27%")


def test_when_all_become_worse_alike_hardly_any_difference_is_served(
    learner: OnlineLearner, bench: Any, make_played: Played, make_labelled: Labelled
) -> None:
    figures = learner.learn(make_labelled(make_played(bench, 300), lambda label: 0.5))
    assert figures["shared_offset"] < -0.5
    assert figures["greatest_offset"] - figures["least_offset"] < 0.15


def test_runs_without_a_label_teach_nothing_of_what_is_right(
    learner: OnlineLearner, bench: Any, make_played: Played
) -> None:
    before = learner.offsets
    figures = learner.learn([LabelledRun(run=run, label=None) for run in make_played(bench, 50)])
    assert figures == {}
    assert learner.offsets == before


def test_nothing_comes_of_nothing(learner: OnlineLearner) -> None:
    state = learner.state()
    assert learner.learn([]) == {}
    assert learner.state() == state


def test_a_run_that_gave_no_answer_says_nothing_of_who_is_right(
    learner: OnlineLearner, bench: Any, make_played: Played
) -> None:
    (run,) = make_played(bench, 1)
    wrong = Label(solved=0.0)
    refused = replace(call_of(run, error="EndpointDown"), status="failed", final_step_id=None)
    cut = replace(call_of(run), status="late", final_step_id=None)
    assert learner.learn([LabelledRun(run=one, label=wrong) for one in (refused, cut)]) == {}


def test_credit_goes_to_the_model_that_answered_in_the_place_of_another(
    learner: OnlineLearner, bench: Any, make_played: Played
) -> None:
    runs = [run for run in make_played(bench, 200) if run.decisions[1].action == "a/Plain"]
    taken_over = [call_of(run, served_model="b", endpoint="b-0") for run in runs]
    learner.learn([LabelledRun(run=run, label=Label(solved=0.0)) for run in taken_over])
    offsets = learner.offsets.logit
    assert offsets["b/Plain"] < offsets["a/Plain"]


def test_how_runs_are_cut_into_calls_makes_no_difference(
    stored: StoredPolicy, bench: Any, make_played: Played, make_labelled: Labelled
) -> None:
    runs = make_labelled(make_played(bench, 40), share_right)
    at_once, in_turn = OnlineLearner(stored, bench.actions), OnlineLearner(stored, bench.actions)
    at_once.learn(runs)
    for run in runs:
        in_turn.learn([run])
    assert in_turn.state() == at_once.state()


def test_it_resumes_as_if_it_had_never_stopped(
    stored: StoredPolicy, bench: Any, make_played: Played, make_labelled: Labelled
) -> None:
    runs = make_labelled(make_played(bench, 80), share_right)
    learner = OnlineLearner(stored, bench.actions)
    learner.learn(runs[:37])
    again = OnlineLearner.restored(learner.state(), bench.actions)

    for one in (learner, again):
        one.learn(runs[37:])

    assert again.state() == learner.state()
    assert again.candidate().weights.offsets == learner.candidate().weights.offsets


def test_a_damaged_state_is_refused(learner: OnlineLearner, bench: Any) -> None:
    state = bytearray(learner.state())
    state[-5] ^= 1
    with pytest.raises(CheckpointError, match="learner's state"):
        OnlineLearner.restored(bytes(state), bench.actions)
    with pytest.raises(CheckpointError, match="learner's state"):
        OnlineLearner.restored(bytes(state[:100]), bench.actions)


def test_a_published_version_is_gone_on_from_where_it_was(
    learner: OnlineLearner, bench: Any, make_played: Played, make_labelled: Labelled
) -> None:
    learner.learn(make_labelled(make_played(bench, 200), share_right))
    heir = OnlineLearner(learner.candidate(), bench.actions, OnlineConfig(belief=BeliefConfig(caution=0.0)))
    assert heir.offsets.logit == pytest.approx(learner.offsets.logit)


# Newcomers ---------------------------------------------------------------------------------------------


@pytest.fixture
def grown(make_bench: Any) -> Any:
    """The bench with a third model."""
    return make_bench(a={"size_b": 3.0}, b={"size_b": 32.0}, c={"size_b": 7.0})


def share_explored(learner: OnlineLearner, bench: Any, model: str) -> float:
    """Probability that a step goes to a model."""
    weights = learner.behaviour().step(bench.step_view()).weights
    labels = bench.actions.executor_labels
    return sum(w for w, label in zip(weights.tolist(), labels, strict=True) if label.startswith(model))


def test_a_new_model_is_tried_and_a_bad_one_soon_no_more(
    learner: OnlineLearner, grown: Any, make_played: Played, make_labelled: Labelled
) -> None:
    learner.welcome(grown.actions)
    assert learner.offsets.fresh == {"c"}
    assert 0.05 < share_explored(learner, grown, "c") < 0.4

    runs = [run for run in make_played(grown, 240) if run.decisions[1].choice["model"] == "c"][:60]
    learner.learn(make_labelled(runs, lambda label: 0.1))

    assert share_explored(learner, grown, "c") < 0.02
    assert max(learner.offsets.logit[f"c/{name}"] for name in grown.strategies) < -0.5


def test_a_new_model_that_is_better_is_chosen(
    learner: OnlineLearner, grown: Any, make_played: Played, make_labelled: Labelled
) -> None:
    learner.welcome(grown.actions)
    runs = [run for run in make_played(grown, 240) if run.decisions[1].choice["model"] == "c"][:60]
    learner.learn(make_labelled(runs, lambda label: 0.97))
    best = int(learner.candidate().bind(grown.actions).step(grown.step_view()).weights.argmax())
    assert grown.actions.executor_actions[best].model == "c"


def test_a_new_model_whose_runs_nobody_labels_is_not_tried_for_ever(
    stored: StoredPolicy, grown: Any, make_played: Played
) -> None:
    config = OnlineConfig(exploration=ExplorationConfig(fresh_runs=20))
    learner = OnlineLearner(stored, grown.actions, config)
    runs = [call_of(run) for run in make_played(grown, 120)]
    learner.learn([LabelledRun(run=run, label=None) for run in runs])
    assert learner.offsets.fresh == frozenset()


def test_runs_over_the_candidates_of_before_are_learned_from_and_lost_models_are_remembered(
    learner: OnlineLearner, bench: Any, grown: Any, make_played: Played, make_labelled: Labelled
) -> None:
    learner.welcome(grown.actions)
    figures = learner.learn(make_labelled(make_played(bench, 200), share_right))
    assert figures["labelled"] == 200
    before = learner.offsets.logit["a/Plain"]
    assert before < -0.3

    only_b = replace(grown.actions, models={"b": grown.models["b"]})
    learner.welcome(only_b)
    assert set(learner.offsets.logit) == set(only_b.executor_labels)
    learner.welcome(grown.actions)
    assert learner.offsets.logit["a/Plain"] == before


@pytest.mark.parametrize("final_share", [0.0, 1.5])
def test_a_contradictory_credit_is_refused(final_share: float) -> None:
    with pytest.raises(ConfigError, match="final_share"):
        OnlineConfig(final_share=final_share)
