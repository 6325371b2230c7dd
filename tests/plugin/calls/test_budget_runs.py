"""Budgets of whole runs: calls and routed graphs keep to their share, and finished runs teach it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langgraph.graph import END, START, MessagesState, StateGraph

from inframind.errors import DeadlineExceeded, StoreError
from inframind.plugin.calls.budget import NodeCosts
from inframind.plugin.calls.router import CallRouter
from inframind.plugin.calls.runs import Runs
from inframind.plugin.calls.scope import RunScope, current_scope
from inframind.plugin.calls.site import CallSite
from inframind.plugin.calls.surroundings import ALONE, Surroundings, node_around
from inframind.plugin.calls.visits import Visit
from inframind.plugin.graphs.live_runs import LiveRuns
from inframind.plugin.graphs.tracker import budgeted
from inframind.router.views import Query
from inframind.traces.memory import MemoryStore
from inframind.traces.records import Trajectory

HALVES = [Visit("plan", 0, 3), Visit("write", 3, 6)]


def known(*visits: Visit) -> NodeCosts:
    costs = NodeCosts()
    for visit in visits:
        costs.note_node("g", visit.node, visit.needed_s)
    costs.note_run("g", visits)
    return costs


@pytest.fixture
async def mind(make_mind: Any, say: Any, clock: Any) -> Any:
    return await make_mind(say(lambda asked: "so \\boxed{42}"), clock=clock)


class App:
    """Calls and runs over one mind's services, with shares of our own."""

    def __init__(self, mind: Any, costs: NodeCosts) -> None:
        self.services, self.costs = mind.calls.services, costs
        self.runs = Runs(self.services, costs)
        self.calls = CallRouter(self.services, self.runs)
        around = Surroundings(self.runs, self.services.clock)
        self.services.share_of = around.share_of
        self.services.listeners = (*self.services.listeners, around.note_part)

    def open(self, **values: Any) -> RunScope:
        options = {"budget_s": 12.0, "graph": "g", "is_tracked": True, **values}
        return self.runs.open(self.services.new_trace_id(), Query(text="q"), **options)


async def test_a_call_keeps_to_its_node_s_share_and_its_trace_says_so(mind: Any, ask: Any) -> None:
    app = App(mind, known(*HALVES))
    scope = app.open()
    for node in ("plan", "write"):
        await app.calls.call(ask(), CallSite(node=node, scope=scope))
    await app.runs.finish(scope)
    trace = await mind.store.get(scope.trace_id)
    plan, write = (decision.seen for decision in trace.decisions)
    assert plan["share_s"] == pytest.approx(plan["run_remaining_s"] / 2, rel=0.05)
    assert "share_s" not in write, "the last node takes all that is left"
    assert trace.metadata["graph"] == "g"


async def test_a_small_share_degrades_the_choice_though_the_run_has_time(mind: Any, ask: Any) -> None:
    app = App(mind, known(Visit("tiny", 0, 0.1), Visit("huge", 0.1, 100)))
    scope = app.open(budget_s=50.0)
    await app.calls.call(ask(strategy="auto"), CallSite(node="tiny", scope=scope))
    (decision,) = scope.recorder.decisions
    assert "too slow" in decision.masked and decision.seen["degraded"] not in (decision.action, "")
    assert decision.seen["run_remaining_s"] > 49


@pytest.mark.parametrize(("slowness", "aim_s"), [(1.0, 6.0), (3.0, 2.0), (0.75, 8.0), (0.2, 12.0)])
async def test_a_node_that_is_slower_than_predicted_decides_as_if_it_had_less(
    mind: Any, ask: Any, slowness: float, aim_s: float
) -> None:
    costs = known(*HALVES)
    for _ in range(5):
        costs.note_node("g", "plan", 3.0, slowness)
    app = App(mind, costs)
    scope = app.open()
    await app.calls.call(ask(), CallSite(node="plan", scope=scope))
    (decision,) = scope.recorder.decisions
    assert decision.seen["share_s"] == pytest.approx(6.0, rel=0.05)
    assert decision.seen["remaining_s"] == pytest.approx(aim_s, rel=0.05)


async def test_a_short_node_does_not_choose_in_haste_while_time_is_ample(mind: Any, ask: Any) -> None:
    app = App(mind, known(Visit("plan", 0, 0.1), Visit("write", 0.1, 7.5)))
    scope = app.open(budget_s=30.0)
    await app.calls.call(ask(), CallSite(node="plan", scope=scope))
    (decision,) = scope.recorder.decisions
    assert decision.seen["share_s"] < 1
    assert decision.seen["remaining_s"] > 10 and "degraded" not in decision.seen


async def test_a_run_that_nobody_tracks_is_not_split(mind: Any, ask: Any) -> None:
    app = App(mind, known(*HALVES))
    scope = app.open(is_tracked=False)
    assert scope.share("plan", app.services.clock) is scope.recorder.deadline


async def test_before_any_run_has_ended_the_graph_s_shape_is_what_is_known(mind: Any, ask: Any) -> None:
    app = App(mind, NodeCosts())
    edges = [(edge.source, edge.target) for edge in app_graph(mind).get_graph().edges]
    app.runs.know_shape("g", edges)
    scope = app.open()
    await app.calls.call(ask(), CallSite(node="plan", scope=scope))
    (decision,) = scope.recorder.decisions
    assert decision.seen["share_s"] == pytest.approx(6.0, rel=0.05)


async def test_a_finished_run_teaches_and_one_that_broke_off_does_not(
    mind: Any, ask: Any, clock: Any
) -> None:
    app = App(mind, NodeCosts())

    async def run(error: BaseException | None) -> None:
        scope = app.open()
        for node in ("plan", "write"):
            await app.calls.call(ask(), CallSite(node=node, scope=scope))
        await app.runs.finish(scope, error)

    await run(ValueError())
    assert app.costs.share_s("g", "plan", 10.0) == 10.0
    await run(None)
    assert 0 < app.costs.share_s("g", "plan", 10.0) < 10.0
    assert app.costs.share_s("g", "write", 10.0) == 10.0


async def test_what_the_store_knows_is_read_beside_the_first_call(make_mind: Any, say: Any, ask: Any) -> None:
    mind = await make_mind(say(lambda asked: "ok"))
    first = App(mind, NodeCosts())
    scope = first.open()
    for node in ("plan", "write"):
        await first.calls.call(ask(), CallSite(node=node, scope=scope))
    await first.runs.finish(scope)
    restarted = App(mind, NodeCosts())
    await restarted.calls.call(ask(), CallSite(node="plan", scope=restarted.open()))
    await mind.calls.services.drain()
    assert 0 < restarted.costs.share_s("g", "plan", 10.0) < 10.0


async def test_a_store_that_cannot_be_read_only_warns(
    make_mind: Any, say: Any, ask: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Unreadable(MemoryStore):
        def iter(self, *arguments: Any) -> Any:
            raise StoreError("the disk is gone")

    mind = await make_mind(say(lambda asked: "ok"), store=Unreadable())
    app = App(mind, NodeCosts())
    await app.calls.call(ask(), CallSite())
    await mind.calls.services.drain()
    assert "the disk is gone" in caplog.text


# Routed graphs ----------------------------------------------------------------------------------------------


def app_graph(mind: Any) -> Any:
    """plan -> solve, where solve is a routed graph."""
    builder = StateGraph(MessagesState)
    builder.add_node("plan", lambda state: {})
    builder.add_node("solve", mind.graph().compile())
    builder.add_edge(START, "plan")
    builder.add_edge("plan", "solve")
    builder.add_edge("solve", END)
    return builder.compile(name="g")


async def solve(app: App, graph: Any, scope: RunScope, text: str = "How many?") -> Trajectory:
    token = current_scope.set(scope)
    try:
        state = await graph.ainvoke({"messages": [HumanMessage(text)]})
    finally:
        current_scope.reset(token)
    return await app.services.store.get(state["messages"][-1].response_metadata["inframind"]["trace_id"])


async def test_a_routed_graph_plans_within_its_node_s_share_and_names_the_run(mind: Any) -> None:
    app = App(mind, known(Visit("solve", 0, 3), Visit("check", 3, 6)))
    scope = app.open(budget_s=40.0)
    trace = await solve(app, app_graph(mind), scope)
    assert trace.budget_s == pytest.approx(20.0, rel=0.02)
    assert (trace.metadata["run"], trace.metadata["run_node"]) == (scope.trace_id, "solve")
    (part,) = scope.parts
    assert part.node == "solve"
    assert part.finished_s - part.started_s == pytest.approx(trace.latency_s)
    assert part.finished_s <= scope.recorder.since_arrival_s() + 0.1


async def test_a_run_learns_what_its_routed_graph_took(mind: Any, ask: Any) -> None:
    app = App(mind, NodeCosts())
    scope, graph = app.open(budget_s=40.0), app_graph(mind)
    await solve(app, graph, scope)
    await app.calls.call(ask(), CallSite(node="check", scope=scope))
    await app.runs.finish(scope)
    assert 0 < app.costs.share_s("g", "solve", 40.0) < 40.0
    assert app.costs.known_s("g", "solve") is not None


async def test_a_small_share_degrades_the_topology_and_the_trace_says_so(mind: Any) -> None:
    class Widest:
        """Wants the most calls that are allowed."""

        def __init__(self, inner: Any) -> None:
            self.inner, self.name, self.version = inner, "widest", "1"
            self.role, self.step, self.pace = inner.role, inner.step, inner.pace

        def plan(self, view: Any) -> Any:
            proposal = self.inner.plan(view)
            proposal.weights[:] = view.calls * view.allowed
            return proposal

    app = App(mind, known(Visit("solve", 0, 1), Visit("check", 1, 40)))
    app.services.decider.policy = Widest(app.services.decider.policy)
    trace = await solve(app, app_graph(mind), app.open(budget_s=41.0, is_hard=True))
    decision = trace.decisions[0]
    assert decision.kind == "plan" and trace.budget_s == pytest.approx(1.0, rel=0.05)
    place = decision.actions.index(decision.seen["degraded"])
    assert decision.masked[place] == "too slow"


async def test_a_budget_that_the_caller_gives_comes_before_the_share(mind: Any) -> None:
    app = App(mind, known(Visit(ALONE, 0, 3), Visit("check", 3, 6)))
    token = current_scope.set(app.open(budget_s=40.0))
    try:
        own = await mind.ainvoke("How many?", budget_s=7, topology="IO", team_size=1)
    finally:
        current_scope.reset(token)
    trace = await mind.atrace(own.trace_id)
    assert trace.budget_s == 7.0 and trace.metadata["run_node"] == ALONE


async def test_outside_any_run_the_configured_budget_holds(mind: Any) -> None:
    App(mind, NodeCosts())
    state = await app_graph(mind).ainvoke({"messages": [HumanMessage("How many?")]})
    trace = await mind.atrace(state["messages"][-1].response_metadata["inframind"]["trace_id"])
    assert trace.budget_s == mind.calls.services.defaults.budget_s and "run" not in trace.metadata


async def test_a_spent_soft_budget_still_gives_a_routed_graph_a_part(mind: Any, clock: Any) -> None:
    app = App(mind, NodeCosts())
    scope = app.open(budget_s=20.0)
    clock.ahead_s += 25
    trace = await solve(app, app_graph(mind), scope)
    assert (trace.budget_s, trace.status) == (2.0, "ok")
    await app.runs.finish(scope)
    assert (await mind.store.get(scope.trace_id)).status == "late"


async def test_a_spent_hard_budget_gives_it_nothing(mind: Any, clock: Any) -> None:
    app = App(mind, NodeCosts())
    scope = app.open(budget_s=20.0, is_hard=True)
    clock.ahead_s += 25
    with pytest.raises(DeadlineExceeded, match=scope.trace_id):
        await solve(app, app_graph(mind), scope)
    assert mind.servers[0].asked == []


async def test_a_graph_with_a_budget_hands_it_down_to_its_routed_graph(mind: Any) -> None:
    app = App(mind, known(Visit("solve", 0, 3), Visit("check", 3, 6)))
    graph = budgeted(app_graph(mind), LiveRuns(app.calls, mind.portal), budget_s=40.0)
    state = await graph.ainvoke({"messages": [HumanMessage("How many?")]})
    trace = await mind.atrace(state["messages"][-1].response_metadata["inframind"]["trace_id"])
    assert trace.budget_s == pytest.approx(20.0, rel=0.02)
    assert trace.metadata["run_node"] == "solve" and len(trace.metadata["run"]) == 32


async def test_the_synchronous_door_sees_the_run_too(mind: Any) -> None:
    app = App(mind, known(Visit("solve", 0, 3), Visit("check", 3, 6)))
    scope, graph = app.open(budget_s=40.0), app_graph(mind)

    def invoke() -> Any:
        current_scope.set(scope)
        return graph.invoke({"messages": [HumanMessage("How many?")]})

    state = await asyncio.to_thread(invoke)
    trace = await mind.atrace(state["messages"][-1].response_metadata["inframind"]["trace_id"])
    assert trace.metadata["run"] == scope.trace_id


@pytest.mark.parametrize(
    ("way", "node"),
    [
        ("solve:1-2|plan:3-4", "solve"),
        ("team:1|solve:2|plan:3", "solve"),
        ("solve:1|2|plan:3", "solve"),
        ("solve|plan:3", "solve"),
        ("plan:3", ALONE),
        ("", ALONE),
    ],
)
def test_the_node_around_is_read_from_the_way_there(way: str, node: str) -> None:
    assert node_around({"langgraph_checkpoint_ns": way}) == node
