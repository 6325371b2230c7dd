"""The callback handlers by which a graph tells us what belongs together."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from dataclasses import replace
from typing import Any, Self, TypeVar
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler, BaseCallbackManager
from langgraph.callbacks import GraphCallbackHandler, GraphInterruptEvent, GraphResumeEvent
from langgraph.errors import GraphInterrupt
from langgraph.graph.state import CompiledStateGraph, StateGraph
from langgraph.pregel import Pregel

from inframind.errors import CallerError, ConfigError
from inframind.plugin.calls.scope import RunScope
from inframind.plugin.graphs.heard_tools import HeardTools
from inframind.plugin.graphs.live_runs import LiveRuns, RunTerms
from inframind.plugin.graphs.mishaps import Mishaps

Graph = TypeVar("Graph", bound=CompiledStateGraph[Any, Any, Any, Any])


class RunFollower(GraphCallbackHandler):
    """Follows the runs of a graph, from the first node to the last, through subgraphs, interrupts and resumes.

    Works inline and waits for nothing. Errors of its own are counted (`LiveRuns.mishaps`), never raised.

    Args:
        live: the runs in progress.
        terms: what holds for the runs that begin under this handler.
    """

    run_inline = True
    raise_error = False

    def __init__(self, live: LiveRuns, terms: RunTerms) -> None:
        self._live, self._terms, self._mishaps = live, terms, live.mishaps
        self._tools = HeardTools()
        self._at_begin = Mishaps("Beginning a run", (CallerError,) if self.raise_error else ())

    @property
    def terms(self) -> RunTerms:
        """What holds for the runs that begin under it."""
        return self._terms

    def under(self, terms: RunTerms) -> Self:
        """The same handler with other terms."""
        other = copy(self)
        other._terms = terms
        return other

    def shares_runs(self, other: RunFollower) -> bool:
        """Whether both follow runs for the same mind."""
        return self._live is other._live

    @property
    def ignore_llm(self) -> bool:
        """Calls are found by their parents."""
        return True

    @property
    def ignore_chat_model(self) -> bool:
        """Calls are found by their parents."""
        return True

    def on_chain_start(
        self,
        serialized: dict[str, Any],
        inputs: dict[str, Any],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """A graph, a node or a runnable begins."""
        with self._at_begin:
            if not self._live.join(run_id, parent_run_id):
                self._live.begin(run_id, inputs, metadata or {}, str(kwargs.get("name") or ""), self._terms)

    def on_chain_end(self, outputs: dict[str, Any], *, run_id: UUID, **kwargs: Any) -> None:
        """It has ended."""
        with self._mishaps:
            self._live.end(run_id)

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """It has failed, or was interrupted for a person."""
        with self._mishaps:
            if isinstance(error, GraphInterrupt):
                self._live.pause(run_id)
            self._live.end(run_id, error)

    def on_tool_start(
        self,
        serialized: dict[str, Any],
        input_str: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **kwargs: Any,
    ) -> None:
        """A tool begins; it may call models."""
        with self._mishaps:
            self._live.join(run_id, parent_run_id)
            run = self._live.of(run_id, parent_run_id)
            if run is not None:
                name = str(kwargs.get("name") or (serialized or {}).get("name") or "")
                self._tools.begin(run_id, run.scope.recorder, name, str(kwargs.get("tool_call_id") or ""))

    def on_tool_end(self, output: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """It has ended."""
        with self._mishaps:
            self._tools.end(run_id, output)
            self._live.end(run_id)

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """It has failed."""
        with self._mishaps:
            self._tools.end(run_id, error=error)
            self._live.end(run_id, error)

    def on_retriever_start(
        self,
        serialized: dict[str, Any],
        query: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **kwargs: Any,
    ) -> None:
        """A retriever begins; it may call models."""
        with self._mishaps:
            self._live.join(run_id, parent_run_id)

    def on_retriever_end(self, documents: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """It has ended."""
        with self._mishaps:
            self._live.end(run_id)

    def on_retriever_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """It has failed."""
        with self._mishaps:
            self._live.end(run_id, error)

    def on_interrupt(self, event: GraphInterruptEvent) -> None:
        """The graph waits for a person; its root ends right after."""
        with self._mishaps:
            self._live.pause(event.run_id, event.checkpoint_id)

    def on_resume(self, event: GraphResumeEvent) -> None:
        """The graph goes on; its root has begun right before."""
        with self._mishaps:
            self._live.resume(event.run_id, event.checkpoint_id)


class RunTracker(RunFollower):
    """Gives all routed calls of a run one deadline and one trace. A `KnowsRuns` for `ChatInfraMind`.

    An invocation with an impossible ``metadata["inframind_budget_s"]`` or ``["inframind_trace_id"]`` is refused before
    its first node.
    """

    raise_error = True

    def scope_of(self, run_id: UUID | None, parent_run_id: UUID | None) -> RunScope | None:
        """The run that a call belongs to, or None where that is not known."""
        run = self._live.of(run_id, parent_run_id)
        return run.scope if run is not None else None


def budgeted(graph: Graph, live: LiveRuns, *, budget_s: float | None = None, hard: bool = False) -> Graph:
    """The same graph, whose routed calls share one deadline and one trace per run.

    One invocation may have another budget: ``graph.invoke(..., {"metadata": {"inframind_budget_s": 5}})``. Inside
    ``mind.run(...)``, and inside another such graph, the outer one's budget holds.

    Args:
        graph: compiled.
        live: the runs in progress.
        budget_s: seconds for a run; None takes the configured default.
        hard: fail calls once the budget is spent; otherwise it is what decisions aim at.

    Raises:
        InvalidBudget: not a positive, finite number of seconds.
        ConfigError: a graph that is not compiled.
    """
    require_compiled(graph)
    return followed(graph, RunTracker(live, RunTerms(budget_s=budget_s, is_hard=hard)))


def require_compiled(graph: object) -> None:
    """Check that a graph can be followed.

    Raises:
        ConfigError: it is the builder of one, or no graph at all.
    """
    if isinstance(graph, StateGraph):
        raise ConfigError("graph", type(graph).__name__, "compile it first: builder.compile()")
    if not isinstance(graph, Pregel):
        raise ConfigError("graph", type(graph).__name__, "give a compiled LangGraph graph: builder.compile()")


def followed(graph: Graph, follower: RunFollower) -> Graph:
    """The same graph with one more handler around those that it has.

    The first handler of a graph begins its runs, so all of them are told the same budget: the outermost that is named.
    """
    callbacks = (graph.config or {}).get("callbacks")
    manager = None
    if isinstance(callbacks, BaseCallbackManager):
        manager, callbacks = callbacks.copy(), None
    earlier = manager.handlers if manager is not None else list(callbacks or ())
    own = [one for one in earlier if isinstance(one, RunFollower) and one.shares_runs(follower)]
    terms = [follower.terms, *(one.terms for one in reversed(own))]
    budget_s = next((one.budget_s for one in terms if one.budget_s is not None), None)
    is_hard = any(one.is_hard for one in terms)
    agreed = {
        id(one): one.under(replace(one.terms, budget_s=budget_s, is_hard=is_hard)) for one in (follower, *own)
    }

    def told(handlers: Iterable[BaseCallbackHandler]) -> list[BaseCallbackHandler]:
        return [agreed.get(id(one), one) for one in handlers]

    if manager is None:
        return _with_callbacks(graph, told([*earlier, follower]))
    manager.handlers = told([*manager.handlers, follower])
    manager.inheritable_handlers = told([*manager.inheritable_handlers, follower])
    return _with_callbacks(graph, manager)


def _with_callbacks(graph: Graph, callbacks: Any) -> Graph:
    return graph.copy({"config": {**(graph.config or {}), "callbacks": callbacks}})
