"""Does the gate stop what is worse, let in what is better, and can anybody talk it out of that?

Simulated roll-outs, see ``_gate_world.py``; accepted changes, see ``_gate_advised.py``; a besieged learner, see
``_gate_adversary.py``; streams with and without a shift. No model and no fleet takes part.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import fmean, median

import numpy as np
from _common import Bench, arguments
from _gate_adversary import LONG, Service, Siege
from _gate_advised import report_advised
from _gate_world import BATCH, End, World, gated, lost, seeds, shipped, wilson, z_tested
from rich.console import Console
from rich.table import Table

from inframind.router.gate.config import GateConfig
from inframind.router.guards.drift import DriftDetector

CONFIG = GateConfig()
PATIENT = GateConfig(most_runs=40_000)
GAINS = (-0.03, -0.01, 0.0, 0.03)
BASES = (0.5, 0.7, 0.85)
Play = Callable[[World, np.random.Generator], End]


@dataclass(frozen=True, kw_only=True)
class Row:
    """Roll-outs of one kind of candidate in one world."""

    name: str
    world: World
    ends: list[End]
    within: int

    @property
    def promoted(self) -> int:
        return sum(end.promoted for end in self.ends)

    def cells(self) -> list[str]:
        n = len(self.ends)
        low, high = wilson(self.promoted, n)
        settled = [end.runs for end in self.ends]
        return [
            self.name,
            f"{self.world.base:.2f}",
            f"{100 * self.world.gain:+.0f}",
            f"{self.promoted / n:.1%}",
            f"{low:.1%} to {high:.1%}",
            f"{median(settled):,.0f}",
            f"{np.percentile(settled, 90):,.0f}",
            f"{self.lost:+.1f}",
        ]

    @property
    def lost(self) -> float:
        """Mean of `lost` within the trial's most runs."""
        return fmean(lost(end, self.world, self.within) for end in self.ends)


def rows(seed: int, n: int) -> list[Row]:
    """The gate in every world, and both rivals where graders grade all."""
    found = []
    for base in BASES:
        for has_critic in (False, True):
            world = World(base=base, has_critic=has_critic)
            found += _gains("gate, critic" if has_critic else "gate", world, _gate(CONFIG), seed, n, CONFIG)
        found += _gains("z-test, peeking", World(base=base), _z_test(CONFIG), seed, 5 * n, CONFIG)
        found += _gains("ship at once", World(base=base), _ship(CONFIG), seed, 1, CONFIG)
    waving = World(wave=0.1, has_critic=True)
    found += _gains("gate, base rate swings", waving, _gate(CONFIG), seed, n, CONFIG)
    few = World(graded=0.1, has_critic=True)
    found += _gains("gate, 10 % graded", few, _gate(CONFIG), seed, n, CONFIG)
    return found + _gains("same, 40,000 runs", few, _gate(PATIENT, batch=400), seed, n // 2, PATIENT)


def _gains(name: str, world: World, play: Play, seed: int, n: int, config: GateConfig) -> list[Row]:
    found = []
    for gain in GAINS:
        here = replace(world, gain=gain)
        drawn = seeds(seed, name, world.base, gain)
        ends = [play(here, next(drawn)) for _ in range(max(n, 1))]
        found.append(Row(name=name, world=here, ends=ends, within=config.most_runs))
    return found


def _gate(config: GateConfig, batch: int = BATCH) -> Play:
    return lambda world, rng: gated(world, config, rng, batch)


def _z_test(config: GateConfig) -> Play:
    return lambda world, rng: z_tested(world, config, rng)


def _ship(config: GateConfig) -> Play:
    return lambda world, _: shipped(world, config)


def report_rows(bench: Bench, found: list[Row]) -> None:
    table = Table(
        "who decides", "base rate", "gain, points", "promoted", "95 %", "runs p50", "p90", "lost",
        title="Roll-outs; lost: questions not solved in time within a trial's most runs, mean", title_justify="left",
    )  # fmt: skip
    for row in found:
        table.add_row(*row.cells())
    Console(width=120).print(table)
    full = [row for row in found if row.name in ("gate", "gate, critic", "gate, base rate swings")]
    worse, better = (
        [row.promoted / len(row.ends) for row in _with_gain(full, gain)] for gain in (-0.03, 0.03)
    )
    bench.add_bar("worse_by_3_stopped", 1 - fmean(worse), 0.95, "share", direction="at least")
    bench.add_figure("worse_by_3_stopped_least", 1 - max(worse), "share", "in the hardest world")
    bench.add_bar("better_by_3_promoted", fmean(better), 0.80, "share", direction="at least")
    bench.add_figure("better_by_3_promoted_least", min(better), "share", "in the hardest world")
    edge = _with_gain(full, -0.01)
    wrong, n = sum(row.promoted for row in edge), sum(len(row.ends) for row in edge)
    bench.add_bar("at_epsilon_promoted", wrong / n, CONFIG.delta, "share")
    bench.add_figure(
        "at_epsilon_promoted_high", wilson(wrong, n)[1], "share", "upper end of its 95 % interval"
    )
    for name, gain in (("equal", 0.0), ("worse_by_3", -0.03), ("better_by_3", 0.03)):
        some = _with_gain(full, gain)
        ends = [end for row in some for end in row.ends]
        if name == "equal":
            bench.add_figure("equal_promoted", sum(end.promoted for end in ends) / len(ends), "share")
        bench.add_figure(f"{name}_runs_p50", median(end.runs for end in ends), "runs")
        bench.add_figure(f"{name}_lost", fmean(row.lost for row in some), "questions")
    for rival in ("z-test, peeking", "ship at once", "gate, 10 % graded", "same, 40,000 runs"):
        for name, gain in (("worse_by_3", -0.03), ("at_epsilon", -0.01), ("better_by_3", 0.03)):
            some = _with_gain([row for row in found if row.name == rival], gain)
            share = sum(row.promoted for row in some) / sum(len(row.ends) for row in some)
            bench.add_figure(f"{rival}: {name}_promoted", share, "share")
            bench.add_figure(f"{rival}: {name}_lost", fmean(row.lost for row in some), "questions")


def _with_gain(found: list[Row], gain: float) -> list[Row]:
    return [row for row in found if row.world.gain == gain]


def report_alarms(bench: Bench, seed: int, n: int) -> None:
    """Candidates that are late or fail, without a single label; and how often an equal one is called so."""
    for name, world in {
        "late_by_10": World(late=0.1, graded=0.0),
        "failing_by_5": World(failing=0.05, graded=0.0),
        "late_by_30": World(late=0.3, graded=0.0),
    }.items():
        drawn = seeds(seed, name)
        ends = [gated(world, CONFIG, next(drawn)) for _ in range(n)]
        caught = [end for end in ends if _is_alarm(end)]
        bench.add_figure(f"{name}_caught", len(caught) / n, "share", "no run is graded")
        bench.add_figure(
            f"{name}_tried_p50", median(end.tried for end in caught or ends), "runs", "it served by then"
        )
    drawn = seeds(seed, "equal")
    ends = [gated(World(), CONFIG, next(drawn)) for _ in range(2 * n)]
    alarms = sum(_is_alarm(end) for end in ends)
    bench.add_bar("equal_called_harmful", alarms / (2 * n), 3 * CONFIG.alarm_delta, "share")


def _is_alarm(end: End) -> bool:
    return "more often" in end.reason or "solves less" in end.reason


class PageHinkley:
    """A rival, with the settings that libraries ship: two-sided, tolerance 0.005, threshold 50, after 30 values."""

    def __init__(self) -> None:
        self.n, self.mean = 0, 0.0
        self.up = self.down = self.least = self.most = 0.0

    def add(self, value: float) -> bool:
        self.n += 1
        self.mean += (value - self.mean) / self.n
        self.up += value - self.mean - 0.005
        self.down += value - self.mean + 0.005
        self.least, self.most = min(self.least, self.up), max(self.most, self.down)
        return self.n > 30 and max(self.up - self.least, self.most - self.down) > 50


def report_drift(bench: Bench, seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    kinds = {
        "solved": lambda size: (rng.random(size) < 0.7).astype(float),
        "failed": lambda size: (rng.random(size) < 0.02).astype(float),
        "prompt_tokens": lambda size: rng.lognormal(4.0, 1.0, size),
    }
    streams = [draw(50_000).tolist() for _ in range(n) for draw in kinds.values()]
    alarms = sum(_first(DriftDetector("x"), stream) is not None for stream in streams)
    bench.add_bar("drift_false_alarms", alarms / len(streams), 0.05, "share of streams", direction="at most")
    coins = [stream for place, stream in enumerate(streams) if place % 3 == 0]
    bench.add_figure(
        "page_hinkley_false_alarms",
        sum(_first(PageHinkley(), stream) is not None for stream in coins) / len(coins),
        "share of streams",
        "of solved, 50,000 values each",
    )
    for fall in (0.1, 0.2, 0.3):
        for name, make in (("drift", lambda: DriftDetector("x")), ("page_hinkley", PageHinkley)):
            delays = [_delay(make(), rng, fall) for _ in range(10 * n)]
            bench.add_figure(f"{name}_delay_{100 * fall:.0f}_points", median(delays), "values", "0.7 before")


def _first(detector: DriftDetector | PageHinkley, stream: list[float]) -> int | None:
    return next((place for place, value in enumerate(stream) if detector.add(value)), None)


def _delay(detector: DriftDetector | PageHinkley, rng: np.random.Generator, fall: float) -> int:
    for value in (rng.random(3000) < 0.7).astype(float).tolist():
        detector.add(value)
    found = _first(detector, (rng.random(20_000) < 0.7 - fall).astype(float).tolist())
    return 20_000 if found is None else found + 1


SIEGES = {
    "nobody": Siege(adversary=0.0),
    "30 %": Siege(adversary=0.3),
    "60 %": Siege(adversary=0.6),
    "30 %, 200 names": Siege(adversary=0.3, names=200),
    "60 %, 200 names": Siege(adversary=0.6, names=200),
    "60 %, no grader": Siege(adversary=0.6, graded=0.0),
    "60 %, gate only": Siege(adversary=0.6, has_guards=False),
    "60 %, guards only": Siege(adversary=0.6, has_gate=False),
    "30 %, neither": Siege(adversary=0.3, has_guards=False, has_gate=False),
    "60 %, neither": Siege(adversary=0.6, has_guards=False, has_gate=False),
    "nobody, long is right 85 %": Siege(adversary=0.0, truth={LONG: 0.85, "short": 0.7}),
    "60 %, long is right 85 %": Siege(adversary=0.6, truth={LONG: 0.85, "short": 0.7}),
}


def report_adversary(bench: Bench, n: int, rounds: int) -> None:
    table = Table(
        "of all feedback", "moved most, mean", "worst of seeds", "moved at the end, mean",
        title=f"Share of long answers served, departure from 30 %, {n} seeds, {250 * rounds:,} runs",
        title_justify="left",
    )  # fmt: skip
    most: dict[str, float] = {}
    for name, siege in SIEGES.items():
        moved = [Service(siege, CONFIG, seed).play(rounds) for seed in range(n)]
        most[name] = max(abs(one) for one, _ in moved)
        mean, last = fmean(abs(one) for one, _ in moved), fmean(end for _, end in moved)
        table.add_row(name, f"{mean:.3f}", f"{most[name]:.3f}", f"{last:+.3f}")
        bench.add_figure(f"moved: {name}", mean, "share", "mean of seeds")
    Console(width=120).print(table)
    for name in ("30 %", "60 %"):
        bench.add_bar(f"moved, worst: {name}", most[name], CONFIG.canary_share, "share")


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--rollouts", type=int, default=200, help="roll-outs per row (default 200)")
    parser.add_argument(
        "--parts",
        nargs="*",
        choices=("rollouts", "advised", "alarms", "drift", "adversary"),
        help="default: all",
    )
    options = parser.parse_args()
    n = 20 if options.quick else options.rollouts
    bench = Bench(title="The gate and its guards, simulated", packages=("numpy",), seed=options.seed)
    began_s = time.process_time()
    parts: dict[str, Callable[[], None]] = {
        "rollouts": lambda: report_rows(bench, rows(options.seed, n)),
        "advised": lambda: report_advised(bench, CONFIG, options.seed, max(n // 2, 10)),
        "alarms": lambda: report_alarms(bench, options.seed, max(n // 2, 10)),
        "drift": lambda: report_drift(bench, options.seed, 1 if options.quick else 5),
        "adversary": lambda: report_adversary(bench, 1 if options.quick else 8, 20 if options.quick else 60),
    }
    for part in options.parts or parts:
        parts[part]()
    bench.add_figure("cpu_s", time.process_time() - began_s, "s")
    bench.print(as_json=options.json)


if __name__ == "__main__":
    main()
