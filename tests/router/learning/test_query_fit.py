"""Fitting the reader of questions on graded single calls whose truth is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from inframind.errors import ConfigError
from inframind.router.encoder import HashingEncoder
from inframind.router.learning.query_fit import QueryFitConfig, cross_fitted, fit_query_model
from inframind.router.query_model import QueryModel

LABELS = ("small/Plain", "large/Plain")
NOUNS = ("apples", "trains", "coins", "tiles", "boats", "lamps", "cards", "birds")
ENCODER = HashingEncoder(dimension=64)
CONFIG = QueryFitConfig(steps=120)


def questions(n: int = 96) -> list[str]:
    """Every second one holds the word that makes it hard."""
    return [
        f"How many {NOUNS[place % 8]} are {'inscribed' if place % 2 else 'left'} after {place // 8} days?"
        for place in range(n)
    ]


def grid(asked: list[str], *, hard_tokens: int = 400, seed: int = 1) -> dict[str, Any]:
    """The small model fails on hard questions nine times in ten, the large one every second time."""
    hard = np.array(["inscribed" in text for text in asked])
    shares = np.where(hard[:, None], [[0.1, 0.5]], [[0.8, 0.95]])
    tokens = np.where(hard, hard_tokens, 100)[:, None] * np.array([[1, 2]])
    return {
        "questions": asked,
        "labels": LABELS,
        "solved": np.random.default_rng(seed).random(shares.shape) < shares,
        "output_tokens": tokens.astype(np.int64),
        "encoder": ENCODER,
        "config": CONFIG,
    }


@pytest.fixture(scope="module")
def fitted() -> QueryModel:
    return fit_query_model(**grid(questions()))


def test_questions_that_were_never_seen_are_ordered_by_the_word_that_makes_them_hard(
    fitted: QueryModel,
) -> None:
    for noun in ("frogs", "plums", "stars"):
        hard = fitted.read(f"How many {noun} are inscribed after 99 days?")
        easy = fitted.read(f"How many {noun} are left after 99 days?")
        assert hard.difficulty > easy.difficulty + 0.5
        assert hard.typical_logit < easy.typical_logit


def test_difficulty_is_in_standard_deviations_from_a_typical_question(fitted: QueryModel) -> None:
    difficulty = [fitted.read(question).difficulty for question in questions()]
    assert (np.mean(difficulty), np.std(difficulty)) == pytest.approx((0.0, 1.0), abs=1e-9)


def test_the_better_model_has_the_greater_ability_and_both_fail_with_difficulty(fitted: QueryModel) -> None:
    assert fitted.weights is not None
    assert fitted.weights.abilities["large/Plain"] > fitted.weights.abilities["small/Plain"] + 0.5
    assert min(fitted.weights.discriminations.values()) > 0.3


@pytest.mark.parametrize(("hard_tokens", "sign"), [(400, 1), (100, 0), (25, -1)])
def test_the_length_slope_has_the_sign_of_what_hard_questions_do_to_answers(
    hard_tokens: int, sign: int
) -> None:
    model = fit_query_model(**grid(questions(), hard_tokens=hard_tokens))
    assert model.weights is not None
    assert np.sign(round(model.weights.length_slope, 9)) == sign
    hard = model.read("How many coins are inscribed after 99 days?")
    assert np.sign(round(hard.log_length, 9)) == sign


@pytest.mark.parametrize("fit", [fit_query_model, lambda **grid: cross_fitted(**grid, seed=4, folds=3)])
def test_the_same_calls_give_the_same_weights(fit: Callable[..., QueryModel]) -> None:
    asked = questions(24)
    one, other = fit(**grid(asked)), fit(**grid(asked))
    assert one.weights is not None and other.weights is not None
    assert (one.weights.difficulty == other.weights.difficulty).all()
    assert one.weights.abilities == other.weights.abilities
    assert [one.read(text) for text in asked] == [other.read(text) for text in asked]


def test_a_question_is_read_by_a_model_that_was_not_fitted_on_it() -> None:
    """What one question's own answers say of it must not show in how it is read, but in how others are."""
    asked = questions(48)
    given = grid(asked)
    flipped = {**given, "solved": given["solved"].copy()}
    flipped["solved"][7] = ~flipped["solved"][7]
    one, other = (cross_fitted(**data, seed=4, folds=4) for data in (given, flipped))
    assert one.read(asked[7]) == other.read(asked[7])
    assert fit_query_model(**given).read(asked[7]) != fit_query_model(**flipped).read(asked[7])
    new = "How many coins are inscribed after 99 days?"
    assert one.read(new) != other.read(new)
    assert sum(one.read(text) != other.read(text) for text in asked) == 36


def test_the_copy_of_a_question_tells_no_more_of_it_than_the_question() -> None:
    asked = [*questions(48), questions(48)[7]]
    given = grid(asked)
    flipped = {**given, "solved": given["solved"].copy()}
    flipped["solved"][-1] = ~flipped["solved"][-1]
    one, other = (cross_fitted(**data, seed=4, folds=4) for data in (given, flipped))
    assert one.read(asked[7]) == other.read(asked[7])


def test_new_questions_are_read_by_the_model_of_all() -> None:
    given = grid(questions(48))
    whole, crossed = fit_query_model(**given), cross_fitted(**given, seed=4, folds=4)
    new = "How many coins are inscribed after 99 days?"
    assert crossed.read(new) == whole.read(new)
    assert crossed.read(given["questions"][0]) != whole.read(given["questions"][0])


def test_questions_that_all_models_solve_give_a_finite_model() -> None:
    given = grid(questions(16))
    model = fit_query_model(**{**given, "solved": np.ones((16, 2), dtype=bool)})
    read = model.read("anything")
    assert np.isfinite([read.difficulty, read.log_length, read.typical_logit]).all()
    assert read.typical_logit > 1.0


@pytest.mark.parametrize(
    "values",
    [
        {"questions": []},
        {"labels": ("small/Plain",)},
        {"solved": np.ones((3, 2), dtype=bool)},
        {"output_tokens": np.ones((16, 3), dtype=np.int64)},
    ],
)
def test_shapes_that_do_not_agree_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="one row per question"):
        fit_query_model(**{**grid(questions(16)), **values})
