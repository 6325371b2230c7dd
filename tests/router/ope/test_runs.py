"""Runs of a plan and steps: exact where they can be, by enumeration of every path, else to first order."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inframind.errors import ConfigError
from inframind.router.ope.batch import LoggedDecisions
from inframind.router.ope.estimate import Estimate, NoSupport, SupportRule
from inframind.router.ope.methods import METHODS
from inframind.router.ope.runs import LEVELS, LoggedRuns, raw_value, value

ANYTHING = SupportRule(least_effective_size=0, most_unsupported=1)


class Paths:
    """All eight paths of a plan of two and two steps of two, each as often as the logging policy takes it.

    Decisions of the two policies depend on what was decided before, and so does the reward.
    """

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.reward = rng.random((2, 2, 2))
        self.logging, self.target = [self._tables(rng) for _ in range(2)]
        self.model = self._tables(rng)

    @staticmethod
    def _tables(rng: np.random.Generator) -> list[np.ndarray]:
        tables = [rng.random(shape) + 0.2 for shape in ((2,), (2, 2), (2, 2, 2))]
        return [table / table.sum(axis=-1, keepdims=True) for table in tables]

    def probability(self, tables: list[np.ndarray], path: tuple[int, int, int]) -> float:
        a, b, c = path
        return float(tables[0][a] * tables[1][a, b] * tables[2][a, b, c])

    def truth(self, tables: list[np.ndarray]) -> float:
        return sum(self.probability(tables, path) * self.reward[path] for path in product(range(2), repeat=3))

    def runs(self) -> LoggedRuns:
        paths = list(product(range(2), repeat=3))
        reward_R = np.array([self.reward[path] for path in paths])
        weight_R = np.array([self.probability(self.logging, path) for path in paths])

        def batch(depths: list[int]) -> LoggedDecisions:
            where = [(run, path, depth) for run, path in enumerate(paths) for depth in depths]
            rows = [
                [tables[depth][path[:depth]] for _, path, depth in where]
                for tables in (self.logging, self.target, self.model)
            ]
            run_N = np.array([run for run, _, _ in where])
            return LoggedDecisions(
                reward_N=reward_R[run_N],
                chosen_N=np.array([path[depth] for _, path, depth in where]),
                logging_NA=np.array(rows[0]),
                target_NA=np.array(rows[1]),
                q_NA=np.array(rows[2]),
                run_N=run_N,
                weight_N=weight_R[run_N],
            )

        return LoggedRuns(reward_R=reward_R, weight_R=weight_R, plans=batch([0]), steps=batch([1, 2]))


@given(seed=st.integers(0, 500))
@settings(max_examples=25)
def test_a_sequence_is_unbiased_over_every_path_whatever_the_model(seed: int) -> None:
    paths = Paths(seed)
    for method in ("ips", "snips", "dr"):
        assert raw_value(paths.runs(), "sequence", method).value == pytest.approx(paths.truth(paths.target))


@given(seed=st.integers(0, 500))
@settings(max_examples=25)
def test_a_plan_alone_is_carried_out_as_it_was(seed: int) -> None:
    paths = Paths(seed)
    mixed = [paths.target[0], *paths.logging[1:]]
    for method in ("ips", "dr"):
        assert raw_value(paths.runs(), "plan", method).value == pytest.approx(paths.truth(mixed))


@given(seed=st.integers(0, 500))
@settings(max_examples=25)
def test_gains_of_steps_are_those_of_changing_one_at_a_time(seed: int) -> None:
    paths = Paths(seed)
    logging, target = paths.logging, paths.target
    before = paths.truth(logging)
    first = paths.truth([logging[0], target[1], logging[2]]) - before
    second = paths.truth([logging[0], logging[1], target[2]]) - before
    for method in ("ips", "dr"):
        assert raw_value(paths.runs(), "step", method).value == pytest.approx(before + first + second)


@given(seed=st.integers(0, 500))
@settings(max_examples=25)
def test_a_workflow_is_the_plan_and_the_gains_of_its_steps(seed: int) -> None:
    paths = Paths(seed)
    logging, target = paths.logging, paths.target
    planned = paths.truth([target[0], logging[1], logging[2]])
    first = paths.truth([target[0], target[1], logging[2]]) - planned
    second = paths.truth([target[0], logging[1], target[2]]) - planned
    for method in ("ips", "dr"):
        assert raw_value(paths.runs(), "workflow", method).value == pytest.approx(planned + first + second)


def test_who_decides_as_was_decided_is_worth_what_came_of_it() -> None:
    paths = Paths(3)
    runs = paths.runs().on_policy()
    for level in LEVELS:
        for method in METHODS:
            if method != "shrunk_dr":
                found = raw_value(runs, level, method)
                assert found.value == pytest.approx(paths.truth(paths.logging)), (level, method)


def without_plans(runs: LoggedRuns, batch: LoggedDecisions) -> LoggedRuns:
    return LoggedRuns(reward_R=runs.reward_R, weight_R=runs.weight_R, plans=no_decisions(), steps=batch)


def test_one_step_is_exact_at_every_level_that_has_steps(make_random_batch: Any) -> None:
    steps = make_random_batch(4)
    runs = LoggedRuns(reward_R=steps.reward_N, weight_R=np.ones(len(steps)), plans=steps, steps=steps)
    alone = without_plans(runs, steps)
    for method in ("ips", "snips"):
        values = [raw_value(alone, level, method).value for level in ("step", "workflow", "sequence")]
        assert values == pytest.approx([values[0]] * 3)
    assert raw_value(alone, "plan", "ips").value == pytest.approx(steps.reward_N.mean())


def test_long_sequences_lose_their_support_first(make_random_batch: Any) -> None:
    steps = make_random_batch(6, n=3000, runs=300)
    reward_R = np.random.default_rng(0).random(300)
    batch = LoggedDecisions(
        reward_N=reward_R[steps.run_N],
        chosen_N=steps.chosen_N,
        logging_NA=steps.logging_NA,
        target_NA=steps.target_NA,
        run_N=steps.run_N,
    )
    runs = LoggedRuns(reward_R=reward_R, weight_R=np.ones(300), plans=no_decisions(), steps=batch)
    assert isinstance(value(runs, "step", "ips", rule=SupportRule(most_unsupported=1)), Estimate)
    assert isinstance(value(runs, "sequence", "ips", rule=SupportRule(most_unsupported=1)), NoSupport)


def no_decisions() -> LoggedDecisions:
    return LoggedDecisions(
        reward_N=np.zeros(0),
        chosen_N=np.zeros(0, dtype=np.int64),
        logging_NA=np.zeros((0, 4)),
        target_NA=np.zeros((0, 4)),
        run_N=np.zeros(0, dtype=np.int64),
    )


def test_runs_that_do_not_fit_are_refused(make_batch: Any) -> None:
    good = {"reward_N": [1, 1], "chosen_N": [0, 0], "logging_NA": [[1.0], [1.0]], "target_NA": [[1.0], [1.0]]}
    twice, beyond = make_batch(**good, run_N=[0, 0]), make_batch(**good, run_N=[0, 9])
    with pytest.raises(ConfigError, match="one plan"):
        LoggedRuns(reward_R=np.ones(2), weight_R=np.ones(2), plans=twice, steps=twice)
    with pytest.raises(ConfigError, match=r"steps\.run_N"):
        LoggedRuns(reward_R=np.ones(2), weight_R=np.ones(2), plans=make_batch(**good), steps=beyond)
    nothing = no_decisions()
    with pytest.raises(ConfigError, match="at least one"):
        raw_value(
            LoggedRuns(reward_R=np.zeros(0), weight_R=np.zeros(0), plans=nothing, steps=nothing),
            "step",
            "ips",
        )
