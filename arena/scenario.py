"""What every contender meets: servers, questions, arrivals and budgets; plain data, so that it travels to workers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from inframind.arena.arrivals import Seconds
from inframind.arena.query_mix import AS_IT_COMES, MixSchedule, offered_items
from inframind.arena.workload import arrivals_from, budgets_from
from inframind.errors import ConfigError
from inframind.fleet.endpoints import EndpointSpec
from inframind.simulator.fleet import default_specs
from inframind.simulator.items import Item
from inframind.simulator.outcome_parameters import OutcomeParameters
from inframind.simulator.outcomes import LatentDifficultyModel
from inframind.simulator.profiles import ModelProfile, load_profiles
from inframind.simulator.prompt_reading import AnswerKey
from inframind.simulator.reference import load_reference
from inframind.simulator.server import ServerSpec

SchedulingPolicy = Literal["fcfs", "priority"]

RATES_PER_MIN = (10.0, 30.0, 50.0, 100.0, 150.0, 200.0, 300.0)
"""Arrival rates of the standard sweep."""


def fleet_specs(
    models: Sequence[str] = (),
    *,
    profiles: Mapping[str, ModelProfile] | None = None,
    replicas: int = 1,
    scheduling_policy: SchedulingPolicy = "priority",
) -> tuple[ServerSpec, ...]:
    """One server per model and replica, smallest model first.

    Args:
        models: names of profiles; empty takes all of them.
        profiles: what there is, by name; those of `load_profiles` unless given.
        replicas: servers per model; with several, ``-0``, ``-1`` ... follow the model's name.
        scheduling_policy: how the servers order their queues.

    Raises:
        ConfigError: a model without a profile, or fewer than one replica.
    """
    if replicas < 1:
        raise ConfigError("replicas", replicas, "run at least one server per model")
    profiles = load_profiles() if profiles is None else profiles
    for model in models:
        if model not in profiles:
            raise ConfigError("models", model, f"choose some of: {', '.join(profiles)}")
    chosen = [profile for name, profile in profiles.items() if not models or name in models]
    return default_specs(profiles=chosen, replicas=replicas, scheduling_policy=scheduling_policy)


def endpoint_tables(
    specs: Iterable[ServerSpec],
    base_urls: Mapping[str, str],
    profiles: Mapping[str, ModelProfile] | None = None,
) -> list[dict[str, Any]]:
    """The ``[[endpoints]]`` tables of a configuration for servers that run, as plain data."""
    profiles = load_profiles() if profiles is None else profiles
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
        "max_num_seqs": spec.profile.max_num_seqs,
        "priority": spec.profile.scheduling_policy == "priority",
        "capabilities": ["tools", "json", *(["reasoning"] if profile.is_reasoning else [])],
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedModels:
    """Models as a scenario takes them.

    Attributes:
        profiles: their speeds, smallest first.
        parameters: what they know, and how much they write.
    """

    profiles: tuple[ModelProfile, ...]
    parameters: OutcomeParameters


FLEETS = ("reference", "h100")


def models_of_fleet(name: str) -> SimulatedModels:
    """The five models of a fleet by its name.

    ``reference``: speeds and lengths of answers calibrated on published runs, one busy neighbour on each card.
    ``h100``: published step times on a card each, and shorter answers.

    Raises:
        ConfigError: there is no such fleet.
    """
    if name == "h100":
        return SimulatedModels(profiles=tuple(load_profiles().values()), parameters=OutcomeParameters())
    if name != "reference":
        raise ConfigError("fleet", name, f"use one of: {', '.join(FLEETS)}")
    reference = load_reference()
    return SimulatedModels(
        profiles=tuple(reference.crowded_profiles().values()),
        parameters=reference.wordy(OutcomeParameters()),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What is offered in one run.

    Attributes:
        items: questions in order of arrival.
        arrivals_s: when each arrives, ascending, in seconds after the start.
        budgets_s: seconds that each has.
    """

    items: tuple[Item, ...]
    arrivals_s: Seconds
    budgets_s: Seconds


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A fleet and what is asked of it. The same seed and rate give every contender the same workload.

    Raises:
        ConfigError: nothing to ask, no rate, arrivals or budgets that do not exist, or training questions that
            are also asked.
    """

    profiles: tuple[ModelProfile, ...]
    """Models of the fleet, smallest first."""
    items: tuple[Item, ...]
    """Questions that are asked."""
    training_items: tuple[Item, ...]
    """Questions that contenders may learn from."""
    questions: int = 500
    """Questions per run; drawn from ``items``, each as seldom as possible."""
    rates_per_min: tuple[float, ...] = RATES_PER_MIN
    """Mean arrivals a minute, one run each."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """One run each, at every rate."""
    arrivals: str = "poisson"
    """As for `arrivals_from`."""
    budgets: str = "loguniform:5,300"
    """As for `budgets_from`."""
    mix: MixSchedule = AS_IT_COMES
    """Which questions come when."""
    replicas: int = 1
    """Servers per model."""
    scheduling_policy: SchedulingPolicy = "priority"
    """How the servers order their queues."""
    parameters: OutcomeParameters = field(default_factory=OutcomeParameters)
    """What is assumed about the models' answers."""

    def __post_init__(self) -> None:
        if not self.items or self.questions < 1:
            raise ConfigError("questions", self.questions, "ask at least one, from at least one item")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ConfigError("seeds", self.seeds, "give at least one, each once")
        if not self.rates_per_min or len(set(self.rates_per_min)) < len(self.rates_per_min):
            raise ConfigError("rates", self.rates_per_min, "give at least one, each once")
        for rate_per_min in self.rates_per_min:
            arrivals_from(self.arrivals, rate_per_min)
        budgets_from(self.budgets)
        leaked = {item.question for item in self.items} & {item.question for item in self.training_items}
        if leaked:
            raise ConfigError(
                "training_items",
                len(leaked),
                "keep questions that are asked out of those that are learned from",
            )

    @property
    def outcomes(self) -> LatentDifficultyModel:
        """Who answers."""
        return LatentDifficultyModel(AnswerKey((*self.items, *self.training_items)), self.parameters)

    def specs(self) -> tuple[ServerSpec, ...]:
        """The servers."""
        return fleet_specs(
            profiles=self.profiles_by_name,
            replicas=self.replicas,
            scheduling_policy=self.scheduling_policy,
        )

    @property
    def profiles_by_name(self) -> Mapping[str, ModelProfile]:
        """The fleet's models."""
        return {profile.name: profile for profile in self.profiles}

    def endpoints(self, base_urls: Mapping[str, str]) -> tuple[EndpointSpec, ...]:
        """The servers as a router sees them."""
        tables = endpoint_tables(self.specs(), base_urls, self.profiles_by_name)
        return tuple(EndpointSpec(**table) for table in tables)

    def workload(self, seed: int, rate_per_min: float) -> Workload:
        """What is offered; budgets hang on the seed alone, so that rates compare on the same budgets."""
        budgets_rng, gaps_rng, items_rng = np.random.default_rng(seed).spawn(3)
        arrivals_s = arrivals_from(self.arrivals, rate_per_min).draw(self.questions, gaps_rng)
        return Workload(
            items=offered_items(self.items, arrivals_s.tolist(), items_rng, self.mix),
            arrivals_s=arrivals_s,
            budgets_s=budgets_from(self.budgets).draw(self.questions, budgets_rng),
        )
