from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inframind.rewards.graders import MathGrader
from inframind.rewards.normalise import answers_agree
from inframind.simulator.items import generate_item, load_items
from inframind.simulator.mistakes import N_MISTAKES, typical_mistakes

MATH_FILE = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "math" / "validation.jsonl"


@settings(deadline=None)
@given(seed=st.integers(0, 2**48), level=st.integers(1, 5))
def test_an_item_has_four_different_mistakes_none_of_which_is_right(seed: int, level: int) -> None:
    item = generate_item(seed, level)
    mistakes = typical_mistakes(item.question, item.answer)
    assert len(set(mistakes)) == N_MISTAKES
    assert not any(answers_agree(mistake, item.answer) for mistake in mistakes)
    assert not MathGrader().grade(rf"\boxed{{{mistakes[0]}}}", item.answer).solved


@settings(deadline=None)
@given(answer=st.text())
def test_any_answer_has_four_mistakes(answer: str) -> None:
    mistakes = typical_mistakes("?", answer)
    assert len(mistakes) == N_MISTAKES
    assert not any(answers_agree(mistake, answer) for mistake in mistakes)


def test_mistakes_look_like_slips_of_the_right_answer() -> None:
    assert set(typical_mistakes("q", "21")) <= {"-21", "22", "20", "42", "11", "31"}
    assert set(typical_mistakes("q", r"\frac{2}{5}")) <= {
        r"\frac{5}{2}",
        r"\frac{3}{5}",
        r"-\frac{2}{5}",
        r"\frac{4}{5}",
    }
    assert set(typical_mistakes("q", r"3\sqrt{2}")) <= {
        r"4\sqrt{2}",
        r"6\sqrt{2}",
        r"3\sqrt{3}",
        r"3\sqrt{4}",
    }
    assert set(typical_mistakes("q", r"\text{(B)}")) == {"A", "C", "D", "E"}


def test_no_mistake_on_a_math_question_grades_as_right() -> None:
    if not MATH_FILE.exists():
        pytest.skip("needs ../shared/data/math")
    grader = MathGrader()
    for item in load_items(MATH_FILE):
        for mistake in typical_mistakes(item.question, item.answer):
            assert not grader.grade(rf"\boxed{{{mistake}}}", item.answer).solved, (item.answer, mistake)
