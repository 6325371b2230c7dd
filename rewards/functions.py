"""Rewards of runs and steps, one function each: choose one by name in `inframind.rewards.registry`.

Every function maps ``(outcomes, multiplier_B, **parameters)`` to a breakdown and keeps nothing. Symbols: S = 1 when
solved, else 0; L = latency; B = budget; l = latency of the step; b = time left when the step began; q = judge
score / 10; v = 1 when L > B, else 0; lambda = the multiplier of the sample's budget tier.
"""

from __future__ import annotations

import numpy as np

from inframind.errors import ConfigError
from inframind.rewards.arrays import Array, require_all_between, require_between, require_same_shape
from inframind.rewards.breakdown import RewardBreakdown
from inframind.rewards.outcomes import MAX_JUDGE_SCORE, RunOutcomes

LOWEST_MULTIPLIER, HIGHEST_MULTIPLIER = 0.05, 0.9
"""Between these, `on_time` ranks right and late strictly between right in time and wrong in time."""


def on_time(outcomes: RunOutcomes, multiplier_B: Array, *, w: float = 0.05) -> RewardBreakdown:
    """Success first, lateness by a hard step: ``S (1 - lambda v) - w (1 - S) v`` (the default).

    Range: -w to 1. Order for every multiplier: right in time 1 > right late 1 - lambda (at least 0.1) > wrong in
    time 0 > wrong late -w. How late never matters, only that the deadline passed. ``w`` gives a run that will fail
    anyway a reason not to block others.

    Source: ours; a chance constraint P(L > B) <= target, priced by a controlled multiplier
    (`inframind.rewards.multiplier.TieredMultiplier`).

    Known failure: one multiplier for all budgets holds only the average, and short budgets slip; hence one per tier.
    A soft ramp in place of the step under-protects or over-protects.

    Args:
        outcomes: what came of the samples.
        multiplier_B: lambda, 0.05 to 0.9.
        w: price of being late with a wrong answer, above 0 and at most 1.

    Raises:
        ConfigError: a multiplier or ``w`` is outside its range.
    """
    if not 0 < w <= 1:
        raise ConfigError("w", w, "give a number above 0 and at most 1, such as 0.05")
    _check_multiplier(outcomes, multiplier_B, LOWEST_MULTIPLIER, HIGHEST_MULTIPLIER)
    solved_B, late_B = outcomes.solved_B, outcomes.is_late_B
    return RewardBreakdown(
        {
            "solved": solved_B.astype(np.float64),
            "late": np.where(solved_B & late_B, -multiplier_B, 0.0),
            "wrong_late": np.where(~solved_B & late_B, -w, 0.0),
        }
    )


def additive(outcomes: RunOutcomes, multiplier_B: Array, *, penalty: float = 1.0) -> RewardBreakdown:
    """The first design, kept as the warning: ``S - penalty max(0, L/B - 1)``.

    Range: unbounded below, up to 1. The multiplier is not used.

    Source: the reference system's first reward (R0).

    Known failure: wrong and fast (0) beats right and later than 2B (2 - L/B), so the policy learns to be fast and
    wrong: accuracy fell to 55 % there, with the strongest model at 2 % of the steps.

    Raises:
        ConfigError: ``penalty`` is negative or not finite.
    """
    require_between("penalty", penalty, 0)
    late_B = -penalty * _overrun(outcomes.latency_s_B, outcomes.budget_s_B)
    return RewardBreakdown({"solved": outcomes.solved_B.astype(np.float64), "late": late_B})


def signed(
    outcomes: RunOutcomes, multiplier_B: Array, *, rate: float = 0.3, cap: float = 0.5
) -> RewardBreakdown:
    """Right: ``1 - min(cap, rate max(0, L/B - 1))``; wrong: -1.

    Range: 1 - cap to 1 when right, -1 when wrong: right always outranks wrong. The multiplier is not used.

    Source: the reference system's second reward (R1).

    Known failure: past the cap lateness is free, so nothing stops the fleet from melting (39 % of the deadlines were
    kept in our study); and a late wrong answer costs no more than one in time.

    Raises:
        ConfigError: ``rate`` is negative, or ``cap`` is outside 0 to 2, where a late right answer falls below a
            wrong one.
    """
    return RewardBreakdown(_signed_terms(outcomes, rate=rate, cap=cap))


def effort(
    outcomes: RunOutcomes,
    multiplier_B: Array,
    *,
    rate: float = 0.3,
    cap: float = 0.5,
    bonus: float = 0.3,
) -> RewardBreakdown:
    """`signed` for a planner, and when wrong a bonus for the time spent: ``-1 + bonus min(1, L/B)``.

    Range: 1 - cap to 1 when right, -1 to bonus - 1 when wrong. The multiplier is not used.

    Source: the reference system's third reward (R2), planner.

    Known failure: it pays for burning the budget. Bonuses of this kind bought latency and no quality (reward
    hacking); the bonus is no difference of potentials, so it moves the optimum.

    Raises:
        ConfigError: a parameter is negative, or ``cap + bonus`` exceeds 2, where wrong may outrank right.
    """
    terms = _signed_terms(outcomes, rate=rate, cap=cap)
    require_between("bonus", bonus, 0, 2 - cap)
    spent_B = np.minimum(1.0, outcomes.latency_s_B / outcomes.budget_s_B)
    return RewardBreakdown({**terms, "effort": np.where(outcomes.solved_B, 0.0, bonus * spent_B)})


def effort_step(
    outcomes: RunOutcomes,
    multiplier_B: Array,
    *,
    rate: float = 0.5,
    cap: float = 0.5,
    judged: float = 0.2,
    judged_wrong: float = 0.3,
    floor: float = 0.3,
) -> RewardBreakdown:
    """Steps: ``1 - judged (1 - q) - min(cap, rate max(0, l/b - 1))`` when right, ``-1 + judged_wrong q`` when wrong.

    A right step earns at least ``floor``. Range: floor to 1 when right, -1 to judged_wrong - 1 when wrong. With no
    time left (b <= 0) lateness is at its cap. The multiplier is not used.

    Source: the reference system's third reward (R2), executor.

    Known failure: an uncalibrated judge as a bonus is hacked: an overrated model went from 10 % to 42-95 % of the
    steps in our study.

    Raises:
        ConfigError: ``outcomes`` lack ``step_latency_s_B``, ``remaining_s_B`` or ``judge_score_B``, or a parameter is
            outside its range.
    """
    _check_lateness(rate, cap)
    require_between("judged", judged, 0, 1)
    require_between("judged_wrong", judged_wrong, 0, 1)
    require_between("floor", floor, 0, 1 - judged)
    solved_B = outcomes.solved_B
    quality_B = _needed(outcomes, "judge_score_B", "effort_step") / MAX_JUDGE_SCORE
    late_B = _late_step(outcomes, rate=rate, cap=cap)
    judged_B = np.where(solved_B, judged * quality_B, judged_wrong * quality_B)
    kept_B = np.maximum(late_B, floor - (1 - judged) - judged_B)
    return RewardBreakdown(
        {
            "outcome": np.where(solved_B, 1 - judged, -1.0),
            "judged": judged_B,
            "late": np.where(solved_B, kept_B, 0.0),
        }
    )


def lagrangian(outcomes: RunOutcomes, multiplier_B: Array, *, price_per_usd: float = 0.0) -> RewardBreakdown:
    """A multiplier on the mean share of the budget: ``S - lambda L/B - price_per_usd cost``.

    Range: unbounded below, up to 1.

    Source: the reference system's released reward (R3), planner; one `inframind.rewards.multiplier.DualAscent` for
    all samples.

    Known failure: it bounds the mean of L/B over all tiers, not the share of late runs, and at its published step
    size the multiplier hardly moves; the constraint was violated on four of the five published grids. With lambda
    L/B above 1, wrong and fast beats right and late, as in `additive`. A price on cost is always on and can bring
    back cheap, fast and wrong.

    Raises:
        ConfigError: a multiplier or the price is negative, or there is a price and ``outcomes`` lack ``cost_usd_B``.
    """
    return _lagrangian(outcomes, multiplier_B, outcomes.latency_s_B, price_per_usd)


def lagrangian_step(
    outcomes: RunOutcomes, multiplier_B: Array, *, price_per_usd: float = 0.0
) -> RewardBreakdown:
    """`lagrangian` for steps, each charged for its own latency: ``S - lambda l/B - price_per_usd cost``.

    Range: unbounded below, up to 1.

    Source: the reference system's released reward (R3), executor.

    Known failure: as `lagrangian`; and a step pays for its latency even where a slower sibling hides it. See
    `inframind.rewards.credit.latency_credit` for the exact share.

    Raises:
        ConfigError: as `lagrangian`, or ``outcomes`` lack ``step_latency_s_B``.
    """
    step_s_B = _needed(outcomes, "step_latency_s_B", "lagrangian_step")
    return _lagrangian(outcomes, multiplier_B, step_s_B, price_per_usd)


def _lagrangian(
    outcomes: RunOutcomes, multiplier_B: Array, charged_s_B: Array, price_per_usd: float
) -> RewardBreakdown:
    require_between("price_per_usd", price_per_usd, 0)
    _check_multiplier(outcomes, multiplier_B, 0.0, np.inf)
    terms = {
        "solved": outcomes.solved_B.astype(np.float64),
        "latency": -multiplier_B * charged_s_B / outcomes.budget_s_B,
    }
    if price_per_usd:
        terms["cost"] = -price_per_usd * _needed(outcomes, "cost_usd_B", "price_per_usd")
    return RewardBreakdown(terms)


def _signed_terms(outcomes: RunOutcomes, *, rate: float, cap: float) -> dict[str, Array]:
    _check_lateness(rate, cap)
    late_B = -np.minimum(cap, rate * _overrun(outcomes.latency_s_B, outcomes.budget_s_B))
    return {
        "outcome": np.where(outcomes.solved_B, 1.0, -1.0),
        "late": np.where(outcomes.solved_B, late_B, 0.0),
    }


def _late_step(outcomes: RunOutcomes, *, rate: float, cap: float) -> Array:
    step_s_B = _needed(outcomes, "step_latency_s_B", "effort_step")
    left_s_B = _needed(outcomes, "remaining_s_B", "effort_step")
    has_time_B = left_s_B > 0
    overrun_B = _overrun(step_s_B, np.where(has_time_B, left_s_B, 1.0))
    return np.where(has_time_B, -np.minimum(cap, rate * overrun_B), -cap)


def _overrun(latency_s_B: Array, allowed_s_B: Array) -> Array:
    """``max(0, latency / allowed - 1)``."""
    return np.maximum(0.0, latency_s_B / allowed_s_B - 1.0)


def _needed(outcomes: RunOutcomes, field: str, by: str) -> Array:
    values_B: Array | None = getattr(outcomes, field)
    if values_B is None:
        raise ConfigError(f"outcomes.{field}", None, f"give it: {by} needs it")
    return values_B


def _check_lateness(rate: float, cap: float) -> None:
    require_between("rate", rate, 0)
    require_between("cap", cap, 0, 2)


def _check_multiplier(outcomes: RunOutcomes, multiplier_B: Array, lowest: float, highest: float) -> None:
    require_same_shape({"solved_B": outcomes.solved_B, "multiplier_B": multiplier_B})
    require_all_between("multiplier_B", multiplier_B, lowest, highest)
