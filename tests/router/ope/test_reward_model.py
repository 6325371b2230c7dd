"""The model of the reward: fitted forwards, and better than its guess."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from inframind.router.learning.ridge_logistic import logistic
from inframind.router.ope.reward_model import RewardSamples, fitted_forwards

EFFECT = np.array([-1.0, 0.0, 2.0])


def samples(n: int, seed: int = 0) -> tuple[RewardSamples, np.ndarray]:
    """Three candidates whose names alone tell them apart, and a number that matters; the guess knows of neither."""
    rng = np.random.default_rng(seed)
    x_ND = rng.normal(size=(n, 1))
    truth_NA = logistic(EFFECT + x_ND)
    chosen_N = rng.integers(0, 3, n)
    made = RewardSamples(
        guess_NA=np.zeros((n, 3)),
        candidates_NAK=rng.normal(size=(n, 3, 2)),
        state_ND=x_ND,
        name_NA=np.tile(np.arange(3), (n, 1)),
        group_N=np.zeros(n, dtype=np.int64),
        chosen_N=chosen_N,
        reward_N=(rng.random(n) < truth_NA[np.arange(n), chosen_N]).astype(np.float64),
        run_N=np.arange(n) // 2,
    )
    return made, truth_NA


def test_it_learns_what_the_guess_did_not_know() -> None:
    made, truth_NA = samples(2000)
    q_NA = fitted_forwards(made)
    assert (q_NA[:100] == 0.5).all()
    assert np.abs(q_NA[1000:] - truth_NA[1000:]).mean() < 0.05 < np.abs(0.5 - truth_NA).mean()


def test_no_run_has_a_say_in_what_is_expected_of_it_or_of_earlier_ones() -> None:
    made, _ = samples(400)
    before = fitted_forwards(made)
    for first in (40, 201, 333):
        begin = 2 * first
        if begin >= 400:
            continue
        other = made.reward_N.copy()
        other[begin:] = 1 - other[begin:]
        after = fitted_forwards(replace(made, reward_N=other))
        assert (after[: begin + 2] == before[: begin + 2]).all()
        assert (after != before).any() or begin > 350


def test_few_runs_leave_the_guess_as_it_is() -> None:
    made, _ = samples(30)
    made = replace(made, guess_NA=np.random.default_rng(0).normal(size=(30, 3)))
    assert fitted_forwards(made) == pytest.approx(logistic(made.guess_NA))


def test_a_guess_that_knows_what_no_column_shows_is_kept() -> None:
    made, _ = samples(1000)
    logit_NA = 2 * made.state_ND * EFFECT
    rng = np.random.default_rng(1)
    chance_N = logistic(logit_NA)[np.arange(1000), made.chosen_N]
    made = replace(made, reward_N=(rng.random(1000) < chance_N).astype(np.float64))
    told = replace(made, guess_NA=logit_NA)
    errors = [np.abs(fitted_forwards(one)[200:] - logistic(logit_NA)[200:]).mean() for one in (told, made)]
    assert errors[0] < 0.04 < 0.1 < errors[1]
