"""Nodes of other people's graphs, each run with the model that is chosen for its state."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
from langchain.chat_models import init_chat_model
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, RetryPolicy, Send, StreamWriter, interrupt

from inframind.errors import ConfigError, InvalidBudget
from inframind.plugin.config import settings_from
from inframind.plugin.graphs.habits import Habits
from inframind.plugin.graphs.live_runs import LiveRuns
from inframind.plugin.graphs.route import route
from inframind.plugin.mind import InfraMind

pytest.importorskip("langchain_openai", reason="needs langchain-openai")

ASK: Any = {"question": "How many?", "notes": []}


def configurable(followed: Any, prefix: str = "") -> Any:
    """The application's own model: some model that none of our servers has, configurable in name and place."""
    return init_chat_model(
        "theirs",
        model_provider="openai",
        base_url=followed.servers[0].base_url,
        configurable_fields=("model", "base_url"),
        config_prefix=prefix,
        **followed.wires,
    )


def calling(model: Any, name: str) -> Any:
    async def node(state: Any) -> Any:
        answer = await model.ainvoke(f"{name}: {state['question']}")
        return {"notes": [f"{name} by {answer.response_metadata['model_name']}"]}

    return node


def plain(model: Any, name: str) -> Any:
    def node(state: Any) -> Any:
        answer = model.invoke(f"{name}: {state['question']}")
        return {"notes": [f"{name} by {answer.response_metadata['model_name']}"]}

    return node


def line(notes: Any, model: Any, *names: str, make: Any = calling) -> Any:
    builder = StateGraph(notes)
    before = START
    for name in names:
        builder.add_node(name, make(model, name)).add_edge(before, name)
        before = name
    return builder


def asked_by(followed: Any) -> dict[str, list[str]]:
    """Nodes whose calls came to each model."""
    nodes: dict[str, list[str]] = {}
    for model, prompt in followed.asked():
        nodes.setdefault(model, []).append(prompt.partition(":")[0])
    return nodes


async def test_each_node_runs_with_the_model_that_was_chosen_for_it(follow: Any, notes: Any) -> None:
    followed = await follow(settings={"policy": {"name": "uniform", "seed": 5}})
    graph = route(line(notes, configurable(followed), *"abcdef").compile(), followed.live, budget_s=30)
    run_id = uuid.uuid4()
    result = await graph.ainvoke(ASK, {"run_id": run_id})
    trace = await followed.trace()
    chosen = [decision.choice["model"] for decision in trace.decisions]
    assert set(chosen) == {"m0", "m1"}
    assert result["notes"] == [f"{name} by {model}" for name, model in zip("abcdef", chosen, strict=True)]
    assert [len(server.asked) for server in followed.servers] == [chosen.count("m0"), chosen.count("m1")]
    assert (trace.trace_id, trace.status, trace.budget_s, trace.question) == (
        run_id.hex,
        "ok",
        30.0,
        "How many?",
    )
    assert [step.decision_id for step in trace.steps] == [one.decision_id for one in trace.decisions]
    assert [(step.node, step.model, step.endpoint) for step in trace.steps] == [
        (name, model, f"e{model[1]}") for name, model in zip("abcdef", chosen, strict=True)
    ]
    assert {decision.policy for decision in trace.decisions} == {"uniform"}
    assert {step.prompt_tokens for step in trace.steps} == {7}


async def test_the_graph_itself_stays_as_it_was(follow: Any, notes: Any) -> None:
    followed = await follow()
    graph = line(notes, configurable(followed), "n").compile()
    routed = route(graph, followed.live)
    assert type(routed) is type(graph)
    assert routed.get_graph().draw_mermaid() == graph.get_graph().draw_mermaid()
    assert (await graph.ainvoke(ASK))["notes"] == ["n by theirs"]
    assert (await routed.ainvoke(ASK))["notes"] == ["n by m0"]
    assert len(await followed.traces()) == 1


async def test_synchronous_nodes_streams_and_branches_are_routed(follow: Any, notes: Any) -> None:
    followed = await follow()
    builder = line(notes, configurable(followed), "plan", make=plain)
    builder.add_node("branch", plain(configurable(followed), "branch"))
    builder.add_conditional_edges("plan", lambda state: [Send("branch", state) for _ in range(4)])
    graph = route(builder.compile(), followed.live)

    def stream() -> list[Any]:
        return [chunk.text for chunk, _ in graph.stream(ASK, stream_mode="messages")]

    pieces = await asyncio.to_thread(stream)
    assert "".join(pieces).replace(" ", "") == "<plan:Howmany?>" + "<branch:Howmany?>" * 4 or len(pieces) > 5
    trace = await followed.trace()
    assert (len(trace.decisions), sorted({step.node for step in trace.steps})) == (5, ["branch", "plan"])
    assert {step.decision_id for step in trace.steps} == {one.decision_id for one in trace.decisions}
    assert all(step.first_token_s is not None for step in trace.steps)


async def test_nodes_of_subgraphs_are_routed(follow: Any, notes: Any) -> None:
    followed = await follow()
    inner = line(notes, configurable(followed), "inner").compile(name="inner graph")
    builder = line(notes, configurable(followed), "outer").add_node("sub", inner).add_edge("outer", "sub")
    graph = route(builder.compile(InMemorySaver()), followed.live)
    assert [name for name, _ in graph.get_subgraphs()] == ["sub"]
    await graph.ainvoke(ASK, {"configurable": {"thread_id": "t"}})
    assert asked_by(followed) == {"m0": ["outer", "inner"]}
    assert [step.node for step in (await followed.trace()).steps] == ["outer", "sub/inner"]


async def test_nodes_without_a_configurable_model_are_as_they_were(follow: Any, notes: Any) -> None:
    followed = await follow()
    builder = line(notes, followed.client(1), "fixed")
    builder.add_node("silent", lambda state: {"notes": ["silent"]}).add_edge("fixed", "silent")
    result = await route(builder.compile(), followed.live).ainvoke(ASK)
    assert result["notes"] == ["fixed by m1", "silent"]
    trace = await followed.trace()
    assert trace.decisions == ()
    assert [(step.node, step.model, step.decision_id) for step in trace.steps] == [("fixed", "m1", "")]


def test_a_model_that_is_always_called_does_not_follow_when_it_is_chosen() -> None:
    habits = Habits()
    assert not habits.follows("n", chosen="b", called="a")
    assert not habits.follows("n", chosen="a", called="a")
    assert habits.follows("other", chosen="a", called="a")


def test_a_node_with_a_fixed_and_a_configurable_model_follows() -> None:
    habits = Habits()
    calls = [("b", "b"), ("b", "a"), ("a", "a"), ("a", "a")]
    assert [habits.follows("n", chosen, called) for chosen, called in calls] == [True, False, True, True]


async def test_a_fixed_model_gets_no_credit_for_being_chosen(follow: Any, notes: Any) -> None:
    followed = await follow(settings={"policy": {"name": "uniform", "seed": 3}})
    graph = route(line(notes, followed.client(1), "fixed").compile(), followed.live)
    for _ in range(12):
        await graph.ainvoke(ASK)
    credited = [bool(trace.decisions) for trace in await followed.traces()]
    first_against = credited.index(False)
    assert not any(credited[first_against:]) and {len(trace.steps) for trace in await followed.traces()} == {
        1
    }


async def test_an_agent_of_langchain_is_routed(follow: Any) -> None:
    agents = pytest.importorskip("langchain.agents", reason="needs langchain")
    followed = await follow()
    agent = agents.create_agent(configurable(followed), tools=[])
    result = await route(agent, followed.live).ainvoke({"messages": [("user", "How many?")]})
    assert result["messages"][-1].response_metadata["model_name"] == "m0"
    (step,) = (await followed.trace()).steps
    assert (step.node, step.model, step.text) == ("model", "m0", "<How many?>")


@pytest.mark.parametrize("options", [{"only": ["b"]}, {"skip": ["a", "c"]}])
async def test_only_the_nodes_that_are_named_are_routed(follow: Any, notes: Any, options: Any) -> None:
    followed = await follow()
    await route(line(notes, configurable(followed), *"abc").compile(), followed.live, **options).ainvoke(ASK)
    assert asked_by(followed) == {"theirs": ["a", "c"], "m0": ["b"]}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"only": ["z"]}, "only"),
        ({"skip": ["z"]}, "skip"),
        ({"needs": {"z": ["tools"]}}, "needs"),
        ({"only": ["a"], "skip": ["b"]}, "skip"),
        ({"fields": ["base_url"]}, "fields"),
    ],
)
async def test_options_that_cannot_be_are_refused(follow: Any, notes: Any, options: Any, said: str) -> None:
    followed = await follow()
    graph = line(notes, configurable(followed), *"ab").compile()
    with pytest.raises(ConfigError, match=said):
        route(graph, followed.live, **options)
    with pytest.raises(InvalidBudget):
        route(graph, followed.live, budget_s=0)


async def test_prefixes_are_those_of_the_models(follow: Any, notes: Any) -> None:
    followed = await follow()
    builder = line(notes, configurable(followed, "cheap"), "a")
    builder.add_node("b", calling(configurable(followed, "dear"), "b")).add_edge("a", "b")
    await route(builder.compile(), followed.live, prefix=["cheap", "dear_"]).ainvoke(ASK)
    assert asked_by(followed) == {"m0": ["a", "b"]}


async def test_a_model_that_the_caller_names_is_taken(follow: Any, notes: Any) -> None:
    followed = await follow()
    graph = route(line(notes, configurable(followed), "a").compile(), followed.live)
    await graph.ainvoke(ASK, {"configurable": {"model": "mine"}})
    assert asked_by(followed) == {"mine": ["a"]}
    assert (await followed.trace()).decisions == ()


async def test_what_a_nodes_author_says_is_heeded(follow: Any, notes: Any) -> None:
    followed = await follow()
    model = configurable(followed)
    builder = line(notes, model, "a")
    own = {"inframind": {"model": "m1", "role": "Programmer"}}
    builder.add_node("b", calling(model, "b"), metadata=own).add_edge("a", "b")
    await route(builder.compile(), followed.live).ainvoke(ASK)
    assert asked_by(followed) == {"m0": ["a"], "m1": ["b"]}
    assert [step.role for step in (await followed.trace()).steps] == ["", "Programmer"]


async def test_a_node_that_needs_tools_gets_a_model_that_has_them(follow: Any, notes: Any) -> None:
    followed = await follow()
    model = configurable(followed)
    builder = line(notes, model, "a", "b")
    builder.add_node("c", calling(model, "c"), metadata={"inframind": {"needs": ["tools"]}}).add_edge(
        "b", "c"
    )
    places = [
        {"name": f"e{i}", "base_url": server.base_url, "model": f"m{i}", "metrics": False}
        for i, server in enumerate(followed.servers)
    ]
    able = [places[0], {**places[1], "capabilities": ["tools"]}]
    async with InfraMind(settings_from({"endpoints": able, "traces": {"url": "memory:"}})) as mind:
        live = LiveRuns(mind.calls, mind.portal)
        await route(builder.compile(), live, needs={"b": ["tools"]}).ainvoke(ASK)
    assert asked_by(followed) == {"m0": ["a"], "m1": ["b", "c"]}


@pytest.mark.parametrize("is_nested", [False, True])
async def test_a_resumed_node_keeps_its_decision_and_is_credited_once(
    follow: Any, notes: Any, is_nested: bool
) -> None:
    followed = await follow(settings={"policy": {"name": "uniform", "seed": 3}})
    model = configurable(followed)

    async def confirm(state: Any) -> Any:
        before = await model.ainvoke(f"before: {state['question']}")
        said = interrupt("?")
        after = await model.ainvoke(f"after: {said}")
        return {"notes": [one.response_metadata["model_name"] for one in (before, after)]}

    builder = StateGraph(notes).add_node("confirm", confirm).add_edge(START, "confirm")
    if is_nested:
        builder = StateGraph(notes).add_node("sub", builder.compile()).add_edge(START, "sub")
    graph = route(builder.compile(InMemorySaver()), followed.live)
    for number in range(4):
        config: Any = {"configurable": {"thread_id": f"t{number}"}}
        await graph.ainvoke(ASK, config)
        await graph.ainvoke(Command(resume="yes"), config)
    for trace in await followed.traces():
        (decision,) = trace.decisions
        assert trace.status == "ok" and len(trace.steps) == 2
        assert {(step.decision_id, step.model) for step in trace.steps} == {
            (decision.decision_id, decision.choice["model"])
        }


async def test_a_retried_node_avoids_the_model_that_failed(follow: Any, notes: Any, answer: Any) -> None:
    followed = await follow(answer(lambda prompt: "fail"), answer())
    builder = StateGraph(notes)
    policy = RetryPolicy(max_attempts=2, initial_interval=0.0, jitter=False)
    builder.add_node("n", calling(configurable(followed), "n"), retry_policy=policy).add_edge(START, "n")
    result = await route(builder.compile(), followed.live).ainvoke(ASK)
    assert result["notes"] == ["n by m1"]
    trace = await followed.trace()
    assert [decision.choice["model"] for decision in trace.decisions] == ["m0", "m1"]
    assert [bool(step.error) for step in trace.steps] == [True, False]


async def test_functions_that_take_config_and_writer_still_get_them(follow: Any, notes: Any) -> None:
    followed = await follow()
    model = configurable(followed)

    async def node(state: Any, config: RunnableConfig, *, writer: StreamWriter) -> Any:
        writer({"at": config["metadata"]["langgraph_node"]})
        answer = await model.ainvoke("n: x", config)
        return {"notes": [answer.response_metadata["model_name"]]}

    builder = StateGraph(notes).add_node("n", node).add_edge(START, "n")
    graph = route(builder.compile(), followed.live)
    parts = [part async for part in graph.astream(ASK, stream_mode=["custom", "updates"])]
    assert parts == [("custom", {"at": "n"}), ("updates", {"n": {"notes": ["m0"]}})]


async def test_concurrent_runs_keep_their_own_decisions(follow: Any, notes: Any) -> None:
    followed = await follow(settings={"policy": {"name": "uniform", "seed": 3}})
    graph = route(line(notes, configurable(followed), "a", "b").compile(), followed.live)
    results = await asyncio.gather(*(graph.ainvoke({**ASK, "question": f"q{i}"}) for i in range(10)))
    by_question = {trace.question: trace for trace in await followed.traces()}
    for number, result in enumerate(results):
        models = [decision.choice["model"] for decision in by_question[f"q{number}"].decisions]
        assert result["notes"] == [f"{name} by {model}" for name, model in zip("ab", models, strict=True)]
