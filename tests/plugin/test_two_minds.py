"""Two minds in one process keep their runs apart."""

from typing import Any

from langgraph.graph import START, MessagesState, StateGraph


async def test_a_mind_leaves_the_runs_of_another_to_it(make_mind: Any, say: Any) -> None:
    ours, other = [await make_mind(say(lambda asked: "x")) for _ in range(2)]
    async with ours.run() as run:
        await ours.chat_model().ainvoke("a")
        answer = await other.chat_model().ainvoke("b")
    assert len((await ours.store.get(run.trace_id)).steps) == 1
    trace = await other.store.get(answer.response_metadata["inframind"]["trace_id"])
    assert (trace.trace_id != run.trace_id, trace.status, len(trace.steps)) == (True, "ok", 1)


def calling(model: Any) -> Any:
    """A graph whose one node asks a model."""

    async def node(state: MessagesState) -> Any:
        return {"messages": [await model.ainvoke("a question")]}

    return StateGraph(MessagesState).add_node("node", node).add_edge(START, "node").compile(name="inner")


def ids(result: Any) -> str:
    return str(result["messages"][-1].response_metadata["inframind"]["trace_id"])


async def test_a_routed_graph_keeps_its_own_budget_in_the_run_of_another_mind(
    make_mind: Any, say: Any
) -> None:
    ours, other = [await make_mind(say(lambda asked: "x")) for _ in range(2)]
    async with ours.run(budget_s=2) as run:
        answer = await other.ainvoke("b", budget_s=None, topology="IO", team_size=1)
    trace = await other.store.get(answer.trace_id)
    assert (trace.budget_s, trace.metadata) == (other.settings.run.budget_s, {})
    assert [visit.node for visit in run.parts] == []


async def test_a_watched_graph_is_a_run_of_its_own_in_the_run_of_another_mind(
    make_mind: Any, say: Any
) -> None:
    ours, other = [await make_mind(say(lambda asked: "x")) for _ in range(2)]
    graph = other.budget(calling(other.chat_model()), budget_s=7)
    async with ours.run(budget_s=2) as run:
        result = await graph.ainvoke({"messages": [("user", "b")]})
    trace = await other.atrace(ids(result))
    assert trace.trace_id != run.trace_id
    assert (trace.budget_s, trace.status, [step.node for step in trace.steps]) == (7.0, "ok", ["node"])


async def test_of_two_minds_that_follow_a_graph_each_finds_its_own_run(make_mind: Any, say: Any) -> None:
    ours, other = [await make_mind(say(lambda asked: "x")) for _ in range(2)]
    for first, second in ((ours, other), (other, ours)):
        graph = second.budget(first.budget(calling(ours.chat_model()), budget_s=7), budget_s=3)
        result = await graph.ainvoke({"messages": [("user", "b")]})
        trace = await ours.atrace(ids(result))
        assert (trace.budget_s, trace.status) == (7.0 if first is ours else 3.0, "ok")
    assert await other.atraces() == []
