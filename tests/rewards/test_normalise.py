import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from inframind.rewards.normalise import (
    MAX_ANSWER_CHARS,
    answers_agree,
    canonical_answer,
    normalise_math,
    rational_value,
)

PIECES = [*"\\{}()[]^_$%.,/=-+ 0159abfrcsqtx\n", "\\frac", "\\sqrt", "\\text{ ", "\\left", "^\\circ"]
LATEX = st.lists(st.sampled_from(PIECES)).map("".join)


@pytest.mark.parametrize(
    ("answer", "normal"),
    [
        ("12\n3", "123"),
        (r"11,\! 111", "11,111"),
        (r"\left( 1, 2 \right)", "(1,2)"),
        (r"\leftarrow x", r"\leftarrowx"),
        (r"60^\circ", "60"),
        (r"60^{\circ}", "60"),
        (r"\$7.50", "7.50"),
        (r"28\%", "28"),
        (r"45 \text{ units}^2", "45"),
        (r"\frac{68}{3}\text{ pounds}", r"\frac{68}{3}"),
        (r"12 \mbox{ cm}", "12"),
        (r"\text{(B)}", r"\text{(B)}"),
        (r"\dfrac{5}{7}", r"\frac{5}{7}"),
        (r"\tfrac{8\pi}5", r"\frac{8\pi}{5}"),
        (r"\frac12", r"\frac{1}{2}"),
        (r"\frac 1{72}", r"\frac{1}{72}"),
        (r"\frac{\sqrt6}3", r"\frac{\sqrt{6}}{3}"),
        (".5", r"\frac{1}{2}"),
        ("-.25", "-0.25"),
        ("x = 5", "5"),
        ("f=-2", "-2"),
        ("abc=5", "abc=5"),
        ("x=y=5", "x=y=5"),
        (r"\sqrt3", r"\sqrt{3}"),
        (r"2 \sqrt 2", r"2\sqrt{2}"),
        ("1/2", r"\frac{1}{2}"),
        ("-3/4", r"-\frac{3}{4}"),
        (r"\frac{-3}{4}", r"-\frac{3}{4}"),
        ("0.5", r"\frac{1}{2}"),
        ("", ""),
    ],
)
def test_an_answer_is_rewritten_as_the_benchmark_rewrites_it(answer: str, normal: str) -> None:
    assert normalise_math(answer) == normal


@settings(deadline=None)
@given(LATEX | st.text())
@example("x=" * 9)
@example("\\frac" * 30 + "12")
def test_normalising_twice_changes_nothing_more(answer: str) -> None:
    once = normalise_math(answer)
    assert normalise_math(once) == once


def test_an_answer_beyond_the_limit_is_left_alone() -> None:
    answer = " " * MAX_ANSWER_CHARS + "1"
    assert normalise_math(answer) == answer


@pytest.mark.parametrize(
    ("answer", "canonical"),
    [
        ("007", "7"),
        ("0", "0"),
        ("1,000", "1000"),
        ("1{,}000", "1000"),
        ("-1,234.50", "-2469/2"),
        ("3.0", "3"),
        ("4.", "4"),
        ("+5", "5"),
        ("0.5", "1/2"),
        (r"\frac{2}{4}", "1/2"),
        ("6/3", "2"),
        (r"1\frac{4}{5}", "9/5"),
        (r"-1\frac{1}{2}", "-3/2"),
        (r"\text{(B)}", "B"),
        ("(C)", "C"),
        (r"\frac{1}{0}", r"\frac{1}{0}"),
        ("1,2", "1,2"),
        ("2, 1", "2,1"),
    ],
)
def test_a_rational_answer_has_one_spelling(answer: str, canonical: str) -> None:
    assert canonical_answer(answer) == canonical


@settings(deadline=None)
@given(st.integers(-(10**9), 10**9), st.integers(1, 10**6), st.integers(1, 50))
def test_equal_fractions_agree_however_they_are_written(top: int, bottom: int, factor: int) -> None:
    assert answers_agree(f"{top}/{bottom}", rf"\frac{{{top * factor}}}{{{bottom * factor}}}")


@settings(deadline=None)
@given(st.integers(), st.integers())
def test_integers_agree_only_with_themselves(left: int, right: int) -> None:
    assert answers_agree(f"{left:,}", str(right)) == (left == right)


@settings(deadline=None)
@given(LATEX | st.text(), LATEX | st.text())
def test_agreement_is_symmetric_and_total(first: str, second: str) -> None:
    assert answers_agree(first, second) == answers_agree(second, first)


@pytest.mark.parametrize("other", ["", "5", " "])
def test_no_answer_agrees_with_nothing(other: str) -> None:
    assert not answers_agree("", other)
    assert not answers_agree("  ", other)


def test_only_numbers_have_a_rational_value() -> None:
    assert rational_value(r"\sqrt{4}") is None
    assert str(rational_value("2.5")) == "5/2"
