"""Span trees as plain data: what hangs under what, what is said, and what is kept quiet. No OpenTelemetry needed."""

from __future__ import annotations

import dataclasses
import importlib
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframind.errors import ConfigError
from inframind.fleet.traceparent import SpanParent, chat_span_id, current_parent, otel_trace_id, step_headers
from inframind.traces import semconv
from inframind.traces.records import Attempt, Decision, Outcome, Skip, Step, Trajectory
from inframind.traces.spans import SpanConfig, SpanRecord, spans_of

TRACE = "ab" * 16
PARENT = SpanParent("cd" * 16, "ef" * 8)
hex_ids = st.tuples(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1))


def step(step_id: int, **given: Any) -> Step:
    defaults: dict[str, Any] = {
        "node": "agent",
        "kind": "agent",
        "position": 0,
        "round": 1,
        "role": "Solver",
        "parents": (),
        "decision_id": f"d{step_id}",
        "model": "small",
        "strategy": "Plain",
        "endpoint": "gpu-0",
        "served_model": "small",
        "started_s": 1.0,
        "sent_s": 1.5,
        "first_token_s": 1.75,
        "finished_s": 3.0,
    }
    return Step(step_id=step_id, **{**defaults, **given})


def decision(decision_id: str, kind: Any = "step", **given: Any) -> Decision:
    defaults: dict[str, Any] = {
        "made_s": 1.0,
        "policy": "uniform",
        "policy_version": "7",
        "features_version": "1",
        "actions": ("small/Plain", "large/Plain", "large/CoT"),
        "probabilities": (0.25, 0.75, 0.0),
        "masked": ("", "", "too slow"),
        "latency_q50_s": (1.0, 2.0, 9.0),
        "latency_q90_s": (2.0, 4.0, 18.0),
        "chosen": 1,
        "probability": 0.75,
        "choice": {"model": "large", "strategy": "Plain"},
    }
    return Decision(decision_id=decision_id, kind=kind, **{**defaults, **given})


def run(*steps: Step, **given: Any) -> Trajectory:
    defaults: dict[str, Any] = {
        "trace_id": TRACE,
        "question": "Why?",
        "arrived_at_s": 100.0,
        "budget_s": 10.0,
        "topology": "IO",
        "latency_s": 4.0,
    }
    return Trajectory(steps=steps, **{**defaults, **given})


def by_name(spans: tuple[SpanRecord, ...]) -> dict[str, SpanRecord]:
    assert len({span.name for span in spans}) == len(spans)
    return {span.name: span for span in spans}


def test_workflow_agent_chat() -> None:
    workflow, agent, chat = spans_of(run(step(0)))
    assert (workflow.name, agent.name, chat.name) == (
        "invoke_workflow IO",
        "invoke_agent Solver",
        "chat small",
    )
    assert (workflow.kind, agent.kind, chat.kind) == ("internal", "internal", "client")
    assert (workflow.parent_id, agent.parent_id, chat.parent_id) == ("", workflow.span_id, agent.span_id)
    assert {span.trace_id for span in (workflow, agent, chat)} == {TRACE}
    assert (workflow.start_ns, workflow.end_ns, workflow.duration_s) == (100 * 10**9, 104 * 10**9, 4.0)
    assert (agent.start_ns, agent.end_ns) == (101 * 10**9, 103 * 10**9)
    assert (chat.start_ns, chat.end_ns) == (101_500_000_000, 103 * 10**9)


def test_steps_come_in_the_order_they_began() -> None:
    spans = spans_of(run(step(2, role="C"), step(0, role="A"), step(1, role="B")))
    assert [span.name for span in spans if span.name.startswith("invoke_agent")] == [
        "invoke_agent A",
        "invoke_agent B",
        "invoke_agent C",
    ]


def named_by(header: str) -> SpanParent:
    """The span that a ``traceparent`` header of ours names."""
    version, trace_id, span_id, flags = header.split("-")
    assert (version, len(trace_id), len(span_id)) == ("00", 32, 16)
    return SpanParent(trace_id, span_id, {"00": False, "01": True}[flags])


def test_the_call_s_span_is_the_one_its_request_named() -> None:
    for metadata in ({}, {"otel": PARENT.to_plain()}):
        header = step_headers(TRACE, 5, metadata)["traceparent"]
        _, _, chat = spans_of(run(step(5), metadata=metadata))
        assert named_by(header) == SpanParent(chat.trace_id, chat.span_id)
        assert chat.span_id == chat_span_id(TRACE, 5)


async def test_every_call_of_a_workflow_names_its_span_to_the_server(make_mind: Any, say: Any) -> None:
    mind = await make_mind(say(lambda asked: f"\\boxed{{{asked.step['position']}}}"))
    result = await mind.ainvoke("How many?", domain="math", budget_s=60.0, topology="Debate", team_size=2)
    chats = [span for span in spans_of(await mind.atrace(result.trace_id)) if span.kind == "client"]
    headers = [named_by(asked.headers["traceparent"]) for asked in mind.servers[0].asked]
    assert sorted((header.trace_id, header.span_id) for header in headers) == sorted(
        (chat.trace_id, chat.span_id) for chat in chats
    )
    assert len(chats) == len(headers) == 5 and {chat.trace_id for chat in chats} == {result.trace_id}


def test_a_run_hangs_under_the_application_s_span() -> None:
    trajectory = run(step(0), metadata={"otel": PARENT.to_plain()})
    workflow, agent, chat = spans_of(trajectory)
    assert {workflow.trace_id, agent.trace_id, chat.trace_id} == {PARENT.trace_id}
    assert workflow.parent_id == PARENT.span_id
    assert workflow.attributes[semconv.TRACE_ID] == TRACE, "to find the run by"
    assert spans_of(run(step(0)), parent=PARENT)[0].parent_id == PARENT.span_id


def test_runs_under_one_span_share_no_ids() -> None:
    first, second = (spans_of(run(step(0), trace_id=name * 32), parent=PARENT) for name in "12")
    assert not {span.span_id for span in first} & {span.span_id for span in second}


def test_what_a_call_says() -> None:
    asked = step(
        0,
        served_model="small-v2",
        prompt_tokens=30,
        completion_tokens=5,
        cached_tokens=16,
        finish_reason="stop",
        queue_s=0.125,
        priority=3,
    )
    config = SpanConfig(servers={"gpu-0": ("10.0.0.1", 8000)})
    _, _, chat = spans_of(run(asked, metadata={"thread_id": 17}), config)
    assert chat.attributes == {
        "inframind.trace_id": TRACE,
        "gen_ai.conversation.id": "17",
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "vllm",
        "gen_ai.request.model": "small",
        "gen_ai.response.model": "small-v2",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 30,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.usage.cache_read.input_tokens": 16,
        "gen_ai.response.time_to_first_chunk": 0.25,
        "server.address": "10.0.0.1",
        "server.port": 8000,
        "gen_ai.agent.name": "Solver",
        "inframind.strategy": "Plain",
        "inframind.endpoint": "gpu-0",
        "inframind.queue_s": 0.125,
        "inframind.priority": 3,
    }


def test_the_decision_is_on_the_agent_it_sent() -> None:
    _, agent, _ = spans_of(run(step(0), decisions=(decision("d0"),)))
    said = {
        name.removeprefix("inframind.decision."): value
        for name, value in agent.attributes.items()
        if "decision" in name
    }
    assert said == {
        "id": "d0",
        "kind": "step",
        "action": "large/Plain",
        "model": "large",
        "strategy": "Plain",
        "probability": 0.75,
        "policy": "uniform",
        "policy_version": "7",
        "candidates": ("large/Plain", "small/Plain"),
        "probabilities": (0.75, 0.25),
        "masked": 1,
        "latency_q50_s": 2.0,
        "latency_q90_s": 4.0,
    }
    assert agent.attributes[semconv.BUDGET_REMAINING_S] == 9.0


def test_of_many_candidates_the_likeliest_are_named() -> None:
    labels = tuple(f"model-{place}" for place in range(15))
    shares = tuple(place / 105 for place in range(15))
    many = decision(
        "d0",
        actions=labels,
        probabilities=shares,
        masked=("",) * 15,
        chosen=14,
        latency_q50_s=(),
        latency_q90_s=(),
    )
    said = spans_of(run(step(0), decisions=(many,)))[1].attributes
    assert said[semconv.DECISION_CANDIDATES] == labels[:4:-1]
    assert said[semconv.DECISION_PROBABILITIES] == shares[:4:-1]


def test_plan_on_the_run_pace_and_skips_as_its_events() -> None:
    plan = decision("p", "plan", choice={"topology": "Debate", "team": ["A"]}, made_s=0.0)
    pace = decision("q", "pace", choice={"pace": "ADVANCE"}, made_s=3.0)
    skip = Skip(node="judge", reason="agreement", at_s=2.0)
    workflow = spans_of(run(decisions=(plan, pace), skips=(skip,), team=("A",)))[0]
    assert workflow.attributes[semconv.DECISION_TOPOLOGY] == "Debate"
    assert workflow.attributes[semconv.TEAM] == ("A",)
    assert [(event.name, event.at_ns) for event in workflow.events] == [
        ("inframind.skip", 102 * 10**9),
        ("inframind.decision", 103 * 10**9),
    ]
    assert workflow.events[0].attributes == {
        "inframind.skip.node": "judge",
        "inframind.skip.reason": "agreement",
    }
    assert workflow.events[1].attributes[semconv.DECISION_ID] == "q"


def test_a_failover_is_an_event_of_the_call_that_went_on() -> None:
    tries = tuple(
        Attempt(endpoint=name, model="m", error="EndpointOverloaded", detail="busy", elapsed_s=took_s)
        for name, took_s in (("a", 0.5), ("b", 0.25))
    )
    _, agent, chat = spans_of(run(step(0, sent_s=2.0, first_token_s=None, attempts=tries)))
    assert (agent.start_ns, chat.start_ns) == (101 * 10**9, 101_250_000_000)
    assert [(event.at_ns, event.attributes["inframind.endpoint"]) for event in chat.events] == [
        (101_750_000_000, "a"),
        (102_000_000_000, "b"),
    ]
    assert chat.error == "" and semconv.ERROR_TYPE not in chat.attributes


def test_errors_are_named_and_not_quoted() -> None:
    failed = step(0, error="EndpointRejected", error_detail="your prompt was", sent_s=None)
    trajectory = run(failed, status="failed", error="FleetExhausted", error_detail="your prompt was")
    quiet, loud = spans_of(trajectory), spans_of(trajectory, SpanConfig(content=True))
    assert [span.error for span in quiet] == ["FleetExhausted", "EndpointRejected", "EndpointRejected"]
    assert [span.attributes[semconv.ERROR_TYPE] for span in quiet] == [span.error for span in quiet]
    assert {span.error_detail for span in quiet} == {""}
    assert {span.error_detail for span in loud} == {"your prompt was"}


def test_late_is_no_error_and_cancelled_is_one() -> None:
    assert spans_of(run(status="late"))[0].error == ""
    assert spans_of(run(status="cancelled"))[0].error == "cancelled"


def test_feedback() -> None:
    outcome = Outcome(
        feedback_id="f",
        key="thumbs",
        score=1.0,
        value="up",
        comment="nice",
        source="user",
        recorded_at_s=200.0,
    )
    for content in (False, True):
        (event,) = spans_of(run(outcomes=(outcome,)), SpanConfig(content=content))[0].events
        assert (event.name, event.at_ns) == ("gen_ai.evaluation.result", 200 * 10**9)
        assert event.attributes == {
            "gen_ai.evaluation.name": "thumbs",
            "gen_ai.evaluation.score.value": 1.0,
            "gen_ai.evaluation.score.label": "up",
            "inframind.evaluation.source": "user",
            **({"gen_ai.evaluation.explanation": "nice"} if content else {}),
        }


def test_in_somebody_else_s_graph_the_agent_is_the_node() -> None:
    calls = (step(0, node="retrieve", role="Reader"), step(1, node="write", role=""))
    spans = spans_of(run(*calls, topology="", metadata={"graph": "rag"}))
    assert [span.name for span in spans] == [
        "invoke_workflow rag",
        "invoke_agent retrieve",
        "chat small",
        "invoke_agent write",
        "chat small",
    ]


def test_a_lone_call_has_spans_without_names_of_their_own() -> None:
    spans = spans_of(run(step(0, node="", role="", model=""), topology=""))
    assert [span.name for span in spans] == ["invoke_workflow", "invoke_agent", "chat"]


def test_content_where_it_is_asked_for() -> None:
    trajectory = run(step(0, text="Because.", finish_reason="stop"), text="Because.")
    workflow, _, chat = spans_of(trajectory, SpanConfig(content=True))
    assert workflow.attributes[semconv.INPUT_MESSAGES] == (
        '[{"role": "user", "parts": [{"type": "text", "content": "Why?"}]}]'
    )
    assert chat.attributes[semconv.OUTPUT_MESSAGES] == (
        '[{"role": "assistant", "parts": [{"type": "text", "content": "Because."}], "finish_reason": "stop"}]'
    )


MARK = "zq"
"""Begins every written text below, and nothing that we write ourselves."""
written = st.text(min_size=1, max_size=30).map(lambda text: MARK + text)


def everything_written(text: Callable[[], str]) -> Trajectory:
    """A run with some text wherever a record has room for what people, models and servers write."""
    tries = (Attempt(endpoint="a", model="m", error="E", detail=text(), elapsed_s=0.1),)
    asked = step(0, text=text(), answer=text(), error="E", error_detail=text(), attempts=tries)
    outcome = Outcome(feedback_id="f", key="k", score=0.0, comment=text(), recorded_at_s=1.0)
    return run(
        asked,
        question=text(),
        text=text(),
        answer=text(),
        status="failed",
        error="E",
        error_detail=text(),
        decisions=(decision("d0", reason=text()), decision("p", "plan", reason=text(), seen={"q": text()})),
        outcomes=(outcome,),
        metadata={"note": text()},
    )


@given(st.data())
def test_without_content_nothing_written_is_shown(data: st.DataObject) -> None:
    spans = spans_of(everything_written(lambda: data.draw(written)))
    assert MARK not in repr([dataclasses.asdict(span) for span in spans])


def test_with_content_the_same_texts_are_shown() -> None:
    texts = (f"{MARK}{number}." for number in range(100))
    shown = repr(spans_of(everything_written(lambda: next(texts)), SpanConfig(content=True)))
    written_as = {"attempt": 0, "step": 1, "step error": 3, "comment": 4, "question": 5, "run": 6, "error": 8}
    assert all(f"{MARK}{number}." in shown for number in written_as.values())


@given(hex_ids, st.booleans())
def test_a_parent_is_kept_as_plain_data_and_named_to_the_server(ids: tuple[int, int], sampled: bool) -> None:
    parent = SpanParent(f"{ids[0]:032x}", f"{ids[1]:016x}", sampled)
    metadata = {"otel": parent.to_plain()}
    assert SpanParent.from_metadata(metadata) == parent
    named = SpanParent(parent.trace_id, chat_span_id(TRACE, 0), sampled)
    assert named_by(step_headers(TRACE, 0, metadata)["traceparent"]) == named


@pytest.mark.parametrize("kept", ["x", {}, {"trace_id": 1, "span_id": 2}, {"trace_id": "x", "span_id": "y"}])
def test_somebody_else_s_data_under_our_key_is_left_alone(kept: object) -> None:
    assert SpanParent.from_metadata({"otel": kept}) is None
    assert step_headers(TRACE, 0, {"otel": kept}) == step_headers(TRACE, 0, {})


def test_a_trace_id_of_another_form_still_makes_a_w3c_one() -> None:
    assert otel_trace_id(TRACE) == TRACE
    for odd in ("my-run", "", "0" * 32, TRACE.upper()):
        header = step_headers(odd, 0, {})["traceparent"]
        assert named_by(header).trace_id == spans_of(run(trace_id=odd))[0].trace_id != odd


def test_without_the_extra_spans_can_be_made_and_the_exporter_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in sys.modules if name.startswith("opentelemetry")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    monkeypatch.delitem(sys.modules, "inframind.traces.otel", raising=False)
    assert current_parent() is None
    assert len(spans_of(run(step(0)))) == 3
    with pytest.raises(ConfigError, match=r"inframind\[otel\]"):
        importlib.import_module("inframind.traces.otel")


def test_a_provider_must_be_named() -> None:
    with pytest.raises(ConfigError, match=r"otel\.provider"):
        SpanConfig(provider="")
