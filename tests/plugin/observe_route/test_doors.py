"""The mind's own doors to graphs that exist already."""

from __future__ import annotations

import asyncio
from typing import Any

from langgraph.graph import START, StateGraph

ASK: Any = {"question": "How many?", "notes": []}


async def test_the_mind_observes_budgets_and_routes_graphs(follow: Any, notes: Any) -> None:
    followed = await follow()
    mind, model = followed.mind, followed.client(1)

    async def node(state: Any) -> Any:
        return {"notes": [(await model.ainvoke(state["question"])).text]}

    graph = StateGraph(notes).add_node("n", node).add_edge(START, "n").compile()
    for own in (mind.observe(graph), mind.budget(graph, budget_s=5), mind.route(graph, skip=["n"])):
        assert (await own.ainvoke(ASK))["notes"] == ["<How many?>"]
    await asyncio.to_thread(mind.portal.run, mind.calls.services.drain())
    seen = await asyncio.to_thread(mind.observed)
    assert (seen.runs, [(one.node, one.calls, one.instead) for one in seen.nodes]) == (
        1,
        [("n", 1, (("m1", "m0", 1),))],
    )
    assert mind.live_runs.in_memory == 0
