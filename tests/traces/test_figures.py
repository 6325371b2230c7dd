"""Figures that are added up say the same as those of all runs at once."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframind.traces.figures import Run, pooled, tally_of
from inframind.traces.outcome_graph import RunFigures

_COSTS = st.none() | st.floats(0, 1e3)


def judged(latency_s: float, cost: float | None, solved: bool | None) -> tuple[Run, bool | None]:
    run = Run(
        trace_id="a", configuration="c", arrived_at_s=0.0, counts=True, is_on_time=latency_s < 500,
        is_failed=False, latency_s=latency_s, cost=cost, completion_tokens=7, topology="", domain="",
    )  # fmt: skip
    return run, solved


_RUNS = st.lists(st.builds(judged, st.floats(0, 1e3), _COSTS, st.none() | st.booleans()), max_size=20)


@given(_RUNS, _RUNS, _RUNS)
def test_parts_pooled_are_the_whole(first: list, second: list, third: list) -> None:  # type: ignore[type-arg]
    parts = [tally_of(runs).figures for runs in (first, second, third)]
    whole = tally_of([*first, *second, *third]).figures
    assert asdict(pooled(parts)) == pytest.approx(asdict(whole), rel=1e-9, abs=1e-6)


def test_of_nothing_nothing_is_pooled() -> None:
    assert pooled([]) == pooled([RunFigures(), RunFigures()]) == RunFigures()


def test_a_small_spread_around_a_large_mean_survives_adding_up() -> None:
    parts = [tally_of([judged(1e9 + offset, 1e9 + offset, None)]) for offset in range(5)]
    figures = sum(parts[1:], parts[0]).figures
    assert (figures.latency_sd_s, figures.cost_sd) == pytest.approx((2.5**0.5, 2.5**0.5), rel=1e-12)
