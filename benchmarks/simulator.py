"""How fast virtual time passes: calls through engines alone, and routed workflows through the real graphs.

Workflows run on one core: the routed LangGraph, the decider, the timed client on the OpenAI SDK, and the simulated
servers are all in one process; only sockets are missing. The policy draws topologies, teams, models and strategies
uniformly, so that a workflow makes about five calls.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from _common import Bench, arguments

from inframind.arena.grading import RememberingGrader
from inframind.arena.scenario import RATES_PER_MIN, Scenario
from inframind.arena.virtual_run import VirtualRun, run_virtually
from inframind.router.policy import UniformPolicy
from inframind.simulator.engine import Engine
from inframind.simulator.engine_records import EngineRequest
from inframind.simulator.items import generate_items
from inframind.simulator.profiles import load_profiles
from inframind.traces.codec import encode

EPOCH_QUESTIONS = 519
"""Questions of one sweep; seven sweeps make an epoch of 3,633 workflows."""
PACKAGES = ("langgraph", "langchain-core", "openai", "httpx2", "numpy")


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    bench = Bench(title="virtual time", packages=PACKAGES, seed=options.seed)
    measure_engine(bench, 20_000 if options.quick else 100_000, options.seed)
    questions = 100 if options.quick else EPOCH_QUESTIONS
    measure_epochs(bench, questions, 2 if options.quick else 10, options.seed)
    measure_determinism(bench, 60, options.seed)
    bench.print(as_json=options.json)


def measure_engine(bench: Bench, n_calls: int, seed: int) -> None:
    """Calls through five engines that are kept busy, driven event by event."""
    rng = np.random.default_rng(seed)
    began_s = time.perf_counter()
    for profile in load_profiles().values():
        engine = Engine(replace(profile.engine, prefix_cache=False))
        arrivals_s = np.cumsum(rng.exponential(0.5, n_calls // 5))
        prompts, outputs = rng.integers(50, 800, n_calls // 5), rng.integers(20, 600, n_calls // 5)
        finished = 0
        for index, now_s in enumerate(arrivals_s.tolist()):
            engine.advance_to(now_s)
            request = EngineRequest(
                request_id=str(index), prompt_tokens=int(prompts[index]), output_tokens=int(outputs[index])
            )
            finished += engine.submit(request, now_s)
        while (next_s := engine.next_event_s()) is not None:
            engine.advance_to(next_s)
    per_min = 60 * n_calls / (time.perf_counter() - began_s)
    bench.add_bar("engine_calls_per_min", per_min, 300_000, "calls/min", direction="at least")


def measure_epochs(bench: Bench, questions: int, epochs: int, seed: int) -> None:
    """Epochs of seven arrival rates each: wall time, and what the process holds after each."""
    ran = list(run_epochs(questions, epochs, seed))
    walls_s = [wall_s for wall_s, _, _, _ in ran]
    workflows = questions * len(RATES_PER_MIN)
    best_s, median_s = min(walls_s), float(np.median(walls_s))
    bench.add_bar(
        "workflows_per_min", 60 * workflows / median_s, 5_000, "workflows/min", direction="at least"
    )
    bench.add_figure("workflows_per_min_best", 60 * workflows / best_s, "workflows/min", "the fastest epoch")
    bench.add_figure("calls_per_workflow", float(np.mean([calls for _, calls, _, _ in ran])), "calls")
    if questions == EPOCH_QUESTIONS:
        bench.add_bar("epoch_wall_s", median_s, 45.0, "s")
    bench.add_figure("epoch_virtual_s", float(np.mean([virtual_s for _, _, virtual_s, _ in ran])), "s")
    first_mib, last_mib = ran[min(1, len(ran) - 1)][3], ran[-1][3]
    bench.add_figure("resident_mib", last_mib, "MiB", f"after {epochs} epochs")
    bench.add_bar("memory_growth_mib", last_mib - first_mib, 10.0, "MiB")


def run_epochs(questions: int, epochs: int, seed: int) -> Iterator[tuple[float, float, float, float]]:
    """Wall seconds, calls per workflow, virtual seconds, and resident MiB after each epoch."""
    scenario = make_scenario(questions)
    grader = RememberingGrader()
    for epoch in range(epochs):
        began_s = time.perf_counter()
        calls, virtual_s = 0, 0.0
        for rate_per_min in RATES_PER_MIN:
            run = run_virtually(
                scenario, UniformPolicy(), seed=seed + epoch, rate_per_min=rate_per_min, grader=grader
            )
            calls += sum(len(trajectory.steps) for trajectory in run.trajectories.values())
            virtual_s += run.virtual_s
        wall_s = time.perf_counter() - began_s
        yield wall_s, calls / (questions * len(RATES_PER_MIN)), virtual_s, resident_mib()


def make_scenario(questions: int) -> Scenario:
    return Scenario(
        profiles=tuple(load_profiles().values()),
        items=generate_items(questions, seed=7),
        training_items=(),
        questions=questions,
    )


def measure_determinism(bench: Bench, questions: int, seed: int) -> None:
    """The same workload in two other processes: equal hashes of all traces, whatever the hash seed."""
    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(2) as pool:
        hashes = pool.starmap(hash_of_traces, [(questions, seed)] * 2)
    bench.add_bar("trace_hashes_equal", float(len(set(hashes)) == 1), 1.0, direction="at least")


def hash_of_traces(questions: int, seed: int) -> str:
    run: VirtualRun = run_virtually(
        make_scenario(questions), UniformPolicy(), seed=seed, rate_per_min=200.0, grader=RememberingGrader()
    )
    digest = hashlib.blake2b()
    for trajectory in run.trajectories.values():
        digest.update(encode(trajectory))
    return digest.hexdigest()


def resident_mib() -> float:
    """Memory that the process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main()
