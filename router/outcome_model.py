"""What to expect of every arm on a question that nobody has answered yet: its chance to solve it, and its cost.

A reduced-rank ridge regression of all arms' outcomes on the question's columns gives a few traits per question, such as
how hard it is and how much it gains from thinking aloud; a logistic head per arm reads the traits. All arms speak for
the traits, so that they are known better than any single arm's chance (item response theory, with traits predicted
instead of fitted per question).

N = questions, T = columns made of text, D = all columns, A = arms, R = traits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from inframind.errors import ConfigError
from inframind.router.outcome_heads import fit_heads, sigmoid

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_COST_QUANTILE = 0.99
"""Costs have heavy tails: what lies above says little about the next question."""
_LEAST_SPREAD = 1e-9
_LEAST_COST_SHARE = 0.2
"""No question is expected to cost less than this share of the arm's mean."""


@dataclass(frozen=True, kw_only=True)
class OutcomeConfig:
    """How an outcome model is fitted.

    Raises:
        ConfigError: an option is out of range.
    """

    traits: tuple[int, ...] = (2, 3)
    """Numbers of traits to choose from, by leave-one-out log-loss. One trait predicts nearly as well, but says how
    hard a question is for all arms and nothing of which arm suits it."""
    text_penalties: tuple[float, ...] = (3.0, 10.0, 30.0, 100.0, 1e6)
    """Ridge penalties of text columns to choose from, by cross-validation; the last one leaves text out."""
    other_penalty: float = 8.0
    """Ridge penalty of the other columns."""
    head_penalty: float = 4.0
    """Ridge penalty of the arms' heads on the traits."""
    folds: int = 5
    """Of the cross-validation."""

    def __post_init__(self) -> None:
        if not self.traits or min(self.traits) < 1:
            raise ConfigError("traits", self.traits, "give numbers from 1 on, such as (2, 3)")
        if not self.text_penalties or min(self.text_penalties) <= 0:
            raise ConfigError("text_penalties", self.text_penalties, "give numbers above 0")
        if self.other_penalty <= 0:
            raise ConfigError("other_penalty", self.other_penalty, "give a number above 0")
        if self.head_penalty <= 0:
            raise ConfigError("head_penalty", self.head_penalty, "give a number above 0")
        if self.folds < 2:
            raise ConfigError("folds", self.folds, "give at least 2")


@dataclass(frozen=True, kw_only=True, eq=False)
class Recorded:
    """Questions and what came of every arm.

    Attributes:
        columns: the questions (N, D), text first.
        n_text: T.
        quality: 0 to 1 (N, A), NaN where not recorded.
        cost: (N, A), NaN where not recorded.
    """

    columns: Floats
    n_text: int
    quality: Floats
    cost: Floats

    @property
    def mean_quality(self) -> Floats:
        """Of each arm (A); 0 for an arm without any."""
        return column_means(self.quality, default=0.0)

    @property
    def mean_cost(self) -> Floats:
        """Of each arm (A); that of the dearest arm for an arm without any."""
        return column_means(self.cost, default=float(np.nanmax(column_means(self.cost, default=0.0))))

    def take(self, rows: Ints) -> Recorded:
        """Some of the questions, by index."""
        return Recorded(
            columns=self.columns[rows], n_text=self.n_text, quality=self.quality[rows], cost=self.cost[rows]
        )


def column_means(values: Floats, *, default: float) -> Floats:
    """Mean of the numbers in each column, ``default`` where there is none: (N, A) to (A)."""
    known = ~np.isnan(values)
    count = known.sum(axis=0)
    means: Floats = np.where(
        count > 0, np.where(known, values, 0.0).sum(axis=0) / np.maximum(count, 1), default
    )
    return means


@dataclass(frozen=True, kw_only=True, eq=False)
class Outlook:
    """What is expected of questions before anyone is asked.

    Attributes:
        traits: (N, R), each of spread 1 over the training questions.
        chance: to solve it (N, A).
        cost: (N, A).
    """

    traits: Floats
    chance: Floats
    cost: Floats

    def take(self, rows: Ints) -> Outlook:
        """Some of the questions, by index."""
        return Outlook(traits=self.traits[rows], chance=self.chance[rows], cost=self.cost[rows])


@dataclass(frozen=True, kw_only=True, eq=False)
class Ridge:
    """A linear map (D, A) of centred columns; ``penalty`` is that of the text columns."""

    centre: Floats
    weights: Floats
    mean: Floats
    penalty: float

    def predict(self, columns: Floats) -> Floats:
        """(N, D) to (N, A)."""
        predicted: Floats = (columns - self.centre) @ self.weights + self.mean
        return predicted


@dataclass(frozen=True, kw_only=True, eq=False)
class OutcomeModel:
    """Expectations of every arm.

    Attributes:
        quality: of the arms, before traits are taken from it.
        cost: of the arms, as a share of ``mean_cost``.
        basis: of the traits (A, R), in units of their spread.
        heads: a logistic head per arm on 1 and the traits (A, 1 + R).
        mean_cost: (A).
        tail: mean cost over the mean of costs without their tail (A).
        quality_centre: (A).
    """

    quality: Ridge
    cost: Ridge
    basis: Floats
    heads: Floats
    mean_cost: Floats
    tail: Floats
    quality_centre: Floats

    def predict(self, columns: Floats) -> Outlook:
        """What to expect of questions (N, D)."""
        return self.outlook(self.quality.predict(columns), self.cost.predict(columns))

    def outlook(self, quality: Floats, cost: Floats) -> Outlook:
        """Outlook from what the two linear maps say (N, A)."""
        traits = (quality - self.quality_centre) @ self.basis
        return Outlook(
            traits=traits,
            chance=sigmoid(with_one(traits) @ self.heads.T),
            cost=np.maximum(cost * self.tail, _LEAST_COST_SHARE) * self.mean_cost,
        )

    def to_arrays(self) -> dict[str, Floats]:
        """All that the model is, by name."""
        own = {name: getattr(self, name) for name in _ARRAYS}
        return own | _ridge_arrays("quality", self.quality) | _ridge_arrays("cost", self.cost)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Floats]) -> OutcomeModel:
        """The model that gave these arrays."""
        own = {name: arrays[name] for name in _ARRAYS}
        return cls(quality=_ridge_from("quality", arrays), cost=_ridge_from("cost", arrays), **own)


_ARRAYS = ("basis", "heads", "mean_cost", "tail", "quality_centre")


def with_one(columns: Floats) -> Floats:
    """Columns (N, P) behind a column of ones."""
    return np.column_stack([np.ones(len(columns)), columns])


def fit_outcomes(
    recorded: Recorded, config: OutcomeConfig, rng: np.random.Generator
) -> tuple[OutcomeModel, Outlook]:
    """Fit the model.

    Returns:
        The model, and its outlook on the training questions as if each had not been among them: traits and costs
        out of fold, chances left one out. Whatever is learned on top of the model is to be learned from the latter.
    """
    fold = rng.permutation(np.arange(len(recorded.columns)) % config.folds)
    mean_cost = recorded.mean_cost
    paid = np.where(np.isnan(recorded.cost), mean_cost, recorded.cost)
    capped = np.minimum(paid, np.quantile(paid, _COST_QUANTILE, axis=0))
    capped_mean = capped.mean(axis=0)
    unit = np.where(mean_cost > 0, mean_cost, 1.0)
    mean_quality = recorded.mean_quality
    solved = np.where(np.isnan(recorded.quality), mean_quality, recorded.quality)
    quality, seen_quality = _cross_fitted(recorded, solved, config, fold)
    cost, seen_cost = _cross_fitted(recorded, capped / unit, config, fold)
    basis, heads, chance = _best_traits(seen_quality, recorded.quality, config)
    model = OutcomeModel(
        quality=quality,
        cost=cost,
        basis=basis,
        heads=heads,
        mean_cost=mean_cost,
        tail=np.divide(mean_cost, capped_mean, out=np.ones(len(mean_cost)), where=capped_mean > 0),
        quality_centre=seen_quality.mean(axis=0),
    )
    return model, replace(model.outlook(seen_quality, seen_cost), chance=chance)


def _best_traits(seen: Floats, quality: Floats, config: OutcomeConfig) -> tuple[Floats, Floats, Floats]:
    """Basis (A, R), heads (A, 1 + R) and chances left one out (N, A) with as many traits as predict best."""
    centred = seen - seen.mean(axis=0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    known = ~np.isnan(quality)
    fits = []
    for n_traits in sorted({min(n, len(directions)) for n in config.traits}):
        basis = directions[:n_traits].T
        basis = basis / np.maximum((centred @ basis).std(axis=0), _LEAST_SPREAD)
        fits.append((basis, *fit_heads(with_one(centred @ basis), quality, known, config.head_penalty)))
    return min(fits, key=lambda fit: _log_loss(fit[2], quality))


def _log_loss(chance: Floats, quality: Floats) -> float:
    chance = np.clip(chance, 1e-6, 1 - 1e-6)
    return float(-np.nanmean(quality * np.log(chance) + (1.0 - quality) * np.log(1.0 - chance)))


def _cross_fitted(
    recorded: Recorded, target: Floats, config: OutcomeConfig, fold: Ints
) -> tuple[Ridge, Floats]:
    """The best ridge regression, and its predictions (N, A) of each fold from the others."""
    seen = {penalty: np.empty(target.shape) for penalty in config.text_penalties}
    for number in np.unique(fold):
        kept, held_out = fold != number, fold == number
        for ridge in _ridges(recorded, target, kept, config.text_penalties, config.other_penalty):
            seen[ridge.penalty][held_out] = ridge.predict(recorded.columns[held_out])
    spread = np.maximum(target.var(axis=0), 1e-12)
    loss = {penalty: float(((guess - target) ** 2 / spread).mean()) for penalty, guess in seen.items()}
    best = min(loss, key=loss.__getitem__)
    everyone = np.ones(len(target), dtype=bool)
    (ridge,) = _ridges(recorded, target, everyone, (best,), config.other_penalty)
    return ridge, seen[best]


def _ridges(
    recorded: Recorded, target: Floats, kept: Bools, text_penalties: Sequence[float], other_penalty: float
) -> Iterator[Ridge]:
    """One regression per penalty, on the kept questions."""
    centre, mean = recorded.columns[kept].mean(axis=0), target[kept].mean(axis=0)
    x = recorded.columns[kept] - centre
    gram, moment = x.T @ x, x.T @ (target[kept] - mean)
    is_text = np.arange(len(gram)) < recorded.n_text
    for penalty in text_penalties:
        weights = np.linalg.solve(gram + np.diag(np.where(is_text, penalty, other_penalty)), moment)
        yield Ridge(centre=centre, weights=weights, mean=mean, penalty=penalty)


def _ridge_arrays(name: str, ridge: Ridge) -> dict[str, Floats]:
    parts = {"centre": ridge.centre, "weights": ridge.weights, "mean": ridge.mean}
    return {f"{name}.{part}": values for part, values in parts.items()} | {
        f"{name}.penalty": np.array([ridge.penalty])
    }


def _ridge_from(name: str, arrays: Mapping[str, Floats]) -> Ridge:
    return Ridge(
        centre=arrays[f"{name}.centre"],
        weights=arrays[f"{name}.weights"],
        mean=arrays[f"{name}.mean"],
        penalty=float(arrays[f"{name}.penalty"][0]),
    )
