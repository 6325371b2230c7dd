"""Linear regressions that forget, one per head, drawn towards a shared one.

For each head h with weighted sums A_h = sum w x x', c_h = sum w x y (older calls fade by ``forgetting``):

    shared   b0  = (sum_h A_h + l0 I)^-1 sum_h c_h             (drawn towards 0: the physical prior)
    own      b_h = (A_h + l I)^-1 (c_h + l b0)                 (drawn towards the shared one)

The penalties do not fade, so that a head never runs away from lack of data; a head without any has the shared
coefficients, which is how a new model starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inframind.errors import ConfigError
from inframind.router.latency import Array

Places = NDArray[np.intp]
_ROUNDS = 12
_LEAST_ERROR = 1e-9
_ERROR_PACE = 0.02
"""The typical error of a head follows its last 50 calls or so."""


@dataclass(frozen=True, kw_only=True)
class RidgeConfig:
    """How strongly heads hold together, and how fast they forget."""

    shared_penalty: float = 1.0
    """Weight of the prior against the shared coefficients, in calls."""
    own_penalty: float = 0.3
    """Weight of the shared coefficients against a head's own, in calls."""
    forgetting: float = 0.995
    """Weight that a head's old calls keep with each new one."""
    solve_every: int = 8
    """Calls of a head after which its coefficients follow its sums, once it has twice as many as columns."""
    robust: float = 0.1
    """Errors below this share of the typical absolute error weigh alike; above it, in inverse proportion."""

    def __post_init__(self) -> None:
        for name in ("shared_penalty", "own_penalty", "solve_every", "robust"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"latency.{name}", getattr(self, name), "use a positive number")
        require_forgetting(self.forgetting)

    @property
    def memory(self) -> float:
        """Calls that the sums of a head amount to in the long run."""
        return 1 / (1 - self.forgetting) if self.forgetting < 1 else np.inf


def require_forgetting(value: float) -> None:
    """Raises ConfigError unless it is a share in (0, 1]."""
    if not 0 < value <= 1:
        raise ConfigError("latency.forgetting", value, "use a value in (0, 1]")


class ForgettingRidge:
    """Coefficients of H heads over K columns, near the median of what was seen.

    Not thread-safe by itself; `own` is replaced, never written into, so whoever holds it may read on.

    Args:
        heads: number of heads.
        columns: number of columns.
        config: penalties and forgetting.
    """

    def __init__(self, heads: int, columns: int, config: RidgeConfig) -> None:
        self._config = config
        self._identity = np.eye(columns)
        self._gram = np.zeros((heads, columns, columns))
        self._moment = np.zeros((heads, columns))
        self._error = np.zeros(heads)
        self._calls = np.zeros(heads)
        self.own: Array = np.zeros((heads, columns))

    def observe(self, head: int, row: Array, target: float) -> None:
        """Learn one call."""
        error = abs(target - float(row @ self.own[head]))
        calls = float(self._calls[head]) + 1
        typical = float(self._error[head])
        typical += max(1 / calls, _ERROR_PACE) * (error - typical)
        self._calls[head], self._error[head] = calls, typical
        self._add(head, row, target, self._weight(error, typical))
        if calls <= 2 * len(row) or calls % self._config.solve_every == 0:
            self._solve_one(head)

    def fit(self, heads: Places, rows: Array, targets: Array) -> None:
        """Replace everything by a fit to these calls: iteratively reweighted least squares.

        Each head counts for at most its long-run memory, so that calls seen later weigh against it as they
        would have had it learned one by one.
        """
        weights = np.ones(len(targets))
        for _ in range(_ROUNDS):
            self._replace(heads, rows, targets, weights)
            errors = np.abs(targets - (rows * self.own[heads]).sum(axis=1))
            self._error = _means(errors, heads, len(self._calls))
            typical = np.maximum(self._error[heads], _LEAST_ERROR)
            weights = typical / np.maximum(errors, self._config.robust * typical)
        self._calls = np.bincount(heads, minlength=len(self._calls)).astype(np.float64)

    def sums(self) -> dict[str, Array]:
        """Everything learned, by name."""
        names = ("gram", "moment", "error", "calls")
        return {"own": self.own, **{name: getattr(self, f"_{name}").copy() for name in names}}

    def restore(self, sums: Mapping[str, Array], places: Places, places_there: Places) -> None:
        """Take the heads ``places_there`` of another ridge's sums as the heads ``places`` of this one."""
        for name in ("gram", "moment", "error", "calls"):
            getattr(self, f"_{name}")[places] = sums[name][places_there]
        own = np.tile(self._shared(), (len(self._calls), 1))
        own[places] = sums["own"][places_there]
        self.own = own

    def _weight(self, error: float, typical: float) -> float:
        """Mean about 1, so that calls and penalties compare; the floor keeps a perfect fit finite."""
        typical = max(typical, _LEAST_ERROR)
        return typical / max(error, self._config.robust * typical)

    def _add(self, head: int, row: Array, target: float, weight: float) -> None:
        weighted = weight * row
        gram, moment = self._gram[head], self._moment[head]
        gram *= self._config.forgetting
        gram += np.multiply.outer(weighted, row)
        moment *= self._config.forgetting
        moment += target * weighted

    def _replace(self, heads: Places, rows: Array, targets: Array, weights: Array) -> None:
        for head in range(len(self._calls)):
            here = heads == head
            count = int(here.sum())
            if not count:
                continue
            x, w = rows[here], weights[here]
            w = w * (min(count, self._config.memory) / w.sum())
            self._gram[head] = (x.T * w) @ x
            self._moment[head] = x.T @ (w * targets[here])
        self._solve_all()

    def _solve_all(self) -> None:
        shared = self._shared()
        ridge, pull = self._config.own_penalty * self._identity, self._config.own_penalty * shared
        self.own = _solve(self._gram + ridge, self._moment + pull)

    def _solve_one(self, head: int) -> None:
        """Only the head that learned, and those that have learned nothing: the others follow with their calls."""
        shared = self._shared()
        penalty = self._config.own_penalty
        own = self.own.copy()
        own[self._calls == 0] = shared
        own[head] = _solve(self._gram[head] + penalty * self._identity, self._moment[head] + penalty * shared)
        self.own = own

    def _shared(self) -> Array:
        gram, moment = self._gram.sum(axis=0), self._moment.sum(axis=0)
        return _solve(gram + self._config.shared_penalty * self._identity, moment)


def _solve(matrices: Array, vectors: Array) -> Array:
    """Solutions of one or of many systems at once."""
    return np.asarray(np.linalg.solve(matrices, vectors[..., None])[..., 0], dtype=np.float64)


def _means(values: Array, heads: Places, count: int) -> Array:
    totals = np.bincount(heads, weights=values, minlength=count)
    means: Array = totals / np.maximum(np.bincount(heads, minlength=count), 1)
    return means
