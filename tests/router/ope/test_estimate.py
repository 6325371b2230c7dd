"""From contributions to intervals: clusters, weights, refusals, differences, and how often intervals miss."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from inframind.errors import ConfigError
from inframind.router.ope.batch import LoggedDecisions
from inframind.router.ope.estimate import Estimate, NoSupport, SupportRule, by_run, difference
from inframind.router.ope.methods import METHODS, estimate

ANYTHING = SupportRule(least_effective_size=0, most_unsupported=1)


def test_decisions_of_one_run_are_one_observation() -> None:
    ones = np.ones(4)
    contribution_R, run_R = by_run(np.array([1.0, 0.0, 1.0, 0.0]), np.array([3, 3, 8, 8]), ones)
    assert run_R.tolist() == [3, 8]
    assert contribution_R.tolist() == [0.5, 0.5]


def test_the_mean_is_that_of_decisions_and_its_error_that_of_the_quotient() -> None:
    # Sums 2 and 0 of 2 and 1 decisions: V = 2/3, influences (2 - 4/3) / 1.5 and (0 - 2/3) / 1.5.
    contribution_R, _ = by_run(np.array([1.0, 1.0, 0.0]), np.array([0, 0, 1]), np.ones(3))
    assert contribution_R == pytest.approx([2 / 3 + 4 / 9, 2 / 3 - 4 / 9])


def test_weights_count_as_copies_do() -> None:
    weighted, _ = by_run(np.array([1.0, 0.0]), np.array([0, 1]), np.array([3.0, 1.0]))
    assert weighted.mean() == pytest.approx(0.75)


def test_labels_that_come_seldom_for_failures_are_made_up_for() -> None:
    """Half of 1,000 runs fail; a failure is labelled with probability 1/4."""
    reward = np.array([1.0] * 500 + [0.0] * 125)
    probability = np.where(reward > 0, 1.0, 0.25)
    contribution_R, _ = by_run(reward, np.arange(625), 1 / probability)
    assert contribution_R.mean() == pytest.approx(0.5)


def test_nothing_that_counts_is_refused() -> None:
    with pytest.raises(ConfigError, match="counts"):
        by_run(np.ones(2), np.arange(2), np.zeros(2))


def test_too_small_an_effective_sample_is_no_support(make_batch: Any) -> None:
    n = 150
    batch = make_batch(
        reward_N=np.ones(n),
        chosen_N=np.arange(n) % 10 == 0,
        logging_NA=np.tile([0.9, 0.1], (n, 1)),
        target_NA=np.tile([0.05, 0.95], (n, 1)),
    )
    found = estimate(batch, "ips")
    assert isinstance(found, NoSupport)
    assert found.effective_size < 100 and "effective sample size 1" in found.reason
    assert isinstance(estimate(batch, "ips", rule=SupportRule(least_effective_size=10)), Estimate)


def test_probability_on_what_was_never_done_is_no_support(make_batch: Any) -> None:
    n = 400
    batch = make_batch(
        reward_N=np.ones(n),
        chosen_N=np.zeros(n),
        logging_NA=np.tile([1.0, 0.0], (n, 1)),
        target_NA=np.tile([0.95, 0.05], (n, 1)),
    )
    found = estimate(batch, "snips")
    assert isinstance(found, NoSupport)
    assert found.unsupported == pytest.approx(0.05) and "5.0%" in found.reason
    assert isinstance(estimate(batch, "snips", rule=SupportRule(most_unsupported=0.1)), Estimate)


@pytest.mark.parametrize(("field", "value"), [("least_effective_size", -1.0), ("most_unsupported", 2.0)])
def test_rules_that_make_no_sense_are_refused(field: str, value: float) -> None:
    with pytest.raises(ConfigError, match=field):
        SupportRule(**{field: value})


def test_a_difference_is_taken_run_by_run(make_random_batch: Any) -> None:
    batch = make_random_batch(1, n=400)
    new, old = (estimate(one, "dr", rule=ANYTHING) for one in (batch, batch.on_policy()))
    assert isinstance(new, Estimate) and isinstance(old, Estimate)
    gap = difference(new, old)
    assert gap.value == pytest.approx(new.value - old.value)
    assert gap.method == "dr" and gap.effective_size == new.effective_size
    assert difference(new, new).standard_error == 0
    few = estimate(make_random_batch(1, n=20), "dr", rule=ANYTHING)
    assert isinstance(few, Estimate)
    with pytest.raises(ConfigError, match="same runs"):
        difference(new, few)


def test_looking_all_the_time_costs_width(make_random_batch: Any) -> None:
    found = estimate(make_random_batch(2, n=400), "dr", rule=ANYTHING)
    assert isinstance(found, Estimate)
    assert found.value in found.interval()
    assert found.running_interval().width > found.interval().width > found.interval(delta=0.2).width


# Against a world whose truth is known


TASTE = np.random.default_rng(11).normal(size=(3, 4))


def chances(x_ND: np.ndarray) -> np.ndarray:
    """Of success, by candidate (N, A)."""
    return 1 / (1 + np.exp(-(x_ND @ TASTE + 1.2)))


def policy(x_ND: np.ndarray, sharpness: float, floor: float) -> np.ndarray:
    score = np.exp(sharpness * (x_ND @ TASTE))
    return (1 - floor) * score / score.sum(axis=1, keepdims=True) + floor / 4


def world(seed: int, n: int) -> LoggedDecisions:
    """Success of four candidates in a context of three numbers; the model is the truth, a little off."""
    rng = np.random.default_rng(seed)
    x_ND = rng.normal(size=(n, 3))
    logging = policy(x_ND, 0.3, 0.2)
    chosen = (logging.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    return LoggedDecisions(
        reward_N=(rng.random(n) < chances(x_ND)[np.arange(n), chosen]).astype(np.float64),
        chosen_N=chosen,
        logging_NA=logging,
        target_NA=policy(x_ND, 1.0, 0.05),
        run_N=np.arange(n),
        q_NA=np.clip(chances(x_ND) + 0.1, 0, 1),
    )


def test_intervals_cover_the_truth_as_often_as_they_say_and_a_model_halves_the_error() -> None:
    many = np.random.default_rng(0).normal(size=(200_000, 3))
    truth = float((policy(many, 1.0, 0.05) * chances(many)).sum(axis=1).mean())
    error: dict[str, list[float]] = {method: [] for method in METHODS}
    covered: dict[str, list[bool]] = {method: [] for method in METHODS}
    for seed in range(150):
        batch = world(seed, 600)
        for method in METHODS:
            found = estimate(batch, method)
            assert isinstance(found, Estimate)
            error[method].append(abs(found.value - truth))
            covered[method].append(truth in found.interval())
    for method in ("ips", "snips", "dr", "switch_dr", "shrunk_dr"):
        assert 0.9 < np.mean(covered[method]) < 0.99, method
    assert np.mean(error["dr"]) < 0.6 * np.mean(error["ips"])
