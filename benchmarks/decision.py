"""What a decision costs in one thread: ours end to end and in parts, against other routers' picks, in one run.

A decision is a snapshot of the live fleet, the latency map, masks, the policy, the draw with its propensity, and the
record, over 20 candidates (5 models x 4 strategies). From one decision to the next one model's load changes, and the
question, prompt, topology and budget do. Decisions follow each other closely, as the rivals' do; beside calls, which
push the router's code and data out of the processor's caches, the same decision takes about twice as long
(``executor_between_calls``: the chosen call is sent, another one ends, and the latency model learns, all untimed).

    python benchmarks/decision.py [--quick] [--json] [--litellm-python PYTHON]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
from _common import Bench, arguments, percentile
from _decision_learned import learned, learner, published
from _decision_rivals import rivals
from _decision_world import Task, World, open_world

from inframind.fleet.clock import Deadline
from inframind.fleet.pool import Fleet
from inframind.fleet.snapshot import FleetSnapshot
from inframind.router.actions import ActionSpace
from inframind.router.decide import Decider, StepChoice
from inframind.router.encoder import Encoder, HashingEncoder
from inframind.router.masks import StepMasks
from inframind.router.policy import JustEnoughPolicy, Policy, Proposal, UniformPolicy
from inframind.router.views import PaceView, PlanView, RoleView, StepView

OURS = "learned"
"""The policy whose figures are held against the bars."""
EXECUTOR_US, PLANNER_US, ENCODER_US = 60.0, 150.0, 50.0
PARTS = ("snapshot", "latency_map", "masks", "policy")
CONCURRENCIES = (1, 4, 16, 64, 256)
ENCODED_WORDS = 64
Result = TypeVar("Result")
ROOT = Path(__file__).resolve().parents[1]
LITELLM_PYTHON = ROOT / ".venv-litellm" / "bin" / "python"
"""Made by ``overhead.py`` on its first run."""


def policies(actions: ActionSpace) -> Mapping[str, Policy]:
    """What decides, by name; a policy under test is one more line."""
    return {
        "learned": learned(actions),
        "published": published(actions),
        "just_enough": JustEnoughPolicy(),
        "uniform": UniformPolicy(),
    }


def encoders() -> Mapping[str, Encoder]:
    """What turns a question into a vector, by name; the first is the default and held against the bar."""
    return {"hashing": HashingEncoder()}


def main() -> None:
    parser = arguments((__doc__ or "").splitlines()[0], seed=1)
    parser.add_argument(
        "--litellm-python",
        type=Path,
        default=LITELLM_PYTHON,
        help="interpreter with litellm (default: .venv-litellm, which overhead.py makes; skipped without)",
    )
    options = parser.parse_args()
    bench = Bench(title="What a decision costs", packages=("numpy",), seed=options.seed)
    size = Size(rounds=2, decisions=150) if options.quick else Size(rounds=5, decisions=600)
    asyncio.run(measure_ours(bench, size, options.seed))
    measure_encoders(bench, size, options.seed)
    measure_rivals(bench, size, options)
    bench.print(as_json=options.json)


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: rounds that alternate between the contenders, and decisions in each."""

    rounds: int
    decisions: int


@dataclass(slots=True)
class Timings:
    """Times of one thing, in rounds; a figure is the median over the rounds."""

    wall_us: list[list[float]] = field(default_factory=lambda: [[]])
    cpu_us: list[float] = field(default_factory=list)
    _round_cpu_ns: int = 0

    def next_round(self) -> None:
        if self.wall_us[-1]:
            self.wall_us.append([])
        self._round_cpu_ns = time.thread_time_ns()

    def time(self, work: Callable[[], Result]) -> Result:
        """Do it, and note what it took.

        CPU time is read once a round, not here: that is a system call, which makes the work after it slower.
        """
        began_ns = time.perf_counter_ns()
        result = work()
        self.wall_us[-1].append((time.perf_counter_ns() - began_ns) / 1e3)
        return result

    def end_round(self) -> None:
        """Note the thread's CPU time since `next_round`, what was done between the timed calls included."""
        if self.wall_us[-1]:
            taken_us = (time.thread_time_ns() - self._round_cpu_ns) / 1e3
            self.cpu_us.append(taken_us / len(self.wall_us[-1]))

    @property
    def p50_us(self) -> float:
        return statistics.median(statistics.median(taken) for taken in self.wall_us if taken)

    @property
    def p99_us(self) -> float:
        return statistics.median(percentile(taken, 99) for taken in self.wall_us if taken)

    @property
    def cpu_p50_us(self) -> float:
        return statistics.median(self.cpu_us)


# Ours -------------------------------------------------------------------------------------------------------


async def measure_ours(bench: Bench, size: Size, seed: int) -> None:
    async with open_world(seed) as world:
        contenders = policies(world.actions)
        ours = contenders[OURS]
        await steps_between_calls(world, UniformPolicy(), Timings(), 200)
        await measure_decisions(bench, world, contenders, size)
        await measure_parts(bench, world, ours, size)
        await measure_throughput(bench, world, ours, size)
        await measure_while_learning(bench, world, ours, size)


async def measure_decisions(bench: Bench, world: World, contenders: Mapping[str, Policy], size: Size) -> None:
    """Executor and planner decisions of every policy, in rounds that alternate."""
    executor = {name: Timings() for name in contenders}
    planner = {name: Timings() for name in contenders}
    for _ in range(size.rounds):
        for name, policy in contenders.items():
            await world.read_loads()
            steps(world, policy, executor[name], size.decisions)
            plans(world, policy, planner[name], size.decisions)
    for kind, timings, limit_us in (("executor", executor, EXECUTOR_US), ("planner", planner, PLANNER_US)):
        for name, taken in timings.items():
            add_times(bench, f"{kind}_{name}", taken, limit_us if name == OURS else None)
    between = Timings()
    await steps_between_calls(world, contenders[OURS], between, size.rounds * size.decisions // 2)
    add_times(bench, "executor_between_calls", between)


def steps(world: World, policy: Policy, taken: Timings, decisions: int) -> None:
    """Executor decisions, one right after the other; each question has been planned for, and so been read."""
    decider = world.decider(policy)
    tasks = [world.next_task() for _ in range(64)]
    for task in tasks:
        plan(decider, world.fleet, task, world.deadline(task))
    gc.collect()
    taken.next_round()
    for place in range(decisions):
        task, fleet = tasks[place % len(tasks)], world.moments[place % len(world.moments)]
        taken.time(decision(decider, fleet, task, world.deadline(task)))
    taken.end_round()


async def steps_between_calls(world: World, policy: Policy, taken: Timings, decisions: int) -> None:
    """Executor decisions, each followed by the call that was chosen."""
    decider = world.decider(policy)
    taken.next_round()
    for _ in range(decisions):
        task = world.next_task()
        choice, snapshot = taken.time(decision(decider, world.fleet, task, world.deadline(task)))
        await world.send(choice, snapshot, task.slot)


def decision(
    decider: Decider, fleet: Fleet, task: Task, deadline: Deadline
) -> Callable[[], tuple[StepChoice, FleetSnapshot]]:
    """What is timed: from looking at the fleet to the record."""

    def decide() -> tuple[StepChoice, FleetSnapshot]:
        snapshot = fleet.snapshot()
        choice, _ = decider.step(task.query, task.slot, snapshot, deadline, decision_id="d")
        return choice, snapshot

    return decide


def plans(world: World, policy: Policy, taken: Timings, decisions: int) -> None:
    """Planner decisions; the questions come back, so that an embedding is at hand."""
    decider = world.decider(policy)
    tasks = [world.next_task() for _ in range(16)]
    gc.collect()
    taken.next_round()
    for place in range(decisions):
        task = tasks[place % len(tasks)]
        deadline = world.deadline(task)
        fleet = world.moments[place % len(world.moments)]
        taken.time(partial(plan, decider, fleet, task, deadline))
    taken.end_round()


def plan(decider: Decider, fleet: Fleet, task: Task, deadline: Deadline) -> None:
    decider.plan(task.query, fleet.snapshot(), deadline, decision_id="d")


async def measure_parts(bench: Bench, world: World, ours: Policy, size: Size) -> None:
    """The parts of one decision, each timed by itself; what is left is choosing and recording."""
    parts = {name: Timings() for name in PARTS}
    policy = TimedPolicy(ours, parts["policy"])
    decider, masks, whole = world.decider(policy), StepMasks(world.actions), Timings()
    tasks = [world.next_task() for _ in range(64)]
    for _ in range(size.rounds):
        await world.read_loads()
        for taken in parts.values():
            taken.next_round()
        for place in range(size.decisions):
            task, fleet = tasks[place % len(tasks)], world.moments[place % len(world.moments)]
            snapshot = parts["snapshot"].time(fleet.snapshot)
            map_s = parts["latency_map"].time(
                partial(world.latency.predict, snapshot, task.slot.prompt_tokens)
            )
            columns = map_s.q50_s.ravel(), map_s.q90_s.ravel()
            parts["masks"].time(partial(masks.of, task.query, task.slot, snapshot, *columns, task.budget_s))
            decider.step(task.query, task.slot, snapshot, world.deadline(task), decision_id="d")
        steps(world, ours, whole, size.decisions)
    for name, taken in parts.items():
        bench.add_figure(f"executor_part_{name}_p50_us", taken.p50_us, "us", f"of {OURS}")
    rest_us = whole.p50_us - sum(taken.p50_us for taken in parts.values())
    bench.add_figure("executor_part_choose_and_record_p50_us", rest_us, "us", "what is left of the whole")


class TimedPolicy:
    """Times the executor's turn of another policy."""

    def __init__(self, policy: Policy, taken: Timings) -> None:
        self._policy, self._taken = policy, taken
        self.name, self.version = policy.name, policy.version

    def plan(self, view: PlanView) -> Proposal:
        return self._policy.plan(view)

    def role(self, view: RoleView) -> Proposal:
        return self._policy.role(view)

    def step(self, view: StepView) -> Proposal:
        return self._taken.time(lambda: self._policy.step(view))

    def pace(self, view: PaceView) -> Proposal:
        return self._policy.pace(view)


async def measure_throughput(bench: Bench, world: World, ours: Policy, size: Size) -> None:
    """Decisions per second of so many workflows in one event loop, which hand over after each decision."""
    decider = world.decider(ours)
    tasks = [world.next_task() for _ in range(64)]
    per_s: dict[int, list[float]] = {count: [] for count in CONCURRENCIES}
    decisions = max(CONCURRENCIES) * max(2, size.decisions // 100)
    for _ in range(size.rounds):
        for count, seen in per_s.items():
            began_s = time.perf_counter()
            async with asyncio.TaskGroup() as group:
                for _ in range(count):
                    group.create_task(workflow(world, decider, tasks, decisions // count))
            seen.append(decisions / (time.perf_counter() - began_s))
    for count, seen in per_s.items():
        bench.add_figure(f"decisions_per_s_{count}", statistics.median(seen), "1/s", f"{count} workflows")
    lowest = min(statistics.median(seen) for seen in per_s.values())
    bench.add_bar(
        "lowest_throughput_over_one_workflow",
        lowest / statistics.median(per_s[1]),
        0.95,
        direction="at least",
    )


async def workflow(world: World, decider: Decider, tasks: list[Task], decisions: int) -> None:
    for place in range(decisions):
        task, fleet = tasks[place % len(tasks)], world.moments[place % len(world.moments)]
        decision(decider, fleet, task, world.deadline(task))()
        await asyncio.sleep(0)


# While learning ---------------------------------------------------------------------------------------------


class Flag(Protocol):
    """What the events of threads and of processes have in common."""

    def set(self) -> None: ...
    def clear(self) -> None: ...
    def is_set(self) -> bool: ...
    def wait(self, timeout: float | None = None) -> bool: ...


def learn_until(ready: Flag, may_learn: Flag, stop: Flag) -> None:
    step = learner()
    step()
    ready.set()
    while not stop.is_set():
        if may_learn.wait(0.05):
            step()


async def measure_while_learning(bench: Bench, world: World, ours: Policy, size: Size) -> None:
    """The same decisions while something learns in another process, and in another thread of this one."""
    spawn = multiprocessing.get_context("spawn")
    for where, make_flag, make_worker in (
        ("process", spawn.Event, spawn.Process),
        ("thread", threading.Event, threading.Thread),
    ):
        ready, may_learn, stop = make_flag(), make_flag(), make_flag()
        worker = make_worker(target=learn_until, args=(ready, may_learn, stop), daemon=True)
        worker.start()
        ready.wait()
        idle, learning = Timings(), Timings()
        for _ in range(size.rounds):
            await world.read_loads()
            steps(world, ours, idle, size.decisions)
            may_learn.set()
            steps(world, ours, learning, size.decisions)
            may_learn.clear()
        stop.set()
        worker.join()
        bench.add_figure(f"executor_while_learning_{where}_p50_us", learning.p50_us, "us")
        ratio = learning.p50_us / idle.p50_us
        if where == "process":
            bench.add_bar("while_learning_over_idle_process", ratio, 1.5)
        else:
            bench.add_figure("while_learning_over_idle_thread", ratio, "", "the interpreter's lock is shared")


# Encoders and rivals ----------------------------------------------------------------------------------------


def measure_encoders(bench: Bench, size: Size, seed: int) -> None:
    """Texts of 64 words: one that comes again, words that come again in another order, and words never seen."""
    rng = np.random.default_rng(seed)
    known = [random_word(rng) for _ in range(500)]
    texts: Mapping[str, Callable[[], str]] = {
        "again": lambda: " ".join(known[:ENCODED_WORDS]),
        "known_words": lambda: " ".join(rng.choice(known, ENCODED_WORDS)),
        "new_words": lambda: " ".join(random_word(rng) for _ in range(ENCODED_WORDS)),
    }
    for place, (name, encoder) in enumerate(encoders().items()):
        for kind, make in texts.items():
            taken = Timings()
            for _ in range(size.rounds):
                some = [make() for _ in range(size.decisions)]
                taken.next_round()
                for text in some:
                    taken.time(partial(encoder.encode, text))
                taken.end_round()
            is_held = place == 0 and kind == "new_words"
            add_times(bench, f"encoder_{name}_{kind}", taken, ENCODER_US if is_held else None)


def random_word(rng: np.random.Generator) -> str:
    return "".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), int(rng.integers(2, 10))))


def measure_rivals(bench: Bench, size: Size, options: argparse.Namespace) -> None:
    """The pick alone, without masks, predictions, a deadline or a record."""
    for name, make in rivals().items():
        try:
            pick = make(options.seed)
        except ImportError as error:
            print(f"skipped: {name} ({error})", file=sys.stderr)
            continue
        taken = Timings()
        for _ in range(size.rounds):
            taken.next_round()
            for _ in range(size.decisions):
                taken.time(pick)
            taken.end_round()
        add_times(bench, f"rival_{name}", taken)
    measure_litellm(bench, size, options.litellm_python)


def measure_litellm(bench: Bench, size: Size, python: Path) -> None:
    if not python.exists():
        print(f"skipped: litellm's own pick (no {python.name} in its environment)", file=sys.stderr)
        return
    script = Path(__file__).with_name("_decision_litellm.py")
    quiet = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    command = [str(python), str(script), str(size.rounds * size.decisions)]
    done = subprocess.run(command, capture_output=True, text=True, env=quiet, check=True)
    p50_us = json.loads(done.stdout.strip().splitlines()[-1])["p50_us"]
    bench.add_figure("rival_litellm_latency_based_p50_us", p50_us, "us", "its own code, among 5 deployments")


def add_times(bench: Bench, name: str, taken: Timings, limit_us: float | None = None) -> None:
    if limit_us is None:
        bench.add_figure(f"{name}_p50_us", taken.p50_us, "us")
    else:
        bench.add_bar(f"{name}_p50_us", taken.p50_us, limit_us, "us")
    bench.add_figure(f"{name}_p99_us", taken.p99_us, "us")
    if taken.cpu_us:
        bench.add_figure(f"{name}_cpu_us", taken.cpu_p50_us, "us", "CPU time of the thread, mean")


if __name__ == "__main__":
    main()
