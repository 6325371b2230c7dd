"""What a decider decides with, as a document with a hash: no addresses, no keys."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from inframind.fleet.endpoints import ModelFacts
from inframind.router.actions import StrategySpec
from inframind.router.cost import Prices
from inframind.router.topology import TopologySpec
from inframind.traces.configurations import Configuration, configuration_of
from inframind.traces.secret_names import names_secret

if TYPE_CHECKING:
    from inframind.router.decide import Decider


def configuration_by(decider: Decider) -> Configuration:
    """The configuration of a decider.

    Two deciders that choose by the same policy among the same things under the same rules have the same one, in
    whatever process. The tools that an application binds to its calls come later: `with_tools`.
    """
    return configuration_of(document_of(decider))


def with_tools(configuration: Configuration, tools: Collection[str]) -> Configuration:
    """A configuration of runs whose calls could use tools of these names."""
    return configuration_of({**configuration.document, "tools": sorted(tools)}) if tools else configuration


def document_of(decider: Decider) -> Mapping[str, Any]:
    """A configuration as plain data.

    Models, strategies, topologies and domains are by name, in any order; roles are in the order of the catalogue, rules
    in the order in which they join.
    """
    actions, policy, config = decider.actions, decider.policy, decider.config
    return {
        "models": {name: _model(facts) for name, facts in actions.models.items()},
        "strategies": {name: _strategy(strategy) for name, strategy in actions.strategies.items()},
        "topologies": {name: _topology(spec) for name, spec in actions.topologies.items()},
        "roles": {domain: list(names) for domain, names in actions.roles.items()},
        "role_texts": dict(actions.role_texts),
        "max_team": actions.max_team,
        "cost_unit": Prices.of(actions.models).unit,
        "rules": [rule.to_plain() for rule in decider.book.rules],
        "tools": [],
        "policy": {
            "name": policy.name,
            "version": policy.version,
            "exploration": config.exploration,
            "greedy": config.greedy,
            "deadline_quantile": config.deadline_quantile,
        },
    }


def _model(facts: ModelFacts) -> dict[str, Any]:
    return {
        "size_b": facts.size_b,
        "quality": facts.quality,
        "context_length": facts.context_length,
        "price_input_usd_per_mtok": facts.price_input_usd_per_mtok,
        "price_output_usd_per_mtok": facts.price_output_usd_per_mtok,
        "capabilities": sorted(facts.capabilities),
        "slots": facts.slots,
        "endpoints": sorted(facts.endpoints),
    }


def _strategy(strategy: StrategySpec) -> dict[str, Any]:
    """Further body fields may have a gateway's key among them, of a name that says so."""
    document = strategy.model_dump(mode="json", exclude={"name"})
    return {**document, "extra": _without_secrets(document["extra"])}


def _without_secrets(value: Any) -> Any:
    """Plain data without texts of names that stand for secrets; numbers of such names, as of tokens, are none."""
    if isinstance(value, list):
        return [_without_secrets(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        name: _without_secrets(one)
        for name, one in value.items()
        if not (isinstance(one, str) and names_secret(name))
    }


def _topology(spec: TopologySpec) -> dict[str, Any]:
    return {
        "rounds": spec.rounds,
        "max_rounds": spec.max_rounds,
        "min_planned_team": spec.min_planned_team,
        "excluded_strategies": sorted(spec.excluded_strategies),
    }
