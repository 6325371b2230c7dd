"""The routed graph in parents of every kind: their contexts, their doors, their streams without subgraphs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, TypedDict

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from tests.graphs.subgraph.office import Office, asking, parent

from inframind.graphs.state import RouteContext

CONFIG: Any = {"configurable": {"thread_id": "t"}}


@dataclass(frozen=True, kw_only=True)
class WiderContext(RouteContext):
    user: str = ""


@dataclass(frozen=True)
class OtherContext:
    budget_s: float


class DictContext(TypedDict):
    budget_s: float


@pytest.mark.parametrize(
    ("schema", "context", "budget_s"),
    [
        (RouteContext, RouteContext(budget_s=7.0), 7.0),
        (RouteContext, {"budget_s": 7.0}, 7.0),
        (WiderContext, WiderContext(budget_s=7.0, user="ada"), 7.0),
        (WiderContext, {"budget_s": 7.0, "user": "ada"}, 7.0),
        (RouteContext, None, 60.0),
        (OtherContext, OtherContext(7.0), 60.0),
        (DictContext, {"budget_s": 7.0}, 60.0),
        (None, {"budget_s": 7.0}, 60.0),
        (None, None, 60.0),
    ],
    ids=["ours", "ours as dict", "wider", "wider as dict", "left out", "other", "typed dict", "any dict", "none"],
)  # fmt: skip
@pytest.mark.parametrize("checkpointer", [None, True, False])
async def test_a_context_says_what_it_may_and_only_ours_is_read(
    office: Office, schema: Any, context: Any, budget_s: float, checkpointer: bool | None
) -> None:
    builder = parent(office.mind(), checkpointer=checkpointer, schema=schema)
    await builder.compile(checkpointer=InMemorySaver()).ainvoke(asking(), CONFIG, context=context)
    assert (await office.only_trace()).budget_s == budget_s


async def test_a_context_is_not_asked_for_again_on_resume(office: Office) -> None:
    saver = InMemorySaver()
    context = RouteContext(topology="Approved", team_size=2, budget_s=7.0, metadata={"user": "ada"})
    await parent(office.mind()).compile(checkpointer=saver).ainvoke(asking(), CONFIG, context=context)
    await parent(office.mind()).compile(checkpointer=saver).ainvoke(Command(resume=1), CONFIG)
    trace = await office.only_trace()
    assert (trace.status, trace.budget_s, trace.metadata["user"]) == ("ok", 7.0, "ada")


async def test_the_synchronous_door_opens_within_a_running_loop(office: Office) -> None:
    app = parent(office.mind(), "after").compile(checkpointer=InMemorySaver())
    context = RouteContext(topology="Debate", team_size=3)
    app.invoke(asking(), CONFIG, context=context)
    state = app.invoke(Command(resume=1), CONFIG)
    trace = await office.only_trace()
    assert (trace.status, state["messages"][-1].text) == ("ok", trace.text)


def test_a_run_may_begin_at_one_door_and_be_resumed_at_the_other(office: Office) -> None:
    app = parent(office.mind()).compile(checkpointer=InMemorySaver())
    context = RouteContext(topology="Approved", team_size=2)
    app.invoke(asking(), CONFIG, context=context)
    state = asyncio.run(app.ainvoke(Command(resume=1), CONFIG))
    trace = asyncio.run(office.only_trace())
    assert (trace.status, len(trace.steps), state["messages"][-1].text) == ("ok", 2, trace.text)
    assert len(trace.decisions) == 3


async def test_without_subgraphs_a_parents_streams_show_the_answer_and_no_events(office: Office) -> None:
    app = parent(office.mind()).compile()
    context = RouteContext(topology="IO", team_size=1)
    seen = [part async for part in app.astream(asking(), context=context, stream_mode=["messages", "custom"])]
    assert {mode for mode, _ in seen} == {"messages"}
    answers = [message for _, (message, _) in seen if message.type != "human"]
    trace = await office.only_trace()
    assert "".join(message.text for message in answers) == trace.text
    assert len({message.id for message in answers}) == 1


async def test_the_answer_says_which_decision_it_is_owed_to(office: Office) -> None:
    state = (
        await parent(office.mind())
        .compile()
        .ainvoke(asking(), context=RouteContext(topology="IO", team_size=1))
    )
    metadata = state["messages"][-1].response_metadata
    trace = await office.only_trace()
    (plan, decision), (step,) = trace.decisions, trace.steps
    account = {name: metadata["inframind"][name] for name in ("trace_id", "decision_id", "model", "strategy")}
    assert account == {
        "trace_id": trace.trace_id,
        "decision_id": decision.decision_id,
        "model": step.model,
        "strategy": step.strategy,
    }
    assert metadata["inframind"]["policy"] == "uniform" and plan.kind == "plan"
    assert metadata["inframind"]["probability"] == decision.probability
    assert (metadata["model_name"], metadata["inframind"]["endpoint"]) == (step.served_model, step.endpoint)


async def test_feedback_finds_the_run_by_its_message_and_by_its_thread(office: Office) -> None:
    mind = office.mind()
    app = parent(mind).compile(checkpointer=InMemorySaver())
    context = RouteContext(topology="IO", team_size=1)
    streamed = app.astream(asking(), CONFIG, context=context, stream_mode="messages", subgraphs=True)
    ids = [message.id async for _, (message, _) in streamed if message.type != "human"]
    await mind.afeedback(ids[0], solved=False)
    assert (await office.only_trace()).solved is False
    await mind.afeedback(thread_id="t", solved=True)
    assert (await office.only_trace()).solved is True
