"""What exploring may cost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframind.errors import ConfigError
from inframind.router.guards.exploration import ExplorationBudget


def explored(budget: ExplorationBudget, losses: list[float], *, seconds_each: float = 0.0) -> list[float]:
    """Losses of the runs that explored, every one of which wants to."""
    spent = []
    for place, loss in enumerate(losses):
        budget = budget.after_runs(1, now_s=place * seconds_each)
        if budget.allows(loss):
            budget = budget.spent(loss)
            spent.append(loss)
    return spent


def test_no_more_than_its_share_of_runs_explores() -> None:
    assert len(explored(ExplorationBudget(share=0.05, loss=1.0), [0.0] * 1000)) == pytest.approx(50, abs=1)


def test_no_more_than_its_loss_is_spent() -> None:
    spent = explored(ExplorationBudget(share=1.0, loss=0.002), [0.1] * 1000)
    assert len(spent) == pytest.approx(20, abs=1)


def test_an_exploration_that_promises_a_gain_costs_no_loss() -> None:
    assert len(explored(ExplorationBudget(share=1.0, loss=0.0), [-0.2] * 10)) == 10


def test_what_is_saved_up_has_an_end() -> None:
    budget = ExplorationBudget(share=0.1, loss=0.01, saved_runs=100).after_runs(10**6)
    assert (budget.runs, budget.credit) == (10.0, 1.0)


def test_an_hour_allows_no_more_than_its_number() -> None:
    budget = ExplorationBudget(share=1.0, loss=1.0, most_per_hour=10)
    assert len(explored(budget, [0.0] * 7200, seconds_each=1.0)) <= 21


def test_without_a_budget_nothing_explores() -> None:
    assert explored(ExplorationBudget(share=0.0), [0.0] * 100) == []
    assert not ExplorationBudget().allows(0.0)


def test_what_was_not_allowed_cannot_be_spent() -> None:
    with pytest.raises(ConfigError, match="ask `allows` first"):
        ExplorationBudget().spent(0.1)


@given(st.lists(st.floats(-1, 1), max_size=300), st.floats(0, 0.3), st.floats(0, 0.05))
def test_both_purses_hold_whatever_is_asked(losses: list[float], share: float, loss: float) -> None:
    spent = explored(ExplorationBudget(share=share, loss=loss), losses)
    assert len(spent) <= share * len(losses) + 1e-9
    assert sum(max(each, 0.0) for each in spent) <= loss * len(losses) + 1e-9


@pytest.mark.parametrize("wrong", [{"share": 2.0}, {"loss": -1.0}, {"saved_runs": 0}, {"most_per_hour": 0.0}])
def test_what_cannot_be_meant_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        ExplorationBudget(**wrong)  # type: ignore[arg-type]
