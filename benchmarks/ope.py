"""Off-policy evaluation where the truth is known: how often intervals hold it, and how far estimates are from it.

Three worlds. A contextual bandit of eight candidates, many times over. Tables of recorded answers, of which every
question was put to every arm, so that any policy's value is known: one policy logs, another is evaluated. And the
virtual arena: the shipped policy serves and explores, others are evaluated on its traces, and then serve themselves.

    python benchmarks/ope.py --json
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import NormalDist

import numpy as np
from _common import Bench, arguments
from numpy.typing import NDArray

from inframind.arena.evaluation import Stage
from inframind.arena.grading import RememberingGrader
from inframind.arena.replay.table import ReplayTable
from inframind.arena.scenario import Scenario, models_of_fleet
from inframind.arena.virtual_run import VirtualRun, run_virtually
from inframind.router.decide import DecideConfig
from inframind.router.latency_learned import LearnedLatencyModel
from inframind.router.learning.ridge_logistic import logistic
from inframind.router.ope.batch import LoggedDecisions
from inframind.router.ope.estimate import Estimate, NoSupport, SupportRule, difference
from inframind.router.ope.evaluation import Evaluation, OpeConfig, compare_read, evaluate_read, read_traces
from inframind.router.ope.methods import METHODS, Method, estimate
from inframind.router.ope.reward_model import RewardSamples, fitted_forwards
from inframind.router.policy import JustEnoughPolicy, Policy, UniformPolicy
from inframind.router.policy_shipped import shipped_policy
from inframind.simulator.items import generate_items

Floats = NDArray[np.float64]

TABLES = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "outcomes"
ITEMS_SEED = 20_261_122
HONEST: tuple[Method, ...] = ("ips", "snips", "dr", "switch_dr", "shrunk_dr")
"""Those whose intervals promise to cover; clipping trades that for a smaller error."""
RATE_PER_MIN = 20.0
"""Few enough that policies hardly meet each other's queues, which no estimate from traces can know of."""
MOST_ARMS = 10
"""Of a table; the logging policy goes to each of more too seldom to say anything of it in 2,000 requests."""
ANYTHING = SupportRule(least_effective_size=0, most_unsupported=1)


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How much is done."""

    runs: int
    decisions: int
    table_runs: int
    requests: int


FULL = Scale(runs=500, decisions=2000, table_runs=100, requests=800)
QUICK = Scale(runs=20, decisions=1000, table_runs=5, requests=40)


# Worlds in which one decision is made -------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class World:
    """Contexts (Q), and what each candidate (A) is worth in them; a decision is a draw of one.

    Attributes:
        logging_QA: probabilities of who serves.
        target_QA: probabilities of who is evaluated.
        chance_QA: of success.
        state_QD: what a model of the reward is shown.
    """

    logging_QA: Floats
    target_QA: Floats
    chance_QA: Floats
    state_QD: Floats

    @property
    def truth(self) -> float:
        return float((self.target_QA * self.chance_QA).sum(axis=1).mean())

    @property
    def served(self) -> float:
        return float((self.logging_QA * self.chance_QA).sum(axis=1).mean())

    def log(self, n: int, rng: np.random.Generator) -> LoggedDecisions:
        """Serve n requests, and fit a model of the reward as they come."""
        asked = rng.integers(0, len(self.chance_QA), n)
        logging = self.logging_QA[asked]
        chosen = (logging.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
        reward = (rng.random(n) < self.chance_QA[asked, chosen]).astype(np.float64)
        batch = LoggedDecisions(
            reward_N=reward,
            chosen_N=chosen,
            logging_NA=logging,
            target_NA=self.target_QA[asked],
            run_N=np.arange(n),
        )
        return replace(batch, q_NA=self._expected(batch, self.state_QD[asked]))

    def _expected(self, batch: LoggedDecisions, state_ND: Floats) -> Floats:
        n, a = batch.logging_NA.shape
        own_NAK = (np.eye(a)[None, :, :, None] * state_ND[:, None, None, :]).reshape(n, a, -1)
        return fitted_forwards(
            RewardSamples(
                guess_NA=np.zeros((n, a)),
                candidates_NAK=own_NAK,
                state_ND=state_ND,
                name_NA=np.tile(np.arange(a), (n, 1)),
                group_N=np.zeros(n, dtype=np.int64),
                chosen_N=batch.chosen_N,
                reward_N=batch.reward_N,
                run_N=batch.run_N,
            )
        )


def mixed(score: Floats, sharpness: float, floor: float) -> Floats:
    """Softmax, with a share of uniform exploration."""
    raised = np.exp(sharpness * (score - score.max(axis=1, keepdims=True)))
    return (1 - floor) * raised / raised.sum(axis=1, keepdims=True) + floor / score.shape[1]


def bandit(seed: int) -> World:
    """Eight candidates in contexts of four numbers; who serves has learned something, the other one more."""
    rng = np.random.default_rng(seed)
    context = rng.normal(size=(50_000, 4))
    taste, base = rng.normal(size=(4, 8)), rng.normal(size=8) * 0.8 + 0.9
    wrong, less_wrong = rng.normal(size=(2, 4, 8))
    return World(
        logging_QA=mixed(context @ (taste + 0.6 * wrong) + base, 1.0, 0.1),
        target_QA=mixed(context @ (taste + 0.3 * less_wrong) + base, 1.4, 0.05),
        chance_QA=logistic(1.2 * context @ taste + base),
        state_QD=context,
    )


def recorded(path: Path, seed: int) -> World:
    """Questions and the arms that answered nearly all of them; context is the question's benchmark and a noisy hint.

    The hint stands for what a router reads off a question: how many arms solve it, in a noise as large as that.
    """
    rng = np.random.default_rng(seed)
    table = ReplayTable.read(path)
    arms = np.flatnonzero(table.recorded.mean(axis=0) > 0.9)
    arms = arms[:: -(-len(arms) // MOST_ARMS)]
    rows = np.flatnonzero(table.recorded[:, arms].all(axis=1))
    quality = table.quality[np.ix_(rows, arms)]
    strata = np.unique(np.array(table.strata)[rows], return_inverse=True)[1]
    ease = quality.mean(axis=1)
    hint = (ease - ease.mean()) / max(ease.std(), 1e-9) + rng.normal(size=len(rows))
    usual = np.stack([quality[strata == one].mean(axis=0) for one in range(strata.max() + 1)])[strata]
    return World(
        logging_QA=mixed(np.tile(rng.normal(size=len(arms)), (len(rows), 1)), 1.0, 0.2),
        target_QA=mixed(usual, 8.0, 0.05),
        chance_QA=quality,
        state_QD=np.column_stack([hint, np.eye(strata.max() + 1)[strata][:, 1:]]),
    )


@dataclass(frozen=True, kw_only=True)
class Score:
    """What a method made of many logs of one world."""

    error: float
    bias: float
    covered: float
    peeked: float
    size: float


def scores(
    world: World, runs: int, decisions: int, seed: int
) -> tuple[Mapping[Method, Score], Mapping[str, float]]:
    """Each method on the same logs; and what pairing does to the difference between target and server."""
    truth, rows = world.truth, {method: [] for method in METHODS}
    pairs: list[tuple[float, float, bool]] = []
    for run in range(runs):
        batch = world.log(decisions, np.random.default_rng([seed, run]))
        for method in METHODS:
            found = _known(estimate(batch, method, rule=ANYTHING))
            rows[method].append(
                (
                    abs(found.value / truth - 1),
                    found.value - truth,
                    truth in found.interval(),
                    truth in found.running_interval(tuned_for=decisions),
                    found.effective_size,
                )
            )
        new, old = (_known(estimate(one, "dr", rule=ANYTHING)) for one in (batch, batch.on_policy()))
        gap = difference(new, old)
        apart = float(np.hypot(new.standard_error, old.standard_error))
        pairs.append((gap.standard_error, apart, (truth - world.served) in gap.interval()))
    paired = dict(zip(("paired", "apart", "covered"), np.mean(pairs, axis=0).tolist(), strict=True))
    return {method: _score(row) for method, row in rows.items()}, paired


def _known(found: Estimate | NoSupport) -> Estimate:
    if isinstance(found, NoSupport):
        raise SystemExit(f"{found.method}: {found.reason}")
    return found


def _score(row: Sequence[Sequence[float]]) -> Score:
    error, bias, covered, peeked, size = np.mean(np.array(row, dtype=np.float64), axis=0).tolist()
    return Score(error=error, bias=bias, covered=covered, peeked=peeked, size=size)


def report_world(
    bench: Bench, name: str, world: World, runs: int, decisions: int, seed: int, *, is_judged: bool = False
) -> None:
    found, paired = scores(world, runs, decisions, seed)
    bench.add_figure(f"{name}/truth", 100 * world.truth, "%", f"who served: {100 * world.served:.1f} %")
    half = 100 * NormalDist().inv_cdf(0.975) * (0.95 * 0.05 / runs) ** 0.5
    for method, score in found.items():
        note = (
            f"bias {100 * score.bias:+.2f} points, ESS {score.size:.0f}, peeking {100 * score.peeked:.1f} %"
        )
        covered = 100 * score.covered
        bench.add_figure(f"{name}/error/{method}", 100 * score.error, "% of the truth", note)
        bench.add_figure(f"{name}/covered/{method}", covered, f"% ±{half:.1f}")
        if is_judged and method in HONEST:
            bench.add_bar(f"{name}/covered_low/{method}", covered, 93, "%", direction="at least")
            bench.add_bar(f"{name}/covered_high/{method}", covered, 97, "%")
    ratio = found["dr"].error / found["ips"].error
    if is_judged:
        bench.add_bar(f"{name}/dr_over_ips", ratio, 0.5)
    else:
        bench.add_figure(f"{name}/dr_over_ips", ratio)
    bench.add_figure(
        f"{name}/paired_error", 100 * paired["paired"], "points",
        f"of the difference; {100 * paired['apart']:.2f} if taken apart; covered {100 * paired['covered']:.1f} %",
    )  # fmt: skip


# The virtual arena ---------------------------------------------------------------------------------------------


class Arena:
    """The reference fleet at a low rate, asked the same questions whoever serves."""

    def __init__(self, requests: int, seed: int) -> None:
        models = models_of_fleet("reference")
        items = generate_items(requests + 10, ITEMS_SEED)
        self._scenario = Scenario(
            profiles=models.profiles,
            parameters=models.parameters,
            items=items[:requests],
            training_items=items[requests:],
            questions=requests,
            rates_per_min=(RATE_PER_MIN,),
        )
        self._seed, self._grader, self._stored = seed, RememberingGrader(), shipped_policy()
        self.actions = Stage.of(self._scenario).setting(seed).actions
        self.shipped = self._stored.bind(self.actions)

    def serve(self, policy: Policy, exploration: float) -> VirtualRun:
        latency = LearnedLatencyModel(
            self.actions.models, self.actions.strategies, state=self._stored.latency
        )
        return run_virtually(
            self._scenario,
            policy,
            seed=self._seed,
            rate_per_min=RATE_PER_MIN,
            grader=self._grader,
            latency=latency,
            decide=DecideConfig(exploration=exploration, deadline_quantile=0.5),
        )


def on_time(run: VirtualRun) -> Floats:
    """Of each offered question, whether it was solved in time (Q)."""
    traces = run.trajectories
    return np.array(
        [bool(one.trace_id) and one.solved and traces[one.trace_id].on_time for one in run.episodes],
        dtype=np.float64,
    )


def targets(arena: Arena) -> Iterator[tuple[str, Policy, float]]:
    yield "shipped, greedy", arena.shipped, 0.0
    yield "shipped, exploring 0.5", arena.shipped, 0.5
    yield "uniform", UniformPolicy(), 0.0
    yield "just-enough", JustEnoughPolicy(), 0.0


def report_arena(bench: Bench, requests: int, seed: int) -> None:
    arena = Arena(requests, seed)
    logged = arena.serve(arena.shipped, 0.2)
    labels = {one.trace_id: float(one.solved) for one in logged.episodes if one.trace_id}
    config = OpeConfig(methods=("dr", "snips"))
    traces = read_traces(logged.trajectories.values(), labels, arena.actions, config, critic=arena.shipped)
    bench.add_figure("arena/logged", 100 * on_time(logged).mean(), "%", f"{len(traces)} runs, exploring 0.2")
    for name, policy, exploration in targets(arena):
        asked = [replace(config, level=level, exploration=exploration) for level in ("workflow", "sequence")]
        found = {one.level: evaluate_read(policy, traces, one) for one in asked}
        for one in asked:
            _say(bench, f"arena/{name}/{one.level}", found[one.level])
            _say(bench, f"arena/{name}/{one.level} less logged", compare_read(policy, None, traces, one))
        if any(isinstance(one.best, Estimate) for one in found.values()):
            truth = on_time(arena.serve(policy, exploration))
            half = 196 * float(truth.std() / len(truth) ** 0.5)
            bench.add_figure(f"arena/{name}/served itself", 100 * truth.mean(), f"% ±{half:.1f}")


def _say(bench: Bench, name: str, evaluation: Evaluation) -> None:
    if isinstance(evaluation.best, NoSupport):
        bench.add_figure(f"{name}/effective size", evaluation.best.effective_size, "", "refused")
        return
    for method, found in evaluation.found.items():
        if isinstance(found, Estimate):
            half = 100 * found.interval().width / 2
            note = f"ESS {found.effective_size:.0f}"
            bench.add_figure(f"{name}/{method}", 100 * found.value, f"points ±{half:.1f}", note)


def main() -> None:
    parser = arguments(__doc__ or "", seed=1)
    parser.add_argument(
        "--no-arena", action="store_true", help="leave out the virtual arena, which takes minutes"
    )
    options = parser.parse_args()
    scale = QUICK if options.quick else FULL
    bench = Bench(title="Off-policy evaluation", packages=("numpy",), seed=options.seed)
    report_world(
        bench, "bandit", bandit(7), scale.runs, scale.decisions, options.seed, is_judged=not options.quick
    )
    if TABLES.exists():
        for name in ("zeroeval/outcomes", "llmrouter/outcomes", "medagents/full_zero_shot"):
            world = recorded(TABLES / f"{name}.parquet", options.seed)
            report_world(
                bench, name.partition("/")[0], world, scale.table_runs, scale.decisions, options.seed
            )
    else:
        bench.add_figure("tables", 0, "", f"not there: needs {TABLES.parents[1].name}/data/outcomes")
    if not options.no_arena:
        report_arena(bench, scale.requests, options.seed)
    bench.print(as_json=options.json)


if __name__ == "__main__":
    main()
