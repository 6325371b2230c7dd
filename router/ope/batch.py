"""Logged decisions as plain arrays: all that an estimator needs, wherever they come from.

N = decisions, A = most candidates of any of them (those that a decision did not have are probability 0).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from inframind.errors import ConfigError

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoggedDecisions:
    """Decisions of one kind, what came of them, and how probably another policy would have made each.

    Attributes:
        reward_N: what came of it, such as 1 for a run solved in time.
        chosen_N: place of the choice among the candidates.
        logging_NA: probability of each candidate when it was made; 0 where masked.
        target_NA: probability of each candidate under the policy that is evaluated.
        run_N: what it belongs to, a number from 0 on: decisions of one run are not independent of each other.
        q_NA: expected reward of each candidate by a model, for the estimators that use one. For honest intervals the
            model must not have seen the run's own reward: see `inframind.router.ope.reward_model`.
        weight_N: how much it counts, such as one over the probability of having been labelled; 1 unless given.
        more_ratio_N: importance weight of what else was decided with it, such as who sits where; 1 unless given.

    Raises:
        ConfigError: shapes do not fit, a choice has probability 0, probabilities do not sum to 1, a weight is negative,
            or something is not finite.
    """

    reward_N: Array
    chosen_N: Ints
    logging_NA: Array
    target_NA: Array
    run_N: Ints
    q_NA: Array | None = None
    weight_N: Array | None = None
    more_ratio_N: Array | None = None

    def __post_init__(self) -> None:
        n, a = self.logging_NA.shape if self.logging_NA.ndim == 2 else (-1, -1)
        for one in fields(self):
            values = getattr(self, one.name)
            shape = (n, a) if one.name.endswith("_NA") else (n,)
            if values is not None and values.shape != shape:
                raise ConfigError(one.name, values.shape, f"give shape {shape}, as logging_NA says")
            if values is not None and not np.isfinite(values).all():
                raise ConfigError(one.name, "not finite", "leave out decisions without it")
        for name in ("logging_NA", "target_NA"):
            _require_distributions(name, getattr(self, name))
        if n and not (self._of_chosen(self.logging_NA) > 0).all():
            raise ConfigError(
                "logging_NA",
                0.0,
                "what was chosen had a probability: leave out decisions without a propensity",
            )
        for name in ("weight_N", "more_ratio_N"):
            values = getattr(self, name)
            if values is not None and (values < 0).any():
                raise ConfigError(name, float(values.min()), "use weights of at least 0")

    def __len__(self) -> int:
        return len(self.reward_N)

    @property
    def ratio_N(self) -> Array:
        """Importance weight of each choice: target over logging probability."""
        ratio_N = self._of_chosen(self.target_NA) / self._of_chosen(self.logging_NA)
        return ratio_N if self.more_ratio_N is None else ratio_N * self.more_ratio_N

    @property
    def ratio_NA(self) -> Array:
        """Importance weight of each candidate, 0 where it was not on offer."""
        return np.divide(
            self.target_NA, self.logging_NA, out=np.zeros_like(self.target_NA), where=self.logging_NA > 0
        )

    @property
    def weights_N(self) -> Array:
        """How much each counts."""
        return np.ones(len(self)) if self.weight_N is None else self.weight_N

    @property
    def unsupported_N(self) -> Array:
        """Probability that the target gives to what the logging policy never does: nothing is known of it."""
        return np.asarray((self.target_NA * (self.logging_NA <= 0)).sum(axis=1))

    @property
    def expected_q_N(self) -> Array:
        """The model's expectation under the target, ``sum_a pi(a) q(a)``.

        Raises:
            ConfigError: there is no model.
        """
        return np.asarray((self.target_NA * self._known_q).sum(axis=1))

    @property
    def residual_N(self) -> Array:
        """What came of each choice, less what the model expected of it.

        Raises:
            ConfigError: there is no model.
        """
        return self.reward_N - self._of_chosen(self._known_q)

    def on_policy(self) -> LoggedDecisions:
        """The same with the logging policy as the target, of which the truth is known: it is what happened."""
        return replace(self, target_NA=self.logging_NA, more_ratio_N=None)

    @property
    def _known_q(self) -> Array:
        if self.q_NA is None:
            raise ConfigError("q_NA", None, "this estimator needs a model of the reward: give one")
        return self.q_NA

    def _of_chosen(self, values_NA: Array) -> Array:
        return np.asarray(values_NA[np.arange(len(self)), self.chosen_N])


def _require_distributions(name: str, probability_NA: Array) -> None:
    if (probability_NA < 0).any():
        raise ConfigError(name, float(probability_NA.min()), "use probabilities of at least 0")
    total_N = probability_NA.sum(axis=1)
    if (abs(total_N - 1) > _ROUNDING).any():
        row = int(abs(total_N - 1).argmax())
        raise ConfigError(
            name, float(total_N[row]), f"probabilities of a decision sum to 1; row {row} does not"
        )
