"""The ways into an application that exists already: a model, a middleware, a node, or the whole graph."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Never, cast

from langgraph.graph import StateGraph

from inframind.graphs.portal import Portal
from inframind.graphs.routed import require_budget
from inframind.graphs.services import Services
from inframind.graphs.state import RouteContext, RoutedOutput, RoutedState
from inframind.graphs.workflow import RoutedWorkflow
from inframind.plugin.calls.block import RunBlock
from inframind.plugin.calls.router import CallRouter
from inframind.plugin.calls.scope import RunScope
from inframind.plugin.config import Settings
from inframind.router.views import Query
from inframind.traces.query import ALL_TRACES, TraceQuery

if TYPE_CHECKING:
    from inframind.plugin.chat.model import ChatInfraMind
    from inframind.plugin.graphs.live_runs import LiveRuns
    from inframind.plugin.graphs.observed import Observed
    from inframind.plugin.graphs.route_options import Field, Needs
    from inframind.plugin.graphs.tracker import Graph
    from inframind.plugin.middleware import InfraMindMiddleware
    from inframind.plugin.mind import InfraMind


class Applications:
    """Routes what other people's graphs ask; a part of `InfraMind`."""

    _services: Services
    _workflow: RoutedWorkflow
    _portal: Portal
    _calls: CallRouter
    settings: Settings

    def graph(self) -> StateGraph[RoutedState, RouteContext, RoutedState, RoutedOutput]:
        """The routed workflow as an uncompiled StateGraph: a `MessagesState` in and out.

        ``builder.add_node("solve", mind.graph().compile())`` makes it a node of your own graph. Decision events reach
        a parent's ``custom`` stream with ``subgraphs=True`` only; `inframind.graphs.events` lists them. With a
        checkpointer, a run that waits for a person is resumed with the decisions that it made, in any process that
        shares the trace store.
        """
        return self._workflow.graph

    def chat_model(self, **fields: Any) -> ChatInfraMind:
        """A LangChain chat model of which every call is routed: put it where ``ChatOpenAI`` stands.

        Args:
            fields: of `ChatInfraMind`, such as ``model``, ``strategy``, ``temperature`` or ``budget_s``.

        Raises:
            ConfigError: an unknown field.
        """
        from inframind.plugin.chat.model import ChatInfraMind

        return ChatInfraMind(mind=cast("InfraMind", self), **fields)

    def middleware(self, **options: Any) -> InfraMindMiddleware:
        """Middleware for ``create_agent``: every model call of the agent is routed, under one budget per run.

        Args:
            options: of `InfraMindMiddleware`: ``strategy``, ``budget_s``, ``role``, ``model``.

        Raises:
            ConfigError: LangChain is not installed; ``pip install 'inframind[langchain]'``.
        """
        from inframind.plugin.middleware import InfraMindMiddleware

        return InfraMindMiddleware(cast("InfraMind", self), **options)

    def run(
        self,
        name: str = "",
        *,
        graph: str = "",
        budget_s: float | None = None,
        hard: bool = False,
        trace_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> RunBlock:
        """One run of your application: every routed call inside shares one budget and one trace.

        ``with mind.run():``, or ``async with mind.run():``, whose trace is stored when the block ends; in coroutines
        ``with`` stores it soon after.

        Args:
            name: the run's question, for people.
            graph: name of the application: what its nodes cost is learned by it.
            budget_s: seconds for the whole run (default: the configured budget).
            hard: fail calls once the budget is spent. Otherwise it is what decisions aim at, and a late answer is
                marked late.
            trace_id: 32 hex digits; a new one unless given.
            metadata: plain data to keep with the trace.

        Raises:
            InvalidBudget: not a positive, finite number of seconds.
        """
        open_run = partial(
            self._calls.runs.open,
            trace_id or self._services.new_trace_id(),
            Query(text=name),
            budget_s=require_budget(self._services.defaults.budget_s if budget_s is None else budget_s),
            graph=graph,
            is_tracked=True,
            is_hard=hard,
            metadata=metadata,
        )
        return RunBlock(open_run, self._finish, self._afinish)

    async def _afinish(self, scope: RunScope, error: BaseException | None) -> None:
        """Close a run's trace, with the calls that graphs in it have handed to the background loop."""
        if "live_runs" in self.__dict__:
            await self.live_runs.background.caught_up()
        await self._calls.runs.finish(scope, error)

    def _finish(self, scope: RunScope, error: BaseException | None) -> None:
        """`_afinish`, whichever kind of caller ends the run."""
        write = self._afinish(scope, error)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            self._portal.run(write)
        else:
            self._services.write_soon(write)

    # Graphs that exist already -------------------------------------------------------------------------

    @cached_property
    def live_runs(self) -> LiveRuns:
        """The runs of graphs that this mind follows; what `budget`, `observe` and `route` share."""
        from inframind.plugin.graphs.live_runs import LiveRuns

        return LiveRuns(self._calls, self._portal)

    def budget(self, graph: Graph, *, budget_s: float | None = None, hard: bool = False) -> Graph:
        """The same graph, whose routed calls share one deadline and one trace per run; see `budgeted`."""
        from inframind.plugin.graphs.tracker import budgeted, require_compiled

        require_compiled(graph)
        edges = [(edge.source, edge.target) for edge in graph.get_graph().edges]
        self._calls.runs.know_shape(graph.get_name(), edges)
        return budgeted(graph, self.live_runs, budget_s=budget_s, hard=hard)

    def observe(self, graph: Graph) -> Graph:
        """The same graph, watched: its calls are recorded with what we would have chosen, and nothing changes."""
        from inframind.plugin.graphs.observe import observe

        return observe(graph, self.live_runs, self.settings.decide_config())

    def route(
        self,
        graph: Graph,
        *,
        budget_s: float | None = None,
        hard: bool = False,
        fields: Sequence[Field] = ("model", "base_url"),
        prefix: str | Sequence[str] = "",
        only: str | Iterable[str] | None = None,
        skip: str | Iterable[str] = (),
        needs: Needs | None = None,
        **unknown: Never,
    ) -> Graph:
        """The same graph, each execution of a node with the model that is chosen for its state.

        Args:
            graph: compiled, with models made by ``init_chat_model(..., configurable_fields=("model", "base_url"))``.
            budget_s: seconds for one run.
            hard: fail calls once the budget is spent.
            fields: what is configurable of its models; ``("model",)`` for models behind a gateway.
            prefix: their ``config_prefix``, or several.
            only: the nodes to route (default: all).
            skip: nodes to leave alone.
            needs: capabilities that calls must find: ``["tools"]``, or by node.
            unknown: refused, with what was probably meant.

        Raises:
            ConfigError: options that contradict each other, or name a node that there is not.
        """
        from inframind.plugin.graphs.route import route

        return route(
            graph,
            self.live_runs,
            budget_s=budget_s,
            hard=hard,
            fields=fields,
            prefix=prefix,
            only=only,
            skip=skip,
            needs=needs,
            **unknown,
        )

    async def settle(self) -> None:
        """Wait for the traces that are being written with nobody waiting, so that what has happened can be read."""
        await self._services.drain()
        if self._portal.is_running and not self._portal.is_current:
            await asyncio.to_thread(self._portal.run, self._services.drain())

    async def aobserved(self, query: TraceQuery = ALL_TRACES) -> Observed:
        """What watching has shown so far, per node."""
        from inframind.plugin.graphs.observed import observed

        await self.settle()
        return await observed(self._services.store.iter(query), self._services.fleet.models)

    def observed(self, query: TraceQuery = ALL_TRACES) -> Observed:
        """`aobserved` for callers without an event loop."""
        return self._portal.run(self.aobserved(query))

    @property
    def calls(self) -> CallRouter:
        """Routes single calls of applications; what the chat model, the middleware and `route` stand on."""
        return self._calls

    @property
    def portal(self) -> Portal:
        """The background loop of the synchronous doors."""
        return self._portal
