"""The nodes of a compiled graph, exchanged for wrapped ones. The one place that knows LangGraph's `PregelNode`.

That class is not documented: what is used of it is checked before anything is exchanged, so that a LangGraph that does
it another way says so at once, and not by routing nothing.
"""

from __future__ import annotations

import asyncio
import inspect
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from typing import Any, cast

from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import ensure_config, set_config_context
from langgraph.constants import START
from langgraph.graph.state import CompiledStateGraph

from inframind.errors import ConfigError
from inframind.plugin.graphs.tracker import Graph

Wrap = Callable[[str, Runnable[Any, Any], Mapping[str, Any]], Runnable[Any, Any]]
"""(name of the node, what it runs, its metadata) -> what it shall run."""

_NEEDED = frozenset({"bound", "metadata", "subgraphs", "writers", "triggers", "channels"})


class WrappedNode(Runnable[Any, Any]):
    """Runs a node under another config.

    Plain function nodes read the config that is in the context, and others the one that they are given: both are set.

    Args:
        inner: what the node runs.
        name: of the node.
    """

    def __init__(self, inner: Runnable[Any, Any], name: str) -> None:
        self.inner, self.name = inner, name

    @abstractmethod
    def config_for(self, state: Any, config: RunnableConfig) -> RunnableConfig:
        """The config to run under; called in the node's own context."""

    def has_run(self, config: RunnableConfig) -> None:
        """The node has ended, or broken off; it ran under this config."""

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Run the node."""
        config = self.config_for(input, ensure_config(config))
        try:
            with set_config_context(config) as context:
                return context.run(self.inner.invoke, input, config, **kwargs)
        finally:
            self.has_run(config)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Run the node."""
        config = self.config_for(input, ensure_config(config))
        try:
            with set_config_context(config) as context:
                return await asyncio.create_task(self.inner.ainvoke(input, config, **kwargs), context=context)
        finally:
            self.has_run(config)


def with_nodes(graph: Graph, wrap: Wrap) -> Graph:
    """A copy of a compiled graph, and of the graphs that are its nodes, with wrapped nodes; the graph itself stays.

    Raises:
        ConfigError: this LangGraph's nodes are not what we know.
    """
    nodes = {
        name: node if name == START else _exchanged(name, node, wrap) for name, node in graph.nodes.items()
    }
    return graph.copy({"nodes": nodes})


def node_names(graph: CompiledStateGraph[Any, Any, Any, Any]) -> Iterator[str]:
    """Names of the nodes, those of graphs that are nodes included."""
    for name, node in graph.nodes.items():
        if name != START:
            yield name
            if isinstance(node.bound, CompiledStateGraph):
                yield from node_names(node.bound)


def _exchanged(name: str, node: Any, wrap: Wrap) -> Any:
    require_known(type(node))
    if isinstance(node.bound, CompiledStateGraph):
        inner = with_nodes(node.bound, wrap)
        return node.copy({"bound": inner, "subgraphs": [inner]})
    return node.copy({"bound": wrap(name, cast("Runnable[Any, Any]", node.bound), node.metadata or {})})


def require_known(node_type: type) -> None:
    """Check that a node can be copied with another runnable.

    Raises:
        ConfigError: it cannot.
    """
    takes = frozenset(inspect.signature(node_type).parameters)
    if not takes >= _NEEDED or not callable(getattr(node_type, "copy", None)):
        raise ConfigError(
            "langgraph",
            version("langgraph"),
            "route(graph) knows the nodes of LangGraph 1.2; use ChatInfraMind in the nodes, or that version",
        )
