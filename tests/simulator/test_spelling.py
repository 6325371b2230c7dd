from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframind.rewards.graders import MathGrader
from inframind.rewards.normalise import answers_agree
from inframind.simulator.item_latex import exact
from inframind.simulator.items import Item, generate_items, load_items
from inframind.simulator.spelling import canonical_spellings, spellings

MATH_FILE = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "math" / "validation.jsonl"
ENDINGS = (
    r"So we obtain $\boxed{X}$.",
    "The answer is X.",
    "Therefore the answer is $X$.",
    "Final answer: X",
)


@pytest.mark.parametrize(
    ("question", "answer", "other"),
    [
        ("", r"\frac{1}{2}", {r"\dfrac{1}{2}", r"\tfrac{1}{2}", "1/2", "0.5", r"\frac{2}{4}"}),
        ("", r"-\frac{7}{4}", {r"\frac{-7}{4}", "-1.75", r"-1\frac{3}{4}"}),
        ("", "0.303", {"303/1000", r"\frac{303}{1000}"}),
        ("", "1234", {"1,234", "1{,}234"}),
        ("", r"5,\!040", {"5040"}),
        ("Find the solution $x$ of the equation $x = 5$.", "5", {"x = 5", "5.0"}),
        ("What is the price paid, in dollars?", "12", {r"12\text{ dollars}", r"\$12"}),
        ("", r"20^\circ", {"20.0"}),
        ("", r"2\sqrt{2}", {r"\sqrt{8}", r"2 \cdot \sqrt{2}"}),
        ("", r"\frac{9\sqrt{3}}{4}", {r"\frac{9}{4}\sqrt{3}", r"9\sqrt{3}/4", r"\dfrac{9\sqrt{3}}{4}"}),
        ("", r"\frac{\pi}{4}", {r"\frac{1}{4}\pi"}),
        ("", r"3\sqrt{2}\pi", {r"3\pi\sqrt{2}"}),
        ("", r"-3+2\sqrt{5}", {r"2\sqrt{5}-3"}),
        ("", "8x^3 - 6x - 1", {"-1-6x+8x^3"}),
        ("", "(10,3)", {r"\left(10, 3\right)"}),
        ("", r"\text{(B)}", {"B", "(B)"}),
    ],
)
def test_an_answer_has_the_spellings_that_people_use(question: str, answer: str, other: set[str]) -> None:
    assert other <= set(spellings(question, answer))


@pytest.mark.parametrize(
    "answer", ["", "0,1", "3 - 2f(x)", "a vector", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"]
)
def test_an_answer_of_another_form_has_none(answer: str) -> None:
    assert spellings("", answer) == ()


@given(top=st.integers(), bottom=st.integers(1, 2000))
def test_every_spelling_of_a_number_is_the_same_number(top: int, bottom: int) -> None:
    answer = exact(Fraction(top, bottom))
    for other in spellings("In dollars, what is the value of $x$?", answer):
        assert other != answer
        assert answers_agree(other, answer), other


@given(answer=st.text())
def test_any_answer_can_be_asked_for_its_spellings(answer: str) -> None:
    assert answer not in spellings(answer, answer)
    assert len(canonical_spellings("", answer)) <= len(spellings("", answer)) + 1


def test_every_spelling_of_a_generated_answer_grades_as_solved_however_the_text_ends() -> None:
    _assert_all_grade_as_solved(generate_items(1000, seed=5))


def test_every_spelling_of_a_math_answer_grades_as_solved_however_the_text_ends() -> None:
    if not MATH_FILE.exists():
        pytest.skip("needs ../shared/data/math")
    _assert_all_grade_as_solved(load_items(MATH_FILE))


def test_some_spellings_take_algebra() -> None:
    grader = MathGrader()
    for answer, other in ((r"2\sqrt{2}", r"\sqrt{8}"), (r"-3+2\sqrt{5}", r"2\sqrt{5}-3")):
        assert not answers_agree(other, answer)
        verdict = grader.grade(rf"\boxed{{{other}}}", answer)
        assert (verdict.string_equal, verdict.symbolic_equal) == (False, True)


def _assert_all_grade_as_solved(items: Iterable[Item]) -> None:
    grader = MathGrader()
    for item in items:
        for other in spellings(item.question, item.answer):
            for ending in ENDINGS:
                assert grader.grade(ending.replace("X", other), item.answer).solved, (item.answer, other)
