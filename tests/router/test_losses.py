"""Losses by hand-worked numbers, exact gradients, and what holds for any batch."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from torch import Tensor

from inframind.errors import ConfigError
from inframind.router.losses import (
    EntropySchedule,
    a2c_loss,
    clipped_importance_weights,
    entropy,
    explained_variance,
    factored_critic_loss,
    masked_log_softmax,
    ppo_clip_loss,
    reinforce_loss,
)

LN2, LN3 = math.log(2), math.log(3)
SHAPES = array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=6)


def vector(*values: float, learns: bool = False) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=learns)


def gradient(loss: Tensor, of: Tensor) -> list[float]:
    (found,) = torch.autograd.grad(loss, of)
    return found.flatten().tolist()


@st.composite
def masked_logits(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    shape = draw(SHAPES)
    logits = draw(arrays(np.float64, shape, elements=st.floats(-50, 50)))
    allowed = draw(arrays(np.bool_, shape))
    allowed[:, 0] = True
    return torch.from_numpy(logits), torch.from_numpy(allowed)


def test_a_masked_candidate_gets_no_probability_and_the_others_share_it() -> None:
    logits = torch.tensor([[0.0, LN3, 9.0]], dtype=torch.float64)
    log_prob = masked_log_softmax(logits, torch.tensor([[True, True, False]]))
    assert log_prob[0, :2].tolist() == pytest.approx([math.log(0.25), math.log(0.75)])
    assert log_prob[0, 2] == -math.inf


def test_the_gradient_of_a_masked_softmax_is_one_less_the_probability() -> None:
    logits = torch.tensor([[0.0, LN3, 9.0]], dtype=torch.float64, requires_grad=True)
    log_prob = masked_log_softmax(logits, torch.tensor([[True, True, False]]))
    assert gradient(log_prob[0, 0], logits) == pytest.approx([0.75, -0.75, 0.0])


def test_a_row_that_allows_nothing_is_named() -> None:
    with pytest.raises(ValueError, match="row 1 allows no candidate"):
        masked_log_softmax(torch.zeros(2, 2), torch.tensor([[True, False], [False, False]]))


def test_entropy_counts_the_allowed_candidates_only() -> None:
    allowed = torch.tensor([[True, True, False], [True, False, False]])
    log_prob = masked_log_softmax(torch.zeros(2, 3, dtype=torch.float64), allowed)
    assert entropy(log_prob, allowed).tolist() == pytest.approx([LN2, 0.0])


def test_the_gradient_of_entropy_is_finite_beside_a_masked_candidate() -> None:
    # dH/dz_a = -p_a (log p_a + H), with p = (1/4, 3/4).
    logits = torch.tensor([[0.0, LN3, 5.0]], dtype=torch.float64, requires_grad=True)
    allowed = torch.tensor([[True, True, False]])
    value = entropy(masked_log_softmax(logits, allowed), allowed).sum()
    slope = 0.25 * 0.75 * LN3
    assert value.item() == pytest.approx(0.25 * 2 * LN2 + 0.75 * (2 * LN2 - LN3))
    assert gradient(value, logits) == pytest.approx([slope, -slope, 0.0])


@settings(max_examples=50, deadline=None)
@given(masked_logits())
def test_any_masked_distribution_sums_to_one_and_its_entropy_is_bounded(case: tuple[Tensor, Tensor]) -> None:
    logits, allowed = case
    log_prob = masked_log_softmax(logits, allowed)
    assert log_prob.exp().sum(dim=-1).numpy() == pytest.approx(np.ones(len(logits)))
    assert bool((log_prob.exp()[~allowed] == 0).all())
    nats = entropy(log_prob, allowed)
    assert bool((nats >= -1e-9).all()) and bool((nats <= allowed.sum(dim=-1).log() + 1e-9).all())


def test_reinforce_is_the_mean_of_log_probability_times_advantage() -> None:
    log_prob = vector(-1.0, -2.0, learns=True)
    advantage = vector(3.0, -0.5, learns=True)
    loss = reinforce_loss(log_prob, advantage)
    assert loss.item() == (3.0 - 1.0) / 2
    loss.backward()
    assert log_prob.grad is not None and log_prob.grad.tolist() == [-1.5, 0.25]
    assert advantage.grad is None


def test_a2c_adds_the_weighted_squared_error_of_the_critic() -> None:
    log_prob, value = vector(-1.0, -2.0, learns=True), vector(0.5, 1.0, learns=True)
    returns = vector(1.0, 0.0)
    loss = a2c_loss(log_prob, returns - value, value, returns, value_weight=0.5)
    assert loss.item() == pytest.approx((0.5 - 2.0) / 2 + 0.5 * (0.25 + 1.0) / 2)
    assert gradient(loss, value) == pytest.approx([0.5 * -0.5, 0.5 * 1.0])


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "slope"),
    [
        (1.1, 2.0, -2.2, -2.2),
        (1.5, 2.0, -2.4, 0.0),
        (0.5, 2.0, -1.0, -1.0),
        (0.9, -2.0, 1.8, 1.8),
        (0.5, -2.0, 1.6, 0.0),
        (1.5, -2.0, 3.0, 3.0),
    ],
)
def test_ppo_stops_a_choice_that_has_moved_past_the_clip_and_no_other(
    ratio: float, advantage: float, loss: float, slope: float
) -> None:
    old = vector(math.log(0.4))
    new = vector(math.log(0.4 * ratio), learns=True)
    value = ppo_clip_loss(new, old, vector(advantage), clip=0.2)
    assert value.item() == pytest.approx(loss)
    assert gradient(value, new) == pytest.approx([slope])


@settings(max_examples=50, deadline=None)
@given(arrays(np.float64, (3, 7), elements=st.floats(-3, 3)))
def test_at_the_behaviour_policy_ppo_has_the_gradient_of_reinforce(numbers: np.ndarray) -> None:
    log_prob = torch.tensor(-np.abs(numbers[0]), requires_grad=True)
    advantage = torch.tensor(numbers[1])
    ppo = gradient(ppo_clip_loss(log_prob, log_prob.detach(), advantage), log_prob)
    assert ppo == pytest.approx(gradient(reinforce_loss(log_prob, advantage), log_prob))


def test_importance_weights_are_ratios_cut_at_the_top_and_carry_no_gradient() -> None:
    new = vector(math.log(0.1), math.log(0.6), -math.inf, learns=True)
    behaviour = vector(math.log(0.4), math.log(0.3), math.log(0.5))
    weights = clipped_importance_weights(new, behaviour)
    assert weights.tolist() == pytest.approx([0.25, 1.0, 0.0])
    assert clipped_importance_weights(new, behaviour, most=3.0).tolist() == pytest.approx([0.25, 2.0, 0.0])
    assert not weights.requires_grad


@pytest.mark.parametrize("missing", [-math.inf, math.nan])
def test_a_missing_propensity_is_refused(missing: float) -> None:
    with pytest.raises(ValueError, match="without a propensity"):
        clipped_importance_weights(vector(-1.0), vector(missing))


def test_the_critic_learns_only_the_branch_that_happened() -> None:
    logits = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    loss = factored_critic_loss(logits, vector(1.0, 0.0), vector(1.0, 0.0))
    assert loss.item() == pytest.approx(2 * LN2)
    # (sigmoid(0) - label) / B in the heads that learn; 0 elsewhere.
    assert gradient(loss, logits) == pytest.approx([-0.25, -0.25, 0.0, 0.25, 0.0, 0.25])


def test_the_critics_samples_count_by_weight() -> None:
    logits = torch.tensor([[LN3, 0.0, 0.0], [0.0, 0.0, LN3]], dtype=torch.float64)
    solved, on_time = vector(1.0, 0.0), vector(0.0, 1.0)
    first, second = math.log(4 / 3) + LN2, LN2 + math.log(4 / 3)
    loss = factored_critic_loss(logits, solved, on_time, vector(3.0, 1.0))
    assert loss.item() == pytest.approx((3 * first + second) / 4)
    only_first = factored_critic_loss(logits, solved, on_time, vector(1.0, 0.0))
    assert only_first.item() == pytest.approx(first)


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 1), arrays(np.float64, (1, 3), elements=st.floats(-5, 5)))
def test_a_soft_label_is_the_expected_loss_of_the_hard_ones(label: float, logits: np.ndarray) -> None:
    rows, on_time = torch.tensor(logits), vector(1.0)
    right, wrong = (factored_critic_loss(rows, vector(solved), on_time).item() for solved in (1.0, 0.0))
    soft = factored_critic_loss(rows, vector(label), on_time).item()
    assert soft == pytest.approx(label * right + (1 - label) * wrong)


def test_a_batch_without_any_weight_is_refused() -> None:
    with pytest.raises(ValueError, match="no sample has any weight"):
        factored_critic_loss(torch.zeros(1, 3), torch.ones(1), torch.ones(1), torch.zeros(1))


def test_explained_variance_takes_values_that_are_still_learning() -> None:
    assert explained_variance(vector(0.0, 1.0, learns=True), vector(0.0, 1.0)) == 1.0


def test_explained_variance_of_a_perfect_a_constant_and_a_harmful_critic() -> None:
    returns = vector(0.0, 1.0, 2.0)
    assert explained_variance(returns + 5, returns) == 1.0
    assert explained_variance(vector(7.0, 7.0, 7.0), returns) == 0.0
    assert explained_variance(-returns, returns) == pytest.approx(-3.0)
    assert math.isnan(explained_variance(returns, vector(1.0, 1.0, 1.0)))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: masked_log_softmax(torch.zeros(2, 3), torch.ones(3, 2, dtype=torch.bool)),
            ["logits_BA is (2, 3)", "allowed_BA is (3, 2)"],
        ),
        (
            lambda: entropy(torch.zeros(2, 3), torch.ones(2, 2, dtype=torch.bool)),
            ["log_prob_BA is (2, 3)", "allowed_BA is (2, 2)"],
        ),
        (
            lambda: reinforce_loss(torch.zeros(3), torch.zeros(3, 1)),
            ["log_prob_B is (3,)", "advantage_B is (3, 1)"],
        ),
        (lambda: reinforce_loss(torch.zeros(3, 1), torch.zeros(3, 1)), ["log_prob_B is (3, 1)", "(B,)"]),
        (
            lambda: a2c_loss(torch.zeros(3), torch.zeros(3), torch.zeros(3), torch.zeros(1)),
            ["log_prob_B is (3,)", "return_B is (1,)"],
        ),
        (
            lambda: ppo_clip_loss(torch.zeros(3), torch.zeros(2), torch.zeros(3)),
            ["log_prob_B is (3,)", "old_log_prob_B is (2,)"],
        ),
        (
            lambda: factored_critic_loss(torch.zeros(2, 2), torch.zeros(2), torch.zeros(2)),
            ["logits_B3 is (2, 2)", "solved_B is (2,)"],
        ),
    ],
)
def test_shapes_that_would_broadcast_are_refused_by_name(
    call: Callable[[], Tensor], words: list[str]
) -> None:
    with pytest.raises(ValueError) as raised:
        call()
    assert all(word in str(raised.value) for word in words)


def test_the_entropy_weight_falls_geometrically_to_its_floor() -> None:
    schedule = EntropySchedule(start=0.16, end=0.01, floor=0.02)
    assert [schedule.at(done) for done in (0.0, 0.25, 0.5, 0.75, 1.0)] == pytest.approx(
        [0.16, 0.08, 0.04, 0.02, 0.02]
    )


@given(st.floats(0, 1), st.floats(0, 1))
def test_the_entropy_weight_never_rises(first: float, second: float) -> None:
    schedule = EntropySchedule()
    earlier, later = sorted([first, second])
    assert schedule.start >= schedule.at(earlier) >= schedule.at(later) >= schedule.floor


@pytest.mark.parametrize("progress", [-0.1, 1.1, math.nan])
def test_progress_outside_the_training_is_refused(progress: float) -> None:
    with pytest.raises(ValueError, match="share of the training"):
        EntropySchedule().at(progress)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("entropy.start", {"start": 0.0}),
        ("entropy.end", {"end": 0.06}),
        ("entropy.end", {"end": 0.0}),
        ("entropy.floor", {"floor": 0.06}),
    ],
)
def test_a_contradictory_schedule_names_the_field(field: str, values: dict[str, float]) -> None:
    with pytest.raises(ConfigError) as raised:
        EntropySchedule(**values)
    assert raised.value.field == field
