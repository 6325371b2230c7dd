"""Many candidates at once: nobody stops the others, and nothing is done twice."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inframind.arena.candidates.campaign import Plan, evaluate_candidates
from inframind.arena.candidates.candidate import AS_IT_IS, Candidate, Setup, without_addresses
from inframind.arena.candidates.folder import RESULTS, CandidateFolder
from inframind.arena.candidates.results import Job, JobResult, PlayedFigures
from inframind.arena.candidates.simulated import SimulatedTraffic
from inframind.arena.candidates.verdict import standings_of, summary_of
from inframind.arena.engines import LOCAL, EngineConfig
from inframind.arena.scenario import Scenario, models_of_fleet
from inframind.errors import ConfigError
from inframind.fleet.endpoints import EndpointSpec
from inframind.graphs.assembly import Parts
from inframind.router.policy import JustEnoughPolicy
from inframind.router.rules import RoutingRule
from inframind.simulator.items import generate_items

MODELS = ("llama-3.2-3b", "llama-3.1-8b", "deepseek-r1-32b")
SIZES_B = (3.2, 8.0, 32.8)


def endpoints() -> tuple[EndpointSpec, ...]:
    return without_addresses(
        EndpointSpec(name=f"{model}-0", base_url="http://gpu.invalid/v1", model=model, size_b=size_b)
        for model, size_b in zip(MODELS, SIZES_B, strict=True)
    )


def make_setup(version: str = "first") -> Setup:
    return Setup(
        parts=Parts(endpoints=endpoints()),
        policy=JustEnoughPolicy(),
        document={"policy": {"version": version}},
    )


def without(model: str) -> Candidate:
    rule = RoutingRule(name=f"no {model}", avoid_models=frozenset({model}))
    return Candidate(name=f"without {model}", rules=(rule,), source="test")


def small_scenario(seeds: int = 2, questions: int = 6) -> Scenario:
    models = models_of_fleet("reference")
    return Scenario(
        profiles=models.profiles,
        parameters=models.parameters,
        items=generate_items(12, seed=3),
        training_items=(),
        questions=questions,
        rates_per_min=(120.0,),
        seeds=tuple(range(seeds)),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Dice:
    """Traffic of which all is known: success is a number of each candidate's own plus the seed's luck.

    Attributes:
        worth: success by candidate, cost likewise.
        broken: candidates that raise.
        stops_at: a file; where it says a candidate's name, that one ends the whole evaluation.
    """

    baseline: Setup = field(default_factory=make_setup)
    seeds: tuple[int, ...] = (0, 1, 2, 3)
    worth: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    noise: float = 0.001
    broken: frozenset[str] = frozenset()
    stops_at: Path | None = None

    def facts(self) -> Mapping[str, Any]:
        return {"on": "dice", "baseline": self.baseline.document, "seeds": list(self.seeds)}

    def jobs(self, candidate: Candidate) -> Sequence[Job]:
        return [Job(candidate=candidate.name, seed=seed, rate_per_min=60.0) for seed in self.seeds]

    def jobs_apiece(self, jobs: int, workers: int) -> int:
        return 1

    def play(self, candidate: Candidate, job: Job) -> JobResult:
        if candidate.name in self.broken:
            raise ZeroDivisionError(f"{candidate.name} is broken")
        if self.stops_at and self.stops_at.exists() and self.stops_at.read_text() == candidate.name:
            raise KeyboardInterrupt
        success, cost = self.worth.get(candidate.name, (0.5, 1.0))
        luck = np.random.default_rng([job.seed or 0, len(candidate.name)]).normal() * self.noise
        shared = np.random.default_rng(job.seed).normal() * 0.05
        return JobResult(
            job=job,
            figures=PlayedFigures(
                offered=100,
                success=success + shared + (0.0 if candidate.name == AS_IT_IS else luck),
                solved=success,
                on_time=0.9,
                failed=0.0,
                latency_s=10.0,
                latency_p95_s=20.0,
                cost=cost,
                completion_tokens=300.0,
            ),
        )


CANDIDATES = tuple(without(model) for model in MODELS)


def evaluated(plan: Plan, folder: Path, engine: EngineConfig = LOCAL) -> str:
    """The summary of an evaluation that goes to its end."""
    opened = CandidateFolder.opened(folder, plan.document())
    done = evaluate_candidates(plan, opened, engine=engine)
    return json.dumps(summary_of(plan, standings_of(plan, done)), sort_keys=True)


def heard(plan: Plan, folder: Path) -> list[Job]:
    jobs: list[Job] = []
    opened = CandidateFolder.opened(folder, plan.document())
    before = len(opened.done)
    evaluate_candidates(plan, opened, on_result=lambda result: jobs.append(result.job))
    return jobs[before:]


def test_every_candidate_and_the_baseline_meet_every_workload(tmp_path: Path) -> None:
    jobs = heard(Plan.of(CANDIDATES, Dice()), tmp_path)
    names = (AS_IT_IS, *(one.name for one in CANDIDATES))
    assert [(job.seed, job.candidate) for job in jobs] == [(s, name) for s in range(4) for name in names]


def test_batches_hold_so_many_candidates_and_change_no_result(tmp_path: Path) -> None:
    one, many = Plan.of(CANDIDATES, Dice(), batch=1), Plan.of(CANDIDATES, Dice(), batch=50)
    sizes = [{candidate.name for candidate, _ in batch} for batch in one.batches()]
    assert sizes == [{AS_IT_IS, CANDIDATES[0].name}, {CANDIDATES[1].name}, {CANDIDATES[2].name}]
    assert one.total == many.total == 16
    assert evaluated(one, tmp_path / "one") == evaluated(many, tmp_path / "many")


def test_a_candidate_that_raises_is_reported_and_stops_nobody(tmp_path: Path) -> None:
    plan = Plan.of(CANDIDATES, Dice(broken=frozenset({CANDIDATES[1].name})))
    done = evaluate_candidates(plan, CandidateFolder.opened(tmp_path, plan.document()))
    verdicts = {one.name: one for one in standings_of(plan, done).verdicts}
    broken = verdicts[CANDIDATES[1].name]
    assert broken.standing == "failed"
    said = f"4 of 4 jobs: ZeroDivisionError: {CANDIDATES[1].name} is broken"
    assert re.fullmatch(rf"{re.escape(said)} \(test_campaign\.py:\d+\)", broken.reason)
    assert verdicts[CANDIDATES[0].name].changes["success"].value == pytest.approx(0.5, abs=0.1)


def test_an_impossible_candidate_is_reported_and_stops_nobody(tmp_path: Path) -> None:
    wrong = (without("gpt-9"), CANDIDATES[0], Candidate(name="idle"), CANDIDATES[0])
    plan = Plan.of(wrong, Dice())
    assert [one.name for one in plan.candidates] == [CANDIDATES[0].name]
    reasons = {one.name: one.reason for one in plan.refused}
    assert "gpt-9" in reasons["without gpt-9"]
    assert reasons["idle"] == "it changes nothing: give it rules, or another configuration"
    assert reasons[CANDIDATES[0].name] == "its name is taken: give every candidate its own"
    summary = json.loads(evaluated(plan, tmp_path))
    assert [one["standing"] for one in summary["candidates"]] == [
        "undecided",
        "invalid",
        "invalid",
        "invalid",
    ]


def test_nothing_to_try_is_refused() -> None:
    with pytest.raises(ConfigError, match="candidates = 0"):
        Plan.of([], Dice())
    with pytest.raises(ConfigError, match="batch = 0"):
        Plan.of(CANDIDATES, Dice(), batch=0)


def test_an_interrupted_evaluation_goes_on_and_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    stop = tmp_path / "stop"
    stop.write_text(CANDIDATES[2].name)
    plan = Plan.of(CANDIDATES, Dice(stops_at=stop))
    with pytest.raises(KeyboardInterrupt):
        evaluated(plan, tmp_path / "cut")
    assert len(CandidateFolder.opened(tmp_path / "cut", plan.document()).done) == 3
    stop.unlink()
    assert len(heard(plan, tmp_path / "cut")) == 13
    assert heard(plan, tmp_path / "cut") == []
    assert evaluated(plan, tmp_path / "cut") == evaluated(Plan.of(CANDIDATES, Dice()), tmp_path / "whole")


def test_what_a_kill_tore_is_done_again(tmp_path: Path) -> None:
    plan = Plan.of(CANDIDATES, Dice())
    whole = evaluated(plan, tmp_path / "whole")
    evaluated(plan, tmp_path / "torn")
    torn = tmp_path / "torn" / RESULTS
    torn.write_bytes(torn.read_bytes()[:-100])
    assert len(CandidateFolder.opened(tmp_path / "torn", plan.document()).done) == 15
    assert evaluated(plan, tmp_path / "torn") == whole


def test_a_line_that_another_process_is_writing_is_not_taken_for_torn(tmp_path: Path) -> None:
    plan = Plan.of(CANDIDATES, Dice())
    evaluated(plan, tmp_path)
    results = (tmp_path / RESULTS).read_bytes()
    with ThreadPoolExecutor(1) as pool:
        with (tmp_path / RESULTS).open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(results[:-100])
            file.flush()
            reading = pool.submit(CandidateFolder.opened, tmp_path, plan.document())
            file.write(results[-100:])
        assert len(reading.result().done) == plan.total
    assert (tmp_path / RESULTS).read_bytes() == results


@pytest.mark.parametrize(
    ("other", "differs"),
    [
        (lambda: Plan.of(CANDIDATES[:2], Dice()), "candidates.without deepseek-r1-32b is gone"),
        (lambda: Plan.of(CANDIDATES, Dice(seeds=(0, 1))), "traffic.seeds was [0, 1, 2, 3] and is [0, 1]"),
        (
            lambda: Plan.of(CANDIDATES, Dice(baseline=make_setup("second"))),
            'traffic.baseline.policy.version was "first" and is "second"',
        ),
        (
            lambda: Plan.of(
                [Candidate(name=one.name, rules=CANDIDATES[0].rules) for one in CANDIDATES], Dice()
            ),
            "candidates.without llama-3.1-8b was",
        ),
    ],
)
def test_a_folder_of_another_evaluation_is_refused_with_what_differs(
    other: Callable[[], Plan], differs: str, tmp_path: Path
) -> None:
    evaluated(Plan.of(CANDIDATES, Dice()), tmp_path)
    with pytest.raises(ConfigError) as caught:
        CandidateFolder.opened(tmp_path, other().document())
    assert differs in caught.value.fix


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    plan = Plan.of(CANDIDATES, Dice())
    evaluated(plan, tmp_path)
    lines = (tmp_path / RESULTS).read_bytes().splitlines(keepends=True)
    (tmp_path / RESULTS).write_bytes(b"".join([lines[0], b'{"job": 3}\n', *lines[2:]]))
    with pytest.raises(ConfigError, match="line 2 is no result"):
        CandidateFolder.opened(tmp_path, plan.document())


def test_results_come_back_from_their_line_exactly() -> None:
    (job,) = Dice(seeds=(7,)).jobs(CANDIDATES[0])
    result = Dice().play(CANDIDATES[0], job)
    assert JobResult.from_line(result.to_line()) == result


def simulated() -> Plan:
    traffic = SimulatedTraffic(baseline=make_setup(), scenario=small_scenario())
    return Plan.of(CANDIDATES[:2], traffic)


def test_results_do_not_depend_on_processes(tmp_path: Path) -> None:
    here = evaluated(simulated(), tmp_path / "here")
    there = evaluated(simulated(), tmp_path / "there", EngineConfig(workers=2))
    assert here == there
    assert json.loads(here)["candidates"][0]["standing"] == "unknown"


WORK = """
import sys
from pathlib import Path
from test_campaign import evaluated, simulated
print(evaluated(simulated(), Path(sys.argv[1])))
"""


def test_a_killed_process_leaves_a_folder_that_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    with subprocess.Popen(
        [sys.executable, "-c", WORK, str(folder)], cwd=Path(__file__).parent, env={**os.environ}
    ) as process:
        deadline = time.monotonic() + 60
        while not (folder / RESULTS).exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    plan = simulated()
    assert 1 <= len(CandidateFolder.opened(folder, plan.document()).done) <= plan.total
    assert evaluated(plan, folder) == evaluated(plan, tmp_path / "whole")
