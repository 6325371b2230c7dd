"""Collapse and cure: the first design's rewards, then one change after another, to see what each mends.

    python benchmarks/collapse.py --out runs/collapse --json

Every rung keeps the changes of those before it. The first rung is the first design: ``additive`` reward, a planner
that sees the question alone, a head that knows actions by name only, no undegraded prompt, constant entropy.
A quarter of the workflows of a full training, in as many epochs (thirty). What is trained already is not trained again.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from _common import Bench, arguments
from learning import QUICK, Scale, interval, scenario_of
from rich.console import Console
from rich.table import Table

from inframind.arena.engines import EngineConfig
from inframind.arena.evaluation import Stage, evaluate
from inframind.arena.results.judgement import judge
from inframind.arena.training.assembly import TrainingPlan, virtual_training
from inframind.arena.training.curriculum import QUESTIONS_BY_RATE, Curriculum
from inframind.arena.training.figures import EpochFigures
from inframind.arena.training.report import write_training_report
from inframind.arena.training.run_folder import SUMMARY, RunFolder, read_history
from inframind.arena.training.trainer import SelectionConfig
from inframind.rewards.advantage import AdvantageConfig
from inframind.rewards.registry import RewardConfig
from inframind.router.features import Sight
from inframind.router.learning.config import LearnerConfig
from inframind.router.learning.threads import use_one_thread
from inframind.router.losses import EntropySchedule
from inframind.router.policy_learned import Valuation

FULL = Scale(seeds=5, epochs=30, questions=100, rates_per_min=(30.0, 100.0, 300.0))
NO_STOP = SelectionConfig(window=1, patience=1_000)
"""The whole way, whatever happens: a collapse is what is looked for."""

_SEED = LearnerConfig(
    reward=RewardConfig(name="additive"),
    sight=Sight(planner_sees_load=False),
    reads_candidates=False,
    valuation=Valuation(uses_critic=False, uses_prior=False, price=0.0, caution=0.0),
    advantage=AdvantageConfig(baseline="value", standardisation="batch"),
    entropy=EntropySchedule(start=0.1, end=0.1, floor=0.1),
    excluded_strategies=frozenset({"Plain"}),
    actor_rate=1e-3,
    actor_decay=0.0,
)


LADDER = 8
"""Rungs that lead from the first design to ours; what follows takes one thing away from ours."""


def rungs(most: int = 99) -> Mapping[str, LearnerConfig]:
    """What is trained, by what was changed last."""
    signed = replace(_SEED, reward=RewardConfig(name="signed"))
    on_time = replace(_SEED, reward=RewardConfig(name="on_time"))
    described = replace(on_time, reads_candidates=True)
    aware = replace(described, sight=Sight())
    plain = replace(aware, excluded_strategies=frozenset())
    ours = LearnerConfig()
    unprimed = replace(ours, valuation=replace(ours.valuation, uses_prior=False))
    every = {
        "additive": _SEED,
        "signed: order of the reward": signed,
        "on_time: chance constraint": on_time,
        "+ actions described": described,
        "+ planner sees load": aware,
        "+ Plain": plain,
        "+ critic as baseline and worth": unprimed,
        "+ prior = ours": ours,
        "ours, no price": replace(ours, valuation=replace(ours.valuation, price=0.0)),
        "ours, load hidden": replace(ours, sight=Sight(sees_load=False)),
        "ours, no Plain": replace(ours, excluded_strategies=frozenset({"Plain"})),
    }
    return dict(list(every.items())[:most])


@cache
def _stage(scale: Scale) -> Stage:
    """Single calls are recorded once per process."""
    return Stage.of(scenario_of(scale))


def train_one(scale: Scale, place: int, seed: int, folder: Path) -> None:
    use_one_thread()
    if (folder / SUMMARY).exists():
        return
    few = {rate: max(5, questions // 4) for rate, questions in QUESTIONS_BY_RATE.items()}
    plan = TrainingPlan(
        config=list(rungs().values())[place],
        curriculum=Curriculum(epochs=scale.epochs, questions_by_rate=few),
        selection=NO_STOP,
        seed=seed,
    )
    config = {"rung": list(rungs())[place], "seed": seed}
    run = RunFolder.resume(folder) if (folder / "config.json").exists() else RunFolder.begin(folder, config)
    stage = _stage(scale)
    for _ in run.train(virtual_training(stage.scenario, plan, stage=stage), config):
        pass
    (folder / "last.safetensors").replace(folder / "policy.safetensors")  # the end is judged, not the best


def folder_of(out: Path, place: int) -> Path:
    return out / f"rung-{place}"


def train_all(scale: Scale, out: Path, workers: int, most: int, console: Console) -> None:
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting = {
            pool.submit(train_one, scale, place, seed, folder_of(out, place) / f"seed-{seed}"): (place, seed)
            for seed in range(scale.seeds)
            for place in range(len(rungs(most)))
        }
        for done in as_completed(waiting):
            done.result()
            place, seed = waiting[done]
            console.print(f"trained {list(rungs())[place]}, seed {seed}")


def show_mixes(histories: Mapping[str, list[list[EpochFigures]]], console: Console) -> None:
    """How each rung began and ended, while it explored."""
    table = Table("rung", "on time", "accuracy", "SLO", "largest model", "DeepThink", "IO + CoT", "calls")
    for name, runs in histories.items():
        ends = [
            (np.mean([_row(run[0]) for run in runs], axis=0)),
            np.mean([_row(run[-1]) for run in runs], axis=0),
        ]
        table.add_row(name, *(f"{100 * a:.0f} > {100 * b:.0f} %" for a, b in list(zip(*ends, strict=True))[:-1]),
                      f"{ends[0][-1]:.1f} > {ends[1][-1]:.1f}")  # fmt: skip
    console.print(table)


def _row(figures: EpochFigures) -> list[float]:
    return [
        figures.on_time_success,
        figures.accuracy,
        figures.slo_attainment,
        figures.models.get("deepseek-r1-32b", 0.0),
        figures.strategies.get("DeepThink", 0.0),
        figures.topologies.get("IO", 0.0) + figures.topologies.get("CoT", 0.0),
        figures.calls,
    ]


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/collapse"), help="folder of trainings and report"
    )
    parser.add_argument("--workers", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--seeds", type=int, default=FULL.seeds, help="trainings per rung (default 5)")
    parser.add_argument(
        "--rungs", type=int, default=99, help=f"the first so many; the ladder alone is {LADDER}"
    )
    options = parser.parse_args()
    scale = QUICK if options.quick else replace(FULL, seeds=options.seeds)
    console = Console(stderr=True, width=150)
    train_all(scale, options.out, options.workers, options.rungs, console)
    histories = {
        name: [read_history(folder_of(options.out, place) / f"seed-{seed}") for seed in range(scale.seeds)]
        for place, name in enumerate(rungs(options.rungs))
    }
    show_mixes(histories, console)
    write_training_report(
        histories,
        options.out / "report.html",
    )
    names = [f"trained:{folder_of(options.out, place)}" for place in range(len(rungs(options.rungs)))]
    judgement = judge(evaluate(scenario_of(scale), names, engine=EngineConfig(workers=options.workers)))
    bench = Bench(title="Collapse and cure", packages=("torch", "numpy"))
    for place, name in enumerate(rungs(options.rungs)):
        seat = judgement.columns.contenders.index(names[place])
        mean, half = interval(100 * judgement.overall.on_time_success.per_seed_CS[seat])
        slo, _ = interval(100 * judgement.overall.slo_attainment.per_seed_CS[seat])
        accuracy, _ = interval(100 * judgement.overall.accuracy.per_seed_CS[seat])
        bench.add_figure(name, mean, f"% ±{half:.1f}", f"SLO {slo:.0f} %, accuracy {accuracy:.0f} %")
    bench.print(as_json=options.json)


if __name__ == "__main__":
    main()
