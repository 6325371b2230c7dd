r"""Other spellings of a right answer: ``\frac{3}{4}`` is also written ``3/4``, ``0.75`` or ``\frac{6}{8}``.

Models are not tidy, so a grader has to earn its verdict: some of these spellings are the same after string
normalisation, some are the same number only, some need algebra. All of them are what `MathGrader` takes for right;
answers of a form that is not known here have none.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from fractions import Fraction

from inframind.rewards.normalise import answers_agree, canonical_answer, normalise_math, rational_value
from inframind.simulator.item_latex import exact

MAX_DECIMALS = 3
"""Fractions that take more decimals are not written as decimals."""

_LEAST_GROUPED = 1000
_NAMED = re.compile(r"(?:solution|integer|value of|find|for) \$([a-z])\$", re.IGNORECASE)
_UNIT = re.compile(r"\b(dollars|cents|litres|hours|minutes|seconds|inches|feet|degrees|ways)\b")
_CHOICE = re.compile(r"[A-J]")
_ROOT = re.compile(r"(-?)([0-9]{1,4})\\sqrt\{([0-9]{1,4})\}")
_SCALED = re.compile(r"(-?)\\frac\{([0-9]*)(\\pi|\\sqrt\{[0-9]+\})\}\{([0-9]+)\}")
_PI_MULTIPLE = re.compile(r"([0-9]+)\\pi")
_ROOT_TIMES_PI = re.compile(r"([0-9]*)(\\sqrt\{[0-9]+\})\\pi")
_PAIR = re.compile(r"\(([^(),]+),([^(),]+)\)")
_SYMBOL = r"(?:\\sqrt\{[0-9]+\}|[a-z](?:\^[0-9])?)"
_TERM = rf"(?:[0-9]+{_SYMBOL}?|{_SYMBOL})"
_SUM = re.compile(rf"-?{_TERM}(?:[+-]{_TERM})+")
_SIGNED_TERM = re.compile(rf"[+-]?{_TERM}")


@functools.lru_cache(maxsize=4096)
def spellings(question: str, answer: str) -> tuple[str, ...]:
    """Different ways to write ``answer``, itself left out; the question lends its unknown and its unit."""
    value = rational_value(answer)
    if value is None:
        found = _of_expression(normalise_math(answer))
    else:  # a number may be too long to be read once it has separators
        found = (spelling for spelling in _of_number(value, question) if answers_agree(spelling, answer))
    return tuple(dict.fromkeys(spelling for spelling in found if spelling != answer))


@functools.lru_cache(maxsize=4096)
def canonical_spellings(question: str, answer: str) -> frozenset[str]:
    """The canonical forms of ``answer`` and of its other spellings."""
    return frozenset(map(canonical_answer, (answer, *spellings(question, answer))))


def _of_number(value: Fraction, question: str) -> Iterator[str]:
    yield from _of_integer(value.numerator) if value.denominator == 1 else _of_fraction(value)
    plain = exact(value)
    unknown = _NAMED.search(question)
    if unknown:
        yield f"{unknown[1]} = {plain}"
    units = _UNIT.findall(question)
    if units:
        yield rf"{plain}\text{{ {units[-1]}}}"
    if "dollars" in units and value >= 0:
        yield rf"\${plain}"


def _of_integer(number: int) -> Iterator[str]:
    if abs(number) < _LEAST_GROUPED:
        yield f"{number}.0"
        return
    yield str(number)
    yield f"{number:,}"
    yield f"{number:,}".replace(",", "{,}")


def _of_fraction(value: Fraction) -> Iterator[str]:
    sign, top, bottom = "-" if value < 0 else "", abs(value.numerator), value.denominator
    yield rf"{sign}\frac{{{top}}}{{{bottom}}}"
    yield rf"{sign}\dfrac{{{top}}}{{{bottom}}}"
    yield rf"{sign}\tfrac{{{top}}}{{{bottom}}}"
    yield f"{sign}{top}/{bottom}"
    yield rf"{sign}\frac{{{2 * top}}}{{{2 * bottom}}}"
    if sign:
        yield rf"\frac{{-{top}}}{{{bottom}}}"
    if top > bottom:
        yield rf"{sign}{top // bottom}\frac{{{top % bottom}}}{{{bottom}}}"
    if 10**MAX_DECIMALS % bottom == 0:
        decimals = 10**MAX_DECIMALS // bottom * (top % bottom)
        yield f"{sign}{top // bottom}.{decimals:0{MAX_DECIMALS}d}".rstrip("0")


def _of_expression(expression: str) -> Iterator[str]:
    """Of an answer in normal form."""
    if r"\frac" in expression:
        yield expression.replace(r"\frac", r"\dfrac")
    yield from _of_letter(expression)
    yield from _of_product(expression)
    if pair := _PAIR.fullmatch(expression):
        yield rf"\left({pair[1]}, {pair[2]}\right)"
    if _SUM.fullmatch(expression):
        yield _reversed_sum(expression)


def _of_letter(expression: str) -> Iterator[str]:
    letter = canonical_answer(expression)
    if _CHOICE.fullmatch(letter):
        yield from (letter, f"({letter})", rf"\text{{({letter})}}", rf"\textbf{{{letter}}}")


def _of_product(expression: str) -> Iterator[str]:
    if root := _ROOT.fullmatch(expression):
        sign, factor, radicand = root.groups()
        yield rf"{sign}\sqrt{{{int(factor) ** 2 * int(radicand)}}}"
        yield rf"{sign}{factor} \cdot \sqrt{{{radicand}}}"
    if scaled := _SCALED.fullmatch(expression):
        sign, top, symbol, bottom = scaled.groups()
        yield rf"{sign}\frac{{{top or 1}}}{{{bottom}}}{symbol}"
        yield rf"{sign}{top}{symbol}/{bottom}"
    if multiple := _PI_MULTIPLE.fullmatch(expression):
        yield rf"{multiple[1]} \cdot \pi"
    if product := _ROOT_TIMES_PI.fullmatch(expression):
        yield rf"{product[1]}\pi{product[2]}"


def _reversed_sum(expression: str) -> str:
    r"""``2+\sqrt{5}`` as ``\sqrt{5}+2``, ``x-1`` as ``-1+x``."""
    terms = _SIGNED_TERM.findall(expression)
    signed = [term if term[0] in "+-" else f"+{term}" for term in terms]
    return "".join(reversed(signed)).removeprefix("+")
