"""Small pieces of LaTeX for generated questions and their exact answers, in the style of the MATH benchmark."""

from __future__ import annotations

import math
from fractions import Fraction
from random import Random

_ASKING = ("What is {}?", "Find {}.", "Determine {}.", "Compute {}.", "Calculate {}.", "Work out {}.")


def ask(rng: Random, wanted: str) -> str:
    """One of several ways to ask for ``wanted``, a noun phrase that starts with a small letter."""
    return rng.choice(_ASKING).format(wanted)


def exact(value: Fraction | int) -> str:
    r"""An integer, or ``\frac{a}{b}`` in lowest terms with the sign in front."""
    value = Fraction(value)
    if value.denominator == 1:
        return str(value.numerator)
    sign = "-" if value < 0 else ""
    return rf"{sign}\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"


def root_multiple(factor: Fraction | int, radicand: int) -> str:
    r"""``factor * sqrt(radicand)`` simplified, such as ``\frac{9\sqrt{3}}{4}``; the factor is positive."""
    outside, inside = _simplified_root(radicand)
    return scaled(Fraction(factor) * outside, "" if inside == 1 else rf"\sqrt{{{inside}}}")


def scaled(factor: Fraction | int, symbol: str) -> str:
    r"""A positive rational times a symbol, such as ``\frac{3\pi}{4}``; a factor of one is not written."""
    factor = Fraction(factor)
    if not symbol:
        return exact(factor)
    top = symbol if factor.numerator == 1 else f"{factor.numerator}{symbol}"
    return top if factor.denominator == 1 else rf"\frac{{{top}}}{{{factor.denominator}}}"


def polynomial(coefficients: list[int], variable: str = "x") -> str:
    """A polynomial, highest power first, such as ``3x^2 - x + 4``."""
    degree = len(coefficients) - 1
    return linear_combination([(k, _power(variable, degree - place)) for place, k in enumerate(coefficients)])


def linear_combination(terms: list[tuple[int, str]]) -> str:
    """A signed sum of ``coefficient * symbol``, without zeros; the symbol "" stands for a plain number."""
    text = ""
    for coefficient, symbol in terms:
        if not coefficient:
            continue
        size = str(abs(coefficient)) if abs(coefficient) != 1 or not symbol else ""
        sign = "-" if coefficient < 0 else "+"
        lead = f" {sign} " if text else sign.strip("+")
        text += f"{lead}{size}{symbol}"
    return text or "0"


def in_base(number: int, base: int) -> str:
    """The digits of a positive integer in a base of at most ten."""
    digits = ""
    while number:
        number, digit = divmod(number, base)
        digits = str(digit) + digits
    return digits


def nonzero(rng: Random, limit: int) -> int:
    """A random integer with ``1 <= abs(n) <= limit``."""
    return rng.choice((-1, 1)) * rng.randint(1, limit)


def _simplified_root(radicand: int) -> tuple[int, int]:
    for outside in range(math.isqrt(radicand), 0, -1):
        if radicand % (outside * outside) == 0:
            return outside, radicand // (outside * outside)
    raise ValueError(f"radicand = {radicand}: give a positive integer")


def _power(variable: str, exponent: int) -> str:
    if exponent == 0:
        return ""
    return variable if exponent == 1 else f"{variable}^{exponent}"
