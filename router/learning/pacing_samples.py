"""Stored pace decisions as arrays that a pacer is trained on.

S = decisions, F = columns of `inframind.router.pace_features`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from inframind.errors import ConfigError
from inframind.rewards.normalise import canonical_answer
from inframind.router.actions import STAY
from inframind.router.pace_features import PACE_COLUMNS, recorded_pace_features
from inframind.router.topology import JUDGE
from inframind.router.views import Array, Mask
from inframind.traces.records import Decision, Step, Trajectory

LAST = -1
"""``next_S`` of a run's last decision."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PacingSamples:
    """Pace decisions and what came of them; those of one run stand together, in their order.

    Attributes:
        features_SF: what was seen.
        stays_S: whether STAY was chosen.
        may_stay_S: whether it was allowed.
        propensity_S: probability with which the choice was made.
        calls_S: calls up to the run's next pace decision, or to its end.
        next_S: place of the run's next pace decision, or `LAST`.
        solved_S: whether the run's answer was right, in time or not.
        on_time_S: whether it came in time.
        improvement_S: by how much the best agreement so far rose until the next look, 0 to 1.
        round_S: rounds done.
        stagnation_S: share of the agents that had not changed their mind when the decision was made.
    """

    features_SF: Array
    stays_S: Mask
    may_stay_S: Mask
    propensity_S: Array
    calls_S: Array
    next_S: NDArray[np.intp]
    solved_S: Mask
    on_time_S: Mask
    improvement_S: Array
    round_S: Array
    stagnation_S: Array

    def __len__(self) -> int:
        return len(self.stays_S)

    @property
    def longest_run(self) -> int:
        """Most pace decisions in one run."""
        longest = length = 0
        for follower in self.next_S.tolist():
            length += 1
            longest = max(longest, length)
            length = 0 if follower == LAST else length
        return longest

    def up_to(self, max_rounds: int) -> PacingSamples:
        """The same decisions for a pacer that must not STAY once so many rounds are done."""
        return replace(self, may_stay_S=self.may_stay_S & (self.round_S < max_rounds))

    def sums_to_end(self, values_S: Array) -> Array:
        """Sum of a column from each decision to the end of its run (S)."""
        sums_S = values_S.astype(np.float64)
        for place in range(len(sums_S) - 1, -1, -1):
            if self.next_S[place] != LAST:
                sums_S[place] += sums_S[self.next_S[place]]
        return sums_S

    @classmethod
    def of(
        cls, trajectories: Iterable[Trajectory], solved: Mapping[str, bool] | None = None
    ) -> PacingSamples:
        """The pace decisions of finished runs.

        Args:
            trajectories: runs; those without a pace decision, or without a verdict, are left out.
            solved: verdicts by trace id; the runs' own ``solved`` outcomes unless given.

        Raises:
            ConfigError: nothing is left to learn from, or a verdict by trace id would go to several runs.
            ValueError: a decision was stored without what the columns need.
        """
        samples: list[_Sample] = []
        for trajectory in _each_once(trajectories) if solved is not None else trajectories:
            verdict = trajectory.solved if solved is None else solved.get(trajectory.trace_id)
            if verdict is not None:
                samples.extend(_samples(trajectory, verdict, first=len(samples)))
        if not samples:
            raise ConfigError("trajectories", 0, "give runs that have pace decisions and a verdict")
        return cls(
            features_SF=np.stack([sample.features_F for sample in samples]),
            stays_S=np.array([sample.stays for sample in samples]),
            may_stay_S=np.array([sample.may_stay for sample in samples]),
            propensity_S=np.array([sample.propensity for sample in samples]),
            calls_S=np.array([float(sample.calls) for sample in samples]),
            next_S=np.array([sample.next for sample in samples], dtype=np.intp),
            solved_S=np.array([sample.solved for sample in samples]),
            on_time_S=np.array([sample.on_time for sample in samples]),
            improvement_S=np.array([sample.improvement for sample in samples]),
            round_S=np.array([sample.features_F[_ROUND] for sample in samples]),
            stagnation_S=np.array([sample.features_F[_STAGNATION] for sample in samples]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sample:
    """One row of `PacingSamples`."""

    features_F: Array
    stays: bool
    may_stay: bool
    propensity: float
    calls: int
    next: int
    solved: bool
    on_time: bool
    improvement: float


def _each_once(trajectories: Iterable[Trajectory]) -> Iterator[Trajectory]:
    """Simulated runs of one seed share their trace ids: a verdict by trace id would be given to the wrong one."""
    seen: set[str] = set()
    for trajectory in trajectories:
        if trajectory.trace_id in seen:
            raise ConfigError(
                "trajectories",
                trajectory.trace_id,
                "give each trace id once, or verdicts as `solved` outcomes",
            )
        seen.add(trajectory.trace_id)
        yield trajectory


def _samples(trajectory: Trajectory, solved: bool, first: int) -> Iterator[_Sample]:
    decisions = [decision for decision in trajectory.decisions if decision.kind == "pace"]
    best = 0.0
    for place, decision in enumerate(decisions):
        follower = decisions[place + 1] if place + 1 < len(decisions) else None
        number = _round(decision)
        best = max(best, _agreement(trajectory, number))
        after = _agreement(trajectory, number + 1)
        yield _Sample(
            features_F=recorded_pace_features(decision, trajectory),
            stays=decision.action == STAY,
            may_stay=decision.masked[decision.actions.index(STAY)] == "",
            propensity=decision.probability,
            calls=_calls_after(trajectory, number, until=_round(follower) if follower else None),
            next=first + place + 1 if follower else LAST,
            solved=solved,
            on_time=trajectory.on_time,
            improvement=max(0.0, after - best),
        )


def _round(decision: Decision) -> int:
    return int(decision.choice["round"])


def _calls_after(trajectory: Trajectory, number: int, *, until: int | None) -> int:
    """Calls of the rounds after ``number``, up to ``until``; with None to the end, the judge included."""
    if until is None:
        return sum(step.kind == JUDGE or step.round > number for step in trajectory.steps)
    return sum(step.kind != JUDGE and number < step.round <= until for step in trajectory.steps)


def _agreement(trajectory: Trajectory, number: int) -> float:
    """Share of a round's answers that equal its most frequent one; 0 for a round that never was."""
    steps: list[Step] = [s for s in trajectory.steps if s.kind != JUDGE and s.round == number]
    counts = Counter(canonical_answer(step.answer) for step in steps if step.answer)
    return max(counts.values(), default=0) / max(len(steps), 1)


_ROUND = PACE_COLUMNS.index("round")
_STAGNATION = PACE_COLUMNS.index("stagnation")
