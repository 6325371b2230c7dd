"""Evaluations that OpenTelemetry carries: ``gen_ai.evaluation.result`` events, as logs or on spans, in OTLP/JSON."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from inframind.errors import ConfigError
from inframind.plugin.importers.source import (
    Cursor,
    ImportedFeedback,
    Page,
    Skipped,
    first_problem,
    imported,
    trace_reference,
)
from inframind.plugin.references import FeedbackTarget

EVENT_NAME = "gen_ai.evaluation.result"
_PAGE_DOCUMENTS = 100
_NANOSECONDS = 1e-9

Document = bytes | Mapping[str, Any]


class OtlpDocuments(Protocol):
    """Export requests in OTLP/JSON (``resourceLogs`` or ``resourceSpans``), from any place on."""

    def read(self, place: int, limit: int) -> tuple[Sequence[Document], int | None]:
        """Up to ``limit`` documents from a place on, and the next place, or None at the end. May block."""
        ...


@dataclass(frozen=True, slots=True)
class OtlpJsonFile:
    """A file with one export request a line, as the collector's file exporter writes it.

    Attributes:
        path: the file.

    Raises:
        ConfigError: there is no such file.
    """

    path: Path

    def __post_init__(self) -> None:
        if not self.path.is_file():
            raise ConfigError("file", str(self.path), "give a file of OTLP/JSON lines that exists")

    def read(self, place: int, limit: int) -> tuple[Sequence[Document], int | None]:
        """Up to ``limit`` lines from the byte ``place`` on; a last line that is still being written is left."""
        with self.path.open("rb") as file:
            file.seek(place)
            lines = [line for line in islice(file, limit) if line.endswith(b"\n")]
        documents = [line for line in lines if line.strip()]
        return documents, place + sum(map(len, lines)) if len(lines) == limit else None


class OtelEvaluations:
    """Evaluation events in exported telemetry.

    An event is found by the model's run that ``gen_ai.response.id`` names, where that is one of LangChain's, then
    by its trace: ours has the same id, or the OpenTelemetry trace as an alias. Events have no ids: one of the same
    name on the same span and response replaces an earlier one.

    Args:
        documents: where the telemetry is.
        page_documents: how many documents to read at once.
    """

    def __init__(self, documents: OtlpDocuments, *, page_documents: int = _PAGE_DOCUMENTS) -> None:
        self._documents, self._page_documents = documents, page_documents

    async def read(self, cursor: Cursor) -> Page:
        """The events of the documents from the place ``cursor.page`` on that happened at its time or later."""
        documents, place = await asyncio.to_thread(
            self._documents.read, int(cursor.page or 0), self._page_documents
        )
        parsed = [part for document in documents for part in _parse(document)]
        since_s = cursor.since_s or 0.0
        events = [part for part in parsed if isinstance(part, _Event) and not 0 < part.at_s < since_s]
        skipped = [part for part in parsed if isinstance(part, Skipped)]
        return Page(
            items=(*map(_in_our_words, events), *skipped),
            newest_s=max((event.at_s for event in events), default=None),
            next_page=None if place is None else str(place),
        )


class _Otlp(BaseModel):
    """Fields as the protocol's JSON spells them."""

    model_config = ConfigDict(alias_generator=to_camel)


class _Value(_Otlp):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: int | None = None
    double_value: float | None = None

    @property
    def plain(self) -> str | float | None:
        given = (self.string_value, self.bool_value, self.int_value, self.double_value)
        return next((value for value in given if value is not None), None)


class _Attribute(_Otlp):
    key: str
    value: _Value = _Value()


class _LogRecord(_Otlp):
    event_name: str = ""
    time_unix_nano: int = 0
    observed_time_unix_nano: int = 0
    trace_id: str = ""
    span_id: str = ""
    attributes: list[_Attribute] = []


class _ScopeLogs(_Otlp):
    log_records: list[_LogRecord] = []


class _ResourceLogs(_Otlp):
    scope_logs: list[_ScopeLogs] = []


class _SpanEvent(_Otlp):
    name: str = ""
    time_unix_nano: int = 0
    attributes: list[_Attribute] = []


class _Span(_Otlp):
    trace_id: str = ""
    span_id: str = ""
    events: list[_SpanEvent] = []


class _ScopeSpans(_Otlp):
    spans: list[_Span] = []


class _ResourceSpans(_Otlp):
    scope_spans: list[_ScopeSpans] = []


class _Export(_Otlp):
    resource_logs: list[_ResourceLogs] = []
    resource_spans: list[_ResourceSpans] = []


@dataclass(frozen=True, slots=True)
class _Event:
    """One evaluation, wherever it was found."""

    at_s: float
    trace_id: str
    span_id: str
    attributes: Mapping[str, str | float | None]

    def text(self, name: str) -> str | None:
        value = self.attributes.get(f"gen_ai.{name}")
        return None if value is None else str(value)

    @property
    def item(self) -> str:
        name, response = self.text("evaluation.name"), self.text("response.id")
        parts = "/".join((self.trace_id, self.span_id, response or "", name or ""))
        return f"otel:{uuid.uuid5(uuid.NAMESPACE_OID, parts)}"


def _parse(document: Document) -> Iterator[_Event | Skipped]:
    try:
        if isinstance(document, bytes):
            export = _Export.model_validate_json(document)
        else:
            export = _Export.model_validate(document)
    except ValidationError as error:
        yield Skipped(item="otel:document", reason=first_problem(error))
        return
    yield from _log_events(export)
    yield from _span_events(export)


def _log_events(export: _Export) -> Iterator[_Event]:
    records = (
        record
        for resource in export.resource_logs
        for scope in resource.scope_logs
        for record in scope.log_records
    )
    for record in records:
        attributes = _plain(record.attributes)
        # Before events had a name of their own, it was an attribute.
        if EVENT_NAME in (record.event_name, attributes.get("event.name")):
            at_s = (record.time_unix_nano or record.observed_time_unix_nano) * _NANOSECONDS
            yield _Event(at_s, record.trace_id.lower(), record.span_id.lower(), attributes)


def _span_events(export: _Export) -> Iterator[_Event]:
    spans = (
        span for resource in export.resource_spans for scope in resource.scope_spans for span in scope.spans
    )
    for span in spans:
        for event in span.events:
            if event.name == EVENT_NAME:
                at_s = event.time_unix_nano * _NANOSECONDS
                yield _Event(at_s, span.trace_id.lower(), span.span_id.lower(), _plain(event.attributes))


def _plain(attributes: Sequence[_Attribute]) -> dict[str, str | float | None]:
    return {attribute.key: attribute.value.plain for attribute in attributes}


def _in_our_words(event: _Event) -> ImportedFeedback | Skipped:
    name, score = event.text("evaluation.name"), event.attributes.get("gen_ai.evaluation.score.value")
    if not name:
        return Skipped(item=event.item, reason="has no gen_ai.evaluation.name")
    if not event.at_s:
        return Skipped(item=event.item, reason="has no time")
    if isinstance(score, str):
        return Skipped(item=event.item, reason=f"gen_ai.evaluation.score.value = {score!r} is no number")
    return imported(
        event.item,
        references=(*_run_reference(event.text("response.id")), *trace_reference(event.trace_id)),
        at=event.at_s,
        key=name,
        source="otel",
        score=score,
        value=event.text("evaluation.score.label"),
        comment=event.text("evaluation.explanation"),
    )


def _run_reference(response_id: str | None) -> tuple[str, ...]:
    """The model's run, where the response is called after it."""
    try:
        return (FeedbackTarget(message_id=response_id).reference(),) if response_id else ()
    except ConfigError:
        return ()
