"""Values of LaTeX constants, and nothing for what is none."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframind.rewards.constants import constant_value
from inframind.rewards.graders import MathGrader


@pytest.mark.parametrize(
    ("latex", "value"),
    [
        ("7", 7.0),
        ("-12", -12.0),
        (r"\frac{3}{4}", 0.75),
        (r"-\frac{1449}{5}", -289.8),
        (r"\frac{3\sqrt{2}}{4}", 3 * math.sqrt(2) / 4),
        (r"14\sqrt{485}\pi", 14 * math.sqrt(485) * math.pi),
        (r"7+5\sqrt{2}", 7 + 5 * math.sqrt(2)),
        (r"-6+5\sqrt{13}-2\pi", -6 + 5 * math.sqrt(13) - 2 * math.pi),
        (r"2\cdot(3+4)", 14.0),
        (r"\sqrt{\frac{1}{4}}", 0.5),
    ],
)
def test_the_value_of_a_constant(latex: str, value: float) -> None:
    assert constant_value(latex) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x+1",
        "0.5",
        "1,2",
        r"\frac{1}{0}",
        r"\sqrt{-1}",
        r"\frac{1}",
        "{3",
        "3}",
        "3+",
        "(2",
        "90^2",
        r"\sqrt[3]{8}",
        r"\cdot3",
        "+",
        "1" * 500,
        "(" * 100 + "1" + ")" * 100,
        "theonemarked",
    ],
)
def test_anything_else_has_no_value(text: str) -> None:
    assert constant_value(text) is None


@given(st.integers(-(10**9), 10**9), st.integers(1, 10**6), st.integers(0, 10**6))
def test_values_follow_arithmetic(whole: int, below: int, root: int) -> None:
    latex = rf"{whole}+\frac{{{root}}}{{{below}}}\sqrt{{{root}}}"
    assert constant_value(latex) == pytest.approx(whole + root / below * math.sqrt(root), rel=1e-9, abs=1e-6)


@given(st.text(alphabet=r"\fracsqtpi{}()+-0123456789", max_size=60))
def test_no_text_breaks_it(text: str) -> None:
    value = constant_value(text)
    assert value is None or math.isfinite(value)


def test_different_constants_are_wrong_and_equal_ones_right() -> None:
    grader = MathGrader()
    assert not grader.grade(r"\boxed{7\sqrt{2}}", r"6\sqrt{2}").solved
    assert grader.grade(r"\boxed{16\pi\sqrt{481}}", r"16\sqrt{481}\pi").solved
    assert grader.grade(r"\boxed{\sqrt{8}}", r"2\sqrt{2}").solved
