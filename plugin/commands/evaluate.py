"""``inframind evaluate``: contenders side by side, on a simulated fleet in virtual time."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from inframind import __version__
from inframind.arena.contenders.registry import DEFAULT_CONTENDERS, check_names, describe_contenders
from inframind.arena.engines import LOCAL, EngineConfig
from inframind.arena.evaluation import evaluate, n_runs, named_contenders
from inframind.arena.extras import load_extra
from inframind.arena.mix_text import schedule_from
from inframind.arena.report.page import write_report
from inframind.arena.report.tables import counted
from inframind.arena.report.text import print_summary, shortened
from inframind.arena.results.archive import read_evaluation, summary_json, write_evaluation
from inframind.arena.results.episodes import summarise
from inframind.arena.results.judgement import judge
from inframind.arena.results.tables import Evaluation, Fact, Run, finished_runs
from inframind.arena.scenario import FLEETS, RATES_PER_MIN, Scenario, SchedulingPolicy, models_of_fleet
from inframind.errors import ConfigError
from inframind.plugin.terminal import counted_progress
from inframind.simulator.items import Item, generate_items, load_items

SEEDS = 5
REPORT = "report.html"
DEFAULT_OUT = Path(".out/evaluation")
ITEMS_SEED = 20_261_121
"""Of generated questions: the same in every evaluation, so that results compare."""
ASKED_FIRST, RESERVED = 500, 1_000
"""Questions that are asked, and those after them that are only ever learned from, by the shipped policy too; whoever
asks for more gets them from beyond."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How much is run.

    Raises:
        ConfigError: nothing of something.
    """

    rates_per_min: tuple[float, ...] = RATES_PER_MIN
    """Mean arrivals a minute."""
    seeds: int = SEEDS
    """Number of seeds."""
    questions: int = 500
    """Questions per run, as in the published runs."""

    def __post_init__(self) -> None:
        for name in ("seeds", "questions"):
            if getattr(self, name) < 1:
                raise ConfigError(name, getattr(self, name), "give at least 1")

    def with_given(self, rates_per_min: tuple[float, ...], seeds: int | None, questions: int | None) -> Scale:
        """This scale, but for what is given."""
        return Scale(
            rates_per_min=rates_per_min or self.rates_per_min,
            seeds=seeds or self.seeds,
            questions=questions or self.questions,
        )


FULL = Scale()
QUICK = Scale(rates_per_min=(30.0, 100.0, 300.0), seeds=2, questions=100)


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """What is evaluated.

    Raises:
        ConfigError: an option is wrong.
    """

    contenders: tuple[str, ...] = DEFAULT_CONTENDERS
    """Who takes part."""
    fleet: str = "reference"
    """``reference`` (calibrated on published runs) or ``h100`` (published step times)."""
    scale: Scale = FULL
    """How much is run."""
    training_questions: int = 300
    """Questions that contenders may learn from; a file is split in half."""
    items_file: Path | None = None
    """JSONL file of questions; None generates them."""
    arrivals: str = "poisson"
    """As for `arena.workload.arrivals_from`."""
    budgets: str = "loguniform:5,300"
    """As for `arena.workload.budgets_from`."""
    mix: str = ""
    """As for `arena.mix_text.schedule_from`."""
    shifts: tuple[str, ...] = ()
    """As for `arena.mix_text.schedule_from`."""
    replicas: int = 1
    """Servers per model."""
    scheduling: SchedulingPolicy = "priority"
    """How servers order their queues."""
    engine: EngineConfig = LOCAL
    """Where runs are played."""
    out: Path = DEFAULT_OUT
    """Folder of the results."""
    command: str = ""
    """As typed, for the report."""

    def __post_init__(self) -> None:
        if self.fleet not in FLEETS:
            raise ConfigError("fleet", self.fleet, f"use one of: {', '.join(FLEETS)}")
        if self.training_questions < 1:
            raise ConfigError("training_questions", self.training_questions, "give at least 1")
        check_names(self.contenders)


def run_evaluation(options: EvaluateOptions, console: Console) -> bytes:
    """Run the arena, print the table, and write results and report.

    When it is interrupted, or a run goes wrong, what all contenders have been through is written before the error
    goes on.

    Returns:
        The summary as JSON.
    """
    for library in ("pyarrow", "plotly"):
        load_extra(library)
    questions = Questions.of(options)
    scenario = scenario_of(options, questions)
    options = replace(options, contenders=named_contenders(options.contenders, scenario))
    make_folder(options.out)
    if questions.dropped:
        console.print(f"{options.items_file}: {counted(questions.dropped, 'repeated question')} dropped")
    facts = _facts(options, scenario)
    board = _Board(n_runs(scenario, options.contenders), console)
    evaluation: Evaluation | None = None
    try:
        with board:
            evaluation = evaluate(
                scenario, options.contenders, on_run=board.take, engine=options.engine, facts=facts
            )
    finally:
        if evaluation is None and board.runs:
            _rescue(board.runs, options, facts, console)
    return _publish(evaluation, options.out, console)


def show_evaluation(folder: Path, console: Console) -> bytes:
    """Print the table of a finished evaluation, and render its report anew.

    Returns:
        The summary as JSON.

    Raises:
        ConfigError: the folder does not hold one.
    """
    evaluation = read_evaluation(folder)
    judgement = judge(evaluation)
    print_summary(console, evaluation, judgement=judgement)
    write_report(evaluation, folder / REPORT, judgement=judgement)
    console.print(f"\nreport: {folder / REPORT}")
    return summary_json(evaluation, judgement)


def _rescue(
    runs: Sequence[Run], options: EvaluateOptions, facts: Mapping[str, Fact], console: Console
) -> None:
    """Write the workloads that are done, and say how many these are."""
    kept = finished_runs(runs, len(options.contenders))
    total = len(options.scale.rates_per_min) * options.scale.seeds
    share = f"{len(kept) // len(options.contenders)} of {total} workloads (seed and rate)"
    if not kept:
        console.print(f"cut short: {share} done, nothing was written")
        return
    console.print(f"cut short: {share} done, these are judged and written")
    _publish(Evaluation(runs=kept, facts={**facts, "cut short": share}), options.out, console)


def _publish(evaluation: Evaluation, folder: Path, console: Console) -> bytes:
    """Print the table, write results and report, and return the summary as JSON."""
    judgement = judge(evaluation)
    print_summary(console, evaluation, judgement=judgement)
    write_evaluation(evaluation, folder, judgement=judgement)
    report = folder / REPORT
    write_report(evaluation, report, judgement=judgement)
    console.print(f"\nreport: {report}\ntables: {folder}/*.parquet, every figure: {folder}/summary.json")
    return summary_json(evaluation, judgement)


@dataclass(frozen=True, kw_only=True)
class Questions:
    """What is asked, and what is learned from.

    Attributes:
        asked: in runs.
        training: before them.
        dropped: items of the file that ask what an earlier one does.
    """

    asked: tuple[Item, ...]
    training: tuple[Item, ...]
    dropped: int = 0

    @classmethod
    def of(cls, options: EvaluateOptions) -> Questions:
        """Those of the file, or generated ones.

        Raises:
            ConfigError, InvalidItems: the file is wrong.
        """
        if options.items_file is not None:
            return cls.from_file(options.items_file)
        n_training = max(options.training_questions, RESERVED)
        n_more = max(options.scale.questions - ASKED_FIRST, 0)
        items = generate_items(ASKED_FIRST + n_training + n_more, ITEMS_SEED)
        training = items[ASKED_FIRST : ASKED_FIRST + n_training]
        return cls(
            asked=items[:ASKED_FIRST] + items[ASKED_FIRST + n_training :],
            training=training[: options.training_questions],
        )

    @classmethod
    def from_file(cls, path: Path) -> Questions:
        """Each question once, since none may be both learned from and asked; every other one is learned from."""
        items = load_items(path)
        first: dict[str, Item] = {}
        for item in items:
            first.setdefault(item.question, item)
        kept = tuple(first.values())
        if len(kept) < 2:
            raise ConfigError(
                "items", str(path), "give at least two different questions: one to learn from, one to ask"
            )
        return cls(asked=kept[1::2], training=kept[::2], dropped=len(items) - len(kept))


def scenario_of(options: EvaluateOptions, questions: Questions) -> Scenario:
    """The scenario that the options describe.

    Raises:
        ConfigError: an option is wrong.
    """
    models = models_of_fleet(options.fleet)
    scenario = Scenario(
        profiles=models.profiles,
        parameters=models.parameters,
        items=questions.asked,
        training_items=questions.training,
        questions=options.scale.questions,
        rates_per_min=options.scale.rates_per_min,
        seeds=tuple(range(options.scale.seeds)),
        arrivals=options.arrivals,
        budgets=options.budgets,
        mix=schedule_from(options.mix, options.shifts),
        replicas=options.replicas,
        scheduling_policy=options.scheduling,
    )
    scenario.workload(
        scenario.seeds[0], scenario.rates_per_min[0]
    )  # a mix that the questions lack says so now
    return scenario


def _facts(options: EvaluateOptions, scenario: Scenario) -> dict[str, Fact]:
    return {
        "command": options.command,
        "fleet": f"{options.fleet}: {', '.join(profile.name for profile in scenario.profiles)}",
        "questions": f"{len(scenario.items)}, of which {scenario.questions} are asked in a run",
        "training questions": len(scenario.training_items),
        "arrivals": options.arrivals,
        "mix": ", then ".join([options.mix or "as it comes", *options.shifts]),
        "budgets": options.budgets,
        "scheduling": options.scheduling,
        "seeds": options.scale.seeds,
        "version": __version__,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
    }


def make_folder(out: Path) -> None:
    """Make the folder of the results before they are worked out.

    Raises:
        ConfigError: it cannot be made.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError("out", str(out), f"cannot be made: {error.strerror}") from error


class _Board:
    """A progress bar that also says what the latest run came to.

    Attributes:
        runs: those that are done.
    """

    def __init__(self, total: int, console: Console) -> None:
        self.runs: list[Run] = []
        self._progress = counted_progress(console)
        self._task = self._progress.add_task("recording training answers", total=total)

    def __enter__(self) -> _Board:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def take(self, run: Run) -> None:
        """Count a run."""
        self.runs.append(run)
        share = summarise(run.episodes).on_time_success.value
        text = f"{shortened(run.contender, 24):24} {run.rate_per_min:g}/min: {share:.0%} on time"
        self._progress.update(self._task, advance=1, description=text)


def rates_from(texts: Sequence[str]) -> tuple[float, ...]:
    """Rates as written on the command line, separated by commas or given several times; empty for none.

    Raises:
        ConfigError: something that is not a number.
    """
    cells = [cell for text in texts for cell in text.split(",") if cell.strip()]
    try:
        return tuple(float(cell) for cell in cells)
    except ValueError:
        raise ConfigError("rates", ", ".join(texts), "give numbers, such as 10,100,300") from None


def names_from(texts: Sequence[str]) -> tuple[str, ...]:
    """Names of contenders as written on the command line; the default ones when none is written."""
    return (
        tuple(cell.strip() for text in texts for cell in text.split(",") if cell.strip())
        or DEFAULT_CONTENDERS
    )


def print_contenders(console: Console) -> None:
    """Who can take part."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, summary in describe_contenders().items():
        table.add_row(Text(name, "bold"), summary)
    console.print(table)
    console.print(f"\nby default: {', '.join(DEFAULT_CONTENDERS)}")
