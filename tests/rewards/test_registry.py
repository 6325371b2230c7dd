import pickle
import sys
import types

import numpy as np
import pytest

from inframind.errors import ConfigError
from inframind.rewards.breakdown import RewardBreakdown
from inframind.rewards.outcomes import RunOutcomes
from inframind.rewards.registry import RewardConfig, describe_rewards, reward_named

OUTCOMES = RunOutcomes(solved_B=[True, False], latency_s_B=[20.0, 1.0], budget_s_B=[10.0, 10.0])
HALF = np.full(2, 0.5)


def solved_only(outcomes, multiplier_B, *, worth=1.0):
    """Right is worth something, whatever the time."""
    return RewardBreakdown({"solved": worth * outcomes.solved_B})


def needs_a_number(outcomes, multiplier_B, *, worth):
    return solved_only(outcomes, multiplier_B, worth=worth)


@pytest.fixture
def own_module(monkeypatch):
    module = types.ModuleType("a_users_rewards")
    module.solved_only = solved_only
    module.text = "no function"
    monkeypatch.setitem(sys.modules, "a_users_rewards", module)
    return "a_users_rewards"


def test_the_default_is_on_time():
    assert reward_named(RewardConfig())(OUTCOMES, HALF).total.tolist() == [0.5, 0.0]


def test_parameters_reach_the_function():
    reward = reward_named(RewardConfig(name="signed", parameters={"cap": 0.25}))
    assert reward(OUTCOMES, HALF).total.tolist() == [0.75, -1.0]


def test_a_users_own_function_by_entry_in_extra():
    reward = reward_named(RewardConfig(name="mine", parameters={"worth": 3}), {"mine": solved_only})
    assert reward(OUTCOMES, HALF).total.tolist() == [3.0, 0.0]


def test_a_users_own_function_by_module_and_name(own_module):
    reward = reward_named(RewardConfig(name=f"{own_module}:solved_only", parameters={"worth": 2.0}))
    assert reward(OUTCOMES, HALF).total.tolist() == [2.0, 0.0]


def test_a_named_reward_survives_pickling_for_worker_processes():
    reward = pickle.loads(pickle.dumps(reward_named(RewardConfig(parameters={"w": 0.1}))))
    assert reward(OUTCOMES, HALF).total.tolist() == [0.5, 0.0]


@pytest.mark.parametrize(
    ("name", "parameters", "field", "fix"),
    [
        ("ontime", {}, "reward.name", "on_time, additive"),
        ("on_time", {"weight": 1.0}, "reward.parameters.weight", "on_time takes: w"),
        ("on_time", {"w": "0.05"}, "reward.parameters.w", "finite number"),
        ("on_time", {"w": True}, "reward.parameters.w", "finite number"),
        ("on_time", {"w": float("nan")}, "reward.parameters.w", "finite number"),
        ("on_time", {"w": 7.0}, "w", "at most 1"),
        ("needs", {}, "reward.parameters.worth", "needs this number"),
        ("no_such_module_here:f", {}, "reward.name", "importable"),
        ("a_users_rewards:text", {}, "reward.name", "no function 'text'"),
        ("a_users_rewards:", {}, "reward.name", "use one of"),
        ("one_number", {}, "reward.name", "4 numbers per term"),
        ("bare_array", {}, "reward.name", "must return a RewardBreakdown"),
        ("infinite", {}, "terms.solved", "finite"),
    ],
)
def test_a_config_that_cannot_be_is_refused_before_the_first_epoch(own_module, name, parameters, field, fix):
    extra = {
        "needs": needs_a_number,
        "one_number": lambda outcomes, multiplier_B: RewardBreakdown({"all": np.zeros(1)}),
        "bare_array": lambda outcomes, multiplier_B: multiplier_B,
        "infinite": lambda outcomes, multiplier_B: RewardBreakdown(
            {"solved": np.full(len(outcomes), np.inf)}
        ),
    }
    with pytest.raises(ConfigError) as caught:
        reward_named(RewardConfig(name=name, parameters=parameters), extra)
    assert caught.value.field == field
    assert fix in caught.value.fix


def test_an_own_function_may_not_take_a_built_in_name():
    with pytest.raises(ConfigError, match="built-in"):
        reward_named(RewardConfig(), {"on_time": solved_only})


def test_every_described_reward_can_be_named_and_says_what_it_is():
    lines = describe_rewards()
    assert lines.pop("<module>:<function>")
    for name, line in lines.items():
        assert reward_named(RewardConfig(name=name))
        assert line
        assert "\n" not in line
