"""The routed graph as LangGraph's users meet it: nodes, streams, checkpoints, both doors."""

from __future__ import annotations

import asyncio
import itertools
import logging
from dataclasses import dataclass
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph

from inframind.errors import InvalidQuestion, UnknownTopology
from inframind.graphs.state import RouteContext


def asking(text: str = "How many?") -> Any:
    return {"messages": [HumanMessage(text)]}


def route(**values: Any) -> RouteContext:
    return RouteContext(**{"domain": "math", "budget_s": 60.0, **values})


def differing() -> Any:
    numbers = itertools.count(100)
    return lambda asked: f"I say now \\boxed{{{next(numbers)}}}"


async def test_messages_in_and_messages_out(make_mind: Any, say: Any) -> None:
    mind = await make_mind(say(lambda asked: "\\boxed{42}"))
    graph = mind.graph().compile()
    state = await graph.ainvoke(asking(), context=route(topology="IO", team_size=1))
    assert set(state) == {"messages", "inframind"}
    assert [message.text for message in state["messages"]] == ["How many?", "\\boxed{42}"]
    account = state["messages"][-1].response_metadata["inframind"]
    assert account == state["inframind"] and account["answer"] == "42"
    assert (await mind.atrace(account["trace_id"])).answer == "42"


async def test_the_synchronous_door_gives_the_same(make_mind: Any, say: Any) -> None:
    mind = await make_mind(say(differing()))
    graph = mind.graph().compile()
    context = route(topology="Debate", team_size=2)
    state = await asyncio.to_thread(graph.invoke, asking(), context=context)
    trace = await mind.atrace(state["inframind"]["trace_id"])
    assert (trace.status, len(trace.steps)) == ("ok", 5)
    assert state["messages"][-1].text == trace.text


async def test_a_node_of_a_parent_graph_with_a_checkpointer(
    make_mind: Any, say: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    mind = await make_mind(say(differing()))
    builder = StateGraph(MessagesState, context_schema=RouteContext)
    builder.add_node("solve", mind.graph().compile())
    builder.add_edge(START, "solve")
    parent = builder.compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    for turn in (1, 2):
        state = await parent.ainvoke(
            asking(f"Question {turn}?"), config, context=route(topology="IO", team_size=2)
        )
        assert len(state["messages"]) == 2 * turn
    again = await parent.aget_state(config)
    assert [message.type for message in again.values["messages"]] == ["human", "ai", "human", "ai"]
    traces = [await mind.atrace(summary.trace_id) for summary in await mind.store.list()]
    assert [len(trace.steps) for trace in traces] == [3, 3], "drafts of one turn are not those of the next"
    assert not [r.message for r in caplog.records if "unregistered" in r.getMessage().lower()]


async def test_everything_in_a_checkpoint_is_plain_data(make_mind: Any, say: Any) -> None:
    mind = await make_mind(say(differing()))
    saver = InMemorySaver()
    graph = mind.graph().compile(checkpointer=saver)
    config: Any = {"configurable": {"thread_id": "t"}}
    await graph.ainvoke(asking(), config, context=route(topology="Reflection", team_size=2))

    def is_plain(value: Any) -> bool:
        if isinstance(value, dict):
            return all(isinstance(k, str) and is_plain(v) for k, v in value.items())
        if isinstance(value, list | tuple):
            return all(is_plain(v) for v in value)
        return value is None or isinstance(value, str | int | float | bool | HumanMessage | AIMessage)

    checked = 0
    async for checkpoint in saver.alist(config):
        values = checkpoint.checkpoint["channel_values"]
        assert all(is_plain(v) for name, v in values.items() if not name.startswith(("branch:", "__")))
        checked += 1
    assert checked > 3


async def test_earlier_turns_reach_the_prompt_and_only_the_last_question_is_asked(
    make_mind: Any, say: Any
) -> None:
    mind = await make_mind(say(lambda asked: "\\boxed{1}"))
    turns = [HumanMessage("What is 2+2?"), AIMessage("It is 4."), HumanMessage("And doubled?")]
    await mind.graph().compile().ainvoke({"messages": turns}, context=route(topology="IO", team_size=1))
    (asked,) = mind.servers[0].asked
    assert [(m["role"], m["content"]) for m in asked.body["messages"][1:3]] == [
        ("user", "What is 2+2?"),
        ("assistant", "It is 4."),
    ]
    assert "And doubled?" in asked.prompt and "2+2" not in asked.prompt


async def test_the_applications_system_text_reaches_every_prompt(make_mind: Any, say: Any) -> None:
    mind = await make_mind(say(lambda asked: "\\boxed{1}"))
    turns = [SystemMessage("Answer as a pirate."), HumanMessage("What is 2+2?")]
    await mind.graph().compile().ainvoke({"messages": turns}, context=route(topology="Chain", team_size=2))
    systems = [asked.body["messages"][0] for asked in mind.servers[0].asked]
    assert len(systems) == 2
    assert all(m["role"] == "system" and m["content"].endswith("Answer as a pirate.") for m in systems)


async def streamed(graph: Any, context: RouteContext) -> list[Any]:
    return [part async for part in graph.astream(asking(), context=context, stream_mode="messages")]


@pytest.mark.parametrize(
    ("topology", "agents"),
    [("IO", 1), ("IO", 2), ("CoT", 2), ("Chain", 3), ("FullConnected", 2), ("Debate", 2), ("Reflection", 1)],
)
async def test_only_the_final_answers_tokens_are_streamed_and_once(
    make_mind: Any, say: Any, topology: str, agents: int
) -> None:
    mind = await make_mind(say(differing()))
    graph = mind.graph().compile()
    builder = StateGraph(MessagesState, context_schema=RouteContext)
    builder.add_node("solve", graph)
    builder.add_edge(START, "solve")
    parent = builder.compile()
    parts = [
        part
        async for part in parent.astream(
            asking(),
            context=route(topology=topology, team_size=agents),
            stream_mode="messages",
            subgraphs=True,
        )
    ]
    said = [message.text for _, (message, _) in parts if isinstance(message, AIMessage)]
    (summary,) = await mind.store.list()
    assert "".join(said) == (await mind.store.get(summary.trace_id)).text


async def test_a_judge_streams_as_it_writes_and_drafts_do_not(make_mind: Any, say: Any) -> None:
    mind = await make_mind(say(differing()))
    events = [e async for e in mind.astream("How many?", topology="IO", team_size=2, domain="math")]
    tokens = [event.data["text"] for event in events if event.kind == "token"]
    assert len(tokens) == 4 and "".join(tokens) == events[-1].data["text"]


async def test_a_team_that_agrees_gives_its_answer_in_one_piece(make_mind: Any, say: Any) -> None:
    mind = await make_mind(say(lambda asked: "I say \\boxed{42}"))
    parts = await streamed(mind.graph().compile(), route(topology="Debate", team_size=2))
    assert [m.text for m, _ in parts if isinstance(m, AIMessage)] == ["I say \\boxed{42}"]


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([], "is missing"),
        ([AIMessage("hello")], "is missing"),
        ([SystemMessage("be nice")], "is missing"),
        ([HumanMessage("  ")], "is empty"),
        ([HumanMessage("a\ud800b")], "surrogates"),
        ([HumanMessage("a\ud800b"), HumanMessage("fine?")], "surrogates"),
    ],
)
async def test_a_state_without_a_question_is_refused_and_nothing_is_opened(
    make_mind: Any, say: Any, messages: Any, said: str
) -> None:
    mind = await make_mind(say(differing()))
    with pytest.raises(InvalidQuestion, match=said):
        await mind.graph().compile().ainvoke({"messages": messages}, context=route())
    assert await mind.store.count() == 0 and mind.servers[0].asked == []


async def test_a_plan_that_cannot_be_made_by_its_callers_mistake_leaves_no_run(
    make_mind: Any, say: Any
) -> None:
    mind = await make_mind(say(differing()))
    with pytest.raises(UnknownTopology) as caught:
        await mind.graph().compile().ainvoke(asking(), context=route(topology="Ring", trace_id="ab" * 16))
    assert (await mind.store.count(), mind.servers[0].asked, caught.value.trace_id) == (0, [], "")


async def test_cancelling_a_graph_that_is_used_alone_stores_its_trace(make_mind: Any) -> None:
    waiting = asyncio.Event()

    async def script(wire: Any) -> None:
        if len(mind.servers[0].asked) == 3:
            waiting.set()
        await wire.gone()

    mind = await make_mind(script)
    context = route(topology="IO", team_size=3, trace_id="cd" * 16)
    run = asyncio.create_task(mind.graph().compile().ainvoke(asking(), context=context))
    await waiting.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    await mind._services.drain()
    trace = await mind.atrace("cd" * 16)
    assert (trace.status, [step.error for step in trace.steps]) == ("cancelled", ["CancelledError"] * 3)


@dataclass(frozen=True)
class OtherContext:
    user: str


@dataclass(frozen=True, kw_only=True)
class WiderContext(RouteContext):
    user: str = ""


@pytest.mark.parametrize(
    ("schema", "context", "budget_s"),
    [
        (OtherContext, OtherContext("ada"), 60.0),
        (WiderContext, WiderContext(user="ada", budget_s=7.0), 7.0),
        (None, None, 60.0),
    ],
)
async def test_a_parents_own_context_is_respected(
    make_mind: Any, say: Any, schema: Any, context: Any, budget_s: float
) -> None:
    mind = await make_mind(say(lambda asked: "\\boxed{1}"))
    builder = StateGraph(MessagesState, context_schema=schema)
    builder.add_node("solve", mind.graph().compile())
    builder.add_edge(START, "solve")
    builder.add_edge("solve", END)
    await builder.compile().ainvoke(asking(), context=context)
    (summary,) = await mind.store.list()
    assert (await mind.store.get(summary.trace_id)).budget_s == budget_s
