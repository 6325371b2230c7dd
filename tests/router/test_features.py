"""Numbers for a trained policy: order, meaning, and what unknown looks like."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframind.router.features import (
    CANDIDATE_COLUMNS,
    FEATURES_VERSION,
    STATE_COLUMNS,
    HashingEncoder,
    StepFeatures,
    step_features,
)
from inframind.router.views import Query, Slot, StepView

ENCODER = HashingEncoder(dimension=32)


def features(bench: Any, *, remaining_s: float = 30.0, load: Any = None, **slot: Any) -> StepFeatures:
    decider = bench.decider()
    snapshot = bench.snapshot(**(load or {}))
    map_s = bench.latency.predict(snapshot, 10)
    view = StepView(
        query=Query(text="q"),
        slot=Slot(**{"topology": "IO", "prompt_tokens": 10, **slot}),
        budget_s=60.0,
        remaining_s=remaining_s,
        actions=decider.actions.executor_actions,
        allowed=np.array([True] * 7 + [False]),
        q50_s=map_s.q50_s.reshape(-1),
        q90_s=map_s.q90_s.reshape(-1),
        quality=np.linspace(0.1, 0.8, 8),
        cost=np.ones(8),
        models=bench.models,
        snapshot=snapshot,
    )
    return step_features(view, ENCODER.encode("how many primes"))


def column(found: StepFeatures, name: str) -> list[float]:
    return [float(value) for value in found.candidates[:, CANDIDATE_COLUMNS.index(name)]]


def state(found: StepFeatures, name: str) -> float:
    return float(found.state[32 + STATE_COLUMNS.index(name)])


def test_the_columns_are_those_of_version_1(bench: Any) -> None:
    found = features(bench)
    assert FEATURES_VERSION == "1"
    assert found.state.shape == (32 + 11,) and found.candidates.shape == (8, 16)
    assert found.state.dtype == found.candidates.dtype == np.float32
    assert len(set(STATE_COLUMNS)) == 11 and len(set(CANDIDATE_COLUMNS)) == 16


def test_the_state_says_where_the_workflow_stands(bench: Any) -> None:
    found = features(bench, kind="judge", position=2, team_size=3, round=2, depth_left=4, agreement=0.5)
    assert state(found, "log_remaining") == pytest.approx(np.log(30.0))
    assert state(found, "share_of_budget_left") == 0.5
    names = ("is_judge", "position", "team_size", "round", "depth_left", "agreement", "agreement_known")
    assert [state(found, name) for name in names] == [1, 2, 3, 2, 4, 0.5, 1]
    assert [state(features(bench), name) for name in ("agreement", "agreement_known")] == [0, 0]


def test_a_candidate_row_holds_its_models_load(bench: Any) -> None:
    load = {
        "a": {
            "running": 32.0,
            "waiting": 16.0,
            "in_flight": 8,
            "kv_cache_usage": 0.25,
            "age_s": 1.5,
            "in_flight_tokens": 99,
        }
    }
    found = features(bench, load=load)
    assert column(found, "running_per_slot") == [0.5] * 4 + [0.0] * 4
    assert column(found, "waiting_per_slot") == [0.25] * 4 + [0.0] * 4
    assert column(found, "in_flight_per_slot") == [0.125] * 4 + [0.0] * 4
    assert column(found, "log_in_flight_tokens")[:4] == pytest.approx([np.log(100.0)] * 4)
    assert column(found, "load_age")[:4] == pytest.approx([0.025] * 4)
    assert column(found, "load_known") == [1.0] * 8
    assert column(found, "is_allowed") == [1.0] * 7 + [0.0]


@pytest.mark.parametrize(
    ("load", "age", "in_flight"),
    [
        (
            {"age_s": None, "running": None, "waiting": None, "kv_cache_usage": None, "in_flight": 64},
            1.0,
            1.0,
        ),
        ({"breaker": "open"}, 1.0, 0.0),
    ],
)
def test_an_unknown_load_is_marked_as_unknown_and_as_old_as_can_be(
    bench: Any, load: dict[str, Any], age: float, in_flight: float
) -> None:
    found = features(bench, load={"a": load})
    assert column(found, "load_known") == [0.0] * 4 + [1.0] * 4
    assert column(found, "load_age")[:4] == [age] * 4
    assert column(found, "in_flight_per_slot")[:4] == [in_flight] * 4


@pytest.mark.parametrize("remaining_s", [0.0, -5.0, 1e-9])
def test_no_time_left_gives_bounded_numbers(bench: Any, remaining_s: float) -> None:
    found = features(bench, remaining_s=remaining_s)
    assert np.isfinite(found.state).all() and np.isfinite(found.candidates).all()
    assert max(column(found, "q90_over_remaining")) == 10.0
    assert state(found, "share_of_budget_left") == pytest.approx(0.0, abs=1e-9)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_a_text_is_a_unit_vector_and_always_the_same(text: str) -> None:
    vector = ENCODER.encode(text)
    norm = float(np.linalg.norm(vector))
    assert vector.shape == (32,) and vector.dtype == np.float32
    assert norm == pytest.approx(1.0, abs=1e-5) or norm == 0.0
    assert (vector == HashingEncoder(dimension=32).encode(text)).all()


def test_an_embedding_does_not_change_between_versions() -> None:
    vector = HashingEncoder(dimension=8).encode("How many primes are below 100?")
    again = HashingEncoder(dimension=8).encode("how MANY primes are below 100?")
    assert (vector == again).all()
    assert not HashingEncoder().encode("   ").any()
    assert HashingEncoder().encode("x").shape == (384,)


def test_similar_questions_are_closer_than_different_ones() -> None:
    encode = HashingEncoder().encode
    base = encode("How many prime numbers are below one hundred?")
    near, far = encode("How many prime numbers are below two hundred?"), encode("Write a poem about the sea")
    assert base @ near > 0.5 > base @ far
