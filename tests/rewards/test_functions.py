"""Literal values of every reward, and what each promises or is known to get wrong."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inframind.errors import ConfigError
from inframind.rewards.functions import (
    additive,
    effort,
    effort_step,
    lagrangian,
    lagrangian_step,
    on_time,
    signed,
)
from inframind.rewards.multiplier import FixedMultiplier, PidConfig, TieredMultiplier
from inframind.rewards.outcomes import RunOutcomes
from inframind.rewards.registry import RewardConfig, describe_rewards, reward_named

NAMES = [name for name in describe_rewards() if ":" not in name]
BUDGETS_S = st.floats(0.1, 1e4)
SHARES = st.floats(0, 1e6)


def runs(*samples: tuple[bool, float], budget_s: float = 10.0, **more: list[float]) -> RunOutcomes:
    """Samples as (solved, latency in budgets)."""
    solved, shares = zip(*samples, strict=True)
    return RunOutcomes(
        solved_B=list(solved),
        latency_s_B=np.array(shares) * budget_s,
        budget_s_B=np.full(len(samples), budget_s),
        **more,
    )


def at(value: float, outcomes: RunOutcomes) -> np.ndarray:
    return FixedMultiplier(value).of(outcomes.budget_s_B)


CORNERS = runs((True, 0.5), (True, 3.0), (False, 0.5), (False, 3.0))


def test_on_time_is_one_less_the_multiplier_and_zero_less_w():
    reward = on_time(CORNERS, at(0.6, CORNERS))
    assert reward.total == pytest.approx([1.0, 0.4, 0.0, -0.05], abs=1e-15)
    assert {name: term.tolist() for name, term in reward.terms.items()} == {
        "solved": [1.0, 1.0, 0.0, 0.0],
        "late": [0.0, -0.6, 0.0, 0.0],
        "wrong_late": [0.0, 0.0, 0.0, -0.05],
    }


def test_on_time_uses_each_samples_own_multiplier_and_w():
    multiplier_B = np.array([0.9, 0.9, 0.05, 0.05])
    outcomes = runs((True, 2.0), (False, 2.0), (True, 2.0), (False, 1.0))
    assert on_time(outcomes, multiplier_B, w=0.2).total == pytest.approx([0.1, -0.2, 0.95, 0.0])


@given(
    late_share=st.lists(st.floats(0, 1), min_size=1, max_size=12),
    budget_s=BUDGETS_S,
    overrun=st.floats(0, 1e9),
    earlier=st.floats(0, 1),
)
@example(late_share=[1.0] * 12, budget_s=10.0, overrun=1e9, earlier=1.0)
@example(late_share=[0.0] * 12, budget_s=10.0, overrun=0.0, earlier=0.0)
@example(late_share=[1.0, 0.0] * 6, budget_s=30.0, overrun=0.0, earlier=1.0)
def test_every_reachable_multiplier_keeps_right_in_time_then_right_late_then_wrong_in_time_then_wrong_late(
    late_share, budget_s, overrun, earlier
):
    multiplier = TieredMultiplier(config=PidConfig(kd=0.5))
    late_s = max(float(np.nextafter(budget_s, np.inf)), budget_s * (1 + overrun))
    for share in late_share:
        late = np.arange(20) < round(share * 20)
        multiplier.update(
            RunOutcomes(
                solved_B=np.ones(20, dtype=bool),
                latency_s_B=np.where(late, late_s, budget_s),
                budget_s_B=np.full(20, budget_s),
            )
        )
        in_time_s = budget_s * earlier
        outcomes = RunOutcomes(
            solved_B=[True, True, True, False, False, False],
            latency_s_B=[in_time_s, budget_s, late_s, budget_s, in_time_s, late_s],
            budget_s_B=np.full(6, budget_s),
        )
        best, edge, late_right, wrong_edge, wrong, wrong_late = on_time(
            outcomes, multiplier.of(outcomes.budget_s_B)
        ).total
        assert best == edge == 1
        assert best > late_right > wrong == wrong_edge > wrong_late
        assert late_right >= 0.1 - 1e-12
        assert wrong == 0
        assert wrong_late == -0.05


@given(st.lists(st.tuples(st.booleans(), SHARES), min_size=1), st.floats(0.05, 0.9), st.floats(0.01, 1))
def test_on_time_is_bounded_whatever_the_lateness(samples, multiplier, w):
    outcomes = runs(*samples)
    total = on_time(outcomes, at(multiplier, outcomes), w=w).total
    assert (total >= -w).all()
    assert (total <= 1).all()


@pytest.mark.parametrize("multiplier", [0.0, 0.049, 0.901, 1.0, np.nan])
def test_on_time_refuses_a_multiplier_at_which_its_order_does_not_hold(multiplier):
    with pytest.raises(ConfigError, match="multiplier_B"):
        on_time(CORNERS, at(0.5, CORNERS) * 0 + multiplier)


def test_a_multiplier_of_another_length_is_refused_rather_than_spread():
    with pytest.raises(ConfigError, match="multiplier_B"):
        on_time(CORNERS, np.array([0.5]))
    with pytest.raises(ConfigError, match="multiplier_B"):
        lagrangian(CORNERS, np.array([0.5]))


def test_additive_subtracts_the_whole_overrun():
    reward = additive(CORNERS, at(0.5, CORNERS))
    assert reward.total == pytest.approx([1.0, -1.0, 0.0, -2.0])
    assert additive(CORNERS, at(0.5, CORNERS), penalty=0.5).total == pytest.approx([1.0, 0.0, 0.0, -1.0])


@given(st.floats(2.01, 1e6))
def test_additive_ranks_wrong_and_fast_above_right_and_late_which_is_its_collapse(share):
    outcomes = runs((True, share), (False, 0.01))
    right_late, wrong_fast = additive(outcomes, at(0.5, outcomes)).total
    assert wrong_fast > right_late


def test_signed_caps_what_lateness_costs():
    outcomes = runs((True, 0.5), (True, 2.0), (True, 100.0), (False, 0.1), (False, 100.0))
    assert signed(outcomes, at(0.5, outcomes)).total == pytest.approx([1.0, 0.7, 0.5, -1.0, -1.0])


@given(st.lists(SHARES, min_size=1), st.lists(SHARES, min_size=1), st.sampled_from([signed, effort]))
def test_signed_and_effort_rank_every_right_answer_above_every_wrong_one(right, wrong, reward):
    outcomes = runs(*((True, share) for share in right), *((False, share) for share in wrong))
    total = reward(outcomes, at(0.5, outcomes)).total
    assert total[: len(right)].min() > total[len(right) :].max()


def test_signed_does_not_tell_a_melted_fleet_from_a_late_one():
    outcomes = runs((True, 3.0), (True, 1e6))
    late, melted = signed(outcomes, at(0.9, outcomes)).total
    assert late == melted


def test_effort_pays_a_wrong_answer_for_burning_its_budget():
    outcomes = runs((True, 2.0), (False, 0.0), (False, 0.5), (False, 1.0), (False, 9.0))
    assert effort(outcomes, at(0.5, outcomes)).total == pytest.approx([0.7, -1.0, -0.85, -0.7, -0.7])


def test_effort_of_a_step_blends_the_judge_and_the_time_left():
    outcomes = runs(
        *[(True, 1.0)] * 5,
        *[(False, 1.0)] * 2,
        step_latency_s_B=[4.0, 6.0, 90.0, 1.0, 0.0, 1.0, 9.0],
        remaining_s_B=[5.0, 5.0, 5.0, 0.0, -2.0, 5.0, -5.0],
        judge_score_B=[10.0, 5.0, 0.0, 10.0, 10.0, 0.0, 10.0],
    )
    expected = [1.0, 0.8, 0.3, 0.5, 0.5, -1.0, -0.7]
    assert effort_step(outcomes, at(0.5, outcomes)).total == pytest.approx(expected)


def test_effort_of_a_step_never_pays_a_right_answer_less_than_the_floor():
    outcomes = runs((True, 1.0), step_latency_s_B=[90.0], remaining_s_B=[5.0], judge_score_B=[0.0])
    reward = effort_step(outcomes, at(0.5, outcomes), cap=2.0, floor=0.25)
    assert reward.total == pytest.approx([0.25])
    assert reward.terms["late"] == pytest.approx([-0.55])


def test_lagrangian_charges_the_share_of_the_budget_and_the_price():
    outcomes = runs((True, 0.5), (False, 2.0), cost_usd_B=[0.002, 0.001])
    assert lagrangian(outcomes, at(0.2, outcomes)).total == pytest.approx([0.9, -0.4])
    assert lagrangian(outcomes, at(0.2, outcomes), price_per_usd=100).total == pytest.approx([0.7, -0.5])


def test_lagrangian_of_a_step_charges_the_steps_own_latency():
    outcomes = runs((True, 2.0), (True, 2.0), step_latency_s_B=[1.0, 19.0])
    assert lagrangian_step(outcomes, at(0.5, outcomes)).total == pytest.approx([0.95, 0.05])


def test_lagrangian_ranks_wrong_and_fast_above_right_and_late_once_the_price_exceeds_the_answer():
    outcomes = runs((True, 3.0), (False, 0.1))
    right_late, wrong_fast = lagrangian(outcomes, at(0.5, outcomes)).total
    assert wrong_fast > right_late


@pytest.mark.parametrize(
    ("reward", "parameters", "field"),
    [
        (on_time, {"w": 0.0}, "w"),
        (on_time, {"w": 1.5}, "w"),
        (additive, {"penalty": -1.0}, "penalty"),
        (signed, {"cap": 2.5}, "cap"),
        (signed, {"rate": -0.1}, "rate"),
        (effort, {"bonus": 1.6}, "bonus"),
        (effort_step, {"floor": 0.9}, "floor"),
        (effort_step, {}, "outcomes.judge_score_B"),
        (lagrangian, {"price_per_usd": 1.0}, "outcomes.cost_usd_B"),
        (lagrangian_step, {}, "outcomes.step_latency_s_B"),
    ],
)
def test_a_bad_parameter_or_missing_outcome_is_named(reward, parameters, field):
    with pytest.raises(ConfigError) as caught:
        reward(CORNERS, at(0.5, CORNERS), **parameters)
    assert caught.value.field == field


@st.composite
def any_outcomes(draw: st.DrawFn) -> RunOutcomes:
    samples = draw(st.lists(st.tuples(st.booleans(), st.floats(0, 100)), max_size=8))
    size = len(samples)

    def column(values: st.SearchStrategy[float]) -> list[float]:
        return draw(st.lists(values, min_size=size, max_size=size))

    return RunOutcomes(
        solved_B=[solved for solved, _ in samples],
        latency_s_B=[latency for _, latency in samples],
        budget_s_B=column(BUDGETS_S),
        step_latency_s_B=column(st.floats(0, 100)),
        remaining_s_B=column(st.floats(-100, 100).filter(lambda s: not 0 < s < 1e-6)),
        judge_score_B=column(st.floats(0, 10)),
        cost_usd_B=column(st.floats(0, 1)),
    )


@pytest.mark.parametrize("name", NAMES)
@given(outcomes=any_outcomes(), multiplier=st.floats(0.05, 0.9))
def test_every_named_reward_is_pure_pays_each_sample_by_itself_and_never_more_than_one(
    name, outcomes, multiplier
):
    reward = reward_named(RewardConfig(name=name))
    multiplier_B = at(multiplier, outcomes)
    before = outcomes.latency_s_B.copy()
    total = reward(outcomes, multiplier_B).total
    assert total.shape == (len(outcomes),)
    assert (total <= 1 + 1e-12).all()
    assert np.array_equal(outcomes.latency_s_B, before)
    assert np.array_equal(reward(outcomes, multiplier_B).total, total)
    for sample in range(len(outcomes)):
        assert reward(one(outcomes, sample), multiplier_B[:1]).total == pytest.approx([total[sample]])


@pytest.mark.parametrize("name", NAMES)
@given(budget_s=BUDGETS_S, share=st.floats(0, 10))
def test_every_named_reward_prefers_the_right_answer_at_equal_latency(name, budget_s, share):
    outcomes = runs(
        (True, share),
        (False, share),
        budget_s=budget_s,
        step_latency_s_B=[share, share],
        remaining_s_B=[1.0, 1.0],
        judge_score_B=[5.0, 5.0],
    )
    right, wrong = reward_named(RewardConfig(name=name))(outcomes, at(0.5, outcomes)).total
    assert right > wrong


def one(outcomes: RunOutcomes, sample: int) -> RunOutcomes:
    only = slice(sample, sample + 1)
    return RunOutcomes(
        solved_B=outcomes.solved_B[only],
        latency_s_B=outcomes.latency_s_B[only],
        budget_s_B=outcomes.budget_s_B[only],
        step_latency_s_B=outcomes.step_latency_s_B[only],
        remaining_s_B=outcomes.remaining_s_B[only],
        judge_score_B=outcomes.judge_score_B[only],
        cost_usd_B=outcomes.cost_usd_B[only],
    )
