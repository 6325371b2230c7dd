"""What a policy saw, rebuilt from a trace: to learn from decisions that any policy made, and to ask others about them.

Everything that a view holds is either in the decision, or in the configuration. Decisions over candidates that the
present configuration does not have cannot be rebuilt, and are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from inframind.fleet.snapshot import EndpointLoad, FleetSnapshot
from inframind.router.actions import ActionSpace, PlannerAction
from inframind.router.latency import estimate_tokens
from inframind.router.query_model import ReadText
from inframind.router.viewer import static_columns
from inframind.router.views import Array, PlanView, Query, RoleView, Slot, StepView
from inframind.traces.records import Decision, Trajectory

WAITED = "waited_s"
"""Key in what a step's decision saw: seconds that its run had lain still by then; 0 where it is not there."""
_DOMAIN, _QUESTION_TOKENS = "domain", "question_tokens"


@dataclass(frozen=True, slots=True)
class RecordedStep:
    """A step's decision.

    Attributes:
        view: what was seen.
        chosen: place of the choice among the view's candidates.
        probabilities: behaviour probability of each candidate.
        wall_s: when it was decided, in seconds since the Unix epoch.
    """

    view: StepView
    chosen: int
    probabilities: Array
    wall_s: float = 0.0


@dataclass(frozen=True, slots=True)
class RecordedPlan:
    """A plan's decision, and those of its seats.

    Attributes:
        view: what was seen.
        chosen: place of the choice among the view's candidates.
        probabilities: behaviour probability of each candidate.
        seats: view and place of the role of each seat.
        wall_s: when it was decided, in seconds since the Unix epoch.
    """

    view: PlanView
    chosen: int
    probabilities: Array
    seats: tuple[tuple[RoleView, int], ...]
    wall_s: float = 0.0


class RecordedViews:
    """Rebuilds views over one action space.

    Args:
        actions: what may be chosen.
    """

    def __init__(self, actions: ActionSpace) -> None:
        self._actions = actions
        self._plans = {action.label: action for action in actions.planner_actions}
        self._model_of = {
            endpoint: facts.model for facts in actions.models.values() for endpoint in facts.endpoints
        }
        self._replica_slots = {
            model: facts.slots // len(facts.endpoints) for model, facts in actions.models.items()
        }
        # As without a warm prefix cache, whose saving the trace does not hold.
        self._quality, self._cost = static_columns(actions)

    def steps(self, trajectory: Trajectory) -> Iterator[RecordedStep]:
        """Every step's decision of a run, in the order they were made."""
        query = _query(trajectory)
        for decision in trajectory.decisions:
            if decision.kind == "step" and decision.actions == self._actions.executor_labels:
                yield RecordedStep(
                    self._step_view(decision, trajectory, query),
                    decision.chosen,
                    np.array(decision.probabilities),
                    decided_at_s(trajectory, decision),
                )

    def plan(self, trajectory: Trajectory) -> RecordedPlan | None:
        """The plan's decision of a run; None where there is none that can be rebuilt."""
        decision = next((one for one in trajectory.decisions if one.kind == "plan"), None)
        if decision is None or "step_q50_s" not in decision.seen:
            return None
        if not all(label in self._plans for label in decision.actions):
            return None
        if len(decision.seen["step_q50_s"]) != len(self._quality):
            return None
        query = _query(trajectory)
        view = self._plan_view(decision, trajectory, query)
        return RecordedPlan(
            view,
            decision.chosen,
            np.array(decision.probabilities),
            tuple(self._seats(trajectory, query, view.actions[decision.chosen])),
            decided_at_s(trajectory, decision),
        )

    def _step_view(self, decision: Decision, trajectory: Trajectory, query: Query) -> StepView:
        seen = decision.seen
        slot = Slot(
            topology=seen["topology"],
            kind=seen["kind"],
            position=seen["position"],
            team_size=seen["team_size"],
            role=seen["role"],
            round=seen["round"],
            depth_left=seen["depth_left"],
            agreement=seen["agreement"],
            prompt_tokens=seen["prompt_tokens"],
        )
        return StepView(
            query=_asked_in(seen, query),
            slot=slot,
            budget_s=trajectory.budget_s,
            remaining_s=seen["remaining_s"],
            actions=self._actions.executor_actions,
            allowed=_allowed(decision),
            q50_s=np.array(decision.latency_q50_s),
            q90_s=np.array(decision.latency_q90_s),
            quality=self._quality,
            cost=self._cost,
            models=self._actions.models,
            snapshot=self._snapshot(seen["loads"]),
        )

    def _plan_view(self, decision: Decision, trajectory: Trajectory, query: Query) -> PlanView:
        seen = decision.seen
        plans = tuple(self._plans[label] for label in decision.actions)
        plans = self._actions.planner_actions if plans == self._actions.planner_actions else plans
        graphs = [self._actions.topologies[plan.topology].graph(plan.team_size) for plan in plans]
        return PlanView(
            query=query,
            budget_s=trajectory.budget_s,
            remaining_s=seen["remaining_s"],
            actions=plans,
            calls=np.array([float(graph.calls) for graph in graphs]),
            allowed=_allowed(decision),
            q50_s=np.array(decision.latency_q50_s),
            q90_s=np.array(decision.latency_q90_s),
            step_quality=seen["step_quality"],
            depth=np.array([float(graph.depth) for graph in graphs]),
            step_actions=self._actions.executor_actions,
            step_allowed=np.array(seen["step_allowed"], dtype=np.bool_),
            step_q50_s=np.array(seen["step_q50_s"]),
            step_q90_s=np.array(seen["step_q90_s"]),
            models=self._actions.models,
            snapshot=self._snapshot(seen["loads"]),
        )

    def _seats(
        self, trajectory: Trajectory, query: Query, action: PlannerAction
    ) -> Iterator[tuple[RoleView, int]]:
        roles = self._actions.roles_for(trajectory.domain)
        for seat, role in enumerate(trajectory.team):
            if role not in roles:
                return
            view = RoleView(
                query=query,
                action=action,
                seat=seat,
                roles=roles,
                taken=trajectory.team[:seat],
                allowed=np.ones(len(roles), dtype=np.bool_),
            )
            yield view, roles.index(role)

    def _snapshot(self, loads: Mapping[str, Mapping[str, Any]]) -> FleetSnapshot:
        known = {name: seen for name, seen in loads.items() if name in self._model_of}
        return FleetSnapshot(
            taken_s=0.0,
            loads={name: self._load(name, seen) for name, seen in known.items()},
        )

    def _load(self, endpoint: str, seen: Mapping[str, Any]) -> EndpointLoad:
        model = self._model_of[endpoint]
        # Traces that do not say how many slots the replica had are read as if all replicas had equally many.
        slots = {"max_concurrency": self._replica_slots[model]}
        return EndpointLoad(**{"endpoint": endpoint, "model": model, **slots, **seen})


def asked_apart(query: Query, of_run: Query) -> Mapping[str, Any]:
    """What a step's decision saw of a question that is another than its run's, as far as rules tell them apart."""
    apart = {_DOMAIN: query.domain, _QUESTION_TOKENS: query.prompt_tokens}
    same = {_DOMAIN: of_run.domain, _QUESTION_TOKENS: of_run.prompt_tokens}
    return {name: value for name, value in apart.items() if value != same[name]}


def asked_at(trajectory: Trajectory) -> Iterator[tuple[Query, float]]:
    """What a run was asked and when, in seconds since the Unix epoch: on arrival, and at every plan and step of it."""
    query = _query(trajectory)
    yield query, trajectory.arrived_at_s
    for decision in trajectory.decisions:
        if decision.kind != "pace":
            yield _asked_in(decision.seen, query), decided_at_s(trajectory, decision)


def decided_at_s(trajectory: Trajectory, decision: Decision) -> float:
    """When a plan or a step was decided, in seconds since the Unix epoch: a run may have lain still before."""
    return trajectory.arrived_at_s + decision.made_s + float(decision.seen.get(WAITED, 0.0))


def _query(trajectory: Trajectory) -> Query:
    read, text = trajectory.question_read, trajectory.question
    return Query(
        text=ReadText.of(text, read) if read else text,
        domain=trajectory.domain,
        question_id=trajectory.question_id,
        prompt_tokens=int(read["prompt_tokens"]) if read else estimate_tokens([text]),
    )


def _asked_in(seen: Mapping[str, Any], query: Query) -> Query:
    """What `asked_apart` was given; the text is that of the run's question."""
    if _DOMAIN not in seen and _QUESTION_TOKENS not in seen:
        return query
    domain, tokens = seen.get(_DOMAIN, query.domain), seen.get(_QUESTION_TOKENS, query.prompt_tokens)
    return replace(query, domain=domain, prompt_tokens=tokens)


def _allowed(decision: Decision) -> np.ndarray:
    return np.array([not reason for reason in decision.masked])
