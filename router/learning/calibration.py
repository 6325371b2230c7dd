"""From a quality score to the probability of having solved: Platt scaling with terms per model and strategy.

    logit P(solved) = slope * logit(score / 10) + intercept + model term + strategy term + pair term

One curve for everybody (Platt 1999) repeats the predictor's favouritism: measured in a simulation, a model that
it overrates by 2.2 logits went from 10 % to a third of the steps. The terms take out what the labels contradict.
Each is drawn towards 0 by a ridge, a pair's most of all, so that a rare pair follows its model and its strategy,
and a name without labels the average.

B = calls, K = columns of the fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from inframind.errors import ConfigError
from inframind.router.learning.quality import BEST_SCORE, Response
from inframind.router.learning.ridge_logistic import Array, RidgeLogistic, logistic

__all__ = ["Calibration", "CalibrationConfig", "ScoredCalls", "Scorer", "fit_calibration"]

Pair = tuple[str, str]

_LEAST_SHARE = 1e-3
"""Scores are kept this share away from 0 and 10, where the logit is infinite."""


class Scorer(Protocol):
    """Judges responses; `QualityPredictor` is one."""

    def scores(self, responses: Sequence[Response]) -> Array:
        """Scores from 0 to 10 (B)."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ScoredCalls:
    """Calls as calibration sees them.

    Attributes:
        scores_B: from 0 to 10.
        models: name of each call's model (B).
        strategies: name of each call's strategy (B).
    """

    scores_B: Array
    models: tuple[str, ...]
    strategies: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.scores_B.shape == (len(self.models),) == (len(self.strategies),):
            raise ValueError(
                f"scores_B is {self.scores_B.shape}, with {len(self.models)} models and "
                f"{len(self.strategies)} strategies: give one of each per call"
            )
        if not ((self.scores_B >= 0) & (self.scores_B <= BEST_SCORE)).all():
            raise ValueError(f"scores_B: give scores from 0 to {BEST_SCORE:g}")

    @classmethod
    def of(cls, responses: Sequence[Response], scorer: Scorer) -> ScoredCalls:
        """Score these responses."""
        return cls(
            np.asarray(scorer.scores(responses), dtype=np.float64),
            tuple(response.model for response in responses),
            tuple(response.strategy for response in responses),
        )

    @property
    def logits_B(self) -> Array:
        """Log-odds of the score's share of 10."""
        share_B = np.clip(self.scores_B / BEST_SCORE, _LEAST_SHARE, 1 - _LEAST_SHARE)
        return np.asarray(np.log(share_B / (1 - share_B)))


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationConfig:
    """How strongly each term is drawn to its prior: the inverse variance of a normal prior, in squared logits."""

    by_name: bool = True
    """Whether models and strategies have terms; False is plain Platt scaling, for comparison."""
    name_ridge: float = 0.5
    """Of a model's and of a strategy's term, towards 0."""
    pair_ridge: float = 4.0
    """Of a (model, strategy) pair's term, towards 0: about 20 labels move it half of the way."""
    slope_ridge: float = 1.0
    """Of the slope, towards 1: the score is taken at its word until labels contradict it."""
    intercept_ridge: float = 0.01
    """Of the intercept, towards 0; keeps it finite where all labels are equal."""

    def __post_init__(self) -> None:
        for name in ("name_ridge", "pair_ridge", "slope_ridge", "intercept_ridge"):
            if not 0 < getattr(self, name) < np.inf:
                raise ConfigError(
                    f"calibration.{name}",
                    getattr(self, name),
                    "use a positive number: without a ridge, a group with equal labels has no finite term",
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Terms of the formula above; a name or pair that is not in a mapping has the term 0."""

    slope: float
    """Of the score's logit."""
    intercept: float
    """Of everybody."""
    models: Mapping[str, float] = field(default_factory=dict)
    """Term of each model."""
    strategies: Mapping[str, float] = field(default_factory=dict)
    """Term of each strategy."""
    pairs: Mapping[Pair, float] = field(default_factory=dict)
    """Term of each (model, strategy)."""

    def probabilities(self, calls: ScoredCalls) -> Array:
        """Probability that each call solved its question (B)."""
        terms = [
            self.models.get(model, 0.0)
            + self.strategies.get(strategy, 0.0)
            + self.pairs.get((model, strategy), 0.0)
            for model, strategy in zip(calls.models, calls.strategies, strict=True)
        ]
        return logistic(self.slope * calls.logits_B + self.intercept + np.array(terms))


def fit_calibration(
    calls: ScoredCalls, solved_B: Sequence[bool] | NDArray[np.bool_], config: CalibrationConfig
) -> Calibration:
    """The most probable terms given labelled calls, which the scorer must not have been trained on.

    Args:
        calls: labelled calls.
        solved_B: their labels.
        config: ridges.

    Raises:
        ValueError: not one label per call.
    """
    labels_B = np.asarray(solved_B, dtype=np.float64)
    if labels_B.shape != calls.scores_B.shape:
        raise ValueError(
            f"solved_B is {labels_B.shape}, scores_B is {calls.scores_B.shape}: give one label each"
        )
    blocks = _blocks(calls, config)
    ridges = [config.slope_ridge, config.intercept_ridge, *(b.ridge for b in blocks for _ in b.names)]
    columns_BK = np.column_stack(
        [calls.logits_B, np.ones(len(labels_B)), *(block.columns for block in blocks)]
    )
    prior_K = np.zeros(len(ridges))
    prior_K[0] = 1.0
    slope, intercept, *terms = RidgeLogistic(columns_BK, labels_B, np.array(ridges), prior_K).fit().tolist()
    left = iter(terms)
    models, strategies, pairs = ({name: next(left) for name in block.names} for block in blocks)
    return Calibration(slope=slope, intercept=intercept, models=models, strategies=strategies, pairs=pairs)


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    """Names that have a term, and which call has which (B, names)."""

    names: list[Any]
    columns: Array
    ridge: float

    @classmethod
    def of(cls, values: Sequence[str] | Sequence[Pair], ridge: float, has_terms: bool) -> _Block:
        names: list[Any] = sorted(set(values)) if has_terms else []
        columns = [[float(value == name) for name in names] for value in values]
        return cls(names, np.array(columns).reshape(len(values), len(names)), ridge)


def _blocks(calls: ScoredCalls, config: CalibrationConfig) -> tuple[_Block, _Block, _Block]:
    called = list(zip(calls.models, calls.strategies, strict=True))
    return (
        _Block.of(calls.models, config.name_ridge, config.by_name),
        _Block.of(calls.strategies, config.name_ridge, config.by_name),
        _Block.of(called, config.pair_ridge, config.by_name),
    )
