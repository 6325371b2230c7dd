"""Baselines, standardisations and shares of credit: what each does to what is learned, one changed at a time.

    python benchmarks/credit.py --out runs/credit --json

The default learner and others that differ from it by one option, each trained on a quarter of the workflows of a full
training, as in ``collapse.py``, and asked other questions. Leave-one-out and shrinkage compare runs of one question,
and the questions of a sweep differ: they are trained on sweeps that ask a quarter as many questions four times each,
beside the default on the same sweeps, which they are compared with. What is trained already is not trained again.

Credit along the critical path (`inframind.rewards.credit.latency_credit`) is not here: learners are not told how long
each step took.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from _common import Bench, arguments
from collapse import NO_STOP
from learning import Scale, interval, scenario_of
from rich.console import Console

from inframind.arena.engines import EngineConfig
from inframind.arena.evaluation import Stage, evaluate
from inframind.arena.results.figures import Judgement
from inframind.arena.results.judgement import judge
from inframind.arena.results.tables import Evaluation
from inframind.arena.scenario import Scenario
from inframind.arena.training.assembly import DECIDE, TrainingPlan, virtual_training
from inframind.arena.training.curriculum import QUESTIONS_BY_RATE, Curriculum, Sweep
from inframind.arena.training.environment import PlayedSweep, VirtualEnvironment
from inframind.arena.training.run_folder import SUMMARY, RunFolder
from inframind.router.latency import LatencyModel
from inframind.router.learning.config import LearnerConfig
from inframind.router.learning.threads import use_one_thread
from inframind.router.policy import Policy

FULL = Scale(seeds=3, epochs=30, questions=100, rates_per_min=(30.0, 100.0, 300.0))
SHORT = Scale(seeds=1, epochs=2, questions=40, rates_per_min=(30.0, 300.0))
TIMES = 4
"""How often a question is asked in a sweep that repeats its questions."""
DEFAULT, REPEATED = "default", "default, questions repeated"


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One kind of training.

    Attributes:
        config: of the learner.
        reference: the arm that it differs from by one option.
    """

    config: LearnerConfig = field(default_factory=LearnerConfig)
    reference: str = DEFAULT

    @property
    def repeats(self) -> bool:
        """Whether sweeps ask each of their questions several times."""
        return self.reference == REPEATED


def with_advantage(**values: Any) -> LearnerConfig:
    """The default with another baseline or standardisation."""
    ours = LearnerConfig()
    return replace(ours, advantage=replace(ours.advantage, **values))


ARMS: Mapping[str, Arm] = {
    DEFAULT: Arm(),
    "value baseline": Arm(config=with_advantage(baseline="value")),
    "potential shaping": Arm(config=replace(LearnerConfig(), credit="potential")),
    "not standardised": Arm(config=with_advantage(standardisation="none")),
    "standardised by mean and spread": Arm(config=with_advantage(standardisation="batch")),
    "centred": Arm(config=with_advantage(standardisation="centre")),
    REPEATED: Arm(reference=REPEATED),
    "leave-one-out": Arm(config=with_advantage(baseline="leave_one_out"), reference=REPEATED),
    "shrinkage": Arm(config=with_advantage(baseline="shrinkage"), reference=REPEATED),
}


class RepeatedQuestions:
    """Sweeps as long as any, over few questions of their own, each asked several times.

    Args:
        scenario: what is asked; its training questions are.
    """

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario

    def play(self, policy: Policy, sweep: Sweep, latency: LatencyModel) -> PlayedSweep:
        """Let a policy answer a sweep."""
        items = self._scenario.training_items
        few = np.random.default_rng(sweep.seed).choice(
            len(items), size=-(-sweep.questions // TIMES), replace=False
        )
        asked = replace(self._scenario, training_items=tuple(items[place] for place in few.tolist()))
        return VirtualEnvironment(asked, DECIDE).play(policy, sweep, latency)


@cache
def _stage(scale: Scale) -> Stage:
    """Single calls are recorded once per process."""
    return Stage.of(scenario_of(scale))


def train_one(scale: Scale, name: str, seed: int, folder: Path) -> None:
    """Train unless it is done."""
    use_one_thread()
    if (folder / SUMMARY).exists():
        return
    arm, stage = ARMS[name], _stage(scale)
    quarter = {rate: max(5, questions // 4) for rate, questions in QUESTIONS_BY_RATE.items()}
    plan = TrainingPlan(
        config=arm.config,
        curriculum=Curriculum(epochs=scale.epochs, questions_by_rate=quarter),
        selection=NO_STOP,
        seed=seed,
    )
    training = virtual_training(
        stage.scenario,
        plan,
        stage=stage,
        watched=lambda played: RepeatedQuestions(stage.scenario) if arm.repeats else played,
    )
    config = {"arm": name, "seed": seed}
    run = RunFolder.resume(folder) if (folder / "config.json").exists() else RunFolder.begin(folder, config)
    for _ in run.train(training, config):
        pass
    (folder / "last.safetensors").replace(folder / "policy.safetensors")  # the end is judged, not the best


def folder_of(out: Path, name: str) -> Path:
    return out / name.replace(" ", "-").replace(",", "")


def train_all(scale: Scale, names: Sequence[str], out: Path, workers: int, console: Console) -> None:
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting = {
            pool.submit(train_one, scale, name, seed, folder_of(out, name) / f"seed-{seed}"): (name, seed)
            for seed in range(scale.seeds)
            for name in names
        }
        for done in as_completed(waiting):
            done.result()
            console.print("trained {}, seed {}".format(*waiting[done]))


def report(evaluation: Evaluation, contenders: Mapping[str, str], bench: Bench) -> None:
    """On-time success of each arm, and how far it is from its reference on the same questions."""
    references = {ARMS[name].reference for name in contenders}
    judgements = {name: judge(evaluation, baseline=contenders[name]) for name in references}
    for name in contenders:
        mean, half = interval(success_of(contenders[name], judgements[ARMS[name].reference]))
        bench.add_figure(f"on_time/{name}", mean, f"% ±{half:.1f}")
    for name in contenders:
        reference = ARMS[name].reference
        if reference != name:
            report_difference(name, contenders[name], judgements[reference], bench)


def report_difference(name: str, contender: str, judgement: Judgement, bench: Bench) -> None:
    """With the interval over seeds, and over questions, which does not see that trainings differ by chance."""
    reference = judgement.columns.contenders[judgement.baseline]
    mean, half = interval(success_of(contender, judgement) - success_of(reference, judgement))
    seat, difference = judgement.columns.contenders.index(contender), judgement.overall.difference
    low, high = 100 * difference.low_C[seat], 100 * difference.high_C[seat]
    note = f"{low:+.1f} to {high:+.1f} over questions"
    bench.add_figure(f"difference/{name}", mean, f"points ±{half:.1f}", note)


def success_of(contender: str, judgement: Judgement) -> np.ndarray:
    """Share solved in time, by seed, in percent (S)."""
    seat = judgement.columns.contenders.index(contender)
    return np.multiply(100, judgement.overall.on_time_success.per_seed_CS[seat])


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/credit"), help="folder of trainings (default runs/credit)"
    )
    parser.add_argument("--workers", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--seeds", type=int, default=FULL.seeds, help="trainings of each kind (default 3)")
    parser.add_argument(
        "--only", nargs="+", choices=list(ARMS), metavar="ARM", help="these and what they are compared with"
    )
    options = parser.parse_args()
    scale = SHORT if options.quick else replace(FULL, seeds=options.seeds)
    wanted = set(options.only or ARMS)
    wanted |= {ARMS[name].reference for name in wanted}
    names = [name for name in ARMS if name in wanted]
    train_all(scale, names, options.out, options.workers, Console(stderr=True))
    contenders = {name: f"trained:{folder_of(options.out, name)}" for name in names}
    evaluation = evaluate(
        scenario_of(scale), list(contenders.values()), engine=EngineConfig(workers=options.workers)
    )
    bench = Bench(title="Baselines, standardisations and credit", packages=("torch", "numpy"))
    report(evaluation, contenders, bench)
    bench.print(as_json=options.json)


if __name__ == "__main__":
    main()
