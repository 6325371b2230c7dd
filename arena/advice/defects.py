"""Applications with something wrong in them, for advisors to find; and one with nothing wrong.

All are the reference fleet in virtual time, asked generated questions, a quarter of them about code, at a steady rate
at all hours. What is wrong, and how large it is:

* **truncation**: the server of the model that is used most was started with a limit on every answer
  (``max_new_tokens`` in ``--override-generation-config``). Longer ones are cut, finish reason ``length``, and so have
  no answer.
* **contradiction**: one role's prompt and one strategy's instruction contradict each other; a call with both is as if
  the question were nearly a standard deviation of difficulty harder. Either is fine with others.
* **night**: the server of the model that is used most shares its card with batch jobs from 22:00 to 06:00 UTC, and its
  steps take so much longer then. Our own latency model follows a slowdown within tens of calls and routes around it,
  which leaves little to mend; here nothing forecasts.
* **waste**: a topology of the user's own, which says that its agents speak side by side, once, and lets them speak one
  after the other, again and again. The planner believes it, and runs end late.

Who routes is what users run, told nothing of it: see `DefectWorld.routed_by`. All explore, or nothing could be learned
of what they do not do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from types import MappingProxyType

from inframind.advisor.cluster import TraitName
from inframind.arena.advice.relay import LAPS, RELAY, build_relay
from inframind.arena.query_mix import MixSchedule, QueryMix
from inframind.arena.scenario import Scenario, models_of_fleet
from inframind.errors import ConfigError
from inframind.graphs.assembly import PolicyToBind
from inframind.graphs.registry import TopologyRegistry
from inframind.router.decide import DecideConfig
from inframind.router.policy import JustEnoughPolicy, Policy
from inframind.router.policy_shipped import shipped_policy
from inframind.router.rules import HOURS, Circumstances, RoutingRule
from inframind.simulator.benchmarks import benchmark_items
from inframind.simulator.items import Item, generate_items
from inframind.simulator.server import ServerSpec

RATE_PER_MIN = 20.0
"""Arrivals a minute: the fleet has room."""
EXPLORATION = 0.2
"""Share of decisions drawn uniformly, by everybody."""
CUT, CAP_TOKENS = "mistral-small-24b", 256
ROLE, STRATEGY, CLASH = "MathSolver", "Concise", -2.0
TIRED, NIGHT, NIGHT_FACTOR = "qwen2.5-coder-14b", (22, 6), 12.0
CODE = "humaneval"

_ITEMS_SEED, _ITEMS = 71_121, 3_000
_SHARE_OF_CODE = 0.35
Naming = Mapping[TraitName, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowHours:
    """Hours in which a server's steps take longer.

    Attributes:
        endpoint: its name.
        hours_utc: from this full hour on, and before that one.
        factor: by which its steps are longer.
    """

    endpoint: str
    hours_utc: tuple[int, int]
    factor: float

    def factor_at(self, wall_s: float) -> float:
        """The factor at an instant, seconds since the Unix epoch."""
        return self.factor if Circumstances(hours_utc=self.hours_utc).is_at(wall_s) else 1.0


@dataclass(frozen=True, kw_only=True)
class Planted:
    """What is wrong, as one would name it."""

    names: tuple[Naming, ...]
    """What a cluster's main trait must have: all of any one of these. ``hour_utc`` is met by an overlapping range."""
    cure: RoutingRule
    """What somebody who knows would do about it."""
    forbids: Callable[[RoutingRule], bool]
    """Whether a rule is about it."""

    def is_named_by(self, trait: Naming) -> bool:
        """Whether a trait names it."""
        return any(
            all(_meets(name, trait.get(name, ""), value) for name, value in naming.items())
            for naming in self.names
        )


@dataclass(frozen=True, kw_only=True)
class DefectWorld:
    """An application, and what is wrong with it.

    Attributes:
        name: on the command line.
        title: for people.
        scenario: fleet, questions and budgets.
        policy: makes who routes.
        routed_by: that in words.
        planted: what is wrong, or None.
        registry: topologies.
        most_tokens: limits on every answer of some servers.
        slow: a server that is slow at some hours.
        decide: how proposals become choices.
        forecasts: whether steps that would be late are foreseen and masked. Our latency model follows a slowdown
            within tens of calls and routes around it; whoever has none needs to be told.
        rate_per_min: arrivals a minute.
    """

    name: str
    title: str
    scenario: Scenario
    policy: Callable[[], Policy | PolicyToBind]
    routed_by: str
    planted: Planted | None
    registry: TopologyRegistry = field(default_factory=TopologyRegistry)
    most_tokens: Mapping[str, int] = field(default_factory=dict)
    slow: SlowHours | None = None
    decide: DecideConfig = field(default_factory=lambda: DecideConfig(exploration=EXPLORATION))
    forecasts: bool = True
    rate_per_min: float = RATE_PER_MIN

    def specs(self) -> tuple[ServerSpec, ...]:
        """The servers, with their limits."""
        return tuple(
            replace(spec, max_output_tokens=self.most_tokens.get(spec.name)) for spec in self.scenario.specs()
        )


def defect_named(name: str) -> DefectWorld:
    """One of `DEFECTS`.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in DEFECTS:
        raise ConfigError("world", name, f"use one of: {', '.join(DEFECTS)}")
    return DEFECTS[name]()


def hours_within(hours_utc: tuple[int, int]) -> frozenset[int]:
    """The full hours from one to before another."""
    begin, end = hours_utc
    return frozenset((begin + step) % HOURS for step in range((end - begin) % HOURS or HOURS))


def hours_overlap(some: tuple[int, int], others: tuple[int, int]) -> float:
    """Hours that are in both, as a share of those that are in any."""
    one, other = hours_within(some), hours_within(others)
    return len(one & other) / len(one | other)


LEAST_OVERLAP = 0.5
"""With which hours count as those that were meant."""


def _meets(name: TraitName, said: str, meant: str) -> bool:
    if name != "hour_utc" or not said:
        return said == meant
    return hours_overlap(_range(said), _range(meant)) >= LEAST_OVERLAP


def _range(text: str) -> tuple[int, int]:
    begin, _, end = text.partition("-")
    return int(begin), int(end) if end else (int(begin) + 1) % HOURS


@cache
def _scenario() -> Scenario:
    models = models_of_fleet("reference")
    items: tuple[Item, ...] = (
        *generate_items(_ITEMS, _ITEMS_SEED),
        *benchmark_items(CODE, round(_SHARE_OF_CODE * _ITEMS), _ITEMS_SEED + 10),
    )
    return Scenario(
        profiles=models.profiles,
        parameters=models.parameters,
        items=tuple({item.question: item for item in items}.values()),
        training_items=(),
        mix=MixSchedule(QueryMix(domains={"math": 3.0, "code": 1.0})),
        budgets="loguniform:10,120",
        rates_per_min=(RATE_PER_MIN,),
        seeds=(0,),
    )


def _learned() -> PolicyToBind:
    return shipped_policy()


def _hurried(scenario: Scenario) -> Scenario:
    return replace(scenario, budgets="loguniform:10,60")


def _truncation() -> DefectWorld:
    return DefectWorld(
        name="truncation",
        title=f"{CUT} cuts every answer after {CAP_TOKENS} tokens",
        scenario=_scenario(),
        policy=_learned,
        routed_by="the shipped learned policy",
        most_tokens={CUT: CAP_TOKENS},
        planted=Planted(
            names=({"model": CUT}, {"endpoint": CUT}),
            cure=RoutingRule(name="cure", avoid_models=frozenset({CUT})),
            forbids=lambda rule: _is_without(rule, CUT),
        ),
    )


def _contradiction() -> DefectWorld:
    scenario = _scenario()
    parameters = replace(scenario.parameters, clashes={ROLE: {STRATEGY: CLASH}})
    return DefectWorld(
        name="contradiction",
        title=f"{STRATEGY} contradicts the role {ROLE}",
        scenario=replace(scenario, parameters=parameters),
        policy=lambda: JustEnoughPolicy(quality_floor=0.7),
        routed_by="just_enough with a floor of 0.7",
        planted=Planted(
            names=({"strategy": STRATEGY, "role": ROLE},),
            cure=RoutingRule(
                name="cure",
                when=Circumstances(roles=frozenset({ROLE})),
                avoid_strategies=frozenset({STRATEGY}),
            ),
            forbids=_forbids_the_contradiction,
        ),
    )


def _night() -> DefectWorld:
    begin, end = NIGHT
    hours = f"{begin}-{end}"
    return DefectWorld(
        name="night",
        title=f"{TIRED} takes {NIGHT_FACTOR:g} times as long from {begin}:00 to {end:02d}:00 UTC",
        scenario=_hurried(_scenario()),
        policy=JustEnoughPolicy,
        routed_by="just_enough with a floor of 0.6, and no forecasts",
        slow=SlowHours(endpoint=TIRED, hours_utc=NIGHT, factor=NIGHT_FACTOR),
        forecasts=False,
        planted=Planted(
            names=({"endpoint": TIRED, "hour_utc": hours}, {"model": TIRED, "hour_utc": hours}),
            cure=RoutingRule(
                name="cure", when=Circumstances(hours_utc=NIGHT), avoid_endpoints=frozenset({TIRED})
            ),
            forbids=_forbids_the_night,
        ),
    )


def _waste() -> DefectWorld:
    return DefectWorld(
        name="waste",
        title=f"{RELAY.name} lets two agents speak {LAPS} times in turn and says that they speak once, side by side",
        scenario=_hurried(_scenario()),
        policy=lambda: JustEnoughPolicy(quality_floor=0.9),
        routed_by="just_enough with a floor of 0.9, which plans teams",
        registry=TopologyRegistry().register(RELAY, build_relay),
        planted=Planted(
            names=({"topology": RELAY.name},),
            cure=RoutingRule(name="cure", avoid_topologies=frozenset({RELAY.name})),
            forbids=lambda rule: RELAY.name in rule.avoid_topologies,
        ),
    )


def _nothing() -> DefectWorld:
    return DefectWorld(
        name="control",
        title="nothing is wrong",
        scenario=_scenario(),
        policy=_learned,
        routed_by="the shipped learned policy",
        planted=None,
    )


def _is_without(rule: RoutingRule, model: str) -> bool:
    """Whether a rule keeps steps from a model, or from some of its strategies."""
    return (
        model in rule.avoid_models
        or model in rule.avoid_endpoints
        or bool(rule.only_models and model not in rule.only_models)
        or any(action.startswith(f"{model}/") for action in rule.avoid_actions)
    )


def _forbids_the_contradiction(rule: RoutingRule) -> bool:
    about = STRATEGY in rule.avoid_strategies or any(
        action.endswith(f"/{STRATEGY}") for action in rule.avoid_actions
    )
    return about and ROLE in rule.when.roles


def _forbids_the_night(rule: RoutingRule) -> bool:
    hours = rule.when.hours_utc
    return _is_without(rule, TIRED) and hours is not None and hours_overlap(hours, NIGHT) >= LEAST_OVERLAP


DEFECTS: Mapping[str, Callable[[], DefectWorld]] = MappingProxyType(
    {
        "truncation": _truncation,
        "contradiction": _contradiction,
        "night": _night,
        "waste": _waste,
        "control": _nothing,
    }
)
"""By name."""
