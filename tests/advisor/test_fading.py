"""Patterns that are over are told apart from those that last."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from inframind.advisor.cluster import FailureCluster
from inframind.advisor.clustering import find_clusters
from inframind.advisor.fading import faded
from inframind.arena.advice.planted_runs import MIDNIGHT_S, run, step
from inframind.traces.records import SOLVED_ONLY, Trajectory

RUNS, APART_S = 1200, 600.0


def runs_with(mended_at: int) -> list[Trajectory]:
    """Half of the runs are answered by ``bad``, which is mostly wrong until the run of that number."""
    rng = np.random.default_rng(0)
    runs = []
    for number in range(RUNS):
        is_bad = bool(rng.random() < 0.5)
        failing = 0.6 if is_bad and number < mended_at else 0.05
        runs.append(
            run(
                number,
                solved=bool(rng.random() >= failing),
                steps=(step(model="bad" if is_bad else "good"),),
                arrived_at_s=MIDNIGHT_S + APART_S * number,
            )
        )
    return runs


def patterns_of(runs: list[Trajectory]) -> tuple[FailureCluster, ...]:
    return find_clusters(runs, keys=SOLVED_ONLY, rng=np.random.default_rng(0)).clusters


def test_a_pattern_that_is_over_is_said_to_be_and_left_out() -> None:
    runs = runs_with(mended_at=700)
    patterns = patterns_of(runs)
    assert [one.main_trait.get("model") for one in patterns] == ["bad"]
    found = faded(patterns, runs, SOLVED_ONLY)
    assert found.lasting == ()
    assert len(found.notes) == 1
    assert patterns[0].label in found.notes[0] and "seems to be over" in found.notes[0]


def test_a_pattern_that_goes_on_stays() -> None:
    runs = runs_with(mended_at=RUNS)
    patterns = patterns_of(runs)
    assert patterns
    assert faded(patterns, runs, SOLVED_ONLY).lasting == patterns


def test_what_ended_within_the_last_day_may_come_back_with_the_hour() -> None:
    pressed = [
        replace(one, arrived_at_s=MIDNIGHT_S + 60.0 * number)
        for number, one in enumerate(runs_with(mended_at=700))
    ]
    patterns = patterns_of(pressed)
    assert faded(patterns, pressed, SOLVED_ONLY).lasting == patterns
