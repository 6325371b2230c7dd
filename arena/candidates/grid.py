"""Every change of one kind, as candidates: what if this model, or that strategy, were left out?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from types import MappingProxyType
from typing import Any

from inframind.arena.candidates.candidate import Candidate
from inframind.errors import ConfigError
from inframind.router.actions import ActionSpace
from inframind.router.rules import RoutingRule

GRID = "grid"
"""Source of every candidate here."""
Changes = Iterator[tuple[str, dict[str, Any]]]
"""What each change is called, and what its rule asks for."""


def _without(field: str, names: Sequence[str]) -> Changes:
    if len(names) > 1:
        yield from ((f"without {name}", {field: {name}}) for name in names)


def _only(actions: ActionSpace) -> Changes:
    """Each model, strategy and topology alone."""
    if len(actions.models) > 1:
        yield from ((f"only {model}", {"only_models": {model}}) for model in actions.models)
    for field, names in (
        ("avoid_strategies", set(actions.strategies)),
        ("avoid_topologies", set(actions.topologies)),
    ):
        if len(names) > 1:
            yield from ((f"only {name}", {field: names - {name}}) for name in sorted(names))


def _teams(actions: ActionSpace) -> Changes:
    for size in range(1, actions.max_team):
        yield "one agent alone" if size == 1 else f"at most {size} agents", {"most_agents": size}


_AXES: Mapping[str, Callable[[ActionSpace], Changes]] = MappingProxyType(
    {
        "models": lambda actions: _without("avoid_models", list(actions.models)),
        "only": _only,
        "strategies": lambda actions: _without("avoid_strategies", list(actions.strategies)),
        "actions": lambda actions: _without("avoid_actions", actions.executor_labels),
        "topologies": lambda actions: _without("avoid_topologies", list(actions.topologies)),
        "agents": _teams,
    }
)
AXES = tuple(_AXES)
"""Kinds of changes: without a model, with one model, strategy or topology alone, without a strategy, a model's strategy
or a topology, or with smaller teams."""


def grid_of(axes: Sequence[str], actions: ActionSpace, *, domains: Sequence[str] = ("",)) -> list[Candidate]:
    """One candidate per change and domain.

    Args:
        axes: kinds of changes, some of `AXES`.
        actions: what may be chosen.
        domains: of the questions that a change is for; "" is all of them.

    Raises:
        ConfigError: there is no such kind, or nothing of any of these kinds can be changed.
    """
    for axis in axes:
        if axis not in _AXES:
            raise ConfigError("grid", axis, f"use some of: {', '.join(AXES)}")
    changes = [change for axis in dict.fromkeys(axes) for change in _AXES[axis](actions)]
    if axes and not changes:
        fix = (
            "it has no candidates, for there is nothing else to choose "
            f"(models: {len(actions.models)}, strategies: {len(actions.strategies)}, "
            f"topologies: {len(actions.topologies)}, agents: {actions.max_team}): use another kind"
        )
        raise ConfigError("grid", ", ".join(axes), fix)
    return [_candidate(name, asked, domain) for domain, (name, asked) in product(domains, changes)]


def _candidate(name: str, asked: dict[str, Any], domain: str) -> Candidate:
    name = f"{name} for {domain}" if domain else name
    when = {"domains": {domain}} if domain else {}
    rule = RoutingRule.model_validate({"name": name, "when": when, **asked})
    return Candidate(name=name, rules=(rule,), source=GRID)
