"""What `route` learns of nodes by listening, and what it says in the log where it cannot route them."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.chat_models import init_chat_model
from langgraph.graph import START, StateGraph

from inframind.errors import ConfigError
from inframind.plugin.config import settings_from
from inframind.plugin.graphs.live_runs import LiveRuns
from inframind.plugin.graphs.route import route
from inframind.plugin.mind import InfraMind

pytest.importorskip("langchain_openai", reason="needs langchain-openai")

ASK: Any = {"question": "How many?", "notes": []}
TOOL = {"type": "function", "function": {"name": "f", "description": "f", "parameters": {"type": "object"}}}


def configurable(followed: Any, *fields: str, model: str = "theirs") -> Any:
    return init_chat_model(
        model,
        model_provider="openai",
        base_url=followed.servers[0].base_url,
        configurable_fields=fields or ("model", "base_url"),
        **followed.wires,
    )


ALWAYS_M1 = {"inframind": {"model": "m1"}}


def graph_of(notes: Any, model: Any, *names: str, metadata: Any = None) -> Any:
    builder, before = StateGraph(notes), START
    for name in names or ("n",):

        async def node(state: Any) -> Any:
            answer = await model.ainvoke(state["question"])
            return {"notes": [answer.response_metadata["model_name"]]}

        builder.add_node(name, node, metadata=metadata).add_edge(before, name)
        before = name
    return builder.compile()


def mind_with_tools_on_the_second(followed: Any) -> InfraMind:
    places: list[dict[str, Any]] = [
        {"name": f"e{i}", "base_url": server.base_url, "model": f"m{i}", "metrics": False}
        for i, server in enumerate(followed.servers)
    ]
    places[1]["capabilities"] = ["tools"]
    return InfraMind(settings_from({"endpoints": places, "traces": {"url": "memory:"}}))


def said(caplog: Any) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "inframind.graphs"]


async def test_a_node_heard_with_tools_needs_them_from_then_on(follow: Any, notes: Any, caplog: Any) -> None:
    followed = await follow()
    async with mind_with_tools_on_the_second(followed) as mind:
        graph = graph_of(notes, configurable(followed).bind_tools([TOOL]))
        routed = route(graph, LiveRuns(mind.calls, mind.portal))
        taken = [(await routed.ainvoke(ASK))["notes"] for _ in range(3)]
    assert taken == [["m0"], ["m1"], ["m1"]]
    (line,) = said(caplog)
    assert "node 'n' needs tools, which m0 does not have" in line


async def test_what_all_nodes_need_is_given_as_a_list(follow: Any, notes: Any, caplog: Any) -> None:
    followed = await follow()
    async with mind_with_tools_on_the_second(followed) as mind:
        live = LiveRuns(mind.calls, mind.portal)
        graph = route(graph_of(notes, configurable(followed), "a", "b"), live, needs=["tools"])
        assert (await graph.ainvoke(ASK))["notes"] == ["m1", "m1"]
    assert said(caplog) == []


@pytest.mark.parametrize("needs", ["tools", 3, ["tool"], {"n": "tools"}, {"n": ["vison"]}, {"n": None}])
async def test_needs_of_another_shape_are_refused(follow: Any, notes: Any, needs: Any) -> None:
    followed = await follow()
    with pytest.raises(ConfigError, match=r"needs.* give a list of tools, json"):
        route(graph_of(notes, configurable(followed)), followed.live, needs=needs)


async def test_a_node_that_takes_another_model_is_named_once(follow: Any, notes: Any, caplog: Any) -> None:
    followed = await follow()
    graph = route(graph_of(notes, followed.client(1)), followed.live)
    for _ in range(2):
        await graph.ainvoke(ASK)
    await followed.settled()
    (line,) = said(caplog)
    assert line.startswith("node 'n' called m1, which route() did not choose: make it with init_chat_model(")


async def test_a_node_with_a_fixed_and_a_configurable_model_is_left_in_peace(
    follow: Any, notes: Any, caplog: Any
) -> None:
    followed = await follow()
    fixed, free = followed.client(1), configurable(followed)

    async def node(state: Any) -> Any:
        return {"notes": [(await one.ainvoke("?")).response_metadata["model_name"] for one in (fixed, free)]}

    graph = route(StateGraph(notes).add_node("n", node).add_edge(START, "n").compile(), followed.live)
    assert (await graph.ainvoke(ASK))["notes"] == ["m1", "m0"]
    await followed.settled()
    assert said(caplog) == []


async def test_a_node_whose_chat_model_routes_itself_is_left_in_peace(
    follow: Any, notes: Any, caplog: Any
) -> None:
    followed = await follow()
    graph = route(graph_of(notes, followed.mind.chat_model()), followed.live)
    assert (await graph.ainvoke(ASK))["notes"] == ["m0"]
    await followed.settled()
    assert said(caplog) == []


async def test_a_model_without_its_server_is_sent_nowhere_twice(follow: Any, notes: Any, caplog: Any) -> None:
    followed = await follow()
    model = configurable(followed, "model")
    graph = route(graph_of(notes, model, metadata=ALWAYS_M1), followed.live)
    taken = [(await graph.ainvoke(ASK))["notes"] for _ in range(2)]
    assert taken == [["m1"], ["theirs"]]
    assert [bool(trace.decisions) for trace in await followed.traces()] == [False, False]
    (line,) = said(caplog)
    assert "node 'n' asked for m1 at" in line and "configurable_fields=('model', 'base_url')" in line


async def test_behind_a_gateway_the_model_alone_is_enough(follow: Any, notes: Any, caplog: Any) -> None:
    followed = await follow()
    model = configurable(followed, "model")
    graph = route(graph_of(notes, model, metadata=ALWAYS_M1), followed.live, fields=["model"])
    assert [(await graph.ainvoke(ASK))["notes"] for _ in range(2)] == [["m1"], ["m1"]]
    await followed.settled()
    assert said(caplog) == []


async def test_a_404_says_what_to_do(follow: Any, notes: Any, caplog: Any) -> None:
    async def unknown(wire: Any) -> None:
        await wire.fail(404)

    followed = await follow(unknown, unknown)
    graph = route(graph_of(notes, configurable(followed)), followed.live)
    for _ in range(2):
        with pytest.raises(Exception, match="404"):
            await graph.ainvoke(ASK)
    await followed.settled()
    (line,) = said(caplog)
    assert "node 'n' asked for m0 and got 404" in line and "inframind doctor" in line


async def test_a_model_of_the_fleet_that_the_caller_names_is_asked_at_its_own_server(
    follow: Any, notes: Any
) -> None:
    followed = await follow()
    graph = route(graph_of(notes, configurable(followed)), followed.live)
    await graph.ainvoke(ASK, {"configurable": {"model": "m1"}})
    there: Any = {"configurable": {"model": "m1", "base_url": followed.servers[0].base_url}}
    await graph.ainvoke(ASK, there)
    assert [[one.body["model"] for one in server.asked] for server in followed.servers] == [["m1"], ["m1"]]
    assert [trace.decisions for trace in await followed.traces()] == [(), ()]


@pytest.mark.parametrize("options", [{"only": "bb"}, {"skip": "aa"}])
async def test_one_name_stands_for_a_list_of_one(follow: Any, notes: Any, options: Any) -> None:
    followed = await follow()
    graph = route(graph_of(notes, configurable(followed), "aa", "bb"), followed.live, **options)
    assert (await graph.ainvoke(ASK))["notes"] == ["theirs", "m0"]
    await followed.settled()


async def test_an_unknown_option_is_refused_with_the_known_ones(follow: Any, notes: Any) -> None:
    followed = await follow()
    unknown: Any = {"budget": 5}
    with pytest.raises(ConfigError, match=r"did you mean budget_s\? it takes budget_s, hard, fields, prefix"):
        route(graph_of(notes, configurable(followed)), followed.live, **unknown)
