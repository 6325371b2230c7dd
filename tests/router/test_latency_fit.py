"""Fitting to recorded calls: what comes out, how it is kept, and what it is worth on real telemetry."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inframind.errors import ConfigError
from inframind.fleet.endpoints import EndpointSpec, group_by_model
from inframind.fleet.snapshot import EndpointLoad, FleetSnapshot
from inframind.router.actions import DEFAULT_STRATEGIES, strategies_by_name
from inframind.router.latency_fit import fit
from inframind.router.latency_learned import LearnedLatencyModel
from inframind.router.latency_samples import CallSample, samples_of
from inframind.router.latency_state import LatencyState
from inframind.traces.records import Attempt, Decision, Step, Trajectory

TELEMETRY = Path(__file__).resolve().parents[2].parent / "shared/data/hw_router_telemetry/telemetry.csv.gz"
PLAIN = 2


def sample(number: int, rng: np.random.Generator, **values: Any) -> CallSample:
    running, tokens = float(rng.integers(0, 30)), int(rng.integers(50, 600))
    ttft_s = 0.3 + 0.01 * running
    tpot_s = 0.02 + 0.001 * running
    given = {
        "model": "a",
        "strategy": "Plain",
        "prompt_tokens": 100,
        "running": running,
        "waiting": 0.0,
        "kv_cache_usage": running / 40,
        "ttft_s": ttft_s,
        "latency_s": ttft_s + tokens * tpot_s,
        "output_tokens": tokens,
        "group": str(number),
    }
    return CallSample(**{**given, **values})


@pytest.fixture
def samples() -> list[CallSample]:
    rng = np.random.default_rng(0)
    return [sample(number, rng) for number in range(300)]


def test_a_fit_recovers_the_parts(bench: Any, samples: list[CallSample]) -> None:
    state = fit(samples, bench.models, bench.strategies)
    model = LearnedLatencyModel(bench.models, bench.strategies, state=state)
    for running in (5.0, 15.0, 25.0):
        load = {"running": running, "kv_cache_usage": running / 40}
        parts = model.predict_parts(bench.snapshot(a=load), 100)
        assert parts.ttft_s[0] == pytest.approx(0.3 + 0.01 * running, rel=0.05)
        assert parts.tpot_s[0] == pytest.approx(0.02 + 0.001 * running, rel=0.05)
    assert parts.output_tokens[0, PLAIN] == pytest.approx(325, rel=0.1)


def test_a_model_that_was_not_fitted_starts_from_the_others(bench: Any, samples: list[CallSample]) -> None:
    load = {"running": 12.0, "kv_cache_usage": 0.3}
    snapshot = bench.snapshot(a=load, b=load)
    prior = LearnedLatencyModel(bench.models, bench.strategies).predict_parts(snapshot, 100)
    state = fit(samples, {"a": bench.models["a"]}, bench.strategies)
    parts = LearnedLatencyModel(bench.models, bench.strategies, state=state).predict_parts(snapshot, 100)
    assert parts.tpot_s[1] / prior.tpot_s[1] == pytest.approx(parts.tpot_s[0] / prior.tpot_s[0], rel=0.1)


def test_a_kept_state_predicts_exactly_as_before(bench: Any, samples: list[CallSample]) -> None:
    model = LearnedLatencyModel(
        bench.models, bench.strategies, state=fit(samples, bench.models, bench.strategies)
    )
    snapshot = bench.snapshot(a={"running": 7.0})
    model.observe("b", "Flash", snapshot, 50, 4.0)
    model.observe("a", "Plain", snapshot, 50, 4.0, ttft_s=0.4, output_tokens=120)
    kept = LatencyState.from_json(model.state().to_json())
    again = LearnedLatencyModel(bench.models, bench.strategies, state=kept)
    for here, there in zip(
        (model.predict(snapshot, 50).q50_s, model.predict(snapshot, 50).q90_s),
        (again.predict(snapshot, 50).q50_s, again.predict(snapshot, 50).q90_s),
        strict=True,
    ):
        assert there == pytest.approx(here, rel=1e-9)


def test_a_state_finds_its_models_by_name(make_bench: Any, samples: list[CallSample]) -> None:
    bench = make_bench()
    state = fit(samples, bench.models, bench.strategies)
    turned = make_bench(c={"size_b": 7.0}, b={"size_b": 32.0}, a={"size_b": 3.0})
    before = LearnedLatencyModel(bench.models, bench.strategies, state=state).predict(bench.snapshot(), 100)
    after = LearnedLatencyModel(turned.models, turned.strategies, state=state).predict(turned.snapshot(), 100)
    assert after.q50_s[2] == pytest.approx(before.q50_s[0])
    assert after.q90_s[1] == pytest.approx(before.q90_s[1])


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"columns": [], "models": [], "strategies": [], "sums": {}}']
)
def test_what_is_no_state_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"latency\.state"):
        LatencyState.from_json(text)


def test_nothing_to_fit_is_refused(bench: Any) -> None:
    with pytest.raises(ConfigError, match="samples"):
        fit([], bench.models, bench.strategies)


@pytest.mark.parametrize("values", [{"model": "z"}, {"strategy": "Zen"}])
def test_samples_of_something_unknown_are_refused_by_name(bench: Any, values: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=next(iter(values.values()))):
        fit([sample(0, np.random.default_rng(0), **values)], bench.models, bench.strategies)


def trajectory(*, step: dict[str, Any] | None = None, seen: dict[str, Any] | None = None) -> Trajectory:
    load = {
        "running": 4.0,
        "waiting": 2.0,
        "kv_cache_usage": 0.5,
        "age_s": 0.1,
        "in_flight": 1,
        "sent_since": 3,
    }
    decision = Decision(
        decision_id="d",
        kind="step",
        made_s=1.0,
        policy="p",
        policy_version="1",
        features_version="1",
        actions=("a/Plain",),
        probabilities=(1.0,),
        masked=("",),
        chosen=0,
        probability=1.0,
        choice={},
        seen={"prompt_tokens": 70, "loads": {"a-0": load}, **(seen or {})},
    )
    done = {
        "step_id": 0,
        "node": "agent",
        "kind": "agent",
        "position": 0,
        "round": 1,
        "role": "Solver",
        "parents": (),
        "decision_id": "d",
        "model": "a",
        "strategy": "Plain",
        "endpoint": "a-0",
        "served_model": "a",
        "started_s": 0.9,
        "sent_s": 1.1,
        "first_token_s": 1.5,
        "finished_s": 4.0,
        "completion_tokens": 50,
    }
    return Trajectory(
        trace_id="t",
        question="?",
        question_id="q7",
        arrived_at_s=0.0,
        budget_s=60.0,
        decisions=(decision,),
        steps=(Step(**{**done, **(step or {})}),),
    )


def test_a_trace_becomes_samples_with_the_load_as_it_was_reckoned() -> None:
    assert list(samples_of([trajectory()])) == [
        CallSample(
            model="a",
            strategy="Plain",
            prompt_tokens=70,
            running=4.0,
            waiting=5.0,
            kv_cache_usage=0.5,
            ttft_s=0.5,
            latency_s=3.0,
            output_tokens=50,
            group="q7",
        )
    ]


FAILED_OVER = Attempt(endpoint="b-0", model="b", error="EndpointUnreachable", detail="", elapsed_s=0.1)


@pytest.mark.parametrize(
    "changed",
    [
        {"step": {"first_token_s": None}},
        {"step": {"completion_tokens": None}},
        {"step": {"completion_tokens": 1}},
        {"step": {"error": "EndpointTimeout"}},
        {"step": {"attempts": (FAILED_OVER,)}},
        {"step": {"endpoint": ""}},
        {"step": {"decision_id": "?"}},
        {"seen": {"prompt_tokens": None}},
    ],
)
def test_calls_that_do_not_show_their_parts_are_passed_over(changed: dict[str, Any]) -> None:
    assert list(samples_of([trajectory(**changed)])) == []


SIZES_B = {
    "Qwen2.5-14B-Instruct": 14.0,
    "Phi-3-mini-128k-instruct": 3.8,
    "Llama-3.1-8B-Instruct": 8.0,
    "Qwen2.5-3B-Instruct": 3.0,
    "Mistral-7B-Instruct-v0.3": 7.0,
}


@pytest.mark.skipif(not TELEMETRY.exists(), reason="needs ../shared/data/hw_router_telemetry")
def test_unseen_prompts_of_real_telemetry_are_predicted_better_than_published() -> None:
    with gzip.open(TELEMETRY, "rt") as file:
        rows = [row for row in csv.DictReader(file) if row["model"] in SIZES_B]
    specs = [
        EndpointSpec(name=name, base_url="http://gpu/v1", model=name, size_b=size_b)
        for name, size_b in SIZES_B.items()
    ]
    models, strategies = group_by_model(specs), strategies_by_name(DEFAULT_STRATEGIES)
    learned = [_sample_of(row) for row in rows if int(row["prompt_id"]) % 2]
    model = LearnedLatencyModel(models, strategies, state=fit(learned, models, strategies))
    errors, published, below_q90 = [], [], []
    for row in (row for row in rows if not int(row["prompt_id"]) % 2):
        place, latency_s, tokens = (
            list(SIZES_B).index(row["model"]),
            float(row["latency_s"]),
            float(row["completion_tokens"]),
        )
        snapshot, prompt_tokens = _snapshot_of(row), int(row["prompt_tokens"])
        parts = model.predict_parts(snapshot, prompt_tokens)
        errors.append(abs(parts.ttft_s[place] + tokens * parts.tpot_s[place] - latency_s) / latency_s)
        reference_s = float(row["ref_pred_ttft_s"]) + tokens * float(row["ref_pred_tpot_s"])
        published.append(abs(reference_s - latency_s) / latency_s)
        below_q90.append(latency_s <= model.predict(snapshot, prompt_tokens).q90_s[place, PLAIN])
    assert np.median(errors) < np.median(published)
    assert 0.87 <= np.mean(below_q90) <= 0.93


def _sample_of(row: dict[str, str]) -> CallSample:
    return CallSample(
        model=row["model"],
        strategy="Plain",
        prompt_tokens=int(row["prompt_tokens"]),
        running=float(row["running"]),
        waiting=float(row["waiting"]),
        kv_cache_usage=float(row["kv_cache_usage"]),
        ttft_s=float(row["ttft_s"]),
        latency_s=float(row["latency_s"]),
        output_tokens=int(row["completion_tokens"]),
        group=row["prompt_id"],
    )


def _snapshot_of(row: dict[str, str]) -> FleetSnapshot:
    load = EndpointLoad(
        endpoint=row["model"],
        model=row["model"],
        age_s=0.2,
        running=float(row["running"]),
        waiting=float(row["waiting"]),
        kv_cache_usage=float(row["kv_cache_usage"]),
    )
    return FleetSnapshot(taken_s=0.0, loads={load.endpoint: load})
