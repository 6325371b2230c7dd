"""Runs as OpenTelemetry sees them: the SDK's own in-memory exporter and reader, and what goes wrong in them."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from inframind.fleet.traceparent import SpanParent, chat_span_id, current_parent, run_span_id
from inframind.traces.records import Attempt, Decision, Outcome, Skip, Step, Trajectory
from inframind.traces.spans import SpanConfig

pytest.importorskip("opentelemetry.sdk", reason="needs pip install 'inframind[otel]'")

from opentelemetry import trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, Sampler, TraceIdRatioBased

from inframind.traces import otel
from inframind.traces.otel import OtelExporter

GOLDEN = Path(__file__).with_name("otel_spans.json")
PARENT = SpanParent("cd" * 16, "ef" * 8)
CONFIG = SpanConfig(servers={"gpu-0": ("10.0.0.1", 8000), "gpu-1": ("10.0.0.2", 8000)})


class Telescope:
    """An exporter, and what came out of it."""

    def __init__(self, *, config: SpanConfig = CONFIG, sampler: Sampler | None = None) -> None:
        self.memory, self.reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.memory))
        self.meters = MeterProvider([self.reader], shutdown_on_exit=False)
        self.exporter = OtelExporter(self.provider, self.meters, config=config)

    def see(self, *trajectories: Trajectory) -> list[ReadableSpan]:
        for trajectory in trajectories:
            self.exporter(trajectory)
        assert self.exporter.flush()
        return list(self.memory.get_finished_spans())

    def points(self, name: str) -> list[Any]:
        data = self.reader.get_metrics_data()
        return [
            point
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]

    def close(self) -> None:
        self.exporter.close()
        self.provider.shutdown()
        self.meters.shutdown()


@pytest.fixture
def telescope() -> Iterator[Telescope]:
    telescope = Telescope()
    yield telescope
    telescope.close()


# Runs written by hand ---------------------------------------------------------------------------------------


def step(
    step_id: int, role: str, model: str, times_s: tuple[float, float, float, float], **more: Any
) -> Step:
    started_s, sent_s, first_token_s, finished_s = times_s
    defaults: dict[str, Any] = {
        "node": "agent",
        "kind": "agent",
        "position": 0,
        "round": 1,
        "parents": (),
        "decision_id": f"d{step_id}",
        "strategy": "CoT",
        "endpoint": "gpu-0",
        "served_model": model,
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "cached_tokens": 64,
        "finish_reason": "stop",
        "text": "SECRET draft",
        "answer": "SECRET",
    }
    return Step(
        step_id=step_id,
        role=role,
        model=model,
        started_s=started_s,
        sent_s=sent_s,
        first_token_s=first_token_s,
        finished_s=finished_s,
        **{**defaults, **more},
    )


def chosen(decision_id: str, kind: Any, made_s: float, choice: dict[str, Any]) -> Decision:
    return Decision(
        decision_id=decision_id,
        kind=kind,
        made_s=made_s,
        policy="just_enough",
        policy_version="2",
        features_version="1",
        actions=("this", "that", "other"),
        probabilities=(0.75, 0.25, 0.0),
        masked=("", "", "too slow"),
        chosen=0,
        probability=0.75,
        choice=choice,
        reason="SECRET reason",
    )


def by_model(decision_id: str, model: str, made_s: float) -> Decision:
    return chosen(decision_id, "step", made_s, {"model": model, "strategy": "CoT"})


def debate() -> Trajectory:
    """Two agents agree after one round, so that the judge is left out; one of them failed over."""
    busy = Attempt(
        endpoint="gpu-1", model="small", error="EndpointOverloaded", detail="SECRET", elapsed_s=0.25
    )
    return Trajectory(
        trace_id="1" * 32,
        question="SECRET question",
        question_id="q-1",
        domain="math",
        arrived_at_s=1_000_000.0,
        budget_s=20.0,
        topology="Debate",
        team=("Solver", "Critic"),
        rounds=1,
        decisions=(
            chosen("p", "plan", 0.0, {"topology": "Debate", "team_size": 2, "team": ["Solver", "Critic"]}),
            by_model("d0", "small", 0.5),
            by_model("d1", "small", 0.5),
            chosen("r", "pace", 3.0, {"pace": "ADVANCE", "round": 1}),
        ),
        steps=(
            step(0, "Solver", "small", (0.5, 0.625, 0.75, 2.5)),
            step(
                1, "Critic", "small", (0.5, 1.0, 1.25, 3.0),
                position=1, served_model="large", attempts=(busy,), priority=4, queue_s=0.125,
            ),
        ),
        skips=(Skip(node="judge", reason="agreement", at_s=3.25),),
        answer="SECRET",
        text="SECRET draft",
        final_step_id=0,
        latency_s=3.5,
        metadata={"thread_id": "t-1", "note": "SECRET"},
        outcomes=(
            Outcome(feedback_id="f", key="solved", score=1.0, comment="SECRET", recorded_at_s=1_000_009.0),
        ),
    )  # fmt: skip


def failed() -> Trajectory:
    """A run whose only call was refused everywhere, inside an application's span."""
    return Trajectory(
        trace_id="2" * 32,
        question="SECRET question",
        arrived_at_s=1_000_100.0,
        budget_s=5.0,
        topology="IO",
        team=("Solver",),
        rounds=1,
        decisions=(by_model("d0", "small", 0.0),),
        steps=(
            Step(
                step_id=0, node="agent", kind="agent", position=0, round=1, role="Solver", parents=(),
                decision_id="d0", model="small", strategy="CoT", started_s=0.0, finished_s=1.0,
                error="EndpointRejected", error_detail="SECRET prompt",
            ),
        ),
        status="failed",
        error="FleetExhausted",
        error_detail="SECRET prompt",
        latency_s=1.0,
        metadata={"otel": PARENT.to_plain()},
    )  # fmt: skip


def application(steps: int = 3, status: Any = "late") -> Trajectory:
    """A graph of three nodes that somebody else wrote."""
    nodes = ("retrieve", "grade", "write")[:steps]
    return Trajectory(
        trace_id="3" * 32,
        question="SECRET question",
        arrived_at_s=1_000_200.0,
        budget_s=4.0,
        decisions=tuple(by_model(f"d{place}", "small", place + 0.0) for place, _ in enumerate(nodes)),
        steps=tuple(
            step(place, "", "small", (place + 0.0, place + 0.25, place + 0.5, place + 1.0), node=node)
            for place, node in enumerate(nodes)
        ),
        status=status,
        latency_s=steps + 0.5,
        metadata={"graph": "rag", "thread_id": "t-2"},
    )


# Spans ------------------------------------------------------------------------------------------------------


def plain(span: ReadableSpan) -> dict[str, Any]:
    """What leaves for a backend, without what the SDK says of itself."""
    written: dict[str, Any] = json.loads(span.to_json())
    del written["resource"]
    assert span.instrumentation_scope is not None
    return {**written, "scope": span.instrumentation_scope.name}


def test_spans_are_what_they_were(telescope: Telescope) -> None:
    spans = [plain(span) for span in telescope.see(debate(), failed(), application())]
    assert spans == json.loads(GOLDEN.read_text())


@pytest.mark.parametrize("shown", [False, True])
def test_content_leaves_only_where_it_is_asked_for(shown: bool) -> None:
    telescope = Telescope(config=SpanConfig(content=shown))
    spans = telescope.see(debate(), failed(), application())
    assert ("SECRET" in " ".join(span.to_json() for span in spans)) is shown
    telescope.close()


def test_parents_begin_first_and_end_last(telescope: Telescope) -> None:
    begun: list[str] = []

    class Watch(SpanProcessor):
        def on_start(self, span: Any, parent_context: Any = None) -> None:
            begun.append(span.name)

    telescope.provider.add_span_processor(Watch())
    ended = [span.name for span in telescope.see(failed())]
    assert begun == ["invoke_workflow IO", "invoke_agent Solver", "chat small"]
    assert ended == begun[::-1]


def test_a_run_hangs_under_the_span_that_was_active_when_it_came(telescope: Telescope) -> None:
    with telescope.provider.get_tracer("app").start_as_current_span("request") as request:
        parent = current_parent()
        other = request.get_span_context()
    assert parent is not None
    metadata = {"otel": parent.to_plain()}
    run = Trajectory(trace_id="4" * 32, question="", arrived_at_s=0.0, budget_s=1.0, metadata=metadata)
    root = telescope.see(run)[-1]
    assert root.parent is not None and root.context is not None
    assert (root.parent.span_id, root.context.trace_id) == (other.span_id, other.trace_id)
    assert root.context.span_id == int(run_span_id(run.trace_id), 16)


def test_no_span_is_active_outside_any() -> None:
    assert current_parent() is None


def test_others_who_use_our_scope_keep_ids_of_their_own(telescope: Telescope) -> None:
    telescope.see(failed())
    tracer = telescope.provider.get_tracer("inframind")
    ids = {tracer.start_span("theirs").get_span_context().span_id for _ in range(3)}
    assert len(ids) == 3


# Sampling ---------------------------------------------------------------------------------------------------


def test_a_parent_that_is_not_sampled_takes_its_runs_along() -> None:
    telescope = Telescope(sampler=ParentBased(TraceIdRatioBased(1.0)))
    for sampled, spans in ((False, 0), (True, 3)):
        parent = SpanParent("cd" * 16, "ef" * 8, sampled).to_plain()
        run = Trajectory(
            trace_id=f"{spans + 1:032x}", question="", arrived_at_s=0.0, budget_s=1.0,
            steps=failed().steps, metadata={"otel": parent},
        )  # fmt: skip
        assert len(telescope.see(run)) == spans
    telescope.close()


def test_the_provider_s_sampler_decides_for_whole_runs_also_before_they_end() -> None:
    telescope = Telescope(sampler=ParentBased(ALWAYS_OFF))
    assert telescope.see(application(1, "open"), application(3)) == []
    assert sum(point.value for point in telescope.points("inframind.runs")) == 1, "metrics are not sampled"
    telescope.close()


# Runs that grow ---------------------------------------------------------------------------------------------


def test_a_run_that_grows_is_exported_once(telescope: Telescope) -> None:
    whole = Telescope()
    spans = telescope.see(application(1, "open"), application(2, "open"), application(3), application(3))
    assert sorted(span.to_json() for span in spans) == sorted(
        span.to_json() for span in whole.see(application(3))
    )
    assert [point.value for point in telescope.points("inframind.runs")] == [1]
    assert [point.value for point in telescope.points("inframind.decisions")] == [3]
    whole.close()


def test_a_run_that_comes_late_as_it_was_before_counts_nothing_twice(telescope: Telescope) -> None:
    spans = telescope.see(application(3), application(2, "open"), application(3))
    whole = Telescope()
    assert len(spans) == len(whole.see(application(3)))
    assert [point.value for point in telescope.points("inframind.decisions")] == [3]
    whole.close()


def test_a_run_that_goes_on_after_its_end_has_its_span_again_and_counts_once(telescope: Telescope) -> None:
    spans = telescope.see(application(2), application(3))
    runs = [span for span in spans if span.name == "invoke_workflow rag"]
    assert len(spans) == 8 and runs[0].context == runs[1].context
    assert [span.end_time for span in runs] == [1_000_202_500_000_000, 1_000_203_500_000_000]
    assert [point.value for point in telescope.points("inframind.runs")] == [1]


# Metrics ----------------------------------------------------------------------------------------------------


def test_metrics_of_calls(telescope: Telescope) -> None:
    telescope.see(debate(), failed())
    labels = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "vllm",
        "gen_ai.request.model": "small",
    }
    answered = {**labels, "server.address": "10.0.0.1", "server.port": 8000}
    durations = {
        (point.attributes.get("gen_ai.response.model"), point.attributes.get("error.type")): point
        for point in telescope.points("gen_ai.client.operation.duration")
    }
    assert {key: (point.count, point.sum) for key, point in durations.items()} == {
        ("small", None): (1, 1.875),
        ("large", None): (1, 2.25),
        (None, "EndpointRejected"): (1, 1.0),
    }
    point = durations["small", None]
    assert dict(point.attributes) == {**answered, "gen_ai.response.model": "small"}
    assert point.explicit_bounds[:3] == (0.01, 0.02, 0.04) and point.explicit_bounds[-1] == 81.92
    first = telescope.points("gen_ai.client.operation.time_to_first_chunk")
    assert sorted(point.sum for point in first) == [0.125, 0.25]


def test_metrics_of_tokens(telescope: Telescope) -> None:
    telescope.see(debate())
    points = telescope.points("gen_ai.client.token.usage")
    sums = {(p.attributes["gen_ai.response.model"], p.attributes["gen_ai.token.type"]): p.sum for p in points}
    assert sums == {
        ("small", "input"): 100,
        ("small", "output"): 20,
        ("large", "input"): 100,
        ("large", "output"): 20,
    }
    assert points[0].explicit_bounds[:3] == (1, 4, 16) and points[0].explicit_bounds[-1] == 67_108_864


def test_metrics_of_runs_and_decisions(telescope: Telescope) -> None:
    telescope.see(debate(), failed(), application())

    def counted(name: str) -> dict[tuple[Any, ...], int]:
        return {tuple(sorted(point.attributes.items())): point.value for point in telescope.points(name)}

    assert counted("inframind.runs") == {
        (("inframind.status", "ok"), ("inframind.topology", "Debate")): 1,
        (("inframind.status", "failed"), ("inframind.topology", "IO")): 1,
        (("inframind.status", "late"),): 1,
    }
    assert counted("inframind.failovers") == {
        (
            ("error.type", "EndpointOverloaded"),
            ("gen_ai.request.model", "small"),
            ("inframind.endpoint", "gpu-1"),
        ): 1
    }
    assert counted("inframind.skips") == {(("inframind.skip.reason", "agreement"),): 1}
    by_kind = {p.attributes["inframind.decision.kind"]: 0 for p in telescope.points("inframind.decisions")}
    for point in telescope.points("inframind.decisions"):
        by_kind[point.attributes["inframind.decision.kind"]] += point.value
    assert by_kind == {"plan": 1, "step": 6, "pace": 1}


# Feedback ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metadata", [{}, {"otel": PARENT.to_plain()}])
def test_feedback_after_the_run_is_an_event_on_its_span(metadata: dict[str, Any]) -> None:
    memory = InMemoryLogRecordExporter()
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(memory))
    exporter = OtelExporter(logger_provider=provider)
    exporter.feedback("1" * 32, debate().outcomes[0], metadata)
    exporter.close()
    (log,) = memory.get_finished_logs()
    record = log.log_record
    assert (record.event_name, record.timestamp) == ("gen_ai.evaluation.result", 1_000_009 * 10**9)
    assert record.trace_id == int(PARENT.trace_id if metadata else "1" * 32, 16)
    assert record.span_id == int(run_span_id("1" * 32), 16)
    assert dict(record.attributes or {}) == {
        "gen_ai.evaluation.name": "solved",
        "gen_ai.evaluation.score.value": 1.0,
        "inframind.evaluation.source": "api",
        "inframind.trace_id": "1" * 32,
    }
    provider.shutdown()


# What goes wrong --------------------------------------------------------------------------------------------


class Breaks(SpanProcessor):
    """A processor of somebody else's that cannot take it."""

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        raise ZeroDivisionError


def test_what_breaks_is_counted_and_logged_once(
    telescope: Telescope, caplog: pytest.LogCaptureFixture
) -> None:
    telescope.provider.add_span_processor(Breaks())
    with caplog.at_level(logging.WARNING, logger="inframind.traces.otel"):
        telescope.see(debate(), failed())
        telescope.exporter.close()
    assert telescope.exporter.failed == 2
    assert [record.levelname for record in caplog.records] == ["WARNING"]


class Stuck(SpanExporter):
    """A backend that does not answer until it is let go."""

    def __init__(self) -> None:
        self.let_go = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.let_go.wait()
        return SpanExportResult.SUCCESS


def test_nobody_waits_for_a_backend_that_is_stuck(
    telescope: Telescope, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(otel, "MOST_WAITING", 3)
    stuck = Stuck()
    telescope.provider.add_span_processor(SimpleSpanProcessor(stuck))
    for _ in range(5):
        telescope.exporter(debate())
    assert telescope.exporter.dropped == 2
    assert not telescope.exporter.flush(timeout_s=0.0)
    stuck.let_go.set()
    assert telescope.exporter.flush()


def test_what_is_remembered_of_runs_is_bounded(telescope: Telescope, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otel, "MOST_REMEMBERED", 1)
    assert len(telescope.see(debate(), failed())) == 8
    assert len(telescope.see(debate())) == 13, "forgotten, and exported whole"


def test_it_works_again_after_it_was_closed(telescope: Telescope) -> None:
    telescope.see(debate())
    telescope.exporter.close()
    telescope.exporter.close()
    assert len(telescope.see(failed())) == 8


# Providers --------------------------------------------------------------------------------------------------


def test_without_any_provider_nothing_happens() -> None:
    exporter = OtelExporter()
    exporter(debate())
    assert exporter.flush() and exporter.failed == 0
    exporter.close()


class Foreign(trace.TracerProvider):
    """A provider that is not the SDK's, around one that is."""

    def __init__(self, inner: TracerProvider) -> None:
        self._inner = inner

    def get_tracer(self, *args: Any, **kwargs: Any) -> trace.Tracer:
        tracer = self._inner.get_tracer(*args, **kwargs)

        class Tracer(trace.Tracer):
            def start_span(self, *args: Any, **kwargs: Any) -> trace.Span:
                return tracer.start_span(*args, **kwargs)

            def start_as_current_span(self, *args: Any, **kwargs: Any) -> Any:
                return tracer.start_as_current_span(*args, **kwargs)

        return Tracer()


def test_a_provider_of_another_make_gets_a_whole_tree_under_its_own_ids(telescope: Telescope) -> None:
    exporter = OtelExporter(Foreign(telescope.provider), telescope.meters)
    exporter(failed())
    assert exporter.flush() and exporter.failed == 0
    exporter.close()
    chat, agent, workflow = telescope.memory.get_finished_spans()
    assert chat.parent and agent.parent and agent.context and workflow.context and chat.context
    assert chat.parent.span_id == agent.context.span_id
    assert agent.parent.span_id == workflow.context.span_id
    assert chat.context.span_id != int(chat_span_id(failed().trace_id, 0), 16)
