"""``inframind advise evaluate``: many candidate configurations on recorded or simulated traffic."""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from rich.console import Console

from inframind.advisor.options.config import AnalysisConfig
from inframind.arena.candidates.campaign import BATCH, Plan, evaluate_candidates
from inframind.arena.candidates.candidate import Candidate, Refused, Setup, digest_of
from inframind.arena.candidates.folder import SUMMARY, CandidateFolder
from inframind.arena.candidates.grid import grid_of
from inframind.arena.candidates.kept_runs import keep_runs, read_runs
from inframind.arena.candidates.recorded import RecordedTraffic
from inframind.arena.candidates.simulated import SimulatedTraffic
from inframind.arena.candidates.verdict import Standings, standings_of, summary_of
from inframind.arena.engines import LOCAL, EngineConfig
from inframind.arena.scenario import Scenario, models_of_fleet
from inframind.errors import ConfigError
from inframind.fleet.clock import Clock
from inframind.plugin.commands.candidate_board import Board, print_standings
from inframind.plugin.commands.candidate_files import from_file, latest_options, parted, recommended
from inframind.plugin.commands.candidate_setup import serving_policy, setup_of
from inframind.plugin.commands.evaluate import ASKED_FIRST, ITEMS_SEED
from inframind.plugin.commands.traces import StorePlace
from inframind.plugin.config import Settings, load_settings
from inframind.plugin.latest_runs import latest_runs
from inframind.plugin.rollout_words import ago
from inframind.router.rulebook import DOMAINS
from inframind.simulator.items import generate_items
from inframind.traces.outcome_graphs import graph_of
from inframind.traces.records import SolvedKeys, Trajectory

OUT = Path(".out/candidates")
SEEDS, RATES_PER_MIN, QUESTIONS = 3, (30.0, 100.0), 200

Kind = Literal["traces", "simulated"]


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """How much is simulated."""

    seeds: int = SEEDS
    """Number of workloads at every rate."""
    rates_per_min: tuple[float, ...] = RATES_PER_MIN
    """Mean arrivals a minute."""
    questions: int = QUESTIONS
    """Questions per workload."""

    def __post_init__(self) -> None:
        for name in ("seeds", "questions"):
            if getattr(self, name) < 1:
                raise ConfigError(name, getattr(self, name), "give at least 1")


@dataclass(frozen=True, kw_only=True)
class CandidateOptions:
    """What is tried, on what, and where.

    Attributes:
        recommendations: first digits of their ids.
        files: with rules, candidates, or whole configurations.
        grid: kinds of changes, as for `inframind.arena.candidates.grid.grid_of`.
        by_domain: whether the grid's changes are also tried for each kind of question by itself.
        on: which traffic.
        runs: latest recorded runs, at most; None for as many as an analysis reads.
        simulation: how much is simulated.
        config: configuration file.
        store: instead of the configured store.
        out: folder of the results; None for one by what is evaluated.
        batch: candidates that are tried at a time.
        engine: where.
    """

    recommendations: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    grid: tuple[str, ...] = ()
    by_domain: bool = False
    on: Kind = "traces"
    runs: int | None = None
    simulation: Simulation = Simulation()
    config: Path
    store: str | None = None
    out: Path | None = None
    batch: int = BATCH
    engine: EngineConfig = LOCAL


@dataclass(frozen=True, slots=True)
class Evaluated:
    """An evaluation that came to its end.

    Attributes:
        summary: as JSON.
        any_tried: whether any candidate could be tried and did not fail.
    """

    summary: str
    any_tried: bool


def evaluate_options(
    options: CandidateOptions, console: Console, *, clock: Clock, command: Sequence[str] = ()
) -> Evaluated:
    """Try every candidate, show who leads meanwhile, and print what is concluded in the end.

    Args:
        options: what is tried.
        console: where to.
        clock: time.
        command: as typed, to say how to go on after an interruption.

    Raises:
        ConfigError: nothing to try, or a folder of another evaluation.
        UnknownRecommendation: there is none of those digits.
    """
    settings = load_settings(options.config)
    plan = asyncio.run(_plan(options, settings))
    document = plan.document()
    folder = CandidateFolder.opened(options.out or OUT / digest_of(document), document)
    plan = asyncio.run(_with_runs(plan, folder.path, options, settings, clock))
    if folder.done and isinstance(plan.traffic, RecordedTraffic):
        console.print(_on_kept(plan.traffic.runs, folder.path, clock.wall_s()), style="yellow")
    for one in plan.refused:
        console.print(f"{one.name} cannot be tried: {one.reason}", style="yellow")
    standings = _standings(plan, folder, options.engine, console, command)
    summary = json.dumps(summary_of(plan, standings), indent=2) + "\n"
    folder.finish(summary)
    print_standings(standings, options.on, console)
    console.print(f"\nevery figure: {folder.path / SUMMARY}")
    any_tried = any(one.standing not in ("failed", "invalid") for one in standings.verdicts)
    return Evaluated(summary, any_tried)


def _standings(
    plan: Plan, folder: CandidateFolder, engine: EngineConfig, console: Console, command: Sequence[str]
) -> Standings:
    """Do what is left to do; an interruption says how to go on."""
    board = Board(plan.total, console)
    try:
        with board:
            done = evaluate_candidates(plan, folder, engine=engine, on_result=board.take)
    except BaseException:
        again = shlex.join(command) or "the same command"
        console.print(
            f"cut short: {board.done} of {plan.total} jobs are kept in {folder.path}; go on with: {again}"
        )
        raise
    return standings_of(plan, done)


# What is tried ---------------------------------------------------------------------------------------------


async def _plan(options: CandidateOptions, settings: Settings) -> Plan:
    is_named = options.files or options.grid
    needs_store = options.recommendations or not is_named or settings.online.enabled
    place = StorePlace(config=options.config, store=options.store)
    found: list[Candidate | Refused] = [one for path in options.files for one in from_file(path)]
    serving = None
    if needs_store:
        async with place.opened() as store:
            serving = await serving_policy(settings, store)
            if options.recommendations:
                found = [*await recommended(options.recommendations, graph_of(store)), *found]
            elif not is_named:
                found = await latest_options(graph_of(store))
    baseline = setup_of(settings, serving)
    candidates, refused = parted(found)
    domains = ("", *DOMAINS) if options.by_domain else ("",)
    candidates += grid_of(options.grid, baseline.actions, domains=domains)
    traffic = _traffic(options, settings, baseline)
    return Plan.of(candidates, traffic, refused=refused, batch=options.batch)


def _traffic(
    options: CandidateOptions, settings: Settings, baseline: Setup
) -> RecordedTraffic | SimulatedTraffic:
    if options.on == "simulated":
        return SimulatedTraffic(baseline=baseline, scenario=_scenario(options.simulation))
    return RecordedTraffic(
        baseline=baseline,
        keys=SolvedKeys(settings.feedback.solved_keys),
        config=AnalysisConfig(margin=settings.advisor.margin),
        asked={
            "store": digest_of(options.store or settings.traces.url),
            "runs": options.runs or settings.advisor.last,
            "days": settings.advisor.days,
        },
    )


def _scenario(simulation: Simulation) -> Scenario:
    models = models_of_fleet("reference")
    return Scenario(
        profiles=models.profiles,
        parameters=models.parameters,
        items=generate_items(max(ASKED_FIRST, simulation.questions), ITEMS_SEED),
        training_items=(),
        questions=simulation.questions,
        rates_per_min=simulation.rates_per_min,
        seeds=tuple(range(simulation.seeds)),
    )


# Recorded runs ---------------------------------------------------------------------------------------------


async def _with_runs(
    plan: Plan, folder: Path, options: CandidateOptions, settings: Settings, clock: Clock
) -> Plan:
    """The plan with the runs that are kept in the folder, or else with the latest ones, which are kept there."""
    if not isinstance(plan.traffic, RecordedTraffic):
        return plan
    runs = read_runs(folder)
    if runs is None:
        since_s = clock.wall_s() - settings.advisor.window_s
        async with StorePlace(config=options.config, store=options.store).opened() as store:
            most = options.runs or settings.advisor.last
            runs = tuple(await latest_runs(store, since_s=since_s, most=most))
        if not runs:
            fix = f"there are none of the last {settings.advisor.days:g} days: use --on simulated"
            raise ConfigError("runs", 0, fix)
        keep_runs(folder, runs)
    return replace(plan, traffic=plan.traffic.with_runs(runs))


def _on_kept(runs: Sequence[Trajectory], folder: Path, now_s: float) -> str:
    """That results are of runs that were kept, which a person may not expect a week later."""
    newest = ago(max(run.arrived_at_s for run in runs), now_s)
    return (
        f"goes on in {folder} with the {len(runs):,} runs that it began with, the newest {newest}: "
        "give another folder by --out to look at later ones"
    )
