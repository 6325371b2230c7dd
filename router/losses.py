"""Losses of the learners: pure functions of tensors. No sampling, no logging, no optimiser, no device moves.

B = decisions of a minibatch, A = candidate actions. Losses are means over B, to be minimised. Advantages,
returns and behaviour probabilities are data here: no gradient flows into them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from inframind.errors import ConfigError

__all__ = [
    "EntropySchedule",
    "a2c_loss",
    "clipped_importance_weights",
    "entropy",
    "explained_variance",
    "factored_critic_loss",
    "masked_log_softmax",
    "ppo_clip_loss",
    "reinforce_loss",
]


def masked_log_softmax(logits_BA: Tensor, allowed_BA: Tensor) -> Tensor:
    """Log-probabilities over the allowed candidates; -inf, without any gradient, where masked.

    Args:
        logits_BA: scores (B, A).
        allowed_BA: True where a candidate may be chosen (B, A).

    Raises:
        ValueError: shapes differ, or a row allows nothing.
    """
    _require_same_shape(logits_BA=logits_BA, allowed_BA=allowed_BA)
    if not bool(allowed_BA.any(dim=-1).all()):
        row = int((~allowed_BA.any(dim=-1)).nonzero()[0, 0])
        raise ValueError(
            f"allowed_BA: row {row} allows no candidate; leave at least one, such as the fastest"
        )
    return functional.log_softmax(logits_BA.masked_fill(~allowed_BA, -math.inf), dim=-1)


def entropy(log_prob_BA: Tensor, allowed_BA: Tensor) -> Tensor:
    """Entropy in nats of each row's masked distribution (B): ``-sum_a p log p`` over the allowed candidates.

    The mask keeps ``0 * -inf`` out of value and gradient. Between 0 and the log of the number allowed.

    Args:
        log_prob_BA: as `masked_log_softmax` gives it (B, A).
        allowed_BA: the same mask (B, A).
    """
    _require_same_shape(log_prob_BA=log_prob_BA, allowed_BA=allowed_BA)
    return -(log_prob_BA.exp() * log_prob_BA.masked_fill(~allowed_BA, 0.0)).sum(dim=-1)


def reinforce_loss(log_prob_B: Tensor, advantage_B: Tensor) -> Tensor:
    """Policy gradient with the score function: ``-mean(log pi(a|s) * A)`` (Williams 1992, REINFORCE).

    Args:
        log_prob_B: log-probability of each choice; for a plan the sum over all of its parts (B).
        advantage_B: return less baseline; for data of an older policy times `clipped_importance_weights` (B).
    """
    _require_vectors(log_prob_B=log_prob_B, advantage_B=advantage_B)
    return -(log_prob_B * advantage_B.detach()).mean()


def a2c_loss(
    log_prob_B: Tensor,
    advantage_B: Tensor,
    value_B: Tensor,
    return_B: Tensor,
    value_weight: float = 0.5,
) -> Tensor:
    """Advantage actor-critic (Mnih et al. 2016): `reinforce_loss` plus ``value_weight * mean((V - R)^2)``.

    For learners of your own with a value that sees no action: the ones here subtract a counterfactual baseline, whose
    critic learns apart, by `factored_critic_loss`. The entropy bonus is not in here: subtract
    ``coefficient * entropy(...).mean()``.

    Args:
        log_prob_B: log-probability of each choice (B).
        advantage_B: usually ``return_B - value_B`` (B).
        value_B: the critic's value of each state (B).
        return_B: what came of it (B).
        value_weight: weight of the critic's squared error.
    """
    _require_vectors(log_prob_B=log_prob_B, advantage_B=advantage_B, value_B=value_B, return_B=return_B)
    return reinforce_loss(log_prob_B, advantage_B) + value_weight * functional.mse_loss(
        value_B, return_B.detach()
    )


def ppo_clip_loss(
    log_prob_B: Tensor, old_log_prob_B: Tensor, advantage_B: Tensor, clip: float = 0.2
) -> Tensor:
    """Proximal policy optimisation, clipped (Schulman et al. 2017, eq. 7).

    With ``r = pi / pi_old``: ``-mean(min(r * A, clamp(r, 1 - clip, 1 + clip) * A))``. A choice that has moved
    past the clip in the direction of its advantage has no gradient; one that has moved the other way has it in
    full.

    Args:
        log_prob_B: under the policy that learns (B).
        old_log_prob_B: under the policy that chose (B).
        advantage_B: return less baseline (B).
        clip: largest relative change of a probability that is still rewarded, in (0, 1).
    """
    _require_vectors(log_prob_B=log_prob_B, old_log_prob_B=old_log_prob_B, advantage_B=advantage_B)
    advantage_B = advantage_B.detach()
    ratio_B = (log_prob_B - old_log_prob_B.detach()).exp()
    return -torch.minimum(ratio_B * advantage_B, ratio_B.clamp(1 - clip, 1 + clip) * advantage_B).mean()


def clipped_importance_weights(log_prob_B: Tensor, behaviour_log_prob_B: Tensor, most: float = 1.0) -> Tensor:
    """``min(pi / behaviour, most)`` of each choice, as data (B): the one-step rho of V-trace (Espeholt 2018).

    At most 1 by default, which is biased towards the behaviour policy but never blows up a rare choice.

    Args:
        log_prob_B: under the policy that learns; -inf where it can no longer choose this (B).
        behaviour_log_prob_B: log of the propensity in the trace (B).
        most: upper bound of a weight.

    Raises:
        ValueError: shapes differ, or a propensity is missing (a chosen action has a positive probability).
    """
    _require_vectors(log_prob_B=log_prob_B, behaviour_log_prob_B=behaviour_log_prob_B)
    if not bool(behaviour_log_prob_B.isfinite().all()):
        raise ValueError("behaviour_log_prob_B: not finite; leave out decisions without a propensity")
    return (log_prob_B - behaviour_log_prob_B).exp().clamp(max=most).detach()


def factored_critic_loss(
    logits_B3: Tensor, solved_B: Tensor, on_time_B: Tensor, weight_B: Tensor | None = None
) -> Tensor:
    """Binary cross-entropy of the heads (solved, on time given solved, on time given wrong).

    Only the on-time head of the branch that happened learns, so that ``P(solved and on time)`` is the product
    of the first two probabilities. A solved label between 0 and 1, an imputed one, splits the sample over both
    branches in that proportion, which is the expected loss.

    Args:
        logits_B3: of the action that was taken (B, 3).
        solved_B: labels in [0, 1] (B).
        on_time_B: labels in [0, 1] (B).
        weight_B: weight of each sample; the mean is over weights. None weighs all alike (B).

    Raises:
        ValueError: shapes do not fit, or no sample has any weight.
    """
    _require_vectors(solved_B=solved_B, on_time_B=on_time_B)
    if logits_B3.shape != (len(solved_B), 3):
        raise ValueError(
            f"logits_B3 is {tuple(logits_B3.shape)}, solved_B is {tuple(solved_B.shape)}: give (B, 3)"
        )
    weight_B = torch.ones_like(solved_B) if weight_B is None else weight_B
    _require_vectors(solved_B=solved_B, weight_B=weight_B)
    if not bool(weight_B.sum() > 0):
        raise ValueError("weight_B: no sample has any weight; skip this batch")
    labels_B3 = torch.stack([solved_B, on_time_B, on_time_B], dim=-1)
    errors_B3 = functional.binary_cross_entropy_with_logits(logits_B3, labels_B3, reduction="none")
    branches_B3 = torch.stack([torch.ones_like(solved_B), solved_B, 1 - solved_B], dim=-1)
    return ((errors_B3 * branches_B3).sum(dim=-1) * weight_B).sum() / weight_B.sum()


def explained_variance(value_B: Tensor, return_B: Tensor) -> float:
    """``1 - var(R - V) / var(R)``: 1 for a perfect critic, 0 for a constant one, negative for a harmful one.

    To judge a value of your own beside `a2c_loss`. NaN where all returns are equal, for then there is nothing to
    explain.
    """
    _require_vectors(value_B=value_B, return_B=return_B)
    spread = return_B.detach().var(correction=0).item()
    unexplained = (return_B - value_B).detach().var(correction=0).item()
    return 1 - unexplained / spread if spread else math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class EntropySchedule:
    """Weight of the entropy bonus over the training: geometric from ``start`` to ``end``, never under ``floor``."""

    start: float = 0.05
    """Weight at the beginning, > 0."""
    end: float = 0.004
    """Weight at the end, in (0, start]."""
    floor: float = 0.004
    """Least weight at any time, in [0, start]; above ``end`` it is reached before the end."""

    def __post_init__(self) -> None:
        if not 0 < self.start < math.inf:
            raise ConfigError("entropy.start", self.start, "use a positive number, such as 0.05")
        if not 0 < self.end <= self.start:
            raise ConfigError("entropy.end", self.end, f"use a number in (0, {self.start}], the start")
        if not 0 <= self.floor <= self.start:
            raise ConfigError("entropy.floor", self.floor, f"use a number in [0, {self.start}], the start")

    def at(self, progress: float) -> float:
        """Weight after the share ``progress`` of the training.

        Raises:
            ValueError: progress is not in [0, 1].
        """
        if not 0 <= progress <= 1:
            raise ValueError(f"progress = {progress!r}: give the share of the training done, in [0, 1]")
        return max(self.start * math.pow(self.end / self.start, progress), self.floor)


def _require_same_shape(**tensors: Tensor) -> None:
    (name, first), *others = tensors.items()
    for other, tensor in others:
        if tensor.shape != first.shape:
            raise ValueError(
                f"{name} is {tuple(first.shape)}, {other} is {tuple(tensor.shape)}: give equal shapes"
            )


def _require_vectors(**tensors: Tensor) -> None:
    """One axis each, all of one length: (B, 1) against (B) would broadcast to (B, B) without a word."""
    _require_same_shape(**tensors)
    name, first = next(iter(tensors.items()))
    if first.dim() != 1:
        raise ValueError(f"{name} is {tuple(first.shape)}: give one number per decision, (B,)")
