from __future__ import annotations

import numpy as np

from inframind.router.replies import NOT_SEEN, UNREADABLE, Replies, ReplyScale

NAN = float("nan")


def replies() -> Replies:
    tokens = np.expm1(np.array([[1.0, 5.0, 2.0], [3.0, 5.0, NAN]]))
    return Replies(amounts={"tokens": tokens}, answers=np.array([[4, 4, 4], [1, UNREADABLE, UNREADABLE]]))


def test_amounts_are_in_units_of_what_is_usual_for_the_arm() -> None:
    columns = ReplyScale.of(replies()).columns(replies(), (0,), 2)

    assert columns[:, 0].tolist() == [-1.0, 1.0]


def test_an_amount_that_never_differs_or_was_not_recorded_says_nothing() -> None:
    columns = ReplyScale.of(replies()).columns(replies(), (1, 2), 2)

    assert columns[:, :2].tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_answers_agree_when_they_are_the_same_and_readable() -> None:
    columns = ReplyScale.of(replies()).columns(replies(), (0, 1, 2), 2)

    unreadable, pairs, everyone = columns[:, 3:6], columns[:, 6:9], columns[:, 9]
    assert unreadable.tolist() == [[0.0, 0.0, 0.0], [0.0, 1.0, 1.0]]
    assert pairs.tolist() == [[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]
    assert everyone.tolist() == [1.0, 0.0]


def test_an_arm_that_was_not_called_is_not_looked_at() -> None:
    scale, seen = ReplyScale.of(replies()), replies().unseen()
    seen.amounts["tokens"][:, 0] = replies().amounts["tokens"][:, 0]

    told = scale.columns(seen, (0,), 2)

    assert told[:, 0].tolist() == [-1.0, 1.0]
    assert seen.answers is not None
    assert (seen.answers == NOT_SEEN).all()


def test_where_nothing_is_recorded_of_replies_there_are_no_columns() -> None:
    nothing = Replies(amounts={})

    assert ReplyScale.of(nothing).columns(nothing, (0, 1), 3).shape == (3, 0)
