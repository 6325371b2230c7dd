"""The servers of a configuration, simulated: each model by its own profile, or by one of nearest size.

Speeds are those of the fleets that the simulator knows. What a configuration says of its servers is taken from there:
names, replicas, prices, sizes of models, context lengths, batches and queues.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from inframind.arena.scenario import Scenario, SimulatedModels
from inframind.fleet.endpoints import EndpointSpec
from inframind.simulator.engine_profile import EngineProfile
from inframind.simulator.outcome_parameters import OutcomeParameters
from inframind.simulator.profiles import ModelProfile
from inframind.simulator.server import ServerSpec


@dataclass(frozen=True, kw_only=True)
class OwnFleet(Scenario):
    """A scenario whose servers are those of a configuration.

    `Scenario.profiles` are the models that stand in, `Scenario.replicas` and `Scenario.scheduling_policy` mean nothing.
    """

    servers: tuple[EndpointSpec, ...]
    """The servers; addresses and keys are not looked at."""

    def specs(self) -> tuple[ServerSpec, ...]:
        """One simulated server for each."""
        return tuple(_server(endpoint, stand_in(endpoint, self.profiles)) for endpoint in self.servers)

    def endpoints(self, base_urls: Mapping[str, str]) -> tuple[EndpointSpec, ...]:
        """The servers as a router sees them."""
        simulated = {"api_key": None, "metrics_url": None, "metrics": True}
        return tuple(
            endpoint.model_copy(update={**simulated, "base_url": base_urls[endpoint.name]})
            for endpoint in self.servers
        )


def on_own_fleet(scenario: Scenario, servers: Iterable[EndpointSpec]) -> OwnFleet:
    """The same questions, arrivals and budgets for other servers.

    What a model of no known name answers is as good as its size suggests.
    """
    servers = tuple(servers)
    values = {name: getattr(scenario, name) for name in Scenario.__dataclass_fields__}
    values["parameters"] = _with_sizes(scenario.parameters, servers)
    return OwnFleet(**values, servers=servers)


def stand_in(endpoint: EndpointSpec, profiles: Sequence[ModelProfile]) -> ModelProfile:
    """The profile of the model's own name, or the one of nearest size by its logarithm."""
    for profile in profiles:
        if profile.name == endpoint.model:
            return profile
    return min(profiles, key=lambda profile: abs(math.log(profile.size_b / endpoint.size_b)))


def stand_ins(servers: Iterable[EndpointSpec], models: SimulatedModels) -> dict[str, str]:
    """Which profile stands in for each model."""
    return {endpoint.model: stand_in(endpoint, models.profiles).name for endpoint in servers}


def _server(endpoint: EndpointSpec, profile: ModelProfile) -> ServerSpec:
    return ServerSpec(
        name=endpoint.name,
        model=endpoint.model,
        profile=_engine(endpoint, profile.engine),
        is_reasoning=profile.is_reasoning and profile.name == endpoint.model,
    )


def _engine(endpoint: EndpointSpec, engine: EngineProfile) -> EngineProfile:
    length = min(endpoint.context_length, engine.kv_blocks * engine.block_size)
    batch = endpoint.max_num_seqs or engine.max_num_seqs
    return replace(
        engine,
        max_model_len=length,
        max_num_seqs=batch,
        max_num_batched_tokens=max(engine.max_num_batched_tokens, batch),
        scheduling_policy="priority" if endpoint.priority else "fcfs",
    )


def _with_sizes(parameters: OutcomeParameters, servers: Iterable[EndpointSpec]) -> OutcomeParameters:
    unknown = {one.model: one.size_b for one in servers if one.model not in parameters.models}
    guesses = {model: parameters.model_traits(f"{size_b:g}b") for model, size_b in unknown.items()}
    return replace(parameters, models={**parameters.models, **guesses})
