import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframind.errors import ConfigError
from inframind.rewards.credit import (
    counterfactual_latency_s,
    critical_path_s,
    latency_credit,
    latency_savings_s,
    next_price,
    priced,
    returns_to_go,
    shaped_rewards,
    shared_return,
)
from inframind.rewards.registry import RewardConfig, reward_named

ON_TIME, LAGRANGIAN = (reward_named(RewardConfig(name=name)) for name in ("on_time", "lagrangian"))

# A debate of two rounds and a judge: 0 and 1 draft, 2 and 3 answer both drafts, 4 judges.
DEBATE = ((), (), (0, 1), (0, 1), (2, 3))
LATENCY = np.array([4.0, 1.0, 2.0, 2.5, 3.0])
POTENTIALS = st.lists(st.floats(0, 1), min_size=1, max_size=12).map(np.array)


@st.composite
def executed_runs(draw):
    steps = draw(st.integers(1, 9))
    latencies = draw(st.lists(st.floats(0, 100), min_size=steps, max_size=steps))
    parents = [draw(st.lists(st.integers(0, step - 1), unique=True)) if step else [] for step in range(steps)]
    return np.array(latencies), parents


def test_every_step_earns_the_return_of_its_run():
    assert shared_return(np.array([1.0, -0.05]), np.array([0, 0, 1, 0])).tolist() == [1.0, 1.0, -0.05, 1.0]


def test_returns_to_go_are_discounted_sums_of_what_follows():
    assert returns_to_go(np.array([1.0, 0.0, 4.0]), 0.5).tolist() == [2.0, 2.0, 4.0]
    assert returns_to_go(np.array([1.0, 0.0, 4.0])).tolist() == [5.0, 4.0, 4.0]
    assert returns_to_go(np.array([])).tolist() == []


def test_shaping_pays_each_step_the_change_that_it_brought_about():
    assert shaped_rewards(np.array([0.25, 0.75, 0.5]), 1.0).tolist() == [0.5, -0.25, 0.5]
    assert shaped_rewards(np.array([0.25, 0.75]), 1.0, gamma=0.5).tolist() == [0.125, 0.25]


@given(POTENTIALS, st.floats(-1, 1), st.floats(0, 1))
def test_shaping_telescopes_so_that_no_path_earns_more_than_its_return_less_the_first_potential(
    potentials, final_return, gamma
):
    total = returns_to_go(shaped_rewards(potentials, final_return, gamma), gamma)[0]
    assert total == pytest.approx(gamma ** (len(potentials) - 1) * final_return - potentials[0], abs=1e-9)


def test_the_critical_path_runs_through_the_slower_sibling_of_each_round():
    assert critical_path_s(LATENCY, DEBATE) == 4.0 + 2.5 + 3.0
    assert critical_path_s(np.array([]), ()) == 0.0
    assert critical_path_s(np.array([2.0, 5.0]), ((), ())) == 5.0


def test_a_step_is_charged_what_the_run_would_have_saved_on_the_reference_choice():
    reference = np.full(5, 1.0)
    assert latency_savings_s(LATENCY, DEBATE, reference).tolist() == [3.0, 0.0, 0.0, 0.5, 2.0]
    assert counterfactual_latency_s(LATENCY, DEBATE, reference).tolist() == [6.5, 9.5, 9.5, 9.0, 7.5]


def test_a_step_faster_than_its_reference_earns_what_it_saved():
    savings = latency_savings_s(LATENCY, DEBATE, np.array([5.0, 6.0, 1.0, 1.0, 1.0]))
    assert savings[:2].tolist() == [-1.0, -2.0]


@given(st.lists(st.floats(0, 100), min_size=1, max_size=9).map(np.array))
def test_in_a_chain_the_savings_sum_to_the_latency(latency):
    chain = [list(range(step)) for step in range(len(latency))]
    savings = latency_savings_s(latency, chain, np.zeros(len(latency)))
    assert savings.sum() == pytest.approx(critical_path_s(latency, chain), abs=1e-9)


@given(executed_runs())
def test_in_any_run_a_step_costs_at_most_its_own_time_and_all_together_at_most_the_latency(run):
    latency, parents = run
    savings = latency_savings_s(latency, parents, np.zeros(len(latency)))
    assert (savings >= 0).all()
    assert (savings <= latency + 1e-9).all()
    assert savings.sum() <= critical_path_s(latency, parents) + 1e-9


@given(executed_runs())
def test_at_its_own_latency_as_reference_no_step_costs_anything(run):
    latency, parents = run
    assert latency_savings_s(latency, parents, latency).tolist() == [0.0] * len(latency)


def test_two_equally_slow_siblings_hide_each_other():
    assert latency_savings_s(np.array([5.0, 5.0, 1.0]), ((), (), (0, 1)), np.zeros(3)).tolist() == [
        0.0,
        0.0,
        1.0,
    ]


def run_credit(reward, *, solved=True, budget_s=10.0, overhead_s=0.0):
    return latency_credit(
        reward,
        solved=solved,
        budget_s=budget_s,
        multiplier=0.5,
        latency_T=LATENCY,
        parents=DEBATE,
        reference_T=np.full(5, 1.0),
        overhead_s=overhead_s,
    )


def test_under_lagrangian_the_latency_credit_is_the_price_of_the_savings():
    assert run_credit(LAGRANGIAN) == pytest.approx(-0.05 * np.array([3.0, 0.0, 0.0, 0.5, 2.0]))


@pytest.mark.parametrize(
    ("budget_s", "solved", "credit"),
    [
        (9.5, True, [0.0, 0.0, 0.0, 0.0, 0.0]),
        (9.0, True, [-0.5, 0.0, 0.0, -0.5, -0.5]),
        (7.0, True, [-0.5, 0.0, 0.0, 0.0, 0.0]),
        (7.0, False, [-0.05, 0.0, 0.0, 0.0, 0.0]),
        (1.0, True, [0.0, 0.0, 0.0, 0.0, 0.0]),
    ],
)
def test_under_on_time_only_steps_without_which_the_deadline_had_been_met_are_blamed(
    budget_s, solved, credit
):
    assert run_credit(ON_TIME, budget_s=budget_s, solved=solved) == pytest.approx(credit, abs=1e-12)


def test_time_outside_of_steps_counts_towards_the_deadline():
    assert run_credit(ON_TIME, budget_s=9.5, overhead_s=1.0) == pytest.approx([-0.5, 0.0, 0.0, 0.0, -0.5])


@pytest.mark.parametrize(
    ("latency", "parents", "reference", "field"),
    [
        ([1.0, 1.0], ((), (1,)), [0.0, 0.0], "parents.1"),
        ([1.0, 1.0], ((), (-1,)), [0.0, 0.0], "parents.1"),
        ([1.0], ((), ()), [0.0], "parents"),
        ([1.0, 1.0], ((), ()), [0.0], "reference_T"),
        ([1.0, np.nan], ((), ()), [0.0, 0.0], "latency_T"),
    ],
)
def test_a_run_that_cannot_have_been_is_refused(latency, parents, reference, field):
    with pytest.raises(ConfigError) as caught:
        latency_savings_s(np.array(latency), parents, np.array(reference))
    assert caught.value.field == field


def test_shaping_needs_a_step_and_a_discount_between_0_and_1():
    with pytest.raises(ConfigError, match="potential_T"):
        shaped_rewards(np.array([]), 1.0)
    with pytest.raises(ConfigError, match="gamma"):
        shaped_rewards(np.array([0.5]), 1.0, gamma=1.1)


def test_a_congestion_charge_is_the_price_of_the_work():
    assert priced(np.array([1.0, 0.0]), np.array([4.0, 2.0]), np.array([0.05, 0.0])).tolist() == [0.8, 0.0]


def test_prices_rise_on_endpoints_above_the_target_and_fall_to_zero_on_idle_ones():
    prices = next_price(np.array([0.1, 0.01, 0.0]), np.array([1.0, 0.3, 0.8]), rate=0.1)
    assert prices == pytest.approx([0.12, 0.0, 0.0])
