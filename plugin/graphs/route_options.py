"""What `route` is told: how the models of a graph are reached, and which of its nodes are routed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from inframind.errors import ConfigError
from inframind.fleet.endpoints import Capability

Field = Literal["model", "base_url", "api_key"]
Needs = Mapping[str, Sequence[Capability]] | Sequence[Capability]
"""What a model must be able to do: by node, or in all nodes."""
KNOWN = ("budget_s", "hard", "fields", "prefix", "only", "skip", "needs")
"""Options of `route`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteOptions:
    """How the models of a graph are reached, and which of its nodes are routed.

    Attributes:
        fields: what the models were made configurable in. ``base_url`` where each model has servers of its own;
            ``model`` alone behind a gateway. ``api_key`` only where the endpoints need different keys: it is then in
            the run's config, which other handlers see.
        prefixes: the ``config_prefix`` of the models, each with LangChain's underscore; several where they differ.
        only: nodes to route; None means all.
        skip: nodes to leave alone.
        needs: what a model must be able to do in a node, such as ``{"agent": ("tools",)}``. A node's metadata may say
            the same: ``add_node(..., metadata={"inframind": {"needs": ["tools"], "role": "Programmer"}})``.
        needs_everywhere: what it must be able to do in all nodes.

    Raises:
        ConfigError: ``model`` is not among the fields, or both ``only`` and ``skip`` are given.
    """

    fields: tuple[Field, ...] = ("model", "base_url")
    prefixes: tuple[str, ...] = ("",)
    only: frozenset[str] | None = None
    skip: frozenset[str] = frozenset()
    needs: Mapping[str, frozenset[Capability]] = field(default_factory=dict)
    needs_everywhere: frozenset[Capability] = frozenset()

    def __post_init__(self) -> None:
        if "model" not in self.fields:
            raise ConfigError("fields", self.fields, "name at least 'model'")
        if self.only is not None and self.skip:
            raise ConfigError("skip", sorted(self.skip), "give either only or skip")

    @classmethod
    def of(
        cls,
        *,
        fields: Sequence[Field],
        prefix: str | Sequence[str],
        only: str | Iterable[str] | None,
        skip: str | Iterable[str],
        needs: Needs | None,
    ) -> RouteOptions:
        """As callers give them: one name may stand for a list of one.

        Raises:
            ConfigError: they contradict each other, or have another shape.
        """
        by_node = needs if isinstance(needs, Mapping) else {}
        return cls(
            fields=tuple(fields),
            prefixes=tuple(_as_key(one) for one in _names(prefix)),
            only=None if only is None else frozenset(_names(only)),
            skip=frozenset(_names(skip)),
            needs={node: _capabilities(f"needs.{node}", ones) for node, ones in by_node.items()},
            needs_everywhere=frozenset() if needs is by_node else _capabilities("needs", needs or ()),
        )

    def needs_of(self, node: str) -> frozenset[Capability]:
        """What a model must be able to do in a node."""
        return self.needs_everywhere | self.needs.get(node, frozenset())

    def takes(self, node: str) -> bool:
        """Whether a node is routed."""
        return node not in self.skip and (self.only is None or node in self.only)

    def require_nodes(self, names: Iterable[str]) -> None:
        """Check that all nodes that are named exist.

        Raises:
            ConfigError: one does not.
        """
        known = frozenset(names)
        for what, named in (("only", self.only or ()), ("skip", self.skip), ("needs", self.needs)):
            for name in sorted(set(named) - known):
                raise ConfigError(what, name, f"the graph has the nodes {', '.join(sorted(known))}")


def _names(given: str | Iterable[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _capabilities(where: str, given: Any) -> frozenset[Capability]:
    known = get_args(Capability)
    is_list = isinstance(given, Iterable) and not isinstance(given, str | Mapping)
    ones = list(given) if is_list else []
    if not is_list or not all(one in known for one in ones):
        fix = f'give a list of {", ".join(known)}, such as ["tools"], or by node {{"agent": ["tools"]}}'
        raise ConfigError(where, given, fix)
    return frozenset(ones)


def _as_key(prefix: str) -> str:
    """LangChain puts an underscore between prefix and field."""
    return f"{prefix}_" if prefix and not prefix.endswith("_") else prefix
