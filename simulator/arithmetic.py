"""Plain sums that anybody may type: a simulated model should know what 12 * 12 is."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from fractions import Fraction

from inframind.simulator.items import Item

_ASKED = re.compile(
    r"(?:what is|compute|calculate|evaluate)\s+([\d\s().+*/^-]{1,80}\d[\s)]*)[?.\s]*$", re.I | re.M
)
_MOST_EXPONENT = 20
_OPERATIONS: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def arithmetic_item(text: str) -> Item | None:
    """The sum that a text asks for, as an item of the lowest level; None when it asks for none."""
    asked = _ASKED.search(text)
    if asked is None:
        return None
    try:
        value = _value(ast.parse(asked[1].strip().replace("^", "**"), mode="eval").body)
    except (SyntaxError, ValueError, ZeroDivisionError):
        return None
    question = asked[0].strip()
    answer = str(value) if value.denominator == 1 else f"\\frac{{{value.numerator}}}{{{value.denominator}}}"
    return Item(
        item_id=f"sum/{asked[1].strip()}",
        question=question,
        answer=answer,
        level=1,
        domain="math",
        subject="Sums",
    )


def _value(node: ast.expr) -> Fraction:
    match node:
        case ast.Constant(value=int() as number):
            return Fraction(number)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand)
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            exponent = _value(right)
            if exponent.denominator != 1 or not 0 <= exponent <= _MOST_EXPONENT:
                raise ValueError("an exponent too large to write down")
            return _value(left) ** int(exponent)
        case ast.BinOp(left=left, op=operation, right=right) if type(operation) in _OPERATIONS:
            return _OPERATIONS[type(operation)](_value(left), _value(right))
        case _:
            raise ValueError("no sum")
