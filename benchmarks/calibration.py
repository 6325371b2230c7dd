"""How well the calibrated fleet reproduces published runs of three systems that it was, and was not, fitted to.

Every row of the table is replayed with the same arrivals and mixes, and several seeds. Fitted to MATH; GSM-Hard and
HumanEval are the check.

    python benchmarks/calibration.py --results results.csv [--benchmarks math,gsm_hard,humaneval] [--seeds N]
    python benchmarks/calibration.py --results results.csv --fit 600
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _calibration_fit import search
from _common import Bench, arguments
from rich.console import Console
from rich.table import Table

from inframind.arena.calibration.answers import Answering, pair
from inframind.arena.calibration.replay import (
    Episode,
    SizedWorkflow,
    Summary,
    draw_workflows,
    replay_workflows,
    summarise,
)
from inframind.arena.calibration.rows import PublishedRow, load_published
from inframind.simulator.benchmarks import BENCHMARKS, benchmark_items
from inframind.simulator.outcome_parameters import OutcomeParameters
from inframind.simulator.outcomes import LatentDifficultyModel
from inframind.simulator.prompt_reading import AnswerKey
from inframind.simulator.reference import load_reference

FITTED = "math"
NEAR = {True: 0.15, False: 0.25}
"""Largest relative error of a mean that counts as reproduced, on what the fleet was fitted to (True) and elsewhere."""

SHARE_OF_ROWS = 0.8
ACCURACY_POINTS = 4.0
_WIDTH = 132


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """One row beside its replays."""

    row: PublishedRow
    predicted: Summary
    accuracy: float

    @property
    def error(self) -> float:
        return self.predicted.mean_s / self.row.mean_s - 1

    @property
    def points_off(self) -> float:
        return 100 * (self.accuracy - self.row.accuracy)

    @property
    def is_near(self) -> bool:
        return abs(self.error) <= NEAR[self.row.benchmark == FITTED]


def predict(row: PublishedRow, seeds: Sequence[int]) -> Prediction:
    runs, accuracies = [], []
    for seed in seeds:
        workflows = draw_workflows(row, load_reference(), seed)
        runs.append(replay_workflows(row, load_reference(), workflows))
        accuracies.append(run_accuracy(row, workflows, runs[-1], seed))
    return Prediction(row=row, predicted=summarise(runs), accuracy=float(np.mean(accuracies)))


def run_accuracy(
    row: PublishedRow, workflows: Sequence[SizedWorkflow], run: Sequence[Episode], seed: int
) -> float:
    """Share of right answers in one replay, with questions of the row's benchmark."""
    fleet, parameters, rng = load_reference(), OutcomeParameters(), np.random.default_rng(seed)
    items = pair(workflows, benchmark_items(row.benchmark, len(run), seed), fleet)
    model = LatentDifficultyModel(AnswerKey(items), parameters)
    answering = Answering(model=model, parameters=parameters, fleet=fleet)
    solved = [
        answering.is_solved(workflow, episode.answered, item, rng)
        for workflow, episode, item in zip(workflows, run, items, strict=True)
    ]
    return float(np.mean(solved))


def report(bench: Bench, predictions: Sequence[Prediction]) -> None:
    for prediction in predictions:
        row, predicted = prediction.row, prediction.predicted
        bench.add_figure(f"{row.name}_mean_s", predicted.mean_s, "s", f"published {row.mean_s:.1f}")
        bench.add_figure(f"{row.name}_error", prediction.error)
        bench.add_figure(f"{row.name}_accuracy", prediction.accuracy, "", f"published {row.accuracy:.3f}")
    fitted = [prediction for prediction in predictions if prediction.row.benchmark == FITTED]
    held_out = [prediction for prediction in predictions if prediction.row.benchmark != FITTED]
    for name, part in (("fitted_rows_within_15_percent", fitted), ("other_rows_within_25_percent", held_out)):
        if part:
            near = float(np.mean([prediction.is_near for prediction in part]))
            bench.add_bar(name, near, SHARE_OF_ROWS, "share", direction="at least")
    report_accuracy(bench, predictions)


def report_accuracy(bench: Bench, predictions: Sequence[Prediction]) -> None:
    """By row, and by system and benchmark: load moves no accuracy, so that rates can be averaged over."""
    points_off: dict[str, list[float]] = defaultdict(list)
    for prediction in predictions:
        points_off[prediction.row.name.rpartition("_")[0]].append(prediction.points_off)
    rows = [abs(points) <= ACCURACY_POINTS for group in points_off.values() for points in group]
    bench.add_figure("rows_within_4_points_of_accuracy", float(np.mean(rows)), "share")
    for name, group in points_off.items():
        bench.add_figure(f"{name}_accuracy_off", float(np.mean(group)), "points", "mean over rates")
    close = [abs(np.mean(group)) <= ACCURACY_POINTS for group in points_off.values()]
    bench.add_bar(
        "systems_within_4_points_of_accuracy",
        float(np.mean(close)),
        SHARE_OF_ROWS,
        "share",
        direction="at least",
    )


def table(predictions: Sequence[Prediction]) -> Table:
    """Every row: published and predicted latencies, errors in percent, accuracies in percent."""
    columns = ("row", "mean s", "sim", "error", "median s", "sim", "p95 s", "sim", "accuracy", "sim", "near")
    shown = Table(*columns, title="Published and replayed", title_justify="left")
    for prediction in predictions:
        row, predicted = prediction.row, prediction.predicted
        shown.add_row(
            row.name,
            f"{row.mean_s:.0f}",
            f"{predicted.mean_s:.0f}",
            f"{100 * prediction.error:+.0f} %",
            *(f"{side.percentiles_s[p]:.0f}" for p in (50, 95) for side in (row, predicted)),
            f"{100 * row.accuracy:.1f}",
            f"{100 * prediction.accuracy:.1f}",
            "yes" if prediction.is_near else "[bold red]NO[/]",
        )
    return shown


def fit(rows: Sequence[PublishedRow], *, seed: int, duration_s: float) -> None:
    """Print the start and every improvement of the fitted numbers."""
    for found, knobs in search(load_reference(), rows, seed=seed, duration_s=duration_s):
        print(
            f"loss {found:.4f}", ", ".join(f"{name} {value:.4g}" for name, value in knobs.items()), flush=True
        )


def main() -> None:
    """Replay and report, or fit."""
    parser = arguments((__doc__ or "").splitlines()[0])
    parser.add_argument("--results", type=Path, required=True, help="the table of published results (CSV)")
    parser.add_argument("--benchmarks", default=",".join(BENCHMARKS), help="comma-separated names")
    parser.add_argument("--seeds", type=int, default=5, help="replays per row (default 5; 1 with --quick)")
    parser.add_argument(
        "--fit", type=float, metavar="SECONDS", help="fit to the MATH rows for so long instead"
    )
    options = parser.parse_args()
    rows = load_published(options.results)
    if options.fit is not None:
        fit(rows, seed=options.seed, duration_s=options.fit)
        return
    seeds = range(options.seed, options.seed + (1 if options.quick else options.seeds))
    wanted = options.benchmarks.split(",")
    predictions = [predict(row, seeds) for row in rows if row.benchmark in wanted]
    Console(width=_WIDTH).print(table(predictions))
    bench = Bench(
        title="Published runs, replayed on the calibrated fleet", packages=("numpy",), seed=options.seed
    )
    report(bench, predictions)
    bench.print(as_json=options.json)


if __name__ == "__main__":
    main()
