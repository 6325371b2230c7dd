"""Nearest neighbours: exact estimates with a toy encoder, exact scores, and the choice that follows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframind.errors import ConfigError
from inframind.router.encoder import Floats
from inframind.router.policy_knn import KnnPolicy, NeighbourQuality, PricedLatency, on_time_score
from inframind.router.policy_parts import on_time_probability
from inframind.router.views import Query, Slot, StepView


class Compass:
    """Encodes an angle in degrees, written out, as a unit vector."""

    dimension = 2

    def encode(self, text: str) -> Floats:
        angle = np.deg2rad(float(text))
        return np.array([np.cos(angle), np.sin(angle)], dtype=np.float32)


SOLVED = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], dtype=bool)
QUALITY = NeighbourQuality(["0", "10", "80", "90"], SOLVED, Compass(), k=2)


def view(bench: Any, text: str = "5", allowed: list[bool] | None = None, **values: Any) -> StepView:
    columns: dict[str, Any] = {"q50_s": np.ones(8), "q90_s": 2 * np.ones(8), **values}
    return StepView(
        query=Query(text=text),
        slot=Slot(topology="IO"),
        budget_s=60.0,
        remaining_s=10.0,
        actions=bench.actions.executor_actions,
        allowed=np.array(allowed or [True] * 8),
        quality=np.ones(8),
        cost=np.ones(8),
        models=bench.models,
        snapshot=bench.snapshot(),
        **columns,
    )


def test_the_neighbours_mean_is_drawn_half_way_to_the_overall_mean() -> None:
    assert QUALITY.predict("5").tolist() == [0.75, 0.25]
    assert QUALITY.predict("88").tolist() == [0.25, 0.75]
    assert QUALITY.predict("45.1").tolist() == [0.5, 0.5]


def test_more_neighbours_than_questions_are_all_questions() -> None:
    assert NeighbourQuality(["0", "90"], SOLVED[1:3], Compass(), k=99).predict("3").tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("questions", "solved", "k", "says"),
    [
        ([], SOLVED[:0], 1, "one row"),
        (["0"], SOLVED, 1, "one row per question: 1"),
        (["0"], SOLVED[:1], 0, "at least one"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(questions: list[str], solved: Any, k: int, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        NeighbourQuality(questions, solved, Compass(), k=k)


def test_the_chance_to_be_on_time_meets_the_quantiles_it_is_given() -> None:
    q50_s, q90_s = np.array([10.0, 5.0, 20.0]), np.array([40.0, 10.0, 21.0])

    assert on_time_probability(q50_s, q90_s, 10.0) == pytest.approx([0.5, 0.9, 0.0], abs=1e-6)
    assert on_time_probability(q50_s, q90_s, 0.0).tolist() == [0, 0, 0]
    assert on_time_probability(np.array([5.0]), np.array([5.0]), 5.1) == pytest.approx([1.0])


@given(remaining_s=st.floats(0.1, 1e3), more_s=st.floats(0, 1e3))
def test_more_time_never_makes_it_less_likely(remaining_s: float, more_s: float) -> None:
    q50_s, q90_s = np.array([1.0, 30.0]), np.array([1.0, 90.0])

    assert (
        on_time_probability(q50_s, q90_s, remaining_s)
        <= on_time_probability(q50_s, q90_s, remaining_s + more_s)
    ).all()


def test_scores_are_what_they_say(bench: Any) -> None:
    seen = view(bench, q50_s=np.array([1.0, 2, 5, 10, 20, 40, 1, 1]))
    quality = np.full(8, 0.6)

    assert PricedLatency(0.25)(quality, seen)[:6] == pytest.approx([0.425, 0.4, 0.325, 0.2, 0.2, 0.2])
    assert on_time_score(
        quality, view(bench, q50_s=np.full(8, 10.0), q90_s=np.full(8, 20.0))
    ) == pytest.approx(0.3)


@pytest.mark.parametrize("price", [-0.1, 1.1, float("nan")])
def test_a_price_is_a_share(price: float) -> None:
    with pytest.raises(ConfigError, match="from 0"):
        PricedLatency(price)


def test_the_best_allowed_score_is_chosen_in_a_single_call(bench: Any) -> None:
    solved = np.tile(np.array([0, 0, 0, 1, 0, 0, 1, 1], dtype=bool), (3, 1))
    policy = KnnPolicy(NeighbourQuality(["0", "1", "2"], solved, Compass()))
    slow = np.array([1.0, 1, 1, 12, 1, 1, 1, 50])

    assert np.flatnonzero(policy.step(view(bench, q50_s=slow, q90_s=1.1 * slow)).weights).tolist() == [6]
    only_slow = view(bench, q50_s=slow, q90_s=1.1 * slow, allowed=[False] * 7 + [True])
    assert np.flatnonzero(policy.step(only_slow).weights).tolist() == [7]


def test_the_price_of_latency_decides_between_good_and_fast(bench: Any) -> None:
    solved = np.tile(np.array([0, 0, 1, 0, 0, 0, 1, 1], dtype=bool), (4, 1))
    solved[0, 2] = False
    quality = NeighbourQuality(["0", "1", "2", "3"], solved, Compass())
    seen = view(bench, q50_s=np.array([1.0, 1, 2, 9, 9, 9, 9, 9]))

    patient, hurried = KnnPolicy(quality, PricedLatency(0.1)), KnnPolicy(quality, PricedLatency(0.9))
    assert np.flatnonzero(patient.step(seen).weights).tolist() == [6]
    assert np.flatnonzero(hurried.step(seen).weights).tolist() == [0]
