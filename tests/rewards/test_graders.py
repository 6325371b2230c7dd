import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inframind.errors import ConfigError
from inframind.rewards.graders import MathGrader, NumericGrader, Verdict, grader_for
from inframind.rewards.symbolic import SymbolicChecker

MATH_FILES = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "math"


@pytest.fixture(scope="module")
def checker() -> Iterator[SymbolicChecker]:
    checker = SymbolicChecker(limit_s=2.0)
    yield checker
    checker.close()


@pytest.fixture(scope="module")
def math(checker: SymbolicChecker) -> MathGrader:
    return MathGrader(checker=checker)


@pytest.mark.parametrize(
    ("answer", "expected", "string_equal", "symbolic_equal"),
    [
        ("48", "48", True, True),
        ("49", "48", False, False),
        (r"\dfrac 8{81}", r"\frac{8}{81}", True, True),
        ("2.5", r"\frac{5}{2}", False, True),
        (r"\frac{10}{4}", r"\frac{5}{2}", False, True),
        ("58500", "58,500", False, True),
        (r"10\sqrt{3}", r"\sqrt{300}", False, True),
        (r"\frac{1}{\sqrt{3}}", r"\frac{\sqrt{3}}{3}", False, True),
        ("x^2 - 2x + 8", "8 + x^2 - 2x", False, True),
        ("x^2 - 2x + 9", "8 + x^2 - 2x", False, False),
        ("(x-1)(x+1)", "x^2-1", False, True),
        ("(1,3)", "(1,2)", False, False),
        (r"25\pi", r"25 \pi", True, True),
        (r"24\pi", r"25\pi", False, False),
        ("0.33", r"\frac{1}{3}", False, False),
        ("B", r"\text{(B)}", False, True),
        (r"\frac{1}{0}", "3", False, False),
    ],
)
def test_the_two_verdicts_on_a_boxed_answer(
    math: MathGrader, answer: str, expected: str, string_equal: bool, symbolic_equal: bool
) -> None:
    verdict = math.grade(rf"Therefore $\boxed{{{answer}}}$.", expected)
    assert verdict == Verdict(
        string_equal=string_equal, symbolic_equal=symbolic_equal, extracted=answer, expected=expected
    )
    assert verdict.solved == (string_equal or symbolic_equal)


def test_a_text_without_an_answer_is_wrong_and_says_why(math: MathGrader) -> None:
    verdict = math.grade("I give up", "")
    assert not verdict.solved
    assert (verdict.extracted, verdict.note) == ("", "no final answer in the text")


@pytest.mark.parametrize("answer", ["9^{9^{9^{9}}}", "(x+y+z+1)^{9999}"])
def test_an_endless_comparison_is_undecided_and_the_next_one_works(math: MathGrader, answer: str) -> None:
    verdict = math.grade(rf"\boxed{{{answer}}}", "3")
    assert verdict.symbolic_equal is None
    assert verdict.note.startswith("not decided within 2 s")
    assert not verdict.solved
    assert math.grade(r"\boxed{\sqrt{8}}", r"2\sqrt{2}").solved


@pytest.mark.parametrize(
    "text",
    [
        "{" * 100_000,
        r"\boxed{" + "{" * 100_000,
        r"\boxed{" * 15_000,
        r"\boxed{" + r"\frac" * 20_000,
        "answer is " * 10_000,
        "-" * 100_000,
        "1," * 50_000,
        "(A" * 50_000,
    ],
    ids=lambda text: f"{text[:12]}...",
)
@pytest.mark.parametrize("name", ["math", "numeric", "choice", "exact"])
def test_hostile_text_is_a_wrong_answer(name: str, text: str) -> None:
    assert not grader_for(name).grade(text, "3").solved


def test_an_overlong_answer_is_not_compared_symbolically(checker: SymbolicChecker) -> None:
    equal, note = checker.equal("3", "1+" * 300 + "1")
    assert equal is None
    assert note == "not compared: longer than 400 characters"


def test_grading_works_from_threads_and_from_async_code(math: MathGrader) -> None:
    solved: list[bool] = []
    threads = [
        threading.Thread(target=lambda: solved.append(math.grade(r"\boxed{\sqrt{12}}", r"2\sqrt{3}").solved))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    async def in_a_loop() -> bool:
        return (await asyncio.to_thread(math.grade, r"\boxed{\sqrt{18}}", r"3\sqrt{2}")).solved

    assert [*solved, asyncio.run(in_a_loop())] == [True] * 5


def test_a_closed_checker_starts_again() -> None:
    checker = SymbolicChecker()
    assert checker.equal("x+1", "1+x") == (True, "")
    checker.close()
    assert checker.equal("x+1", "x+2") == (False, "")
    checker.close()


def test_a_checker_needs_a_positive_limit() -> None:
    with pytest.raises(ConfigError, match="limit_s"):
        SymbolicChecker(limit_s=0)


@pytest.mark.parametrize("name", ["train", "validation"])
def test_every_gold_answer_is_found_in_its_own_solution(math: MathGrader, name: str) -> None:
    path = MATH_FILES / f"{name}.jsonl"
    if not path.exists():
        pytest.skip("needs ../shared/data/math")
    items = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    failed = [item["id"] for item in items if not math.grade(item["solution"], item["answer"]).solved]
    assert failed == []
    assert len(items) == {"train": 519, "validation": 131}[name]


@pytest.mark.parametrize(
    ("text", "expected", "tolerance", "solved"),
    [
        ("So 1,000 it is", "1000", 0.0, True),
        ("The answer is 0.50", "1/2", 0.0, True),
        ("The answer is -7", "7", 0.0, False),
        ("3.14", "3.14159", 0.0, False),
        ("3.14", "3.14159", 1e-3, True),
        ("100", "101", 0.01, True),
        ("1/0", "1", 0.5, False),
        ("12", "no number", 0.0, False),
    ],
)
def test_numbers_are_compared_by_value(text: str, expected: str, tolerance: float, solved: bool) -> None:
    assert NumericGrader(relative_tolerance=tolerance).grade(text, expected).solved == solved


def test_a_negative_tolerance_is_refused() -> None:
    with pytest.raises(ConfigError, match="relative_tolerance"):
        NumericGrader(relative_tolerance=-0.1)


@pytest.mark.parametrize(
    ("name", "text", "expected", "solved"),
    [
        ("choice", "The answer is (B).", "B", True),
        ("choice", "The answer is (B).", "(B)", True),
        ("choice", "The answer is (B).", "C", False),
        ("choice", "no idea", "C", False),
        ("exact", "The answer is paris.", "Paris", True),
        ("exact", "Rome", "Paris", False),
        ("exact", "", "", False),
    ],
)
def test_letters_and_words_are_compared_as_such(name: str, text: str, expected: str, solved: bool) -> None:
    assert grader_for(name).grade(text, expected).solved == solved


def test_an_unknown_grader_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="math, numeric, choice, exact"):
        grader_for("essay")


@settings(deadline=None)
@given(text=st.text(), expected=st.text())
def test_string_verdicts_never_raise(text: str, expected: str) -> None:
    for name in ("numeric", "choice", "exact"):
        grader_for(name).grade(text, expected)
