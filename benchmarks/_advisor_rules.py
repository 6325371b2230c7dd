"""What rules cost: a decision under some, and an evaluation of many as candidates."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from _common import Bench
from _decision_world import open_world
from rich.console import Console

from inframind.arena.advice.kept_promises import logged, logging_named, scenario_of
from inframind.arena.candidates.campaign import Plan, Traffic, evaluate_candidates
from inframind.arena.candidates.candidate import Candidate
from inframind.arena.candidates.folder import CandidateFolder
from inframind.arena.candidates.grid import grid_of
from inframind.arena.candidates.simulated import SimulatedTraffic
from inframind.arena.grading import RememberingGrader
from inframind.router.decide import Decider
from inframind.router.policy import JustEnoughPolicy
from inframind.router.rules import Circumstances, RoutingRule

DECISIONS, ROUNDS, QUICK_ROUNDS = 400, 30, 5
TASKS = 64
CANDIDATES, SIMULATED = 50, 5
RECORDED_RUNS, QUICK_RUNS, QUESTIONS = 2_000, 200, 100
_ELSEWHERE = Circumstances(roles=frozenset({"Critic"}))
RULES: Mapping[str, Sequence[RoutingRule]] = {
    "none": (),
    "three elsewhere": tuple(
        RoutingRule(name=f"r{place}", when=_ELSEWHERE, avoid_models=frozenset({f"m{place}"}))
        for place in range(3)
    ),
    "one that applies": (RoutingRule(name="r", avoid_models=frozenset({"m0"})),),
    "three that apply": (
        RoutingRule(name="r0", avoid_models=frozenset({"m0"})),
        RoutingRule(name="r1", avoid_strategies=frozenset({"Flash"})),
        RoutingRule(name="r2", avoid_actions=frozenset({"m1/Plain"})),
    ),
}
"""What is decided under; steps are of the role ``Solver``."""


def report_rules(bench: Bench, console: Console, seed: int, *, quick: bool) -> None:
    """Decisions first, then candidates on recorded runs and on simulated traffic."""
    asyncio.run(_decisions(bench, seed, QUICK_ROUNDS if quick else ROUNDS))
    console.print("serving the runs that candidates are tried on", style="dim")
    runs = QUICK_RUNS if quick else RECORDED_RUNS
    recorded = logged(logging_named("just_enough"), seed=seed, runs=runs, grader=RememberingGrader())
    axes, domains = ("actions", "models", "only", "strategies"), ("", "math", "code")
    grid = grid_of(axes, recorded.baseline.actions, domains=domains)[:CANDIDATES]
    _evaluate(bench, f"{runs:,} recorded runs", recorded, grid)
    simulated = SimulatedTraffic(baseline=recorded.baseline, scenario=scenario_of(QUESTIONS))
    _evaluate(bench, f"{QUESTIONS} simulated questions", simulated, grid[:SIMULATED])


async def _decisions(bench: Bench, seed: int, rounds: int) -> None:
    """CPU time of a step's decision, in rounds that alternate, so that all meet the same machine."""
    async with open_world(seed) as world:
        plain = world.decider(JustEnoughPolicy())
        deciders = {name: plain.with_rules(rules) for name, rules in RULES.items()}
        tasks = [world.next_task() for _ in range(TASKS)]

        def took_us(decider: Decider) -> float:
            began_s = time.thread_time()
            for place in range(DECISIONS):
                task, fleet = tasks[place % TASKS], world.moments[place % len(world.moments)]
                decider.step(task.query, task.slot, fleet.snapshot(), world.deadline(task), decision_id="d")
            return 1e6 * (time.thread_time() - began_s) / DECISIONS

        taken: dict[str, list[float]] = {name: [] for name in RULES}
        for _ in range(rounds):
            await world.read_loads()
            for name, decider in deciders.items():
                taken[name].append(took_us(decider))
    base_us = statistics.median(taken["none"])
    bench.add_figure("rules/decision/none", base_us, "us of CPU", "median of rounds")
    for name in list(RULES)[1:]:
        more_us = statistics.median(a - b for a, b in zip(taken[name], taken["none"], strict=True))
        bench.add_figure(f"rules/decision/{name}", more_us, "us of CPU more")


def _evaluate(bench: Bench, name: str, traffic: Traffic, candidates: Sequence[Candidate]) -> None:
    plan = Plan.of(candidates, traffic)
    began_s, spent_s = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory(prefix="inframind-candidates-") as folder:
        done = evaluate_candidates(plan, CandidateFolder.opened(Path(folder), plan.document()))
    wall_s, cpu_s = time.perf_counter() - began_s, time.process_time() - spent_s
    failed = [result.error for result in done.values() if result.error]
    if failed:
        raise RuntimeError(failed[0])
    note = f"{len(candidates)} candidates and the configuration as it is"
    bench.add_figure(f"rules/evaluation on {name}/wall", wall_s, "s", note)
    bench.add_figure(f"rules/evaluation on {name}/cpu of each", cpu_s / len(done), "s")
