"""Estimators by name, with their knobs tuned, over a batch of decisions that do not depend on each other's choices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np

from inframind.router.ope.batch import Array, LoggedDecisions
from inframind.router.ope.estimate import Estimate, NoSupport, SupportRule, by_run
from inframind.router.ope.estimators import (
    clipped_ips,
    doubly_robust,
    effective_sample_size,
    ips,
    shrunk_doubly_robust,
    snips,
    switch_doubly_robust,
)
from inframind.router.ope.tuning import best_clip, best_strength, best_threshold, clipped, shrunk, switched

Method = Literal["ips", "clipped_ips", "snips", "dr", "switch_dr", "shrunk_dr"]
METHODS: tuple[Method, ...] = ("ips", "clipped_ips", "snips", "dr", "switch_dr", "shrunk_dr")


@dataclass(frozen=True, slots=True)
class _Kind:
    """How a method makes contributions (N), what it makes of the weights (N), and whether it needs a model."""

    contributions: Callable[[LoggedDecisions], Array]
    kept: Callable[[LoggedDecisions], Array]
    uses_model: bool


def _normalised(batch: LoggedDecisions) -> Array:
    ratio_N, weight_N = batch.ratio_N, batch.weights_N
    total = float(weight_N @ ratio_N)
    return ratio_N * (float(weight_N.sum()) / total) if total else ratio_N


_KINDS: Mapping[Method, _Kind] = MappingProxyType(
    {
        "ips": _Kind(ips, lambda batch: batch.ratio_N, False),
        "clipped_ips": _Kind(
            lambda batch: clipped_ips(batch, best_clip(batch)),
            lambda batch: clipped(batch.ratio_N, best_clip(batch)),
            False,
        ),
        "snips": _Kind(snips, _normalised, False),
        "dr": _Kind(doubly_robust, lambda batch: batch.ratio_N, True),
        "switch_dr": _Kind(
            lambda batch: switch_doubly_robust(batch, best_threshold(batch)),
            lambda batch: switched(batch.ratio_N, best_threshold(batch)),
            True,
        ),
        "shrunk_dr": _Kind(
            lambda batch: shrunk_doubly_robust(batch, best_strength(batch)),
            lambda batch: shrunk(batch.ratio_N, best_strength(batch)),
            True,
        ),
    }
)


def uses_model(method: Method) -> bool:
    """Whether the method needs a model of the reward."""
    return _KINDS[method].uses_model


def contributions(batch: LoggedDecisions, method: Method) -> Array:
    """Of each decision (N), the method's knob tuned to the batch."""
    return _KINDS[method].contributions(batch)


def kept_ratio(batch: LoggedDecisions, method: Method) -> Array:
    """Importance weight of each choice (N), as far as the method trusts it."""
    return _KINDS[method].kept(batch)


def gains(batch: LoggedDecisions, method: Method) -> Array:
    """By how much the target would have done better than what was done, of each decision (N); 0 where both agree.

    The method's contribution less the same of the logging policy, which is the reward itself; with a model
    ``q(x, mu) + r - q(x, a)``, of equal mean and closer to what is taken from.
    """
    on_policy = doubly_robust(batch.on_policy()) if uses_model(method) else batch.reward_N
    return contributions(batch, method) - on_policy


def estimate(
    batch: LoggedDecisions, method: Method, *, rule: SupportRule | None = None
) -> Estimate | NoSupport:
    """Mean reward of the target, if every decision of the batch had been its own.

    Args:
        batch: decisions on their own, such as plans; runs of several are clusters.
        method: the estimator.
        rule: when the batch says enough.

    Raises:
        ConfigError: the method needs a model that the batch does not have, or nothing has any weight.
    """
    contribution_R, run_R = by_run(contributions(batch, method), batch.run_N, batch.weights_N)
    found = Estimate(
        method=method,
        contribution_R=contribution_R,
        run_R=run_R,
        effective_size=effective_sample_size(batch.ratio_N, batch.weight_N),
        unsupported=float(np.average(batch.unsupported_N, weights=batch.weights_N)),
    )
    return (rule or SupportRule()).judge(found)
