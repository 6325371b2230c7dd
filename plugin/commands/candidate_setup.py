"""From settings to what a candidate configuration decides with: no addresses, no keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from inframind.arena.candidates.candidate import Setup, digest_of, plain_rule, without_addresses
from inframind.graphs.assembly import Parts
from inframind.plugin.build import parts_of, registry_of, require_rules, stored_policy
from inframind.plugin.config import Settings
from inframind.router.policy import Policy, policy_by_name
from inframind.router.policy_file import StoredPolicy
from inframind.router.policy_shelf import policy_of
from inframind.router.rulebook import after_own
from inframind.traces.shelves import shelf_of
from inframind.traces.store import TraceStore

_NO_KEY = {"api_key": None, "api_key_env": None, "api_key_file": None}


def setup_of(settings: Settings, serving: StoredPolicy | None = None) -> Setup:
    """What a configuration decides with.

    Args:
        settings: the configuration.
        serving: the version that serves all runs, instead of the configured policy; its rules come after those of the
            file.

    Raises:
        ConfigError: settings that contradict each other, or a rule that speaks of what there is not.
        CheckpointError: the policy's file cannot be read.
    """
    endpoints = tuple(endpoint.model_copy(update=_NO_KEY) for endpoint in settings.endpoints)
    settings = settings.model_copy(update={"endpoints": endpoints})
    registry = registry_of(settings)
    require_rules(settings, registry)
    parts = parts_of(settings, registry)
    parts = replace(parts, endpoints=without_addresses(parts.endpoints))
    if serving is not None:
        parts = replace(parts, rules=after_own(parts.rules, serving.rules))
    policy = serving or _configured(settings)
    return Setup(parts=parts, policy=policy, document=_document(settings, parts, policy))


async def serving_policy(settings: Settings, store: TraceStore) -> StoredPolicy | None:
    """The version that serves all runs, or None where the configured policy does.

    Raises:
        CheckpointError: it cannot be read.
    """
    if not settings.online.enabled:
        return None
    shelf = shelf_of(store)
    rollout = await shelf.rollout()
    if not rollout.serving:
        return None
    version = await shelf.policy(rollout.serving)
    return policy_of(version, await shelf.policy_content(rollout.serving))


def _configured(settings: Settings) -> Policy | StoredPolicy:
    section = settings.policy
    if section.name == "learned":
        return stored_policy(section)
    return policy_by_name(section.name, quality_floor=section.quality_floor)


def _document(settings: Settings, parts: Parts, policy: Policy | StoredPolicy) -> Mapping[str, Any]:
    """What decides, section by section; long ones by their digest."""
    section = settings.policy.model_dump(mode="json", exclude={"path", "seed"})
    version = policy.version[:12]
    nowhere = {"base_url", "api_key", "metrics_url"}
    return {
        "endpoints": {
            one.name: digest_of(_plain(one.model_dump(exclude=nowhere))) for one in parts.endpoints
        },
        "strategies": {one.name: digest_of(one.model_dump(mode="json")) for one in parts.strategies},
        "roles": digest_of({name: role.model_dump(mode="json") for name, role in parts.roles.items()}),
        "policy": {**section, "version": version},
        "rules": [dict(plain_rule(rule)) for rule in parts.rules],
        "run": settings.run.model_dump(mode="json"),
        "fleet": settings.fleet.model_dump(mode="json"),
    }


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: sorted(value) if isinstance(value, frozenset) else value for key, value in values.items()}
