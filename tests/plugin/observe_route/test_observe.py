"""Shadow mode: what is watched stays as it is, and what is seen is told apart from what was decided."""

from __future__ import annotations

import asyncio
import operator
import uuid
import warnings
from itertools import pairwise
from typing import Annotated, Any, TypedDict

import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core._api import LangChainBetaWarning
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import AnyMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command, Send, interrupt

from inframind.plugin.config import settings_from
from inframind.plugin.graphs.heard import HeardCall
from inframind.plugin.graphs.live_runs import LiveRuns
from inframind.plugin.graphs.observe import Observer, observe
from inframind.plugin.graphs.shadow import shadows_of
from inframind.plugin.mind import InfraMind
from inframind.router.recorded_views import RecordedViews
from inframind.simulator.engine_profile import EngineProfile
from inframind.simulator.fleet import SimulatedFleet
from inframind.simulator.model import EchoModel
from inframind.simulator.server import ServerSpec


class State(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]
    notes: Annotated[list[str], operator.add]


def chat_node(model: Any, tag: str) -> Any:
    async def node(state: Any) -> Any:
        answer = await model.ainvoke([*state["messages"], ("user", f"{tag} {state['messages'][0].text}")])
        return {"notes": [str(answer.text)]}

    return node


def line(model: Any, *names: str, state: Any = State) -> Any:
    builder = StateGraph(state)
    for name in names:
        builder.add_node(name, chat_node(model, name))
    builder.add_edge(START, names[0])
    for before, after in pairwise(names):
        builder.add_edge(before, after)
    return builder


def watched(graph: Any, followed: Any) -> Any:
    return observe(graph, followed.live, followed.decide)


PROFILE = EngineProfile(step_base_s=0.001, per_prefill_token_s=0.0, per_decode_token_s=0.0, kv_blocks=8192)
ASK: Any = {"messages": [("user", "How many?")], "notes": []}


async def test_a_run_is_recorded_call_by_call(follow: Any) -> None:
    followed = await follow()
    graph = watched(line(followed.client(), "plan", "draft").compile(name="writer"), followed)
    run_id = uuid.uuid4()
    await graph.ainvoke(ASK, {"run_id": run_id})
    trace = await followed.trace()
    assert (trace.trace_id, trace.status, trace.question, trace.domain) == (
        run_id.hex,
        "ok",
        "How many?",
        "math",
    )
    assert (trace.metadata["mode"], trace.metadata["graph"]) == ("observe", "writer")
    plan, draft = trace.steps
    assert (plan.node, plan.model, plan.served_model, plan.strategy) == ("plan", "m0", "m0", "Plain")
    assert (plan.prompt_tokens, plan.completion_tokens, plan.finish_reason) == (7, 2, "stop")
    assert (plan.text, plan.error, plan.parents, draft.parents) == ("<plan How many?>", "", (), (0,))
    assert 0 <= plan.started_s <= plan.finished_s <= draft.started_s <= draft.finished_s <= trace.latency_s
    assert (trace.text, trace.final_step_id) == (draft.text, 1)


async def test_a_shadow_decision_cannot_be_taken_for_one_that_was_acted_on(follow: Any) -> None:
    followed = await follow()
    await watched(line(followed.client(1), "n").compile(), followed).ainvoke(ASK)
    trace = await followed.trace()
    assert trace.decisions == () and [step.decision_id for step in trace.steps] == [""]
    views = RecordedViews(followed.mind.calls.services.decider.actions)
    assert list(views.steps(trace)) == [] and views.plan(trace) is None
    ((step_id, shadow),) = shadows_of(trace).items()
    assert (step_id, shadow.model, shadow.decision.policy) == (0, "m0", "shadow:just_enough")
    assert shadow.decision.seen["mode"] == "observe" and shadow.decision.seen["node"] == "n"
    assert list(shadow.decision.seen["loads"]) == ["e0", "e1"]
    assert shadow.decision.made_s == pytest.approx(trace.steps[0].started_s, abs=1e-6)
    assert sum(shadow.decision.probabilities) == 1.0


async def test_a_streamed_call_shows_its_first_token(follow: Any) -> None:
    followed = await follow()
    model = followed.client(streaming=True, stream_usage=True)
    await watched(line(model, "n").compile(), followed).ainvoke(ASK)
    (step,) = (await followed.trace()).steps
    assert step.sent_s <= step.first_token_s <= step.finished_s
    assert (step.text.split(), step.completion_tokens) == (["<n", "How", "many?>"], 3)


async def test_langchains_event_protocol_shows_the_first_token_too(follow: Any) -> None:
    followed = await follow()
    graph = watched(line(followed.client(streaming=True), "n").compile(), followed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LangChainBetaWarning)  # said once per process, whoever asks first
        run = await graph.astream_events(ASK, version="v3")
        texts = [str(await message.text) async for message in run.messages]
    (step,) = (await followed.trace()).steps
    assert texts == [step.text] and step.sent_s <= step.first_token_s <= step.finished_s


async def test_a_failed_call_is_a_step_with_its_error(follow: Any, answer: Any) -> None:
    followed = await follow(answer(lambda prompt: "fail"), answer())
    graph = watched(line(followed.client(), "n").compile(), followed)
    with pytest.raises(Exception, match="scripted") as failure:
        await graph.ainvoke(ASK)
    trace = await followed.trace()
    assert (trace.status, trace.error) == ("failed", type(failure.value).__name__)
    assert (trace.steps[0].error, trace.steps[0].text) == (type(failure.value).__name__, "")


async def test_an_interrupted_run_is_one_trace(follow: Any) -> None:
    followed = await follow()
    model = followed.client()

    async def confirm(state: Any) -> Any:
        await model.ainvoke("before")
        return {"notes": [interrupt("?")]}

    builder = line(model, "plan").add_node("confirm", confirm).add_edge("plan", "confirm")
    graph = watched(builder.compile(InMemorySaver()), followed)
    config: Any = {"configurable": {"thread_id": "t"}}
    await graph.ainvoke(ASK, config)
    assert (await followed.trace()).status == "open"
    await graph.ainvoke(Command(resume="yes"), config)
    trace = await followed.trace()
    assert (trace.status, [step.node for step in trace.steps]) == ("ok", ["plan", "confirm", "confirm"])
    assert list(shadows_of(trace)) == [0, 1, 2]


async def test_a_call_outside_any_graph_is_a_run_of_its_own(follow: Any) -> None:
    followed = await follow()
    observer = Observer(followed.live, followed.decide)
    answer = await followed.client().ainvoke("How many?", {"callbacks": [observer]})
    trace = await followed.trace()
    assert answer.id == f"lc_run--{uuid.UUID(trace.trace_id)}-0"
    assert [(step.node, step.text) for step in trace.steps] == [("call", "<How many?>")]


async def test_models_that_are_not_openais_are_watched_too(follow: Any) -> None:
    followed = await follow()
    await watched(line(FakeListChatModel(responses=["a b"]), "n").compile(), followed).ainvoke(ASK)
    (step,) = (await followed.trace()).steps
    assert (step.text, step.completion_tokens) == ("a b", None)


async def test_what_a_call_needs_masks_models_that_cannot(follow: Any) -> None:
    followed = await follow()
    places = [
        {"name": f"e{i}", "base_url": server.base_url, "model": f"m{i}", "metrics": False}
        for i, server in enumerate(followed.servers)
    ]
    able = [places[0], {**places[1], "capabilities": ["tools"]}]
    async with InfraMind(settings_from({"endpoints": able, "traces": {"url": "memory:"}})) as mind:
        live = LiveRuns(mind.calls, mind.portal)
        tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
        graph = line(followed.client().bind_tools([tool]), "n").compile()
        await observe(graph, live, mind.settings.decide_config()).ainvoke(ASK)
        await asyncio.to_thread(mind.portal.run, mind.calls.services.drain())
        (trace,) = [trace async for trace in mind.store.iter()]
    (shadow,) = shadows_of(trace).values()
    assert (trace.steps[0].model, shadow.model) == ("m0", "m1")


async def test_feedback_by_message_finds_the_trace(follow: Any) -> None:
    followed = await follow()
    model = followed.client()

    async def node(state: Any) -> Any:
        return {"messages": [await model.ainvoke(state["messages"])]}

    graph = watched(StateGraph(MessagesState).add_node("n", node).add_edge(START, "n").compile(), followed)
    result = await graph.ainvoke({"messages": [("user", "How many?")]}, {"configurable": {"thread_id": "t"}})
    trace = await followed.trace()
    llm_run = result["messages"][-1].id.removeprefix("lc_run--").removesuffix("-0")
    for alias in (f"run:{uuid.UUID(llm_run).hex}", "thread:t"):
        assert await followed.mind.store.trace_of(alias) == trace.trace_id


async def test_watching_twice_records_once(follow: Any) -> None:
    followed = await follow()
    graph = watched(line(followed.client(), "n").compile(), followed)
    assert watched(graph, followed) is graph


async def test_an_error_of_ours_stays_ours(follow: Any, caplog: pytest.LogCaptureFixture) -> None:
    class Clumsy(Observer):
        def heard(self, call: HeardCall) -> None:
            raise ZeroDivisionError

        def on_chat_model_start(self, *arguments: Any, **about: Any) -> None:
            super().on_chat_model_start(*arguments, **about)
            with self._mishaps:
                raise ZeroDivisionError

    followed = await follow()
    observer = Clumsy(followed.live, followed.decide)
    graph = line(followed.client(), "a", "b").compile().with_config(callbacks=[observer])
    result = await graph.ainvoke(ASK)
    assert result["notes"] == ["<a How many?>", "<b How many?>"]
    await asyncio.to_thread(followed.mind.portal.run, followed.mind.calls.services.drain())
    assert observer.errors == 4
    assert [record.name for record in caplog.records].count("inframind.graphs") == 2


async def test_a_store_that_fails_does_not_reach_the_application(follow: Any) -> None:
    followed = await follow()
    await followed.mind.store.aclose()
    result = await watched(line(followed.client(), "n").compile(), followed).ainvoke(ASK)
    assert result["notes"] == ["<n How many?>"]
    await asyncio.to_thread(followed.mind.portal.run, followed.mind.calls.services.drain())
    assert followed.live.mishaps.count == 1


SHAPES = st.fixed_dictionaries(
    {
        "nodes": st.integers(1, 3),
        "branches": st.integers(0, 3),
        "is_nested": st.booleans(),
        "is_streamed": st.booleans(),
        "is_sync": st.booleans(),
        "fails_at": st.sampled_from([None, "n0", "branch"]),
        "interrupts": st.booleans(),
        "mode": st.sampled_from(["values", "updates", "messages", "custom", "debug"]),
    }
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shape=SHAPES)
async def test_whatever_is_watched_stays_as_it_is(shape: dict[str, Any], follow: Any, answer: Any) -> None:
    async def lived(is_watched: bool) -> Any:
        fails = shape["fails_at"]
        script = answer(lambda prompt: "fail" if fails and prompt.startswith(fails) else f"<{prompt}>")
        followed = await follow(script, answer())
        model = followed.client(streaming=shape["is_streamed"])
        graph = any_graph(shape, model).compile(InMemorySaver())
        seen = await live(watched(graph, followed) if is_watched else graph, shape)
        await followed.settled()
        assert bool(await followed.traces()) is is_watched
        return seen, sorted(followed.asked())

    assert await lived(True) == await lived(False)


def any_graph(shape: dict[str, Any], model: Any) -> Any:
    def node(name: str) -> Any:
        def plain(state: Any) -> Any:
            answer = model.invoke(f"{name} {state['messages'][0].text}")
            return {"notes": [str(answer.text)]}

        async def fluent(state: Any) -> Any:
            answer = await model.ainvoke(f"{name} {state['messages'][0].text}")
            return {"notes": [str(answer.text)]}

        return plain if shape["is_sync"] else fluent

    names = [f"n{place}" for place in range(shape["nodes"])]
    builder = StateGraph(State)
    for name in names:
        builder.add_node(name, node(name))
    builder.add_edge(START, names[0])
    for before, after in pairwise(names):
        builder.add_edge(before, after)
    last = names[-1]
    if shape["branches"]:
        builder.add_node("branch", node("branch"))
        builder.add_conditional_edges(
            last, lambda state: [Send("branch", state) for _ in range(shape["branches"])]
        )
        last = "branch"
    if shape["is_nested"]:
        inner = StateGraph(State).add_node("inner", node("inner")).add_edge(START, "inner").compile()
        builder.add_node("sub", inner).add_edge(last, "sub")
        last = "sub"
    if shape["interrupts"]:
        builder.add_node("ask", lambda state: {"notes": [interrupt("?")]}).add_edge(last, "ask")
    return builder


async def live(graph: Any, shape: dict[str, Any]) -> Any:
    """Everything that an application can see of two invocations in a thread."""
    config: Any = {"configurable": {"thread_id": "t"}}
    seen: list[Any] = []
    for said in (ASK, Command(resume="yes")) if shape["interrupts"] else (ASK,):
        try:
            seen += await run_once(graph, said, config, shape)
        except openai.APIError as error:
            seen.append((type(error).__name__, str(error).partition("During task")[0]))
    history = [
        (state.values.get("notes"), state.next, state.metadata["step"])
        for state in graph.get_state_history(config)
    ]
    return [seen, history]


async def run_once(graph: Any, said: Any, config: Any, shape: dict[str, Any]) -> list[Any]:
    mode = shape["mode"]
    if shape["is_sync"]:
        parts = await asyncio.to_thread(lambda: list(graph.stream(said, config, stream_mode=mode)))
    else:
        parts = [part async for part in graph.astream(said, config, stream_mode=mode)]
    return sorted(stable(part, shape["mode"]) for part in parts)


def stable(part: Any, mode: str) -> str:
    """A part of a stream without what differs between any two runs: ids and times."""
    if mode == "messages":
        chunk, about = part
        return f"{chunk.text} {about['langgraph_node']} {sorted(key for key in about)}"
    if mode == "debug":
        return f"{part['step']} {part['type']} {part['payload'].get('name')} {part['payload'].get('error')}"
    return str([(key, notes(value)) for key, value in sorted(part.items())])


def notes(value: Any) -> Any:
    if isinstance(value, dict):
        return value.get("notes")
    return (
        value if isinstance(value, list) and all(isinstance(one, str) for one in value) else len(value or ())
    )


async def test_a_simulated_fleet_is_watched_under_its_own_load(follow: Any) -> None:
    chat = pytest.importorskip("langchain_openai", reason="needs langchain-openai")
    specs = [ServerSpec(name=f"e{i}", model=f"m{i}", profile=PROFILE) for i in range(2)]
    followed = await follow()
    async with SimulatedFleet(specs, EchoModel(n_tokens=8), speed=50.0) as fleet:
        model = chat.ChatOpenAI(
            model="m1", base_url=fleet.base_urls["e1"], **followed.wires, streaming=True, stream_usage=True
        )
        await watched(line(model, "a", "b").compile(), followed).ainvoke(ASK)
    steps = (await followed.trace()).steps
    assert [(step.model, step.completion_tokens) for step in steps] == [("m1", 8)] * 2
    assert all(step.first_token_s is not None for step in steps)
