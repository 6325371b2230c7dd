import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inframind.rewards.extraction import AnswerKind, extract_answer, stated_answers

KINDS: list[AnswerKind] = ["math", "numeric", "choice", "exact"]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"So $x = \boxed{48}.$", "48"),
        (r"First \boxed{1}, no: \boxed{\frac{8}{81}}.", r"\frac{8}{81}"),
        (r"\fbox{7}", "7"),
        (r"\boxed 5 apples", "5"),
        (r"$\boxed{\text{a \} b}}$", r"\text{a \} b}"),
        (r"cut off: \boxed{\frac{1}{2", r"\frac{1}{2"),
        (r"The answer is 3, so \boxed{4}. The answer is 5.", "4"),
        ("The answer is $12$.", "12"),
        ("the answer is 1. No, the answer is 2.", "2"),
        ("The answer is 2.5. I am sure of it.", "2.5"),
        ("**Final Answer:** 42", "42"),
        ("Final answer: x+1\nThank you.", "x+1"),
        ("Final answer:\n\n 17", "17"),
        ("I think it is 9", ""),
        ("", ""),
        (r"\boxedness", ""),
    ],
)
def test_the_math_answer_is_the_last_box_or_what_follows_the_cue(text: str, answer: str) -> None:
    assert extract_answer(text, "math") == answer


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("3 apples and 4 pears make 7", "7"),
        (r"\boxed{12} of 13", "12"),
        ("The answer is -3.5 or so, given 9 tries", "9"),
        ("The answer is 1,234,567.5.", "1234567.5"),
        ("It costs $1,000", "1000"),
        ("It is 3/4", "3/4"),
        (r"It is -\frac{3}{4}.", "-3/4"),
        ("x1 and y2", ""),
        ("2.5e-3 metres", "2.5e-3"),
        ("from .5", ".5"),
        (r"\boxed{11{,}000}", "11000"),
        ("5-3", "3"),
        ("none", ""),
    ],
)
def test_the_numeric_answer_is_the_last_number_of_the_best_place(text: str, number: str) -> None:
    assert extract_answer(text, "numeric") == number


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("The answer is (B).", "B"),
        ("the answer is c", "C"),
        (r"\boxed{\text{D}}", "D"),
        (r"Either (A) or (J), so \boxed{(E)}", "E"),
        ("Options (A) and (C) remain; I take (C)", "C"),
        ("B) Paris", "B"),
        ("**H**", "H"),
        ("The answer is unclear", ""),
        ("A good question", ""),
        ("I do not know", ""),
        ("(K)", ""),
    ],
)
def test_the_choice_is_a_letter_from_a_to_j(text: str, letter: str) -> None:
    assert extract_answer(text, "choice") == letter


@pytest.mark.parametrize(
    ("text", "answer"), [(" Paris \n", "Paris"), ("The answer is Paris.", "Paris"), (r"\boxed{Rome}", "Rome")]
)
def test_the_exact_answer_is_the_whole_text_without_a_cue(text: str, answer: str) -> None:
    assert extract_answer(text, "exact") == answer


def test_all_stated_answers_are_listed_in_order() -> None:
    text = (
        r"Ann: the answer is $\boxed{1}$. Bob: \boxed{2}+1} \nEve: The answer is 3.5. \fbox{4} and \boxed{5"
    )
    assert stated_answers(text) == ["1", "2", "3.5", "4", "5"]


def test_an_empty_box_states_nothing() -> None:
    assert stated_answers(r"Put it in \boxed{}, as \boxed{ }.") == []


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)
@given(text=st.text() | st.text(alphabet=list("\\{}boxed answer is:.123(B)$- /,")))
def test_extraction_never_raises(kind: AnswerKind, text: str) -> None:
    assert isinstance(extract_answer(text, kind), str)
