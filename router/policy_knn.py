"""Nearest neighbours: what was solved on similar questions, weighed against how long it will take now.

The shape of hardware-aware single-call routers (HW-Router, DAC 2026: score ``(1 - l) Q - l C``), with k nearest
neighbours for the quality. They are the baseline that learned routing must beat: no training but a look-up.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from inframind.errors import ConfigError
from inframind.router.encoder import Encoder
from inframind.router.policy import Proposal
from inframind.router.policy_parts import (
    SINGLE_CALL,
    best_allowed,
    on_time_probability,
    one_hot,
    propose_pace,
    propose_plan,
    propose_role,
)
from inframind.router.views import Array, PaceView, PlanView, RoleView, StepView

REMEMBERED_QUESTIONS = 4096


class NeighbourQuality:
    """P(solved) of every single call, from the recorded questions whose embeddings are closest by cosine.

    The neighbours' mean is drawn towards the mean of all questions, as if ``k`` further neighbours had it: with
    few and noisy neighbours that is most of what can be known.

    Args:
        questions: recorded questions (Q).
        solved: whether each executor action solved each of them (Q, A).
        encoder: text to unit vector.
        k: neighbours that are asked; fewer questions are all asked.

    Raises:
        ConfigError: no questions, fewer than one neighbour, or shapes that do not agree.
    """

    def __init__(
        self, questions: Sequence[str], solved: NDArray[np.bool_], encoder: Encoder, *, k: int = 32
    ) -> None:
        if k < 1:
            raise ConfigError("k", k, "ask at least one neighbour")
        if len(questions) == 0 or solved.ndim != 2 or len(solved) != len(questions):
            raise ConfigError("solved", solved.shape, f"give one row per question: {len(questions)}")
        self._encoder, self._k = encoder, min(k, len(questions))
        self._embeddings = np.stack([encoder.encode(question) for question in questions])
        self._solved = solved.astype(np.float64)
        self._overall = self._solved.mean(axis=0)
        self._remembered = lru_cache(maxsize=REMEMBERED_QUESTIONS)(self._estimate)

    def predict(self, question: str) -> Array:
        """P(solved) of every executor action (A)."""
        return self._remembered(question)

    def _estimate(self, question: str) -> Array:
        similarity = self._embeddings @ self._encoder.encode(question)
        nearest = np.argsort(-similarity, kind="stable")[: self._k]
        quality: Array = (self._solved[nearest].mean(axis=0) + self._overall) / 2
        quality.flags.writeable = False
        return quality


class Score(Protocol):
    """Worth of every single call, from its quality and what the view says of its latency."""

    def __call__(self, quality: Array, view: StepView) -> Array:
        """One score per executor action (A); the highest is chosen."""
        ...


def on_time_score(quality: Array, view: StepView) -> Array:
    """``Q * P(latency <= time left)``: expected on-time success."""
    return quality * on_time_probability(view.q50_s, view.q90_s, view.remaining_s)


class PricedLatency:
    """``(1 - l) Q - l C``, with C the predicted median over the time left, at most 1.

    HW-Router's score takes C in seconds for one objective of all requests; here every request has a time limit of
    its own, so C is its share of that.

    Raises:
        ConfigError: a price outside [0, 1].
    """

    def __init__(self, price: float = 0.5) -> None:
        if not 0 <= price <= 1:
            raise ConfigError("price", price, "use a value from 0 (quality alone) to 1 (latency alone)")
        self.price = price

    def __call__(self, quality: Array, view: StepView) -> Array:
        """One score per executor action (A)."""
        share = np.minimum(view.q50_s / max(view.remaining_s, 1e-3), 1.0)
        score: Array = (1 - self.price) * quality - self.price * share
        return score


class KnnPolicy:
    """One call, the best by a score of neighbours' quality and live latency.

    Assumes that similar questions are solved by the same models; sees load through the predicted latencies alone.

    Args:
        quality: predicts P(solved).
        score: what is maximised.
        name: name in traces.
    """

    version = "1"

    def __init__(self, quality: NeighbourQuality, score: Score = on_time_score, *, name: str = "knn") -> None:
        self._quality, self._score = quality, score
        self.name = name

    def plan(self, view: PlanView) -> Proposal:
        """A single call."""
        return propose_plan(view, SINGLE_CALL)

    def role(self, view: RoleView) -> Proposal:
        """Catalogue order."""
        return propose_role(view)

    def step(self, view: StepView) -> Proposal:
        """The highest score."""
        quality = self._quality.predict(view.query.text)
        place = best_allowed(self._score(quality, view), view.allowed)
        return Proposal(
            one_hot(place, len(view.actions)),
            f"neighbours solved {quality[place]:.0%}, {view.q50_s[place]:.1f} s expected",
        )

    def pace(self, view: PaceView) -> Proposal:
        """The topology's default number of rounds."""
        return propose_pace(view)
