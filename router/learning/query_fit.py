"""Fits a `QueryModel` on graded single calls: a two-parameter item response model over text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import binary_cross_entropy_with_logits

from inframind.errors import ConfigError
from inframind.router.encoder import Encoder, HashingEncoder
from inframind.router.query_model import SHAPE_COLUMNS, QueryModel, QueryWeights, Question, question_vector
from inframind.router.views import Array

SHAPE_SCALE = 5.0
"""Standardised shape columns are divided by this, to weigh about as much as a word beside a unit embedding."""


@dataclass(frozen=True, kw_only=True)
class QueryFitConfig:
    """How it is fitted."""

    ridge: float = 0.012
    """Penalty on the squared weights of the difficulty."""
    steps: int = 300
    """Full-batch steps."""
    learning_rate: float = 0.05
    """Of Adam."""


def fit_query_model(
    questions: Sequence[str],
    labels: Sequence[str],
    solved: NDArray[np.bool_],
    output_tokens: NDArray[np.int64],
    *,
    encoder: Encoder | None = None,
    config: QueryFitConfig | None = None,
) -> QueryModel:
    """The model that graded single calls suggest. Deterministic.

    Args:
        questions: texts (Q).
        labels: ``model/strategy`` of each action (A).
        solved: whether each action solved each question (Q, A).
        output_tokens: length of each answer (Q, A).
        encoder: text to unit vector; `HashingEncoder` unless given.
        config: how it is fitted.

    Raises:
        ConfigError: no questions, or shapes that do not agree.
    """
    shape = (len(questions), len(labels))
    if not questions or solved.shape != shape or output_tokens.shape != shape:
        raise ConfigError(
            "solved", solved.shape, f"give one row per question and a column per action: {shape}"
        )
    encoder, config = encoder or HashingEncoder(), config or QueryFitConfig()
    vectors = np.stack([question_vector(question, encoder) for question in questions])
    mean, scale = _centre(vectors)
    rows = (vectors - mean) / scale
    weights, abilities, discriminations = _fit_response(rows, solved, config)
    typical = float(np.mean(rows @ weights))
    return QueryModel(
        QueryWeights(
            mean=mean,
            scale=scale,
            difficulty=weights,
            typical=typical,
            length_slope=_length_slope(rows @ weights, output_tokens),
            abilities=dict(zip(labels, (abilities - discriminations * typical).tolist(), strict=True)),
            discriminations=dict(zip(labels, discriminations.tolist(), strict=True)),
        ),
        encoder,
    )


def _centre(vectors: Array) -> tuple[Array, Array]:
    """Mean and scale: embeddings keep their unit length, shape columns are standardised."""
    mean, scale = vectors.mean(axis=0), np.ones(vectors.shape[1])
    n_shape = len(SHAPE_COLUMNS)
    mean[:-n_shape] = 0.0
    scale[-n_shape:] = SHAPE_SCALE * np.maximum(vectors[:, -n_shape:].std(axis=0), 1e-6)
    return mean, scale


def _fit_response(
    rows: Array, solved: NDArray[np.bool_], config: QueryFitConfig
) -> tuple[Array, Array, Array]:
    """Weights of the difficulty (V), whose standard deviation is 1; abilities (A), discriminations (A)."""
    x, y = torch.tensor(rows), torch.tensor(solved, dtype=torch.float64)
    w = torch.zeros(rows.shape[1], dtype=torch.float64, requires_grad=True)
    ability = torch.zeros(solved.shape[1], dtype=torch.float64, requires_grad=True)
    discrimination = torch.ones(solved.shape[1], dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([w, ability, discrimination], lr=config.learning_rate)
    for _ in range(config.steps):
        adam.zero_grad()
        logit = ability - torch.outer(x @ w, discrimination)
        loss = binary_cross_entropy_with_logits(logit, y) + config.ridge * (w**2).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
    weights = w.detach().numpy()
    spread = max(float(np.std(rows @ weights)), 1e-6)
    return weights / spread, ability.detach().numpy(), discrimination.detach().numpy() * spread


def _length_slope(difficulty: Array, output_tokens: NDArray[np.int64]) -> float:
    """Least squares of log length, relative to each action's own, on difficulty."""
    log_length = np.log(np.maximum(output_tokens, 1))
    relative = (log_length - log_length.mean(axis=0)).mean(axis=1)
    centred = difficulty - difficulty.mean()
    return float(centred @ relative / max(centred @ centred, 1e-9))


def cross_fitted(
    questions: Sequence[str],
    labels: Sequence[str],
    solved: NDArray[np.bool_],
    output_tokens: NDArray[np.int64],
    *,
    seed: int,
    folds: int = 5,
    encoder: Encoder | None = None,
    config: QueryFitConfig | None = None,
) -> QueryModel:
    """The same model, but each of these questions is read by a model that was not fitted on it.

    For learning from workflows that ask the same questions: a model knows the questions that it was fitted on better
    than any that will ever come, and what learns from that trusts it too much. A question that comes twice is left out
    twice.

    Args:
        seed: of the folds.
        folds: parts that the questions are divided into.
    """
    whole = fit_query_model(questions, labels, solved, output_tokens, encoder=encoder, config=config)
    places = {question: place for place, question in enumerate(dict.fromkeys(questions))}
    fold_of_text = np.random.default_rng(seed).permutation(len(places)) % folds
    fold_of = fold_of_text[[places[question] for question in questions]]
    read: dict[str, Question] = {}
    for fold in range(folds):
        kept, left = np.flatnonzero(fold_of != fold).tolist(), np.flatnonzero(fold_of == fold).tolist()
        part = fit_query_model(
            [questions[place] for place in kept],
            labels,
            solved[kept],
            output_tokens[kept],
            encoder=encoder,
            config=config,
        )
        read |= {questions[place]: part.read(questions[place]) for place in left}
    return QueryModel(whole.weights, whole.encoder, known=read)
