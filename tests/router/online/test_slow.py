"""The networks that go on learning: when they begin, what they leave alone, and resuming."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from inframind.errors import ConfigError
from inframind.router.online.config import OnlineConfig, SlowConfig
from inframind.router.online.learner import OnlineLearner
from inframind.router.online.protocol import LabelledRun
from inframind.router.policy_file import StoredPolicy
from inframind.traces.records import Trajectory

Played = Callable[..., list[Trajectory]]
Labelled = Callable[..., list[LabelledRun]]
EAGER = OnlineConfig(slow=SlowConfig(share=1.0, fewest=48, kept=64, critic_rate=1e-3, actor_rate=1e-3))


def half_right(label: str) -> float:
    return 0.5


def critic_of(learner: OnlineLearner) -> np.ndarray:
    return learner.candidate().weights.heads["step"].critic.out


def test_networks_stay_as_they_were_trained_until_there_is_enough_to_learn_from(
    stored: StoredPolicy, bench: Any, make_played: Played, make_labelled: Labelled
) -> None:
    learner = OnlineLearner(stored, bench.actions, EAGER)
    trained = stored.weights.heads["step"].critic
    runs = make_labelled(make_played(bench, 96), half_right)

    learner.learn(runs[:32])
    assert critic_of(learner) == pytest.approx(trained.out, abs=1e-6)
    assert learner.candidate().weights.heads["step"].critic.state == pytest.approx(trained.state, abs=1e-6)

    figures = learner.learn(runs[32:])
    assert {"step_critic_loss", "plan_entropy", "labelled"} <= set(figures)
    assert critic_of(learner) != pytest.approx(trained.out, abs=1e-6)


def test_without_a_slow_part_networks_are_the_very_ones(
    learner: OnlineLearner, stored: StoredPolicy, bench: Any, make_played: Played, make_labelled: Labelled
) -> None:
    learner.learn(make_labelled(make_played(bench, 64), half_right))
    assert learner.candidate().weights.heads is stored.weights.heads


def test_it_resumes_as_if_it_had_never_stopped(
    stored: StoredPolicy, bench: Any, make_played: Played, make_labelled: Labelled
) -> None:
    runs = make_labelled(make_played(bench, 160), half_right)
    learner = OnlineLearner(stored, bench.actions, EAGER, seed=3)
    learner.learn(runs[:96])
    again = OnlineLearner.restored(learner.state(), bench.actions, EAGER)

    for one in (learner, again):
        one.learn(runs[96:])

    assert (critic_of(again) == critic_of(learner)).all()
    assert again.candidate().weights.offsets == learner.candidate().weights.offsets


def test_a_newcomer_leaves_what_networks_have_learned(
    stored: StoredPolicy, bench: Any, make_bench: Any, make_played: Played, make_labelled: Labelled
) -> None:
    learner = OnlineLearner(stored, bench.actions, EAGER)
    learner.learn(make_labelled(make_played(bench, 64), half_right))
    before = critic_of(learner)
    grown = make_bench(a={"size_b": 3.0}, b={"size_b": 32.0}, c={"size_b": 7.0})

    learner.welcome(grown.actions)
    assert critic_of(learner) == pytest.approx(before, abs=1e-6)
    learner.learn(make_labelled(make_played(grown, 64, first=64), half_right))

    names = learner.candidate().weights.heads["step"].critic.candidate_names["model"]
    assert names == ("a", "b", "c")
    assert critic_of(learner) != pytest.approx(before, abs=1e-6)


def test_runs_without_a_label_leave_what_is_right_as_it_was(
    stored: StoredPolicy, bench: Any, make_played: Played
) -> None:
    learner = OnlineLearner(stored, bench.actions, EAGER)
    view = bench.step_view()
    before = stored.bind(bench.actions).step_worth(view).solved
    figures = learner.learn([LabelledRun(run=run, label=None) for run in make_played(bench, 64)])
    assert "step_critic_loss" in figures
    after = learner.candidate().bind(bench.actions).step_worth(view).solved
    assert after == pytest.approx(before, abs=0.02)


def test_networks_that_are_to_learn_from_now_on_begin_with_the_policys(
    learner: OnlineLearner, bench: Any
) -> None:
    begun = OnlineLearner.restored(learner.state(), bench.actions, EAGER)
    assert begun.offsets == learner.offsets
    assert len(begun.state()) > len(learner.state())


@pytest.mark.parametrize("values", [{"share": 0.0}, {"fewest": 100, "kept": 50}, {"critic_rate": 0.0}])
def test_contradictory_rounds_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="slow"):
        SlowConfig(**values)  # type: ignore[arg-type]
