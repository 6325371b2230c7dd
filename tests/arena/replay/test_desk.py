from __future__ import annotations

import numpy as np
import pytest

from inframind.arena.replay.desk import Desk
from inframind.router.replies import NOT_SEEN, Replies


def desk(n_knobs: int = 2) -> Desk:
    tokens = np.array([[10.0, 20.0], [30.0, np.nan], [50.0, 60.0]])
    answers = np.array([[0, 1], [0, NOT_SEEN], [2, 2]])
    allowed = np.array([[True, True], [True, False], [True, True]])
    return Desk(n_knobs, Replies(amounts={"tokens": tokens}, answers=answers), allowed)


def test_a_reply_is_seen_once_it_is_paid_for() -> None:
    counter = desk()
    seen = counter.unseen()
    assert np.isnan(seen.amounts["tokens"]).all()

    counter.buy(0, np.array([0, 2]), 1, seen)

    assert seen.amounts["tokens"][[0, 2], 1].tolist() == [20.0, 60.0]
    assert np.isnan(seen.amounts["tokens"]).sum() == 4
    assert seen.answers is not None
    assert seen.answers.tolist() == [[NOT_SEEN, 1], [NOT_SEEN, NOT_SEEN], [NOT_SEEN, 2]]


def test_every_knob_setting_pays_for_all_that_it_asked() -> None:
    counter = desk()
    seen = counter.unseen()
    counter.buy(0, np.array([0, 1]), 0, seen)
    counter.buy(0, np.array([0]), 1, seen)
    counter.buy(1, np.array([0]), 0, counter.unseen())

    total = counter.total(np.array([[1.0, 5.0], [2.0, np.nan], [3.0, 7.0]]))

    assert total.tolist() == [[6.0, 2.0, 0.0], [1.0, 0.0, 0.0]]
    assert counter.total(None).tolist() == [[0.0] * 3] * 2


def test_choices_without_a_look_are_paid_for_as_well() -> None:
    counter = desk(1)

    counter.buy_chosen(np.array([[1, -1, 0]]))

    assert counter.bought[0].tolist() == [[False, True], [False, False], [True, False]]


def test_what_is_not_recorded_cannot_be_bought() -> None:
    counter = desk()

    with pytest.raises(ValueError, match="arm 1 is not recorded"):
        counter.buy(0, np.array([1]), 1, counter.unseen())


def test_an_arm_is_not_asked_twice() -> None:
    counter = desk()
    counter.buy(0, np.array([0]), 1, counter.unseen())

    with pytest.raises(ValueError, match="arm 1 was asked before"):
        counter.buy(0, np.array([0]), 1, counter.unseen())
