"""The heart: mask what cannot be, let the policy propose, explore, choose, and record the propensity.

Nothing here takes a lock across an await, does I/O or waits for a metrics page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from inframind.errors import ConfigError
from inframind.fleet.clock import Clock, Deadline
from inframind.fleet.snapshot import FleetSnapshot
from inframind.router.actions import ADVANCE, STAY, ActionSpace, PlannerAction
from inframind.router.choices import Plan, StepChoice
from inframind.router.choosing import behaviour, best_of, draw, failover_order
from inframind.router.configuration import configuration_by
from inframind.router.features import FEATURES_VERSION
from inframind.router.latency import LatencyModel
from inframind.router.masks import TOO_SLOW, PaceMask
from inframind.router.policy import Policy, Proposal
from inframind.router.rulebook import RuleBook
from inframind.router.rules import RoutingRule
from inframind.router.switching import SwitchingConfig
from inframind.router.topology import TopologySpec
from inframind.router.viewer import Viewer
from inframind.router.views import Array, Mask, PaceView, PlanView, Query, RoleView, Slot, StepView
from inframind.traces.configurations import Configuration
from inframind.traces.records import Decision, DecisionKind

__all__ = ["DecideConfig", "Decider", "Plan", "StepChoice"]


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

    @property
    def is_careful(self) -> bool:
        """Whether the 90 % quantile of a step must fit the time that is left; otherwise the median must."""
        return self.deadline_quantile == 0.9

    def __post_init__(self) -> None:
        if not 0 <= self.exploration <= 1:
            raise ConfigError("policy.exploration", self.exploration, "use a share in [0, 1]")
        if self.deadline_quantile not in (0.5, 0.9):
            raise ConfigError("policy.deadline_quantile", self.deadline_quantile, "use 0.5 or 0.9")
        if self.greedy and self.exploration:
            raise ConfigError(
                "policy.exploration", self.exploration, "greedy evaluation explores nothing: use 0"
            )


V = TypeVar("V", PlanView, StepView)
NO_HASTE = 0.95
"""A deadline that leaves at least this part of a run's whole time hurries nobody."""
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
        book: rules over the same ``actions``; none unless given. Policies that serve beside this one do so under
            these ``own_rules`` and their own.
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
        book: RuleBook | None = None,
    ) -> None:
        self.actions, self.policy, self.latency = actions, policy, latency
        self.config, self.book = config or DecideConfig(), book or RuleBook((), actions)
        self.own_rules, self._clock, self._rng = self.book.given, clock, rng
        self._described: tuple[tuple[str, str], Configuration] | None = None
        self._viewer = Viewer(
            actions,
            latency,
            clock=clock,
            switching=self.config.switching,
            is_careful=self.is_careful,
            book=self.book,
        )

    @property
    def is_careful(self) -> bool:
        """Whether the 90 % quantile of a step must fit the time that is left; otherwise the median must."""
        return self.config.is_careful

    @property
    def configuration(self) -> Configuration:
        """What it decides with; worked out anew only where the policy signs otherwise."""
        mark = (self.policy.name, self.policy.version)
        if self._described is None or self._described[0] != mark:
            self._described = (mark, configuration_by(self))
        return self._described[1]

    def with_policy(self, policy: Policy, *, rng: np.random.Generator | None = None) -> Decider:
        """Another policy beside this one: both look at one world, and draw from one chance unless ``rng`` is given."""
        twin = copy(self)
        twin.policy, twin._rng = policy, rng or self._rng
        return twin

    def with_rules(self, rules: Sequence[RoutingRule]) -> Decider:
        """The same policy under other rules.

        Raises:
            ConfigError: two rules have one name, or a rule without ``advice`` speaks of what there is not.
        """
        twin = copy(self)
        twin.book, twin._described = self.book.with_rules(rules), None
        twin._viewer = self._viewer.with_book(twin.book)
        return twin

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
        planned = self._viewer.planned(topology, team_size)
        view, reasons = self._viewer.plan(query, snapshot, deadline, planned)
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
                    lambda leisure: self._viewer.plan(query, snapshot, leisure, planned)[0],
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
        self._viewer.require_known(slot)
        view, reasons = self._viewer.step(query, slot, snapshot, deadline)
        proposal = self.policy.step(view)
        weights = proposal.weights.tolist()
        probabilities = self._behaviour(weights, view.allowed)
        chosen = draw(probabilities, self._rng)
        action = view.actions[chosen]
        avoid = self._viewer.avoided_endpoints(query, slot, action.model)
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
                **({"avoid_endpoints": sorted(avoid)} if avoid else {}),
                **context,
                **self._degraded(
                    reasons, self.actions.executor_labels, view.remaining_s, whole_s, self.policy.step,
                    lambda leisure: self._viewer.step(query, slot, snapshot, leisure)[0],
                ),
                "loads": _loads(snapshot),
            },
        )  # fmt: skip
        ranks = weights if proposal.ranks is None else proposal.ranks.tolist()
        return self._choice(decision, ranks, avoid), decision

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
        round_q90_s = 2 * self._viewer.fastest_q90_s(query, topology.name, snapshot)
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
        config = self.config
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

    def _choice(self, decision: Decision, ranks: Sequence[float], avoid: frozenset[str]) -> StepChoice:
        actions, columns = self.actions.executor_actions, len(self.actions.strategies)
        chosen, q50_s = decision.chosen, decision.latency_q50_s
        same_strategy = range(chosen % columns, len(actions), columns)
        order = failover_order(same_strategy, chosen, ranks, decision.masked, q50_s)
        return StepChoice(
            model=actions[chosen].model,
            strategy=actions[chosen].strategy,
            models=tuple([actions[place].model for place in order]),
            q50_s=q50_s[chosen],
            q90_s=decision.latency_q90_s[chosen],
            avoid=avoid,
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


def _loads(snapshot: FleetSnapshot) -> dict[str, dict[str, Any]]:
    return {name: load.as_dict() for name, load in snapshot.loads.items()}
