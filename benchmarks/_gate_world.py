"""Roll-outs that are simulated: two versions whose true success is known, and those who decide between them.

A question's chance of being right and in time is spread around the base rate; what the critic predicts is that chance
itself, with which right answers are told from wrong ones at an area under the curve of 0.70. Two in five of the runs
that are not right in time are in time all the same. Nothing else is simulated: no queues, no models, no texts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from inframind.router.gate.brief import Brief
from inframind.router.gate.config import GateConfig
from inframind.router.gate.evidence import Evidence
from inframind.router.gate.judging import judge, propose
from inframind.router.gate.runs import RunColumns
from inframind.traces.shelf import UNPROVEN, Rollout, rollout_after

BATCH, SPREAD, IN_TIME_ANYWAY = 100, 0.16, 0.4
OLD, NEW = "a" * 64, "c" * 64


@dataclass(frozen=True, kw_only=True)
class World:
    """What is true.

    Attributes:
        base: on-time success of the version that serves.
        gain: what the candidate has more of it.
        graded: share of runs in time that are graded.
        has_critic: whether predictions come with the runs.
        wave: how far the base rate swings to either side, every 2,500 runs.
        late: share of its runs for which the candidate comes too late besides.
        failing: share of its runs that fail besides.
        concerned: share of runs that the candidate decides otherwise; ``gain`` is over all runs.
        told: whether the gate knows which these are.
    """

    base: float = 0.7
    gain: float = 0.0
    graded: float = 1.0
    has_critic: bool = False
    wave: float = 0.0
    late: float = 0.0
    failing: float = 0.0
    concerned: float = 1.0
    told: bool = False

    def runs(self, rng: np.random.Generator, share: float, begin: int, n: int = BATCH) -> RunColumns:
        """The next n runs, of which the candidate serves this share."""
        at = begin + np.arange(n)
        base = self.base + self.wave * np.sin(2 * math.pi * at / 2500)
        expected = np.clip(base + SPREAD * rng.standard_normal(n), 0.03, 0.97)
        tried = rng.random(n) < share
        differs = rng.random(n) < self.concerned if self.concerned < 1.0 else np.ones(n, dtype=np.bool_)
        success = np.clip(expected + self.gain / self.concerned * tried * differs, 0.0, 1.0)
        draw = rng.random(n)
        right_in_time = draw < success
        in_time = right_in_time | (rng.random(n) < IN_TIME_ANYWAY)
        failed = rng.random(n) < self.failing * tried
        in_time &= ~failed & (rng.random(n) >= self.late * tried)
        heard = rng.random(n) < self.graded
        return RunColumns(
            is_candidate=tried.astype(float),
            share=np.full(n, share),
            on_time=in_time.astype(float),
            solved=np.where(heard, right_in_time.astype(float), np.nan),
            failed=failed.astype(float),
            latency_s=np.ones(n),
            expected=expected if self.has_critic else np.full(n, np.nan),
            concerned=differs.astype(float),
        )


@dataclass(frozen=True, kw_only=True)
class End:
    """How a roll-out ended.

    Attributes:
        promoted: whether the candidate was let serve.
        runs: runs until that was settled.
        tried: runs that the candidate had served by then.
        reason: the gate's own words.
        harmful: whether it was ended for harm, and not for want of evidence.
    """

    promoted: bool
    runs: int
    tried: int
    reason: str
    harmful: bool = False


def gated(
    world: World,
    config: GateConfig,
    rng: np.random.Generator,
    batch: int = BATCH,
    brief: Brief | None = None,
) -> End:
    """One roll-out under the gate, which is asked after every batch."""
    rollout = Rollout(serving=OLD)
    rollout = rollout_after(rollout, replace(propose(rollout, NEW, now_s=0.0), number=1))
    evidence = Evidence.begin(NEW, is_local=world.told)
    while True:
        evidence = evidence.plus(world.runs(rng, rollout.share, evidence.runs, batch))
        verdict = judge(rollout, evidence, config, now_s=0.0, brief=brief)
        if verdict.act in ("promote", "roll_back"):
            tried = evidence.records["candidate"].runs
            return End(
                promoted=verdict.act == "promote",
                runs=evidence.runs,
                tried=tried,
                reason=verdict.reason,
                harmful=verdict.act == "roll_back" and UNPROVEN not in verdict.figures,
            )
        if verdict.event is not None:
            rollout = rollout_after(rollout, verdict.event)


def z_tested(world: World, config: GateConfig, rng: np.random.Generator) -> End:
    """A rival: half the runs each from the start, and after every batch a z-test made for one look at the end.

    It asks what the gate asks: promoted is who is not worse by epsilon, at the same delta; rolled back is who is worse.
    """
    z = 1.6448536269514722
    n = config.most_runs
    runs = world.runs(rng, 0.5, 0, n)
    y = np.where(runs.on_time > 0, runs.solved, 0.0)
    tried = runs.is_candidate
    looks = np.arange(config.least_runs, n + 1, BATCH) - 1
    n1, n0 = np.cumsum(tried)[looks], np.cumsum(1 - tried)[looks]
    p1, p0 = np.cumsum(y * tried)[looks] / n1, np.cumsum(y * (1 - tried))[looks] / n0
    error = np.sqrt(p1 * (1 - p1) / n1 + p0 * (1 - p0) / n0)
    good, bad = (p1 - p0 + config.epsilon) / error > z, (p1 - p0) / error < -z
    over = np.flatnonzero(good | bad)
    at = int(over[0]) if len(over) else len(looks) - 1
    return End(promoted=bool(good[at]), runs=int(looks[at]) + 1, tried=int(n1[at]), reason="")


def lost(end: End, world: World, within: int) -> float:
    """Questions not solved in time among the first runs because the candidate served some of them; negative: gained."""
    afterwards = max(within - end.runs, 0) if end.promoted else 0
    return -world.gain * (end.tried + afterwards)


def shipped(world: World, config: GateConfig) -> End:
    """A rival: the candidate serves all runs from the first on."""
    return End(promoted=True, runs=0, tried=0, reason="")


def wilson(hits: int, n: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson, 1927)."""
    z, p = 1.959963984540054, hits / n
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)


def seeds(seed: int, *names: object) -> Iterator[np.random.Generator]:
    """Generators for the roll-outs of one table row, the same whatever other rows there are."""
    mixed = [seed, *(abs(hash_of(name)) for name in names)]
    while True:
        mixed[0] += 1_000_003
        yield np.random.default_rng(mixed)


def hash_of(name: object) -> int:
    """A number that is the same in every process."""
    return int.from_bytes(repr(name).encode()[-6:], "big")
