"""What a quality predictor with a favourite does to a policy that learns from its imputed labels.

    python benchmarks/imputation.py --seeds 3 --json

One run in ten has a label, by a hash of its question. The predictor ranks answers well (AUC 0.90), and overrates one
model by 2.2 logits. Short trainings from nothing, on the same questions, arrivals and budgets: with all labels; with
the tenth alone; with the tenth and labels imputed as `calibrate_imputer` allows, by a predictor that is fair and by
the one that is not; and with the raw scores for labels. No single calls are graded beforehand: all that is known of
the models is what their configuration says, or with ``--from-nothing`` not even that, so that any favourite can be
believed in. The predictor that is fair tells what is the overrating's doing from what is the lack of labels'.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from _common import Bench, arguments
from learning import interval
from rich.console import Console
from rich.table import Table

from inframind.arena.evaluation import Stage
from inframind.arena.grading import RememberingGrader
from inframind.arena.scenario import Scenario, models_of_fleet
from inframind.arena.training.assembly import DECIDE, TrainingPlan, training_on
from inframind.arena.training.curriculum import Curriculum, Sweep
from inframind.arena.training.environment import PlayedSweep, VirtualEnvironment
from inframind.router.learning.config import LearnerConfig
from inframind.router.learning.imputation import DriftConfig
from inframind.router.learning.imputing import ImputingConfig, calibrate_imputer
from inframind.router.learning.quality import BEST_SCORE, Response
from inframind.router.learning.quality_samples import final_response
from inframind.router.learning.threads import use_one_thread
from inframind.router.policy_learned import Valuation
from inframind.router.query_model import QueryModel
from inframind.simulator.items import Item, generate_items
from inframind.traces.records import Trajectory

ITEMS_SEED = 20_261_204
ASKED, LEARNED_FROM = 300, 500
SEED = 700
"""First of the seeds of trainings."""
FAVOURITE, OVERRATED_BY = "llama-3.2-3b", 2.2
SEPARATION = 1.812
"""Standard deviations between scores of right and of wrong answers: an AUC of 0.90."""
IMPUTING = ImputingConfig(drift=DriftConfig(fewest=15))
"""About 130 labels in all: half of them check, and fifteen make a group."""


UNPRIMED = LearnerConfig(valuation=Valuation(uses_prior=False))
"""Ours, but nothing is known beforehand: a model's configured quality would speak against a small favourite."""
LEAST_SHARE = 2.5
"""Percent of steps: who has less has hardly any share to multiply, and is held against this."""


@dataclass(frozen=True, kw_only=True)
class Arm:
    """How a training is told what was right."""

    has_all: bool = False
    """Labels for every run."""
    guesses: Literal["none", "calibrated", "raw"] = "none"
    """What stands in where there is no label."""
    overrated_by: float = OVERRATED_BY
    """Logits by which the predictor overrates its favourite."""


ARMS = {
    "all labels": Arm(has_all=True),
    "10 %": Arm(),
    "10 % + calibrated, fair": Arm(guesses="calibrated", overrated_by=0.0),
    "10 % + calibrated": Arm(guesses="calibrated"),
    "10 % + raw": Arm(guesses="raw"),
}


@dataclass(frozen=True, kw_only=True)
class Scale:
    epochs: int
    questions: int
    favourite: str = FAVOURITE
    rates_per_min: tuple[float, ...] = (30.0, 100.0, 300.0)


FULL = Scale(epochs=4, questions=100)
QUICK = Scale(epochs=1, questions=30)


class Favouring:
    """Scores by whether an answer is right, blurred, and in favour of one model. Equal answers score alike."""

    def __init__(self, items: Sequence[Item], favourite: str, overrated_by: float) -> None:
        self._items, self._grader = {item.question: item for item in items}, RememberingGrader()
        self._favourite, self._overrated_by = favourite, overrated_by

    def scores(self, responses: Sequence[Response]) -> np.ndarray:
        logits = np.array([self._logit(response) for response in responses], dtype=np.float64)
        return BEST_SCORE / (1 + np.exp(-logits))

    def _logit(self, response: Response) -> float:
        right = self._grader.is_right(response.text, self._items[response.question])
        blur = np.random.default_rng(zlib.crc32(f"{response.question}|{response.text}".encode())).normal()
        bias = self._overrated_by * (response.model == self._favourite)
        return float(SEPARATION * (SEPARATION * (right - 0.5) + blur) + bias)


class Labels:
    """What one training is told: labels as they come, and guesses once they are believed."""

    def __init__(self, arm: Arm, scorer: Favouring) -> None:
        self._arm, self._scorer = arm, scorer
        self._graded: list[Trajectory] = []
        self._waiting: list[Trajectory] = []
        self.solved: dict[str, bool] = {}
        self.guesses: dict[str, float] = {}

    def add(self, played: PlayedSweep) -> tuple[list[Trajectory], dict[str, float]]:
        """Runs to learn from now, with guesses for those of them that have no label."""
        for run in played.trajectories:
            is_graded = self._arm.has_all or has_label(run)
            (self._graded if is_graded else self._waiting).append(run)
            if is_graded:
                self.solved[run.trace_id] = played.solved[run.trace_id]
        guesses = self._guesses()
        waited = [run for run in self._waiting if run.trace_id in guesses]
        self._waiting = [run for run in self._waiting if run.trace_id not in guesses]
        self.guesses |= guesses
        new = [run for run in played.trajectories if run.trace_id in self.solved]
        return [*waited, *new], guesses

    def _guesses(self) -> Mapping[str, float]:
        if self._arm.guesses == "calibrated":
            imputer = calibrate_imputer(self._scorer, self._graded, self.solved, IMPUTING)
            return imputer.impute(self._waiting).solved
        return self._raw() if self._arm.guesses == "raw" else {}

    def _raw(self) -> dict[str, float]:
        answers = {run.trace_id: final_response(run) for run in self._waiting}
        found = {key: answer for key, answer in answers.items() if answer is not None}
        scores = self._scorer.scores(list(found.values())) / BEST_SCORE
        return dict.fromkeys(answers, 0.0) | dict(zip(found, scores.tolist(), strict=True))


def has_label(run: Trajectory) -> bool:
    return zlib.crc32(f"label {run.question}".encode()) % 10 == 0


def scenario() -> Scenario:
    models = models_of_fleet("reference")
    items = generate_items(ASKED + LEARNED_FROM, ITEMS_SEED)
    return Scenario(
        profiles=models.profiles,
        parameters=models.parameters,
        items=items[:ASKED],
        training_items=items[ASKED:],
    )


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one training came to: of the serving policy, and of what its critics were told of the favourite."""

    share: float
    on_time: float
    n_labels: int
    n_guesses: int
    guessed: float | None
    truth: float | None


def run_one(world: Scenario, arm: Arm, config: LearnerConfig, scale: Scale, seed: int) -> Result:
    curriculum = Curriculum(epochs=scale.epochs)
    plan = TrainingPlan(config=config, curriculum=curriculum, seed=seed)
    environment = VirtualEnvironment(world, DECIDE)
    actions = Stage.of(world).setting(seed).actions
    trainer = training_on(environment, actions, QueryModel(), plan).trainer
    learner, latency = trainer.learner, trainer.latency
    labels, truth = (
        Labels(arm, Favouring(world.training_items, scale.favourite, arm.overrated_by)),
        _Truth(scale.favourite),
    )
    for epoch in range(curriculum.epochs):
        progress = curriculum.progress(epoch)
        for sweep in curriculum.sweeps(epoch, seed):
            played = environment.play(learner.behaviour(progress), sweep, latency)
            runs, guesses = labels.add(played)
            truth.add(played)
            learner.learn(runs, labels.solved, progress, imputed=guesses)
        learner.end_epoch()
    # The other half of the questions is asked of the policy that serves.
    asked = VirtualEnvironment(replace(world, items=world.training_items, training_items=world.items), DECIDE)
    served = [
        asked.play(learner.serving(), Sweep(rate_per_min=rate, questions=scale.questions, seed=seed), latency)
        for rate in scale.rates_per_min
    ]
    guessed, true = truth.of_favourite(labels.guesses)
    return Result(
        share=share_of(scale.favourite, served),
        on_time=float(np.mean([e.solved and e.status == "ok" for one in served for e in one.episodes])),
        n_labels=len(labels.solved),
        n_guesses=len(labels.guesses),
        guessed=guessed,
        truth=true,
    )


class _Truth:
    """Whether each answer of the favourite was right."""

    def __init__(self, favourite: str) -> None:
        self._favourite = favourite
        self._solved: dict[str, bool] = {}

    def add(self, played: PlayedSweep) -> None:
        for run in played.trajectories:
            final = final_response(run)
            if final is not None and final.model == self._favourite:
                self._solved[run.trace_id] = played.solved[run.trace_id]

    def of_favourite(self, guesses: Mapping[str, float]) -> tuple[float | None, float | None]:
        """Mean guess of its answers, and the share of the same answers that was right; None where none was guessed."""
        both = [(guesses[key], solved) for key, solved in self._solved.items() if key in guesses]
        return (
            (float(np.mean([g for g, _ in both])), float(np.mean([s for _, s in both])))
            if both
            else (None, None)
        )


def share_of(model: str, served: Sequence[PlayedSweep]) -> float:
    """Of all steps."""
    models = [step.model for one in served for run in one.trajectories for step in run.steps]
    return models.count(model) / len(models)


def show(results: Mapping[str, Sequence[Result]], favourite: str, console: Console) -> None:
    table = Table("labels", f"{favourite}: steps", "on-time success", "labels", "guesses", "its answers, as guessed",
                  "as they were")  # fmt: skip
    for name, runs in results.items():
        share, on_time = (_interval_of(runs, value) for value in (_share, _on_time))
        counts = (np.mean([getattr(run, column) for run in runs]) for column in ("n_labels", "n_guesses"))
        guessed = [run for run in runs if run.truth is not None]
        means = (100 * np.mean([getattr(run, column) for run in guessed]) for column in ("guessed", "truth"))
        table.add_row(
            name,
            *(f"{mean:.1f} % ±{half:.1f}" for mean, half in (share, on_time)),
            *(f"{count:.0f}" for count in counts),
            *((f"{mean:.0f} %" for mean in means) if guessed else ()),
        )
    console.print(table)


def report(results: Mapping[str, Sequence[Result]], favourite: str, bench: Bench) -> None:
    shares = {}
    for name, runs in results.items():
        shares[name], half = _interval_of(runs, _share)
        bench.add_figure(f"{favourite}, {name}", shares[name], f"% of steps ±{half:.1f}")
        on_time, half = _interval_of(runs, _on_time)
        bench.add_figure(f"on time, {name}", on_time, f"% ±{half:.1f}")
    for other in ("all labels", "10 % + calibrated, fair"):
        least = max(shares[other], LEAST_SHARE)
        bench.add_bar(f"calibrated over {other}", shares["10 % + calibrated"] / least, 2.0, "x its share")
        bench.add_figure(f"raw over {other}", shares["10 % + raw"] / least, "x its share")


def _interval_of(runs: Sequence[Result], value: Callable[[Result], float]) -> tuple[float, float]:
    return interval([100 * value(run) for run in runs])


def _share(run: Result) -> float:
    return run.share


def _on_time(run: Result) -> float:
    return run.on_time


def main() -> None:
    parser = arguments(__doc__ or "", seed=SEED)
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each kind (default 3)")
    parser.add_argument("--epochs", type=int, default=FULL.epochs, help="of 330 workflows each (default 4)")
    parser.add_argument("--favourite", default=FAVOURITE, help=f"whom it overrates (default {FAVOURITE})")
    parser.add_argument("--from-nothing", action="store_true", help="forget what is configured of the models")
    options = parser.parse_args()
    full = replace(FULL, epochs=options.epochs, favourite=options.favourite)
    scale, seeds = (
        (replace(QUICK, favourite=options.favourite), 1) if options.quick else (full, options.seeds)
    )
    use_one_thread()
    console, world = Console(stderr=True, width=150), scenario()
    config = UNPRIMED if options.from_nothing else LearnerConfig()
    results: dict[str, list[Result]] = {name: [] for name in ARMS}
    for seed in range(options.seed, options.seed + seeds):
        for name, arm in ARMS.items():
            results[name].append(run_one(world, arm, config, scale, seed))
            console.print(f"seed {seed}, {name}: {results[name][-1]}")
    show(results, scale.favourite, console)
    bench = Bench(
        title="Imputed labels and an overrating predictor", packages=("torch", "numpy"), seed=options.seed
    )
    report(results, scale.favourite, bench)
    bench.print(as_json=options.json)


if __name__ == "__main__":
    main()
