"""Generated questions on numbers and equations. Each kind is a function of its own chance and a level 1 to 5.

Every question is built around the answer or computes it exactly (integers and `fractions.Fraction`), so the
answer is right by construction.
"""

from __future__ import annotations

from fractions import Fraction
from random import Random

from inframind.simulator.item_latex import (
    ask,
    exact,
    linear_combination,
    nonzero,
    polynomial,
    root_multiple,
)


def arithmetic(rng: Random, level: int) -> tuple[str, str]:
    """A chain of operations on integers, longer with the level."""
    a, b, c, d, e = (rng.randint(2, 9 + 8 * level) for _ in range(5))
    match level:
        case 1:
            text, value = f"{a} + {b} - {c}", a + b - c
        case 2:
            text, value = rf"{a} \cdot {b} - {c}", a * b - c
        case 3:
            text, value = rf"{a} \cdot ({b} - {c}) + {d}", a * (b - c) + d
        case 4:
            text, value = rf"{a} \cdot ({b} + {c}) - {d} \cdot {e}", a * (b + c) - d * e
        case _:
            text, value = rf"({a} - {b}) \cdot ({c} + {d}) - {e}^2 + {a}", (a - b) * (c + d) - e**2 + a
    return ask(rng, f"the value of ${text}$"), str(value)


def linear(rng: Random, level: int) -> tuple[str, str]:
    """One linear equation in x."""
    if level == 5:
        return _linear_with_brackets(rng)
    a, b = nonzero(rng, 3 + 2 * level), nonzero(rng, 5 * level)
    c = 0 if level <= 2 else a + nonzero(rng, 2 + level)
    if level <= 3:
        x = Fraction(nonzero(rng, 4 + 3 * level))
        d = int((a - c) * x) + b
    else:
        d = nonzero(rng, 5 * level)
        x = Fraction(d - b, a - c)
    equation = f"{linear_combination([(a, 'x'), (b, '')])} = {linear_combination([(c, 'x'), (d, '')])}"
    return ask(rng, f"the solution $x$ of the equation ${equation}$"), exact(x)


def _linear_with_brackets(rng: Random) -> tuple[str, str]:
    a, c = rng.sample(range(2, 10), 2)
    b, d, e = nonzero(rng, 25), nonzero(rng, 25), rng.randint(1, 30)
    left, right = linear_combination([(1, "x"), (b, "")]), linear_combination([(1, "x"), (d, "")])
    wanted = f"the solution $x$ of the equation ${a}({left}) = {c}({right}) + {e}$"
    return ask(rng, wanted), exact(Fraction(c * d + e - a * b, a - c))


def quadratic(rng: Random, level: int) -> tuple[str, str]:
    """Roots of a quadratic: integers, then fractions, then radicals."""
    if level <= 2:
        low = nonzero(rng, 4 + 4 * level)
        high = low + rng.randint(1, 8)
        return ask(rng, f"the larger root of ${polynomial([1, -low - high, low * high])} = 0$"), str(high)
    if level == 3:
        a, numerator, other = rng.randint(2, 6), nonzero(rng, 15), nonzero(rng, 9)
        roots = Fraction(numerator, a), Fraction(other)
        equation = polynomial([a, -a * other - numerator, numerator * other])
        return ask(rng, f"the larger root of ${equation} = 0$"), exact(max(roots))
    centre, factor, radicand = nonzero(rng, 9), rng.randint(1, 5), rng.choice((2, 3, 5, 6, 7, 10, 11, 13))
    equation = polynomial([1, -2 * centre, centre**2 - factor**2 * radicand])
    if level == 4:
        answer = f"{centre}+{root_multiple(factor, radicand)}"
        return ask(rng, f"the larger root of ${equation} = 0$"), answer
    wanted = f"the positive difference between the two roots of ${equation} = 0$"
    return ask(rng, wanted), root_multiple(2 * factor, radicand)


def systems(rng: Random, level: int) -> tuple[str, str]:
    """Simultaneous linear equations."""
    if level == 5:
        return _three_unknowns(rng)
    x, y = nonzero(rng, 5 + 3 * level), nonzero(rng, 5 + 3 * level)
    a, b = (1, 1) if level == 1 else (rng.randint(1, 6), rng.randint(1, 6))
    c, d = (1, -1) if level == 1 else (rng.randint(1, 6), -rng.randint(1, 6))
    divisor = rng.randint(2, 5) if level == 4 else 1
    p, q = Fraction(x, divisor), Fraction(y, divisor)
    first, second = (a * p + b * q) * divisor, (c * p + d * q) * divisor
    left = linear_combination([(a * divisor, "x"), (b * divisor, "y")])
    right = linear_combination([(c * divisor, "x"), (d * divisor, "y")])
    equations = f"${left} = {first}$ and ${right} = {second}$"
    wanted, value = ("x + y", p + q) if level == 3 else ("x", p)
    return f"Suppose that {equations}. " + ask(rng, f"the value of ${wanted}$"), exact(value)


def _three_unknowns(rng: Random) -> tuple[str, str]:
    x, y, z = (nonzero(rng, 12) for _ in range(3))
    k, m = rng.randint(2, 4), rng.randint(2, 4)
    rows = (
        ([(k, "x"), (1, "y"), (1, "z")], k * x + y + z),
        ([(1, "x"), (m, "y"), (-1, "z")], x + m * y - z),
        ([(1, "x"), (-1, "y"), (k * m, "z")], x - y + k * m * z),
    )
    first, second, third = (f"${linear_combination(terms)} = {total}$" for terms, total in rows)
    return f"Suppose that {first}, {second} and {third}. " + ask(rng, "the value of $y$"), str(y)


def sequence(rng: Random, level: int) -> tuple[str, str]:
    """Arithmetic, geometric and recursive sequences."""
    start, step, n = rng.randint(1, 12), rng.randint(2, 5 + level), rng.randint(8, 12 + 8 * level)
    match level:
        case 1:
            given = f"An arithmetic sequence starts with ${start}$ and has common difference ${step}$. "
            return given + ask(rng, f"its term number ${n}$"), str(start + (n - 1) * step)
        case 2:
            given = f"An arithmetic sequence starts with ${start}$ and has common difference ${step}$. "
            wanted = f"the sum of its first ${n}$ terms"
            return given + ask(rng, wanted), str(n * (2 * start + (n - 1) * step) // 2)
        case 3:
            n = rng.randint(4, 7)
            given = f"A geometric sequence starts with ${start}$ and has common ratio ${step}$. "
            return given + ask(rng, f"its term number ${n}$"), str(start * step ** (n - 1))
        case 4:
            top = rng.randint(1, step - 1)
            given = (
                rf"A geometric series starts with ${start}$ and has common ratio $\frac{{{top}}}{{{step}}}$. "
            )
            return given + ask(rng, "the sum of the infinite series"), exact(
                Fraction(start * step, step - top)
            )
        case _:
            return _recurrence(rng, start)


def _recurrence(rng: Random, start: int) -> tuple[str, str]:
    factor, shift, n = rng.randint(2, 3), nonzero(rng, 9), rng.randint(5, 8)
    value = start
    for _ in range(n - 1):
        value = factor * value + shift
    rule = linear_combination([(factor, "a_{n-1}"), (shift, "")])
    given = f"A sequence has $a_1 = {start}$ and $a_n = {rule}$ for $n > 1$. "
    return given + ask(rng, f"$a_{{{n}}}$"), str(value)


_NAMES = ("Ada", "Ben", "Chloe", "Dev", "Elif", "Femi", "Grace", "Hugo", "Ines", "Jonas", "Kira", "Luis")
_GOODS = ("jacket", "bicycle", "lamp", "backpack", "telescope", "keyboard", "kettle", "camera")


def percent(rng: Random, level: int) -> tuple[str, str]:
    """Word problems on percentages, ratios and rates."""
    price, rate, other = 20 * rng.randint(2, 10 * level), 5 * rng.randint(1, 12), 5 * rng.randint(1, 9)
    (name, second), goods = rng.sample(_NAMES, 2), rng.choice(_GOODS)
    match level:
        case 1:
            return ask(rng, rf"${rate}\%$ of ${price}$"), exact(Fraction(price * rate, 100))
        case 2:
            given = rf"{name} buys a {goods} that costs ${price}$ dollars at a discount of ${rate}\%$. "
            return given + ask(rng, "the price paid, in dollars"), exact(Fraction(price * (100 - rate), 100))
        case 3:
            value = Fraction(price * (100 + rate) * (100 - other), 10_000)
            change = rf"rises by ${rate}\%$ and then falls by ${other}\%$"
            given = f"The price of a {goods} is ${price}$ dollars. It {change}. "
            return given + ask(rng, "the final price in dollars, as an exact number"), exact(value)
        case 4:
            a, b, total = rng.randint(2, 9), rng.randint(2, 9), rng.randint(20, 90)
            given = f"{name} and {second} share ${total}$ litres of paint in the ratio ${a}$ to ${b}$. "
            return given + ask(rng, f"{name}'s share in litres, as a fraction"), exact(
                Fraction(total * a, a + b)
            )
        case _:
            a, b = rng.randint(2, 15), rng.randint(2, 15)
            c = a + b + rng.randint(1, 20)
            given = (
                f"{name} alone paints a wall in ${a}$ hours and {second} alone in ${b}$ hours, "
                f"while a child undoes the work of a whole wall in ${c}$ hours. "
            )
            rate_sum = Fraction(1, a) + Fraction(1, b) - Fraction(1, c)
            return given + ask(rng, "the number of hours that all three need together"), exact(1 / rate_sum)


def calculus(rng: Random, level: int) -> tuple[str, str]:
    """Values of derivatives and definite integrals of polynomials."""
    a, b, c, d = (nonzero(rng, 3 + level) for _ in range(4))
    point = rng.randint(1, 2 + level)
    if level <= 2:
        coefficients = [a, b, c] if level == 1 else [a, b, c, d]
        degree = len(coefficients) - 1
        slope = sum(
            k * (degree - i) * point ** (degree - i - 1) for i, k in enumerate(coefficients) if i < degree
        )
        return ask(rng, f"the derivative of ${polynomial(coefficients)}$ at $x = {point}$"), str(slope)
    low = rng.randint(0, 2) if level > 3 else 0
    coefficients = {3: [a, b], 4: [a, b, c], 5: [a, b, c, d]}[level]
    area = _antiderivative(coefficients, low + point) - _antiderivative(coefficients, low)
    integral = rf"\int_{{{low}}}^{{{low + point}}} ({polynomial(coefficients)})\,dx"
    return ask(rng, f"the value of ${integral}$"), exact(area)


def _antiderivative(coefficients: list[int], at: int) -> Fraction:
    degree = len(coefficients)
    return sum(
        (Fraction(k * at ** (degree - i), degree - i) for i, k in enumerate(coefficients)), start=Fraction(0)
    )
