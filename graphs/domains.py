"""What kind of question it is, and what an answer looks like there."""

from __future__ import annotations

import re
from functools import lru_cache

from inframind.errors import ConfigError
from inframind.graphs.roles import DOMAINS
from inframind.rewards.extraction import AnswerKind, extract_answer

_CODE = re.compile(
    r"```|\bdef \w+\(|\bfunction\b.*\breturn|\b(python|javascript|rust|sql|regex|unit test)\b", re.I
)
_MATH = re.compile(
    r"\$|\\frac|\\sqrt|\d\s*[-+*/^=]\s*\d|"
    r"\b(how many|probability|times|plus|minus|integer|remainder|divided|equation|solve for|compute|evaluate|"
    r"percent|triangle|polynomial|derivative|integral|primes?|sum of|product of)\b",
    re.I,
)
_CHOICE = re.compile(r"^\s*\(?[A-D][).]\s", re.M)

FORMAT_RULES = {
    "math": "Put the final answer, and nothing else, inside \\boxed{}.",
    "code": "Put the final code into one fenced code block.",
    "knowledge": 'End with a line "Final answer: " followed by the answer alone.',
    "general": "",
}
"""How the final answer is marked, so that it can be found."""

_ANSWER_KINDS: dict[str, AnswerKind] = {"math": "math", "knowledge": "exact"}


@lru_cache(maxsize=256)
def guess_domain(question: str) -> str:
    """A domain from the surface of the question; say ``domain=`` where you know better."""
    if _CODE.search(question):
        return "code"
    if _CHOICE.search(question):
        return "knowledge"
    return "math" if _MATH.search(question) else "general"


def require_domain(domain: str) -> str:
    """The domain itself.

    Raises:
        ConfigError: there is no such domain.
    """
    if domain not in DOMAINS:
        raise ConfigError("domain", domain, f"use 'auto' or one of {', '.join(DOMAINS)}")
    return domain


def find_answer(text: str, domain: str) -> str:
    """The final answer in a text, by the domain's rule; "" when it is not marked.

    Code and general answers are the text itself: there is nothing shorter to extract.
    """
    kind = _ANSWER_KINDS.get(domain)
    return extract_answer(text, kind) if kind else text.strip()
