from __future__ import annotations

import numpy as np
import pytest

from inframind.arena.workload import Budgets, FixedBudget, LogUniform, Tiers, budgets_from
from inframind.errors import ConfigError


@pytest.mark.parametrize(
    "budgets", [LogUniform(5, 300), Tiers((5, 30)), FixedBudget(7)], ids=["loguniform", "tiers", "fixed"]
)
def test_as_many_positive_budgets_as_asked_for_and_the_same_again(budgets: Budgets) -> None:
    one, two = (budgets.draw(30, np.random.default_rng(3)) for _ in range(2))

    assert one.shape == (30,)
    assert (one > 0).all()
    assert (one == two).all()


def test_tiers_come_by_their_weights() -> None:
    drawn = Tiers((5, 30, 300), (1, 3, 0)).draw(20_000, np.random.default_rng(0))

    assert set(drawn) == {5.0, 30.0}
    assert (drawn == 30).mean() == pytest.approx(0.75, abs=0.01)


def test_tiers_without_weights_are_equally_likely() -> None:
    drawn = Tiers((5, 10, 30, 80, 300)).draw(20_000, np.random.default_rng(0))

    assert [(drawn == tier).mean() for tier in (5, 10, 30, 80, 300)] == pytest.approx([0.2] * 5, abs=0.01)


def test_a_fixed_budget_is_everyones() -> None:
    assert FixedBudget(20).draw(3, np.random.default_rng(0)).tolist() == [20, 20, 20]


def test_budgets_are_read_as_they_are_written() -> None:
    assert budgets_from("loguniform:5,300") == LogUniform(5, 300)
    assert budgets_from("tiers:5,10,30") == Tiers((5, 10, 30))
    assert budgets_from("tiers:5=2,30=1") == Tiers((5, 30), (2, 1))
    assert budgets_from("fixed:30") == FixedBudget(30)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "30",
        "loguniform",
        "loguniform:5",
        "loguniform:5,x",
        "tiers:",
        "tiers:5,",
        "fixed:",
        "fixed:1,2",
        "fixed:inf",
    ],
)
def test_unknown_budgets_are_answered_with_the_known_ones(text: str) -> None:
    with pytest.raises(ConfigError, match=r"give loguniform:5,300, tiers:5,10,30.*or fixed:30"):
        budgets_from(text)


def test_weights_are_for_all_tiers_or_none() -> None:
    with pytest.raises(ConfigError, match="give every tier a weight, or none"):
        budgets_from("tiers:5=2,30")


@pytest.mark.parametrize(
    "text", ["fixed:0", "tiers:5,-1", "loguniform:9,3", "tiers:5=0,9=0", "tiers:5=-1,9=1"]
)
def test_impossible_budgets_are_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        budgets_from(text)


def test_there_is_one_weight_per_tier() -> None:
    with pytest.raises(ConfigError, match="give 2 numbers"):
        Tiers((5, 30), (1,))
