"""What a trial has shown: unbiased under changing shares and a drifting world, narrower with a good guess."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inframind.router.gate.bounds import alarm_interval, trial_chance, trial_low
from inframind.router.gate.evidence import Evidence, Scores
from inframind.router.gate.runs import GateRun, RunColumns, gate_run
from inframind.router.online.protocol import Label
from inframind.traces.records import Trajectory

VERSION = "c" * 64


def columns(
    rng: np.random.Generator,
    n: int,
    *,
    share: float,
    success: float,
    gain: float = 0.0,
    spread: float = 0.0,
    graded: float = 1.0,
) -> RunColumns:
    """Runs of two versions; a third of the failures are late."""
    expected = np.clip(success + spread * rng.standard_normal(n), 0.01, 0.99)
    is_candidate = (rng.random(n) < share).astype(float)
    solved = rng.random(n) < expected + gain * is_candidate
    on_time = solved | (rng.random(n) < 2 / 3)
    return RunColumns(
        is_candidate=is_candidate,
        share=np.full(n, share),
        on_time=on_time.astype(float),
        solved=np.where(rng.random(n) < graded, solved.astype(float), np.nan),
        failed=np.zeros(n),
        latency_s=np.ones(n),
        expected=expected if spread else np.full(n, np.nan),
    )


def gathered(seed: int, *, n: int = 10, spread: float = 0.0, graded: float = 1.0) -> Evidence:
    """A better candidate whose share grows while the world gets harder: pooling would call it worse."""
    rng, evidence = np.random.default_rng(seed), Evidence(version=VERSION)
    for place in range(n):
        is_late = place >= n // 2
        batch = columns(
            rng,
            400,
            share=0.5 if is_late else 0.1,
            success=0.4 if is_late else 0.8,
            gain=0.05,
            spread=spread,
            graded=graded,
        )
        evidence = evidence.plus(batch)
    return evidence


@pytest.mark.parametrize("graded", [1.0, 0.2])
def test_a_growing_share_in_a_world_that_gets_harder_does_not_hide_an_improvement(graded: float) -> None:
    every = [gathered(seed, graded=graded) for seed in range(60)]
    gaps = [one.success.gap for one in every]
    assert np.mean(gaps) == pytest.approx(0.05, abs=4 * np.std(gaps) / np.sqrt(len(gaps)))
    pooled = [one.records["candidate"].success_share - one.records["serving"].success_share for one in every]
    assert np.mean(pooled) < 0


def test_the_variance_is_that_of_the_estimate() -> None:
    every = [gathered(seed).success for seed in range(60)]
    told = np.mean([np.sqrt(one.variance) / one.information for one in every])
    assert told == pytest.approx(np.std([one.gap for one in every]), rel=0.3)


def test_a_good_guess_makes_the_interval_narrower() -> None:
    blind, guided = gathered(1), gathered(1, spread=0.25)
    assert (
        alarm_interval(guided.success, delta=0.05).width
        < 0.95 * alarm_interval(blind.success, delta=0.05).width
    )


def test_a_late_run_is_a_failure_whoever_graded_it() -> None:
    evidence = Evidence(version=VERSION).plus([GateRun(arm="serving", share=0.5, on_time=False, solved=1.0)])
    assert evidence.records["serving"].labelled == 0
    assert evidence.records["serving"].success_share == 0.0


def test_a_grader_that_is_milder_to_nobody_changes_no_sign() -> None:
    rng, evidence = np.random.default_rng(3), Evidence(version=VERSION)
    for _ in range(300):
        batch = columns(rng, 100, share=0.5, success=0.7, gain=-0.1)
        complaints = rng.random(100) < np.where(batch.solved == 1, 0.05, 0.4)
        evidence = evidence.plus(
            RunColumns(
                is_candidate=batch.is_candidate,
                share=batch.share,
                on_time=np.ones(100),
                solved=np.where(complaints, batch.solved, np.nan),
                failed=batch.failed,
                latency_s=batch.latency_s,
                expected=batch.expected,
            )
        )
    assert alarm_interval(evidence.success, delta=0.02).high < 0
    assert alarm_interval(evidence.heard, delta=0.02).low > 0  # and the gate sees that grades come unevenly


def test_no_information_says_nothing() -> None:
    evidence = Evidence(version=VERSION).plus([GateRun(arm="serving", share=0.0, on_time=True, solved=1.0)])
    assert alarm_interval(evidence.success, delta=0.05).width == np.inf
    assert trial_low(evidence.success, delta=0.05, planned=1000) == -np.inf
    assert trial_chance(evidence.success, delta=0.05, planned=1000, worst=-0.01, hoped=0.03) == 1.0
    assert evidence.at(0.0) == 1


def test_runs_one_by_one_count_the_same_as_together() -> None:
    run = GateRun(arm="candidate", share=0.5, on_time=True, solved=1.0, failed=False, latency_s=2.0)
    together = Evidence(version=VERSION).plus([run] * 10)
    single = Evidence(version=VERSION)
    for _ in range(10):
        single = single.plus([run])
    assert single.records == together.records
    assert single.runs_at == together.runs_at == {"0.500": 10}
    assert single.success.information == together.success.information == 2.5


def test_nothing_is_added_by_no_runs() -> None:
    evidence = gathered(1, n=2)
    assert evidence.plus([]) is evidence


def test_evidence_survives_json() -> None:
    evidence = gathered(1, n=4, spread=0.1, graded=0.5)
    assert Evidence.from_json(json.loads(json.dumps(evidence.to_json()))) == evidence


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.floats(0.01, 0.2), st.floats(0.01, 0.2))
def test_less_risk_asks_for_more(seed: int, one: float, other: float) -> None:
    low, high = sorted((one, other))
    scores = gathered(seed, n=2).success
    careful, bold = alarm_interval(scores, delta=low), alarm_interval(scores, delta=high)
    assert careful.low <= bold.low <= scores.gap <= bold.high <= careful.high
    assert trial_low(scores, delta=low, planned=1000) <= trial_low(scores, delta=high, planned=1000)


def test_the_chance_of_proof_is_what_simulated_trials_say() -> None:
    planned, sigma, hoped, worst = 500.0, 0.45, 0.05, -0.01
    rng = np.random.default_rng(5)
    so_far = Scores(total=1.0, information=100.0, squares=100 * sigma**2, cross=0.25, weights=25.0)
    ends = so_far.total + hoped * 400 + sigma * 20 * rng.standard_normal(20_000)
    later = [
        Scores(total=end, information=500.0, squares=500 * sigma**2, cross=0.25 * end, weights=125.0)
        for end in ends[:4000]
    ]
    proven = np.mean([trial_low(one, delta=0.05, planned=planned) > worst for one in later])
    told = trial_chance(so_far, delta=0.05, planned=planned, worst=worst, hoped=hoped)
    assert told == pytest.approx(proven, abs=0.03)


def test_a_run_of_a_trace_counts_trusted_labels_only() -> None:
    run = Trajectory(trace_id="0" * 32, question="?", arrived_at_s=0.0, budget_s=5.0, latency_s=2.0)
    doubted = gate_run(run, Label(solved=1.0, weight=0.2), arm="serving", share=0.1)
    believed = gate_run(run, Label(solved=1.0, weight=0.5), arm="serving", share=0.1, expected=0.7)
    assert doubted == GateRun(arm="serving", share=0.1, on_time=True, latency_s=2.0)
    assert believed == GateRun(
        arm="serving", share=0.1, on_time=True, solved=1.0, latency_s=2.0, expected=0.7
    )
    assert gate_run(run, None, arm="candidate", share=0.1).solved is None


def local_runs(seed: int, n: int = 4000, gain: float = 0.1, part: float = 0.2) -> RunColumns:
    """Runs of which a part is decided otherwise, and is solved more often then."""
    rng = np.random.default_rng(seed)
    concerned = rng.random(n) < part
    is_candidate = rng.random(n) < 0.5
    solved = rng.random(n) < 0.6 + gain * concerned * is_candidate
    return RunColumns(
        is_candidate=is_candidate.astype(float),
        share=np.full(n, 0.5),
        on_time=np.ones(n),
        solved=np.where(rng.random(n) < 0.8, solved.astype(float), np.nan),
        failed=np.zeros(n),
        latency_s=np.ones(n),
        expected=np.full(n, np.nan),
        concerned=concerned.astype(float),
    )


def test_runs_that_are_decided_alike_add_no_noise_to_the_difference_over_all_runs() -> None:
    every = []
    for seed in range(80):
        evidence = Evidence.begin(VERSION, is_local=True)
        for batch in range(20):
            evidence = evidence.plus(local_runs(20 * seed + batch, 200))
        every.append(evidence)
    gaps = [one.proof.gap for one in every]
    assert np.mean(gaps) == pytest.approx(0.02, abs=4 * np.std(gaps) / np.sqrt(len(gaps)))
    assert np.std(gaps) < 0.6 * np.std([one.success.gap for one in every])
    told = np.mean([np.sqrt(one.proof.variance) / one.proof.information for one in every])
    assert told == pytest.approx(np.std(gaps), rel=0.3)
    assert all(one.proof.information == one.success.information for one in every)


def test_evidence_of_some_runs_alone_survives_json_and_goes_on() -> None:
    evidence = Evidence.begin(VERSION, is_local=True).plus(local_runs(1, 200))
    again = Evidence.from_json(json.loads(json.dumps(evidence.to_json())))
    assert again == evidence
    assert again.plus(local_runs(2, 200)) == evidence.plus(local_runs(2, 200))


def test_evidence_of_a_release_that_told_no_runs_apart_goes_on_with_all() -> None:
    evidence = Evidence.begin(VERSION).plus(local_runs(1, 200))
    old = {name: value for name, value in evidence.to_json().items() if name != "concerned"}
    again = Evidence.from_json(json.loads(json.dumps(old))).plus(local_runs(2, 200))
    assert again == evidence.plus(local_runs(2, 200))
    assert again.proof == again.success


def test_single_runs_say_whether_they_are_concerned() -> None:
    inside = GateRun(arm="candidate", share=0.5, on_time=True, solved=1.0)
    outside = GateRun(arm="serving", share=0.5, on_time=True, solved=0.0, is_concerned=False)
    evidence = Evidence.begin(VERSION, is_local=True).plus([inside, outside, inside])
    assert evidence.runs == 3
    assert evidence.concerned is not None
    assert (evidence.concerned.runs, evidence.concerned.records["serving"].runs) == (2, 0)
