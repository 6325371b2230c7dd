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
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from threading import Lock
from typing import Any, Final, ParamSpec

from inframind.errors import ConfigError
from inframind.fleet.traceparent import SpanParent, otel_trace_id, run_span_id
from inframind.traces import semconv
from inframind.traces.news import Exported
from inframind.traces.records import Outcome, Trajectory
from inframind.traces.spans import DEFAULT_CONFIG, SpanConfig, SpanRecord, evaluation_event, spans_of

try:
    from opentelemetry import _logs, metrics, trace
    from opentelemetry.context import Context
    from opentelemetry.sdk import trace as sdk
    from opentelemetry.sdk.trace.id_generator import IdGenerator
    from opentelemetry.sdk.trace.sampling import Decision as Sampling
except ModuleNotFoundError as error:
    raise ConfigError("install", "opentelemetry", "run: pip install 'inframind[otel]'") from error

from inframind.traces.otel_metrics import RunMetrics

MOST_WAITING = 1_000
"""Runs that wait for the thread; where more come, they are counted and not exported."""
MOST_REMEMBERED = 10_000
"""Runs of which it is known what has been exported, for those that go on."""

_Work = ParamSpec("_Work")
_logger = logging.getLogger(__name__)
_next_ids: ContextVar[tuple[int, int] | None] = ContextVar("inframind_next_span_ids", default=None)


class OtelExporter:
    """Exports every run that it is called with.

    A run may come several times, as long as it grows: each step, decision and skip is exported once. The run's own
    span comes with a status other than ``open``, and again, longer and under the same id, when a run goes on after.

    Args:
        tracer_provider: where spans go; None takes the application's, as set when a run ends.
        meter_provider: where metrics go; None takes the application's.
        logger_provider: where feedback goes; None takes the application's, as set when it comes.
        config: what spans show.

    Attributes:
        failed: runs and pieces of feedback whose export failed.
        dropped: those that came while too many were waiting.
    """

    def __init__(
        self,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
        logger_provider: _logs.LoggerProvider | None = None,
        *,
        config: SpanConfig = DEFAULT_CONFIG,
    ) -> None:
        self._provider, self._logs, self._config = tracer_provider, logger_provider, config
        self._metrics = RunMetrics(meter_provider or metrics.get_meter_provider())
        self._exported: OrderedDict[str, Exported] = OrderedDict()
        self._thread: ThreadPoolExecutor | None = None
        self._waiting: set[Future[None]] = set()
        self._lock = Lock()
        self.failed = 0
        self.dropped = 0

    def __call__(self, trajectory: Trajectory) -> None:
        """Hand over a run; returns at once, and never raises because of what becomes of it."""
        self._submit(self._export, trajectory)

    def feedback(self, trace_id: str, outcome: Outcome, metadata: Mapping[str, Any] | None = None) -> None:
        """Hand over feedback on a run that has been exported; its span is closed, so that it is an event of its own.

        Args:
            trace_id: the run.
            outcome: the feedback.
            metadata: the run's; needed where the run hangs under an application's span.
        """
        self._submit(self._export_feedback, trace_id, outcome, metadata or {})

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Wait until what was handed over so far is with the providers; False when that takes longer."""
        with self._lock:
            waiting = tuple(self._waiting)
        return not wait(waiting, timeout_s).not_done

    def close(self) -> None:
        """Export what waits, and end the thread. The providers belong to the application, and stay open."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.shutdown(wait=True)

    def _submit(self, work: Callable[_Work, None], *args: _Work.args, **kwargs: _Work.kwargs) -> None:
        with self._lock:
            if len(self._waiting) >= MOST_WAITING:
                self.dropped += 1
                return
            if self._thread is None:
                # Late, so that a process that was forked before its first run has a living thread.
                self._thread = ThreadPoolExecutor(1, thread_name_prefix="inframind-otel")
            future = self._thread.submit(work, *args, **kwargs)
            self._waiting.add(future)
        future.add_done_callback(self._done)

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
        self._metrics.record(run, new)
        emitter = _Emitter(self._tracer(), SpanParent.from_metadata(trajectory.metadata))
        emitter.emit(run, new.spans, with_run=new.is_run_due)

    def _export_feedback(self, trace_id: str, outcome: Outcome, metadata: Mapping[str, Any]) -> None:
        event = evaluation_event(outcome, self._config)
        parent = SpanParent.from_metadata(metadata) or SpanParent(otel_trace_id(trace_id), "")
        run = replace(parent, span_id=run_span_id(trace_id))
        provider = self._logs or _logs.get_logger_provider()
        provider.get_logger(semconv.SCOPE).emit(
            timestamp=event.at_ns,
            context=_under(_context_of(run)),
            attributes={**event.attributes, semconv.TRACE_ID: trace_id},
            event_name=event.name,
        )

    def _remembered(self, trace_id: str) -> Exported:
        exported = self._exported.setdefault(trace_id, Exported())
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

    def emit(self, run: SpanRecord, spans: Sequence[SpanRecord], *, with_run: bool) -> None:
        """The spans of steps, and the run's own if it is due: parents begin first and end last."""
        begun: list[tuple[trace.Span, SpanRecord]] = []
        parents = {run.parent_id: self._parent}
        if not with_run:
            parents[run.span_id] = _under(self._foreseen(run))
        for record in (run, *spans) if with_run else spans:
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
