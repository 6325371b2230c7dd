"""``inframind demo``: the whole main job on a simulated fleet, over real HTTP: route, answer, grade, learn from it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from inframind.arena.arrivals import Seconds
from inframind.arena.results.episodes import Answer, Call, Episode
from inframind.arena.runner import run_workload
from inframind.arena.scenario import endpoint_tables, fleet_specs
from inframind.arena.workload import LogUniform, PoissonArrivals
from inframind.errors import ConfigError, DeadlineExceeded, UnknownTopology
from inframind.fleet.clock import Clock, SystemClock
from inframind.graphs.registry import TopologyRegistry
from inframind.plugin.commands.demo_board import Board, print_report
from inframind.plugin.config import Settings, settings_from
from inframind.plugin.mind import InfraMind
from inframind.rewards.graders import Grader, grader_for
from inframind.router.policy import policy_by_name
from inframind.simulator.fleet import SimulatedFleetProcess
from inframind.simulator.items import Item, generate_items, load_items
from inframind.simulator.outcomes import LatentDifficultyModel
from inframind.simulator.prompt_reading import AnswerKey
from inframind.traces.records import Step, Trajectory

LEARNED = "learned"


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """What the demo does; checked here, before any server starts.

    Raises:
        ConfigError, UnknownTopology: an option is wrong.
    """

    items_file: Path | None = None
    """JSONL file of questions with answers; None generates them."""
    questions: int = 60
    """Number of questions; a file with fewer gives all it has."""
    rate_per_min: float = 120.0
    """Mean arrivals a minute."""
    seed: int = 0
    """Of questions, arrivals, budgets, decisions and replies."""
    topology: str = "auto"
    """Topology of every question; ``auto`` leaves it to the planner."""
    policy: str = "learned"
    """Who decides: ``learned`` is the policy that comes with the package."""
    exploration: float = 0.1
    """Share of decisions drawn at random."""
    budget_min_s: float = 2.0
    """Least budget."""
    budget_max_s: float = 30.0
    """Largest budget."""
    speed: float = 1.0
    """Simulated seconds per second of the fleet; arrivals and budgets stay in real seconds."""
    out: Path = Path(".out/demo")
    """Folder of the trace store."""

    def __post_init__(self) -> None:
        if self.questions < 1:
            raise ConfigError("questions", self.questions, "ask at least one")
        if not self.speed > 0:
            raise ConfigError("speed", self.speed, "give a positive number")
        if not 0 <= self.exploration <= 1:
            raise ConfigError("exploration", self.exploration, "give a share from 0 to 1")
        if self.policy != LEARNED:
            policy_by_name(self.policy)
        known = tuple(TopologyRegistry().specs)
        if self.topology not in ("auto", *known):
            raise UnknownTopology(self.topology, known)

    @property
    def store(self) -> Path:
        """The trace store."""
        return self.out / "traces.db"


@dataclass(frozen=True, kw_only=True)
class _Workload:
    items: tuple[Item, ...]
    arrivals_s: Seconds
    budgets_s: Seconds


def demo(options: DemoOptions, console: Console) -> bool:
    """Start the fleet, send the questions, show what happens, sum it up.

    Returns:
        Whether no question failed; wrong and late answers are no failures.
    """
    workload = _draw(options)
    specs = fleet_specs()
    key = AnswerKey(workload.items)
    _make_folder(options.out)
    console.print(f"starting five simulated models for {len(workload.items)} questions ...")
    if options.exploration:
        console.print(
            f"{options.exploration:.0%} of the decisions are drawn at random, so that the traces can be learned from "
            "(--exploration 0 shows the policy alone)"
        )
    fleet = SimulatedFleetProcess(specs, LatentDifficultyModel(key), seed=options.seed, speed=options.speed)
    with fleet:
        settings = _settings(options, endpoint_tables(specs, fleet.base_urls))
        episodes = asyncio.run(_send(options, workload, settings, SystemClock(), console))
    print_report(console, episodes, options.store)
    return all(episode.status != "failed" for episode in episodes)


def _draw(options: DemoOptions) -> _Workload:
    rng = np.random.default_rng(options.seed)
    arrivals = PoissonArrivals(options.rate_per_min)
    budgets = LogUniform(options.budget_min_s, options.budget_max_s)
    items = _items(options, rng)
    n = len(items)
    return _Workload(items=items, arrivals_s=arrivals.draw(n, rng), budgets_s=budgets.draw(n, rng))


def _items(options: DemoOptions, rng: np.random.Generator) -> tuple[Item, ...]:
    if options.items_file is None:
        return generate_items(options.questions, options.seed)
    items = load_items(options.items_file)
    return tuple(items[place] for place in rng.permutation(len(items))[: options.questions])


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError("out", str(out), f"cannot be made: {error.strerror}") from error


def _settings(options: DemoOptions, endpoints: list[dict[str, Any]]) -> Settings:
    policy: Mapping[str, Any] = {
        "name": options.policy,
        "exploration": options.exploration,
        "seed": options.seed,
    }
    traces = {"url": f"sqlite:///{options.store}"}
    return settings_from({"endpoints": endpoints, "policy": policy, "traces": traces})


async def _send(
    options: DemoOptions, workload: _Workload, settings: Settings, clock: Clock, console: Console
) -> list[Episode]:
    async with InfraMind(settings) as mind:
        await mind.fleet.watch()
        with Board(len(workload.items), clock, console) as board:
            return await run_workload(
                partial(_solve, mind, options.topology),
                workload.items,
                workload.arrivals_s.tolist(),
                workload.budgets_s.tolist(),
                clock,
                board.take,
            )


async def _solve(mind: InfraMind, topology: str, item: Item, budget_s: float) -> Answer:
    """Ask, grade off the loop, and say how it turned out."""
    grader = _grader(item)
    try:
        result = await mind.ainvoke(
            item.question,
            budget_s=budget_s,
            topology=topology,
            domain=item.domain,
            question_id=item.item_id,
        )
    except DeadlineExceeded as error:
        await mind.afeedback(error.trace_id, solved=False, source="grader", comment="no answer in time")
        raise
    verdict = await asyncio.to_thread(grader.grade, result.text, item.answer)
    await mind.afeedback(result.trace_id, solved=verdict.solved, source="grader", comment=verdict.note)
    trajectory = await mind.atrace(result.trace_id)
    step = _answering_step(trajectory)
    return Answer(
        is_late=not result.on_time,
        solved=verdict.solved,
        latency_s=result.latency_s,
        topology=result.topology,
        model=step.served_model,
        strategy=step.strategy,
        calls=tuple(map(_call, trajectory.steps)),
        trace_id=result.trace_id,
    )


def _grader(item: Item) -> Grader:
    return grader_for("math" if item.domain == "math" else "exact")


def _answering_step(trajectory: Trajectory) -> Step:
    return next(step for step in trajectory.steps if step.step_id == trajectory.final_step_id)


def _call(step: Step) -> Call:
    return Call(model=step.model, strategy=step.strategy, completion_tokens=step.completion_tokens or 0)
