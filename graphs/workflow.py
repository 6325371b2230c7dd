"""The routed graph, compiled, as one thing to ask: what the SDK and the arena have in common."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from langchain_core.messages import HumanMessage
from langgraph.graph import StateGraph
from langgraph.graph.state import CompiledStateGraph

from inframind.graphs.portal import Portal
from inframind.graphs.registry import TopologyRegistry
from inframind.graphs.routed import build_routed_graph
from inframind.graphs.services import Services
from inframind.graphs.state import RouteContext, RoutedOutput, RoutedState


class RoutedWorkflow:
    """Answers questions through the routed graph; whatever ends a run, its trace is stored.

    Args:
        services: what the nodes need.
        registry: topologies.
        portal: runs the nodes of graphs that are invoked synchronously.

    Attributes:
        graph: the graph, uncompiled.
        compiled: the same, ready to run.
    """

    def __init__(self, services: Services, registry: TopologyRegistry, portal: Portal | None = None) -> None:
        self._services = services
        self.graph: StateGraph[RoutedState, RouteContext, RoutedState, RoutedOutput]
        self.graph = build_routed_graph(services, registry, portal or Portal())
        self.compiled: CompiledStateGraph[RoutedState, RouteContext, RoutedState, RoutedOutput]
        self.compiled = self.graph.compile(name="inframind")

    async def answer(self, question: str, context: RouteContext) -> tuple[Mapping[str, Any], str]:
        """Answer one question.

        Args:
            question: the question.
            context: its budget and the rest; must name the trace.

        Returns:
            What the run came to, as plain data, and the text of the answer.

        Raises:
            DeadlineExceeded: the budget ran out before there was any answer.
            FleetExhausted, EndpointError: no endpoint gave an answer.
        """
        await self._services.fleet.watch()
        async with self.closing(context):
            state = await self.compiled.ainvoke(as_state(question), context=context)
        return state["inframind"], str(state["messages"][-1].text)

    @asynccontextmanager
    async def closing(self, context: RouteContext) -> AsyncIterator[None]:
        """Whatever ends the run, its trace is stored."""
        trace_id = str(context.trace_id)
        try:
            yield
        except (asyncio.CancelledError, GeneratorExit) as error:
            await self._services.close_run(trace_id, "cancelled", error=error)
            await self._services.drain()
            raise
        except BaseException as error:
            await self._services.close_run(trace_id, "failed", error=error)
            raise


def as_state(question: str) -> RoutedState:
    """A question as the graph takes it."""
    return {"messages": [HumanMessage(question)]}
