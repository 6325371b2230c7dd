"""Finished runs as OpenTelemetry spans and metrics, through whatever providers the application has set up.

An `OtelExporter` is a listener: give it every trajectory that is stored. It works in a thread of its own, so that no
run waits for it and none can fail by it; what goes wrong there is counted, and logged once.

Spans keep the ids that `inframind.fleet.traceparent` gave out while the calls were in flight. The SDK has one public
place for that, the tracer's id generator, and we replace it on the tracer of our own scope alone. Sampler, limits,
resource and processors stay the provider's. A provider that is not the SDK's chooses its own ids: then servers' spans
do not hang under ours, nor do steps that were exported before their run had ended.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

from inframind.errors import ConfigError
from inframind.fleet.traceparent import SpanParent
from inframind.traces import semconv
from inframind.traces.records import Decision, Skip, Trajectory
from inframind.traces.spans import DEFAULT_CONFIG, Attributes, SpanConfig, SpanRecord, spans_of

try:
    from opentelemetry import metrics, trace
    from opentelemetry.context import Context
    from opentelemetry.sdk import trace as sdk
    from opentelemetry.sdk.trace.id_generator import IdGenerator
    from opentelemetry.sdk.trace.sampling import Decision as Sampling
except ModuleNotFoundError as error:
    raise ConfigError("install", "opentelemetry", "run: pip install 'inframind[otel]'") from error

MOST_WAITING = 1_000
"""Runs that wait for the thread; where more come, they are counted and not exported."""
MOST_REMEMBERED = 10_000
"""Runs of which it is known what has been exported, for those that go on."""

_logger = logging.getLogger(__name__)
_next_ids: ContextVar[tuple[int, int] | None] = ContextVar("inframind_next_span_ids", default=None)


class OtelExporter:
    """Exports every run that it is called with.

    A run may come several times, as long as it grows: each step, decision and skip is exported once. The run's own
    span comes with a status other than ``open``, and again, longer and under the same id, when a run goes on after.

    Args:
        tracer_provider: where spans go; None takes the application's, as set when a run ends.
        meter_provider: where metrics go; None takes the application's.
        config: what spans show.

    Attributes:
        failed: runs whose export failed.
        dropped: runs that came while too many were waiting.
    """

    def __init__(
        self,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
        *,
        config: SpanConfig = DEFAULT_CONFIG,
    ) -> None:
        self._provider, self._config = tracer_provider, config
        self._metrics = _Metrics(meter_provider or metrics.get_meter_provider())
        self._exported: OrderedDict[str, _Exported] = OrderedDict()
        self._thread: ThreadPoolExecutor | None = None
        self._waiting: set[Future[None]] = set()
        self._lock = Lock()
        self.failed = 0
        self.dropped = 0

    def __call__(self, trajectory: Trajectory) -> None:
        """Hand over a run; returns at once, and never raises because of what becomes of it."""
        with self._lock:
            if len(self._waiting) >= MOST_WAITING:
                self.dropped += 1
                return
            if (
                self._thread is None
            ):  # late, so that a process forked before its first run has a living thread
                self._thread = ThreadPoolExecutor(1, thread_name_prefix="inframind-otel")
            future = self._thread.submit(self._export, trajectory)
            self._waiting.add(future)
        future.add_done_callback(self._done)

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Wait until the runs handed over so far are with the providers; False when that takes longer."""
        with self._lock:
            waiting = tuple(self._waiting)
        return not wait(waiting, timeout_s).not_done

    def close(self) -> None:
        """Export what waits, and end the thread. The providers belong to the application, and stay open."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.shutdown(wait=True)

    def _done(self, future: Future[None]) -> None:
        error = future.exception()
        with self._lock:
            self._waiting.discard(future)
            self.failed += error is not None
            is_first = error is not None and self.failed == 1
        if is_first:
            _logger.warning("a run could not be exported; further failures are only counted", exc_info=error)

    def _export(self, trajectory: Trajectory) -> None:
        run, *steps = spans_of(trajectory, self._config)
        exported = self._remembered(trajectory.trace_id)
        new = exported.news_of(trajectory, steps)
        self._metrics.record(trajectory, run, new)
        emitter = _Emitter(self._tracer(), SpanParent.from_metadata(trajectory.metadata))
        emitter.emit(run, new.spans, has_ended=new.has_ended)

    def _remembered(self, trace_id: str) -> _Exported:
        exported = self._exported.setdefault(trace_id, _Exported())
        self._exported.move_to_end(trace_id)
        if len(self._exported) > MOST_REMEMBERED:
            self._exported.popitem(last=False)
        return exported

    def _tracer(self) -> trace.Tracer:
        provider = self._provider or trace.get_tracer_provider()
        tracer = provider.get_tracer(semconv.SCOPE)
        if isinstance(tracer, sdk.Tracer) and not isinstance(tracer.id_generator, _KnownIds):
            tracer.id_generator = _KnownIds(tracer.id_generator)
        return tracer


# What is new of a run that grows ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _News:
    """What of a run has not been exported before."""

    spans: tuple[SpanRecord, ...]
    decisions: tuple[Decision, ...]
    skips: tuple[Skip, ...]
    has_ended: bool
    has_ended_first: bool


@dataclass(slots=True)
class _Exported:
    """What of a run has been exported."""

    steps: set[int] = field(default_factory=set)
    decisions: int = 0
    skips: int = 0
    has_ended: bool = False

    def news_of(self, trajectory: Trajectory, spans: Sequence[SpanRecord]) -> _News:
        """What is new, which is then known."""
        has_ended = trajectory.status != "open"
        news = _News(
            spans=tuple(span for span in spans if span.step_id not in self.steps),
            decisions=trajectory.decisions[self.decisions :],
            skips=trajectory.skips[self.skips :],
            has_ended=has_ended,
            has_ended_first=has_ended and not self.has_ended,
        )
        self.steps.update(step.step_id for step in trajectory.steps)
        self.decisions, self.skips = len(trajectory.decisions), len(trajectory.skips)
        self.has_ended = self.has_ended or has_ended
        return news


# Spans ------------------------------------------------------------------------------------------------------


class _KnownIds(IdGenerator):
    """Gives the ids that are set for the span being started, and whatever the provider's generator gives otherwise."""

    def __init__(self, otherwise: IdGenerator) -> None:
        self._otherwise = otherwise

    def generate_span_id(self) -> int:
        known = _next_ids.get()
        return known[1] if known else self._otherwise.generate_span_id()

    def generate_trace_id(self) -> int:
        known = _next_ids.get()
        return known[0] if known else self._otherwise.generate_trace_id()


@contextmanager
def _ids_of(span: SpanRecord) -> Iterator[None]:
    token = _next_ids.set((int(span.trace_id, 16), int(span.span_id, 16)))
    try:
        yield
    finally:
        _next_ids.reset(token)


class _Emitter:
    """Starts and ends the spans of one run."""

    def __init__(self, tracer: trace.Tracer, parent: SpanParent | None) -> None:
        self._tracer = tracer
        self._parent = Context() if parent is None else _under(_context_of(parent))

    def emit(self, run: SpanRecord, spans: Sequence[SpanRecord], *, has_ended: bool) -> None:
        """The spans of steps, and the run's own if it has ended: parents begin first and end last."""
        begun: list[tuple[trace.Span, SpanRecord]] = []
        parents = {run.parent_id: self._parent}
        if not has_ended:
            parents[run.span_id] = _under(self._foreseen(run))
        for record in (run, *spans) if has_ended else spans:
            span = self._start(record, parents[record.parent_id])
            parents[record.span_id] = _under(span.get_span_context())
            begun.append((span, record))
        for span, record in reversed(begun):
            _finish(span, record)

    def _start(self, record: SpanRecord, parent: Context) -> trace.Span:
        with _ids_of(record):
            return self._tracer.start_span(
                record.name, parent, _KINDS[record.kind], record.attributes, start_time=record.start_ns
            )

    def _foreseen(self, run: SpanRecord) -> trace.SpanContext:
        """The run's span as it will be once the run has ended."""
        trace_id, span_id = int(run.trace_id, 16), int(run.span_id, 16)
        return trace.SpanContext(trace_id, span_id, is_remote=False, trace_flags=_flags(self._samples(run)))

    def _samples(self, run: SpanRecord) -> bool:
        if not isinstance(self._tracer, sdk.Tracer):
            return True
        trace_id, kind = int(run.trace_id, 16), _KINDS[run.kind]
        result = self._tracer.sampler.should_sample(self._parent, trace_id, run.name, kind, run.attributes)
        return result.decision is Sampling.RECORD_AND_SAMPLE


def _finish(span: trace.Span, record: SpanRecord) -> None:
    for event in record.events:
        span.add_event(event.name, event.attributes, event.at_ns)
    if record.error:
        span.set_status(trace.Status(trace.StatusCode.ERROR, record.error_detail or None))
    span.end(record.end_ns)


def _context_of(parent: SpanParent) -> trace.SpanContext:
    flags = _flags(parent.sampled)
    return trace.SpanContext(
        int(parent.trace_id, 16), int(parent.span_id, 16), is_remote=False, trace_flags=flags
    )


def _under(span: trace.SpanContext) -> Context:
    """The context in which a span's children begin; nothing of the thread's own is in it."""
    return trace.set_span_in_context(trace.NonRecordingSpan(span), Context())


def _flags(sampled: bool) -> trace.TraceFlags:
    return trace.TraceFlags(trace.TraceFlags.SAMPLED if sampled else trace.TraceFlags.DEFAULT)


_KINDS: Final = {"internal": trace.SpanKind.INTERNAL, "client": trace.SpanKind.CLIENT}


# Metrics ----------------------------------------------------------------------------------------------------


class _Metrics:
    """Our instruments. What they count agrees with the spans, because it is read off them."""

    def __init__(self, provider: metrics.MeterProvider) -> None:
        meter = provider.get_meter(semconv.SCOPE)
        self._durations = _histogram(meter, semconv.OPERATION_DURATION, "Time that a call took")
        self._first_chunks = _histogram(
            meter, semconv.OPERATION_TIME_TO_FIRST_CHUNK, "Time until the first piece of an answer"
        )
        self._workflows = _histogram(meter, semconv.WORKFLOW_DURATION, "Time that a run took")
        self._tokens = meter.create_histogram(
            semconv.TOKEN_USAGE,
            "{token}",
            "Tokens of a call",
            explicit_bucket_boundaries_advisory=semconv.TOKEN_BUCKETS,
        )
        self._runs = meter.create_counter(semconv.RUNS, "{run}", "Runs by topology and status")
        self._decisions = meter.create_counter(
            semconv.DECISIONS, "{decision}", "Decisions by what was chosen"
        )
        self._failovers = meter.create_counter(semconv.FAILOVERS, "{attempt}", "Tries that failed over")
        self._skips = meter.create_counter(
            semconv.SKIPS, "{call}", "Planned calls that were left out, by reason"
        )

    def record(self, trajectory: Trajectory, run: SpanRecord, new: _News) -> None:
        """Count what is new of a run."""
        if new.has_ended_first:
            self._runs.add(1, _some_of(run.attributes, (semconv.TOPOLOGY, semconv.STATUS)))
            self._workflows.record(
                run.duration_s, _some_of(run.attributes, (semconv.WORKFLOW_NAME, semconv.ERROR_TYPE))
            )
        for decision in new.decisions:
            self._decisions.add(1, _decided(decision))
        for skip in new.skips:
            self._skips.add(1, {semconv.SKIP_REASON: skip.reason})
        for span in new.spans:
            if span.kind == "client":
                self._record_call(span)

    def _record_call(self, span: SpanRecord) -> None:
        said, labels = span.attributes, _some_of(span.attributes, _CALL_LABELS)
        self._durations.record(span.duration_s, labels)
        first_chunk_s = said.get(semconv.TIME_TO_FIRST_CHUNK)
        if isinstance(first_chunk_s, float):
            self._first_chunks.record(first_chunk_s, labels)
        for name, kind in ((semconv.INPUT_TOKENS, "input"), (semconv.OUTPUT_TOKENS, "output")):
            tokens = said.get(name)
            if isinstance(tokens, int):
                self._tokens.record(tokens, {**labels, semconv.TOKEN_TYPE: kind})
        for event in span.events:
            self._failovers.add(1, _some_of(event.attributes, _FAILOVER_LABELS))


_CALL_LABELS: Final = (
    semconv.OPERATION_NAME,
    semconv.PROVIDER_NAME,
    semconv.REQUEST_MODEL,
    semconv.RESPONSE_MODEL,
    semconv.SERVER_ADDRESS,
    semconv.SERVER_PORT,
    semconv.ERROR_TYPE,
)
_FAILOVER_LABELS: Final = (semconv.REQUEST_MODEL, semconv.ENDPOINT, semconv.ERROR_TYPE)


def _histogram(meter: metrics.Meter, name: str, description: str) -> metrics.Histogram:
    return meter.create_histogram(
        name, "s", description, explicit_bucket_boundaries_advisory=semconv.DURATION_BUCKETS_S
    )


def _some_of(attributes: Attributes, names: Sequence[str]) -> Attributes:
    return {name: attributes[name] for name in names if name in attributes}


def _decided(decision: Decision) -> dict[str, str]:
    labels = {semconv.DECISION_KIND: decision.kind, semconv.DECISION_POLICY: decision.policy}
    for name in (semconv.DECISION_TOPOLOGY, semconv.DECISION_MODEL, semconv.DECISION_STRATEGY):
        value = decision.choice.get(name.rpartition(".")[2])
        if value is not None:
            labels[name] = str(value)
    return labels
