"""Which topologies there are: the six, and a user's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from langgraph.graph import StateGraph

from inframind.errors import ConfigError
from inframind.graphs.chain import CHAIN, build_chain
from inframind.graphs.cot import COT, build_cot
from inframind.graphs.debate import DEBATE, build_debate
from inframind.graphs.full_connected import FULL_CONNECTED, build_full_connected
from inframind.graphs.io import IO, build_io
from inframind.graphs.kit import TopologyKit
from inframind.graphs.reflection import REFLECTION, build_reflection
from inframind.router.topology import TopologySpec

Build = Callable[[TopologyKit], StateGraph[Any, Any, Any, Any]]

RESERVED = frozenset({"plan", "respond", "auto", "__start__", "__end__"})


@dataclass(frozen=True, slots=True)
class Topology:
    """A topology: what it costs, and how to build it."""

    spec: TopologySpec
    build: Build


DEFAULT_TOPOLOGIES: tuple[Topology, ...] = (
    Topology(IO, build_io),
    Topology(COT, build_cot),
    Topology(CHAIN, build_chain),
    Topology(FULL_CONNECTED, build_full_connected),
    Topology(DEBATE, build_debate),
    Topology(REFLECTION, build_reflection),
)


@dataclass(frozen=True, slots=True)
class TopologyRegistry:
    """Topologies by name. Registering gives a new registry; nothing is global."""

    topologies: Mapping[str, Topology] = field(
        default_factory=lambda: {topology.spec.name: topology for topology in DEFAULT_TOPOLOGIES}
    )

    @property
    def specs(self) -> Mapping[str, TopologySpec]:
        """Specs by name."""
        return {name: topology.spec for name, topology in self.topologies.items()}

    def register(self, spec: TopologySpec, build: Build) -> TopologyRegistry:
        """This registry and one more topology.

        Args:
            spec: name and exact costs; its call graph must be what ``build`` really runs.
            build: takes a `TopologyKit`, returns an uncompiled StateGraph over its state.

        Raises:
            ConfigError: the name is taken or reserved.
        """
        if spec.name in self.topologies or spec.name in RESERVED:
            raise ConfigError("topology.name", spec.name, "choose a name that is not taken")
        return TopologyRegistry({**self.topologies, spec.name: Topology(spec, build)})

    def only(self, names: tuple[str, ...]) -> TopologyRegistry:
        """The topologies of these names, in this order.

        Raises:
            ConfigError: a name that is not registered.
        """
        for name in names:
            if name not in self.topologies:
                raise ConfigError("topologies", name, f"use some of {', '.join(self.topologies)}")
        return TopologyRegistry({name: self.topologies[name] for name in names})
