"""The value of a LaTeX constant: integers, fractions, roots, pi, sums and products. Anything else has none here.

Two constants whose values differ are different answers, and knowing that takes microseconds; a computer algebra system
takes tens of milliseconds to say so.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import ClassVar

_TOKEN = re.compile(r"\\(?:frac|sqrt|pi|cdot)|\d{1,15}|[-+{}()]")
_LONGEST = 120
"""Longer texts are not looked at: they are hardly constants, and nest too deeply."""


def constant_value(latex: str) -> float | None:
    r"""The value of a constant such as ``\frac{3\sqrt{2}}{4}`` or ``7+5\pi``; None for everything else.

    Args:
        latex: normalised, without spaces or decimals.
    """
    tokens = _TOKEN.findall(latex)
    if not tokens or len(latex) > _LONGEST or sum(map(len, tokens)) != len(latex):
        return None
    reader = _Reader(tokens)
    try:
        value = reader.sum()
    except _NoConstant:
        return None
    return value if reader.is_done and math.isfinite(value) else None


class _NoConstant(Exception):
    """What was read is not a constant."""


class _Reader:
    """Reads tokens from left to right: sums of products of factors."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = [*tokens, ""]
        self._place = 0

    @property
    def is_done(self) -> bool:
        return self._next == ""

    @property
    def _next(self) -> str:
        return self._tokens[self._place]

    def _take(self) -> str:
        self._place += 1
        return self._tokens[self._place - 1]

    def sum(self) -> float:
        total = self._signed() if self._next in ("+", "-") else self._product()
        while self._next in ("+", "-"):
            total += self._signed()
        return total

    def _signed(self) -> float:
        sign = -1.0 if self._take() == "-" else 1.0
        return sign * self._product()

    def _product(self) -> float:
        product = self._factor()
        while self._next not in ("", "+", "-", "}", ")"):
            if self._next == r"\cdot":
                self._take()
            product *= self._factor()
        return product

    def _factor(self) -> float:
        token = self._take()
        if token.isdigit():
            return float(token)
        read = self._READ.get(token)
        if read is None:
            raise _NoConstant
        return read(self)

    def _enclosed(self, end: str) -> float:
        value = self.sum()
        if self._take() != end:
            raise _NoConstant
        return value

    def _group(self) -> float:
        if self._take() != "{":
            raise _NoConstant
        return self._enclosed("}")

    def _fraction(self) -> float:
        above, below = self._group(), self._group()
        if below == 0:
            raise _NoConstant
        return above / below

    def _root(self) -> float:
        value = self._group()
        if value < 0:
            raise _NoConstant
        return math.sqrt(value)

    _READ: ClassVar[Mapping[str, Callable[[_Reader], float]]] = {
        "{": lambda self: self._enclosed("}"),
        "(": lambda self: self._enclosed(")"),
        r"\frac": _fraction,
        r"\sqrt": _root,
        r"\pi": lambda self: math.pi,
    }
