"""Was it right? Graders compare the final answer in a model's text with the expected one.

The MATH grader gives two verdicts. ``string_equal`` follows the benchmark's own string rules, so that
published numbers can be compared, with their false negatives; ``symbolic_equal`` adds equality as
mathematics (``math-verify``). ``solved`` is either.

Grading code by running it is not done here: it needs a sandbox.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from types import MappingProxyType
from typing import Protocol

from inframind.errors import ConfigError
from inframind.rewards.constants import constant_value
from inframind.rewards.extraction import extract_answer, extract_choice, extract_math, extract_number
from inframind.rewards.normalise import answers_agree, normalise_math
from inframind.rewards.symbolic import SymbolicChecker, shared_checker

NO_ANSWER = "no final answer in the text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a grader found.

    Attributes:
        string_equal: equal after the grader's string normalisation.
        symbolic_equal: equal as mathematics, or None when that was not decided.
        extracted: the answer found in the text, or "".
        expected: the answer it was compared with.
        note: why something was not decided, or "".
    """

    string_equal: bool
    symbolic_equal: bool | None
    extracted: str
    expected: str
    note: str = ""

    @property
    def solved(self) -> bool:
        """Right by either comparison; what is undecided counts as wrong."""
        return self.string_equal or self.symbolic_equal is True


class Grader(Protocol):
    """Compares a model's text with the expected answer. Total: a hostile text is a wrong answer, no error."""

    def grade(self, text: str, expected: str) -> Verdict:
        """The verdict on ``text``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MathGrader:
    """LaTeX answers: the benchmark's string equality, and symbolic equality.

    Cheap checks come first (string, then exact rational numbers); only what they leave open goes to the
    worker process of `inframind.rewards.symbolic`, which bounds its time. ``grade`` therefore may block for
    some seconds on hostile text: from async code, call it through ``asyncio.to_thread``.

    Attributes:
        checker: where symbolic questions go.
    """

    checker: SymbolicChecker = field(default_factory=shared_checker)

    def grade(self, text: str, expected: str) -> Verdict:
        """The verdict on the last boxed answer, or on what follows "the answer is"."""
        extracted = extract_math(text)
        if not extracted:
            return _no_answer(expected)
        string_equal = normalise_math(extracted) == normalise_math(expected)
        symbolic_equal, note = (True, "") if string_equal else self._symbolic(expected, extracted)
        return Verdict(
            string_equal=string_equal,
            symbolic_equal=symbolic_equal,
            extracted=extracted,
            expected=expected,
            note=note,
        )

    def _symbolic(self, expected: str, extracted: str) -> tuple[bool | None, str]:
        if answers_agree(expected, extracted):
            return True, ""
        left, right = normalise_math(expected), normalise_math(extracted)
        if _differ(constant_value(left), constant_value(right)):
            return False, ""
        return self.checker.equal(left, right)


def _differ(left: float | None, right: float | None) -> bool:
    """Whether both are known and differ by more than rounding."""
    return (
        left is not None and right is not None and not math.isclose(left, right, rel_tol=1e-9, abs_tol=1e-9)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class NumericGrader:
    """Plain numbers, as in GSM8K: signs, decimals, fractions and thousands separators are read.

    Attributes:
        relative_tolerance: allowed ``|answer - expected| / |expected|``; 0 asks for exact equality.

    Raises:
        ConfigError: the tolerance is negative or not finite.
    """

    relative_tolerance: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.relative_tolerance < math.inf:
            raise ConfigError(
                "relative_tolerance",
                self.relative_tolerance,
                "give a finite number of at least 0, such as 1e-4",
            )

    def grade(self, text: str, expected: str) -> Verdict:
        """The verdict on the last number, preferring a boxed one or one after "the answer is"."""
        extracted, wanted = extract_number(text), extract_number(expected)
        if not extracted:
            return _no_answer(expected)
        return Verdict(
            string_equal=extracted == wanted,
            symbolic_equal=self._close(_number(extracted), _number(wanted)),
            extracted=extracted,
            expected=expected,
            note="" if wanted else "the expected answer holds no number",
        )

    def _close(self, answer: Fraction | None, wanted: Fraction | None) -> bool | None:
        if answer is None or wanted is None:
            return None
        return abs(answer - wanted) <= Fraction(self.relative_tolerance) * abs(wanted)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceGrader:
    """Multiple choice: one letter from A to J. The expected answer is such a letter, bare or in brackets."""

    def grade(self, text: str, expected: str) -> Verdict:
        """The verdict on the chosen letter."""
        extracted = extract_choice(text)
        if not extracted:
            return _no_answer(expected)
        wanted = extract_choice(expected) or expected.strip().upper()
        return Verdict(
            string_equal=extracted == wanted, symbolic_equal=None, extracted=extracted, expected=expected
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactGrader:
    """The answer's words, letter by letter, but for outer spaces and upper case."""

    def grade(self, text: str, expected: str) -> Verdict:
        """The verdict on the boxed answer, what follows "the answer is", or the whole text."""
        extracted = extract_answer(text, "exact")
        if not extracted:
            return _no_answer(expected)
        return Verdict(
            string_equal=extracted.casefold() == expected.strip().casefold(),
            symbolic_equal=None,
            extracted=extracted,
            expected=expected,
        )


GRADERS: Mapping[str, type[MathGrader | NumericGrader | ChoiceGrader | ExactGrader]] = MappingProxyType(
    {"math": MathGrader, "numeric": NumericGrader, "choice": ChoiceGrader, "exact": ExactGrader}
)
"""The graders that a configuration can name."""


def grader_for(name: str) -> Grader:
    """The grader of that name, with its defaults.

    Raises:
        ConfigError: there is none.
    """
    if name not in GRADERS:
        raise ConfigError("grader", name, f"choose one of: {', '.join(GRADERS)}")
    return GRADERS[name]()


def _no_answer(expected: str) -> Verdict:
    return Verdict(string_equal=False, symbolic_equal=False, extracted="", expected=expected, note=NO_ANSWER)


def _number(text: str) -> Fraction | None:
    """A number as `extract_number` writes it; None for "", a zero denominator, ``1.5/2`` and the like."""
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        return None
