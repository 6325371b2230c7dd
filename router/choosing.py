"""From weights to a choice: masked, normalised, explored or greedy, and drawn.

In plain floats, which for some twenty candidates is faster than numpy, and is what a record holds.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, compress

import numpy as np

from inframind.router.masks import TOO_SLOW
from inframind.router.rulebook import RULE
from inframind.router.views import Mask


def behaviour(
    weights: Sequence[float], allowed: Mask, *, exploration: float, greedy: bool, policy: str
) -> list[float]:
    """The distribution that is drawn from, one probability per candidate; 0 where masked.

    Args:
        weights: of a proposal (A).
        allowed: candidates that are not masked (A), at least one.
        exploration: share that is spread evenly over what is allowed.
        greedy: whether all of it goes to the best.
        policy: name of whoever proposed, for errors.

    Raises:
        ValueError: an allowed candidate's weight is negative or not finite.
    """
    is_allowed = allowed.tolist()
    shares = [weight if may else 0.0 for weight, may in zip(weights, is_allowed, strict=True)]
    total = sum(shares)
    if not math.isfinite(total) or min(shares) < 0:
        raise ValueError(f"policy {policy!r} proposed {weights}: need finite weights >= 0")
    if total == 0:
        shares, total = [float(may) for may in is_allowed], float(sum(is_allowed))
    if greedy:
        return _all_on_the_best(shares)
    kept, floor = 1 - exploration, exploration / sum(is_allowed)
    return [
        kept * (share / total) + floor if may else 0.0 for share, may in zip(shares, is_allowed, strict=True)
    ]


def best_of(weights: Sequence[float], allowed: Mask) -> int:
    """Place of the allowed candidate with the greatest weight, the first of equals."""
    return max(compress(range(len(weights)), allowed.tolist()), key=weights.__getitem__)


def draw(probabilities: Sequence[float], rng: np.random.Generator) -> int:
    """A place with its probability."""
    edges = list(accumulate(probabilities))
    # The product stays below the last edge, so that the draw falls on a candidate of positive probability.
    return bisect_right(edges, rng.random() * edges[-1])


def failover_order(
    same_strategy: Sequence[int],
    chosen: int,
    ranks: Sequence[float],
    reasons: Sequence[str],
    q50_s: Sequence[float],
) -> list[int]:
    """Places in the order in which they are to be tried.

    The chosen one first, then the allowed ones by how the policy ranks them, then those that only a rule avoids, and at
    last those that are only predicted to be too slow: a rule ends no run, and late is better than none. Ties go to the
    faster.

    Args:
        same_strategy: places of all models with the chosen strategy.
        chosen: place of the chosen candidate.
        ranks: of the candidates (A), the greater the better.
        reasons: why candidates are masked (A), "" where they are not.
        q50_s: predicted median seconds (A).
    """
    others = [
        place
        for place in same_strategy
        if place != chosen and (reasons[place] in ("", TOO_SLOW) or reasons[place].startswith(RULE))
    ]
    others.sort(
        key=lambda place: (
            (1 + (reasons[place] == TOO_SLOW), 0.0, q50_s[place])
            if reasons[place]
            else (0, -ranks[place], q50_s[place])
        )
    )
    return [chosen, *others]


def _all_on_the_best(shares: list[float]) -> list[float]:
    best = [0.0] * len(shares)
    best[shares.index(max(shares))] = 1.0
    return best
