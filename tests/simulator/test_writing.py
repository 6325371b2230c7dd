import statistics
from random import Random

import pytest

from inframind.rewards.extraction import extract_math
from inframind.simulator.outcome_parameters import ModelTraits, OutcomeParameters
from inframind.simulator.tokens import count_tokens
from inframind.simulator.writing import Assignment, Manner, write

PARAMETERS = OutcomeParameters()
PLAIN_MODEL = ModelTraits(size_b=10, skill=0.0)
THINKER = ModelTraits(size_b=10, skill=0.0, is_reasoning=True)


def assignment(strategy: str, *, model: ModelTraits = PLAIN_MODEL, **changes: object) -> Assignment:
    fields: dict[str, object] = {
        "question": "What is $\\gcd(48, 36)$?",
        "answer": r"\frac{17}{5}",
        "model": model,
        "strategy": PARAMETERS.strategy_traits(strategy),
    }
    return Assignment(**{**fields, **changes})  # type: ignore[arg-type]


def lengths(wanted: Assignment, n: int = 400) -> list[int]:
    return [count_tokens(write(wanted, Random(seed)).text) for seed in range(n)]


@pytest.mark.parametrize("manner", ["solve", "review", "judge"])
@pytest.mark.parametrize("strategy", ["Flash", "Concise", "Plain", "DeepThink"])
def test_every_text_ends_with_the_answer_that_was_assigned(strategy: str, manner: Manner) -> None:
    for seed in range(200):
        text = write(assignment(strategy, manner=manner), Random(seed)).text
        assert extract_math(text) == r"\frac{17}{5}"


def test_some_texts_have_no_box_and_some_box_an_intermediate_value_first() -> None:
    texts = [write(assignment("Plain"), Random(seed)).text for seed in range(1000)]
    boxes = [text.count("\\boxed") for text in texts]
    assert 0.05 < boxes.count(0) / 1000 < 0.12
    assert 0.02 < boxes.count(2) / 1000 < 0.07


@pytest.mark.parametrize(("strategy", "low", "high"), [("Concise", 110, 135), ("Plain", 280, 320)])
def test_the_mean_length_is_the_strategys(strategy: str, low: float, high: float) -> None:
    assert low < statistics.mean(lengths(assignment(strategy))) < high


def test_flash_is_a_sentence_or_two() -> None:
    assert max(lengths(assignment("Flash"))) <= 40


def test_a_small_share_of_deep_thinking_runs_away() -> None:
    counts = lengths(assignment("DeepThink"), 1000)
    assert 400 < statistics.median(counts) < 500
    assert 10 < sum(count > 1300 for count in counts) < 60


def test_harder_questions_and_step_by_step_take_longer() -> None:
    easy, hard = (statistics.mean(lengths(assignment("Plain", level=level))) for level in (1, 5))
    stepwise = statistics.mean(lengths(assignment("Plain", level=1, is_step_by_step=True)))
    assert easy < stepwise < hard


def test_a_reasoning_model_thinks_first_and_writes_less_except_when_brief() -> None:
    reply = write(assignment("Plain", model=THINKER), Random(1))
    assert count_tokens(reply.reasoning) > 100
    assert extract_math(reply.reasoning) == ""
    assert statistics.mean(lengths(assignment("Plain", model=THINKER))) < 180
    assert write(assignment("Flash", model=THINKER), Random(1)).reasoning == ""
    assert write(assignment("Plain"), Random(1)).reasoning == ""


def test_steps_quote_numbers_of_the_question() -> None:
    text = write(assignment("Plain"), Random(3)).text
    assert "48" in text or "36" in text


def test_the_same_chance_writes_the_same_text() -> None:
    assert write(assignment("Plain"), Random(7)) == write(assignment("Plain"), Random(7))
