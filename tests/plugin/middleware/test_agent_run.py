"""An agent that is routed: one decision per model call, one trace per turn."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, ModelCallLimitMiddleware, hook_config
from langchain.agents.structured_output import AutoStrategy, ProviderStrategy, ToolStrategy
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.tools import StructuredTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import BaseModel
from tests.plugin.middleware.agents import (
    ASK,
    QUESTION,
    Unrouted,
    call_tool,
    echo,
    failing,
    make_agent,
    only_trace,
    react,
    say,
    statuses,
    unavailable,
    weather,
)

from inframind.errors import ConfigError, InfraMindError
from inframind.plugin.chat import ChatInfraMind
from inframind.plugin.middleware import EndingInfraMindMiddleware, InfraMindMiddleware
from inframind.traces.spans import GRAPH_KEY


@pytest.fixture
async def mind(make_mind: Any) -> Any:
    return await make_mind(react, react)


async def test_every_model_call_is_a_decision_of_one_trace(mind: Any, run: Any) -> None:
    state = await run(make_agent(mind, role="Clerk"), ASK)
    assert state["messages"][-1].content == "It is said to be: rain in Oslo"
    trace = await only_trace(mind)
    assert (trace.status, trace.question) == ("ok", QUESTION)
    assert [step.role for step in trace.steps] == ["Clerk", "Clerk"]
    replies = [message for message in state["messages"] if isinstance(message, AIMessage)]
    accounts = [reply.response_metadata["inframind"] for reply in replies]
    assert [account["decision_id"] for account in accounts] == [d.decision_id for d in trace.decisions]
    assert [account["trace_id"] for account in accounts] == [trace.trace_id] * 2
    assert [reply.response_metadata["model_name"] for reply in replies] == [s.model for s in trace.steps]


async def test_the_state_says_in_plain_data_which_run_it_was_and_what_was_decided_last(
    mind: Any, run: Any
) -> None:
    state = await run(make_agent(mind, budget_s=12), ASK)
    trace = await only_trace(mind)
    assert state["inframind"] == {
        "trace_id": trace.trace_id,
        "arrived_at_s": trace.arrived_at_s,
        "budget_s": 12.0,
        "is_own": True,
        "decision": state["messages"][-1].response_metadata["inframind"],
    }


async def test_the_state_says_nothing_that_a_strict_serializer_objects_to(
    mind: Any, run: Any, thread: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("LANGGRAPH_STRICT_MSGPACK", "true")
    agent = make_agent(mind, checkpointer=InMemorySaver())
    state = await run(agent, ASK, thread)
    kept = (await agent.aget_state(thread)).values["inframind"]
    assert kept == state["inframind"] and caplog.records == []


async def test_a_new_turn_of_a_thread_is_a_run_of_its_own(mind: Any, run: Any, thread: Any) -> None:
    agent = make_agent(mind, checkpointer=InMemorySaver())
    first, second = await run(agent, ASK, thread), await run(agent, ASK, thread)
    assert first["inframind"]["trace_id"] != second["inframind"]["trace_id"]
    assert await statuses(mind) == ["ok", "ok"]


async def test_a_caller_cannot_write_the_run_into_the_input(mind: Any, run: Any) -> None:
    state = await run(make_agent(mind), {**ASK, "inframind": {"trace_id": "mine"}})
    assert state["inframind"]["trace_id"] == (await only_trace(mind)).trace_id


@pytest.mark.parametrize("names", ["run_id", "metadata"])
async def test_a_trace_is_called_what_the_caller_calls_the_run(mind: Any, run: Any, names: str) -> None:
    known = uuid.uuid4()
    config = {
        "run_id": {"run_id": known},
        "metadata": {"metadata": {"inframind_trace_id": known.hex, "user": "u"}},
    }[names]
    state = await run(make_agent(mind), ASK, config)
    assert state["inframind"]["trace_id"] == (await only_trace(mind)).trace_id == known.hex


async def test_an_agent_within_a_run_belongs_to_it(mind: Any) -> None:
    agent = make_agent(mind)
    with mind.run("two agents", budget_s=30) as scope:
        states = [await agent.ainvoke(ASK), await agent.ainvoke(ASK)]
        assert [state["inframind"]["is_own"] for state in states] == [False, False]
        assert await statuses(mind) == ["open"]
    await mind.calls.services.drain()
    trace = await only_trace(mind)
    assert (trace.trace_id, trace.status, len(trace.steps)) == (scope.trace_id, "ok", 4)


async def test_an_agent_in_another_agents_tool_belongs_to_its_run(make_mind: Any, run: Any) -> None:
    mind = await make_mind(react)
    inner = make_agent(mind)

    def weather(city: str) -> str:
        """Ask another agent."""
        raise AssertionError("only its asynchronous twin is called")

    async def aweather(city: str) -> str:
        """Ask another agent."""
        return str((await run(inner, ASK))["messages"][-1].content)

    asking = StructuredTool.from_function(weather, aweather)
    state = await make_agent(mind, tools=[asking]).ainvoke(ASK)
    trace = await only_trace(mind)
    assert state["messages"][-1].content == "It is said to be: It is said to be: rain in Oslo"
    assert (trace.status, len(trace.steps), trace.trace_id) == ("ok", 4, state["inframind"]["trace_id"])


async def test_agents_that_are_nodes_of_one_graph_share_its_run(mind: Any, run: Any) -> None:
    graph = StateGraph(MessagesState)
    graph.add_node("first", make_agent(mind, tools=(), budget_s=40))
    graph.add_node("second", make_agent(mind, tools=(), budget_s=50))
    graph.add_edge(START, "first").add_edge("first", "second")
    state = await run(graph.compile(), ASK)
    trace = await only_trace(mind)
    assert [message.content for message in state["messages"]] == [QUESTION, "no tools", "no tools"]
    assert (trace.status, len(trace.steps), trace.budget_s) == ("ok", 2, 40.0)


async def test_agents_side_by_side_share_the_run_of_their_graph(mind: Any, run: Any) -> None:
    agents = {name: make_agent(mind, name=name) for name in ("a", "b", "c")}
    graph = StateGraph(MessagesState)
    for name, agent in agents.items():
        graph.add_node(name, agent).add_edge(START, name)
    await run(graph.compile(), ASK)
    trace = await only_trace(mind)
    assert (trace.status, len(trace.steps), len(trace.decisions)) == ("ok", 6, 6)


async def test_feedback_finds_the_run_by_its_message_and_by_its_thread(
    mind: Any, run: Any, thread: Any
) -> None:
    state = await run(make_agent(mind, checkpointer=InMemorySaver()), ASK, thread)
    await mind.afeedback(message=state["messages"][-1], key="thumbs", score=1)
    await mind.afeedback(thread_id="t", key="style", value="fine")
    assert sorted(outcome.key for outcome in (await only_trace(mind)).outcomes) == ["style", "thumbs"]


async def test_a_named_agent_is_the_graph_that_its_budget_is_learned_for(mind: Any, run: Any) -> None:
    await run(make_agent(mind, name="clerk"), ASK, {"metadata": {"user": "u"}})
    metadata = (await only_trace(mind)).metadata
    assert (metadata[GRAPH_KEY], metadata["user"]) == ("clerk", "u")


async def test_batched_runs_are_runs_of_their_own(mind: Any) -> None:
    states = await make_agent(mind).abatch([ASK, ASK, ASK])
    assert len({state["inframind"]["trace_id"] for state in states}) == 3
    assert await statuses(mind) == ["ok", "ok", "ok"]


async def test_a_model_that_is_given_takes_the_place_of_the_agents(mind: Any, run: Any) -> None:
    model = ChatInfraMind(mind=mind, model="m0", temperature=0.5)
    await run(make_agent(mind, routed=model), ASK)
    assert [asked.body["temperature"] for asked in mind.servers[0].asked] == [0.5, 0.5]


async def test_a_model_of_another_mind_is_refused(make_mind: Any, mind: Any) -> None:
    with pytest.raises(ConfigError, match=r"mind\.chat_model"):
        InfraMindMiddleware(mind, model=ChatInfraMind(mind=await make_mind(react)))


async def test_usage_is_counted_once(mind: Any, run: Any) -> None:
    counter = UsageMetadataCallbackHandler()
    await run(make_agent(mind), ASK, {"callbacks": [counter]})
    trace = await only_trace(mind)
    counted = sum(usage["output_tokens"] for usage in counter.usage_metadata.values())
    assert counted == sum(step.completion_tokens for step in trace.steps) == 5 + 4
    assert set(counter.usage_metadata) == {step.model for step in trace.steps}


async def test_tokens_are_streamed_once(mind: Any) -> None:
    parts = [part async for part, _ in make_agent(mind).astream(ASK, stream_mode="messages")]
    said = [part.content for part in parts if isinstance(part, AIMessageChunk) and part.content]
    assert said == ["It is ", "said ", "to be: ", "rain in Oslo"]


async def test_the_agents_own_routed_model_keeps_its_settings(mind: Any, run: Any) -> None:
    own = ChatInfraMind(mind=mind, model="m1", temperature=0.25)
    await run(make_agent(mind, model=own), ASK)
    assert mind.servers[0].asked == []
    bodies = [asked.body for asked in mind.servers[1].asked]
    assert [body["temperature"] for body in bodies] == [0.25, 0.25]


async def test_a_strategy_is_chosen_where_there_is_room_for_its_instruction(make_mind: Any, run: Any) -> None:
    mind = await make_mind(echo)
    flash = mind.calls.services.decider.actions.strategies["Flash"]
    state = await run(make_agent(mind, tools=(), strategy="Flash"), ASK)
    assert state["messages"][-1].content == f"{QUESTION}\n\n{flash.instruction}"
    assert state["inframind"]["decision"]["strategy"] == "Flash"


async def test_there_is_no_room_for_an_instruction_beside_tools(mind: Any, run: Any) -> None:
    await run(make_agent(mind, strategy="Flash"), ASK)
    asked = [each for server in mind.servers for each in server.asked]
    assert {each.body["messages"][0]["content"] for each in asked} == {QUESTION}
    assert [step.strategy for step in (await only_trace(mind)).steps] == ["Plain", "Plain"]


class Report(BaseModel):
    """The weather in one word."""

    sky: str


async def reports(wire: Any) -> None:
    """Fill the schema, by whichever way it came."""
    body = wire.asked.body
    if body is None:
        await wire.fail(404)
    elif body.get("response_format"):
        await say(wire, '{"sky": ', '"grey"}')
    else:
        assert body["tool_choice"] == "required"
        await call_tool(wire, "Report", sky="grey")


@pytest.mark.parametrize("strategy", [AutoStrategy, ProviderStrategy, ToolStrategy])
async def test_an_output_schema_is_kept_to(make_mind: Any, run: Any, strategy: Any) -> None:
    mind = await make_mind(reports)
    state = await run(make_agent(mind, tools=(), response_format=strategy(Report)), ASK)
    assert state["structured_response"] == Report(sky="grey")
    assert (await only_trace(mind)).status == "ok"


async def test_a_run_whose_model_call_fails_has_failed(make_mind: Any, run: Any) -> None:
    mind = await make_mind(unavailable)
    with pytest.raises(Exception, match="503"):
        await run(make_agent(mind), ASK)
    trace = await only_trace(mind)
    assert (trace.status, [step.error != "" for step in trace.steps]) == ("failed", [True])


async def test_an_agent_that_is_tried_again_in_its_graph_mends_the_run(make_mind: Any) -> None:
    mind = await make_mind(failing(2))
    agent = make_agent(mind, tools=())

    async def stubborn(state: MessagesState) -> Any:
        with pytest.raises(InfraMindError):
            await agent.ainvoke(state)
        return await agent.ainvoke(state)

    await StateGraph(MessagesState).add_node(stubborn).add_edge(START, "stubborn").compile().ainvoke(ASK)
    trace = await only_trace(mind)
    assert (trace.status, [step.error != "" for step in trace.steps]) == ("ok", [True, False])


async def test_a_cancelled_run_is_recorded_as_cancelled(make_mind: Any) -> None:
    begun = asyncio.Event()

    async def hang(wire: Any) -> None:
        if wire.asked.body is None:
            return await wire.fail(404)
        begun.set()
        return await wire.gone()

    mind = await make_mind(hang)
    task = asyncio.create_task(make_agent(mind).ainvoke(ASK))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await mind.calls.services.drain()
    assert await statuses(mind) == ["cancelled"]


async def test_a_failing_server_is_passed_over_within_one_decision(make_mind: Any, run: Any) -> None:
    mind = await make_mind(failing(1), failing(1))
    state = await run(make_agent(mind), ASK)
    assert state["messages"][-1].content == "It is said to be: rain in Oslo"


async def test_a_run_ends_with_a_reply_whose_tools_end_the_agent(mind: Any, run: Any) -> None:
    @tool(return_direct=True)
    def weather(city: str) -> str:
        """The weather in a city."""
        return f"rain in {city}"

    state = await run(make_agent(mind, tools=[weather]), ASK)
    assert state["messages"][-1].content == "rain in Oslo"
    trace = await only_trace(mind)
    assert (trace.status, len(trace.steps)) == ("ok", 1)


class AsksTwice(AgentMiddleware[Any, Any, Any]):
    """Has the model asked again after its first answer."""

    @hook_config(can_jump_to=["model"])
    def after_model(self, state: Any, runtime: Any) -> Any:
        """Go back once."""
        replies = sum(isinstance(message, AIMessage) for message in state["messages"])
        return {"jump_to": "model"} if replies == 1 else None


@pytest.mark.parametrize("is_again", [False, True])
async def test_a_run_that_goes_on_after_an_answer_is_one_trace(
    make_mind: Any, run: Any, thread: Any, is_again: bool
) -> None:
    mind = await make_mind(echo)
    agent = make_agent(mind, AsksTwice(), tools=(), checkpointer=InMemorySaver() if is_again else None)
    state = await run(agent, ASK, thread)
    trace = await only_trace(mind)
    assert (trace.status, len(trace.decisions), len(trace.steps)) == ("ok", 2, 2)
    assert state["inframind"]["is_own"] and state["inframind"]["trace_id"] == trace.trace_id


async def test_a_handler_that_is_called_twice_makes_one_run(mind: Any, run: Any) -> None:
    class Doubts(AgentMiddleware[Any, Any, Any]):
        """Has every call made twice."""

        def wrap_model_call(self, request: Any, handler: Any) -> Any:
            handler(request)
            return handler(request)

        async def awrap_model_call(self, request: Any, handler: Any) -> Any:
            await handler(request)
            return await handler(request)

    state = await run(make_agent(mind, Doubts()), ASK)
    trace = await only_trace(mind)
    assert (trace.status, len(trace.steps), state["inframind"]["is_own"]) == ("ok", 4, True)


@pytest.mark.parametrize(
    ("routing", "status"), [(InfraMindMiddleware, "open"), (EndingInfraMindMiddleware, "ok")]
)
async def test_a_run_that_another_middleware_cuts_short_is_ended_by_the_ending_middleware(
    mind: Any, run: Any, routing: type[InfraMindMiddleware], status: str
) -> None:
    limit: Any = ModelCallLimitMiddleware(run_limit=1)
    await run(create_agent(Unrouted(), [weather], middleware=[limit, routing(mind)]), ASK)
    trace = await only_trace(mind)
    assert (trace.status, len(trace.steps)) == (status, 1)


async def test_the_ending_middleware_leaves_an_answered_run_as_it_is(mind: Any, run: Any) -> None:
    await run(create_agent(Unrouted(), [weather], middleware=[EndingInfraMindMiddleware(mind)]), ASK)
    trace = await only_trace(mind)
    assert (trace.status, len(trace.decisions), len(trace.steps)) == ("ok", 2, 2)
