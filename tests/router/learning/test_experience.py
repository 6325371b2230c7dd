"""Traces as arrays: what was seen and chosen stands where the networks look for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from inframind.router.features import FeatureBuilder
from inframind.router.learning.experience import (
    Experience,
    ExperienceReader,
    experience_arrays,
    experience_of,
    joined,
)
from inframind.router.learning.learner import known_names
from inframind.router.policy import UniformPolicy
from inframind.router.query_model import QueryModel
from inframind.traces.records import Trajectory


def reader(bench: Any, known: Any = None, **values: Any) -> ExperienceReader:
    state, candidate = known_names((known or bench).actions)
    return ExperienceReader(
        bench.actions, FeatureBuilder(bench.actions, QueryModel()), state, candidate, **values
    )


def play(bench: Any, number: int = 0, **values: Any) -> Trajectory:
    given = {"topology": "Debate", "team_size": 2, "number": number} | values
    run: Trajectory = bench.play(bench.decider(UniformPolicy(), seed=number), f"q{number % 2}", **given)
    return run


def read(bench: Any, runs: list[Trajectory]) -> Experience:
    return reader(bench).read(runs, {run.trace_id: place % 2 == 0 for place, run in enumerate(runs)})


def same(left: Any, right: Any) -> bool:
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return bool(np.array_equal(left, right))


def test_every_decision_of_a_run_is_there_with_its_choice_and_its_probability(bench: Any) -> None:
    run = play(bench, 3)
    found = read(bench, [run]).decisions
    plan, *steps = run.decisions
    assert {kind: len(one) for kind, one in found.items()} == {"step": 2, "plan": 1, "role": 2}
    assert found["step"].chosen.tolist() == [step.chosen for step in steps]
    assert found["step"].probability.tolist() == [step.probability for step in steps]
    assert found["step"].allowed.tolist() == [[not reason for reason in step.masked] for step in steps]
    names = bench.actions.roles["math"]
    assert [names[place] for place in found["role"].chosen.tolist()] == list(run.team)
    assert found["plan"].chosen.tolist() == [plan.chosen] == [0]


def test_runs_keep_their_outcomes_and_equal_questions_their_id(bench: Any) -> None:
    runs = [play(bench, number, latency_s=latency_s) for number, latency_s in enumerate((1.0, 70.0, 2.0))]
    found = read(bench, runs)
    assert found.outcomes.solved_B.tolist() == [True, False, True]
    assert found.outcomes.latency_s_B.tolist() == [1.0, 70.0, 2.0]
    assert found.on_time.tolist() == [True, False, True]
    assert found.question[0] == found.question[2] != found.question[1]
    assert found.decisions["step"].run.tolist() == [0, 0, 1, 1, 2, 2]


def test_narrowed_plans_are_padded_with_what_cannot_be_chosen(bench: Any) -> None:
    found = read(bench, [play(bench, 0), play(bench, 1, topology=None, team_size=None)]).decisions["plan"]
    n_plans = len(bench.actions.planner_actions)
    assert found.allowed.shape == (2, n_plans)
    assert found.allowed[0].tolist() == [True] + [False] * (n_plans - 1)
    assert not found.candidates[0, 1:].any() and found.candidates[1, 1:].any()


def test_names_that_are_not_known_have_the_last_row(make_bench: Any) -> None:
    old, new = make_bench(), make_bench(a={}, b={}, c={})
    run = play(new)
    found = reader(new, known=old).read([run], {run.trace_id: True}).decisions["step"]
    assert found.candidate_rows[0, :, 0].tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert found.candidate_rows[0, :4, 1].tolist() == [0, 1, 2, 3]


def test_the_choice_alone_is_what_a_critic_is_taught(bench: Any) -> None:
    found = read(bench, [play(bench, number) for number in range(4)])
    step, taken = found.decisions["step"], found.taken().decisions["step"]
    places = np.arange(len(step))
    assert taken.candidates.shape[1] == 1 and not taken.chosen.any()
    assert (taken.candidates[:, 0] == step.candidates[places, step.chosen]).all()
    assert (taken.slack[:, 0] == step.slack[places, step.chosen]).all()
    assert taken.allowed.all() and (taken.state == step.state).all()


@pytest.mark.parametrize("empty_first", [True, False])
def test_batches_are_joined_even_where_one_has_no_decisions(bench: Any, empty_first: bool) -> None:
    parts = [read(bench, [play(bench, 0), play(bench, 1)]), read(bench, []), read(bench, [play(bench, 2)])]
    if empty_first:
        parts = [parts[1], parts[0], parts[2]]
    whole = read(bench, [play(bench, number) for number in range(3)])
    assert same(experience_arrays(joined(parts)), experience_arrays(whole))


def test_arrays_are_the_whole_of_it(bench: Any) -> None:
    found = read(bench, [play(bench, number) for number in range(2)])
    arrays = experience_arrays(found)
    assert same(experience_arrays(experience_of(arrays)), arrays)


def test_excluded_strategies_are_not_allowed_where_anything_else_was(bench: Any) -> None:
    runs = [play(bench, number) for number in range(6)]
    narrow = reader(bench, excluded_strategies=frozenset({"Flash", "Plain", "DeepThink"}))
    found = narrow.read(runs, {run.trace_id: True for run in runs}).decisions["step"]
    is_concise = np.array([label.endswith("Concise") for label in bench.actions.executor_labels])
    for allowed, chosen in zip(found.allowed, found.chosen, strict=True):
        assert set(np.flatnonzero(allowed)) == set(np.flatnonzero(is_concise)) | {chosen}
