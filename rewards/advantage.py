"""Advantages: how much better than expected a decision turned out. Pure functions of a batch.

B = decisions of the batch, A = candidates. An advantage is a Monte-Carlo return less a baseline that does not look at
the action taken; the critic alone never is the advantage (one seed in two of that kind lost a third of its deadlines).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypeVar, get_args

import numpy as np

from inframind.errors import ConfigError
from inframind.rewards.arrays import Array, Ints, floats, require_same_shape

BaselineName: TypeAlias = Literal["counterfactual", "value", "leave_one_out", "shrinkage"]
Standardisation: TypeAlias = Literal["none", "batch", "scale", "centre"]

SMALLEST_SPREAD = 1e-8
"""A batch whose standard deviation is below this is not scaled: there is nothing to tell apart in it."""
PROBABILITY_TOLERANCE = 1e-4
"""How far the sum of a row of probabilities may be from 1; the policy computes in float32."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AdvantageInputs:
    """What baselines may use; give what the chosen one needs.

    Attributes:
        return_B: Monte-Carlo returns.
        probabilities_BA: the policy's probability of each candidate, 0 where masked.
        q_BA: the critic's value of each candidate; finite where masked as well.
        value_B: expected return of the state, from a critic that does not see the action.
        group_B: samples with equal ids belong together, such as the runs of one question.
    """

    return_B: Array
    probabilities_BA: Array | None = None
    q_BA: Array | None = None
    value_B: Array | None = None
    group_B: Ints | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AdvantageConfig:
    """How advantages are made, by name.

    Raises:
        ConfigError: a name is unknown.
    """

    baseline: BaselineName = "counterfactual"
    """What is subtracted from the return."""
    standardisation: Standardisation = "batch"
    """What is done to a minibatch of advantages."""

    def __post_init__(self) -> None:
        _check_name("baseline", self.baseline, get_args(BaselineName))
        _check_name("standardisation", self.standardisation, get_args(Standardisation))

    @property
    def compares_runs(self) -> bool:
        """Whether the baseline is made of other runs of the same question, so that samples have to be runs."""
        return self.baseline in ("leave_one_out", "shrinkage")

    def advantages(self, inputs: AdvantageInputs) -> Array:
        """Standardised advantages (B).

        Raises:
            ConfigError: the inputs lack something that the baseline needs, or do not fit together.
        """
        return standardised(_BASELINES[self.baseline](inputs), self.standardisation)


def counterfactual_advantage(return_B: Array, probabilities_BA: Array, q_BA: Array) -> Array:
    """``R - sum_a pi(a|s) Q(s, a)``: unbiased, as the baseline averages over the action.

    Source: the baseline of COMA (Foerster et al. 2018), with the Monte-Carlo return in place of Q(s, a).

    Raises:
        ConfigError: shapes do not fit, a number is not finite, or probabilities do not sum to 1.
    """
    _check_batch(return_B, probabilities_BA, q_BA)
    baseline_B: Array = np.einsum("ba,ba->b", probabilities_BA, q_BA)
    return return_B - baseline_B


def value_advantage(return_B: Array, value_B: Array) -> Array:
    """``R - V(s)``: the plain actor-critic advantage of a Monte-Carlo return."""
    require_same_shape({"return_B": return_B, "value_B": value_B})
    return return_B - value_B


def leave_one_out(return_B: Array, group_B: Ints) -> Array:
    """Return less the mean return of the others of its group; 0 for a sample that is alone.

    Unbiased where a group shares one policy and one state; sums to 0 in each group. Equals K / (K - 1) times the
    mean-centred return. Where budget or load differ inside a group, subtract a value first: see
    `shrinkage_advantage`.

    Source: RLOO (Kool et al. 2019; Ahmadian et al. 2024).
    """
    require_same_shape({"return_B": return_B, "group_B": group_B})
    size_B, mean_others_B = _others(return_B, group_B)
    return np.where(size_B > 1, return_B - mean_others_B, 0.0)


def shrinkage_advantage(return_B: Array, group_B: Ints, value_B: Array) -> Array:
    """Leave-one-out on the residual ``r = R - V``, drawn towards the batch by how little groups differ.

    ::

        A = r - (1 - w) mean of the others of its group - w mean of the others of the batch
        w = s2 / (s2 + (K - 1) t2)

    with K the size of the sample's group, s2 the variance of residuals within groups and t2 the one between groups
    (analysis of variance; t2 = 0 where it comes out negative or where there is one group). A sample that is alone in
    its group gets w = 1. We leave the sample out of the batch mean as well, so that, weights aside, its own action
    stays out of its baseline.

    Source: shrinkage baselines (arXiv 2511.03710), on residuals because load and budget differ inside a group.
    """
    residual_B = value_advantage(return_B, value_B)
    require_same_shape({"return_B": return_B, "group_B": group_B})
    if len(residual_B) < 2:
        return residual_B
    size_B, mean_others_B = _others(residual_B, group_B)
    within, between = _variances(residual_B, group_B)
    drawn_B = (size_B - 1) * between
    weight_B = np.divide(within, within + drawn_B, out=np.ones_like(drawn_B), where=drawn_B > 0)
    mean_batch_B = (float(residual_B.sum()) - residual_B) / (len(residual_B) - 1)
    baseline_B: Array = (1 - weight_B) * mean_others_B + weight_B * mean_batch_B
    return residual_B - baseline_B


def standardised(advantage_B: Array, how: Standardisation) -> Array:
    """Advantages of a minibatch, on a common scale.

    ``none`` leaves them; ``centre`` subtracts the mean; ``scale`` divides by the standard deviation, which keeps
    signs; ``batch`` does both. A batch without spread is never scaled. Do not mix budget tiers in one batch where the
    baseline does not see the budget.

    Raises:
        ConfigError: the name is unknown.
    """
    _check_name("standardisation", how, get_args(Standardisation))
    if not advantage_B.size or how == "none":
        return advantage_B
    centre = float(advantage_B.mean()) if how in ("batch", "centre") else 0.0
    spread = float(advantage_B.std()) if how in ("batch", "scale") else 1.0
    return (advantage_B - centre) / (spread if spread >= SMALLEST_SPREAD else 1.0)


def critic_q(
    p_solved: Array,
    p_on_time_and_solved: Array,
    p_on_time: Array,
    multiplier: Array | float,
    w: float = 0.05,
) -> Array:
    """Expected `inframind.rewards.functions.on_time` reward from the three heads of the factored critic.

    ::

        Q = (1 - lambda) P_S + lambda P_G - w [(1 - P_T) - (P_S - P_G)]

    Linear in the heads, so the multiplier may move without relearning them. This is the plain form: the learner and
    the heads that serve compute the same on tensors and in place. The last bracket is the probability of
    late and wrong; heads that contradict each other can make it negative, and it is left so.

    Args:
        p_solved: P_S, shaped (B) or (B, A).
        p_on_time_and_solved: P_G, shaped alike.
        p_on_time: P_T, shaped alike.
        multiplier: lambda, one number or one per sample (B).
        w: as in the reward.

    Raises:
        ConfigError: shapes do not fit.
    """
    require_same_shape(
        {"p_solved": p_solved, "p_on_time_and_solved": p_on_time_and_solved, "p_on_time": p_on_time}
    )
    price = np.asarray(multiplier, dtype=np.float64)
    if price.ndim:
        if price.shape != p_solved.shape[:1]:
            raise ConfigError("multiplier", f"shape {price.shape}", f"give shape {p_solved.shape[:1]}")
        price = price.reshape(-1, *[1] * (p_solved.ndim - 1))
    wrong_late = (1 - p_on_time) - (p_solved - p_on_time_and_solved)
    return np.asarray((1 - price) * p_solved + price * p_on_time_and_solved - w * wrong_late)


def _others(return_B: Array, group_B: Ints) -> tuple[Ints, Array]:
    """Size of each sample's group (B), and mean return of the others in it (B; 0 if alone)."""
    _, index_B, size_G = np.unique(group_B, return_inverse=True, return_counts=True)
    sum_G = np.bincount(index_B, weights=return_B, minlength=len(size_G))
    size_B = size_G[index_B]
    others_B = (sum_G[index_B] - return_B) / np.maximum(size_B - 1, 1)
    return size_B, others_B


def _variances(residual_B: Array, group_B: Ints) -> tuple[float, float]:
    """Variance within and between groups, by analysis of variance; 0 where it cannot be told."""
    _, index_B, size_G = np.unique(group_B, return_inverse=True, return_counts=True)
    samples, groups = len(residual_B), len(size_G)
    mean_G = np.bincount(index_B, weights=residual_B) / size_G
    if groups == samples:
        return 0.0, 0.0
    within = float(np.sum((residual_B - mean_G[index_B]) ** 2)) / (samples - groups)
    if groups == 1:
        return within, 0.0
    mean_square = float(np.sum(size_G * (mean_G - residual_B.mean()) ** 2)) / (groups - 1)
    effective_size = (samples - float(np.sum(size_G**2)) / samples) / (groups - 1)
    return within, max(0.0, (mean_square - within) / effective_size)


def _counterfactual(inputs: AdvantageInputs) -> Array:
    probabilities_BA = _needed("probabilities_BA", inputs.probabilities_BA, "counterfactual")
    return counterfactual_advantage(
        inputs.return_B, probabilities_BA, _needed("q_BA", inputs.q_BA, "counterfactual")
    )


def _value(inputs: AdvantageInputs) -> Array:
    return value_advantage(inputs.return_B, _needed("value_B", inputs.value_B, "value"))


def _leave_one_out(inputs: AdvantageInputs) -> Array:
    return leave_one_out(inputs.return_B, _needed("group_B", inputs.group_B, "leave_one_out"))


def _shrinkage(inputs: AdvantageInputs) -> Array:
    group_B = _needed("group_B", inputs.group_B, "shrinkage")
    return shrinkage_advantage(inputs.return_B, group_B, _needed("value_B", inputs.value_B, "shrinkage"))


_BASELINES: Mapping[BaselineName, Callable[[AdvantageInputs], Array]] = {
    "counterfactual": _counterfactual,
    "value": _value,
    "leave_one_out": _leave_one_out,
    "shrinkage": _shrinkage,
}

_Numbers = TypeVar("_Numbers", Array, Ints)


def _needed(field: str, values: _Numbers | None, baseline: str) -> _Numbers:
    if values is None:
        raise ConfigError(f"inputs.{field}", None, f"give it: the baseline {baseline!r} needs it")
    return values


def _check_name(field: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise ConfigError(field, name, f"use one of: {', '.join(known)}")


def _check_batch(return_B: Array, probabilities_BA: Array, q_BA: Array) -> None:
    floats("q_BA", q_BA, ndim=2)
    floats("probabilities_BA", probabilities_BA, ndim=2)
    require_same_shape({"q_BA": q_BA, "probabilities_BA": probabilities_BA})
    require_same_shape({"return_B": return_B, "q_BA[:, 0]": q_BA[:, 0]})
    sum_B = probabilities_BA.sum(axis=1)
    if (np.abs(sum_B - 1) > PROBABILITY_TOLERANCE).any():
        raise ConfigError(
            "probabilities_BA", f"rows sum to {sum_B.min():g} to {sum_B.max():g}", "make each row sum to 1"
        )
