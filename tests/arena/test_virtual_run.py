"""Runs in virtual time: the same for the same seed, on common random numbers, complete in their traces."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from inframind.arena.contenders.blind import NoForecast
from inframind.arena.grading import RememberingGrader
from inframind.arena.scenario import Scenario
from inframind.arena.virtual_run import VirtualRun, run_virtually
from inframind.errors import ConfigError
from inframind.graphs.registry import TopologyRegistry
from inframind.router.latency import LatencyModel
from inframind.router.policy import JustEnoughPolicy, UniformPolicy
from inframind.router.topology import expected_graph
from inframind.simulator.items import generate_items
from inframind.simulator.profiles import load_profiles
from inframind.traces.codec import decode, encode

ITEMS = generate_items(60, seed=5)
SCENARIO = Scenario(
    profiles=tuple(load_profiles().values()), items=ITEMS[:40], training_items=ITEMS[40:], questions=40
)
RATE_PER_MIN = 600.0
"""Fast enough that all forty workflows are in flight together."""


def run(*, seed: int = 0, scenario: Scenario = SCENARIO, latency: LatencyModel | None = None) -> VirtualRun:
    return run_virtually(
        scenario,
        UniformPolicy(),
        seed=seed,
        rate_per_min=RATE_PER_MIN,
        grader=RememberingGrader(),
        latency=latency,
    )


def hash_of(ran: VirtualRun) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for trajectory in ran.trajectories.values():
        digest.update(encode(trajectory))
    return digest.hexdigest()


def test_the_same_seed_leaves_the_same_bytes_in_another_process_and_another_seed_others() -> None:
    here = hash_of(run())
    assert here != hash_of(run(seed=1))
    script = f"import runpy; tests = runpy.run_path({__file__!r}); print(tests['hash_of'](tests['run']()))"
    elsewhere = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONHASHSEED": "12345"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert elsewhere.stdout.strip() == here


def test_every_question_has_an_episode_and_a_trace_that_can_be_stored() -> None:
    ran = run()
    assert [episode.item_id for episode in ran.episodes] == [
        item.item_id for item in SCENARIO.workload(0, RATE_PER_MIN).items
    ]
    assert {episode.trace_id for episode in ran.episodes} == set(ran.trajectories)
    for trajectory in ran.trajectories.values():
        assert decode(encode(trajectory)) == trajectory


def test_traces_have_the_calls_of_their_topology() -> None:
    specs = TopologyRegistry().specs
    ok = [t for t in run().trajectories.values() if t.status == "ok" and not any(s.error for s in t.steps)]
    assert len(ok) > 20
    for trajectory in ok:
        expected = expected_graph(specs[trajectory.topology], trajectory)
        assert trajectory.serial_depth == expected.depth
        assert len(trajectory.steps) == expected.calls


def test_an_episode_counts_the_calls_of_a_run_that_was_cut() -> None:
    hurried = replace(SCENARIO, budgets="fixed:3")
    episodes = run(scenario=hurried, latency=NoForecast(models=5, strategies=4)).episodes
    cut = [episode for episode in episodes if episode.error]
    assert cut
    assert all(episode.status == "late" and not episode.solved for episode in cut)
    assert any(episode.calls for episode in cut)


def test_what_counts_as_on_time_was_answered_within_the_budget() -> None:
    episodes = run().episodes
    assert all(episode.latency_s <= episode.budget_s for episode in episodes if episode.is_on_time)
    assert {episode.status for episode in episodes} == {"ok", "late"}


def test_contenders_meet_the_same_workload() -> None:
    theirs = run_virtually(
        SCENARIO, JustEnoughPolicy(), seed=0, rate_per_min=RATE_PER_MIN, grader=RememberingGrader()
    )
    for ours, other in zip(run().episodes, theirs.episodes, strict=True):
        assert (ours.item_id, ours.budget_s, ours.arrived_s) == (
            other.item_id,
            other.budget_s,
            other.arrived_s,
        )


def test_budgets_and_questions_do_not_hang_on_the_rate() -> None:
    slow, fast = SCENARIO.workload(3, 10.0), SCENARIO.workload(3, 300.0)
    assert slow.items == fast.items
    assert slow.budgets_s.tolist() == fast.budgets_s.tolist()
    assert (slow.arrivals_s / 30).tolist() == pytest.approx(fast.arrivals_s.tolist())


def test_the_load_is_sampled_on_every_server_while_there_is_work() -> None:
    timeline = run().timeline
    instants = {sample.t_s for sample in timeline}
    assert {sample.endpoint for sample in timeline} == {profile.name for profile in SCENARIO.profiles}
    assert len(timeline) == len(SCENARIO.profiles) * len(instants)
    assert max(sample.running for sample in timeline) > 1
    assert all(0 <= sample.running <= sample.slots for sample in timeline)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"items": ()}, "questions"),
        ({"questions": 0}, "questions"),
        ({"seeds": ()}, "seeds"),
        ({"seeds": (1, 1)}, "seeds"),
        ({"rates_per_min": (0.0,)}, "rate"),
        ({"rates_per_min": ()}, "rates"),
        ({"arrivals": "now and then"}, "arrivals"),
        ({"budgets": "plenty"}, "budgets"),
        ({"training_items": ITEMS[:1]}, "training_items"),
    ],
)
def test_a_scenario_that_makes_no_sense_is_refused(change: dict[str, object], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        replace(SCENARIO, **change)
    assert caught.value.field == field
