"""``inframind train``: a policy learns to route, on a simulated fleet in virtual time or on a real one."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.text import Text

from inframind.arena.engines import LOCAL, Engine, EngineConfig
from inframind.arena.extras import load_extra
from inframind.arena.scenario import Scenario
from inframind.arena.training.assembly import DECIDE, Training, TrainingPlan, training_on, virtual_training
from inframind.arena.training.curriculum import Sweep
from inframind.arena.training.environment import Environment, PlayedSweep
from inframind.arena.training.figures import EpochFigures
from inframind.arena.training.fleet_environment import FleetEnvironment, FleetTraffic
from inframind.arena.training.report import write_training_report
from inframind.arena.training.rollouts import InTurn, Rollouts, SideBySide
from inframind.arena.training.run_folder import CURVES, RunFolder
from inframind.errors import ConfigError
from inframind.graphs.assembly import Parts
from inframind.graphs.registry import TopologyRegistry
from inframind.plugin.build import parts_of
from inframind.plugin.commands.demo_board import typed_command
from inframind.plugin.commands.evaluate import EvaluateOptions, Questions, scenario_of
from inframind.plugin.commands.train_board import TrainBoard, epochs_table
from inframind.plugin.commands.train_options import TrainOptions
from inframind.plugin.config import load_settings
from inframind.plugin.terminal import percent
from inframind.router.latency import LatencyModel
from inframind.router.learning.threads import use_one_thread
from inframind.router.policy import Policy
from inframind.router.query_model import QueryModel


def train(options: TrainOptions, console: Console) -> RunFolder:
    """Train from nothing into a new run folder, and show how it goes.

    Raises:
        ConfigError: an option is wrong, or the folder holds a training.
    """
    fleet = _fleet_of(options)
    folder = RunFolder.begin(options.out, options.document(fleet.facts))
    return _train(folder, options, fleet, console)


def resume(out: Path, console: Console, engine: EngineConfig = LOCAL) -> RunFolder:
    """Go on with a training that did not come to its end.

    Raises:
        ConfigError: there is none, it is finished, or what it was made from has changed since.
    """
    folder = RunFolder.resume(out)
    options = TrainOptions.from_document(folder.config, out, engine)
    fleet = _fleet_of(options)
    _require_same(folder, options.document(fleet.facts))
    return _train(folder, options, fleet, console)


def _require_same(folder: RunFolder, document: Mapping[str, object]) -> None:
    for name, now in document.items():
        if name != "version" and folder.config.get(name) != now:
            fix = "it is not what it was when this training began: start anew in another folder"
            raise ConfigError(f"resume.{name}", str(folder.path), fix)


def _train(folder: RunFolder, options: TrainOptions, fleet: _Fleet, console: Console) -> RunFolder:
    load_extra("plotly.offline")
    use_one_thread()
    with options.engine.open(options.sweeps_at_once) as engine:
        return _train_on(engine, folder, options, fleet, console)


def _train_on(
    engine: Engine, folder: RunFolder, options: TrainOptions, fleet: _Fleet, console: Console
) -> RunFolder:
    board = TrainBoard(options.plan().curriculum.runs, console)

    def rollouts(environment: Environment) -> Rollouts:
        if options.sweeps_at_once == 1:
            return InTurn(_Watched(environment, board))
        return SideBySide(environment, engine, options.sweeps_at_once, on_played=board.take_sweep)

    with console.status("asking every model every training question once ..."):
        training = fleet.training(rollouts)
    folder.restore(training)
    history = training.trainer.history
    board.go_on(history)
    if history:
        console.print(f"going on after epoch {len(history)}")
    try:
        with board:
            for figures in folder.train(training, {"learner": options.learner, **fleet.facts}):
                board.take_epoch(figures)
    except KeyboardInterrupt:
        _say_how_to_go_on(folder, training.trainer.history, console)
        raise
    _publish(folder, options, training.trainer.history, console)
    return folder


def _say_how_to_go_on(folder: RunFolder, history: Sequence[EpochFigures], console: Console) -> None:
    console.print(f"stopped after epoch {len(history)}; what was learned until then is kept. To go on:")
    console.print(Text(f"  {typed_command()} train --resume --out {folder.path}", "bold"))


def _publish(
    folder: RunFolder, options: TrainOptions, history: Sequence[EpochFigures], console: Console
) -> None:
    facts = {
        **{key: _text(value) for key, value in folder.config["facts"].items()},
        **{
            key: _text(value)
            for key, value in folder.config["options"].items()
            if value not in (None, [], {})
        },
        "version": folder.config["version"],
    }
    name = options.reward if options.learner == "learned" else options.learner
    write_training_report({name: [history]}, folder.report, facts=facts)
    best = max(history, key=lambda one: one.smoothed)
    console.print()
    console.print(epochs_table([best, history[-1]] if history[-1] is not best else [best]))
    console.print(
        Text(
            f"kept: epoch {best.epoch + 1} of {len(history)}, {percent(best.smoothed)} on time over the latest "
            "epochs, while it explored"
        )
    )
    console.print(Text(f"\npolicy: {folder.policy}\ncurves: {folder.path / CURVES}\nreport: {folder.report}"))
    if options.config is None:
        console.print(Text("try next:"))
        console.print(Text(f"  {_evaluation(folder, options)}", "bold"))


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _evaluation(folder: RunFolder, options: TrainOptions) -> str:
    """The command that judges the policy beside others, on questions that it did not learn from."""
    words = [
        typed_command(),
        "evaluate",
        "-c",
        f"trained:{folder.path},knn-on-time,just-enough,best-constant",
    ]
    if options.fleet != TrainOptions.fleet:
        words += ["--fleet", options.fleet]
    if options.items_file is not None:
        words += ["--items", str(options.items_file)]
    return shlex.join([*words, "--quick"])


# Where it trains -------------------------------------------------------------------------------------------


class _Fleet(Protocol):
    """Where a training plays its sweeps."""

    @property
    def facts(self) -> Mapping[str, object]:
        """What must be the same for a training to go on."""
        ...

    def training(self, rollouts: Callable[[Environment], Rollouts]) -> Training:
        """The trainer, and what makes its latency models."""
        ...


def _fleet_of(options: TrainOptions) -> _Fleet:
    given = EvaluateOptions(
        contenders=(),
        fleet=options.fleet,
        items_file=options.items_file,
        arrivals=options.arrivals,
        budgets=options.budgets,
    )
    questions = Questions.of(given)
    if options.config is None:
        return _SimulatedFleet(scenario_of(given, questions), options.plan())
    traffic = FleetTraffic(items=questions.training, arrivals=options.arrivals, budgets=options.budgets)
    parts = replace(parts_of(load_settings(options.config), TopologyRegistry()), decide=DECIDE)
    return _RealFleet(parts, traffic, options.plan())


@dataclass(frozen=True)
class _SimulatedFleet:
    scenario: Scenario
    plan: TrainingPlan

    @property
    def facts(self) -> Mapping[str, object]:
        models = [profile.name for profile in self.scenario.profiles]
        return {"models": models, "training_questions": len(self.scenario.training_items)}

    def training(self, rollouts: Callable[[Environment], Rollouts]) -> Training:
        return virtual_training(self.scenario, self.plan, rollouts=rollouts)


@dataclass(frozen=True)
class _RealFleet:
    parts: Parts
    traffic: FleetTraffic
    plan: TrainingPlan

    @property
    def facts(self) -> Mapping[str, object]:
        models = [endpoint.model for endpoint in self.parts.endpoints]
        return {"models": models, "training_questions": len(self.traffic.items)}

    def training(self, rollouts: Callable[[Environment], Rollouts]) -> Training:
        environment = FleetEnvironment(self.parts, self.traffic)
        return training_on(environment, environment.actions, QueryModel(), self.plan, rollouts=rollouts)


@dataclass(frozen=True)
class _Watched:
    """An environment whose sweeps the board counts."""

    environment: Environment
    board: TrainBoard

    def play(self, policy: Policy, sweep: Sweep, latency: LatencyModel) -> PlayedSweep:
        played = self.environment.play(policy, sweep, latency)
        self.board.take_sweep(played)
        return played
