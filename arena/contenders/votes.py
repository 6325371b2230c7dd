"""How often a team's answers fall this way or that, and what a judge makes of each way: for oracles alone.

Assumes what holds of the latent-difficulty model: wrong answers are drawn from a question's few typical ones with
the same shares for every model; and between being sure of the right answer and seeing it contradicted once, judges of
every model weigh the same votes alike.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from inframind.arena.contenders.item_truth import ItemTruth

Array = NDArray[np.float64]
Counts = tuple[int, ...]

TELLING = 0.05
"""A judge tells how votes are weighed when contradiction costs at least this much of P(right)."""
PROBED_TOPOLOGY = "IO"


@dataclass(frozen=True, slots=True)
class VoteWeights:
    """Where a judge stands between one contradiction (0) and none (1), by team size and number of right answers."""

    _by_team: Mapping[int, Array]

    def of(self, agents: int) -> Array:
        """Mean weight for 1 to ``agents - 1`` right answers, the wrong ones falling as they may (agents - 1)."""
        return self._by_team[agents]


def vote_weights(
    truth: ItemTruth, max_team: int, mistake_shares: Sequence[float]
) -> tuple[VoteWeights, bool]:
    """The weights, from the judge on one question whom contradiction costs most; and whether it costs enough.

    Args:
        truth: of that question.
        max_team: largest team.
        mistake_shares: shares of a question's typical mistakes among wrong answers.
    """
    judge, shares = truth.judges(PROBED_TOPOLOGY), tuple(mistake_shares)
    loss = judge.sure - judge.split
    if not len(loss) or loss.max() < TELLING:
        return VoteWeights({n: np.zeros(n - 1) for n in range(2, max_team + 1)}), False
    teller = int(np.argmax(loss))

    def weight(right: int, wrong: Counts) -> float:
        seen = truth.judged(PROBED_TOPOLOGY, right, wrong)[teller]
        return float((seen - judge.split[teller]) / loss[teller])

    known: dict[tuple[int, Counts], float] = {}
    by_team = {n: np.zeros(n - 1) for n in range(2, max_team + 1)}
    for agents, means in by_team.items():
        for right in range(1, agents):
            for counts, probability in multinomial(agents - right, shares):
                pattern = (right, tuple(sorted(counts, reverse=True)))
                if pattern not in known:
                    known[pattern] = weight(*pattern)
                means[right - 1] += probability * known[pattern]
    return VoteWeights(by_team), True


def wrong_agree(agents: int, mistake_shares: Sequence[float]) -> float:
    """P(all give the same wrong answer | all are wrong)."""
    return sum(share**agents for share in mistake_shares)


@lru_cache(maxsize=32)
def multinomial(wrong: int, shares: tuple[float, ...]) -> tuple[tuple[Counts, float], ...]:
    """How so many wrong answers fall on the typical mistakes, with probabilities."""
    return tuple(
        (
            counts,
            math.factorial(wrong)
            * math.prod(share**n / math.factorial(n) for share, n in zip(shares, counts, strict=True)),
        )
        for counts in itertools.product(range(wrong + 1), repeat=len(shares))
        if sum(counts) == wrong
    )


def binomial(draws: int, p: Array) -> Array:
    """P(k successes) for each p (T, draws + 1)."""
    k = np.arange(draws + 1)
    ways = np.array([math.comb(draws, int(n)) for n in k])
    pmf: Array = ways * p[:, None] ** k * (1 - p[:, None]) ** (draws - k)
    return pmf
