"""The chat model in the nodes of a graph: where it finds itself, what is streamed, what is counted."""

from __future__ import annotations

import asyncio
import uuid
import warnings
from itertools import pairwise
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler, UsageMetadataCallbackHandler
from langchain_core.runnables import RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, interrupt

from inframind.errors import ConfigError
from inframind.plugin.calls.scope import RunScope
from inframind.plugin.calls.site import KnowsRuns
from inframind.plugin.chat import ChatInfraMind


def graph_of(*nodes: tuple[str, Any, dict[str, Any]], checkpointer: Any = None) -> Any:
    builder = StateGraph(MessagesState)
    for name, node, metadata in nodes:
        builder.add_node(name, node, metadata=metadata)
    names = [START, *(name for name, _, _ in nodes), END]
    for before, after in pairwise(names):
        builder.add_edge(before, after)
    return builder.compile(checkpointer=checkpointer)


def asking(chat: Any, **arguments: Any) -> Any:
    """A node with a sync and an async body, as LangGraph's own have."""

    def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [chat.invoke(state["messages"], **arguments)]}

    async def anode(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await chat.ainvoke(state["messages"], **arguments)]}

    return RunnableLambda(node, anode)


ASK = {"messages": [("user", "two plus two?")]}


@pytest.fixture
async def model(make_model: Any, say: Any) -> ChatInfraMind:
    made: ChatInfraMind = await make_model(say(lambda asked: "it is four"), say(lambda asked: "it is five"))
    return made


async def trace_of(model: ChatInfraMind, message: Any) -> Any:
    assert model.mind is not None
    return await model.mind.atrace(message.response_metadata["inframind"]["trace_id"])


@pytest.mark.parametrize("in_thread", [False, True], ids=["async", "sync"])
async def test_tokens_are_streamed_once_and_usage_is_counted_once(model: Any, in_thread: bool) -> None:
    graph = graph_of(("solve", asking(model, model="m0"), {}))
    usage = UsageMetadataCallbackHandler()
    options: dict[str, Any] = {"config": {"callbacks": [usage]}, "stream_mode": "messages"}
    if in_thread:
        parts = await asyncio.to_thread(lambda: list(graph.stream(ASK, **options)))
    else:
        parts = [part async for part in graph.astream(ASK, **options)]
    assert [chunk.content for chunk, _ in parts] == ["it ", "is ", "four", ""]
    assert len({chunk.id for chunk, _ in parts}) == 1
    assert {metadata["langgraph_node"] for _, metadata in parts} == {"solve"}
    assert usage.usage_metadata == {
        "m0": {
            "input_tokens": 7,
            "output_tokens": 3,
            "total_tokens": 10,
            "input_token_details": {"cache_read": 0},
        }
    }
    (server, _) = model.mind.servers
    assert len(server.asked) == 1


async def test_nodes_without_listeners_count_the_same(model: Any) -> None:
    usage = UsageMetadataCallbackHandler()
    graph = graph_of(("a", asking(model, model="m0"), {}), ("b", asking(model, model="m1"), {}))
    await graph.ainvoke(ASK, {"callbacks": [usage]})
    assert {name: counted["total_tokens"] for name, counted in usage.usage_metadata.items()} == {
        "m0": 10,
        "m1": 10,
    }


@pytest.mark.parametrize("version", ["v2", "v3"])
async def test_events_of_a_graph_carry_the_tokens(model: Any, version: str) -> None:
    graph = graph_of(("solve", asking(model, model="m0"), {}))
    if version == "v2":
        events = [event async for event in graph.astream_events(ASK, version="v2")]
        told = [e["data"]["chunk"].content for e in events if e["event"] == "on_chat_model_stream"]
        assert "".join(told) == "it is four"
        assert sum(e["event"] == "on_chat_model_start" for e in events) == 1
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # LangChain warns of a beta, once per process
            stream = await graph.astream_events(ASK, version="v3")
        events = [event async for event in stream]
        assert "four" in str(events)


async def test_the_calls_of_a_run_share_the_trace_that_its_root_names(model: Any) -> None:
    run_id = uuid.uuid4()
    graph = graph_of(("a", asking(model), {}), ("b", asking(model), {}))
    first, second = (await graph.ainvoke(ASK, {"run_id": run_id}))["messages"][1:]
    trace = await trace_of(model, first)
    assert trace.trace_id == run_id.hex == second.response_metadata["inframind"]["trace_id"]
    assert [step.node for step in trace.steps] == ["a", "b"]


@pytest.mark.parametrize(
    "named", ["0123456789abcdef0123456789abcdef", "01234567-89ab-cdef-0123-456789abcdef"]
)
async def test_metadata_names_the_trace_before_the_root_does(model: Any, named: str) -> None:
    graph = graph_of(("a", asking(model), {}))
    config = {
        "run_id": uuid.uuid4(),
        "metadata": {"inframind_trace_id": named, "user": "ann", "other": object()},
    }
    trace = await trace_of(model, (await graph.ainvoke(ASK, config))["messages"][-1])
    assert trace.trace_id == "0123456789abcdef0123456789abcdef"
    assert trace.metadata["user"] == "ann"
    assert "other" not in trace.metadata


async def test_a_trace_id_that_is_none_is_refused(model: Any) -> None:
    with pytest.raises(ConfigError, match="32 hex digits"):
        await model.ainvoke("hi", {"metadata": {"inframind_trace_id": "t-1"}})


async def test_a_node_says_which_model_and_role_its_calls_have(model: Any) -> None:
    own = {"inframind": {"role": "critic", "model": "m1"}}
    graph = graph_of(("a", asking(model), own), ("b", asking(model, model="m0", role="judge"), own))
    first, second = (await graph.ainvoke(ASK))["messages"][1:]
    assert [message.content for message in (first, second)] == ["it is five", "it is four"]
    steps = [(await trace_of(model, message)).steps[0] for message in (first, second)]
    assert [(step.node, step.role) for step in steps] == [("a", "critic"), ("b", "judge")]


@pytest.mark.parametrize("own", [{"rule": "critic"}, {"role": 3}, "critic"])
async def test_a_node_that_says_something_else_is_refused(model: Any, own: Any) -> None:
    with pytest.raises(ConfigError, match="role"):
        await graph_of(("a", asking(model), {"inframind": own})).ainvoke(ASK)


async def test_a_resumed_node_decides_what_it_decided_before(model: Any) -> None:
    async def ask_twice(state: MessagesState) -> dict[str, Any]:
        answer = await model.ainvoke(state["messages"])
        interrupt("go on?")
        return {"messages": [answer]}

    graph = graph_of(("ask", ask_twice, {}), checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "t"}}
    await graph.ainvoke(ASK, config)
    answer = (await graph.ainvoke(Command(resume=True), config))["messages"][-1]
    trace = await trace_of(model, answer)
    assert [decision.decision_id for decision in trace.decisions] == [
        answer.response_metadata["inframind"]["decision_id"]
    ]
    assert sum(len(server.asked) for server in model.mind.servers) == 2


@pytest.mark.parametrize("door", ["invoke", "stream", "ainvoke", "astream"])
async def test_every_door_finds_the_run_that_is_open_around_it(model: Any, door: str) -> None:
    def in_thread() -> None:
        with model.mind.run("both", trace_id="ab" * 16):
            model.invoke("one") if door == "invoke" else list(model.stream("one"))

    if door in ("invoke", "stream"):
        await asyncio.to_thread(in_thread)
    else:
        with model.mind.run("both", trace_id="ab" * 16):
            if door == "ainvoke":
                await model.ainvoke("one")
            else:
                async for _ in model.astream("one"):
                    pass
        await model.mind._services.drain()
    trace = await model.mind.atrace("ab" * 16)
    assert (trace.question, len(trace.steps), trace.status) == ("both", 1, "ok")


SECRETS = (
    "api_key",
    "openaiApiKey",
    "OPENAI_API_KEY",
    "x-api-key",
    "apikey",
    "db_password",
    "DBPASSWORD",
    "access_token",
    "token",
    "clientSecret",
    "Authorization",
    "X-Auth-Token",
)
NO_SECRETS = ("user", "keyword", "max_tokens", "monkey", "secretary", "author", "tokenizer", "language")


async def test_what_is_named_like_a_secret_is_kept_out_of_the_trace(model: Any) -> None:
    values = {name: f"value of {name}" for name in (*SECRETS, *NO_SECRETS)}
    state = await graph_of(("a", asking(model), {})).ainvoke(ASK, {"metadata": values})
    answer = state["messages"][-1]
    trace = await model.mind.atrace(answer.response_metadata["inframind"]["trace_id"])
    assert [name for name in values if name in trace.metadata] == list(NO_SECRETS)


class Tracker(BaseCallbackHandler):
    """Knows one run, and whom it was asked for."""

    def __init__(self, scope: RunScope) -> None:
        self.scope = scope
        self.asked: list[tuple[uuid.UUID | None, uuid.UUID | None]] = []

    def scope_of(self, run_id: uuid.UUID | None, parent_run_id: uuid.UUID | None) -> RunScope | None:
        self.asked.append((run_id, parent_run_id))
        return self.scope


@pytest.mark.parametrize("is_streamed", [False, True], ids=["ainvoke", "astream"])
async def test_a_handler_that_keeps_track_of_runs_is_asked_for_the_calls(
    model: Any, is_streamed: bool
) -> None:
    with model.mind.run("tracked") as scope:
        pass
    tracker = Tracker(scope)
    assert isinstance(tracker, KnowsRuns)

    async def node(state: MessagesState) -> dict[str, Any]:
        if not is_streamed:
            return {"messages": [await model.ainvoke("hi")]}
        return {"messages": [[chunk async for chunk in model.astream("hi")][-1]]}

    answer = (await graph_of(("a", node, {})).ainvoke(ASK, {"callbacks": [tracker]}))["messages"][-1]
    assert answer.response_metadata["inframind"]["trace_id"] == scope.trace_id
    ((run_id, parent_run_id),) = tracker.asked
    assert answer.id == f"lc_run--{run_id}"
    assert parent_run_id is not None


async def test_a_v1_stream_of_an_invoked_model_has_blocks_for_content(make_model: Any, say: Any) -> None:
    model = await make_model(say(lambda asked: "it is four"), output_version="v1")
    graph = graph_of(("solve", asking(model), {}))
    parts = [chunk async for chunk, _ in graph.astream(ASK, stream_mode="messages")]
    assert [[block["type"] for block in chunk.content] for chunk in parts[:3]] == [["text"]] * 3
    assert "".join(chunk.text for chunk in parts) == "it is four"


async def test_nodes_of_one_name_in_two_agents_are_told_apart(make_mind: Any, say: Any) -> None:
    mind = await make_mind(say(lambda asked: "an answer"))
    model = mind.chat_model()

    async def node(state: MessagesState) -> Any:
        return {"messages": [await model.ainvoke("a question")]}

    agent = StateGraph(MessagesState).add_node("model", node).add_edge(START, "model").compile()
    team = StateGraph(MessagesState).add_node("research", agent).add_node("sums", agent)
    graph = team.add_edge(START, "research").add_edge("research", "sums").compile()
    async with mind.run() as run:
        await graph.ainvoke({"messages": []})
    assert [step.node for step in (await mind.atrace(run.trace_id)).steps] == ["research/model", "sums/model"]
