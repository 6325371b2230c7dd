"""A routed graph inside somebody's graph: a fleet without sockets, topologies and parents that wait for a person."""

from __future__ import annotations

import itertools
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx2
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableLambda
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import interrupt

from inframind.graphs.kit import AGENT
from inframind.graphs.registry import TopologyRegistry
from inframind.graphs.state import RouteContext
from inframind.plugin.config import settings_from
from inframind.plugin.mind import InfraMind
from inframind.router.topology import CallGraph, TopologySpec, call_name
from inframind.traces.memory import MemoryStore
from inframind.traces.records import Trajectory


@dataclass
class SpokenWire:
    """Answers every call at once, in any loop, with another number each time."""

    asked: list[dict[str, Any]] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(100))
    on_asked: Callable[[], Awaitable[object]] | None = None

    def http_client(self, spec: Any) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(transport=httpx2.MockTransport(self._answer))

    def metrics_source(self, spec: Any, clock: Any) -> None:
        return None

    async def _answer(self, request: httpx2.Request) -> httpx2.Response:
        asked = json.loads(request.content)
        self.asked.append(asked)
        if self.on_asked is not None:
            await self.on_asked()
        pieces = ("I say ", "now ", f"\\boxed{{{next(self.numbers)}}}")
        usage = {"prompt_tokens": 7 + len(self.asked), "completion_tokens": 3, "total_tokens": 10}
        chunks = [{"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in pieces]
        chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        chunks.append({"choices": [], "usage": usage})
        events = [json.dumps({"id": "r", "model": asked["model"], **chunk}) for chunk in chunks]
        body = "".join(f"data: {event}\n\n" for event in (*events, "[DONE]"))
        return httpx2.Response(200, content=body, headers={"content-type": "text/event-stream"})


def approving(kit: Any) -> StateGraph[Any, Any, Any, Any]:
    """Agent 0 drafts in a node that then waits for a person; agent 1 builds on the draft and answers."""

    def ask_first(state: Any) -> Any:
        return kit.task(state, 0, task="alone", calls_after=1)

    def answer(state: Any) -> Any:
        return [kit.task(state, 1, task="build_on", peers=state["drafts"], is_last=True)]

    def draft_then_wait(state: Any, config: Any) -> Any:
        update = kit.agent.invoke(ask_first(state).arg, config)
        interrupt(update["drafts"][0]["text"])
        return update

    async def adraft_then_wait(state: Any, config: Any) -> Any:
        update = await kit.agent.ainvoke(ask_first(state).arg, config)
        interrupt(update["drafts"][0]["text"])
        return update

    graph = kit.new_graph()
    graph.add_node("draft", RunnableLambda(draft_then_wait, afunc=adraft_then_wait))
    graph.add_node(AGENT, kit.agent)
    graph.add_node("close", kit.close)
    graph.add_edge(START, "draft")
    graph.add_conditional_edges("draft", answer, [AGENT])
    graph.add_edge(AGENT, "close")
    graph.add_edge("close", END)
    return graph


APPROVED = TopologySpec(
    name="Approved",
    description="a draft that a person lets pass",
    draw=lambda agents, rounds: CallGraph(
        tuple(call_name(seat, 1) for seat in range(2)), ((call_name(0, 1), call_name(1, 1)),)
    ),
)


def approved_too() -> TopologyRegistry:
    """The six topologies and `APPROVED`."""
    return TopologyRegistry().register(APPROVED, approving)


@dataclass
class Office:
    """Minds over one store, as several processes would have them, and the calls that reached the fleet.

    ``uniform`` decides by chance: only a decision that is taken over is the same again.
    """

    store: Any = field(default_factory=MemoryStore)
    wire: SpokenWire = field(default_factory=SpokenWire)
    minds: list[InfraMind] = field(default_factory=list)
    registry: TopologyRegistry = field(default_factory=approved_too)

    def mind(self, models: int = 4, **options: Any) -> InfraMind:
        endpoints = [
            {"name": f"e{i}", "base_url": f"http://e{i}.invalid/v1", "model": f"m{i}", "metrics": False}
            for i in range(models)
        ]
        policy = {"name": "uniform", "seed": len(self.minds)}
        settings = settings_from({"endpoints": endpoints, "policy": policy, "traces": {"url": "memory:"}})
        given = {"store": self.store, "wire": self.wire, "topologies": self.registry, **options}
        self.minds.append(InfraMind(settings, **given))
        return self.minds[-1]

    async def only_trace(self) -> Trajectory:
        (summary,) = await self.store.list()
        return await self.store.get(summary.trace_id)


def parent(mind: InfraMind, waits: str = "", *, checkpointer: Any = None, schema: Any = RouteContext) -> Any:
    """A parent whose node ``before`` or ``after`` ours waits for a person, uncompiled."""

    def node(name: str) -> Callable[[Any], dict[str, Any]]:
        def wait(state: Any) -> dict[str, Any]:
            if waits == name:
                interrupt(name)
            return {}

        return wait

    builder = StateGraph(MessagesState, context_schema=schema)
    builder.add_node("before", node("before"))
    builder.add_node("solve", mind.graph().compile(checkpointer=checkpointer))
    builder.add_node("after", node("after"))
    builder.add_edge(START, "before")
    builder.add_edge("before", "solve")
    builder.add_edge("solve", "after")
    builder.add_edge("after", END)
    return builder


def asking(text: str = "How many?") -> Any:
    return {"messages": [HumanMessage(text)]}
