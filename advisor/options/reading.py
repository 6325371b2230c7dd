"""Trajectories as arrays, each read once, with the policy that serves asked about every decision."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from inframind.advisor.failure import failure_of
from inframind.advisor.options.expected import expectations
from inframind.advisor.options.logs import Array, Choices, Coded, Ints, Logs, Mask, Narrow, renormalised
from inframind.router.actions import ActionSpace
from inframind.router.choosing import behaviour
from inframind.router.latency import estimate_tokens
from inframind.router.policy import Policy, Proposal
from inframind.router.recorded_views import RecordedPlan, RecordedStep, RecordedViews
from inframind.router.rulebook import RuleBook, narrowed
from inframind.router.rules import HOURS
from inframind.router.views import PlanView, StepView
from inframind.traces.advice import METRICS
from inframind.traces.records import SolvedKeys, Trajectory, solved_of

_SECONDS_PER_HOUR = 3600
_HALVES = 10_000


@dataclass(frozen=True, slots=True)
class _Read:
    """A run whose decisions could all be rebuilt, and what was called for each step."""

    run: Trajectory
    plan: RecordedPlan | None
    steps: tuple[RecordedStep, ...]
    made_s: tuple[float, ...]
    endpoints: tuple[str, ...]
    tokens: int


class LogReader:
    """Reads runs.

    Args:
        actions: what may be chosen; runs with decisions over anything else are left out.
        policy: who serves.
        book: the rules that are in force.
        keys: which feedback says whether a run was solved.
        exploration: share of decisions that are drawn evenly.
        choosing_share: share of the runs that changes are found on.
    """

    def __init__(
        self,
        actions: ActionSpace,
        policy: Policy,
        book: RuleBook,
        *,
        keys: SolvedKeys,
        exploration: float,
        choosing_share: float,
    ) -> None:
        self._actions, self._policy, self._book = actions, policy, book
        self._keys, self._exploration, self._choosing_share = keys, exploration, choosing_share
        self._views = RecordedViews(actions)
        self._places = {label: place for place, label in enumerate(actions.executor_labels)}
        self._plan_places = {action.label: place for place, action in enumerate(actions.planner_actions)}

    def read(self, runs: Iterable[Trajectory]) -> Logs:
        """All finished runs whose decisions can be rebuilt, by order of arrival."""
        ordered = sorted(runs, key=lambda run: (run.arrived_at_s, run.trace_id))
        finished = [run for run in ordered if _has_ended(run)]
        reads = [read for run in finished if (read := self._read(run)) is not None]
        kept = [read.run for read in reads]
        value_RM, is_known_RM = self._values(kept)
        domain = Coded.of([run.domain for run in kept])
        weight_RM, is_blind_RM = known_weights(is_known_RM, value_RM, domain)
        is_choosing_R = np.array(
            [is_for_choosing(run.trace_id, self._choosing_share) for run in kept], dtype=np.bool_
        )
        asked_RM, planned_RM = expectations(
            kept, [read.tokens for read in reads], value_RM, weight_RM, is_choosing_R
        )
        return Logs(
            trace_ids=tuple(run.trace_id for run in kept),
            value_RM=value_RM,
            weight_RM=weight_RM,
            is_blind_RM=is_blind_RM,
            planned_RM=planned_RM,
            asked_RM=asked_RM,
            is_choosing_R=is_choosing_R,
            failed_R=np.array([failure_of(run, self._keys) is not None for run in kept], dtype=np.bool_),
            domain=domain,
            plans=self._plans(reads),
            steps=self._steps(reads),
            notes=_notes(len(finished), kept, is_known_RM, is_blind_RM, domain),
        )

    def _read(self, run: Trajectory) -> _Read | None:
        steps, plan = tuple(self._views.steps(run)), self._views.plan(run)
        decisions = [one for one in run.decisions if one.kind == "step"]
        is_planned = any(one.kind == "plan" for one in run.decisions)
        if len(steps) < len(decisions) or (is_planned and plan is None) or not (steps or plan):
            return None
        if plan is not None and not all(one.label in self._plan_places for one in plan.view.actions):
            return None
        chosen: list[RecordedPlan | RecordedStep] = [*steps, *([plan] if plan else [])]
        if not all(one.probabilities[one.chosen] > 0 for one in chosen):
            return None
        called = {
            step.decision_id: step.attempts[0].endpoint if step.attempts else step.endpoint
            for step in run.steps
        }
        read = run.question_read
        tokens = int(read["prompt_tokens"]) if read else estimate_tokens([run.question])
        return _Read(
            run,
            plan,
            steps,
            tuple(one.made_s for one in decisions),
            tuple(called.get(one.decision_id, "") for one in decisions),
            tokens,
        )

    def _values(self, runs: Sequence[Trajectory]) -> tuple[Array, Mask]:
        """What came of each run, and what of it is known (R, M)."""
        value_RM = np.zeros((len(runs), len(METRICS)))
        is_known_RM = np.ones((len(runs), len(METRICS)), dtype=np.bool_)
        for place, run in enumerate(runs):
            solved = False if run.status == "failed" else solved_of(run.outcomes, self._keys)
            in_time = run.on_time
            value_RM[place] = (
                float(in_time and bool(solved)),
                float(bool(solved)),
                float(in_time),
                run.latency_s,
                run.cost or 0.0,
            )
            is_known_RM[place] = (
                not in_time or solved is not None,
                solved is not None,
                True,
                True,
                run.cost is not None,
            )
        return np.where(is_known_RM, value_RM, 0.0), is_known_RM

    # Decisions -----------------------------------------------------------------------------------------

    def _steps(self, reads: Sequence[_Read]) -> Choices:
        steps = [step for read in reads for step in read.steps]
        run_N = np.array([place for place, read in enumerate(reads) for _ in read.steps], dtype=np.int64)
        made_N = [made_s for read in reads for made_s in read.made_s]
        walls = [reads[place].run.arrived_at_s + made_s for place, made_s in zip(run_N, made_N, strict=True)]
        allowed_NC = np.array([step.view.allowed for step in steps], dtype=np.bool_).reshape(
            len(steps), len(self._places)
        )
        ruled = [
            self._book.at_step(
                domain=step.view.query.domain,
                role=step.view.slot.role,
                topology=step.view.slot.topology,
                prompt_tokens=step.view.query.prompt_tokens,
                wall_s=wall_s,
            )
            for step, wall_s in zip(steps, walls, strict=True)
        ]
        for place, one in enumerate(ruled):
            if one is not None:
                allowed_NC[place] = narrowed(_reasons(allowed_NC[place]), one)[0]
        return self._choices(
            _Asked(self._policy.step, [step.view for step in steps], self._policy.name, self._exploration),
            logged_NC=np.array([step.probabilities for step in steps]).reshape(allowed_NC.shape),
            allowed_NC=allowed_NC,
            run_N=run_N,
            chosen_N=np.array([step.chosen for step in steps], dtype=np.int64),
            reads=reads,
            role=Coded.of([step.view.slot.role for step in steps]),
            topology=Coded.of([step.view.slot.topology for step in steps]),
            endpoint=Coded.of([name for read in reads for name in read.endpoints]),
            walls=walls,
        )

    def _plans(self, reads: Sequence[_Read]) -> Choices:
        planned = [(place, read.plan) for place, read in enumerate(reads) if read.plan is not None]
        run_N = np.array([place for place, _ in planned], dtype=np.int64)
        walls = [reads[place].run.arrived_at_s for place in run_N]
        shape = (len(planned), len(self._plan_places))
        logged_NC, allowed_NC = np.zeros(shape), np.zeros(shape, dtype=np.bool_)
        columns = [self._columns(plan.view) for _, plan in planned]
        for row, ((_, plan), column) in enumerate(zip(planned, columns, strict=True)):
            logged_NC[row, column] = plan.probabilities
            allowed_NC[row, column] = self._plans_left(plan.view, walls[row])
        none = Coded.of([""] * len(planned))
        views = [plan.view for _, plan in planned]
        return self._choices(
            _Asked(self._policy.plan, views, self._policy.name, self._exploration, columns),
            logged_NC=logged_NC,
            allowed_NC=allowed_NC,
            run_N=run_N,
            chosen_N=np.array(
                [column[plan.chosen] for (_, plan), column in zip(planned, columns, strict=True)],
                dtype=np.int64,
            ),
            reads=reads,
            role=none,
            topology=none,
            endpoint=none,
            walls=walls,
        )

    def _columns(self, view: PlanView) -> Ints:
        return np.array([self._plan_places[action.label] for action in view.actions], dtype=np.int64)

    def _plans_left(self, view: PlanView, wall_s: float) -> Mask:
        tokens = view.query.prompt_tokens
        ruled = self._book.at_plan(
            view.actions, domain=view.query.domain, prompt_tokens=tokens, wall_s=wall_s
        )
        return view.allowed if ruled is None else narrowed(_reasons(view.allowed), ruled)[0]

    def _choices(
        self,
        asked: _Asked,
        *,
        logged_NC: Array,
        allowed_NC: Mask,
        run_N: Ints,
        chosen_N: Ints,
        reads: Sequence[_Read],
        role: Coded,
        topology: Coded,
        endpoint: Coded,
        walls: Sequence[float],
    ) -> Choices:
        weights_NC, ranks_NC = asked.proposals(allowed_NC)
        narrow: Narrow = renormalised(weights_NC, self._exploration, ranks_NC)
        return Choices(
            run_N=run_N,
            chosen_N=chosen_N,
            logged_NC=logged_NC,
            allowed_NC=allowed_NC,
            now_NC=narrow(np.arange(len(run_N)), allowed_NC),
            domain=Coded.of([read.run.domain for read in reads]).at(run_N),
            role=role,
            topology=topology,
            endpoint=endpoint,
            hour_N=(np.array(walls, dtype=np.float64) // _SECONDS_PER_HOUR).astype(np.int64) % HOURS,
            tokens_N=np.array([read.tokens for read in reads], dtype=np.int64)[run_N],
            narrow=narrow,
            ask_again=asked.again(weights_NC, narrow),
        )


class _Asked:
    """A policy, and the views that it is asked about; ``columns`` are the places of their candidates, where not all."""

    def __init__(
        self,
        propose: Callable[[PlanView], Proposal] | Callable[[StepView], Proposal],
        views: Sequence[PlanView] | Sequence[StepView],
        name: str,
        exploration: float,
        columns: Sequence[Ints] | None = None,
    ) -> None:
        self._propose, self._views, self._name = propose, views, name
        self._exploration, self._columns = exploration, columns

    def proposals(self, allowed_NC: Mask) -> tuple[Array, Array]:
        """Weights of the candidates (N, C), and their ranks, all 0 where it gives none (N, C)."""
        weights_NC, ranks_NC = np.zeros(allowed_NC.shape), np.zeros(allowed_NC.shape)
        for place in range(len(self._views)):
            proposal, column = self._proposal(place, allowed_NC[place])
            weights_NC[place, column] = proposal.weights
            if proposal.ranks is not None:
                ranks_NC[place, column] = proposal.ranks
        return weights_NC, ranks_NC

    def again(self, weights_NC: Array, narrow: Narrow) -> Narrow:
        """What it would do where less is left. It is asked only where it loses what it gave any weight to."""

        def ask(places: Ints, left_nC: Mask) -> Array:
            target_nC = narrow(places, left_nC)
            loses_n = ((weights_NC[places] > 0) & ~left_nC).any(axis=1)
            for row in np.flatnonzero(loses_n).tolist():
                proposal, column = self._proposal(int(places[row]), left_nC[row])
                target_nC[row, column] = behaviour(
                    proposal.weights.tolist(),
                    left_nC[row][column],
                    exploration=self._exploration,
                    greedy=False,
                    policy=self._name,
                )
            return target_nC

        return ask

    def _proposal(self, place: int, left_C: Mask) -> tuple[Proposal, Ints | slice]:
        column = slice(None) if self._columns is None else self._columns[place]
        view = replace(self._views[place], allowed=left_C[column])
        return self._propose(view), column  # type: ignore[arg-type]


def is_for_choosing(trace_id: str, share: float) -> bool:
    """Whether changes are found on a run, by its id alone: it stays so in every analysis."""
    digest = hashlib.sha256(trace_id.encode()).digest()
    return int.from_bytes(digest[:8], "big") % _HALVES < share * _HALVES


def known_weights(is_known_RM: Mask, value_RM: Array, domain: Coded) -> tuple[Array, Mask]:
    """One over the share of each run's like of which a metric is known (R, M), and where that share is 0 (R, M).

    Alike are runs of one domain that were both in time, or both not: nobody needs to say of a late run that it was not
    right in time, so those are known more often than others.
    """
    weight_RM = np.zeros(is_known_RM.shape)
    is_blind_RM = np.zeros(is_known_RM.shape, dtype=np.bool_)
    in_time_R = value_RM[:, METRICS.index("on_time")] > 0
    for code in range(len(domain.names)):
        for in_time in (True, False):
            like_R = (domain.code_N == code) & (in_time_R == in_time)
            if not like_R.any():
                continue
            share_M = is_known_RM[like_R].mean(axis=0)
            weight_RM[like_R] = is_known_RM[like_R] / np.where(share_M > 0, share_M, 1.0)
            is_blind_RM[like_R] = share_M == 0
    return weight_RM, is_blind_RM


def _has_ended(run: Trajectory) -> bool:
    if run.status == "cancelled":
        return run.latency_s >= run.budget_s
    return run.status != "open"


def _reasons(allowed_C: Mask) -> tuple[str, ...]:
    return tuple("" if may else "masked" for may in allowed_C.tolist())


def _notes(
    finished: int, kept: Sequence[Trajectory], is_known_RM: Mask, is_blind_RM: Mask, domain: Coded
) -> tuple[str, ...]:
    notes = []
    if len(kept) < finished:
        notes.append(
            f"{finished - len(kept):,} of {finished:,} runs were decided over other choices than there are now, "
            "or without probabilities: nothing is predicted from them."
        )
    success = METRICS.index("success")
    known = int(is_known_RM[:, success].sum())
    if known < len(kept):
        notes.append(
            f"Of {known:,} of {len(kept):,} runs it is known whether they were right in time; "
            "each counts for its like in its domain."
        )
    blind = [
        name for code, name in enumerate(domain.names) if is_blind_RM[domain.code_N == code, success].any()
    ]
    if blind:
        notes.append(f"No run in time has a verdict in {', '.join(blind)}: success there is not known.")
    return tuple(notes)
