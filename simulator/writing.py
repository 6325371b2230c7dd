"""What a simulated model writes: prose of a given length that leads to a given answer.

Texts look enough like a model's that extraction does real work: most end in a box, some state the answer in a
sentence only, some box an intermediate value first. They carry no reasoning that could be graded. Sentences come
ready-made from ``phrases.toml``, so that a text of 300 tokens costs some tens of microseconds.
"""

from __future__ import annotations

import functools
import math
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Literal

from inframind.simulator.items import MATH_LEVEL_MIX
from inframind.simulator.model import SimReply
from inframind.simulator.outcome_parameters import ModelTraits, StrategyTraits
from inframind.simulator.tokens import count_tokens

Manner = Literal["solve", "review", "judge"]

BARE_ANSWER_SHARE = 0.08
INTERMEDIATE_BOX_SHARE = 0.04
RUNAWAY_FACTOR = 5.0
STEP_BY_STEP_FACTOR = 1.5
LEVEL_FACTORS = (0.7, 0.85, 1.0, 1.15, 1.3)
"""Length of an answer to a question of level 1 to 5 against level 3: harder questions take longer."""

BRIEF_TOKENS = 40
"""Up to this mean length a strategy answers in one sentence, without steps or thinking."""

REASONING_SIGMA = 0.5
AFTER_REASONING_FACTOR = 0.5
"""A model that has thought already writes this much of the usual answer."""

_DATA = Path(__file__).with_name("phrases.toml")
_INTEGER = re.compile(r"(?<![0-9])[0-9]{1,6}(?![0-9])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What is to be written.

    Attributes:
        question: its numbers are quoted.
        answer: the answer that the text ends with.
        level: 1 to 5; harder questions take longer.
        manner: whether the writer solves, reviews earlier work, or judges.
        model: who writes.
        strategy: decides the length.
        is_step_by_step: whether the writer was told to reason step by step.
    """

    question: str
    answer: str
    level: int = 3
    manner: Manner = "solve"
    model: ModelTraits
    strategy: StrategyTraits
    is_step_by_step: bool = False


def write(assignment: Assignment, rng: Random) -> SimReply:
    """The text, and the thinking of a reasoning model before it unless the strategy is brief."""
    numbers = _quotable_numbers(assignment.question)
    if assignment.strategy.mean_tokens <= BRIEF_TOKENS:
        lead = _filled(rng.choice(_phrases().short), numbers, rng)
        return SimReply(text=f"{lead} {_closing(assignment.answer, rng)}".lstrip())
    thinks = assignment.model.is_reasoning
    length = text_length(assignment, rng) * (AFTER_REASONING_FACTOR if thinks else 1.0)
    reasoning = _prose("solve", _reasoning_length(assignment, rng), numbers, rng) if thinks else ""
    return SimReply(text=_answer_text(assignment, length, numbers, rng), reasoning=reasoning)


def mean_level_factor() -> float:
    """Mean of `LEVEL_FACTORS` over MATH's mix of levels."""
    weights = MATH_LEVEL_MIX
    return sum(LEVEL_FACTORS[level - 1] * weight for level, weight in weights.items()) / sum(weights.values())


def text_length(assignment: Assignment, rng: Random) -> float:
    """A length in tokens, drawn from a lognormal whose mean is the strategy's, scaled; sometimes a runaway."""
    strategy = assignment.strategy
    mean = strategy.mean_tokens * assignment.model.verbosity * LEVEL_FACTORS[assignment.level - 1]
    if assignment.is_step_by_step:
        mean *= STEP_BY_STEP_FACTOR
    length = _lognormal(mean, strategy.sigma, rng)
    return length * RUNAWAY_FACTOR if rng.random() < strategy.runaway_share else length


def _reasoning_length(assignment: Assignment, rng: Random) -> float:
    mean = assignment.model.thinking_tokens * LEVEL_FACTORS[assignment.level - 1]
    return _lognormal(mean, REASONING_SIGMA, rng)


def _lognormal(mean: float, sigma: float, rng: Random) -> float:
    return rng.lognormvariate(math.log(mean) - sigma * sigma / 2, sigma)


def _answer_text(assignment: Assignment, length: float, numbers: list[int], rng: Random) -> str:
    ending = _closing(assignment.answer, rng)
    body = _prose(assignment.manner, length - count_tokens(ending), numbers, rng)
    if "\\boxed" in ending and rng.random() < INTERMEDIATE_BOX_SHARE:
        body += " " + _filled(_phrases().intermediate, numbers, rng)
    return f"{body}\n\n{ending}"


def _prose(manner: Manner, length: float, numbers: list[int], rng: Random) -> str:
    """An opening and as many steps as come closest to ``length`` tokens; at least the opening."""
    phrases = _phrases()
    opening, tokens = rng.choice(phrases.openings[manner])
    sentences = [opening]
    steps = phrases.steps[manner]
    while tokens < length:
        sentence, n_tokens = steps[int(rng.random() * len(steps))]
        if length - tokens < n_tokens / 2:
            break
        sentences.append(sentence)
        tokens += n_tokens
    return " ".join([_filled(sentence, numbers, rng) for sentence in sentences])


def _filled(sentence: str, numbers: list[int], rng: Random) -> str:
    if "{" not in sentence:
        return sentence
    a, b = numbers[int(rng.random() * len(numbers))], numbers[int(rng.random() * len(numbers))]
    return sentence.format(a=a, b=b, s=a + b, p=a * b)


def _closing(answer: str, rng: Random) -> str:
    phrases = _phrases()
    closings = phrases.bare if rng.random() < BARE_ANSWER_SHARE else phrases.boxed
    return rng.choice(closings).replace("X", answer)


def _quotable_numbers(question: str) -> list[int]:
    return [int(number) for number in _INTEGER.findall(question)[:6]] or [2, 3]


@dataclass(frozen=True, slots=True)
class _Phrases:
    """Sentences, most of them with their length in tokens."""

    openings: dict[str, list[tuple[str, int]]]
    steps: dict[str, list[tuple[str, int]]]
    intermediate: str
    short: list[str]
    boxed: list[str]
    bare: list[str]


@functools.cache
def _phrases() -> _Phrases:
    data: dict[str, Any] = tomllib.loads(_DATA.read_text(encoding="utf-8"))
    return _Phrases(
        openings={manner: _measured(sentences) for manner, sentences in data["openings"].items()},
        steps={manner: _measured(sentences) for manner, sentences in data["steps"].items()},
        intermediate=data["intermediate"]["all"][0],
        short=data["short"]["all"],
        boxed=data["closings"]["boxed"],
        bare=data["closings"]["bare"],
    )


def _measured(sentences: list[str]) -> list[tuple[str, int]]:
    return [(text, count_tokens(" " + text.format(a=12, b=34, s=46, p=408))) for text in sentences]
