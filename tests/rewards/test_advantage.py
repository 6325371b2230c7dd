from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from inframind.errors import ConfigError
from inframind.rewards.advantage import (
    AdvantageConfig,
    AdvantageInputs,
    BaselineName,
    Standardisation,
    counterfactual_advantage,
    critic_q,
    leave_one_out,
    shrinkage_advantage,
    standardised,
    value_advantage,
)
from inframind.rewards.functions import on_time
from inframind.rewards.outcomes import RunOutcomes

REWARDS = st.floats(-1, 1)
GROUPED = st.lists(st.tuples(REWARDS, st.integers(0, 4)), min_size=1, max_size=30)


def columns(grouped):
    returns, groups = zip(*grouped, strict=True)
    return np.array(returns), np.array(groups)


def test_the_counterfactual_baseline_is_the_policys_mean_over_candidates():
    advantage = counterfactual_advantage(
        np.array([1.0, 0.0]),
        np.array([[0.25, 0.75, 0.0], [0.5, 0.0, 0.5]]),
        np.array([[1.0, 0.2, 9.0], [0.4, 5.0, 0.8]]),
    )
    assert advantage == pytest.approx([0.6, -0.6])


@given(npst.arrays(np.float64, 4, elements=st.floats(0.01, 1)), npst.arrays(np.float64, 4, elements=REWARDS))
def test_with_a_perfect_critic_the_counterfactual_advantage_averages_to_zero_under_the_policy(weights, q):
    probabilities = weights / weights.sum()
    every_action = np.tile(probabilities, (4, 1))
    advantage = counterfactual_advantage(q, every_action, np.tile(q, (4, 1)))
    assert probabilities @ advantage == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("probabilities", "q", "field"),
    [
        ([[0.5, 0.4]], [[0.0, 0.0]], "probabilities_BA"),
        ([[0.5, 0.5]], [[0.0, np.nan]], "q_BA"),
        ([[0.5, 0.5]], [[0.0, 0.0, 0.0]], "probabilities_BA"),
        ([[0.5, 0.5]] * 2, [[0.0, 0.0]] * 2, "q_BA[:, 0]"),
    ],
)
def test_a_critic_or_policy_that_does_not_fit_is_named(probabilities, q, field):
    with pytest.raises(ConfigError) as caught:
        counterfactual_advantage(np.array([1.0]), np.array(probabilities), np.array(q))
    assert caught.value.field == field


def test_a_value_is_subtracted_and_never_spread_over_another_length():
    assert value_advantage(np.array([1.0, 0.0]), np.array([0.75, 0.25])).tolist() == [0.25, -0.25]
    with pytest.raises(ConfigError, match="value_B"):
        value_advantage(np.array([1.0, 0.0]), np.array([0.5]))


def test_leave_one_out_compares_with_the_others_of_the_group():
    returns = np.array([1.0, 5.0, 0.0, 0.5, 7.0])
    assert leave_one_out(returns, np.array([3, 9, 3, 3, 8])) == pytest.approx([0.75, 0.0, -0.75, 0.0, 0.0])


@given(GROUPED)
def test_leave_one_out_sums_to_zero_in_every_group(grouped):
    returns, groups = columns(grouped)
    advantage = leave_one_out(returns, groups)
    for group in np.unique(groups):
        assert advantage[groups == group].sum() == pytest.approx(0, abs=1e-9)


@given(GROUPED)
def test_leave_one_out_is_the_centred_return_times_k_over_k_less_one(grouped):
    returns, groups = columns(grouped)
    advantage = leave_one_out(returns, groups)
    for group in np.unique(groups):
        mine = returns[groups == group]
        if len(mine) > 1:
            expected = (mine - mine.mean()) * len(mine) / (len(mine) - 1)
            assert advantage[groups == group] == pytest.approx(expected, abs=1e-9)


def test_shrinkage_weighs_group_and_batch_by_the_variances_within_and_between():
    # Groups (0, 1) and (2, 5): within = (0.5 + 4.5) / 2 = 2.5; between = (9 - 2.5) / 2 = 3.25; w = 2.5 / 5.75.
    returns, groups = np.array([0.0, 1.0, 2.0, 5.0]), np.array([0, 0, 1, 1])
    w = 2.5 / 5.75
    others, batch = np.array([1.0, 0.0, 5.0, 2.0]), np.array([8.0, 7.0, 6.0, 3.0]) / 3
    expected = returns - (1 - w) * others - w * batch
    assert shrinkage_advantage(returns, groups, np.zeros(4)) == pytest.approx(expected)


def test_shrinkage_is_leave_one_out_where_groups_are_unanimous_and_the_batch_where_they_are_alike():
    apart, groups = np.array([1.0, 1.0, 0.0, 0.0]), np.array([0, 0, 1, 1])
    assert shrinkage_advantage(apart, groups, np.zeros(4)).tolist() == [0.0, 0.0, 0.0, 0.0]
    alike = np.array([1.0, 0.0, 1.0, 0.0])
    others_mean = np.array([1.0, 2.0, 1.0, 2.0]) / 3
    assert shrinkage_advantage(alike, groups, np.zeros(4)) == pytest.approx(alike - others_mean)


def test_shrinkage_works_on_what_the_value_leaves_and_keeps_it_for_a_single_sample():
    returns, groups = np.array([0.9, 0.4, 0.2, 0.7]), np.array([0, 0, 1, 1])
    value = np.array([0.5, 0.5, 0.1, 0.1])
    residual = shrinkage_advantage(returns - value, groups, np.zeros(4))
    assert shrinkage_advantage(returns, groups, value) == pytest.approx(residual)
    assert shrinkage_advantage(np.array([0.9]), np.array([7]), np.array([0.5])) == pytest.approx([0.4])


@given(GROUPED, REWARDS)
def test_shrinkage_of_two_or_more_does_not_see_a_shift_of_all_returns(grouped, shift):
    returns, groups = columns([*grouped, (0.3, 0)])
    zero = np.zeros(len(returns))
    moved = shrinkage_advantage(returns, groups, zero + shift)
    assert moved == pytest.approx(shrinkage_advantage(returns, groups, zero), abs=1e-6)


def test_standardisations():
    advantage = np.array([1.0, 3.0])
    assert standardised(advantage, "none").tolist() == [1.0, 3.0]
    assert standardised(advantage, "centre").tolist() == [-1.0, 1.0]
    assert standardised(advantage * 2, "scale").tolist() == [1.0, 3.0]
    assert standardised(advantage * 2, "batch").tolist() == [-1.0, 1.0]


@pytest.mark.parametrize("how", get_args(Standardisation))
def test_a_batch_without_spread_is_not_blown_up(how):
    expected = 0.3 if how in ("none", "scale") else 0.0
    assert standardised(np.full(7, 0.3), how) == pytest.approx([expected] * 7, abs=1e-12)
    assert standardised(np.array([]), how).tolist() == []


@given(npst.arrays(np.float64, 4, elements=st.floats(0.01, 1)), st.floats(0.05, 0.9), st.floats(0.01, 1))
def test_the_critics_q_is_the_expected_on_time_reward(weights, multiplier, w):
    share = weights / weights.sum()
    outcomes = RunOutcomes(
        solved_B=[True, True, False, False], latency_s_B=[1.0, 3.0, 1.0, 3.0], budget_s_B=[2.0] * 4
    )
    expected = share @ on_time(outcomes, np.full(4, multiplier), w=w).total
    q = critic_q(share[:1] + share[1:2], share[:1], share[:1] + share[2:3], multiplier, w)
    assert q == pytest.approx([expected])


def test_the_critics_q_of_all_candidates_uses_each_samples_multiplier():
    solved = np.array([[0.8, 0.5], [0.8, 0.5]])
    both = np.array([[0.6, 0.5], [0.6, 0.5]])
    on_time_share = np.array([[0.7, 1.0], [0.7, 1.0]])
    q = critic_q(solved, both, on_time_share, np.array([0.5, 0.9]))
    assert q == pytest.approx(np.array([[0.695, 0.5], [0.615, 0.5]]))


def test_a_multiplier_per_candidate_is_refused():
    heads = np.full((2, 3), 0.5)
    with pytest.raises(ConfigError, match="multiplier"):
        critic_q(heads, heads, heads, np.full(3, 0.5))


INPUTS = AdvantageInputs(
    return_B=np.array([1.0, 0.0, 0.5]),
    probabilities_BA=np.full((3, 2), 0.5),
    q_BA=np.array([[0.5, 0.7], [0.1, 0.3], [0.5, 0.5]]),
    value_B=np.array([0.5, 0.25, 0.5]),
    group_B=np.array([0, 0, 1]),
)


@pytest.mark.parametrize(
    ("baseline", "expected"),
    [
        ("counterfactual", [0.4, -0.2, 0.0]),
        ("value", [0.5, -0.25, 0.0]),
        ("leave_one_out", [1.0, -1.0, 0.0]),
        ("shrinkage", shrinkage_advantage(INPUTS.return_B, INPUTS.group_B, INPUTS.value_B).tolist()),
    ],
)
def test_a_learner_chooses_its_baseline_by_name(baseline, expected):
    config = AdvantageConfig(baseline=baseline, standardisation="none")
    assert config.advantages(INPUTS) == pytest.approx(expected)


@pytest.mark.parametrize("baseline", get_args(BaselineName))
def test_every_baseline_is_standardised_and_says_what_it_lacks(baseline):
    advantage = AdvantageConfig(baseline=baseline).advantages(INPUTS)
    assert advantage.mean() == pytest.approx(0, abs=1e-12)
    assert advantage.std() == pytest.approx(1)
    with pytest.raises(ConfigError, match=rf"inputs\..*{baseline}"):
        AdvantageConfig(baseline=baseline).advantages(AdvantageInputs(return_B=INPUTS.return_B))


def test_unknown_names_are_refused_with_those_that_exist():
    with pytest.raises(ConfigError, match="counterfactual, value, leave_one_out, shrinkage"):
        AdvantageConfig(baseline="rloo")
    with pytest.raises(ConfigError, match="none, batch, scale, centre"):
        AdvantageConfig(standardisation="std")
    with pytest.raises(ConfigError, match="none, batch, scale, centre"):
        standardised(np.zeros(2), "std")
