"""The heart: mask what cannot be, let the policy propose, explore, choose, and record the propensity.

Nothing here takes a lock across an await, does I/O or waits for a metrics page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import compress
from typing import Any, NamedTuple, TypeVar

import numpy as np

from inframind.errors import ConfigError, UnknownModel
from inframind.fleet.clock import Clock, Deadline
from inframind.fleet.snapshot import FleetSnapshot
from inframind.router.actions import ADVANCE, STAY, ActionSpace, PlannerAction
from inframind.router.choosing import behaviour, best_of, draw, failover_order
from inframind.router.features import FEATURES_VERSION
from inframind.router.latency import LatencyModel
from inframind.router.masks import TOO_SLOW, PaceMask, StepMasks, plan_masks
from inframind.router.policy import Policy, Proposal
from inframind.router.switching import SwitchingConfig, saved_cost, saved_s
from inframind.router.topology import TopologySpec
from inframind.router.views import Array, Mask, PaceView, PlanView, Query, RoleView, Slot, StepView
from inframind.traces.records import Decision, DecisionKind


@dataclass(frozen=True, kw_only=True)
class DecideConfig:
    """How proposals become choices."""

    exploration: float = 0.0
    """Share of decisions drawn uniformly from what is allowed; every propensity is at least this share's.

    With 0 a rule like ``just_enough`` gives its own choice probability 1, and the others none: such traces explain,
    but say nothing about another policy. Collect traces for learning with 0.05 or more.
    """
    greedy: bool = False
    """Evaluation mode: always the policy's best candidate."""
    switching: SwitchingConfig = field(default_factory=SwitchingConfig)
    """What it is worth to stay with the model that has read a conversation's beginning."""
    deadline_quantile: float = 0.9
    """What is predicted to end after the deadline is masked, by this quantile of its latency.

    With 0.9 nothing is tried that fails one time in ten: right for policies that do not weigh the risk themselves.
    With 0.5 only what is likelier to be late than not is masked: for those that do, since a much better answer is
    worth some risk.
    """

    def __post_init__(self) -> None:
        if not 0 <= self.exploration <= 1:
            raise ConfigError("policy.exploration", self.exploration, "use a share in [0, 1]")
        if self.deadline_quantile not in (0.5, 0.9):
            raise ConfigError("policy.deadline_quantile", self.deadline_quantile, "use 0.5 or 0.9")
        if self.greedy and self.exploration:
            raise ConfigError(
                "policy.exploration", self.exploration, "greedy evaluation explores nothing: use 0"
            )


@dataclass(frozen=True, slots=True)
class Plan:
    """A topology, and the role of each agent."""

    topology: TopologySpec
    team: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StepChoice:
    """A model, a strategy, and what to fall back on.

    Attributes:
        model: chosen model.
        strategy: chosen strategy.
        models: the chosen model first, then for failover the allowed ones in the policy's order, and at last
            those that are only predicted to be too slow: late is better than none.
        q50_s: predicted median seconds of the step.
        q90_s: predicted 90 % quantile.
    """

    model: str
    strategy: str
    models: tuple[str, ...]
    q50_s: float
    q90_s: float


class _Planned(NamedTuple):
    """Planner actions that are asked for together (P), with their labels, calls and depths."""

    actions: tuple[PlannerAction, ...]
    labels: tuple[str, ...]
    calls: Array
    depth: Array


V = TypeVar("V", PlanView, StepView)
NO_HASTE = 0.95
"""A deadline that leaves at least this part of a run's whole time hurries nobody."""
_PLANNED_KEPT = 256
_NOTHING: Mapping[str, Any] = {}


class Decider:
    """Asks one policy, and turns its proposals into recorded decisions.

    Args:
        actions: what may be chosen.
        policy: who proposes; replace it by assigning ``policy``, which is atomic.
        latency: predicts step latency.
        clock: time.
        rng: chance.
        config: exploration, or greedy evaluation.
    """

    def __init__(
        self,
        actions: ActionSpace,
        policy: Policy,
        latency: LatencyModel,
        *,
        clock: Clock,
        rng: np.random.Generator,
        config: DecideConfig | None = None,
    ) -> None:
        self.actions, self.policy, self.latency = actions, policy, latency
        self._clock, self._rng, self._config = clock, rng, config or DecideConfig()
        self._quality, self._cost = _static_columns(actions)
        self._masks = StepMasks(actions)
        self._is_careful = self._config.deadline_quantile == 0.9
        self._planned = lru_cache(maxsize=_PLANNED_KEPT)(self._narrowed)

    def plan(
        self,
        query: Query,
        snapshot: FleetSnapshot,
        deadline: Deadline,
        *,
        decision_id: str,
        topology: str | None = None,
        team_size: int | None = None,
        whole_s: float | None = None,
    ) -> tuple[Plan, Decision]:
        """Choose topology, team size and roles; a fixed ``topology`` or ``team_size`` narrows the choice.

        ``whole_s`` are the seconds that the run has in all, where the deadline leaves this part of it less: a plan that
        they would allow and the policy prefer is then recorded as ``seen["degraded"]``.

        Raises:
            UnknownTopology: no topology of that name.
            ConfigError: nothing fits the fixed values.
        """
        planned = self._planned(topology, team_size)
        view, reasons = self._plan_view(query, snapshot, deadline, planned)
        proposal = self.policy.plan(view)
        probabilities = self._behaviour(proposal.weights.tolist(), view.allowed)
        chosen = draw(probabilities, self._rng)
        action = planned.actions[chosen]
        team, team_probability = self._seat_roles(query, action)
        decision = self._record(
            "plan", decision_id, deadline, proposal, planned.labels, probabilities, reasons, chosen,
            probability=probabilities[chosen] * team_probability,
            choice={"topology": action.topology, "team_size": action.team_size, "team": list(team)},
            quantiles=(view.q50_s, view.q90_s),
            seen={
                "remaining_s": view.remaining_s,
                "step_quality": view.step_quality,
                "team_probability": team_probability,
                "step_allowed": view.step_allowed.tolist(),
                "step_q50_s": view.step_q50_s.tolist(),
                "step_q90_s": view.step_q90_s.tolist(),
                **self._degraded(
                    reasons, planned.labels, view.remaining_s, whole_s, self.policy.plan,
                    lambda leisure: self._plan_view(query, snapshot, leisure, planned)[0],
                ),
                "loads": _loads(snapshot),
            },
        )  # fmt: skip
        return Plan(self.actions.topology(action.topology), team), decision

    def step(
        self,
        query: Query,
        slot: Slot,
        snapshot: FleetSnapshot,
        deadline: Deadline,
        *,
        decision_id: str,
        context: Mapping[str, Any] = _NOTHING,
        whole_s: float | None = None,
    ) -> tuple[StepChoice, Decision]:
        """Choose model and strategy for one step; ``context`` is kept with what was seen, for people and audits.

        ``whole_s`` are the seconds that the run has in all, where the deadline leaves this step less: a candidate that
        they would allow and the policy prefer is then recorded as ``seen["degraded"]``.

        Raises:
            UnknownModel, ConfigError: the slot's caller settled on a model or a strategy that there is not.
        """
        self._require_known(slot)
        view, reasons = self._step_view(query, slot, snapshot, deadline)
        proposal = self.policy.step(view)
        weights = proposal.weights.tolist()
        probabilities = self._behaviour(weights, view.allowed)
        chosen = draw(probabilities, self._rng)
        action = view.actions[chosen]
        decision = self._record(
            "step", decision_id, deadline, proposal, self.actions.executor_labels, probabilities, reasons, chosen,
            probability=probabilities[chosen],
            choice={"model": action.model, "strategy": action.strategy},
            quantiles=(view.q50_s, view.q90_s),
            seen={
                "remaining_s": view.remaining_s,
                "kind": slot.kind,
                "role": slot.role,
                "topology": slot.topology,
                "position": slot.position,
                "team_size": slot.team_size,
                "round": slot.round,
                "depth_left": slot.depth_left,
                "agreement": slot.agreement,
                "prompt_tokens": slot.prompt_tokens,
                **({"warm_model": slot.warm_model, "warm_tokens": slot.warm_tokens} if slot.warm_tokens else {}),
                **context,
                **self._degraded(
                    reasons, self.actions.executor_labels, view.remaining_s, whole_s, self.policy.step,
                    lambda leisure: self._step_view(query, slot, snapshot, leisure)[0],
                ),
                "loads": _loads(snapshot),
            },
        )  # fmt: skip
        return self._choice(decision, weights), decision

    def pace(
        self,
        query: Query,
        topology: TopologySpec,
        *,
        round_number: int,
        agreement: float,
        stagnation: float,
        snapshot: FleetSnapshot,
        deadline: Deadline,
        decision_id: str,
        team_size: int | None = None,
    ) -> tuple[bool, Decision]:
        """Another round (True, STAY) or on to the judge (False, ADVANCE)."""
        remaining_s = deadline.remaining_s(self._clock)
        round_q90_s = 2 * self._fastest_q90_s(snapshot, query.prompt_tokens)
        mask = PaceMask.of(topology.max_rounds - round_number, round_q90_s, remaining_s)
        view = PaceView(
            query=query,
            topology=topology,
            round=round_number,
            rounds_left=topology.max_rounds - round_number,
            agreement=agreement,
            stagnation=stagnation,
            budget_s=deadline.budget_s,
            remaining_s=remaining_s,
            round_q90_s=round_q90_s,
            allowed=mask.allowed,
            team_size=team_size,
        )
        proposal = self.policy.pace(view)
        probabilities = self._behaviour(proposal.weights.tolist(), mask.allowed)
        chosen = draw(probabilities, self._rng)
        decision = self._record(
            "pace", decision_id, deadline, proposal, (STAY, ADVANCE), probabilities, mask.reasons, chosen,
            probability=probabilities[chosen],
            choice={"pace": (STAY, ADVANCE)[chosen], "round": round_number},
            seen={
                "remaining_s": remaining_s,
                "rounds_left": view.rounds_left,
                "team_size": team_size,
                "agreement": agreement,
                "stagnation": stagnation,
                "round_q90_s": round_q90_s if np.isfinite(round_q90_s) else None,
            },
        )  # fmt: skip
        return chosen == 0, decision

    # Views ---------------------------------------------------------------------------------------------

    def _narrowed(self, topology: str | None, team_size: int | None) -> _Planned:
        if topology is not None and team_size is not None:
            self.actions.topology(topology).graph(team_size)
            return self._of_actions((PlannerAction(topology, team_size),))
        wanted = self.actions.planner_actions
        if topology is not None:
            name = self.actions.topology(topology).name
            wanted = tuple(action for action in wanted if action.topology == name)
        if team_size is not None:
            wanted = tuple(action for action in wanted if action.team_size == team_size)
        if not wanted:
            raise ConfigError("team_size", team_size, "no topology is planned with a team of that size")
        return self._of_actions(wanted)

    def _of_actions(self, actions: tuple[PlannerAction, ...]) -> _Planned:
        graphs = [self.actions.topologies[a.topology].graph(a.team_size) for a in actions]
        return _Planned(
            actions,
            tuple(action.label for action in actions),
            calls=_read_only([float(graph.calls) for graph in graphs]),
            depth=_read_only([float(graph.depth) for graph in graphs]),
        )

    def _plan_view(
        self, query: Query, snapshot: FleetSnapshot, deadline: Deadline, planned: _Planned
    ) -> tuple[PlanView, tuple[str, ...]]:
        remaining_s = deadline.remaining_s(self._clock)
        step, _ = self._step_view(
            query, Slot(topology="", prompt_tokens=query.prompt_tokens), snapshot, deadline
        )
        depth = planned.depth
        is_allowed = step.allowed.tolist()
        q50_s, q90_s, quality = (
            sorted(compress(column.tolist(), is_allowed)) for column in (step.q50_s, step.q90_s, step.quality)
        )
        allowed, reasons = plan_masks(depth * (q90_s if self._is_careful else q50_s)[0], remaining_s)
        view = PlanView(
            query=query,
            budget_s=deadline.budget_s,
            remaining_s=remaining_s,
            actions=planned.actions,
            calls=planned.calls,
            allowed=allowed,
            q50_s=depth * _median(q50_s),
            q90_s=depth * _median(q90_s),
            step_quality=quality[-1],
            depth=depth,
            step_actions=step.actions,
            step_allowed=step.allowed,
            step_q50_s=step.q50_s,
            step_q90_s=step.q90_s,
            models=self.actions.models,
            snapshot=snapshot,
        )
        return view, reasons

    def _step_view(
        self, query: Query, slot: Slot, snapshot: FleetSnapshot, deadline: Deadline
    ) -> tuple[StepView, tuple[str, ...]]:
        remaining_s = deadline.remaining_s(self._clock)
        map_s = self.latency.predict(snapshot, slot.prompt_tokens)
        q50_s, q90_s, cost = map_s.q50_s.reshape(-1), map_s.q90_s.reshape(-1), self._cost
        if slot.warm_tokens:
            q50_s, q90_s, cost = self._warmed(slot, q50_s, q90_s)
        upper_s = q90_s if self._is_careful else q50_s
        allowed, reasons = self._masks.of(query, slot, snapshot, q50_s, upper_s, remaining_s)
        view = StepView(
            query=query,
            slot=slot,
            budget_s=deadline.budget_s,
            remaining_s=remaining_s,
            actions=self.actions.executor_actions,
            allowed=allowed,
            q50_s=q50_s,
            q90_s=q90_s,
            quality=self._quality,
            cost=cost,
            models=self.actions.models,
            snapshot=snapshot,
        )
        return view, reasons

    def _warmed(self, slot: Slot, q50_s: Array, q90_s: Array) -> tuple[Array, Array, Array]:
        """Latency and cost with what a warm prefix cache saves; at most half of a prediction."""
        models, columns = self.actions.models, len(self.actions.strategies)
        seconds = saved_s(slot, models, self._config.switching).repeat(columns)
        dollars = saved_cost(slot, models, self._config.switching).repeat(columns)
        saving_s = np.minimum(seconds, q50_s / 2)
        return q50_s - saving_s, q90_s - saving_s, np.maximum(self._cost - dollars, 0.0)

    def _require_known(self, slot: Slot) -> None:
        for model in slot.models or ():
            if model not in self.actions.models:
                raise UnknownModel(model, tuple(self.actions.models))
        for strategy in slot.strategies or ():
            if strategy not in self.actions.strategies:
                known = ", ".join(self.actions.strategies)
                raise ConfigError("strategy", strategy, f"use 'auto' or one of {known}")

    def _fastest_q90_s(self, snapshot: FleetSnapshot, prompt_tokens: int) -> float:
        """Of the models that can be called now; infinite when there is none."""
        q90_s = self.latency.predict(snapshot, prompt_tokens).q90_s.min(axis=1)
        callable_now = [snapshot.least_loaded(model) is not None for model in self.actions.models]
        return float(q90_s[callable_now].min(initial=np.inf))

    # Choosing ------------------------------------------------------------------------------------------

    def _seat_roles(self, query: Query, action: PlannerAction) -> tuple[tuple[str, ...], float]:
        roles = self.actions.roles_for(query.domain)
        allowed = np.ones(len(roles), dtype=np.bool_)
        team: tuple[str, ...] = ()
        probability = 1.0
        for seat in range(action.team_size):
            view = RoleView(query=query, action=action, seat=seat, roles=roles, taken=team, allowed=allowed)
            probabilities = self._behaviour(self.policy.role(view).weights.tolist(), allowed)
            chosen = draw(probabilities, self._rng)
            team += (roles[chosen],)
            probability *= probabilities[chosen]
        return team, probability

    def _behaviour(self, weights: Sequence[float], allowed: Mask) -> list[float]:
        config = self._config
        return behaviour(
            weights,
            allowed,
            exploration=config.exploration,
            greedy=config.greedy,
            policy=self.policy.name,
        )

    def _degraded(
        self,
        reasons: Sequence[str],
        labels: Sequence[str],
        remaining_s: float,
        whole_s: float | None,
        propose: Callable[[V], Proposal],
        view_within: Callable[[Deadline], V],
    ) -> Mapping[str, str]:
        """What the policy would prefer if it had ``whole_s``, where the deadline alone forbids it.

        Asks the policy once more, and only where there is haste and something is masked as too slow.
        """
        if whole_s is None or remaining_s >= NO_HASTE * whole_s or TOO_SLOW not in reasons:
            return _NOTHING
        view = view_within(Deadline.after(whole_s, self._clock))
        best = best_of(propose(view).weights.tolist(), view.allowed)
        return {"degraded": labels[best]} if reasons[best] == TOO_SLOW else _NOTHING

    def _choice(self, decision: Decision, weights: Sequence[float]) -> StepChoice:
        actions, columns = self.actions.executor_actions, len(self.actions.strategies)
        chosen, q50_s = decision.chosen, decision.latency_q50_s
        same_strategy = range(chosen % columns, len(actions), columns)
        order = failover_order(same_strategy, chosen, weights, decision.masked, q50_s)
        return StepChoice(
            model=actions[chosen].model,
            strategy=actions[chosen].strategy,
            models=tuple([actions[place].model for place in order]),
            q50_s=q50_s[chosen],
            q90_s=decision.latency_q90_s[chosen],
        )

    # Recording -----------------------------------------------------------------------------------------

    def _record(
        self,
        kind: DecisionKind,
        decision_id: str,
        deadline: Deadline,
        proposal: Proposal,
        labels: Sequence[str],
        probabilities: Sequence[float],
        reasons: tuple[str, ...],
        chosen: int,
        *,
        probability: float,
        choice: dict[str, Any],
        seen: dict[str, Any],
        quantiles: tuple[Array, Array] | None = None,
    ) -> Decision:
        return Decision(
            decision_id=decision_id,
            kind=kind,
            made_s=deadline.budget_s - deadline.remaining_s(self._clock),
            policy=self.policy.name,
            policy_version=self.policy.version,
            features_version=FEATURES_VERSION,
            actions=tuple(labels),
            probabilities=tuple(probabilities),
            masked=reasons,
            latency_q50_s=tuple(quantiles[0].tolist()) if quantiles else (),
            latency_q90_s=tuple(quantiles[1].tolist()) if quantiles else (),
            chosen=chosen,
            probability=probability,
            choice=choice,
            seen=seen,
            reason=proposal.reason,
        )


def _median(ordered: Sequence[float]) -> float:
    middle = len(ordered) // 2
    return (ordered[middle] + ordered[-middle - 1]) / 2


def _read_only(values: list[float]) -> Array:
    array = np.array(values)
    array.setflags(write=False)
    return array


def _static_columns(actions: ActionSpace) -> tuple[Array, Array]:
    """Prior quality and expected cost of each executor action (A), (A)."""
    pairs = [(actions.models[a.model], actions.strategies[a.strategy]) for a in actions.executor_actions]
    quality = [min(facts.quality * strategy.quality_factor, 0.99) for facts, strategy in pairs]
    prices_known = all(facts.price_output_usd_per_mtok > 0 for facts in actions.models.values())
    rates = [facts.price_output_usd_per_mtok if prices_known else facts.size_b for facts, _ in pairs]
    tokens = [strategy.expected_output_tokens for _, strategy in pairs]
    return np.array(quality), np.array(rates) * np.array(tokens, dtype=np.float64)


def _loads(snapshot: FleetSnapshot) -> dict[str, dict[str, Any]]:
    return {name: load.as_dict() for name, load in snapshot.loads.items()}
