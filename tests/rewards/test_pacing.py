import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframind.errors import ConfigError
from inframind.rewards.pacing import PacingObservation, PacingRewardConfig, RewardComputer, improvement

COMPUTER = RewardComputer(PacingRewardConfig(improvement_range=10.0))
FITNESS = st.floats(-1e6, 1e6)


@pytest.mark.parametrize(
    ("action", "stagnation", "total"),
    [
        ("STAY", 0.0, 0.24),
        ("STAY", 1.0, 0.24),
        ("ADVANCE", 1.0, 0.75),
        ("ADVANCE", 0.81, 0.75),
        ("ADVANCE", 0.8, -0.25),
        ("ADVANCE", 0.0, -0.25),
    ],
)
def test_the_reward_is_the_improvement_and_a_term_for_the_action(action, stagnation, total):
    gained = COMPUTER.improvement(previous_best=7.5, current_best=5.0)
    reward = COMPUTER.compute(action, gained, PacingObservation(stagnation=stagnation))
    assert reward.terms["improvement"] == 0.25
    assert reward.total == pytest.approx(total)


def test_getting_worse_is_no_improvement_and_no_punishment():
    assert improvement(3.0, 4.0, 10.0) == 0.0
    assert improvement(4.0, 3.0, 10.0) == 0.1
    assert improvement(4.0, 3.0) == 1.0


@given(st.lists(FITNESS, min_size=1), st.floats(0.1, 1e3))
def test_improvements_of_the_best_so_far_sum_to_first_less_best(fitness, spread):
    best = [min(fitness[: round + 1]) for round in range(len(fitness))]
    gained = sum(improvement(before, after, spread) for before, after in itertools.pairwise(best))
    assert gained * spread == pytest.approx(fitness[0] - min(fitness), abs=1e-6)


@given(st.floats(0, 1), st.floats(0, 1))
def test_on_a_stagnated_phase_advancing_beats_staying_and_on_a_productive_one_it_does_not(gained, stagnation):
    observation = PacingObservation(stagnation=stagnation)
    stay = COMPUTER.compute("STAY", gained, observation).total
    advance = COMPUTER.compute("ADVANCE", gained, observation).total
    assert (advance > stay) == (stagnation > 0.8)
    assert min(stay, advance) >= -0.5
    assert max(stay, advance) <= 1.5


def test_every_constant_can_be_set():
    config = PacingRewardConfig(
        stay_cost=0.2,
        advance_bonus=2.0,
        advance_penalty=-3.0,
        stagnation_threshold=0.5,
        improvement_range=4.0,
    )
    computer = RewardComputer(config)
    assert computer.compute("STAY", 0.0, PacingObservation(stagnation=0.6)).total == -0.2
    assert computer.compute("ADVANCE", 0.0, PacingObservation(stagnation=0.6)).total == 2.0
    assert computer.compute("ADVANCE", 0.0, PacingObservation(stagnation=0.5)).total == -3.0
    assert computer.improvement(3.0, 1.0) == 0.5


@pytest.mark.parametrize(
    "constants",
    [
        {"stay_cost": -0.01},
        {"advance_bonus": -0.5},
        {"advance_penalty": 0.5},
        {"stagnation_threshold": 1.1},
        {"improvement_range": 0.0},
        {"improvement_range": float("inf")},
    ],
)
def test_constants_of_the_wrong_sign_or_range_are_refused(constants):
    with pytest.raises(ConfigError):
        PacingRewardConfig(**constants)


def test_an_unknown_action_a_negative_improvement_and_an_impossible_stagnation_are_refused():
    still = PacingObservation(stagnation=0.5)
    with pytest.raises(ConfigError, match="STAY, ADVANCE"):
        COMPUTER.compute("LEAVE", 0.0, still)
    with pytest.raises(ConfigError, match="improvement"):
        COMPUTER.compute("STAY", -0.1, still)
    with pytest.raises(ConfigError, match="stagnation"):
        PacingObservation(stagnation=1.2)
