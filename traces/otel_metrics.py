"""Our instruments. Imported by the exporter alone, which says what to install where OpenTelemetry is missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from opentelemetry import metrics

from inframind.traces import semconv
from inframind.traces.news import News
from inframind.traces.records import Decision
from inframind.traces.spans import Attributes, SpanRecord


class RunMetrics:
    """Counts runs, decisions and calls; it agrees with the spans, because it is read off them."""

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

    def record(self, run: SpanRecord, new: News) -> None:
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
