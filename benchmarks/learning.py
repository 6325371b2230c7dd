"""Trains ours and the published design from nothing, once per seed, and judges them with every rival in one run.

    python benchmarks/learning.py --out runs/learning --json

Training questions are learned from, others are asked; both are generated, and neither was used to choose any
constant. Whatever was trained before in ``--out`` is not trained again, so that an interrupted run goes on.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _common import Bench, arguments
from rich.console import Console

from inframind.arena.engines import EngineConfig
from inframind.arena.evaluation import evaluate
from inframind.arena.report.page import write_report
from inframind.arena.report.text import print_summary
from inframind.arena.results.archive import write_evaluation
from inframind.arena.results.figures import Estimates, Judgement
from inframind.arena.results.judgement import judge
from inframind.arena.scenario import Scenario, models_of_fleet
from inframind.arena.training.assembly import TrainingPlan, virtual_training
from inframind.arena.training.curriculum import Curriculum
from inframind.arena.training.run_folder import SUMMARY, RunFolder
from inframind.router.learning.threads import use_one_thread
from inframind.simulator.items import generate_items

ITEMS_SEED = 20_261_121
ASKED, LEARNED_FROM = 500, 519
BLIND = "masrouter"
"""The fixed-prompt, load-blind baseline: the published mix of topologies and models, undegraded prompts."""
RIVALS = (
    BLIND,
    "best-constant",
    "fixed:IO/1/qwen2.5-coder-14b/Plain",
    "fixed:IO/1/llama-3.1-8b/Plain",
    "mixture:0.25",
    "mixture:0.5",
    "mixture:0.75",
    "just-enough",
    "knn",
    "knn-on-time",
    "knn-on-time-warm",
    "oracle",
)
MIXTURES = tuple(name for name in RIVALS if name.startswith("mixture"))
LEARNERS = ("learned", "published")


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How much is done."""

    seeds: int
    epochs: int
    questions: int
    rates_per_min: tuple[float, ...]


FULL = Scale(seeds=5, epochs=30, questions=300, rates_per_min=(10.0, 30.0, 50.0, 100.0, 150.0, 200.0, 300.0))
QUICK = Scale(seeds=2, epochs=2, questions=40, rates_per_min=(30.0, 300.0))


def scenario_of(scale: Scale) -> Scenario:
    models = models_of_fleet("reference")
    items = generate_items(ASKED + LEARNED_FROM, ITEMS_SEED)
    return Scenario(
        profiles=models.profiles,
        parameters=models.parameters,
        items=items[:ASKED],
        training_items=items[ASKED:],
        questions=scale.questions,
        rates_per_min=scale.rates_per_min,
        seeds=tuple(range(scale.seeds)),
    )


def train_one(scale: Scale, learner: str, seed: int, folder: Path) -> int:
    """Train unless it is done; number of workflow runs."""
    use_one_thread()
    plan = TrainingPlan(learner=learner, curriculum=Curriculum(epochs=scale.epochs), seed=seed)
    if not (folder / SUMMARY).exists():
        training = virtual_training(scenario_of(scale), plan)
        config = {"learner": learner, "seed": seed, "epochs": scale.epochs}
        run = (
            RunFolder.resume(folder) if (folder / "config.json").exists() else RunFolder.begin(folder, config)
        )
        for _ in run.train(training, {**config, "scenario": "reference"}):
            pass
    return plan.curriculum.runs


def train_all(scale: Scale, out: Path, workers: int, console: Console) -> int:
    """Every learner at every seed, as many at once as there are workers; runs of the longest training."""
    jobs = [
        (scale, learner, seed, out / learner / f"seed-{seed}")
        for learner in LEARNERS
        for seed in range(scale.seeds)
    ]
    most = 0
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting = {pool.submit(train_one, *job): job for job in jobs}
        for done in as_completed(waiting):
            _, learner, seed, folder = waiting[done]
            most = max(most, done.result())
            console.print(f"trained {learner}, seed {seed}: {folder}")
    return most


def per_seed(estimates: Estimates, place: int) -> np.ndarray:
    return estimates.per_seed_CS[place]


def interval(values: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """Mean and half-width of the 95 % t-interval over seeds."""
    t_975 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}.get(len(values), 1.96)
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return float(np.mean(values)), t_975 * spread / float(np.sqrt(len(values)))


class Verdict:
    """Figures of one contender against others."""

    def __init__(self, judgement: Judgement, ours: str, bench: Bench) -> None:
        self._judgement, self._bench = judgement, bench
        self._place = {_short(name): place for place, name in enumerate(judgement.columns.contenders)}
        self._ours = self._place[_short(ours)]

    def say(self) -> None:
        for name in self._place:
            self._figure(name)
        self._lead(BLIND, 8.0)
        self._lead("published", 5.0)
        for name in ("just-enough", "knn", "knn-on-time", "best-constant"):
            self._lead(name, 3.0)
            self._never_below(name)
        for name in MIXTURES:
            self._lead(name, 0.0)
        self._lead("hidden-load", 3.0)
        self._lead_of_warm_neighbours()
        self._share_of_oracle()
        self._fronts()
        self._deadlines()
        self._accuracy_by_tier()

    def _success(self, name: str) -> np.ndarray:
        return 100 * per_seed(self._judgement.overall.on_time_success, self._place[name])

    def _ours_success(self) -> np.ndarray:
        return 100 * per_seed(self._judgement.overall.on_time_success, self._ours)

    def _figure(self, name: str) -> None:
        mean, half = interval(self._success(name))
        by_rate = [
            f"{100 * group.on_time_success.value_C[self._place[name]]:.1f}"
            for group in self._judgement.by_rate
        ]
        self._bench.add_figure(f"on_time/{name}", mean, "%", f"±{half:.1f}; by rate {' '.join(by_rate)}")

    def _lead(self, name: str, limit: float) -> None:
        mean, half = interval(self._ours_success() - self._success(name))
        self._bench.add_bar(f"lead/{name}", mean, limit, f"points ±{half:.1f}", direction="at least")

    def _never_below(self, name: str) -> None:
        leads = [
            100
            * (group.on_time_success.value_C[self._ours] - group.on_time_success.value_C[self._place[name]])
            for group in self._judgement.by_rate
        ]
        self._bench.add_bar(
            f"least_lead_at_a_rate/{name}", float(min(leads)), 0.0, "points", direction="at least"
        )

    def _lead_of_warm_neighbours(self) -> None:
        mean, half = interval(self._ours_success() - self._success("knn-on-time-warm"))
        self._bench.add_figure(
            "lead/knn-on-time-warm", mean, f"points ±{half:.1f}", "given our latency model"
        )

    def _share_of_oracle(self) -> None:
        mean, _ = interval(self._ours_success() / self._success("oracle"))
        self._bench.add_bar("share_of_oracle", mean, 0.92, direction="at least")

    def _fronts(self) -> None:
        fronts, rivals = self._judgement.fronts, self._rivals()
        dominated = 0
        for tier in range(1, fronts.latency_s_CRT.shape[2]):
            latency_s, accuracy = fronts.latency_s_CRT[:, 0, tier], fronts.accuracy_CRT[:, 0, tier]
            mine = latency_s[self._ours], accuracy[self._ours]
            dominated += any(latency_s[c] <= mine[0] and accuracy[c] >= mine[1] for c in rivals)
        self._bench.add_bar("tiers_where_dominated", float(dominated), 0.0)
        volume = self._judgement.overall.hypervolume.value_C
        best = max(float(volume[c]) for c in rivals)
        self._bench.add_bar(
            "hypervolume_over_best_rival", float(volume[self._ours]) / best, 1.15, direction="at least"
        )

    def _rivals(self) -> list[int]:
        return [place for name, place in self._place.items() if place != self._ours and name != "oracle"]

    def _deadlines(self) -> None:
        overall, by_rate, by_tier = (
            self._judgement.overall,
            self._judgement.by_rate[-1],
            self._judgement.by_tier[0],
        )
        for title, group, limit in (
            ("overall", overall, 96.0),
            ("at_300_per_min", by_rate, 93.0),
            ("shortest_tier", by_tier, 85.0),
        ):
            mean, half = interval(100 * per_seed(group.slo_attainment, self._ours))
            self._bench.add_bar(f"slo/{title}", mean, limit, f"% ±{half:.1f}", direction="at least")
        if overall.idle is not None:
            self._bench.add_figure("idle_slots_while_queueing", 100 * overall.idle.value_C[self._ours], "%")

    def _accuracy_by_tier(self) -> None:
        for title, group, share in (
            ("longest_tier", self._judgement.by_tier[-1], 1.0),
            ("shortest_tier", self._judgement.by_tier[0], 0.8),
        ):
            accuracy = group.accuracy.value_C
            self._bench.add_bar(
                f"accuracy_over_baseline/{title}",
                float(accuracy[self._ours] / accuracy[self._place[BLIND]]),
                share,
                note_of(group.tier),
                direction="at least",
            )


def note_of(tier: str | None) -> str:
    return f"budget {tier}"


def _short(name: str) -> str:
    """Without the folder."""
    if name.startswith("hidden-load:"):
        return "hidden-load"
    return name.rpartition("/")[2] if name.startswith("trained:") else name


def contenders(out: Path) -> Iterator[str]:
    for learner in LEARNERS:
        yield f"trained:{out / learner}"
    yield f"hidden-load:{out / 'learned'}"
    yield from RIVALS


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/learning"), help="folder of trainings and results"
    )
    parser.add_argument("--workers", type=int, default=2, help="processes (default 2)")
    options = parser.parse_args()
    scale, console = (QUICK if options.quick else FULL), Console(stderr=True)
    bench = Bench(title="Learning, from nothing, against every rival", packages=("torch", "numpy"))
    bench.add_bar("workflow_runs", train_all(scale, options.out, options.workers, console), 10_000)
    evaluation = evaluate(
        scenario_of(scale),
        tuple(contenders(options.out)),
        engine=EngineConfig(workers=options.workers),
        on_run=lambda run: console.print(f"{run.contender[-24:]} seed {run.seed} {run.rate_per_min:g}/min"),
    )
    judgement = judge(evaluation)
    print_summary(console, evaluation, judgement=judgement)
    write_evaluation(evaluation, options.out / "evaluation", judgement=judgement)
    write_report(evaluation, options.out / "report.html", judgement=judgement)
    Verdict(judgement, f"trained:{options.out / 'learned'}", bench).say()
    bench.print(as_json=options.json)


if __name__ == "__main__":
    main()
