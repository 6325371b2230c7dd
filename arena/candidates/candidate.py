"""What is tried: rules beside those that there are, or another configuration altogether."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from inframind.errors import ConfigError
from inframind.fleet.endpoints import EndpointSpec, group_by_model
from inframind.graphs.assembly import Parts, PolicyToBind
from inframind.router.actions import ActionSpace
from inframind.router.policy import Policy
from inframind.router.rules import RoutingRule

AS_IT_IS = "as it is"
"""Name of the configuration that candidates are compared with."""
_NOWHERE = "http://nowhere.invalid/v1"


@dataclass(frozen=True, kw_only=True, eq=False)
class Setup:
    """A configuration as far as it decides: no addresses, no secrets, so that it may travel to workers.

    Attributes:
        parts: models, strategies, topologies, roles, rules and how choices are made; see `without_addresses`.
        policy: who proposes.
        document: what it is, as plain data by section: two of one document are the same.
    """

    parts: Parts
    policy: Policy | PolicyToBind
    document: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for endpoint in self.parts.endpoints:
            if endpoint.api_key is not None:
                raise ConfigError("endpoints", endpoint.name, "leave out its key: nobody is called")

    @property
    def actions(self) -> ActionSpace:
        """What may be chosen."""
        return self.parts.action_space(group_by_model(self.parts.endpoints))

    def bound(self, actions: ActionSpace) -> Policy:
        """Who proposes, over these models, strategies and topologies."""
        return self.policy.bind(actions) if isinstance(self.policy, PolicyToBind) else self.policy


def without_addresses(endpoints: Iterable[EndpointSpec]) -> tuple[EndpointSpec, ...]:
    """Servers that nobody is going to call: neither addresses nor keys."""
    nowhere = {"base_url": _NOWHERE, "api_key": None, "metrics_url": None}
    return tuple(endpoint.model_copy(update=nowhere) for endpoint in endpoints)


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidate:
    """One thing that could be changed.

    Attributes:
        name: unique; shown in tables.
        rules: added to those of the configuration.
        setup: the configuration that it is; None is the one that everything is compared with.
        source: where it comes from, for people.
    """

    name: str
    rules: tuple[RoutingRule, ...] = ()
    setup: Setup | None = None
    source: str = ""

    @property
    def digest(self) -> str:
        """12 hex digits of what it changes."""
        document = {
            "rules": [plain_rule(rule) for rule in self.rules],
            "setup": self.setup.document if self.setup else None,
        }
        return digest_of(document)

    def on(self, baseline: Setup) -> Setup:
        """The configuration that it makes of another."""
        setup = self.setup or baseline
        return replace(setup, parts=replace(setup.parts, rules=(*setup.parts.rules, *self.rules)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A candidate that cannot be tried.

    Attributes:
        name: of the candidate.
        reason: what is wrong with it.
        source: where it comes from.
    """

    name: str
    reason: str
    source: str = ""


def checked(
    candidates: Sequence[Candidate], baseline: Setup
) -> tuple[tuple[Candidate, ...], tuple[Refused, ...]]:
    """The candidates that can be tried, and those that cannot; order is kept.

    Of two with one name the first is tried. Those that speak of a model, a server, a strategy, a topology, a role or a
    domain that there is not are refused, as the configuration would refuse them.
    """
    fine: list[Candidate] = []
    refused: list[Refused] = []
    taken = {AS_IT_IS}
    for candidate in candidates:
        reason = _objection(candidate, baseline, taken)
        taken.add(candidate.name)
        if reason:
            refused.append(Refused(name=candidate.name, reason=reason, source=candidate.source))
        else:
            fine.append(candidate)
    return tuple(fine), tuple(refused)


def _objection(candidate: Candidate, baseline: Setup, taken: set[str]) -> str:
    if not candidate.name or candidate.name in taken:
        return "its name is taken: give every candidate its own"
    if not candidate.rules and candidate.setup is None:
        return "it changes nothing: give it rules, or another configuration"
    setup = candidate.on(baseline)
    try:
        setup.parts.rule_book(setup.actions)
    except ConfigError as error:
        return str(error)
    return ""


def plain_rule(rule: RoutingRule) -> Mapping[str, Any]:
    """What a rule says, as plain data; whose advice it was does not matter."""
    return rule.model_copy(update={"advice": ""}).to_plain()


def digest_of(document: object) -> str:
    """12 hex digits of plain data; keys in any order."""
    return hashlib.sha256(orjson.dumps(document, option=orjson.OPT_SORT_KEYS)).hexdigest()[:12]
