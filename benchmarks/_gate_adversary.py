"""Somebody marks every long answer as good: how far does what is served move?

Two kinds of answers, short ones (right 70 times in 100) and long ones (66). A policy is a share of long answers. The
learner keeps a mean label for each over the latest labels, beginning with a memory full of true ones, and wants
``sigmoid((long - short) / 0.1 + constant)`` long ones, the constant being such that true means give 30 %. Of the runs a
share is fed back: some of it by a grader, some by honest users, and some by the adversary, who calls every long answer
right and of the short ones tells the truth. A candidate is proposed whenever none is tried and the learner wants
another share, by a point or more.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field, replace

import numpy as np

from inframind.router.gate.arms import arm_of
from inframind.router.gate.config import GateConfig
from inframind.router.gate.evidence import Evidence
from inframind.router.gate.judging import judge, propose
from inframind.router.gate.runs import GateRun
from inframind.router.guards.labels import Trust, labels_of
from inframind.router.guards.quotas import QuotaConfig, admit
from inframind.router.guards.sources import SourceBook, SourceSample
from inframind.router.online.protocol import Label
from inframind.traces.records import Outcome, Trajectory
from inframind.traces.shelf import Rollout, RolloutEvent, rollout_after

LONG, SHORT = "long", "short"
TRUE = {LONG: 0.66, SHORT: 0.70}
EXPECTED = {LONG: 0.68, SHORT: 0.69}
LISTEN = 0.75
START, HEAT, KEPT, ROUND, HONEST_USERS = 0.3, 0.1, 4000, 250, 40


@dataclass(frozen=True, kw_only=True)
class Siege:
    """Who attacks, and who is on guard.

    Attributes:
        adversary: share of all feedback that is the adversary's.
        names: number of names under which it comes.
        graded: share of honest feedback that is a grader's.
        feedback: share of runs with any.
        has_guards: whether trust, quotas and the book of sources look at feedback before it is learned from.
        has_gate: whether candidates have to pass the gate; otherwise each serves at once.
        truth: how often each kind is right.
    """

    adversary: float
    names: int = 1
    graded: float = 0.5
    feedback: float = 0.8
    has_guards: bool = True
    has_gate: bool = True
    truth: dict[str, float] = field(default_factory=lambda: dict(TRUE))


class Learner:
    """Follows labels."""

    def __init__(self) -> None:
        self._heard: dict[str, deque[tuple[float, float]]] = {
            kind: deque([(value, 1.0)] * (KEPT // 2), maxlen=KEPT // 2) for kind, value in TRUE.items()
        }
        self._constant = math.log(START / (1 - START)) - (TRUE[LONG] - TRUE[SHORT]) / HEAT

    def learn(self, kind: str, label: Label) -> None:
        self._heard[kind].append((label.solved, label.weight))

    def wants(self) -> float:
        """Share of long answers."""
        long, short = (self._mean(kind) for kind in (LONG, SHORT))
        return 1 / (1 + math.exp(-((long - short) / HEAT + self._constant)))

    def _mean(self, kind: str) -> float:
        return sum(y * w for y, w in self._heard[kind]) / sum(w for _, w in self._heard[kind])


class Service:
    """Serves, is fed back, learns, and tries what was learned."""

    def __init__(self, siege: Siege, config: GateConfig, seed: int) -> None:
        self.siege, self.config, self.rng = siege, config, np.random.default_rng(seed)
        self.learner, self.book, self.trust = Learner(), SourceBook(), Trust()
        self.recent: tuple[str, ...] = ()
        self.shares = {"": START}
        self.rollout, self.evidence = Rollout(), Evidence(version="")
        self.runs = 0

    def play(self, rounds: int) -> tuple[float, float]:
        """Largest and last departure of the share of long answers served from where it began."""
        moved = []
        for _ in range(rounds):
            self.round()
            moved.append(self.served() - START)
        return max(moved, key=abs), moved[-1]

    def served(self) -> float:
        """Share of long answers over all runs as they are assigned now."""
        tried = self.rollout.share if self.rollout.candidate else 0.0
        of_candidate = self.shares.get(self.rollout.candidate, 0.0)
        return (1 - tried) * self.shares[self.rollout.serving] + tried * of_candidate

    def round(self) -> None:
        keys = [f"{self.runs + place:032x}" for place in range(ROUND)]
        self.runs += ROUND
        arms = [arm_of(key, self.rollout) for key in keys]
        versions = [self.rollout.candidate if arm == "candidate" else self.rollout.serving for arm in arms]
        kinds = [LONG if self.rng.random() < self.shares[version] else SHORT for version in versions]
        runs = [self.run(key, kind) for key, kind in zip(keys, kinds, strict=True)]
        labels = self.labels(runs, kinds)
        for run, kind in zip(runs, kinds, strict=True):
            if run.trace_id in labels:
                self.learner.learn(kind, labels[run.trace_id])
        said = [labels.get(run.trace_id) for run in runs]
        self.roll_out([
            GateRun(
                arm=arm,
                share=self.rollout.share,
                on_time=True,
                solved=label.solved if label and label.weight >= LISTEN else None,
                expected=EXPECTED[kind],
            )
            for arm, kind, label in zip(arms, kinds, said, strict=True)
        ])  # fmt: skip

    def run(self, key: str, kind: str) -> Trajectory:
        solved = float(self.rng.random() < self.siege.truth[kind])
        source, draw = "", self.rng.random()
        if self.rng.random() < self.siege.feedback:
            if draw < self.siege.adversary:
                source = f"user:eve{self.rng.integers(self.siege.names)}"
                solved = 1.0 if kind == LONG else solved
            elif self.rng.random() < self.siege.graded:
                source = "grader:math"
            else:
                source = f"user:{self.rng.integers(HONEST_USERS)}"
        said = Outcome(feedback_id=key, key="solved", score=solved, source=source, recorded_at_s=0.0)
        return Trajectory(
            trace_id=key,
            question="?",
            arrived_at_s=0.0,
            budget_s=1.0,
            outcomes=(said,) if source else (),
        )

    def labels(self, runs: list[Trajectory], kinds: list[str]) -> dict[str, Label]:
        heard = {
            run.trace_id: (run.outcomes[0], kind)
            for run, kind in zip(runs, kinds, strict=True)
            if run.outcomes
        }
        if not self.siege.has_guards:
            return {
                key: Label(solved=said.score or 0.0, source=said.source) for key, (said, _) in heard.items()
            }
        self.book = self.book.plus(
            SourceSample(source=said.source, slice=kind, solved=said.score or 0.0, expected=EXPECTED[kind])
            for said, kind in heard.values()
        )
        suspected = self.book.suspected({said.source for said, _ in heard.values()})
        labels = labels_of(runs, trust=self.trust, suspected=suspected)
        admission = admit(labels, QuotaConfig(), trust=self.trust, recent=self.recent)
        self.recent = admission.recent
        return dict(admission.kept)

    def roll_out(self, runs: list[GateRun]) -> None:
        wanted = self.learner.wants()
        if not self.siege.has_gate:
            self.shares[""] = wanted
            return
        if self.rollout.candidate:
            self.evidence = self.evidence.plus(runs)
            verdict = judge(self.rollout, self.evidence, self.config, now_s=0.0)
            if verdict.event is not None:
                self.append(verdict.event)
        elif abs(wanted - self.shares[self.rollout.serving]) > 0.01:
            version = f"{self.runs:064x}"
            self.shares[version] = wanted
            self.evidence = Evidence(version=version)
            self.append(propose(self.rollout, version, now_s=0.0))

    def append(self, event: RolloutEvent) -> None:
        self.rollout = rollout_after(self.rollout, replace(event, number=self.rollout.number + 1))
