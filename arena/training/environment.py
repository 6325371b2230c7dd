"""Where a sweep is played: the seam between training and a fleet, and the simulated one in virtual time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from inframind.arena.grading import RememberingGrader
from inframind.arena.results.episodes import Episode
from inframind.arena.scenario import Scenario
from inframind.arena.training.curriculum import Sweep
from inframind.arena.virtual_run import run_virtually
from inframind.router.decide import DecideConfig
from inframind.router.latency import LatencyModel
from inframind.router.policy import Policy
from inframind.traces.records import Trajectory


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayedSweep:
    """What came of a sweep.

    Attributes:
        episodes: one per offered question, in order of arrival.
        trajectories: the traces, in the order in which they were stored.
        solved: whether each run's answer is right, by trace id.
    """

    episodes: tuple[Episode, ...]
    trajectories: tuple[Trajectory, ...]
    solved: Mapping[str, bool]


class Environment(Protocol):
    """Plays sweeps."""

    def play(self, policy: Policy, sweep: Sweep, latency: LatencyModel) -> PlayedSweep:
        """Let a policy answer a sweep; the latency model predicts for it, and learns from it."""
        ...


class VirtualEnvironment:
    """The scenario's fleet in virtual time, asked its training questions.

    Args:
        scenario: what policies will meet; only its training questions are asked here.
        decide: how proposals become choices, as they will be when it serves.
    """

    def __init__(self, scenario: Scenario, decide: DecideConfig) -> None:
        self._decide = decide
        self._scenario = replace(scenario, items=scenario.training_items, training_items=())
        self._grader = RememberingGrader()

    def play(self, policy: Policy, sweep: Sweep, latency: LatencyModel) -> PlayedSweep:
        """Let a policy answer a sweep."""
        ran = run_virtually(
            replace(self._scenario, questions=sweep.questions),
            policy,
            seed=sweep.seed,
            rate_per_min=sweep.rate_per_min,
            grader=self._grader,
            latency=latency,
            decide=self._decide,
        )
        return PlayedSweep(
            episodes=ran.episodes,
            trajectories=tuple(ran.trajectories.values()),
            solved={episode.trace_id: episode.solved for episode in ran.episodes if episode.trace_id},
        )
