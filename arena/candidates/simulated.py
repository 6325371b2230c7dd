"""Candidates on simulated traffic: the same questions, arrivals, budgets and replies for each, in virtual time.

Says what recorded runs cannot: what becomes of latency when a candidate loads the fleet differently. What it cannot
say is how good the real models are at the real questions: that is the simulator's guess.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from statistics import fmean
from typing import Any

import numpy as np

from inframind.arena.candidates.candidate import Candidate, Setup, digest_of
from inframind.arena.candidates.own_fleet import on_own_fleet, stand_in
from inframind.arena.candidates.results import Job, JobResult, PlayedFigures
from inframind.arena.grading import RememberingGrader
from inframind.arena.results.episodes import summarise
from inframind.arena.scenario import Scenario
from inframind.arena.virtual_run import VirtualRun, run_virtually
from inframind.errors import ConfigError
from inframind.router.actions import ActionSpace
from inframind.router.rulebook import RULE
from inframind.router.rules import RoutingRule
from inframind.traces.records import Decision, Trajectory


@dataclass(frozen=True, kw_only=True, eq=False)
class SimulatedTraffic:
    """A scenario, played by every candidate on servers like its own.

    Attributes:
        baseline: the configuration as it is.
        scenario: what is asked, when, and how fast the simulated models are.
    """

    baseline: Setup
    scenario: Scenario

    def facts(self) -> Mapping[str, Any]:
        """Everything that results hang on; long parts by their digest."""
        scenario = self.scenario
        return {
            "on": "simulated",
            "baseline": self.baseline.document,
            "stand_ins": {
                one.model: stand_in(one, scenario.profiles).name for one in self.baseline.parts.endpoints
            },
            "seeds": list(scenario.seeds),
            "rates_per_min": list(scenario.rates_per_min),
            "questions": scenario.questions,
            "arrivals": scenario.arrivals,
            "budgets": scenario.budgets,
            "mix": digest_of(repr(scenario.mix)),
            "items": digest_of([asdict(item) for item in scenario.items]),
            "profiles": digest_of([asdict(profile) for profile in scenario.profiles]),
            "outcomes": digest_of(repr(scenario.parameters)),
        }

    def jobs(self, candidate: Candidate) -> Sequence[Job]:
        """Every rate of the first seed, then of the second, ..."""
        return [
            Job(candidate=candidate.name, seed=seed, rate_per_min=rate_per_min)
            for seed, rate_per_min in product(self.scenario.seeds, self.scenario.rates_per_min)
        ]

    def jobs_apiece(self, jobs: int, workers: int) -> int:
        """One: each takes seconds."""
        return 1

    def play(self, candidate: Candidate, job: Job) -> JobResult:
        """Let the candidate answer one workload.

        Raises:
            ConfigError: its servers cannot be simulated, or its rules are for some hours of the day.
        """
        if job.seed is None or job.rate_per_min is None:
            raise ValueError(f"{job} is of recorded traffic")
        for rule in candidate.rules:
            if rule.when.hours_utc is not None:
                fix = "simulated traffic knows no hours of the day: try it on recorded traffic"
                raise ConfigError("hours_utc", list(rule.when.hours_utc), fix)
        setup = candidate.on(self.baseline)
        ran = run_virtually(
            on_own_fleet(self.scenario, setup.parts.endpoints),
            setup.policy,
            seed=job.seed,
            rate_per_min=job.rate_per_min,
            grader=RememberingGrader(),
            parts=setup.parts,
        )
        runs = ran.trajectories.values()
        applied = sum(_applies(candidate.rules, run, setup.actions) for run in runs)
        return JobResult(job=job, figures=_figures(ran, None if candidate.setup else applied))


def _figures(ran: VirtualRun, applied: int | None) -> PlayedFigures:
    summary = summarise(ran.episodes)
    latency_s = np.array([episode.latency_s for episode in ran.episodes])
    return PlayedFigures(
        offered=summary.offered,
        success=summary.on_time_success.value,
        solved=summary.accuracy.value,
        on_time=summary.slo_attainment.value,
        failed=summary.failed / summary.offered,
        latency_s=float(latency_s.mean()),
        latency_p95_s=float(np.quantile(latency_s, 0.95)),
        cost=_cost(ran),
        completion_tokens=summary.completion_tokens / summary.offered,
        applied=applied,
    )


def _applies(rules: Sequence[RoutingRule], run: Trajectory, actions: ActionSpace) -> bool:
    """Whether a rule changed what could be chosen or called in a run."""
    reasons = {RULE + rule.name for rule in rules}
    avoided = frozenset().union(*(rule.avoid_endpoints for rule in rules))
    return any(
        not reasons.isdisjoint(decision.masked) or _is_kept_from(avoided, decision, actions)
        for decision in run.decisions
    )


def _is_kept_from(avoided: frozenset[str], decision: Decision, actions: ActionSpace) -> bool:
    tried_last = avoided.intersection(decision.seen.get("avoid_endpoints", ()))
    return bool(tried_last) and not tried_last.isdisjoint(actions.models[decision.choice["model"]].endpoints)


def _cost(ran: VirtualRun) -> float | None:
    """Mean over the runs of which it is known: one that was cut short does not say how much had been written."""
    known = [run.cost for run in ran.trajectories.values() if run.cost is not None]
    return fmean(known) if known else None
