"""Rounds that are worth their calls: Debate and Reflection with fixed rounds, with a rule, and with a learned pacer.

Every pacer meets the same questions, arrivals and replies on the simulated fleet, with teams of three on one model and
a budget that nobody exceeds. The learned ones are trained on other questions, whose rounds were tossed: ``learned``
runs at most the two rounds that it is compared with, ``extended`` may run a third. Accuracy is compared question by
question.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from _common import Bench, arguments, percentile

from inframind.arena.grading import RememberingGrader
from inframind.arena.results.episodes import Z95, Episode
from inframind.arena.scenario import Scenario, models_of_fleet
from inframind.arena.virtual_run import VirtualRun, run_virtually
from inframind.graphs.registry import TopologyRegistry
from inframind.router.actions import ExecutorAction, PlannerAction
from inframind.router.learning.pacing import PacerConfig, train_pacer
from inframind.router.learning.pacing_samples import PacingSamples
from inframind.router.pacer import LearnedPacer, PacedPolicy, Pacer, PacerOf
from inframind.router.policy import JustEnoughPolicy, UniformPolicy
from inframind.router.policy_fixed import Arm, FixedPolicy
from inframind.router.views import PaceView, Query
from inframind.simulator.items import generate_items, load_items
from inframind.traces.records import Outcome, Trajectory

TOPOLOGIES = ("Debate", "Reflection")
TEAM = 3
FIXED, RULE, LEARNED, EXTENDED = "fixed", "rule", "learned", "extended"
LIMITS = {LEARNED: 2, EXTENDED: None}
"""Most rounds of each learned pacer; None is the topology's own limit."""
DEFAULTS = PacerConfig()
BUDGETS = "fixed:3600"
TRAINING_QUESTIONS, TRAINING_SEEDS, QUICK_TRAINING_SEEDS = 200, 10, 4
FIRST_TRAINING_SEED = 1_000
LEAST_SAVED, MOST_LOST = 0.25, 0.01
PROPOSALS, MOST_US = 2_000, 20.0


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What every pacer meets."""

    scenario: Scenario
    model: str
    rate_per_min: float
    grader: RememberingGrader

    def run(self, topology: str, pacer: Pacer, seed: int, team: int = TEAM) -> VirtualRun:
        arm = Arm(PlannerAction(topology, team), ExecutorAction(self.model, "Plain"))
        policy = PacedPolicy(FixedPolicy(arm), pacer)
        return run_virtually(
            self.scenario, policy, seed=seed, rate_per_min=self.rate_per_min, grader=self.grader
        )


@dataclass(frozen=True, kw_only=True)
class Paired:
    """Episodes of one pacer on one topology, in the same order for every pacer: seeds, then arrivals."""

    episodes: Sequence[Episode]

    @property
    def calls(self) -> float:
        return float(np.mean([len(episode.calls) for episode in self.episodes]))

    @property
    def accuracy(self) -> float:
        return float(self.solved.mean())

    @property
    def latency_s(self) -> float:
        return float(np.mean([episode.latency_s for episode in self.episodes]))

    @property
    def late(self) -> int:
        return sum(not episode.is_on_time for episode in self.episodes)

    @property
    def solved(self) -> np.ndarray:
        return np.array([float(episode.solved) for episode in self.episodes])

    def saved(self, other: Paired) -> float:
        """Share of the other's calls that this one does without."""
        return 1 - self.calls / other.calls

    def gain(self, other: Paired) -> tuple[float, float]:
        """Mean difference in accuracy, and half its 95 % interval over pairs of seed and question."""
        gains = self.solved - other.solved
        return float(gains.mean()), Z95 * float(gains.std(ddof=1)) / len(gains) ** 0.5

    def half_over_questions(self, other: Paired) -> float:
        """The same half interval if the questions, too, are a sample: clusters of a question's repetitions."""
        gains = self.solved - other.solved
        _, question = np.unique([episode.item_id for episode in self.episodes], return_inverse=True)
        sums = np.bincount(question, gains - gains.mean())
        groups = len(sums)
        return Z95 * float((sums**2).sum() * groups / (groups - 1)) ** 0.5 / len(gains)


def tossed_rounds(setting: Setting, seeds: Sequence[int], teams: Sequence[int] = (TEAM,)) -> PacingSamples:
    """Decisions in which a coin chose between STAY and ADVANCE, on the training questions."""
    coin = PacerOf(UniformPolicy())
    trajectories = [
        judged_trajectory(ran.trajectories[episode.trace_id], episode)
        for topology in TOPOLOGIES
        for team in teams
        for seed in seeds
        for ran in (setting.run(topology, coin, seed, team),)
        for episode in ran.episodes
    ]
    return PacingSamples.of(trajectories)


def judged_trajectory(trajectory: Trajectory, episode: Episode) -> Trajectory:
    """With its verdict as an outcome: runs of one seed share their trace ids."""
    verdict = Outcome(
        feedback_id="grader",
        key="solved",
        score=float(episode.solved),
        source="grader:math",
        recorded_at_s=0.0,
    )
    return replace(trajectory, outcomes=(verdict,))


def judge(
    setting: Setting, pacers: Mapping[str, Pacer], seeds: Sequence[int]
) -> dict[tuple[str, str], Paired]:
    """Episodes by topology and pacer."""
    found: dict[tuple[str, str], list[Episode]] = {}
    for topology, name, seed in _runs(pacers, seeds):
        ran = setting.run(topology, pacers[name], seed)
        found.setdefault((topology, name), []).extend(ran.episodes)
    return {key: Paired(episodes=tuple(episodes)) for key, episodes in found.items()}


def _runs(pacers: Mapping[str, Pacer], seeds: Sequence[int]) -> Iterator[tuple[str, str, int]]:
    for topology in TOPOLOGIES:
        for seed in seeds:
            for name in pacers:
                yield topology, name, seed


def report(bench: Bench, found: Mapping[tuple[str, str], Paired]) -> None:
    for (topology, name), paired in found.items():
        stem = f"{topology}_{name}".lower()
        bench.add_figure(f"{stem}_calls", paired.calls, "calls a question")
        bench.add_figure(f"{stem}_accuracy", paired.accuracy, "share", f"of {len(paired.episodes)}")
        bench.add_figure(f"{stem}_latency_mean_s", paired.latency_s, "s", f"late: {paired.late}")
        if name != FIXED:
            _compare(bench, stem, paired, found[topology, FIXED], is_promised=name == LEARNED)


def _compare(bench: Bench, stem: str, paired: Paired, fixed: Paired, *, is_promised: bool) -> None:
    gain, half = paired.gain(fixed)
    wide = paired.half_over_questions(fixed)
    note = f"95 % interval {gain - half:+.4f} to {gain + half:+.4f}; questions as a sample too: -+{wide:.4f}"
    bench.add_figure(f"{stem}_accuracy_gain", gain, "share", note)
    saved, least = f"{stem}_calls_saved", f"{stem}_accuracy_gain_low"
    if not is_promised:
        bench.add_figure(saved, paired.saved(fixed), "share")
        bench.add_figure(least, gain - half, "share")
        return
    bench.add_bar(saved, paired.saved(fixed), LEAST_SAVED, "share", direction="at least")
    bench.add_bar(least, gain - half, -MOST_LOST, "share", direction="at least")


def propose_us(pacer: LearnedPacer, setting: Setting) -> float:
    """Median microseconds of a proposal."""
    view = PaceView(
        query=Query(text=setting.scenario.items[0].question, domain="math"),
        topology=TopologyRegistry().specs["Debate"],
        round=1,
        rounds_left=2,
        agreement=2 / 3,
        stagnation=0.0,
        budget_s=60.0,
        remaining_s=40.0,
        round_q90_s=10.0,
        allowed=np.ones(2, dtype=np.bool_),
        team_size=TEAM,
    )
    spent_us = []
    for _ in range(PROPOSALS):
        began_ns = time.perf_counter_ns()
        pacer.propose(view)
        spent_us.append((time.perf_counter_ns() - began_ns) / 1000)
    return percentile(spent_us, 50)


def setting_of(options: argparse.Namespace) -> tuple[Setting, Setting]:
    """For training, and for judging."""
    models = models_of_fleet("reference")
    folder: Path | None = options.items
    if folder:
        training, asked = load_items(folder / "train.jsonl"), load_items(folder / "validation.jsonl")
    else:
        items = generate_items(650, options.seed)
        training, asked = items[:519], items[519:]
    scenario = Scenario(
        profiles=models.profiles,
        parameters=models.parameters,
        items=asked,
        training_items=training,
        questions=len(asked),
        budgets=BUDGETS,
    )
    judged = Setting(
        scenario=scenario, model=options.model, rate_per_min=options.rate, grader=RememberingGrader()
    )
    rehearsal = replace(
        scenario, items=training, training_items=(), questions=min(TRAINING_QUESTIONS, len(training))
    )
    return replace(judged, scenario=rehearsal), judged


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument(
        "--items", type=Path, help="folder of train.jsonl and validation.jsonl; default: generated"
    )
    parser.add_argument("--seeds", type=int, default=40, help="runs of every pacer (default 40)")
    parser.add_argument(
        "--model", default="qwen2.5-coder-14b", help="of every call (default qwen2.5-coder-14b)"
    )
    parser.add_argument("--rate", type=float, default=10.0, help="arrivals a minute (default 10)")
    parser.add_argument("--method", default=DEFAULTS.method, help=f"of training (default {DEFAULTS.method})")
    parser.add_argument(
        "--call-price",
        type=float,
        default=DEFAULTS.call_price,
        help=f"in solved questions (default {DEFAULTS.call_price})",
    )
    options = parser.parse_args()
    training, judged = setting_of(options)
    config = PacerConfig(method=options.method, call_price=options.call_price, seed=options.seed)
    n_training = QUICK_TRAINING_SEEDS if options.quick else TRAINING_SEEDS
    samples = tossed_rounds(training, range(FIRST_TRAINING_SEED, FIRST_TRAINING_SEED + n_training))
    trained = {name: train_pacer(samples, replace(config, max_rounds=most)) for name, most in LIMITS.items()}
    pacers: dict[str, Pacer] = {
        FIXED: PacerOf(
            FixedPolicy(Arm(PlannerAction("Debate", TEAM), ExecutorAction(options.model, "Plain")))
        ),
        RULE: PacerOf(JustEnoughPolicy()),
        **{name: replace(one.pacer, greedy=True) for name, one in trained.items()},
    }
    bench = Bench(title="Rounds that are worth their calls", packages=("numpy", "torch"), seed=options.seed)
    runs = len(TOPOLOGIES) * n_training * training.scenario.questions
    bench.add_figure("training_decisions", len(samples), note=f"in {runs} runs")
    for name, one in trained.items():
        bench.add_figure(f"{name}_stay_share_in_training", one.stay_share, "share")
    report(bench, judge(judged, pacers, range(3 if options.quick else options.seeds)))
    bench.add_bar("propose_p50_us", propose_us(trained[LEARNED].pacer, judged), MOST_US, "us")
    bench.print(as_json=options.json)


if __name__ == "__main__":
    main()
