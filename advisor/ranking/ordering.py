"""In which order options are shown that a chooser has scored, and how often each would come first.

What is not proven comes after what is, whatever the chooser likes. Where it does not tell a kind's options apart, those
that answer a failure pattern come first, then those that surely promise more success; chance decides between equals.

N = draws, K = options.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from inframind.advisor.option import Option
from inframind.advisor.ranking.protocol import Array
from inframind.traces.advice import KINDS


def shown(options: Sequence[Option], scores_K: Array, rng: np.random.Generator) -> list[int]:
    """Places of the best proven option of each kind, best first, then of one that is not proven, of another kind."""
    by_chance = {kind: number for number, kind in enumerate(rng.permutation(KINDS).tolist())}
    best: dict[str, int] = {}
    for place in sorted(range(len(options)), key=lambda place: (-scores_K[place], *_liking(options[place]))):
        if is_proven(options[place]):
            best.setdefault(options[place].kind, place)
    proven = sorted(best.values(), key=lambda place: (-scores_K[place], by_chance[options[place].kind]))
    others = [place for place, one in enumerate(options) if one.kind not in best and not is_proven(one)]
    unproven = sorted(
        others,
        key=lambda place: (-scores_K[place], by_chance[options[place].kind], *_liking(options[place])),
    )
    return [*proven, *unproven[:1]]


def is_proven(option: Option) -> bool:
    """Whether there is enough evidence of what it does to success."""
    success = option.prediction("success")
    return success is not None and success.is_enough


def _liking(option: Option) -> tuple[bool, float]:
    """By which options of a kind are ordered, least first, that a chooser does not tell apart."""
    success = option.prediction("success")
    return not option.cluster_id, -success.low if success is not None else math.inf


def chances_to_be_first(options: Sequence[Option], draws_NK: Array) -> Array:
    """Share of draws in which each comes first (K), as `shown` orders them; real equals share the draw."""
    is_able_K = np.array([is_proven(one) for one in options])
    is_able_K |= not is_able_K.any()
    able_NK = np.where(is_able_K, draws_NK, -np.inf)
    is_first_NK = able_NK == able_NK.max(axis=1, keepdims=True)
    likings = [_liking(one) for one in options]
    order = {liking: number for number, liking in enumerate(sorted(set(likings)))}
    order_K = np.array([order[liking] for liking in likings])
    shares_NK = np.zeros(draws_NK.shape)
    for kind in KINDS:
        first_NK = is_first_NK & np.array([one.kind == kind for one in options])
        liked_NK = np.where(first_NK, order_K, len(order))
        best_NK = first_NK & (liked_NK == liked_NK.min(axis=1, keepdims=True))
        shares_NK += best_NK / np.maximum(best_NK.sum(axis=1, keepdims=True), 1)
    shares_K: Array = (shares_NK / shares_NK.sum(axis=1, keepdims=True)).mean(axis=0)
    return shares_K
