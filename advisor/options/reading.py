"""Trajectories as arrays, each read once, with the policy that serves asked about every decision."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from inframind.advisor.failure import failure_of
from inframind.advisor.options.asking import Asked, Propose
from inframind.advisor.options.doubts import latest_part
from inframind.advisor.options.expected import expectations
from inframind.advisor.options.judges import judge_of, of_rates
from inframind.advisor.options.late_costs import with_late_costs
from inframind.advisor.options.logs import Array, Choices, Coded, Ints, Logs, Mask, Narrow, renormalised
from inframind.advisor.options.notes import of_choices, of_drift, of_verdicts
from inframind.advisor.options.one_sided import without_one_sided
from inframind.router.actions import ActionSpace
from inframind.router.cost import Prices
from inframind.router.latency import estimate_tokens
from inframind.router.policy import Policy
from inframind.router.recorded_views import RecordedPlan, RecordedStep, RecordedViews
from inframind.router.rulebook import RuleBook, narrowed
from inframind.router.ruled_views import RuledViews
from inframind.router.rules import HOURS, SECONDS_PER_HOUR
from inframind.router.views import PlanView, StepView
from inframind.traces.advice import METRICS
from inframind.traces.records import SolvedKeys, Trajectory, solved_of

_HALVES = 10_000


@dataclass(frozen=True, slots=True)
class _Read:
    """A run whose decisions could all be rebuilt, and what was called for each step."""

    run: Trajectory
    plan: RecordedPlan | None
    steps: tuple[RecordedStep, ...]
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
        greedy: whether the policy's best candidate is always taken.
        is_careful: by which quantile plans must be in time, see `RuledViews`; None where that is not looked at.
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
        greedy: bool = False,
        is_careful: bool | None = None,
    ) -> None:
        self._actions, self._policy, self._book = actions, policy, book
        self._keys, self._exploration, self._choosing_share = keys, exploration, choosing_share
        self._greedy, self._is_careful = greedy, is_careful
        self._views, self._prices = RecordedViews(actions), Prices.of(actions.models)
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
        value_RM, is_known_RM = with_late_costs(value_RM, is_known_RM, domain)
        is_known_RM, one_sided = without_one_sided(is_known_RM, value_RM, domain)
        value_RM = np.where(is_known_RM, value_RM, 0.0)
        weight_RM, is_blind_RM = known_weights(is_known_RM, value_RM, domain)
        is_choosing_R = np.array(
            [is_for_choosing(run.trace_id, self._choosing_share) for run in kept], dtype=np.bool_
        )
        asked_RM, planned_RM = expectations(
            kept, [read.tokens for read in reads], value_RM, weight_RM, is_choosing_R
        )
        steps = self._steps(reads)
        logs = Logs(
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
            steps=steps,
            judge=Coded.of([judge_of(run.outcomes, self._keys) for run in kept]),
            is_late_R=latest_part(np.array([run.arrived_at_s for run in kept])),
        )
        models = [action.model for action in self._actions.executor_actions]
        strategies = [action.strategy for action in self._actions.executor_actions]
        notes = (
            *of_choices(len(finished), len(kept), steps),
            *of_drift(steps, models),
            *of_verdicts(is_blind_RM, domain, one_sided),
            *of_rates(logs, models, strategies),
        )
        return replace(logs, notes=notes)

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
            tuple(called.get(one.decision_id, "") for one in decisions),
            tokens,
        )

    def _values(self, runs: Sequence[Trajectory]) -> tuple[Array, Mask]:
        """What came of each run, and what of it is known (R, M)."""
        value_RM = np.zeros((len(runs), len(METRICS)))
        is_known_RM = np.ones((len(runs), len(METRICS)), dtype=np.bool_)
        for place, run in enumerate(runs):
            solved = False if run.status == "failed" else solved_of(run.outcomes, self._keys)
            in_time, cost = run.on_time, self._cost(run)
            value_RM[place] = (
                float(in_time and bool(solved)),
                float(bool(solved)),
                float(in_time),
                run.latency_s,
                cost or 0.0,
            )
            is_known_RM[place] = (
                not in_time or solved is not None,
                solved is not None,
                True,
                True,
                cost is not None,
            )
        return value_RM, is_known_RM

    def _cost(self, run: Trajectory) -> float | None:
        """At the prices of today, so that all runs are of one unit; as it was kept where no tokens were."""
        if run.cost is None:
            return None
        today = self._prices.of_steps(run.steps)
        return run.cost if today is None else today

    # Decisions -----------------------------------------------------------------------------------------

    def _steps(self, reads: Sequence[_Read]) -> Choices:
        steps = [step for read in reads for step in read.steps]
        run_N = np.array([place for place, read in enumerate(reads) for _ in read.steps], dtype=np.int64)
        walls = [step.wall_s for step in steps]
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
            self._asked(self._policy.step, [step.view for step in steps]),
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
        walls = [plan.wall_s for _, plan in planned]
        shape = (len(planned), len(self._plan_places))
        logged_NC, allowed_NC = np.zeros(shape), np.zeros(shape, dtype=np.bool_)
        columns = [self._columns(plan.view) for _, plan in planned]
        under_own = RuledViews(self._book, is_careful=self._is_careful)
        views = [under_own.plan(plan.view, wall_s) for (_, plan), wall_s in zip(planned, walls, strict=True)]
        for row, ((_, plan), column) in enumerate(zip(planned, columns, strict=True)):
            logged_NC[row, column] = plan.probabilities
            allowed_NC[row, column] = views[row].allowed
        none = Coded.of([""] * len(planned))
        asked = self._asked(self._policy.plan, views, columns)

        def ask_under(places: Ints, book: RuleBook) -> tuple[Mask, Array]:
            return asked.under(RuledViews(book, is_careful=self._is_careful), places, walls, shape[1])

        choices = self._choices(
            asked,
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
        return replace(choices, ask_under=ask_under)

    def _asked(
        self,
        propose: Propose,
        views: Sequence[PlanView] | Sequence[StepView],
        columns: Sequence[Ints] | None = None,
    ) -> Asked:
        return Asked(propose, views, self._policy.name, self._exploration, self._greedy, columns)

    def _columns(self, view: PlanView) -> Ints:
        return np.array([self._plan_places[action.label] for action in view.actions], dtype=np.int64)

    def _choices(
        self,
        asked: Asked,
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
            hour_N=(np.array(walls, dtype=np.float64) // SECONDS_PER_HOUR).astype(np.int64) % HOURS,
            tokens_N=np.array([read.tokens for read in reads], dtype=np.int64)[run_N],
            narrow=narrow,
            ask_again=asked.again(weights_NC, narrow),
        )


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
