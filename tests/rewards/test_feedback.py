import numpy as np
import pytest

from inframind.errors import ConfigError
from inframind.rewards.feedback import ProcessOutcomes, RecommendationOutcomes, outcome, process


def test_recommendations_are_paid_by_verdict_effect_and_form():
    outcomes = RecommendationOutcomes(
        accepted_B=[True, False, False, True],
        rejected_B=[False, True, False, False],
        reliability_improved_B=[True, False, False, False],
        well_formed_B=[True, True, True, False],
    )
    assert outcome(outcomes).total == pytest.approx([1.6, -0.9, 0.1, 1.0])
    assert outcome(outcomes, rejected=-2.0).terms["rejected"].tolist() == [0.0, -2.0, 0.0, 0.0]


def test_steps_are_paid_by_tools_configuration_and_reliability():
    outcomes = ProcessOutcomes(
        tool_timeouts_B=[2, 0, 0],
        tool_successes_B=[1, 20, 0],
        config_applied_B=[False, False, True],
        reliability_delta_B=[0.0, 0.0, -0.25],
    )
    assert process(outcomes).total == pytest.approx([-0.15, 1.0, 0.75])


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"accepted_B": [True], "rejected_B": [True]}, "rejected_B"),
        ({"well_formed_B": [True, False]}, "well_formed_B"),
        ({"accepted_B": [1]}, "accepted_B"),
    ],
)
def test_recommendations_that_cannot_be_name_their_field(changes, field):
    flag = {name: [False] for name in ("accepted_B", "rejected_B", "reliability_improved_B", "well_formed_B")}
    with pytest.raises(ConfigError) as caught:
        RecommendationOutcomes(**{**flag, **changes})
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tool_timeouts_B", [-1]),
        ("tool_successes_B", [-2]),
        ("reliability_delta_B", [1.5]),
        ("reliability_delta_B", [-1.5]),
        ("reliability_delta_B", [np.nan]),
        ("config_applied_B", [True, True]),
    ],
)
def test_steps_that_cannot_be_name_their_field(field, value):
    valid = {
        "tool_timeouts_B": [0],
        "tool_successes_B": [0],
        "config_applied_B": [False],
        "reliability_delta_B": [0.0],
    }
    with pytest.raises(ConfigError) as caught:
        ProcessOutcomes(**{**valid, field: value})
    assert caught.value.field == field


def test_an_empty_batch_has_no_rewards():
    empty = ProcessOutcomes(
        tool_timeouts_B=[], tool_successes_B=[], config_applied_B=[], reliability_delta_B=[]
    )
    assert process(empty).total.tolist() == []
