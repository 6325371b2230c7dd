"""Worlds that change while requests come in: what changes, what the labels are like, and for how long it is watched.

All are the reference fleet in virtual time, asked generated questions at one steady rate, and the change comes with a
given request. What is promised of routing in each of them is in `World.promise`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from types import MappingProxyType

from inframind.arena.query_mix import MixSchedule, QueryMix, Shift
from inframind.arena.scenario import Scenario, models_of_fleet
from inframind.errors import ConfigError
from inframind.simulator.benchmarks import benchmark_items
from inframind.simulator.faults import Fault
from inframind.simulator.items import Item, generate_items
from inframind.simulator.outcome_parameters import ModelTraits, OutcomeParameters
from inframind.simulator.profiles import ModelProfile

RATE_PER_MIN = 30.0
"""Arrivals a minute: the fleet has room, so that a better choice is not eaten up by queues."""
BEFORE = 192
"""Requests before the change."""
NEWCOMER, NEWCOMER_LEAD = "nova-20b", 0.4
"""The model that comes, and what it is more skilled than the best one, in logits."""
MIDDLE = "qwen2.5-coder-14b"
CODE = "humaneval"
HARDER = QueryMix(levels={4: 1.0, 5: 2.0}, domains={"math": 2.0, "code": 1.0})
"""No easy questions any more, and a third of them of a domain that was not asked about before."""

_ITEMS_SEED, _ITEMS = 61_121, 3_000
_TRAINING_SEED, _TRAINING_ITEMS = 61_122, 519
_SHARE_OF_CODE = 0.4
"""Code questions in the pools, as a share of the mathematical ones; none comes before the mix shifts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """A server that fails every request from now on.

    Attributes:
        endpoint: its name.
        fault: how: `Fault.REFUSE` as when the process is gone, `Fault.STALL` as when it hangs.
    """

    endpoint: str
    fault: Fault


@dataclass(frozen=True, kw_only=True)
class Change:
    """What is otherwise from one request on; what is None stays as it is.

    Raises:
        ConfigError: nothing changes.
    """

    models: Mapping[str, ModelTraits] = field(default_factory=dict)
    """Traits of models as they are afterwards."""
    outage: Outage | None = None
    """A server that goes."""
    newcomer: ModelProfile | None = None
    """A model that comes, with a server of its own; its traits are among ``models``."""
    mix: QueryMix | None = None
    """What is asked."""

    def __post_init__(self) -> None:
        if not self.models and self.outage is None and self.newcomer is None and self.mix is None:
            raise ConfigError("change", None, "change something")
        if self.newcomer is not None and self.newcomer.name not in self.models:
            raise ConfigError("newcomer", self.newcomer.name, "give its traits among `models`")

    def to_parameters(self, parameters: OutcomeParameters) -> OutcomeParameters:
        """What is true of answers afterwards."""
        return replace(parameters, models={**parameters.models, **self.models})

    def to_scenario(self, scenario: Scenario) -> Scenario:
        """The world as it stays afterwards, for whoever is trained in it."""
        gone = self.outage.endpoint if self.outage else ""
        profiles = tuple(profile for profile in scenario.profiles if profile.name != gone)
        return replace(
            scenario,
            profiles=profiles + ((self.newcomer,) if self.newcomer else ()),
            parameters=self.to_parameters(scenario.parameters),
            mix=MixSchedule(self.mix) if self.mix else scenario.mix,
        )


@dataclass(frozen=True, kw_only=True)
class Labels:
    """Which runs somebody says of whether they were right, and when.

    Raises:
        ConfigError: a share outside (0, 1], or a negative delay.
    """

    share: float = 1.0
    """Probability that a run gets a label, whatever came of it."""
    delay: int = 50
    """How many requests later it comes."""

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ConfigError("labels.share", self.share, "use a share above 0 and at most 1")
        if self.delay < 0:
            raise ConfigError("labels.delay", self.delay, "use 0 requests or more")


@dataclass(frozen=True, kw_only=True)
class Promise:
    """What routing is held to in a world; None where nothing is promised."""

    recovers_within: int | None = None
    """Requests until three quarters of the gap are regained."""
    window: int = 320
    """Requests over which that is averaged: five chunks."""
    loses_at_most: float | None = None
    """Of on-time success against the frozen policy, as a share."""


@dataclass(frozen=True, kw_only=True)
class World:
    """A scenario, and what becomes of it.

    Attributes:
        name: on the command line.
        title: for people.
        scenario: how it is before.
        change: what changes.
        retrained_as: name of the world whose retrained policy is the reference here: worlds that differ only in
            labels share it. "" where nothing has to be learned: there the reference is the trained policy, told which
            server is gone.
        labels: which runs get one, and when.
        after: requests after the change.
        promise: what routing is held to.
        before: requests before the change.
        rate_per_min: arrivals a minute.
    """

    name: str
    title: str
    scenario: Scenario
    change: Change
    retrained_as: str
    after: int
    promise: Promise
    labels: Labels = field(default_factory=Labels)
    before: int = BEFORE
    rate_per_min: float = RATE_PER_MIN

    def __post_init__(self) -> None:
        if self.before < 1 or self.after < 1:
            raise ConfigError("before, after", (self.before, self.after), "play at least one request each")

    @property
    def changed(self) -> Scenario:
        """The world as it stays afterwards."""
        return self.change.to_scenario(self.scenario)

    @property
    def requests(self) -> int:
        """Of one season."""
        return self.before + self.after

    def season_scenario(self) -> Scenario:
        """The scenario with as many questions as a season has, whose mix shifts when the world changes."""
        mix = self.scenario.mix
        if self.change.mix is not None:
            mix = MixSchedule(mix.first, (Shift(mix=self.change.mix, at_share=self.before / self.requests),))
        return replace(
            self.scenario, questions=self.requests, mix=mix, rates_per_min=(self.rate_per_min,), seeds=(0,)
        )


def world_named(name: str) -> World:
    """One of `WORLDS`.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in WORLDS:
        raise ConfigError("world", name, f"use one of: {', '.join(WORLDS)}")
    return WORLDS[name]()


def degraded(parameters: OutcomeParameters, model: str) -> ModelTraits:
    """A model that has become as bad as the worst: with its best strategy it is as able as that one with its own.

    Nothing else of it changes: answers are as long as before, and so take as long.
    """
    target = min(_best_ability(parameters, name) for name in parameters.models)
    traits = parameters.models[model]
    skill = min(
        (target - effect) / steepness for effect, steepness in _ability_lines(parameters, traits.is_reasoning)
    )
    return replace(traits, skill=skill)


def _best_ability(parameters: OutcomeParameters, model: str) -> float:
    traits = parameters.models[model]
    return max(
        effect + steepness * traits.skill
        for effect, steepness in _ability_lines(parameters, traits.is_reasoning)
    )


def _ability_lines(parameters: OutcomeParameters, is_reasoning: bool) -> list[tuple[float, float]]:
    """Ability as a line in the skill, by strategy: logit at skill 0, and its slope."""
    return [
        (manner.effect + (manner.thinking_effect if is_reasoning else 0.0), 1 + manner.effect_per_skill)
        for manner in parameters.strategies.values()
    ]


def best_model(parameters: OutcomeParameters) -> str:
    """The model that is most able with its best strategy."""
    return max(parameters.models, key=lambda name: _best_ability(parameters, name))


@cache
def _reference_scenario() -> Scenario:
    """The fleet of the shipped policy, asked only about mathematics."""
    models = models_of_fleet("reference")
    asked = _pool(_ITEMS_SEED, _ITEMS)
    known = {item.question for item in asked}
    training = _pool(_TRAINING_SEED, _TRAINING_ITEMS)
    return Scenario(
        profiles=models.profiles,
        parameters=models.parameters,
        items=asked,
        training_items=tuple(item for item in training if item.question not in known),
        mix=MixSchedule(QueryMix(domains={"math": 1.0})),
    )


def _pool(seed: int, n: int) -> tuple[Item, ...]:
    """Mathematical questions, and some about code; no question twice."""
    items = (*generate_items(n, seed), *benchmark_items(CODE, round(_SHARE_OF_CODE * n), seed + 10))
    return tuple({item.question: item for item in items}.values())


def _silent(name: str, title: str, *, after: int, within: int, labels: Labels) -> World:
    scenario = _reference_scenario()
    best = best_model(scenario.parameters)
    return World(
        name=name,
        title=title,
        scenario=scenario,
        change=Change(models={best: degraded(scenario.parameters, best)}),
        retrained_as="a",
        after=after,
        promise=Promise(recovers_within=within),
        labels=labels,
    )


def _silent_degradation() -> World:
    return _silent("a", "the best model silently degrades", after=1600, within=1000, labels=Labels())


def _few_labels() -> World:
    title = "the best model silently degrades, one run in ten has a label"
    return _silent("e", title, after=2560, within=2500, labels=Labels(share=0.1))


def _dead_endpoint(name: str, title: str, fault: Fault) -> World:
    scenario = _reference_scenario()
    return World(
        name=name,
        title=title,
        scenario=scenario,
        change=Change(outage=Outage(endpoint=best_model(scenario.parameters), fault=fault)),
        retrained_as="",
        after=320,
        promise=Promise(recovers_within=50, window=50),
    )


def _newcomer() -> World:
    """Thinks as the best model does and knows a little more, at the speed of the middle one."""
    scenario = _reference_scenario()
    profiles = {profile.name: profile for profile in scenario.profiles}
    best = best_model(scenario.parameters)
    traits = scenario.parameters.models[best]
    profile = replace(
        profiles[MIDDLE], name=NEWCOMER, size_b=20.0, price_per_mtoken=0.2, is_reasoning=traits.is_reasoning
    )
    return World(
        name="c",
        title="a new model comes, better than the best and of middling speed",
        scenario=scenario,
        change=Change(
            newcomer=profile,
            models={NEWCOMER: replace(traits, size_b=20.0, skill=traits.skill + NEWCOMER_LEAD)},
        ),
        retrained_as="c",
        after=960,
        promise=Promise(recovers_within=500),
    )


def _harder_questions() -> World:
    return World(
        name="d",
        title="questions become harder, and a third is of another domain",
        scenario=_reference_scenario(),
        change=Change(mix=HARDER),
        retrained_as="d",
        after=1280,
        promise=Promise(loses_at_most=0.01),
    )


WORLDS: Mapping[str, Callable[[], World]] = MappingProxyType(
    {
        "a": _silent_degradation,
        "b": lambda: _dead_endpoint("b", "the best model's server refuses connections", Fault.REFUSE),
        "b-hang": lambda: _dead_endpoint("b-hang", "the best model's server hangs", Fault.STALL),
        "c": _newcomer,
        "d": _harder_questions,
        "e": _few_labels,
    }
)
"""By name."""
