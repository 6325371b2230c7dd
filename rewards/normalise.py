"""Cheap equality of final answers: pure string work, no parsing library, a few microseconds a call.

Two strengths, both total functions on arbitrary text:

* `normalise_math` rewrites a LaTeX answer the way the MATH benchmark's own grader does, so that string
  equality of the results reproduces its verdicts, false negatives included.
* `canonical_answer` goes on to read rational numbers, so that ``0.5``, ``1/2`` and ``\\frac{1}{2}`` agree.
  `answers_agree` compares by it; it decides whether the agents of a team already agree.

What lies beyond (``x+1`` against ``1+x``) is left to `inframind.rewards.graders`.

Departures from the benchmark's own rules: a minus sign is moved out of a fraction, any spelling of a degree
sign is dropped, and ``\\left``/``\\right`` are only dropped as whole commands.
"""

from __future__ import annotations

import re
from fractions import Fraction

MAX_ANSWER_CHARS = 1000
"""Longer answers are compared as they are: no final answer is that long, hostile text is."""

_MAX_PASSES = 10
_MAX_DIGITS = 60

_DROPPED = re.compile(r"\\!|\\left(?![A-Za-z])|\\right(?![A-Za-z])|\^\{?\\circ\}?|\\degree|°|\\?[$%]|\s+")
_UNITS = re.compile(r"(?<=.)\\(?:text|mbox)\{\s.*", re.DOTALL)
_LONG_FRAC = re.compile(r"\\[tdc]frac")
_BARE_POINT = re.compile(r"(?<![0-9.])\.(?=[0-9])")
_BARE_ROOT = re.compile(r"\\sqrt([0-9A-Za-z])")
_BARE_NUMERATOR = re.compile(r"\\frac([0-9A-Za-z])")
_BARE_DENOMINATOR = re.compile(r"(\\frac\{(?:[^{}]|\{[^{}]*\})*\})([0-9A-Za-z])")
_NEGATIVE_NUMERATOR = re.compile(r"^\\frac\{-([0-9]+)\}")
_SLASH = re.compile(r"^(-?)([0-9]+)/([0-9]+)$")

_WRAPPED = re.compile(r"^\\(?:text|textbf|mathrm|mathbf|mbox)\{([^{}]*)\}$")
_LETTER_IN_BRACKETS = re.compile(r"^\(([A-Za-z])\)$")
_THOUSANDS = re.compile(r"^[+-]?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]*)?$")
_DECIMAL = re.compile(r"^[+-]?[0-9]+(?:\.[0-9]*)?$")
_RATIO = re.compile(r"^([+-]?)([0-9]*)\\frac\{([0-9]+)\}\{([0-9]+)\}$")


def normalise_math(answer: str) -> str:
    """A LaTeX answer in the MATH benchmark's normal form; idempotent, never raises.

    Drops line breaks, spaces, ``\\!``, ``\\left``/``\\right``, degree, dollar and percent signs, trailing
    ``\\text{ units}`` and a ``x=`` of at most two characters; writes ``tfrac``/``dfrac`` as ``frac``,
    ``.5`` as ``0.5``, ``\\sqrt3`` as ``\\sqrt{3}``, ``\\frac12`` and ``1/2`` as ``\\frac{1}{2}`` and
    ``0.5`` likewise. Texts over `MAX_ANSWER_CHARS` come back as they are.
    """
    for _ in range(_MAX_PASSES):
        if len(answer) > MAX_ANSWER_CHARS:
            return answer
        rewritten = _rewrite_once(answer)
        if rewritten == answer:
            break
        answer = rewritten
    return answer


def canonical_answer(answer: str) -> str:
    """`normalise_math`, then any rational number as ``n`` or ``n/d`` in lowest terms.

    Equal results mean equal answers; different results may still be equal in ways that need algebra.
    """
    if answer.isascii() and answer.isdigit() and len(answer) <= _MAX_DIGITS:
        return answer.lstrip("0") or "0"
    normal = normalise_math(answer)
    normal = _WRAPPED.sub(r"\1", normal)
    normal = _LETTER_IN_BRACKETS.sub(r"\1", normal)
    number = _rational(normal)
    return normal if number is None else str(number)


def rational_value(answer: str) -> Fraction | None:
    """The exact value of an answer that is an integer, a decimal, a (mixed) fraction; else None."""
    return _rational(normalise_math(answer))


def answers_agree(first: str, second: str) -> bool:
    """Whether two final answers are the same by `canonical_answer`. An empty answer agrees with nothing."""
    if not first or not second:
        return False
    if first == second:
        return True
    canonical = canonical_answer(first)
    return canonical != "" and canonical == canonical_answer(second)


def _rewrite_once(answer: str) -> str:
    answer = _UNITS.sub("", answer)
    answer = _DROPPED.sub("", answer.replace("{,}", ","))
    answer = _without_variable(answer)
    answer = _BARE_POINT.sub("0.", answer)
    if "\\" in answer:
        answer = _with_braces(answer)
    if answer == "0.5":
        return r"\frac{1}{2}"
    return _SLASH.sub(r"\1\\frac{\2}{\3}", answer) if "/" in answer else answer


def _without_variable(answer: str) -> str:
    left, equals, right = answer.partition("=")
    is_short_definition = equals and right and "=" not in right and 0 < len(left) <= 2
    return right if is_short_definition else answer


def _with_braces(answer: str) -> str:
    answer = _LONG_FRAC.sub(r"\\frac", answer)
    answer = _BARE_ROOT.sub(r"\\sqrt{\1}", answer)
    answer = _BARE_NUMERATOR.sub(r"\\frac{\1}", answer)
    answer = _BARE_DENOMINATOR.sub(r"\1{\2}", answer)
    return _NEGATIVE_NUMERATOR.sub(r"-\\frac{\1}", answer)


def _rational(normal: str) -> Fraction | None:
    if not normal or len(normal) > _MAX_DIGITS:
        return None
    if _DECIMAL.match(normal):
        return Fraction(normal.rstrip("."))
    if _THOUSANDS.match(normal):
        return Fraction(normal.replace(",", "").rstrip("."))
    ratio = _RATIO.match(normal)
    if ratio is None:
        return None
    sign, whole, numerator, denominator = ratio.groups()
    if int(denominator) == 0:
        return None
    value = int(whole or 0) + Fraction(int(numerator), int(denominator))
    return -value if sign == "-" else value
