"""Interactions in which nothing is better than anything else."""

from __future__ import annotations

import numpy as np

from inframind.advisor.recommending import Ranking, RankingConfig
from inframind.arena.advice.equal import EQUALS
from inframind.arena.advice.equal_offers import FirstShown, play_equals, ratios_by_chance
from inframind.traces.advice import KINDS


def played(seed: int, interactions: int) -> FirstShown:
    return play_equals(Ranking(RankingConfig(draws=1)), seed=seed, interactions=interactions, is_noisy=True)


def test_something_is_shown_first_every_time_and_the_same_seed_shows_the_same() -> None:
    shown = played(3, 30)
    assert shown.kinds.total() == shown.models.total() == 30
    assert set(shown.kinds) <= set(KINDS)
    assert set(shown.models) <= set(EQUALS)
    assert shown == played(3, 30) != played(4, 30)


def test_ratios_are_of_the_largest_share_over_the_smallest() -> None:
    shown = FirstShown()
    shown.kinds.update(dict(zip(KINDS, (6, 4, 8, 5), strict=True)))
    shown.models.update({EQUALS[0]: 3})
    assert shown.ratios() == (2.0, float("inf"))


def test_chance_alone_makes_shares_uneven_and_less_so_in_the_long_run() -> None:
    few, many = (
        np.mean(ratios_by_chance(np.random.default_rng(0), interactions=number, plays=200))
        for number in (100, 10_000)
    )
    assert few > many > 1.0


def test_noise_teaches_no_liking_of_a_kind_or_a_model() -> None:
    assert all(ratio < 2.0 for ratio in played(0, 200).ratios())
