"""Typical wrong answers to a question, made from the right one.

Models that fail tend to fail alike: a slipped sign, an answer off by one, a forgotten factor, a fraction upside
down. Each question has its own few, in its own order of temptation, the same for every model; so wrong answers
sometimes agree, and a majority means something but not everything.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from fractions import Fraction
from random import Random

from inframind.rewards.normalise import answers_agree, canonical_answer, normalise_math, rational_value
from inframind.simulator.item_latex import exact

N_MISTAKES = 4

# Digits of an exponent or of an index may carry no weight (``11_2``, ``\text{ cm}^2``): those stay as they are.
_CHANGEABLE = re.compile(r"(?<![0-9_^.])(?<![_^]\{)[0-9]+(?![0-9.])")
_CHOICE = re.compile(r"^\(?([A-J])\)?$")


@functools.lru_cache(maxsize=4096)
def typical_mistakes(question: str, answer: str) -> tuple[str, ...]:
    """Four different wrong answers, most tempting first; none agrees with ``answer``."""
    rng = Random(f"mistakes/{question}".encode("utf-8", "surrogatepass"))
    candidates = list(_slips(answer, rng))
    wrong: list[str] = []
    for candidate in [*rng.sample(candidates, len(candidates)), *_last_resorts(answer)]:
        if not any(answers_agree(candidate, other) for other in (answer, *wrong)):
            wrong.append(candidate)
        if len(wrong) == N_MISTAKES:
            break
    return tuple(wrong)


def _slips(answer: str, rng: Random) -> Iterator[str]:
    value = rational_value(answer)
    choice = _CHOICE.match(canonical_answer(answer))
    if value is not None:
        yield from map(exact, _number_slips(value, rng))
    elif choice:
        yield from (letter for letter in "ABCDE" if letter != choice.group(1))
    else:
        yield from _expression_slips(normalise_math(answer))


def _number_slips(value: Fraction, rng: Random) -> Iterator[Fraction]:
    if value.denominator != 1:
        yield 1 / value
        yield 1 - value
        yield -value
        yield value * 2
        yield value + Fraction(1, value.denominator)
        return
    yield -value
    yield value + 1
    yield value - 1
    yield value * 2
    yield value + rng.choice((-1, 1)) * 10
    if value % 2 == 0:
        yield value / 2


def _expression_slips(expression: str) -> Iterator[str]:
    """One number of the expression changed: an increment or a factor of two."""
    for number in list(_CHANGEABLE.finditer(expression))[:3]:
        for changed in (int(number.group()) + 1, int(number.group()) * 2):
            yield f"{expression[: number.start()]}{changed}{expression[number.end() :]}"


def _last_resorts(answer: str) -> Iterator[str]:
    """Plain numbers, for answers without enough numbers of their own."""
    yield from (str(n) for n in (0, 1, 2, -1, 12, 7, 100, 5))
