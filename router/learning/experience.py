"""Decisions as tensors-to-be: what was seen, what was chosen, and how the run ended.

N = decisions, C = most candidates of any of them (rows beyond a decision's own are masked), R = runs.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inframind.rewards.outcomes import RunOutcomes
from inframind.router.actions import ActionSpace
from inframind.router.columns import (
    CANDIDATE_TABLES,
    TABLES,
    action_names,
    column_counts,
    plan_names,
    role_names,
)
from inframind.router.features import FeatureBuilder, Features
from inframind.router.learning.networks import rows_of
from inframind.router.recorded_views import RecordedViews
from inframind.router.views import Array
from inframind.traces.records import Trajectory

Ints = NDArray[np.int64]
Names = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decisions:
    """Decisions of one kind.

    Attributes:
        state: (N, D).
        state_rows: row in each state table (N, tables).
        candidates: (N, C, K).
        candidate_rows: row in each candidate table (N, C, tables).
        prior_logit: (N, C).
        slack: (N, C).
        work: (N, C).
        allowed: (N, C).
        chosen: (N).
        probability: behaviour probability of the choice (N).
        run: which run it belongs to (N).
    """

    state: Array
    state_rows: Ints
    candidates: Array
    candidate_rows: Ints
    prior_logit: Array
    slack: Array
    work: Array
    allowed: NDArray[np.bool_]
    chosen: Ints
    probability: Array
    run: Ints

    def __len__(self) -> int:
        return len(self.chosen)

    def at(self, places: NDArray[np.int64]) -> Decisions:
        """Some of them."""
        return Decisions(**{one.name: getattr(self, one.name)[places] for one in fields(self)})

    def taken(self) -> Decisions:
        """The same decisions with the choice as the only candidate."""
        rows = np.arange(len(self))[:, None]
        columns = self.chosen[:, None]
        picked = {
            name: getattr(self, name)[rows, columns]
            for name in ("candidates", "candidate_rows", "prior_logit", "slack", "work", "allowed")
        }
        kept = {name: getattr(self, name) for name in ("state", "state_rows", "probability", "run")}
        return Decisions(**picked, **kept, chosen=np.zeros(len(self), dtype=np.int64))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Experience:
    """Runs that ended, and every decision in them.

    Attributes:
        decisions: by kind of decision.
        outcomes: of the runs (R).
        solved_share: label of each run, or the probability that stands in for one (R).
        weight: of each run in the critics' loss, 1 for a label (R).
        on_time: whether each run answered within its budget (R).
        question: an id of each run's question, equal for equal questions (R).
    """

    decisions: Mapping[str, Decisions]
    outcomes: RunOutcomes
    solved_share: Array
    weight: Array
    on_time: NDArray[np.bool_]
    question: Ints

    def taken(self) -> Experience:
        """The same with the choices taken as the only candidates."""
        return replace(self, decisions={kind: one.taken() for kind, one in self.decisions.items()})

    def without_decisions(self) -> Experience:
        """How the runs ended, alone."""
        return replace(self, decisions={})


def experience_arrays(experience: Experience) -> dict[str, Any]:
    """As a tree of arrays, to be kept."""
    outcomes = experience.outcomes
    return {
        "decisions": {
            kind: {one.name: getattr(decisions, one.name) for one in fields(decisions)}
            for kind, decisions in experience.decisions.items()
        },
        "runs": {
            "solved": outcomes.solved_B,
            "solved_share": experience.solved_share,
            "weight": experience.weight,
            "latency_s": outcomes.latency_s_B,
            "budget_s": outcomes.budget_s_B,
            "on_time": experience.on_time,
            "question": experience.question,
        },
    }


def experience_of(arrays: Mapping[str, Any]) -> Experience:
    """What `experience_arrays` was made of."""
    runs = arrays["runs"]
    return Experience(
        decisions={kind: Decisions(**columns) for kind, columns in arrays["decisions"].items()},
        outcomes=RunOutcomes(
            solved_B=runs["solved"], latency_s_B=runs["latency_s"], budget_s_B=runs["budget_s"]
        ),
        solved_share=runs["solved_share"],
        weight=runs["weight"],
        on_time=runs["on_time"],
        question=runs["question"],
    )


def joined(parts: Sequence[Experience]) -> Experience:
    """Several as one."""
    offsets = np.cumsum([0, *(len(part.on_time) for part in parts)])
    kinds = parts[0].decisions
    return Experience(
        decisions={
            kind: _stacked([part.decisions[kind] for part in parts], offsets[:-1].tolist()) for kind in kinds
        },
        outcomes=RunOutcomes(
            solved_B=np.concatenate([part.outcomes.solved_B for part in parts]),
            latency_s_B=np.concatenate([part.outcomes.latency_s_B for part in parts]),
            budget_s_B=np.concatenate([part.outcomes.budget_s_B for part in parts]),
        ),
        solved_share=np.concatenate([part.solved_share for part in parts]),
        weight=np.concatenate([part.weight for part in parts]),
        on_time=np.concatenate([part.on_time for part in parts]),
        question=np.concatenate([part.question for part in parts]),
    )


def _stacked(parts: Sequence[Decisions], offsets: Sequence[int]) -> Decisions:
    columns = {
        one.name: np.concatenate([getattr(part, one.name) for part in parts]) for one in fields(Decisions)
    }
    columns["run"] = np.concatenate([part.run + offset for part, offset in zip(parts, offsets, strict=True)])
    return Decisions(**columns)


class ExperienceReader:
    """Turns traces into experience.

    Args:
        actions: what may be chosen; decisions over other candidates are left out.
        features: turns views into features.
        state_names: names that have rows of their own, by state table.
        candidate_names: the same, by candidate table.
        excluded_strategies: not allowed to whoever learns, where anything else was allowed.
    """

    def __init__(
        self,
        actions: ActionSpace,
        features: FeatureBuilder,
        state_names: Names,
        candidate_names: Names,
        *,
        excluded_strategies: frozenset[str] = frozenset(),
    ) -> None:
        self._views, self._features = RecordedViews(actions), features
        self._state_names, self._candidate_names = state_names, candidate_names
        self._is_wanted = np.array(
            [action.strategy not in excluded_strategies for action in actions.executor_actions]
        )
        self._n_candidates = {
            "step": len(actions.executor_actions),
            "plan": len(actions.planner_actions),
            "role": max(len(roles) for roles in actions.roles.values()),
        }
        self._rows = lru_cache(maxsize=256)(self._candidate_rows)

    def read(
        self, trajectories: Iterable[Trajectory], solved: Mapping[str, float], *, weight: float = 1.0
    ) -> Experience:
        """Experience of the runs that have a label.

        Args:
            trajectories: finished runs.
            solved: whether each run's answer is right, or how probably, by trace id; runs that are not in it are
                left out.
            weight: of each of these runs.

        Raises:
            ValueError: a label is not in [0, 1].
        """
        drafts: dict[str, list[_Draft]] = {kind: [] for kind in TABLES}
        runs = [trajectory for trajectory in trajectories if trajectory.trace_id in solved]
        for place, trajectory in enumerate(runs):
            self._read_run(place, trajectory, drafts)
        share_R = _shares(runs, solved)
        return Experience(
            decisions={kind: self._arrays(kind, drafts[kind]) for kind in drafts},
            outcomes=RunOutcomes(
                solved_B=share_R >= 0.5,  # where it is a probability, no reward looks at it
                latency_s_B=np.array([_latency_s(run) for run in runs], dtype=np.float64),
                budget_s_B=np.array([run.budget_s for run in runs], dtype=np.float64),
            ),
            solved_share=share_R,
            weight=np.full(len(runs), weight),
            on_time=np.array([run.on_time for run in runs], dtype=np.bool_),
            question=_ids([run.question for run in runs]),
        )

    def _read_run(self, place: int, trajectory: Trajectory, drafts: dict[str, list[_Draft]]) -> None:
        for step in self._views.steps(trajectory):
            names = action_names(step.view.actions)
            wanted = step.view.allowed & self._is_wanted
            drafts["step"].append(
                _Draft(
                    self._features.step(step.view),
                    self._rows("step", tuple(names.items())),
                    wanted if wanted.any() else step.view.allowed,
                    step.chosen,
                    float(step.probabilities[step.chosen]),
                    place,
                )
            )
        plan = self._views.plan(trajectory)
        if plan is None:
            return
        drafts["plan"].append(
            _Draft(
                self._features.plan(plan.view),
                self._rows("plan", tuple(plan_names(plan.view.actions).items())),
                plan.view.allowed,
                plan.chosen,
                float(plan.probabilities[plan.chosen]),
                place,
            )
        )
        for view, chosen in plan.seats:
            rows = self._rows("role", tuple(role_names(view.roles).items()))
            # The trace holds the probability of the whole team, not of each seat.
            drafts["role"].append(_Draft(self._features.role(view), rows, view.allowed, chosen, 1.0, place))

    def _candidate_rows(self, kind: str, names: tuple[tuple[str, tuple[str, ...]], ...]) -> Ints:
        by_table = dict(names)
        columns = [rows_of(self._candidate_names[table], by_table[table]) for table in CANDIDATE_TABLES[kind]]
        return np.array(columns, dtype=np.int64).T

    def _arrays(self, kind: str, drafts: Sequence[_Draft]) -> Decisions:
        n, most = len(drafts), self._n_candidates[kind]
        n_state, n_candidate = column_counts(kind)
        tables = [self._state_names[table] for table in TABLES[kind]]
        candidates = np.zeros((n, most, n_candidate))
        rows = np.zeros((n, most, len(CANDIDATE_TABLES[kind])), dtype=np.int64)
        prior, slack, work = np.zeros((3, n, most))
        allowed = np.zeros((n, most), dtype=np.bool_)
        for place, draft in enumerate(drafts):
            here = slice(len(draft.allowed))
            candidates[place, here] = draft.features.candidates
            rows[place, here] = draft.rows
            prior[place, here] = draft.features.prior_logit
            slack[place, here] = draft.features.slack
            work[place, here] = draft.features.work
            allowed[place, here] = draft.allowed
            allowed[place, draft.chosen] = True
        return Decisions(
            state=np.array([draft.features.state for draft in drafts]).reshape(n, n_state),
            state_rows=np.array(
                [
                    [
                        rows_of(known, [name])[0]
                        for known, name in zip(tables, draft.features.state_names, strict=True)
                    ]
                    for draft in drafts
                ],
                dtype=np.int64,
            ).reshape(n, len(tables)),
            candidates=candidates,
            candidate_rows=rows,
            prior_logit=prior,
            slack=slack,
            work=work,
            allowed=allowed,
            chosen=np.array([draft.chosen for draft in drafts], dtype=np.int64),
            probability=np.array([draft.probability for draft in drafts], dtype=np.float64),
            run=np.array([draft.run for draft in drafts], dtype=np.int64),
        )


@dataclass(frozen=True, slots=True)
class _Draft:
    features: Features
    rows: Ints
    allowed: NDArray[np.bool_]
    chosen: int
    probability: float
    run: int


def _shares(runs: Sequence[Trajectory], solved: Mapping[str, float]) -> Array:
    share_R = np.array([solved[run.trace_id] for run in runs], dtype=np.float64)
    if not ((share_R >= 0) & (share_R <= 1)).all():
        raise ValueError("solved: give labels, or probabilities in [0, 1]")
    return share_R


def _latency_s(run: Trajectory) -> float:
    """As rewards read it, who know a late run by its latency alone.

    A run that is cut off at its deadline ends there, give or take rounding, and was late all the same.
    """
    is_cut = run.status == "late" or (run.status == "failed" and run.latency_s >= _NEARLY * run.budget_s)
    return max(run.latency_s, math.nextafter(run.budget_s, math.inf)) if is_cut else max(run.latency_s, 0.0)


_NEARLY = 1 - 1e-9


def _ids(questions: Sequence[str]) -> Ints:
    """A number for each text, the same in every process."""
    return np.array([zlib.crc32(question.encode()) for question in questions], dtype=np.int64)
