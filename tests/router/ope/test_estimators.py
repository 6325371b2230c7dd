"""Estimators by hand-worked numbers, by enumeration of all that might have been chosen, and by what holds for any."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inframind.errors import ConfigError
from inframind.router.ope.batch import LoggedDecisions
from inframind.router.ope.estimators import (
    clipped_ips,
    direct,
    doubly_robust,
    effective_sample_size,
    ips,
    shrunk_doubly_robust,
    snips,
    switch_doubly_robust,
)
from inframind.router.ope.methods import METHODS, contributions, gains, kept_ratio, uses_model

SEEDS = st.integers(0, 1000)


@pytest.fixture
def two(make_batch: Any) -> LoggedDecisions:
    """Weights 3/4 / 1/4 = 3 and 1/4 / 1/2 = 1/2."""
    return make_batch(
        reward_N=[1, 1],
        chosen_N=[0, 1],
        logging_NA=[[0.25, 0.75, 0.0], [0.5, 0.5, 0.0]],
        target_NA=[[0.75, 0.25, 0.0], [0.75, 0.25, 0.0]],
        q_NA=[[0.8, 0.4, 9.0], [0.6, 0.2, 9.0]],
    )


def test_contributions_are_the_formulas(two: LoggedDecisions) -> None:
    assert two.ratio_N.tolist() == [3.0, 0.5]
    assert ips(two).tolist() == [3.0, 0.5]
    assert clipped_ips(two, 2.0).tolist() == [2.0, 0.5]
    assert direct(two) == pytest.approx([0.7, 0.5])
    assert doubly_robust(two) == pytest.approx([0.7 + 3 * 0.2, 0.5 + 0.5 * 0.8])
    assert switch_doubly_robust(two, 2.0) == pytest.approx([0.7, 0.9])
    # Shrunk weights: 3 / (9 + 1) and (1/2) / (1/4 + 1).
    assert shrunk_doubly_robust(two, 1.0) == pytest.approx([0.7 + 0.3 * 0.2, 0.5 + 0.4 * 0.8])


def test_a_quotient_is_the_mean_of_its_influences(make_batch: Any) -> None:
    batch = make_batch(
        reward_N=[1, 0], chosen_N=[0, 1], logging_NA=[[0.25, 0.75], [0.5, 0.5]], target_NA=[[0.75, 0.25]] * 2
    )
    # V = 3 / 3.5, mean weight 1.75.
    value = 3 / 3.5
    assert snips(batch) == pytest.approx([value + 3 * (1 - value) / 1.75, value - 0.5 * value / 1.75])
    assert snips(batch).mean() == pytest.approx(value)


def test_a_target_that_never_chose_so_has_no_quotient(make_batch: Any) -> None:
    batch = make_batch(reward_N=[1], chosen_N=[0], logging_NA=[[0.5, 0.5]], target_NA=[[0.0, 1.0]])
    assert snips(batch).tolist() == [0.0]
    assert effective_sample_size(batch.ratio_N) == 0.0


def test_effective_size_is_that_of_kish() -> None:
    assert effective_sample_size(np.array([3.0, 0.5])) == pytest.approx(3.5**2 / 9.25)
    assert effective_sample_size(np.ones(7)) == pytest.approx(7)
    assert effective_sample_size(np.ones(4), np.array([1.0, 1, 0, 0])) == pytest.approx(2)


@given(seed=SEEDS)
def test_unbiased_over_all_that_might_have_been_chosen(seed: int, make_random_batch: Any) -> None:
    """``sum_a mu(a) contribution(a) = sum_a pi(a) reward(a)``, for IPS, and for DR with any model."""
    batch = make_random_batch(seed)
    reward_NA = np.random.default_rng(seed + 1).random(batch.logging_NA.shape)
    supported_NA = np.where(batch.logging_NA > 0, batch.target_NA, 0.0)
    truth_N = (supported_NA * reward_NA).sum(axis=1)
    for estimator in (ips, doubly_robust):
        expected_N = np.zeros(len(batch))
        for action in range(batch.logging_NA.shape[1]):
            rows = np.flatnonzero(batch.logging_NA[:, action] > 0)
            might = LoggedDecisions(
                reward_N=reward_NA[rows, action],
                chosen_N=np.full(len(rows), action),
                logging_NA=batch.logging_NA[rows],
                target_NA=batch.target_NA[rows],
                run_N=batch.run_N[rows],
                q_NA=batch.q_NA[rows],
            )
            expected_N[rows] += batch.logging_NA[rows, action] * estimator(might)
        assert expected_N == pytest.approx(truth_N)


@given(seed=SEEDS)
@settings(max_examples=20)
def test_who_decides_as_was_decided_is_worth_what_came_of_it(seed: int, make_random_batch: Any) -> None:
    batch = make_random_batch(seed).on_policy()
    for method in METHODS:
        assert gains(batch, method).mean() == pytest.approx(0, abs=1e-9) or method == "shrunk_dr"
        if not uses_model(method):
            assert contributions(batch, method).mean() == pytest.approx(batch.reward_N.mean())


@given(seed=SEEDS)
def test_the_family_meets_at_its_ends(seed: int, make_random_batch: Any) -> None:
    batch = make_random_batch(seed)
    blank = replace(batch, q_NA=np.zeros_like(batch.q_NA))
    assert doubly_robust(blank) == pytest.approx(ips(batch))
    assert clipped_ips(batch, np.inf) == pytest.approx(ips(batch))
    assert switch_doubly_robust(batch, np.inf) == pytest.approx(doubly_robust(batch))
    assert switch_doubly_robust(batch, 0.0) == pytest.approx(direct(batch))
    assert shrunk_doubly_robust(batch, 1e12) == pytest.approx(doubly_robust(batch))
    assert shrunk_doubly_robust(batch, 0.0) == pytest.approx(direct(batch))


@given(seed=SEEDS)
@settings(max_examples=20)
def test_neither_the_order_of_candidates_nor_one_more_that_was_masked_changes_anything(
    seed: int, make_random_batch: Any
) -> None:
    batch = make_random_batch(seed)
    order = np.random.default_rng(seed).permutation(batch.logging_NA.shape[1])
    shuffled = replace(
        batch,
        chosen_N=np.argsort(order)[batch.chosen_N],
        **{name: getattr(batch, name)[:, order] for name in ("logging_NA", "target_NA", "q_NA")},
    )
    wider = replace(
        batch,
        **{
            name: np.pad(getattr(batch, name), ((0, 0), (0, 1)))
            for name in ("logging_NA", "target_NA", "q_NA")
        },
    )
    for method in METHODS:
        same = contributions(batch, method)
        assert contributions(shuffled, method) == pytest.approx(same)
        assert contributions(wider, method) == pytest.approx(same)


@given(seed=SEEDS, shift=st.floats(-5, 5))
def test_a_constant_on_top_of_all_rewards_is_one_on_top_of_the_quotient(
    seed: int, shift: float, make_random_batch: Any
) -> None:
    batch = make_random_batch(seed)
    shifted = replace(batch, reward_N=batch.reward_N + shift)
    assert snips(shifted) == pytest.approx(snips(batch) + shift)


@given(seed=SEEDS)
@settings(max_examples=30)
def test_knobs_only_ever_take_from_weights(seed: int, make_random_batch: Any) -> None:
    batch = make_random_batch(seed)
    for method in ("clipped_ips", "switch_dr", "shrunk_dr"):
        assert (kept_ratio(batch, method) <= batch.ratio_N + 1e-12).all()


def heavy(n: int, make_batch: Any) -> LoggedDecisions:
    """A choice in fifty carries a weight of 50 x 0.3 = 15, and its reward is a coin that the model knows nothing of."""
    rng = np.random.default_rng(5)
    chosen = (rng.random(n) < 0.02).astype(int)
    return make_batch(
        reward_N=rng.random(n) < 0.5,
        chosen_N=chosen,
        logging_NA=np.tile([0.98, 0.02], (n, 1)),
        target_NA=np.tile([0.7, 0.3], (n, 1)),
        q_NA=np.full((n, 2), 0.5),
    )


def test_large_weights_are_trusted_more_the_more_there_are_of_them(make_batch: Any) -> None:
    few, many = heavy(60, make_batch), heavy(60_000, make_batch)
    for method in ("switch_dr", "shrunk_dr", "clipped_ips"):
        kept_few, kept_many = (kept_ratio(batch, method).max() for batch in (few, many))
        assert kept_few < 0.7 * kept_many
        assert kept_many > 10


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("logging_NA", [[0.0, 1.0]]),
        ("logging_NA", [[0.5, 0.4]]),
        ("target_NA", [[1.5, -0.5]]),
        ("reward_N", [np.nan]),
        ("weight_N", [-1.0]),
        ("q_NA", [[0.5]]),
    ],
)
def test_what_cannot_be_is_refused_by_name(field: str, value: Any, make_batch: Callable[..., Any]) -> None:
    good = {"reward_N": [1], "chosen_N": [0], "logging_NA": [[0.5, 0.5]], "target_NA": [[1.0, 0.0]]}
    with pytest.raises(ConfigError, match=field):
        make_batch(**{**good, field: value})


def test_estimators_that_need_a_model_say_so(make_batch: Any) -> None:
    batch = make_batch(reward_N=[1], chosen_N=[0], logging_NA=[[0.5, 0.5]], target_NA=[[1.0, 0.0]])
    with pytest.raises(ConfigError, match="model of the reward"):
        doubly_robust(batch)
