"""The routed graph: plan -> topology -> respond. A `MessagesState` goes in, a `MessagesState` comes out."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from functools import cached_property
from typing import Any, cast

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langgraph.errors import GraphBubbleUp, ParentCommand
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import get_runtime

from inframind.errors import (
    ConfigError,
    DeadlineExceeded,
    FleetExhausted,
    InfraMindError,
    InvalidBudget,
    InvalidQuestion,
    StoreError,
)
from inframind.fleet.clock import Deadline
from inframind.graphs.account import account_of, answer_message, other_names
from inframind.graphs.budget_share import BudgetShare
from inframind.graphs.domains import guess_domain, require_domain
from inframind.graphs.events import announce
from inframind.graphs.identity import current_execution, run_identity, trace_id_of
from inframind.graphs.kit import Node, Path, TopologyKit, Update
from inframind.graphs.portal import Portal
from inframind.graphs.recorder import BOOK, FinalAnswer, RunRecorder
from inframind.graphs.registry import TopologyRegistry
from inframind.graphs.services import RunDefaults, Services
from inframind.graphs.state import RouteContext, RoutedOutput, RoutedState, Run
from inframind.traces.codec import encode
from inframind.traces.records import Trajectory

Topology = CompiledStateGraph[Any, Any, Any, Any]
PLAN, RESPOND = "plan", "respond"
MOST_CHARS_PER_TOKEN = 8


def build_routed_graph(
    services: Services, registry: TopologyRegistry, portal: Portal
) -> StateGraph[RoutedState, RouteContext, RoutedState, RoutedOutput]:
    """The routed graph, uncompiled: add nodes, a checkpointer or a store before you compile it."""
    nodes = _Nodes(services)
    graph = StateGraph(RoutedState, context_schema=RouteContext, output_schema=RoutedOutput)
    graph.add_node(PLAN, Node(nodes.plan, portal))
    graph.add_node(RESPOND, Node(nodes.respond, portal))
    graph.add_edge(START, PLAN)
    for name, topology in registry.topologies.items():
        kit = TopologyKit(services, topology.spec, portal)
        graph.add_node(name, _guarded(topology.build(kit).compile(name=name), name, services, portal))
        graph.add_edge(name, RESPOND)
    graph.add_conditional_edges(PLAN, Path(_planned_topology), list(registry.topologies))
    graph.add_edge(RESPOND, END)
    return graph


def _planned_topology(state: RoutedState) -> str:
    return state["run"]["topology"]


_RunAsync = Callable[[RoutedState, RunnableConfig], Awaitable[Any]]
_RunSync = Callable[[RoutedState, RunnableConfig], Any]


class _Guarded(RunnableLambda[RoutedState, Any]):
    """A `RunnableLambda`, because LangGraph looks into one for the subgraph (drawing, nested state).

    It opens no callback run and inspects no signature of its own: the node around it and the graph within do both.
    """

    topology: Topology

    @cached_property
    def deps(self) -> list[Runnable[Any, Any]]:
        """The subgraph. LangChain would look for it in the functions, and keep them in a cache of the process."""
        return [self.topology]

    async def ainvoke(self, input: RoutedState, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Run the topology on the running loop."""
        return await cast(_RunAsync, self.afunc)(input, config or {})

    def invoke(self, input: RoutedState, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Run the topology's nodes on the portal's loop."""
        return cast(_RunSync, self.func)(input, config or {})


def _guarded(topology: Topology, name: str, services: Services, portal: Portal) -> _Guarded:
    """A topology whose end by an exception closes the trace: its nodes may be a user's, and raise anything."""

    async def run_async(state: RoutedState, config: RunnableConfig) -> Any:
        try:
            return await topology.ainvoke(state, config)
        except ParentCommand:  # a node says where to go next
            raise
        except GraphBubbleUp as reason:  # an interrupt waits for a person: the run has not ended
            await services.pause_run(state["run"]["trace_id"], reason)
            raise
        except asyncio.CancelledError as error:
            services.close_run_soon(state["run"]["trace_id"], "cancelled", error)
            raise
        except BaseException as error:
            await services.close_run(state["run"]["trace_id"], "failed", error=error)
            raise

    def run_sync(state: RoutedState, config: RunnableConfig) -> Any:
        try:
            return topology.invoke(state, config)
        except ParentCommand:
            raise
        except GraphBubbleUp as reason:
            portal.run(services.pause_run(state["run"]["trace_id"], reason))
            raise
        except BaseException as error:
            portal.run(services.close_run(state["run"]["trace_id"], "failed", error=error))
            raise

    guarded = _Guarded(run_sync, afunc=run_async, name=name)
    guarded.topology = topology
    return guarded


class _Nodes:
    """The first and the last node."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def plan(self, state: RoutedState, config: RunnableConfig) -> Update:
        """Open the trace, and choose topology and team; executed again, go on with what there is."""
        services = self._services
        given = get_runtime(RouteContext).context
        # Inside somebody else's graph the context is theirs, of any type, and says nothing to us.
        context = given if isinstance(given, RouteContext) else RouteContext()
        _require_plain(context)
        identity = run_identity(current_execution())
        share = services.share_of(config) if services.share_of else None
        run, deadline = self._new_run(state, context, identity, share)
        await services.fleet.watch()
        recorder = await services.begun(run, identity)
        is_replayed = recorder is not None
        if recorder is None:
            metadata = share.marked(context.metadata) if share else context.metadata
            recorder = services.open_run(run, deadline, metadata, identity)
            thread_id = str(config.get("configurable", {}).get("thread_id") or "")
            await self._decide(recorder, context, thread_id, whole_s=share.run_s if share else None)
        services.note(recorder)
        self._announce_plan(recorder, is_replayed)
        return {"run": {**run, **_planned(recorder)}, "final": None}

    async def _decide(
        self, recorder: RunRecorder, context: RouteContext, thread_id: str, *, whole_s: float | None
    ) -> None:
        try:
            plan, decision = self._services.decider_of(recorder, thread_id).plan(
                recorder.query,
                self._services.fleet.snapshot(),
                recorder.deadline,
                decision_id=recorder.new_decision_id(),
                topology=context.topology,
                team_size=context.team_size,
                whole_s=whole_s,
            )
        except InfraMindError as error:
            await self._services.close_run(recorder.trace_id, "failed", error=error)
            raise
        recorder.decisions.append(decision)
        recorder.topology, recorder.team = plan.topology.name, plan.team

    def _announce_plan(self, recorder: RunRecorder, is_replayed: bool) -> None:
        decision = recorder.decisions[0]
        announce(
            "plan",
            trace_id=recorder.trace_id,
            decision_id=decision.decision_id,
            probability=decision.probability,
            topology=recorder.topology,
            team=list(recorder.team),
            replayed=is_replayed,
        )

    async def respond(self, state: RoutedState, config: RunnableConfig) -> Update:
        """Answer with what the topology came to, and store the trace before saying so."""
        services, run = self._services, state["run"]
        recorder = await services.recorder(run)
        draft = state.get("final")
        if not draft or not draft["text"]:
            error = _no_answer(recorder)
            await services.close_run(run["trace_id"], "failed", error=error)
            raise error
        final = FinalAnswer(
            text=draft["text"],
            answer=draft["answer"],
            message_id=draft["message_id"],
            step_id=draft["step_id"],
        )
        status = recorder.answered_status()
        account = account_of(recorder, final, status)
        await services.close_run(run["trace_id"], status, final=final)
        services.also_known_as(run["trace_id"], other_names(final, config))
        announce("answer", **account, text=final.text)
        return {"messages": [answer_message(final, account)], "inframind": account}

    def _new_run(
        self, state: RoutedState, context: RouteContext, identity: str, share: BudgetShare | None
    ) -> tuple[Run, Deadline]:
        defaults, clock = self._services.defaults, self._services.clock
        default_s = share.share_s if share else defaults.budget_s
        budget_s = require_budget(default_s if context.budget_s is None else context.budget_s)
        question, history = _question_of(state["messages"], defaults)
        instructions = _instructions_of(state["messages"])
        self._require_room(question)
        domain = context.domain or defaults.domain
        run = Run(
            trace_id=context.trace_id
            or (trace_id_of(identity) if identity else self._services.new_trace_id()),
            question=question,
            question_id=context.question_id,
            domain=guess_domain(question) if domain == "auto" else require_domain(domain),
            budget_s=budget_s,
            arrived_at_s=clock.wall_s(),
            topology="",
            team=[],
            history=history,
            instructions=instructions,
        )
        return run, Deadline.after(budget_s, clock)

    def _require_room(self, question: str) -> None:
        """Refuse a question that no model can hold, by a count that leaves every doubt to the server."""
        longest = max(facts.context_length for facts in self._services.fleet.models.values())
        if len(question) > MOST_CHARS_PER_TOKEN * longest:
            raise InvalidQuestion(
                f"has {len(question):,} characters, more than the longest context ({longest:,} tokens) holds",
                "shorten it, or add an endpoint with a longer context_length",
            )


def _require_plain(context: RouteContext) -> None:
    """Refuse what could not be stored with the trace, before anything is spent on it."""
    if BOOK in context.metadata:
        raise ConfigError("metadata", BOOK, "choose another key; this one is kept for the run's own records")
    if not context.metadata and context.question_id.isascii():
        return
    try:
        encode(
            Trajectory(
                trace_id="",
                question="",
                question_id=context.question_id,
                arrived_at_s=0.0,
                budget_s=1.0,
                metadata=context.metadata,
            )
        )
    except StoreError as error:
        raise ConfigError("question_id, metadata", "...", f"give plain JSON data: {error.detail}") from error


def require_budget(budget_s: float) -> float:
    """The budget itself.

    Raises:
        InvalidBudget: not a positive, finite number of seconds.
    """
    if isinstance(budget_s, bool) or not isinstance(budget_s, int | float):
        raise InvalidBudget(budget_s)
    if not math.isfinite(budget_s) or budget_s <= 0:
        raise InvalidBudget(budget_s)
    return float(budget_s)


def require_question(question: object, defaults: RunDefaults) -> str:
    """The question itself.

    Raises:
        InvalidQuestion: empty, not text, not valid Unicode, or longer than allowed.
    """
    if not isinstance(question, str):
        raise InvalidQuestion(f"is of type {type(question).__name__}", "give text")
    if not question.strip():
        raise InvalidQuestion("is empty", "give some text")
    limit = defaults.max_question_chars
    if len(question) > limit:
        raise InvalidQuestion(
            f"has {len(question):,} characters, more than {limit:,}",
            "shorten it, or raise run.max_question_chars and use models with a longer context",
        )
    return _require_unicode(question)


def _require_unicode(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidQuestion("holds lone surrogates", "decode its bytes as UTF-8 first") from error
    return text


def _question_of(messages: Sequence[AnyMessage], defaults: RunDefaults) -> tuple[str, list[dict[str, str]]]:
    """The last human message, and the human and AI turns before it."""
    places = [place for place, message in enumerate(messages) if isinstance(message, HumanMessage)]
    if not places:
        raise InvalidQuestion("is missing", "end `messages` with a human message")
    last = places[-1]
    turns = [message for message in messages[:last] if isinstance(message, HumanMessage | AIMessage)]
    roles = {True: "user", False: "assistant"}
    history = [
        {"role": roles[isinstance(turn, HumanMessage)], "content": _require_unicode(turn.text)}
        for turn in turns
        if turn.text
    ]
    return require_question(messages[last].text, defaults), history


def _instructions_of(messages: Sequence[AnyMessage]) -> str:
    """The application's own system messages; tool messages belong to agents that call tools, and are left out."""
    texts = [message.text for message in messages if isinstance(message, SystemMessage) and message.text]
    return _require_unicode("\n\n".join(texts))


def _no_answer(recorder: RunRecorder) -> Exception:
    if recorder.is_late or recorder.remaining_s() <= 0:
        elapsed_s = recorder.since_arrival_s()
        return DeadlineExceeded(recorder.trace_id, recorder.deadline.budget_s, elapsed_s)
    return recorder.last_error or FleetExhausted((), reason="every answer was empty")


def _planned(recorder: RunRecorder) -> dict[str, Any]:
    """What the nodes of a run share of its recorder, whoever began it."""
    return {
        "arrived_at_s": recorder.arrived_at_s,
        "budget_s": recorder.deadline.budget_s,
        "domain": recorder.query.domain,
        "question_id": recorder.query.question_id,
        "topology": recorder.topology,
        "team": list(recorder.team),
    }
