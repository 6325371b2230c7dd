import itertools
import json
import math
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from inframind.errors import ConfigError, InvalidItems
from inframind.simulator.items import (
    KINDS,
    MATH_LEVEL_MIX,
    generate_item,
    generate_items,
    is_generated,
    item_from_id,
    load_items,
)

MATH_FILE = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "math" / "validation.jsonl"

X, Y, Z = sympy.symbols("x y z")


def read_latex(text: str) -> sympy.Expr:
    text = text.replace(r"\cdot", "*").replace("^", "**").replace("{", "(").replace("}", ")")
    text = re.sub(r"\\frac(\([^()]*(?:\([^()]*\)[^()]*)*\))(\(\d+\))", r"(\1/\2)", text)
    text = text.replace(r"\sqrt", "sqrt").replace(r"\pi", "pi")
    text = re.sub(r"(\d|\))(?=[a-z(])", r"\1*", text)
    return sympy.sympify(text)


def integers(question: str) -> list[int]:
    return [int(n) for n in re.findall(r"\d+", question)]


def formulas(question: str) -> list[str]:
    return re.findall(r"\$([^$]*)\$", question)


def equation(formula: str) -> sympy.Expr:
    left, right = formula.split("=")
    return read_latex(left) - read_latex(right)


def roots(question: str) -> list[sympy.Expr]:
    return sorted(sympy.roots(equation(formulas(question)[0]), X, multiple=True))


def solve_arithmetic(question: str, level: int) -> sympy.Expr:
    return read_latex(formulas(question)[0])


def solve_linear(question: str, level: int) -> sympy.Expr:
    (root,) = sympy.solve(equation(formulas(question)[1]), X)
    return root


def solve_quadratic(question: str, level: int) -> sympy.Expr:
    found = roots(question)
    return found[-1] - found[0] if "difference" in question else found[-1]


def solve_systems(question: str, level: int) -> sympy.Expr:
    *given, wanted = formulas(question)
    (solution,) = sympy.linsolve([equation(formula) for formula in given], X, Y, Z)
    return read_latex(wanted).subs(dict(zip((X, Y, Z), solution, strict=True)))


def solve_sequence(question: str, level: int) -> sympy.Expr:
    if level == 5:
        start, rule, _, wanted = formulas(question)
        value = int(start.split("=")[1])
        for _ in range(integers(wanted)[0] - 1):
            value = int(read_latex(rule.split("=")[1].replace("a_{n-1}", "x")).subs(X, value))
        return value
    start, *numbers = integers(question)
    if level == 4:
        return sympy.summation(start * sympy.Rational(*numbers) ** X, (X, 0, sympy.oo))
    step, n = numbers
    terms = [start * step**k if level == 3 else start + k * step for k in range(n)]
    return sum(terms) if level == 2 else terms[-1]


def solve_percent(question: str, level: int) -> sympy.Expr:
    a, b, *rest = map(sympy.Integer, integers(question))
    match level:
        case 1:
            return a * b / 100
        case 2:
            return a - a * b / 100
        case 3:
            return a * (1 + b / 100) * (1 - rest[0] / 100)
        case 4:
            return sympy.solve(X / (a - X) - b / rest[0], X)[0]
        case _:
            return sympy.solve(X / a + X / b - X / rest[0] - 1, X)[0]


def solve_calculus(question: str, level: int) -> sympy.Expr:
    if level <= 2:
        function, point = formulas(question)
        return sympy.diff(read_latex(function), X).subs(X, read_latex(point.split("=")[1]))
    low, high, function = re.search(r"int_\{(\d+)\}\^\{(\d+)\} \((.*)\)\\,dx", question).groups()  # type: ignore[union-attr]
    return sympy.integrate(read_latex(function), (X, int(low), int(high)))


def solve_modular(question: str, level: int) -> int:
    a, *rest = integers(question)
    match level:
        case 1:
            return a % rest[0]
        case 2:
            return a * rest[0] % rest[1]
        case 3:
            return a ** rest[0] % rest[1]
        case 4:
            k, b, n, m = rest
            return (a**k + b**n) % m
        case _:
            return next(x for x in itertools.count(1) if (a * x - rest[0]) % rest[1] == 0)


def solve_divisors(question: str, level: int) -> int:
    numbers = integers(question)
    greatest = max(d for d in range(1, min(numbers) + 1) if all(n % d == 0 for n in numbers))
    least = next(m for m in itertools.count(max(numbers), max(numbers)) if all(m % n == 0 for n in numbers))
    return {1: greatest, 2: least, 3: greatest, 4: least, 5: greatest + least}[level]


def solve_counting(question: str, level: int) -> int:
    if level <= 2:
        return len(list(sympy.primerange(integers(question)[0])))
    if level == 3:
        return int(sympy.divisor_count(integers(question)[0]))
    _, n, a, *rest = integers(question)
    if level == 4:
        return n // a + n // rest[0] - n // math.lcm(a, rest[0])
    return sum(not set(sympy.primefactors(k)) & set(sympy.primefactors(a)) for k in range(1, n + 1))


def solve_combinatorics(question: str, level: int) -> int:
    if level == 3:
        word = re.search(r"text\{(\w+)\}", question).group(1)  # type: ignore[union-attr]
        return count_anagrams(word)
    numbers = integers(question)
    match level:
        case 1:
            return sum(1 for _ in itertools.permutations(range(numbers[0])))
        case 2:
            return sum(1 for _ in itertools.combinations(range(numbers[1]), numbers[0]))
        case 4:
            k, n, j, m = numbers
            choices = [sum(1 for _ in itertools.combinations(range(b), a)) for a, b in ((k, n), (j, m))]
            return choices[0] * choices[1]
        case _:
            balls, boxes = numbers
            return sum(1 for _ in itertools.combinations(range(1, balls), boxes - 1))


def count_anagrams(word: str) -> int:
    remaining, total = len(word), 1
    for letter in sorted(set(word)):
        total *= math.comb(remaining, word.count(letter))
        remaining -= word.count(letter)
    return total


def solve_probability(question: str, level: int) -> Fraction:
    numbers = integers(question)
    if level == 2:
        throws = list(itertools.product(range(1, 7), repeat=2))
        return Fraction(sum(sum(throw) == numbers[0] for throw in throws), len(throws))
    if level == 4:
        tosses = list(itertools.product((0, 1), repeat=numbers[0]))
        return Fraction(sum(sum(toss) == numbers[1] for toss in tosses), len(tosses))
    wished = [1] * numbers[0] + [0] * numbers[1]
    draws, hits = {1: (1, 1), 3: (2, 2), 5: (3, 2)}[level]
    outcomes = [sum(draw) == hits for draw in itertools.combinations(wished, draws)]
    return Fraction(sum(outcomes), len(outcomes))


def solve_geometry(question: str, level: int) -> sympy.Expr:
    a, *rest = map(sympy.Integer, integers(question))
    match level:
        case 1:
            return sympy.Polygon((0, 0), (a, 0), (a, rest[0]), (0, rest[0])).perimeter
        case 2:
            return sympy.Circle((0, 0), a / 2).area
        case 3:
            return sympy.Point(a, 0).distance(sympy.Point(0, rest[0]))
        case 4:
            return sympy.Triangle(sss=(a, a, a)).area
        case _:
            return sympy.pi * a * sympy.sqrt(a**2 + rest[0] ** 2)


def solve_bases(question: str, level: int) -> int:
    if level == 3:
        base, number = integers(question)
        return next(d for d in itertools.count(number) if base_ten(d, base) == number)
    terms = [base_ten(int(digits), int(base)) for digits, base in re.findall(r"(\d+)_\{(\d)\}", question)]
    if level == 5:
        base = integers(question)[0]
        return next(d for d in itertools.count(sum(terms)) if base_ten(d, base) == sum(terms))
    return sum(terms)


def base_ten(digits: int, base: int) -> int | None:
    return None if any(int(d) >= base for d in str(digits)) else int(str(digits), base)


SOLVERS: dict[str, Callable[[str, int], object]] = {
    name.removeprefix("solve_"): solver
    for name, solver in list(globals().items())
    if name.startswith("solve_")
}


@pytest.mark.parametrize("level", range(1, 6))
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**48))
def test_the_answer_is_what_an_independent_solver_finds(kind: str, level: int, seed: int) -> None:
    item = generate_item(seed, level, kind)
    found = SOLVERS[kind](item.question, level)
    assert sympy.simplify(read_latex(item.answer) - found) == 0, item


@settings(deadline=None)
@given(seed=st.integers(0, 2**48), level=st.integers(1, 5))
def test_an_item_comes_back_from_its_id(seed: int, level: int) -> None:
    item = generate_item(seed, level)
    assert is_generated(item.item_id)
    assert item_from_id(item.item_id) == item


def test_an_item_is_the_same_on_every_machine() -> None:
    item = item_from_id("gen/modular/3/17")
    assert (item.question, item.answer, item.level, item.domain, item.subject) == (
        "Calculate the remainder when $251^{6}$ is divided by $18$.",
        "1",
        3,
        "math",
        "Number Theory",
    )


def test_items_have_different_questions_of_all_kinds_and_the_levels_asked_for() -> None:
    items = generate_items(2000, seed=5)
    assert items == generate_items(2000, seed=5)
    assert len({item.question for item in items}) == 2000
    assert {item.item_id.split("/")[1] for item in items} == set(KINDS)
    for level, weight in MATH_LEVEL_MIX.items():
        assert sum(item.level == level for item in items) / 2000 == pytest.approx(weight / 131, abs=0.04)
    assert {item.level for item in generate_items(10, seed=1, levels={4: 1.0})} == {4}


@pytest.mark.parametrize(
    "item_id",
    ["", "gen", "gen/linear/3", "gen/linear/6/1", "gen/poetry/3/1", "math_test/7", "gen/linear/3/1/x"],
)
def test_an_id_of_no_generated_item_is_refused(item_id: str) -> None:
    with pytest.raises(ConfigError):
        item_from_id(item_id)


def test_a_level_out_of_range_is_refused() -> None:
    with pytest.raises(ConfigError, match="level = 6"):
        generate_item(1, 6)


def write(path: Path, *lines: object) -> Path:
    path.write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    return path


def test_a_file_of_questions_is_read_with_defaults_filled_in(tmp_path: Path) -> None:
    path = write(
        tmp_path / "quiz.jsonl",
        {
            "id": "a",
            "problem": "1 + 1?",
            "answer": "2",
            "level": 3,
            "subject": "Algebra",
            "domain": "general",
        },
        {"question": "Hm " * 50, "answer": 7, "solution": "ignored"},
    )
    first, second = load_items(path)
    assert (first.item_id, first.question, first.answer, first.level) == ("a", "1 + 1?", "2", 3)
    assert (first.domain, first.subject) == ("general", "Algebra")
    assert (second.item_id, second.answer, second.level, second.domain) == ("quiz/2", "7", 3, "math")


@pytest.mark.parametrize(
    ("content", "line", "problem"),
    [
        (b"", None, "holds no items"),
        (b"\n \n", None, "holds no items"),
        (b'{"question": "q", "answer": "a"}\n\xff\xfe', 2, "not UTF-8"),
        (b"\n{oops", 2, "not JSON"),
        (b"[1]", 1, "a JSON list"),
        (b"[" * 100_000, 1, "not JSON"),
        (b'{"answer": "a"}', 1, "no field 'question'"),
        (b'{"problem": "q"}', 1, "no field 'answer'"),
        (b'{"problem": "  ", "answer": "a"}', 1, "problem is empty"),
        (b'{"problem": "q", "answer": ""}', 1, "answer is empty"),
        (b'{"problem": "q", "answer": null}', 1, "answer is a NoneType"),
        (b'{"problem": "q", "answer": "a", "level": "Level 5"}', 1, "level = 'Level 5'"),
        (b'{"problem": "q", "answer": "a", "level": true}', 1, "level = True"),
    ],
)
def test_a_broken_file_is_refused_with_line_problem_and_fix(
    tmp_path: Path, content: bytes, line: int | None, problem: str
) -> None:
    path = tmp_path / "items.jsonl"
    path.write_bytes(content)
    with pytest.raises(InvalidItems, match=re.escape(problem)) as caught:
        load_items(path)
    assert (caught.value.path, caught.value.line) == (str(path), line)
    assert "; " in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidItems, match="cannot be read"):
        load_items(tmp_path / "none.jsonl")


def test_the_math_questions_are_read() -> None:
    if not MATH_FILE.exists():
        pytest.skip("needs ../shared/data/math")
    items = load_items(MATH_FILE)
    assert [sum(item.level == level for item in items) for level in range(1, 6)] == list(
        MATH_LEVEL_MIX.values()
    )


def test_a_byte_order_mark_is_no_part_of_the_first_question(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"question": "What is 1 + 1?", "answer": "2"}\n')
    assert [item.answer for item in load_items(path)] == ["2"]
