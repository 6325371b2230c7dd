"""Beliefs about offsets: one update by hand, what moves with what, forgetting and bounds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inframind.errors import ConfigError
from inframind.router.actions import ExecutorAction
from inframind.router.online.belief import SHARED, OffsetBelief
from inframind.router.online.config import BeliefConfig

BEST, OTHER = ExecutorAction("a", "Plain"), ExecutorAction("b", "Plain")
UNBOUNDED = {"largest_step": 4.0}


def belief(**values: float) -> OffsetBelief:
    made = OffsetBelief(BeliefConfig(**values))
    for action in (BEST, OTHER):
        made.meet(action, is_new=False)
    return made


def learn(made: OffsetBelief, action: ExecutorAction, solved: float, logit: float = 1.0) -> float:
    made.forget()
    return made.update(made.direction({action: 1.0}), logit, solved, 1.0)


def taught(made: OffsetBelief, shares: dict[ExecutorAction, float], n: int = 300) -> OffsetBelief:
    """Labels in turn, as often right as their mean says."""
    rng = np.random.default_rng(0)
    for _ in range(n):
        for action, share in shares.items():
            learn(made, action, float(rng.random() < share))
    return made


def test_one_label_moves_each_component_by_its_share_of_the_variance() -> None:
    made = belief(shared_spread=0.6, model_spread=0.5, action_spread=0.3, **UNBOUNDED)
    variance = 0.36 + 0.25 + 0.09
    expected = 1.0

    made.update(made.direction({BEST: 1.0}), expected, 0.0, 1.0)

    # The posterior's mode along the run's direction: eta - 1 = variance * (0 - sigmoid(eta)).
    low, high = -2.0, 1.0
    for _ in range(200):
        eta = (low + high) / 2
        low, high = (low, eta) if eta - expected + variance / (1 + math.exp(-eta)) > 0 else (eta, high)
    moved = eta - expected
    assert made.shared == pytest.approx(moved * 0.36 / variance)
    assert made.logit(BEST) == pytest.approx(moved * 0.34 / variance)
    assert made.logit(OTHER) == 0.0


def test_one_label_narrows_the_run_s_direction_by_what_a_coin_of_its_odds_tells() -> None:
    made = belief(shared_spread=0.6, model_spread=0.5, action_spread=0.3, **UNBOUNDED)
    direction = made.direction({BEST: 1.0})

    made.update(direction, 1.0, 0.0, 1.0)

    eta = 1.0 + made.mean_of(direction)
    share = 1 / (1 + math.exp(-eta))
    certainty = share * (1 - share)
    expected = 0.34 - 0.34**2 * certainty / (1 + certainty * 0.70)
    assert made.spread(BEST) ** 2 == pytest.approx(expected)
    assert made.spread(OTHER) ** 2 == pytest.approx(0.34)


def test_half_a_weight_moves_less_than_a_whole_one() -> None:
    whole, half = belief(), belief()
    whole.update(whole.direction({BEST: 1.0}), 1.0, 0.0, 1.0)
    half.update(half.direction({BEST: 1.0}), 1.0, 0.0, 0.5)
    assert whole.logit(BEST) < half.logit(BEST) < 0.0


def test_the_surprise_is_how_far_the_label_was_from_what_was_expected() -> None:
    made = belief(shared_spread=1e-6, model_spread=1e-6, action_spread=1e-6)
    surprise = made.update(made.direction({BEST: 1.0}), math.log(4.0), 0.0, 1.0)
    assert surprise == pytest.approx(-0.8 / math.sqrt(0.16))


def test_the_model_that_fails_falls_and_the_others_do_not() -> None:
    made = belief()
    others = [ExecutorAction(model, "Plain") for model in "cdef"]
    for action in others:
        made.meet(action, is_new=False)
    taught(made, {BEST: 0.4, OTHER: 0.731} | dict.fromkeys(others, 0.731))
    assert made.logit(BEST) < -1.0
    assert all(-0.3 < made.logit(action) < 0.5 for action in (OTHER, *others))


def test_when_all_fail_alike_what_they_share_moves_and_their_difference_does_not() -> None:
    made = taught(belief(), {BEST: 0.5, OTHER: 0.5})
    assert made.shared < -0.4
    assert abs(made.logit(BEST) - made.logit(OTHER)) < 0.3


def test_what_is_not_heard_of_becomes_as_uncertain_as_it_may_and_no_more() -> None:
    made = belief(forgetting=0.02)
    taught(made, {BEST: 0.9})
    assert made.spread(OTHER) == pytest.approx(math.hypot(0.5, 0.25), rel=2e-3)


def test_a_call_s_share_of_a_run_is_its_share_of_the_credit() -> None:
    made = belief()
    made.update(made.direction({BEST: 0.75, OTHER: 0.25}), 1.0, 0.0, 1.0)
    assert made.logit(BEST) == pytest.approx(3 * made.logit(OTHER))


def test_a_changed_component_is_believed_less_and_the_others_as_much() -> None:
    made = belief()
    other = made.spread(OTHER)
    before = made.spread(BEST)
    made.widen((BEST.model, ""), 1.0)
    assert made.spread(BEST) == pytest.approx(math.hypot(before, 1.0))
    assert made.spread(OTHER) == other


def test_it_goes_on_from_its_state_as_if_nothing_had_been() -> None:
    made = taught(belief(), {BEST: 0.3, OTHER: 0.6}, n=20)
    again = OffsetBelief.restored(BeliefConfig(), *made.state())
    for one in (made, again):
        learn(one, BEST, 1.0)
    assert again.components == made.components
    assert again.components[0] == SHARED
    assert again.logit(BEST) == made.logit(BEST)
    assert again.spread(OTHER) == made.spread(OTHER)


@settings(max_examples=40, deadline=None)
@given(
    labels=st.lists(st.tuples(st.booleans(), st.booleans(), st.floats(-8, 8)), min_size=1, max_size=60),
    largest_step=st.floats(0.05, 1.0),
)
def test_no_run_moves_its_odds_beyond_the_bound_and_no_offset_leaves_its_own(
    labels: list[tuple[bool, bool, float]], largest_step: float
) -> None:
    made = belief(largest_step=largest_step, largest=2.0)
    for is_best, solved, logit in labels:
        action = BEST if is_best else OTHER
        direction = made.direction({action: 1.0})
        before = made.mean_of(direction)
        surprise = learn(made, action, float(solved), logit)
        assert math.isfinite(surprise)
        assert abs(made.mean_of(direction) - before) <= largest_step + 1e-9
        assert abs(made.logit(BEST)) <= 2.0
        assert made.spread(action) > 0.0


@pytest.mark.parametrize(
    "values",
    [
        {"model_spread": 0.0},
        {"forgetting": 1.0},
        {"largest_step": 5.0},
        {"caution": -0.1},
        {"model_spread": 2.0},
        {"action_spread": 1.0},
    ],
)
def test_contradictory_beliefs_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="belief"):
        BeliefConfig(**values)
