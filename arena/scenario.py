"""The simulated fleet as a scenario: which servers run, and the configuration that a router needs to use them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from inframind.errors import ConfigError
from inframind.simulator.fleet import default_specs
from inframind.simulator.profiles import ModelProfile, load_profiles
from inframind.simulator.server import ServerSpec

SchedulingPolicy = Literal["fcfs", "priority"]


def fleet_specs(
    models: Sequence[str] = (), *, replicas: int = 1, scheduling_policy: SchedulingPolicy = "priority"
) -> tuple[ServerSpec, ...]:
    """One server per model and replica, smallest model first.

    Args:
        models: names of profiles; empty takes all five.
        replicas: servers per model; with several, ``-0``, ``-1`` ... follow the model's name.
        scheduling_policy: how the servers order their queues.

    Raises:
        ConfigError: a model without a profile, or fewer than one replica.
    """
    if replicas < 1:
        raise ConfigError("replicas", replicas, "run at least one server per model")
    profiles = load_profiles()
    for model in models:
        if model not in profiles:
            raise ConfigError("models", model, f"choose some of: {', '.join(profiles)}")
    specs = default_specs(replicas=replicas, scheduling_policy=scheduling_policy)
    return tuple(spec for spec in specs if not models or spec.model in models)


def endpoint_tables(specs: Sequence[ServerSpec], base_urls: Mapping[str, str]) -> list[dict[str, Any]]:
    """The ``[[endpoints]]`` tables of a configuration for servers that run, as plain data."""
    profiles = load_profiles()
    return [_endpoint_table(spec, profiles[spec.model], base_urls[spec.name]) for spec in specs]


def _endpoint_table(spec: ServerSpec, profile: ModelProfile, base_url: str) -> dict[str, Any]:
    return {
        "name": spec.name,
        "base_url": base_url,
        "model": spec.model,
        "size_b": profile.size_b,
        "context_length": spec.profile.max_model_len,
        "price_output_usd_per_mtok": profile.price_per_mtoken,
        "max_concurrency": 4 * spec.profile.max_num_seqs,
        "priority": spec.profile.scheduling_policy == "priority",
        "capabilities": ["tools", "json", *(["reasoning"] if profile.is_reasoning else [])],
    }
