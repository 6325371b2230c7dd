from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframind.arena.workload import LogUniform, PoissonArrivals
from inframind.errors import ConfigError


def test_arrivals_ascend_with_the_mean_gap_of_their_rate() -> None:
    offsets_s = PoissonArrivals(120).draw(20_000, np.random.default_rng(3))

    gaps_s = np.diff(offsets_s, prepend=0.0)
    assert (gaps_s >= 0).all()
    assert gaps_s.mean() == pytest.approx(0.5, rel=0.03)
    assert gaps_s.std() == pytest.approx(0.5, rel=0.05)


def test_the_same_generator_state_gives_the_same_workload() -> None:
    one, two = (np.random.default_rng(7) for _ in range(2))

    assert (PoissonArrivals(30).draw(5, one) == PoissonArrivals(30).draw(5, two)).all()
    assert (LogUniform(2, 30).draw(5, one) == LogUniform(2, 30).draw(5, two)).all()


@given(low_s=st.floats(0.01, 100), factor=st.floats(1, 50), seed=st.integers(0, 2**32))
def test_budgets_stay_within_their_bounds(low_s: float, factor: float, seed: int) -> None:
    budgets_s = LogUniform(low_s, low_s * factor).draw(20, np.random.default_rng(seed))

    assert budgets_s.min() >= low_s * (1 - 1e-9)
    assert budgets_s.max() <= low_s * factor * (1 + 1e-9)


def test_half_of_the_budgets_lie_below_the_geometric_mean() -> None:
    budgets_s = LogUniform(2, 32).draw(20_000, np.random.default_rng(1))

    assert (budgets_s < 8).mean() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("rate", [0, -1, float("inf"), float("nan")])
def test_an_impossible_rate_is_refused(rate: float) -> None:
    with pytest.raises(ConfigError, match="positive number of questions a minute"):
        PoissonArrivals(rate)


@pytest.mark.parametrize(("low_s", "high_s"), [(0, 5), (-1, 5), (5, 2), (2, float("inf"))])
def test_impossible_budget_bounds_are_refused(low_s: float, high_s: float) -> None:
    with pytest.raises(ConfigError, match="budget-m"):
        LogUniform(low_s, high_s)
