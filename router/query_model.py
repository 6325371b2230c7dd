"""Reads a question: how hard it is, and how long its answers will be. Learned from single calls.

One difficulty for all models (item response theory, two-parameter form; Birnbaum 1968), predicted from the text:

    logit P(right | question, action) = ability(action) - discrimination(action) * difficulty(question)

A few hundred graded questions are enough, because every action's answers speak of the same difficulty; nearest
neighbours, who learn each action on its own, need many more.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np

from inframind.router.actions import ActionSpace, ExecutorAction
from inframind.router.encoder import Encoder, HashingEncoder
from inframind.router.latency import estimate_tokens
from inframind.router.views import Array

SHAPE_COLUMNS = ("log_chars", "log_words", "numbers", "longest_number", "log_digits")
"""What is plain to see of a text, beside its words."""
REMEMBERED_QUESTIONS = 4096
_TOKEN = re.compile(r"\w+|[^\w\s]")


def text_shape(text: str) -> tuple[float, ...]:
    """`SHAPE_COLUMNS` of a text."""
    words = _TOKEN.findall(text)
    numbers = [len(word) for word in words if word.isdigit()]
    return (
        math.log1p(len(text)),
        math.log1p(len(words)),
        len(numbers) / 10,
        max(numbers, default=0) / 5,
        math.log1p(sum(numbers)),
    )


@dataclass(frozen=True, slots=True)
class Question:
    """What is read from a question.

    Attributes:
        difficulty: 0 for a typical one, in standard deviations.
        log_length: log of how many times longer its answers are than a typical question's.
        typical_logit: log odds that a typical action solves it.
    """

    difficulty: float
    log_length: float
    typical_logit: float

    @property
    def columns(self) -> tuple[float, ...]:
        """As a policy is shown it."""
        return (self.difficulty, self.log_length)


class ReadText(str):
    """A question that was read when its text was known, and of which only that is left, such as a text's digest."""

    question: Question
    __slots__ = ("question",)

    @classmethod
    def of(cls, text: str, read: Mapping[str, float]) -> ReadText:
        """From what `reading_of` gave.

        Raises:
            KeyError: it is something else.
        """
        told = cls(text)
        told.question = Question(read["difficulty"], read["log_length"], read["typical_logit"])
        return told


@dataclass(frozen=True, kw_only=True, eq=False)
class QueryWeights:
    """What was learned from single calls. V = length of embedding and shape.

    Attributes:
        mean: of the vector over the training questions (V).
        scale: to divide by (V).
        difficulty: weights of the difficulty (V).
        typical: what is subtracted, so that a typical question has difficulty 0.
        length_slope: log length per unit of difficulty.
        abilities: by ``model/strategy`` label.
        discriminations: by ``model/strategy`` label.
    """

    mean: Array
    scale: Array
    difficulty: Array
    typical: float
    length_slope: float
    abilities: Mapping[str, float]
    discriminations: Mapping[str, float]


class QueryModel:
    """Predicts from text; remembers the questions that it has read.

    Args:
        weights: what was learned; None reads every question as a typical one, and takes abilities from the models'
            configured quality.
        encoder: text to unit vector.
        known: questions that are not to be read anew, by text.
    """

    def __init__(
        self,
        weights: QueryWeights | None = None,
        encoder: Encoder | None = None,
        *,
        known: Mapping[str, Question] | None = None,
    ) -> None:
        self.weights, self.encoder = weights, encoder or HashingEncoder()
        self._known = known or {}
        self.read = lru_cache(maxsize=REMEMBERED_QUESTIONS)(self._read)

    def __reduce__(self) -> tuple[Any, ...]:
        """Travels to other processes as what it is made of, without what it remembers."""
        return partial(QueryModel, known=self._known), (self.weights, self.encoder)

    def terms(self, actions: ActionSpace) -> tuple[Array, Array]:
        """Ability and discrimination of each executor action (A), (A).

        An action that was never seen has the ability that its model's configured quality suggests, beside the
        typical discrimination.
        """
        known = self.weights.abilities if self.weights else {}
        steep = self.weights.discriminations if self.weights else {}
        typical = float(np.median(list(steep.values()))) if steep else 1.0
        abilities = [
            known.get(action.label, configured_logit(actions, action)) for action in actions.executor_actions
        ]
        return np.array(abilities), np.array([steep.get(label, typical) for label in actions.executor_labels])

    def reading_of(self, text: str) -> Mapping[str, float]:
        """Everything that routing reads of a question, as plain data, for traces that do not keep texts."""
        return {**asdict(self.read(text)), "prompt_tokens": float(estimate_tokens([text]))}

    def _read(self, text: str) -> Question:
        if isinstance(text, ReadText):
            return text.question
        if text in self._known:
            return self._known[text]
        if self.weights is None:
            return Question(0.0, 0.0, 0.0)
        weights = self.weights
        vector = (question_vector(text, self.encoder) - weights.mean) / weights.scale
        difficulty = float(vector @ weights.difficulty) - weights.typical
        typical = float(np.median(list(weights.abilities.values()))) - difficulty
        return Question(difficulty, weights.length_slope * difficulty, typical)


def question_vector(text: str, encoder: Encoder) -> Array:
    """Embedding and `SHAPE_COLUMNS` (V)."""
    return np.concatenate([encoder.encode(text), text_shape(text)]).astype(np.float64)


def configured_logit(actions: ActionSpace, action: ExecutorAction) -> float:
    """Log odds that the configuration gives an action of which nothing was learned."""
    quality = actions.models[action.model].quality * actions.strategies[action.strategy].quality_factor
    share = min(max(quality, 0.01), 0.99)
    return math.log(share / (1 - share))
