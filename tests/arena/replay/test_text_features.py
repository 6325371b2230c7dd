from __future__ import annotations

import numpy as np

from inframind.arena.replay.table import ReplayTable
from inframind.arena.replay.text_features import context_vectors, text_vectors

NAN = float("nan")


def table(*columns: list[float], questions: tuple[str | None, ...] = (None,) * 4) -> ReplayTable:
    """Four questions, one arm, and what was known at dispatch."""
    return ReplayTable(
        name="tiny",
        question_ids=("q0", "q1", "q2", "q3"),
        questions=questions,
        strata=("",) * 4,
        arms=("a",),
        quality=np.ones((4, 1)),
        cost=None,
        seconds=None,
        context=np.array(columns).T.reshape(4, 1, len(columns)),
    )


def test_scales_are_those_of_the_training_questions() -> None:
    vectors = context_vectors(table([1.0, 3.0, 100.0, NAN]), np.array([0, 1]))
    assert vectors.tolist() == [[-1.0], [1.0], [98.0], [0.0]]


def test_what_test_questions_hold_does_not_move_the_training_questions() -> None:
    train = np.array([0, 1])
    one, other = (context_vectors(table([1.0, 3.0, x, 5.0]), train)[train] for x in (7.0, -900.0))
    assert one.tolist() == other.tolist()


def test_a_column_that_only_test_questions_vary_in_keeps_its_unit() -> None:
    assert context_vectors(table([2.0, 2.0, 5.0, 1.0]), np.array([0, 1])).tolist() == [
        [0.0],
        [0.0],
        [3.0],
        [-1.0],
    ]


def test_a_column_that_was_never_recorded_in_training_stays_as_it_is() -> None:
    assert context_vectors(table([NAN, NAN, 5.0, 1.0]), np.array([0, 1])).tolist() == [
        [0.0],
        [0.0],
        [5.0],
        [1.0],
    ]


def test_a_column_of_one_value_is_left_out() -> None:
    assert context_vectors(table([2.0] * 4), np.arange(4)).shape == (4, 0)


def test_texts_are_unit_vectors_and_a_missing_one_is_zero() -> None:
    vectors = text_vectors(table([1.0] * 4, questions=("add two numbers", None, "prove it", "add")))
    assert vectors is not None
    assert np.linalg.norm(vectors, axis=1).round(5).tolist() == [1.0, 0.0, 1.0, 1.0]
    assert text_vectors(table([1.0] * 4)) is None
