"""The routed graph as a node, whatever the parent's door, stream, checkpointer and interrupts: the same in each.

A person is waited for before our node, after it, or inside a topology whose node has asked an agent already and is
executed again on resume. What is resumed goes on in another `InfraMind`, as after a restart.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.types import Command
from tests.graphs.subgraph.office import Office, asking, parent

from inframind.graphs.state import RouteContext
from inframind.traces.records import Decision, Trajectory

SAVERS = ("memory", "sqlite", "postgres")
MODES = ("values", "updates", "messages", "custom")
WAITS = ("", "before", "inside", "after")
CONFIG: Any = {"configurable": {"thread_id": "t"}}


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """The saver's kind, and where it keeps what it saves."""
    kind = request.param
    return kind, request.getfixturevalue("postgres") if kind == "postgres" else str(
        tmp_path / "checkpoints.db"
    )


@contextmanager
def saver_at(kind: str, place: str) -> Iterator[Any]:
    if kind == "memory":
        yield InMemorySaver()
        return
    with (SqliteSaver if kind == "sqlite" else PostgresSaver).from_conn_string(place) as saver:
        saver.setup()
        saver.delete_thread("t")
        yield saver


@asynccontextmanager
async def asaver_at(kind: str, place: str) -> AsyncIterator[Any]:
    if kind == "memory":
        yield InMemorySaver()
        return
    async with (AsyncSqliteSaver if kind == "sqlite" else AsyncPostgresSaver).from_conn_string(
        place
    ) as saver:
        await saver.setup()
        await saver.adelete_thread("t")
        yield saver


@dataclass
class Told:
    """What a caller saw: the parts of each invocation, the state at the end, and the trace as it lay meanwhile."""

    waits: str
    usage: UsageMetadataCallbackHandler = field(default_factory=UsageMetadataCallbackHandler)
    invocations: list[list[tuple[Any, Any]]] = field(default_factory=list)
    state: Any = None
    meanwhile: Trajectory | None = None

    @property
    def options(self) -> dict[str, Any]:
        topology = "Approved" if self.waits == "inside" else "Debate"
        return {
            "config": {**CONFIG, "callbacks": [self.usage]},
            "subgraphs": True,
            "context": RouteContext(domain="math", topology=topology, team_size=2),
        }

    @property
    def parts(self) -> list[tuple[Any, Any]]:
        return [part for invocation in self.invocations for part in invocation]


@pytest.mark.parametrize("waits", WAITS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("place", SAVERS, indirect=True)
def test_through_the_synchronous_door(office: Office, place: tuple[str, str], mode: str, waits: str) -> None:
    told = Told(waits)
    with saver_at(*place) as saver:
        for given in (asking(), Command(resume="yes"))[: 2 if waits else 1]:
            app = parent(office.mind(), waits).compile(checkpointer=saver)
            told.invocations.append(list(app.stream(given, stream_mode=mode, **told.options)))
            if len(told.invocations) == 1 and waits == "inside":
                told.meanwhile = asyncio.run(office.only_trace())
        told.state = app.get_state(CONFIG)
    check(told, mode, asyncio.run(office.only_trace()))


@pytest.mark.parametrize("waits", WAITS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("place", SAVERS, indirect=True)
async def test_through_the_asynchronous_door(
    office: Office, place: tuple[str, str], mode: str, waits: str
) -> None:
    told = Told(waits)
    async with asaver_at(*place) as saver:
        for given in (asking(), Command(resume="yes"))[: 2 if waits else 1]:
            app = parent(office.mind(), waits).compile(checkpointer=saver)
            told.invocations.append(
                [part async for part in app.astream(given, stream_mode=mode, **told.options)]
            )
            if len(told.invocations) == 1 and waits == "inside":
                told.meanwhile = await office.only_trace()
        told.state = await app.aget_state(CONFIG)
    for mind in office.minds:
        await mind.aclose()
    check(told, mode, await office.only_trace())


def check(told: Told, mode: str, trace: Trajectory) -> None:
    """What holds in every cell."""
    (question, answer) = told.state.values["messages"]
    assert told.state.next == () and question.text == "How many?"
    assert (answer.text, trace.status) == (trace.text, "ok") and trace.answer.isdigit()
    same_decisions(told, trace, answer)
    used_once(told, trace)
    LOOKS[mode](told, trace, answer)


def same_decisions(told: Told, trace: Trajectory, answer: AIMessage) -> None:
    kinds = Counter(decision.kind for decision in trace.decisions)
    ids = [decision.decision_id for decision in trace.decisions]
    assert kinds["plan"] == 1 and kinds["step"] == len(trace.steps)
    assert len(set(ids)) == len(ids) and {step.decision_id for step in trace.steps} < set(ids)
    account = answer.response_metadata["inframind"]
    assert [one["decision_id"] for one in account["decisions"]] == ids
    assert account["trace_id"] == trace.trace_id and account["decision_id"] in ids
    if told.meanwhile is not None:
        before: tuple[Decision, ...] = told.meanwhile.decisions
        assert told.meanwhile.status == "open" and len(before) == 2
        assert trace.decisions[:2] == before and trace.trace_id == told.meanwhile.trace_id


def used_once(told: Told, trace: Trajectory) -> None:
    """LangChain's own count of the parent's run is the trace's, and what the steps took that were made again."""
    counted = Counter[str]()
    for usage in told.usage.usage_metadata.values():
        counted.update(prompt_tokens=usage["input_tokens"], completion_tokens=usage["output_tokens"])
    replaced = trace.metadata["inframind"]["replaced"]
    assert len(replaced) == int(told.waits == "inside")
    for name, count in counted.items():
        assert count == sum(getattr(step, name) for step in trace.steps) + sum(one[name] for one in replaced)


def of_values(told: Told, trace: Trajectory, answer: AIMessage) -> None:
    last = [part for namespace, part in told.invocations[-1] if not namespace][-1]
    assert [message.text for message in last["messages"]] == ["How many?", trace.text]


def of_updates(told: Told, trace: Trajectory, answer: AIMessage) -> None:
    ours = [part["solve"] for namespace, part in told.parts if not namespace and part.get("solve")]
    assert [update["messages"][-1].text for update in ours] == [trace.text]
    waited = [part for namespace, part in told.parts if not namespace and "__interrupt__" in part]
    assert len(waited) == int(bool(told.waits))


def of_messages(told: Told, trace: Trajectory, answer: AIMessage) -> None:
    assert len(told.parts) > 2, "token by token"
    texts: dict[str, str] = {}
    for _, (message, _) in told.parts:
        if message.type != "human":
            texts[message.id] = texts.get(message.id, "") + message.text
    assert texts == {answer.id: trace.text}


def of_custom(told: Told, trace: Trajectory, answer: AIMessage) -> None:
    events = [event for _, event in told.parts]
    by_type = Counter(event["type"] for event in events)
    runs = len(trace.steps) + int(told.waits == "inside")
    assert (by_type["inframind.plan"], by_type["inframind.answer"]) == (1, 1)
    assert by_type["inframind.step_start"] == by_type["inframind.step_end"] == runs
    probabilities = {decision.decision_id: decision.probability for decision in trace.decisions}
    decided = [event for event in events if "probability" in event and event["type"] != "inframind.answer"]
    assert all(probabilities[event["decision_id"]] == event["probability"] for event in decided)
    assert sum(event["replayed"] for event in decided) == int(told.waits == "inside")
    assert {event["trace_id"] for event in events} == {trace.trace_id}


LOOKS = {"values": of_values, "updates": of_updates, "messages": of_messages, "custom": of_custom}
