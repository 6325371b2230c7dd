"""Candidates on recorded traffic: what they would have done with the runs that there were, by importance weights.

Says how right, how late and how dear runs would have been if this one alone had been decided otherwise. What becomes of
latency when all of them are, simulated traffic says.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from inframind.advisor.options.config import AnalysisConfig
from inframind.advisor.options.effect import Effect, Effects
from inframind.advisor.options.logs import Logs
from inframind.advisor.options.predicting import predictions_of
from inframind.advisor.options.reading import LogReader
from inframind.advisor.options.whole import effect_of_change, under_rules
from inframind.arena.candidates.candidate import Candidate, Setup
from inframind.arena.candidates.results import Job, JobResult
from inframind.errors import ConfigError
from inframind.router.actions import ActionSpace
from inframind.router.rulebook import RuleBook
from inframind.traces.advice import Prediction
from inframind.traces.records import SOLVED_ONLY, SolvedKeys, Trajectory

DELTA = 0.05
_PIECES_PER_WORKER = 2
_ELSEWHERE = "try it on simulated traffic"
_NOT_DECIDED = ("endpoints", "strategies", "roles", "fleet", "defaults")
"""Parts of a configuration that say what becomes of a choice, not which one is made."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RecordedTraffic:
    """Recorded runs, read when the first candidate is tried, once per process.

    Attributes:
        baseline: the configuration as it is.
        keys: which feedback says whether a run was solved.
        asked: which runs were asked for, as plain data.
        runs: the runs.
        config: when they say enough.
    """

    baseline: Setup
    keys: SolvedKeys = SOLVED_ONLY
    asked: Mapping[str, Any] = field(default_factory=dict)
    runs: tuple[Trajectory, ...] = field(default=(), repr=False)
    config: AnalysisConfig = field(default_factory=AnalysisConfig)

    def __getstate__(self) -> dict[str, Any]:
        """Without what was read: another process reads for itself."""
        return {name: value for name, value in self.__dict__.items() if name != "_reading"}

    @cached_property
    def _reading(self) -> _Reading:
        return _Reading.of(self)

    def facts(self) -> Mapping[str, Any]:
        """Which runs, and what their predictions hang on."""
        return {
            "on": "traces",
            "baseline": self.baseline.document,
            "solved_keys": [list(pair) for pair in self.keys.thresholds],
            **self.asked,
        }

    def with_runs(self, runs: Iterable[Trajectory]) -> RecordedTraffic:
        """The same, of these runs."""
        return replace(self, runs=tuple(runs))

    def jobs(self, candidate: Candidate) -> Sequence[Job]:
        """One: all runs."""
        return [Job(candidate=candidate.name)]

    def jobs_apiece(self, jobs: int, workers: int) -> int:
        """Many where there are several workers: each of them has to read the runs first."""
        return 1 if workers == 1 else math.ceil(jobs / (_PIECES_PER_WORKER * workers))

    def play(self, candidate: Candidate, job: Job) -> JobResult:
        """What the runs say of a candidate.

        Raises:
            ConfigError: it cannot be asked about these runs.
        """
        return JobResult(job=job, predictions=self._reading.predictions(candidate))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Reading:
    """The runs as the configuration as it is would decide them."""

    traffic: RecordedTraffic
    actions: ActionSpace
    book: RuleBook
    logs: Logs
    effects: Effects

    @classmethod
    def of(cls, traffic: RecordedTraffic) -> _Reading:
        actions = traffic.baseline.actions
        book = traffic.baseline.parts.rule_book(actions)
        logs = _read(traffic.baseline, traffic)
        servers = {model: facts.endpoints for model, facts in actions.models.items()}
        effects = Effects(logs, actions, book, servers, traffic.config.support)
        return cls(traffic=traffic, actions=actions, book=book, logs=logs, effects=effects)

    def predictions(self, candidate: Candidate) -> tuple[Prediction, ...]:
        effect = self._effect(candidate)
        predictions = predictions_of(effect, DELTA, self.traffic.config)
        if effect.affected:
            return predictions
        objection = f"it concerns none of the {effect.runs:,} runs that predictions come from"
        return tuple(replace(one, objection=objection) for one in predictions)

    def _effect(self, candidate: Candidate) -> Effect:
        if candidate.setup is None and len(candidate.rules) == 1:
            return self.effects.of(candidate.rules[0], is_choosing=False, asks_again=True)
        return effect_of_change(self._under(candidate), self.logs, self.traffic.config.support)

    def _under(self, candidate: Candidate) -> Logs:
        if candidate.setup is not None:
            return self._otherwise(candidate.on(self.traffic.baseline))
        if any(rule.avoid_endpoints for rule in candidate.rules):
            fix = f"servers are predicted of one rule by itself alone: {_ELSEWHERE}"
            raise ConfigError("avoid_endpoints", candidate.name, fix)
        return under_rules(self.logs, candidate.rules, self.book, self.actions)

    def _otherwise(self, setup: Setup) -> Logs:
        """The same runs, decided by another configuration."""
        actions = setup.actions
        for kind in ("executor_labels", "planner_actions"):
            if getattr(actions, kind) != getattr(self.actions, kind):
                fix = f"it chooses among others than these runs did: {_ELSEWHERE}"
                raise ConfigError("models, strategies, topologies", kind, fix)
        for section in _NOT_DECIDED:
            if _content(setup, section) != _content(self.traffic.baseline, section):
                fix = f"runs only tell what other choices would have brought, not what else it changes: {_ELSEWHERE}"
                raise ConfigError(section, "another configuration", fix)
        if any(rule.avoid_endpoints for rule in setup.parts.rules):
            fix = f"servers are predicted of one rule by itself alone: {_ELSEWHERE}"
            raise ConfigError("avoid_endpoints", "another configuration", fix)
        return _read(setup, self.traffic)


def _read(setup: Setup, traffic: RecordedTraffic) -> Logs:
    actions, decide = setup.actions, setup.parts.decide
    reader = LogReader(
        actions,
        setup.bound(actions),
        setup.parts.rule_book(actions),
        keys=traffic.keys,
        exploration=decide.exploration,
        choosing_share=traffic.config.choosing_share,
        greedy=decide.greedy,
        is_careful=decide.is_careful,
    )
    return reader.read(traffic.runs)


def _content(setup: Setup, section: str) -> object:
    """A part of a configuration; servers and strategies by name."""
    found = getattr(setup.parts, section)
    return {one.name: one for one in found} if section in ("endpoints", "strategies") else found
