"""Reading questions with weights that are known, and without any."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframind.router.encoder import HashingEncoder
from inframind.router.query_model import QueryModel, QueryWeights, Question, question_vector, text_shape

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)
ENCODER = HashingEncoder(dimension=8)


def weights(**values: Any) -> QueryWeights:
    """Difficulty is the number of numbers in the text, less 1."""
    difficulty = np.zeros(8 + 5)
    difficulty[8 + 2] = 10.0
    given: dict[str, Any] = {
        "mean": np.zeros(13),
        "scale": np.ones(13),
        "difficulty": difficulty,
        "typical": 1.0,
        "length_slope": 0.25,
        "abilities": {"a/Plain": 1.0, "b/Flash": 2.0, "b/Plain": 6.0},
        "discriminations": {"a/Plain": 0.5, "b/Flash": 1.5, "b/Plain": 4.0},
    }
    return QueryWeights(**{**given, **values})


def test_difficulty_length_and_odds_follow_from_the_weights() -> None:
    read = QueryModel(weights(), ENCODER).read("add 1 to 2 and to 3")
    assert read == Question(pytest.approx(2.0), pytest.approx(0.5), pytest.approx(2.0 - 2.0))
    assert read.columns == (read.difficulty, read.log_length)


def test_without_weights_every_question_is_a_typical_one() -> None:
    model = QueryModel()
    assert model.read("1 + 1") == model.read("Prove it.") == Question(0.0, 0.0, 0.0)


def test_a_question_that_is_known_is_not_read_anew() -> None:
    known = Question(5.0, 1.0, -3.0)
    model = QueryModel(weights(), ENCODER, known={"add 1": known})
    assert model.read("add 1") == known
    assert model.read("add 2").difficulty == pytest.approx(0.0)


def test_an_action_that_was_never_seen_is_judged_by_its_configured_quality(make_bench: Any) -> None:
    bench = make_bench(a={"quality": 0.25}, b={}, c={"quality": 0.5})
    ability, discrimination = QueryModel(weights(), ENCODER).terms(bench.actions)
    by_label = dict(
        zip(bench.actions.executor_labels, zip(ability, discrimination, strict=True), strict=True)
    )
    assert by_label["b/Flash"] == (2.0, 1.5) and by_label["b/Plain"] == (6.0, 4.0)
    assert by_label["c/Plain"] == pytest.approx((0.0, 1.5))
    assert by_label["a/Concise"] == pytest.approx((math.log(0.225 / 0.775), 1.5))
    untrained = QueryModel().terms(bench.actions)
    assert untrained[0][2] == pytest.approx(math.log(0.25 / 0.75)) and set(untrained[1]) == {1.0}


def test_a_quality_of_almost_one_stays_short_of_certainty(make_bench: Any) -> None:
    bench = make_bench(a={"quality": 0.999})
    ability, _ = QueryModel().terms(bench.actions)
    assert ability[3] == pytest.approx(math.log(99))


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("", (0, 0, 0, 0, 0)),
        ("two words", (math.log(10), math.log(3), 0, 0, 0)),
        ("1234 + 56", (math.log(10), math.log(4), 0.2, 0.8, math.log(7))),
    ],
)
def test_the_shape_of_a_text(text: str, shape: tuple[float, ...]) -> None:
    assert text_shape(text) == pytest.approx(shape)


@given(TEXT)
def test_any_text_is_read_and_read_the_same_again(text: str) -> None:
    read = QueryModel(weights(), ENCODER).read(text)
    assert all(math.isfinite(value) for value in (read.difficulty, read.log_length, read.typical_logit))
    assert QueryModel(weights(), ENCODER).read(text) == read
    assert question_vector(text, ENCODER)[:8].tolist() == ENCODER.encode(text).tolist()
