"""Applications with something wrong in them, for advisors to find; and one with nothing wrong.

All are some models of the reference fleet in virtual time, asked generated questions at a steady rate at all hours.
What is wrong, and how large it is:

* **truncation**: the server of one of three models was started with a limit on every answer (``max_new_tokens`` in
  ``--override-generation-config``). Longer ones are cut, finish reason ``length``, and so have no answer.
* **contradiction**: one role's prompt and one strategy's instruction contradict each other; a call with both is as if
  the question were more than a standard deviation of difficulty harder. Either is fine with others.
* **night**: the server of one of two models shares its card with batch jobs from 20:00 to 06:00 UTC, and its steps take
  so much longer then. Our own latency model follows a slowdown within tens of calls and routes around it, which leaves
  little to mend; here nothing forecasts.
* **waste**: a topology of the user's own, which says that its agents speak side by side, once, and lets them speak one
  after the other, again and again. The planner believes it, and runs end late.

They are routed by the uniform policy, which is what one collects traces with: it makes no mistake of its own, and none
better, and does everything often enough for runs to say how it would be to do that alone. Of a policy that does one
thing four times in five, and explores all else alike, it takes several times as many runs to learn as much.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from types import MappingProxyType

from inframind.advisor.cluster import TraitName
from inframind.arena.advice.relay import LAPS, RELAY, build_relay
from inframind.arena.query_mix import MixSchedule, QueryMix
from inframind.arena.scenario import Scenario, models_of_fleet
from inframind.errors import ConfigError
from inframind.graphs.assembly import Parts, PolicyToBind
from inframind.graphs.registry import TopologyRegistry
from inframind.graphs.roles import default_roles, merge_roles
from inframind.router.actions import DEFAULT_STRATEGIES
from inframind.router.policy import Policy, UniformPolicy
from inframind.router.rules import HOURS, Circumstances, RoutingRule
from inframind.simulator.benchmarks import benchmark_items
from inframind.simulator.items import Item, generate_items
from inframind.simulator.server import ServerSpec

RATE_PER_MIN = 20.0
"""Arrivals a minute: the fleet has room."""
MODELS = ("llama-3.1-8b", "qwen2.5-coder-14b", "mistral-small-24b")
CUT, CAP_TOKENS = "mistral-small-24b", 100
ROLE, STRATEGY, CLASH = "MathSolver", "Concise", -3.0
TIRED, NIGHT, NIGHT_FACTOR = "qwen2.5-coder-14b", (20, 6), 12.0
STRATEGIES = ("Concise", "Plain")
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
        planted: what is wrong, or None.
        parts: topologies, strategies, roles and how proposals become choices; its servers are the scenario's.
        most_tokens: limits on every answer of some servers.
        slow: a server that is slow at some hours.
        policy: makes who routes.
        forecasts: whether steps that would be late are foreseen and masked. Our latency model follows a slowdown
            within tens of calls and routes around it; whoever has none needs to be told.
        rate_per_min: arrivals a minute.
    """

    name: str
    title: str
    scenario: Scenario
    planted: Planted | None
    parts: Parts
    most_tokens: Mapping[str, int] = field(default_factory=dict)
    slow: SlowHours | None = None
    policy: Callable[[], Policy | PolicyToBind] = UniformPolicy
    forecasts: bool = True
    rate_per_min: float = RATE_PER_MIN

    def parts_at(self, base_urls: Mapping[str, str], rules: Sequence[RoutingRule] = ()) -> Parts:
        """What services are made of when the servers run there."""
        return replace(self.parts, endpoints=self.scenario.endpoints(base_urls), rules=tuple(rules))

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
def _questions() -> tuple[Item, ...]:
    items: tuple[Item, ...] = (
        *generate_items(_ITEMS, _ITEMS_SEED),
        *benchmark_items(CODE, round(_SHARE_OF_CODE * _ITEMS), _ITEMS_SEED + 10),
    )
    return tuple({item.question: item for item in items}.values())


def _scenario(
    models: Sequence[str] = MODELS, *, code: float = 1.0, budgets: str = "loguniform:10,60"
) -> Scenario:
    fleet = models_of_fleet("reference")
    return Scenario(
        profiles=tuple(profile for profile in fleet.profiles if profile.name in models),
        parameters=fleet.parameters,
        items=_questions(),
        training_items=(),
        mix=MixSchedule(QueryMix(domains={"math": 3.0, "code": code})),
        budgets=budgets,
        rates_per_min=(RATE_PER_MIN,),
        seeds=(0,),
    )


def _parts(
    topologies: tuple[str, ...] = ("IO", "CoT"), *, max_team: int = 1, roles: frozenset[str] = frozenset()
) -> Parts:
    """Two strategies, some topologies, and the catalogue's roles; of the mathematical ones only those given, if any."""
    return Parts(
        endpoints=(),
        registry=TopologyRegistry().register(RELAY, build_relay).only(topologies),
        strategies=tuple(one for one in DEFAULT_STRATEGIES if one.name in STRATEGIES),
        roles={
            name: role
            for name, role in merge_roles(default_roles()).items()
            if not roles or name in roles or "math" not in role.domains
        },
        max_team=max_team,
    )


def _truncation() -> DefectWorld:
    return DefectWorld(
        name="truncation",
        title=f"{CUT} cuts every answer after {CAP_TOKENS} tokens",
        scenario=_scenario(),
        parts=_parts(),
        most_tokens={CUT: CAP_TOKENS},
        planted=Planted(
            names=({"model": CUT}, {"endpoint": CUT}),
            cure=RoutingRule(name="cure", avoid_models=frozenset({CUT})),
            forbids=lambda rule: _is_without(rule, CUT),
        ),
    )


def _contradiction() -> DefectWorld:
    scenario = _scenario(code=0.0)
    parameters = replace(scenario.parameters, clashes={ROLE: {STRATEGY: CLASH}})
    return DefectWorld(
        name="contradiction",
        title=f"{STRATEGY} contradicts the role {ROLE}",
        scenario=replace(scenario, parameters=parameters),
        parts=_parts(roles=frozenset({ROLE, "Mathematician"})),
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
        scenario=_scenario(MODELS[1:]),
        parts=_parts(),
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
        scenario=_scenario(),
        parts=_parts(("IO", RELAY.name), max_team=2),
        planted=Planted(
            names=({"topology": RELAY.name},),
            cure=RoutingRule(name="cure", avoid_topologies=frozenset({RELAY.name})),
            forbids=lambda rule: RELAY.name in rule.avoid_topologies,
        ),
    )


def _nothing() -> DefectWorld:
    return DefectWorld(
        name="control", title="nothing is wrong", scenario=_scenario(), parts=_parts(), planted=None
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
