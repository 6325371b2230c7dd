"""From settings to services: which object gets which part of the configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from inframind.fleet.clock import Clock
from inframind.fleet.pool import Fleet
from inframind.fleet.wire import Wire
from inframind.graphs.prompts import PromptBuilder
from inframind.graphs.registry import TopologyRegistry
from inframind.graphs.roles import RoleSpec, default_roles, load_roles, merge_roles, roles_by_domain
from inframind.graphs.services import Services
from inframind.plugin.config import Settings
from inframind.router.actions import ActionSpace, StrategySpec, strategies_by_name
from inframind.router.decide import Decider
from inframind.router.latency import PriorLatencyModel
from inframind.router.policy import Policy, policy_by_name
from inframind.traces.store import TraceStore, open_store


def build_services(
    settings: Settings,
    registry: TopologyRegistry,
    *,
    clock: Clock,
    rng: np.random.Generator,
    policy: Policy | None = None,
    roles: Sequence[RoleSpec] = (),
    store: TraceStore | None = None,
    wire: Wire | None = None,
) -> Services:
    """Everything that the graphs need.

    Raises:
        ConfigError: settings that contradict each other.
    """
    ids_rng, decide_rng, fleet_rng = rng.spawn(3)
    fleet = Fleet(
        settings.endpoint_specs(),
        clock=clock,
        rng=fleet_rng,
        config=settings.fleet_config(),
        wire=wire,
    )
    catalogue = _catalogue(settings, roles)
    actions = _action_space(settings, fleet, registry, catalogue)
    decider = Decider(
        actions,
        policy or policy_by_name(settings.policy.name, quality_floor=settings.policy.quality_floor),
        PriorLatencyModel(actions.models, actions.strategies),
        clock=clock,
        rng=decide_rng,
        config=settings.decide_config(),
    )
    return Services(
        fleet=fleet,
        decider=decider,
        prompts=PromptBuilder(catalogue),
        store=store or open_store(settings.traces.url),
        clock=clock,
        new_trace_id=trace_ids(ids_rng),
        defaults=settings.run_defaults(),
    )


def trace_ids(rng: np.random.Generator) -> Callable[[], str]:
    """A source of W3C trace ids: 32 lowercase hex digits, reproducible from the generator's seed."""
    return lambda: rng.bytes(16).hex()


def _catalogue(settings: Settings, roles: Sequence[RoleSpec]) -> Mapping[str, RoleSpec]:
    from_file = load_roles(settings.roles_file) if settings.roles_file else ()
    return merge_roles(default_roles(), from_file, roles)


def _action_space(
    settings: Settings, fleet: Fleet, registry: TopologyRegistry, catalogue: Mapping[str, RoleSpec]
) -> ActionSpace:
    strategies: Mapping[str, StrategySpec] = strategies_by_name(settings.all_strategies())
    return ActionSpace(
        models=fleet.models,
        strategies=strategies,
        topologies=registry.specs,
        roles=roles_by_domain(catalogue),
        max_team=settings.policy.max_team,
    )
