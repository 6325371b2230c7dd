"""Where the final answer stands in a model's text. Linear in the text's length; never raises.

Order of preference, everywhere: the last ``\\boxed{...}``, then what follows the last "the answer is" (or
"final answer:"). Where the literature's MATH extraction then falls back to the text's last character, we say
that there is no answer: a lone character scores by luck and hides that a model ignored its instructions.
"""

from __future__ import annotations

import re
from typing import Literal, assert_never

AnswerKind = Literal["math", "numeric", "choice", "exact"]

_BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])\s*")
_CUE = re.compile(r"\banswer\s*(?:\*\*)?\s*(?:is\b|:)\s*:?", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?](?=\s)")
_REST_OF_LINE = re.compile(r"\s*([^\n]{0,2000})")
_MARKDOWN_OR_DOLLAR = " \t*_`$"

_NUMBER = re.compile(
    r"""(?<![0-9A-Za-z_])          # not inside a word or another number
        (?P<sign>[-+−]?\s?)
        (?: \\[tdc]?frac\{(?P<top>-?[0-9]+)\}\{(?P<bottom>[0-9]+)\}
          | (?P<digits>[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?(?![0-9]) | [0-9]+(?:\.[0-9]+)? | \.[0-9]+)
            (?P<exponent>[eE][-+]?[0-9]{1,3})?
            (?P<over>\s?/\s?[0-9]+(?![0-9.]))?
        )""",
    re.VERBOSE,
)
_LATEX_SPACING = re.compile(r"\\[!,;:]|\{,\}|\\ ")

_LETTER_ALONE = re.compile(r"(?:\\text|\\mathrm|\\textbf|[\s({*$])*([A-Ja-j])(?![A-Za-z])")
_LETTER_IN_BRACKETS = re.compile(r"\(([A-J])\)")
_LETTER_LEADING = re.compile(r"[\s(*]*([A-J])(?:[).:*]|\s*$)")

_BARE_BOX = re.compile(r"[^\s$]{0,200}")
_BRACE = re.compile(r"(?<!\\)[{}]")


def extract_answer(text: str, kind: AnswerKind = "math") -> str:
    """The final answer in ``text``, or "" when there is none.

    Args:
        text: a model's whole reply.
        kind: ``math`` (LaTeX), ``numeric`` (plain number, ``n/d`` for fractions, no thousands separators),
            ``choice`` (one capital letter A to J) or ``exact`` (any words; the whole text without a cue).
    """
    match kind:
        case "math":
            return extract_math(text)
        case "numeric":
            return extract_number(text)
        case "choice":
            return extract_choice(text)
        case "exact":
            return extract_math(text) or text.strip()
        case _:
            assert_never(kind)


def extract_math(text: str) -> str:
    """Content of the last box, else what follows the last "answer is" without its closing dot, else ""."""
    boxed = last_boxed(text)
    return boxed if boxed is not None else after_cue(text)


def extract_number(text: str) -> str:
    """The last number of the box, else of the sentence after the cue, else of the text; "" without one."""
    for source in (last_boxed(text), after_cue(text), text):
        number = _last_number(source) if source else ""
        if number:
            return number
    return ""


def extract_choice(text: str) -> str:
    """The letter of the box or after the cue, else the last ``(B)``, else a text that starts with ``B)``."""
    for source in (last_boxed(text), after_cue(text)):
        alone = _LETTER_ALONE.match(source) if source else None
        if alone:
            return alone.group(1).upper()
    bracketed = _LETTER_IN_BRACKETS.findall(text)
    if bracketed:
        return str(bracketed[-1])
    leading = _LETTER_LEADING.match(text)
    return leading.group(1) if leading else ""


def last_boxed(text: str) -> str | None:
    """Content of the last ``\\boxed`` or ``\\fbox``, None without one. A missing brace closes at the end."""
    openings = list(_BOX.finditer(text))
    return _box(text, openings[-1].end())[0] if openings else None


def stated_answers(text: str) -> list[str]:
    """Every answer that ``text`` states, in order: each box, and each "answer is" sentence without a box.

    For texts in which several people speak. A box inside another is not listed, nor is an empty answer.
    """
    found: list[tuple[int, str]] = []
    end = 0
    while opening := _BOX.search(text, end):
        content, end = _box(text, opening.end())
        found.append((opening.start(), content))
    found += [(cue.end(), _sentence(text, cue.end())) for cue in _CUE.finditer(text)]
    return [answer for _, answer in sorted(found) if answer and not _BOX.search(answer)]


def after_cue(text: str) -> str:
    """The sentence after the last "answer is" or "answer:", without dollars, emphasis and closing dot."""
    cues = list(_CUE.finditer(text))
    if not cues:
        return ""
    return _sentence(text, cues[-1].end())


def _sentence(text: str, start: int) -> str:
    line = _REST_OF_LINE.match(text, start)
    assert line is not None  # the pattern matches the empty string
    sentence = _SENTENCE_END.split(line.group(1), maxsplit=1)[0]
    return sentence.strip(_MARKDOWN_OR_DOLLAR).rstrip(".").strip(_MARKDOWN_OR_DOLLAR)


def _box(text: str, start: int) -> tuple[str, int]:
    """Content of the box whose command ends at ``start``, and where the box ends."""
    if not text.startswith("{", start):
        word = _BARE_BOX.match(text, start)
        assert word is not None  # the pattern matches the empty string
        return word.group().rstrip("."), word.end()
    depth = 0
    for brace in _BRACE.finditer(text, start):
        depth += 1 if brace.group() == "{" else -1
        if depth == 0:
            return text[start + 1 : brace.start()].strip(), brace.end()
    return text[start + 1 :].strip(), len(text)


def _last_number(text: str) -> str:
    numbers = list(_NUMBER.finditer(_LATEX_SPACING.sub(_spacing_to_digits, text)))
    if not numbers:
        return ""
    last = numbers[-1]
    sign = "-" if last["sign"].strip() in {"-", "−"} else ""
    if last["top"] is not None:
        return f"{sign}{last['top']}/{last['bottom']}".replace("--", "")
    over = (last["over"] or "").replace(" ", "")
    return sign + last["digits"].replace(",", "") + (last["exponent"] or "") + over


def _spacing_to_digits(spacing: re.Match[str]) -> str:
    return "," if spacing.group() == "{,}" else ""
