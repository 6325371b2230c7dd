import numpy as np
import pytest

from inframind.errors import ConfigError
from inframind.rewards.breakdown import RewardBreakdown
from inframind.rewards.outcomes import RunOutcomes

VALID = {"solved_B": [True, False], "latency_s_B": [3.0, 9.0], "budget_s_B": [5.0, 5.0]}


def test_a_run_that_takes_exactly_its_budget_is_in_time():
    outcomes = RunOutcomes(
        solved_B=[True] * 3, latency_s_B=[4.9, 5.0, np.nextafter(5.0, 6.0)], budget_s_B=[5.0] * 3
    )
    assert outcomes.is_late_B.tolist() == [False, False, True]


def test_sequences_become_arrays_of_one_length():
    outcomes = RunOutcomes(**VALID, judge_score_B=[0, 10])
    assert len(outcomes) == 2
    assert outcomes.judge_score_B.dtype == np.float64


def test_an_empty_batch_is_allowed():
    assert len(RunOutcomes(solved_B=[], latency_s_B=[], budget_s_B=[])) == 0


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"latency_s_B": [3.0]}, "latency_s_B"),
        ({"budget_s_B": [5.0, 0.0]}, "budget_s_B"),
        ({"budget_s_B": [5.0, np.nan]}, "budget_s_B"),
        ({"latency_s_B": [-1.0, 2.0]}, "latency_s_B"),
        ({"latency_s_B": [np.inf, 2.0]}, "latency_s_B"),
        ({"solved_B": [1.0, 0.0]}, "solved_B"),
        ({"solved_B": [[True], [False]]}, "solved_B"),
        ({"step_latency_s_B": [1.0, -1.0]}, "step_latency_s_B"),
        ({"judge_score_B": [5.0, 10.5]}, "judge_score_B"),
        ({"cost_usd_B": [0.1, -0.1]}, "cost_usd_B"),
        ({"remaining_s_B": [[1.0, 2.0]]}, "remaining_s_B"),
    ],
)
def test_an_outcome_that_cannot_be_names_its_field(changes, field):
    with pytest.raises(ConfigError) as caught:
        RunOutcomes(**{**VALID, **changes})
    assert caught.value.field == field


def test_remaining_time_may_be_negative():
    assert RunOutcomes(**VALID, remaining_s_B=[-3.0, 0.0]).remaining_s_B.tolist() == [-3.0, 0.0]


def test_the_total_is_the_sum_of_the_terms_and_the_terms_stay_readable():
    breakdown = RewardBreakdown({"solved": np.array([1.0, 0.0]), "late": np.array([-0.5, -0.25])})
    assert breakdown.total.tolist() == [0.5, -0.25]
    assert breakdown.means() == {"solved": 0.5, "late": -0.375}


@pytest.mark.parametrize(
    "terms",
    [{}, {"a": np.zeros(2), "b": np.zeros(3)}, {"a": np.array([np.nan])}, {"a": np.zeros((2, 2))}],
)
def test_a_breakdown_without_sound_terms_is_refused(terms):
    with pytest.raises(ConfigError):
        RewardBreakdown(terms)
