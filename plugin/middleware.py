"""Middleware for LangChain's `create_agent`: every model call of an agent is one decision of the router, and all the
calls of one run of the agent share one trace and one deadline.

Needs the extra ``langchain``. It composes with the middleware that LangChain ships, inside or outside of it: an outer
retry lets the router decide anew, and a model that an outer fallback puts in the agent's place is left there.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final, NotRequired, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.tools import BaseTool
from langgraph.errors import GraphBubbleUp
from langgraph.runtime import Runtime
from langgraph.types import Command

from inframind.errors import ConfigError, InfraMindError
from inframind.graphs.identity import trace_id_of
from inframind.graphs.routed import require_budget
from inframind.plugin.calls.asked import AUTO, AskedCall
from inframind.plugin.calls.runs import query_of
from inframind.plugin.calls.scope import RunScope, current_scope, stored_later
from inframind.plugin.calls.site import OWN_METADATA, CallSite
from inframind.plugin.chat import ChatInfraMind
from inframind.plugin.chat.site import Caller, site_of

try:
    from langchain.agents.middleware import (
        AgentMiddleware,
        AgentState,
        ExtendedModelResponse,
        ModelRequest,
        ModelResponse,
    )
    from langchain.agents.middleware.types import OmitFromSchema
except ModuleNotFoundError as missing:
    raise ConfigError("install", "langchain", "run: pip install 'inframind[langchain]'") from missing

if TYPE_CHECKING:
    from inframind.plugin.mind import InfraMind

STATE: Final = "inframind"
"""Key of the agent's state under which its run is kept, as plain data."""
AGENT_NAME = "lc_agent_name"
"""Key under which `create_agent` puts the agent's name into the metadata of what runs in it."""
KEPT_TASKS = 4_096
"""Model tasks of which is remembered which model they began with."""


class InfraMindState(AgentState[Any]):
    """What the middleware adds to an agent's state.

    ``inframind`` is plain data: ``trace_id``, ``arrived_at_s`` (seconds since the Unix epoch), ``budget_s``, ``is_own``
    (whether this agent opened the run, or joined one that was open around it), and ``decision``, the latest reply's
    ``response_metadata["inframind"]``, or None where another model than the router's answered.
    """

    inframind: NotRequired[Annotated[dict[str, Any], OmitFromSchema(input=True, output=False)]]


class InfraMindMiddleware(AgentMiddleware[InfraMindState, Any, Any]):
    """Routes the model calls of an agent.

    A run begins with the first model call of each turn and lasts until a call answers, through interrupts and their
    resumption, in another process too. The time between two invocations of the graph, in which it waits for a person,
    does not count. No node is added to the agent: where a tool's error or another middleware, such as a call limit,
    ends it while tools are asked for, the trace stays ``open``; `EndingInfraMindMiddleware` ends it in the latter case.
    A run joins the one around it where there is one: `InfraMind.run`, an outer agent's, or the trace that the run's
    metadata names as ``inframind_trace_id``. Agents that are nodes of one graph share the run of its invocation, and
    the budget of the agent that opened it.

    The agent's own model gives way to the router, unless it is a `ChatInfraMind` of the same mind: that one keeps its
    own settings. Settings of another model, such as a temperature, do not carry over; give them to ``model``.

    Args:
        mind: the router.
        model: what takes the place of the agent's model; ``mind``'s chat model unless given.
        strategy: a prompt strategy by name, ``auto`` or ``Plain``. Where tools are bound or an output schema is asked
            for there is no room for an instruction, and every call is plain. Unless given, ``auto`` in place of another
            model, and what the model itself says where that is a `ChatInfraMind`.
        budget_s: seconds for one run of the agent, unless its context has a ``budget_s``; the configured budget
            where neither says so.
        role: role of the agent's calls, in decisions and traces.

    Raises:
        InvalidBudget: not a positive, finite number of seconds.
        ConfigError: a model of another mind.
    """

    state_schema = InfraMindState

    def __init__(
        self,
        mind: InfraMind,
        *,
        model: ChatInfraMind | None = None,
        strategy: str | None = None,
        budget_s: float | None = None,
        role: str | None = None,
    ) -> None:
        if model is not None and model.mind is not mind:
            raise ConfigError("model", model.model_name, "make it of the same mind: mind.chat_model(...)")
        self._mind, self._runs = mind, mind.calls.runs
        self._strategy, self._role = strategy, role
        self._budget_s = None if budget_s is None else require_budget(budget_s)
        self._model = self._dressed(model or ChatInfraMind(mind=mind, strategy=strategy or AUTO))
        self._began_with: OrderedDict[str, BaseChatModel] = OrderedDict()
        self.tools = []

    # Its calls -------------------------------------------------------------------------------------------

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ExtendedModelResponse[Any]:
        """`awrap_model_call` for agents that are invoked synchronously."""
        run, scope = self._mind.portal.run(self._joined(request))
        try:
            with _inside(scope, is_own=run["is_own"]):
                response = handler(self._routed(request))
        except BaseException as error:
            self._mind.portal.run(self._note_failure(run, scope, request, error))
            raise
        return self._mind.portal.run(self._told(run, scope, request, response))

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ExtendedModelResponse[Any]:
        """Let the router take one model call, within the agent's run; its decision goes into the state.

        The first call of a turn opens the run, or joins the one around it; the call that answers ends it, if this
        agent opened it. The trace is stored when this returns.
        """
        run, scope = await self._joined(request)
        try:
            with _inside(scope, is_own=run["is_own"]):
                response = await handler(self._routed(request))
        except BaseException as error:
            await self._note_failure(run, scope, request, error)
            raise
        return await self._told(run, scope, request, response)

    # The run ---------------------------------------------------------------------------------------------

    async def _joined(self, request: ModelRequest[Any]) -> tuple[dict[str, Any], RunScope]:
        """The run that a call belongs to, as plain data and as what the router goes by."""
        caller = Caller.of_config()
        site, run = site_of(caller, self._runs), self._run_of_turn(request)
        if run is not None and run["is_own"]:
            if not await self._runs.has_ended(run["trace_id"]):
                return dict(run), await self._continued(run, request.messages, request.runtime)
        elif run is not None and site.scope is None:
            return dict(run), await self._continued(run, request.messages, request.runtime)
        around = site.scope or self._runs.within(request.runtime.control)
        if around is not None and around.opener != site.task_id:
            return _as_state(around, is_own=False), around
        scope = await self._open(request, site, graph=str(caller.metadata.get(AGENT_NAME, "")))
        return _as_state(scope, is_own=True), scope

    def _run_of_turn(self, request: ModelRequest[Any]) -> Mapping[str, Any] | None:
        """The run that the state names, unless it is an earlier turn's.

        One invocation is one turn, whatever is put into its messages; of another one, the messages tell.
        """
        state = cast(InfraMindState, request.state)
        run = state.get(STATE)
        if run is None or run["trace_id"] == self._runs.trace_within(request.runtime.control):
            return run
        return None if _begins_turn(state["messages"]) else run

    async def _open(self, request: ModelRequest[Any], site: CallSite, *, graph: str) -> RunScope:
        """The run that begins with this call; an earlier attempt at the call may have opened it, in any process.

        What is tried again from a checkpoint after its run has ended begins anew.
        """
        services, runtime = self._mind.calls.services, request.runtime
        said_s = (_said_budget_s(runtime.context), self._budget_s, services.defaults.budget_s)
        known = site.trace_id or self._runs.trace_within(runtime.control)
        if trace_id := known or _id_of_task(site):
            self._runs.expect(trace_id, runtime.control)
        scope = await self._runs.resume(
            trace_id,
            lambda: _query(request.messages),
            budget_s=require_budget(next(each for each in said_s if each is not None)),
            graph=graph,
            metadata=site.metadata,
        )
        scope.opener = site.task_id
        self._runs.see(scope, runtime.control)
        return scope

    async def _continued(
        self, run: Mapping[str, Any], messages: Sequence[BaseMessage], runtime: Runtime[Any]
    ) -> RunScope:
        """The run that the state names, which another invocation or another process may have begun."""
        scope = await self._runs.resume(
            run["trace_id"],
            lambda: _query(messages),
            budget_s=run["budget_s"],
            is_tracked=run["is_own"],
        )
        self._runs.see(scope, runtime.control)
        return scope

    async def _told(
        self, run: dict[str, Any], scope: RunScope, request: ModelRequest[Any], response: ModelResponse[Any]
    ) -> ExtendedModelResponse[Any]:
        """The response, with its decision for the state; the run, if it is this agent's, is stored."""
        if run["is_own"] and _is_last(request, response):
            await self._runs.finish(scope, _last_error(scope))
        elif run["is_own"]:
            await self._left_open(scope, request)
        update = {STATE: {**run, "decision": _decision(response)}}
        return ExtendedModelResponse(model_response=response, command=Command(update=update))

    async def _note_failure(
        self, run: Mapping[str, Any], scope: RunScope, request: ModelRequest[Any], error: BaseException
    ) -> None:
        """The run of a call that failed breaks off here: nothing tells us later that its graph did."""
        if not run["is_own"]:
            return
        if isinstance(error, GraphBubbleUp):
            await self._left_open(scope, request)
            return
        is_cancelled = isinstance(error, asyncio.CancelledError)
        await self._runs.break_off(scope, error if is_cancelled else _last_error(scope) or error)

    async def _left_open(self, scope: RunScope, request: ModelRequest[Any]) -> None:
        self._runs.see(scope, request.runtime.control)
        await self._runs.note(scope)

    # Its model -------------------------------------------------------------------------------------------

    def _routed(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        """The request with the router for its model, unless an outer middleware has put another one there."""
        if not self._is_agents_own(request):
            return request
        own = request.model
        if isinstance(own, ChatInfraMind) and own.mind is self._mind:
            return request.override(model=self._dressed(own))
        return request.override(model=self._model)

    def _is_agents_own(self, request: ModelRequest[Any]) -> bool:
        """Whether the model is the one that this execution of the model node began with, so no fallback for it."""
        execution = request.runtime.execution_info
        if execution is None:
            return True
        first = self._began_with.setdefault(execution.task_id, request.model)
        if len(self._began_with) > KEPT_TASKS:
            self._began_with.popitem(last=False)
        return request.model is first

    def _dressed(self, model: ChatInfraMind) -> ChatInfraMind:
        """A chat model of ours with what was said to the middleware."""
        said = {"strategy": self._strategy, "role": self._role}
        changes = {name: value for name, value in said.items() if value is not None}
        return model.model_copy(update=changes) if changes else model


class EndingInfraMindMiddleware(InfraMindMiddleware):
    """`InfraMindMiddleware` for agents that other middleware may end before they answer, such as a call limit.

    Whichever way the agent ends but by an error, so does its run. That takes one node more, and one more superstep of
    the graph for every turn.
    """

    async def aafter_agent(self, state: InfraMindState, runtime: Runtime[Any]) -> None:
        """End the run, if this agent opened it and no answer has; its trace is stored when this returns."""
        run = state.get(STATE)
        if run is None or not run["is_own"] or await self._runs.has_ended(run["trace_id"]):
            return
        scope = await self._continued(run, state["messages"], runtime)
        await self._runs.finish(scope, _last_error(scope))

    def after_agent(self, state: InfraMindState, runtime: Runtime[Any]) -> None:
        """`aafter_agent` for agents that are invoked synchronously."""
        self._mind.portal.run(self.aafter_agent(state, runtime))


@contextmanager
def _inside(scope: RunScope, *, is_own: bool) -> Iterator[None]:
    """Routed calls in here belong to this run, which is stored once after them if it is the agent's own."""
    token, held = current_scope.set(scope), stored_later.set(scope if is_own else None)
    try:
        yield
    finally:
        stored_later.reset(held)
        current_scope.reset(token)


def _begins_turn(messages: Sequence[BaseMessage]) -> bool:
    """Whether somebody has said something since the agent's last reply."""
    last = next((each for each in reversed(messages) if isinstance(each, HumanMessage | AIMessage)), None)
    return isinstance(last, HumanMessage)


def _is_last(request: ModelRequest[Any], response: ModelResponse[Any]) -> bool:
    """Whether the agent ends with this response, or with the tools that it asks for: no other call follows it.

    Should another middleware ask again all the same, that call opens the run again.
    """
    if response.structured_response is not None:
        return True
    reply = next((each for each in reversed(response.result) if isinstance(each, AIMessage)), None)
    if reply is None:
        return True
    ending = {each.name for each in request.tools if isinstance(each, BaseTool) and each.return_direct}
    return all(call["name"] in ending for call in reply.tool_calls)


def _id_of_task(site: CallSite) -> str:
    """Trace id of the run that a task opens, the same in every process; "" where it cannot be executed again."""
    return trace_id_of(f"{site.thread_id}/{site.task_id}") if site.thread_id and site.task_id else ""


def _as_state(scope: RunScope, *, is_own: bool) -> dict[str, Any]:
    recorder = scope.recorder
    return {
        "trace_id": scope.trace_id,
        "arrived_at_s": recorder.arrived_at_s,
        "budget_s": recorder.deadline.budget_s,
        "is_own": is_own,
        "decision": None,
    }


def _decision(response: ModelResponse[Any]) -> dict[str, Any] | None:
    for message in response.result:
        if isinstance(message, AIMessage) and OWN_METADATA in message.response_metadata:
            return dict(message.response_metadata[OWN_METADATA])
    return None


def _last_error(scope: RunScope) -> InfraMindError | None:
    """Why the run has no answer of the router's: its last call failed, and nobody or another model made up for it."""
    recorder = scope.recorder
    last = max(recorder.steps, key=lambda step: step.finished_s, default=None)
    return recorder.last_error if last is not None and last.error else None


def _query(messages: Sequence[BaseMessage]) -> Any:
    """What the turn asks: the latest human message."""
    question = next((message.text for message in reversed(messages) if isinstance(message, HumanMessage)), "")
    return query_of(AskedCall(messages=(), question=question))


def _said_budget_s(context: Any) -> float | None:
    """The budget in the context that an agent was invoked with, where it has one."""
    found = context.get("budget_s") if isinstance(context, Mapping) else getattr(context, "budget_s", None)
    return found if found is None else float(found)
