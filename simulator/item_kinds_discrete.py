"""Generated questions on integers, counting, chance and figures. See `item_kinds_algebra` for the contract."""

from __future__ import annotations

import math
from fractions import Fraction
from random import Random

from inframind.simulator.item_latex import ask, exact, in_base, root_multiple, scaled

_WORDS = (
    "LEVEL",
    "BANANA",
    "COFFEE",
    "BALLOON",
    "PEPPER",
    "SUCCESS",
    "TOMATO",
    "ARRANGE",
    "COMMITTEE",
    "PARALLEL",
)
_COLOURS = (("red", "blue"), ("green", "white"), ("black", "yellow"), ("silver", "purple"))


def modular(rng: Random, level: int) -> tuple[str, str]:
    """Remainders and congruences."""
    m = rng.randint(5, 9 + 4 * level)
    a, b = rng.randint(30, 90 * level), rng.randint(30, 90 * level)
    k, n = rng.randint(5, 15 * level), rng.randint(5, 15 * level)
    match level:
        case 1:
            return ask(rng, f"the remainder when ${a * 7 + b}$ is divided by ${m}$"), str((a * 7 + b) % m)
        case 2:
            return ask(rng, rf"the remainder when ${a} \cdot {b}$ is divided by ${m}$"), str(a * b % m)
        case 3:
            return ask(rng, f"the remainder when ${a}^{{{k}}}$ is divided by ${m}$"), str(pow(a, k, m))
        case 4:
            total = (pow(a, k, m) + pow(b, n, m)) % m
            return ask(rng, f"the remainder when ${a}^{{{k}}} + {b}^{{{n}}}$ is divided by ${m}$"), str(total)
        case _:
            while math.gcd(a, m) != 1:
                a += 1
            x = pow(a, -1, m) * b % m or m
            wanted = rf"the smallest positive integer $x$ with ${a}x \equiv {b} \pmod{{{m}}}$"
            return ask(rng, wanted), str(x)


def divisors(rng: Random, level: int) -> tuple[str, str]:
    """Greatest common divisors and least common multiples."""
    common = rng.randint(2, 6 * level)
    a, b, c = (common * rng.randint(2, 4 + 3 * level) for _ in range(3))
    match level:
        case 1:
            return ask(rng, f"the greatest common divisor of ${a}$ and ${b}$"), str(math.gcd(a, b))
        case 2:
            return ask(rng, f"the least common multiple of ${a}$ and ${b}$"), str(math.lcm(a, b))
        case 3:
            return ask(rng, f"the greatest common divisor of ${a}$, ${b}$ and ${c}$"), str(math.gcd(a, b, c))
        case 4:
            return ask(rng, f"the least common multiple of ${a}$, ${b}$ and ${c}$"), str(math.lcm(a, b, c))
        case _:
            wanted = f"the sum of the greatest common divisor and the least common multiple of ${a}$, ${b}$ and ${c}$"
            return ask(rng, wanted), str(math.gcd(a, b, c) + math.lcm(a, b, c))


def counting(rng: Random, level: int) -> tuple[str, str]:
    """Primes, divisors and integers with a property, counted."""
    n, a, b = rng.randint(20, 60 * level), rng.randint(2, 6), rng.randint(7, 13)
    match level:
        case 1 | 2:
            return ask(rng, f"the number of primes less than ${n}$"), str(sum(map(_is_prime, range(n))))
        case 3:
            n *= rng.choice((4, 6, 10, 12))
            count = sum(n % d == 0 for d in range(1, n + 1))
            return ask(rng, f"the number of positive divisors of ${n}$"), str(count)
        case 4:
            count = sum(k % a == 0 or k % b == 0 for k in range(1, n + 1))
            wanted = f"the number of integers from $1$ to ${n}$ that are divisible by ${a}$ or by ${b}$"
            return ask(rng, wanted), str(count)
        case _:
            m = rng.choice((6, 10, 12, 15, 30, 42, 70))
            count = sum(math.gcd(k, m) == 1 for k in range(1, n + 1))
            wanted = f"the number of integers from $1$ to ${n}$ that share no prime factor with ${m}$"
            return ask(rng, wanted), str(count)


def combinatorics(rng: Random, level: int) -> tuple[str, str]:
    """Arrangements and selections."""
    n, k = rng.randint(5, 6 + level), rng.randint(2, 4)
    m, j = rng.randint(5, 9), rng.randint(2, 3)
    match level:
        case 1:
            wanted = f"the number of ways to arrange ${n}$ different books in a row"
            return ask(rng, wanted), str(math.factorial(n))
        case 2:
            return ask(rng, f"the number of ways to choose ${k}$ of ${n}$ people"), str(math.comb(n, k))
        case 3:
            word = rng.choice(_WORDS)
            repeated = math.prod(math.factorial(word.count(letter)) for letter in set(word))
            wanted = rf"the number of distinct arrangements of the letters of $\text{{{word}}}$"
            return ask(rng, wanted), str(math.factorial(len(word)) // repeated)
        case 4:
            wanted = f"the number of committees of ${k}$ of ${n}$ teachers and ${j}$ of ${m}$ pupils"
            return ask(rng, wanted), str(math.comb(n, k) * math.comb(m, j))
        case _:
            wanted = (
                f"the number of ways to put ${n + m}$ identical balls into ${k + 1}$ different boxes "
                "so that no box is empty"
            )
            return ask(rng, wanted), str(math.comb(n + m - 1, k))


def probability(rng: Random, level: int) -> tuple[str, str]:
    """Draws from a bag, dice and coins; answers are fractions."""
    r, b = rng.randint(3, 5 + level), rng.randint(3, 5 + level)
    first, second = rng.choice(_COLOURS)
    bag = f"A bag holds ${r}$ {first} and ${b}$ {second} balls. "
    match level:
        case 1:
            chance = Fraction(r, r + b)
            return f"{bag}One is drawn. " + ask(rng, f"the probability that it is {first}"), exact(chance)
        case 2:
            total = rng.randint(3, 11)
            wanted = f"the probability that two fair dice show a sum of ${total}$"
            return ask(rng, wanted), exact(Fraction(6 - abs(total - 7), 36))
        case 3:
            chance = Fraction(math.comb(r, 2), math.comb(r + b, 2))
            wanted = f"the probability that both are {first}"
            return f"{bag}Two are drawn without replacement. " + ask(rng, wanted), exact(chance)
        case 4:
            n = rng.randint(5, 9)
            k = rng.randint(2, n - 2)
            wanted = f"the probability that ${n}$ tosses of a fair coin show exactly ${k}$ heads"
            return ask(rng, wanted), exact(Fraction(math.comb(n, k), 2**n))
        case _:
            chance = Fraction(math.comb(r, 2) * b, math.comb(r + b, 3))
            wanted = f"the probability that exactly two are {first}"
            return f"{bag}Three are drawn without replacement. " + ask(rng, wanted), exact(chance)


def geometry(rng: Random, level: int) -> tuple[str, str]:
    """Areas and lengths, with radicals and pi."""
    a, b = rng.randint(2, 6 + 3 * level), rng.randint(2, 6 + 3 * level)
    match level:
        case 1:
            return ask(rng, f"the perimeter of a rectangle with sides ${a}$ and ${b}$"), str(2 * (a + b))
        case 2:
            return ask(rng, f"the area of a circle with diameter ${a}$"), scaled(Fraction(a * a, 4), r"\pi")
        case 3:
            wanted = f"the length of the hypotenuse of a right triangle with legs ${a}$ and ${b}$"
            return ask(rng, wanted), root_multiple(1, a * a + b * b)
        case 4:
            return ask(rng, f"the area of an equilateral triangle with side ${a}$"), root_multiple(
                Fraction(a * a, 4), 3
            )
        case _:
            slant = root_multiple(a, a * a + b * b)
            wanted = f"the lateral surface area of a right circular cone with radius ${a}$ and height ${b}$"
            return ask(rng, wanted), rf"{slant}\pi"


def bases(rng: Random, level: int) -> tuple[str, str]:
    """Numbers written in bases from 2 to 9."""
    base = 2 if level == 1 else rng.randint(3, 9)
    limit = 32 if level == 1 else base**3 * level
    a, b = rng.randint(base**2, limit), rng.randint(base**2, limit)
    first, second = f"{in_base(a, base)}_{{{base}}}", f"{in_base(b, base)}_{{{base}}}"
    match level:
        case 1 | 2:
            return ask(rng, f"the value of ${first}$ in base ten"), str(a)
        case 3:
            wanted = f"the base-${base}$ representation of ${a}$, digits only"
            return ask(rng, wanted), in_base(a, base)
        case 4:
            return ask(rng, f"the value of ${first} + {second}$ in base ten"), str(a + b)
        case _:
            wanted = f"the base-${base}$ representation of ${first} + {second}$, digits only"
            return ask(rng, wanted), in_base(a + b, base)


def _is_prime(n: int) -> bool:
    return n > 1 and all(n % d for d in range(2, math.isqrt(n) + 1))
