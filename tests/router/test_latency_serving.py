"""The map that is served: equal to the formulas that learning uses, whatever the load and whatever was learned."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inframind.router.latency_columns import LoadColumns
from inframind.router.latency_learners import Call, LatencyConfig, Learners
from inframind.router.latency_serving import LatencyTables

COUNT = st.integers(0, 60)
KNOWN = st.fixed_dictionaries(
    {
        "running": COUNT.map(float),
        "waiting": st.sampled_from([0.0, 0.0, 1.0, 25.0]),
        "kv_cache_usage": st.sampled_from([0.0, 0.3, 0.7, 0.85, 0.97]),
        "in_flight": COUNT,
        "waiting_here": st.integers(0, 3),
        "sent_since": st.integers(0, 9),
    }
)
BLIND = st.fixed_dictionaries({"age_s": st.none(), "running": st.none(), "in_flight": COUNT})
LOAD = KNOWN | BLIND | st.just({"breaker": "open"}) | st.just({"age_s": 60.0, "running": 3.0})
PROMPT = st.sampled_from([0, 1, 80, 1500, 30_000])
STALE_AFTER_S = LatencyConfig().stale_after_s


def loads_of(bench: Any, loads: tuple[dict[str, Any], dict[str, Any]]) -> list[Any]:
    snapshot = bench.snapshot(**dict(zip(bench.models, loads, strict=True)))
    return [snapshot.least_loaded(model) for model in bench.models]


def taught(bench: Any, calls: int, loads: list[Any], seed: int) -> Learners:
    """Has seen calls of both kinds: with their parts, and with their total alone."""
    learners, rng = Learners(bench.models, bench.strategies, LatencyConfig()), np.random.default_rng(seed)
    for _ in range(calls):
        model, ttft_s, tokens = int(rng.integers(2)), rng.exponential(), int(rng.integers(2, 900))
        call = Call(
            model=model,
            strategy=int(rng.integers(4)),
            load=loads[model],
            prompt_tokens=int(rng.integers(3000)),
            latency_s=ttft_s + tokens * rng.exponential(0.02),
            ttft_s=ttft_s if rng.random() < 0.8 else None,
            output_tokens=tokens,
        )
        learners.learn([call], learners.beliefs())
    return learners


@settings(max_examples=60, deadline=None)
@given(
    calls=st.sampled_from([0, 3, 40]),
    seed=st.integers(0, 9),
    loads=st.lists(st.tuples(LOAD, LOAD), min_size=2, max_size=4),
    prompt_tokens=PROMPT,
)
def test_a_served_map_is_what_the_formulas_of_learning_say(
    shared_bench: Any,
    calls: int,
    seed: int,
    loads: list[tuple[dict[str, Any], dict[str, Any]]],
    prompt_tokens: int,
) -> None:
    met = [loads_of(shared_bench, pair) for pair in loads]
    beliefs = taught(shared_bench, calls, met[0], seed).beliefs()
    tables = LatencyTables(beliefs, STALE_AFTER_S)
    for now in met:
        columns = LoadColumns.of(now, beliefs.typical, STALE_AFTER_S)
        parts = beliefs.step_parts(slice(None), columns, prompt_tokens)
        sigma = beliefs.sigma(slice(None), parts, columns)
        middle_s = parts.total_s * beliefs.level_factor
        served = tables.map(now, prompt_tokens)
        median, upper = (beliefs.quantiles[:, place, None] for place in (0, 1))
        assert served.q50_s == pytest.approx(middle_s * np.exp(median * sigma), rel=1e-9)
        assert served.q90_s == pytest.approx(middle_s * np.exp(upper * sigma), rel=1e-9)


def test_a_load_that_comes_back_is_predicted_as_before(bench: Any) -> None:
    busy, idle = ({"running": 30.0, "waiting": 4.0}, {}), ({}, {"running": 9.0})
    tables = LatencyTables(taught(bench, 30, loads_of(bench, busy), 1).beliefs(), STALE_AFTER_S)
    first, between, again = (tables.map(loads_of(bench, loads), 100) for loads in (busy, idle, busy))
    assert (first.q90_s == again.q90_s).all()
    assert (first.q90_s != between.q90_s).all()
