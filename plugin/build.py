"""From settings to services: which part of the configuration goes where."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from inframind.errors import ConfigError
from inframind.fleet.clock import Clock
from inframind.fleet.endpoints import group_by_model
from inframind.fleet.wire import Wire
from inframind.graphs.assembly import Parts, PolicyToBind, assemble
from inframind.graphs.outbox import Outbox
from inframind.graphs.registry import TopologyRegistry
from inframind.graphs.roles import RoleSpec, default_roles, load_roles, merge_roles
from inframind.graphs.services import Services, whole
from inframind.plugin.config import PolicySection, Settings
from inframind.router.policy import Policy, policy_by_name
from inframind.router.policy_file import StoredPolicy, load_policy
from inframind.router.policy_shipped import shipped_policy
from inframind.router.query_model import QueryModel
from inframind.router.rulebook import RuleBook
from inframind.traces.content import HashedContent
from inframind.traces.records import Trajectory
from inframind.traces.store import TraceStore, open_store

if TYPE_CHECKING:
    from inframind.traces.otel import OtelExporter

_log = logging.getLogger(__name__)


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
    listeners: Sequence[Callable[[Trajectory], None]] = (),
) -> Services:
    """Everything that the graphs need.

    Raises:
        ConfigError: settings that contradict each other, or a rule without ``advice`` that speaks of what there is not.
    """
    require_rules(settings, registry, roles)
    services = assemble(
        parts_of(settings, registry, roles),
        policy or _policy_of(settings),
        store or open_store(settings.traces.url, settings.traces.write_limits()),
        clock=clock,
        rng=rng,
        wire=wire,
        listeners=listeners,
        content=content_of(settings) or whole,
        outbox=Outbox(settings.traces.outbox_config()) if settings.traces.when_down == "answer" else None,
    )
    for one in services.decider.book.without_effect:
        _log.warning("%s", one)
    return services


def content_of(settings: Settings) -> HashedContent | None:
    """Who replaces texts by digests, where the configuration wants that.

    Questions are read by the configured learned policy, or else by the one that comes with the package, so that one may
    be learned from them later.

    Raises:
        ConfigError: the secret is missing or too short.
    """
    key = settings.traces.content_key()
    if key is None:
        return None
    learned = settings.policy.name == "learned"
    stored = stored_policy(settings.policy) if learned else shipped_policy()
    return HashedContent(key=key, read_question=QueryModel(stored.queries).reading_of)


def otel_exporter(settings: Settings) -> OtelExporter | None:
    """Who exports finished runs, where the configuration wants that.

    Raises:
        ConfigError: it does, and OpenTelemetry is not installed.
    """
    if not settings.otel.enabled:
        return None
    from inframind.traces.otel import OtelExporter

    return OtelExporter(config=settings.span_config())


def registry_of(settings: Settings, every: TopologyRegistry | None = None) -> TopologyRegistry:
    """The topologies that the configuration wants.

    Args:
        settings: the configuration.
        every: what there is; the six defaults unless given.

    Raises:
        ConfigError: it wants one that there is not.
    """
    every, wanted = every or TopologyRegistry(), settings.policy.topologies
    return every.only(wanted) if wanted else every


def parts_of(settings: Settings, registry: TopologyRegistry, roles: Sequence[RoleSpec] = ()) -> Parts:
    """What the configuration says that services are made of.

    Raises:
        ConfigError: settings that contradict each other.
    """
    return Parts(
        endpoints=settings.endpoint_specs(),
        registry=registry,
        strategies=settings.all_strategies(),
        roles=_catalogue(settings, roles),
        max_team=settings.policy.max_team,
        rules=settings.own_rules(),
        fleet=settings.fleet_config(),
        decide=settings.decide_config(),
        defaults=settings.run_defaults(),
    )


def require_rules(settings: Settings, registry: TopologyRegistry, roles: Sequence[RoleSpec] = ()) -> None:
    """Check all rules, those included that serve with a version alone.

    Raises:
        ConfigError: a rule without ``advice`` speaks of a model, server, strategy, topology, role or domain that there
            is not.
    """
    if settings.rules:
        book_to_check(settings, registry, roles).with_rules(settings.rules)


def book_to_check(settings: Settings, registry: TopologyRegistry, roles: Sequence[RoleSpec] = ()) -> RuleBook:
    """No rules yet, over what may be chosen; `RuleBook.with_rules` says what is wrong with some.

    Raises:
        ConfigError: settings that contradict each other.
    """
    parts = Parts(
        endpoints=settings.endpoints,  # keys are not needed for this
        registry=registry,
        strategies=settings.all_strategies(),
        roles=_catalogue(settings, roles),
        max_team=settings.policy.max_team,
    )
    return parts.rule_book(parts.action_space(group_by_model(parts.endpoints)))


def _policy_of(settings: Settings) -> Policy | PolicyToBind:
    section = settings.policy
    if section.name != "learned":
        if section.path is not None:
            raise ConfigError("policy.path", str(section.path), "only name = 'learned' reads a file")
        return policy_by_name(section.name, quality_floor=section.quality_floor)
    if section.quality_floor is not None:
        raise ConfigError(
            "policy.quality_floor", section.quality_floor, "policy 'learned' has no quality floor"
        )
    stored = stored_policy(section)
    if settings.online.learner == "off":
        return stored
    from inframind.plugin.online.exploring import Exploring

    return Exploring(stored)


def stored_policy(section: PolicySection) -> StoredPolicy:
    """The learned policy that the configuration names: its own file, or the one that comes with the package.

    Raises:
        CheckpointError: the file cannot be read.
    """
    return shipped_policy() if section.path is None else load_policy(section.path)


def _catalogue(settings: Settings, roles: Sequence[RoleSpec]) -> Mapping[str, RoleSpec]:
    from_file = load_roles(settings.roles_file) if settings.roles_file else ()
    return merge_roles(default_roles(), from_file, roles)
