"""From parts to services: one place where a fleet, a decider and a store become what the graphs run on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

from inframind.fleet.clock import Clock
from inframind.fleet.endpoints import EndpointSpec, ModelFacts
from inframind.fleet.pool import Fleet, FleetConfig
from inframind.fleet.wire import Wire
from inframind.graphs.outbox import Outbox
from inframind.graphs.prompts import PromptBuilder
from inframind.graphs.registry import TopologyRegistry
from inframind.graphs.roles import RoleSpec, default_roles, digests_of, merge_roles, roles_by_domain
from inframind.graphs.services import RunDefaults, Services, whole
from inframind.router.actions import DEFAULT_STRATEGIES, ActionSpace, StrategySpec, strategies_by_name
from inframind.router.decide import DecideConfig, Decider
from inframind.router.latency import LatencyModel
from inframind.router.latency_learned import LearnedLatencyModel
from inframind.router.latency_state import LatencyState
from inframind.router.policy import Policy
from inframind.router.rulebook import RuleBook, after_own
from inframind.router.rules import RoutingRule
from inframind.traces.ids import new_ids
from inframind.traces.records import Trajectory
from inframind.traces.store import TraceStore


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What services are made of.

    Attributes:
        endpoints: what serves.
        registry: topologies.
        strategies: prompt strategies.
        roles: the whole catalogue by name.
        max_team: most agents of a team.
        rules: what is not to be chosen, and when.
        fleet: retries, breaker and scraping.
        decide: exploration, or greedy evaluation.
        defaults: what applies where a caller says nothing.
    """

    endpoints: Sequence[EndpointSpec]
    registry: TopologyRegistry = field(default_factory=TopologyRegistry)
    strategies: Sequence[StrategySpec] = DEFAULT_STRATEGIES
    roles: Mapping[str, RoleSpec] = field(default_factory=lambda: merge_roles(default_roles()))
    max_team: int = 6
    rules: Sequence[RoutingRule] = ()
    fleet: FleetConfig = field(default_factory=FleetConfig)
    decide: DecideConfig = field(default_factory=DecideConfig)
    defaults: RunDefaults = field(default_factory=RunDefaults)

    def action_space(self, models: Mapping[str, ModelFacts]) -> ActionSpace:
        """What may be chosen when these models are there."""
        return ActionSpace(
            models=models,
            strategies=strategies_by_name(self.strategies),
            topologies=self.registry.specs,
            roles=roles_by_domain(self.roles),
            role_texts=digests_of(self.roles),
            max_team=self.max_team,
        )

    def rule_book(self, actions: ActionSpace) -> RuleBook:
        """The rules over what may be chosen.

        Raises:
            ConfigError: a rule speaks of what there is not.
        """
        return RuleBook(self.rules, actions, roles=self.roles.keys())


@runtime_checkable
class PolicyToBind(Protocol):
    """A policy that was learned, before it knows the fleet: `inframind.router.policy_file.StoredPolicy` is one."""

    @property
    def latency(self) -> LatencyState | None:
        """What was learned of the fleet's speed, to start from."""
        ...

    @property
    def rules(self) -> tuple[RoutingRule, ...]:
        """Under which it serves, beside those of the configuration."""
        ...

    def bind(self, actions: ActionSpace) -> Policy:
        """The policy over these models, strategies and topologies."""
        ...


def assemble(
    parts: Parts,
    policy: Policy | PolicyToBind,
    store: TraceStore,
    *,
    clock: Clock,
    rng: np.random.Generator,
    wire: Wire | None = None,
    latency: LatencyModel | None = None,
    listeners: Sequence[Callable[[Trajectory], None]] = (),
    content: Callable[[Trajectory], Trajectory] = whole,
    outbox: Outbox | None = None,
) -> Services:
    """Everything that the graphs need.

    Args:
        parts: configuration.
        policy: who proposes; one that is to be bound brings what its latency model knows.
        store: where traces go.
        clock: time.
        rng: chance of trace ids, decisions and the fleet, from three streams of their own.
        wire: how endpoints are reached; real sockets unless given.
        latency: predicts steps; a fresh model unless given.
        listeners: are shown every trace once it is stored.
        content: what is stored of a trace.
        outbox: keeps what the store does not take now; callers are told of it where there is none.

    Raises:
        ConfigError: parts that contradict each other.
    """
    ids_rng, decide_rng, fleet_rng = rng.spawn(3)
    fleet = Fleet(parts.endpoints, clock=clock, rng=fleet_rng, config=parts.fleet, wire=wire)
    actions = parts.action_space(fleet.models)
    state: LatencyState | None = None
    rules: tuple[RoutingRule, ...] = ()
    if isinstance(policy, PolicyToBind):
        state, rules, policy = policy.latency, policy.rules, policy.bind(actions)
    decider = Decider(
        actions,
        policy,
        latency or LearnedLatencyModel(actions.models, actions.strategies, state=state),
        clock=clock,
        rng=decide_rng,
        config=parts.decide,
        book=parts.rule_book(actions),
    )
    return Services(
        fleet=fleet,
        decider=decider.with_rules(after_own(decider.own_rules, rules)) if rules else decider,
        prompts=PromptBuilder(parts.roles),
        store=store,
        clock=clock,
        new_trace_id=new_ids(ids_rng),
        defaults=parts.defaults,
        listeners=tuple(listeners),
        content=content,
        outbox=outbox,
    )
