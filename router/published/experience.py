"""Finished runs as arrays for the published learner.

R = runs, P = plans, N = seats, S = steps, E = embedding, T = topologies, U = roles, M = models, A = joint head.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from inframind.rewards.outcomes import RunOutcomes
from inframind.router.encoder import Floats
from inframind.router.published.reading import Reader
from inframind.router.recorded_views import RecordedPlan, RecordedStep, RecordedViews
from inframind.router.views import Array, Mask
from inframind.traces.records import Decision, Trajectory

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plans:
    """Planner decisions and their seats.

    Attributes:
        question: embeddings (P, E).
        allowed: topologies of which some plan may be chosen (P, T).
        chosen: topology (P).
        run: which run it belongs to (P).
        seat_context: (N, 3 E).
        seat_allowed: roles of the domain (N, U).
        seat_chosen: role (N).
        seat_plan: which plan it belongs to (N).
    """

    question: Floats
    allowed: Mask
    chosen: Ints
    run: Ints
    seat_context: Floats
    seat_allowed: Mask
    seat_chosen: Ints
    seat_plan: Ints

    def __len__(self) -> int:
        return len(self.chosen)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Steps:
    """Executor decisions.

    Attributes:
        semantic: (S, 2 E).
        resources: (S, 1 + 3 M).
        allowed: (S, A).
        chosen: entry of the joint head (S).
        probability: behaviour probability of the choice (S).
        latency_s: of the step itself (S).
        run: which run it belongs to (S).
    """

    semantic: Floats
    resources: Floats
    allowed: Mask
    chosen: Ints
    probability: Array
    latency_s: Array
    run: Ints

    def __len__(self) -> int:
        return len(self.chosen)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """Runs that are learned from together.

    Attributes:
        outcomes: how the runs ended (R).
        plans: planner decisions of those runs that have one.
        steps: executor decisions that led to a call, by a strategy of the joint head.
    """

    outcomes: RunOutcomes
    plans: Plans
    steps: Steps

    @property
    def step_outcomes(self) -> RunOutcomes:
        """Each step with the outcome of its run and its own latency (S)."""
        run = self.steps.run
        return RunOutcomes(
            solved_B=self.outcomes.solved_B[run],
            latency_s_B=self.outcomes.latency_s_B[run],
            budget_s_B=self.outcomes.budget_s_B[run],
            step_latency_s_B=self.steps.latency_s,
        )


class _Seat(NamedTuple):
    context: Floats
    allowed: Mask
    chosen: int
    plan: int


class _Plan(NamedTuple):
    question: Floats
    allowed: Mask
    chosen: int
    run: int


class _Step(NamedTuple):
    semantic: Floats
    resources: Floats
    allowed: Mask
    chosen: int
    probability: float
    latency_s: float
    run: int


class BatchReader:
    """Turns traces into batches.

    Args:
        reader: turns views into the networks' inputs.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader, self._views = reader, RecordedViews(reader.actions)
        self._entry = {int(place): entry for entry, place in enumerate(reader.places_A)}

    def read(self, runs: Sequence[Trajectory], solved: Mapping[str, bool]) -> Batch:
        """A batch of these runs, all of which are graded."""
        plans: list[_Plan] = []
        seats: list[_Seat] = []
        steps: list[_Step] = []
        for place, run in enumerate(runs):
            recorded = self._views.plan(run)
            if recorded is not None:
                seats += self._seats(recorded, len(plans))
                plans.append(self._plan(recorded, place))
            steps += self._steps(run, place)
        return Batch(
            outcomes=RunOutcomes(
                solved_B=np.array([solved[run.trace_id] for run in runs], dtype=np.bool_),
                latency_s_B=np.array([max(run.latency_s, 0.0) for run in runs], dtype=np.float64),
                budget_s_B=np.array([run.budget_s for run in runs], dtype=np.float64),
            ),
            plans=self._plan_arrays(plans, seats),
            steps=self._step_arrays(steps),
        )

    def _plan(self, recorded: RecordedPlan, run: int) -> _Plan:
        view, topologies = recorded.view, self._reader.topologies
        may = {action.topology for action, allowed in zip(view.actions, view.allowed, strict=True) if allowed}
        chosen = view.actions[recorded.chosen].topology
        return _Plan(
            self._reader.text(view.query.text),
            np.array([name in may for name in topologies]),
            topologies.index(chosen),
            run,
        )

    def _seats(self, recorded: RecordedPlan, plan: int) -> list[_Seat]:
        roles = self._reader.roles
        return [
            _Seat(
                self._reader.context(view.query.text, view.action.topology, view.taken),
                np.array([role in view.roles for role in roles]),
                roles.index(view.roles[chosen]),
                plan,
            )
            for view, chosen in recorded.seats
        ]

    def _steps(self, run: Trajectory, place: int) -> list[_Step]:
        latency_s = {step.decision_id: max(step.latency_s, 0.0) for step in run.steps}
        decisions = [one for one in run.decisions if self._is_known_step(one)]
        return [
            self._step(recorded, latency_s[decision.decision_id], place)
            for decision, recorded in zip(decisions, self._views.steps(run), strict=True)
            if decision.decision_id in latency_s and decision.chosen in self._entry
        ]

    def _is_known_step(self, decision: Decision) -> bool:
        return decision.kind == "step" and decision.actions == self._reader.actions.executor_labels

    def _step(self, recorded: RecordedStep, latency_s: float, run: int) -> _Step:
        allowed = self._reader.allowed(recorded.view)
        return _Step(
            self._reader.semantic(recorded.view),
            self._reader.resources(recorded.view),
            allowed,
            self._entry[recorded.chosen],
            float(recorded.probabilities[recorded.chosen]),
            latency_s,
            run,
        )

    def _plan_arrays(self, plans: Sequence[_Plan], seats: Sequence[_Seat]) -> Plans:
        dimension = self._reader.dimension
        return Plans(
            question=_rows([one.question for one in plans], dimension),
            allowed=_masks([one.allowed for one in plans], len(self._reader.topologies)),
            chosen=_ints([one.chosen for one in plans]),
            run=_ints([one.run for one in plans]),
            seat_context=_rows([one.context for one in seats], 3 * dimension),
            seat_allowed=_masks([one.allowed for one in seats], len(self._reader.roles)),
            seat_chosen=_ints([one.chosen for one in seats]),
            seat_plan=_ints([one.plan for one in seats]),
        )

    def _step_arrays(self, steps: Sequence[_Step]) -> Steps:
        reader = self._reader
        n_resources = len(steps[0].resources) if steps else 0
        return Steps(
            semantic=_rows([one.semantic for one in steps], 2 * reader.dimension),
            resources=_rows([one.resources for one in steps], n_resources),
            allowed=_masks([one.allowed for one in steps], len(reader.places_A)),
            chosen=_ints([one.chosen for one in steps]),
            probability=np.array([one.probability for one in steps], dtype=np.float64),
            latency_s=np.array([one.latency_s for one in steps], dtype=np.float64),
            run=_ints([one.run for one in steps]),
        )


def _rows(vectors: Sequence[Floats], columns: int) -> Floats:
    return np.array(vectors, dtype=np.float32).reshape(len(vectors), columns)


def _masks(masks: Sequence[Mask], columns: int) -> Mask:
    return np.array(masks, dtype=np.bool_).reshape(len(masks), columns)


def _ints(values: Sequence[int]) -> Ints:
    return np.array(values, dtype=np.int64)
