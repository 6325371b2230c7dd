"""Scores from Langfuse. Its client is handed in; nothing of Langfuse is imported here."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from pydantic import AliasChoices, AliasGenerator, BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from inframind.plugin.importers.source import (
    Cursor,
    ImportedFeedback,
    Page,
    Skipped,
    as_datetime,
    as_seconds,
    imported,
    parsed,
    trace_reference,
)

_PAGE_ITEMS = 100
_FIELDS = "details,subject,annotation"
_NUMBERS, _LABELS = ("NUMERIC", "BOOLEAN"), ("CATEGORICAL", "TEXT")


class LangfuseScores(Protocol):
    """What is needed of ``Langfuse().api.scores`` (SDK 5, scores API v3)."""

    def get_many(
        self,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        fields: str | None = None,
        name: str | None = None,
        from_timestamp: datetime | None = None,
    ) -> Any:
        """A response with ``data``, a list of scores, and ``meta.cursor``, absent on the last page."""
        ...


class LangfuseFeedback:
    """Scores of the project that a Langfuse key may read.

    A score on a trace or an observation is found by the trace's id, which is ours where the application gave it
    so, or else an OpenTelemetry trace that was registered as an alias. A score on a session is skipped: it is
    about no single run, and the session's latest run is another one at the next import. So are scores on
    experiments, and corrections.

    Args:
        scores: ``Langfuse().api.scores``; its calls block, and are made on a thread.
        names: only scores of these names; none: all.
        page_items: how many to ask for at once, 1 to 100.
    """

    def __init__(
        self, scores: LangfuseScores, *, names: Sequence[str] = (), page_items: int = _PAGE_ITEMS
    ) -> None:
        self._scores, self._page_items = scores, page_items
        self._name = ",".join(names) or None

    async def read(self, cursor: Cursor) -> Page:
        """The page that Langfuse's own cursor ``cursor.page`` points to."""
        response = await asyncio.to_thread(
            self._scores.get_many,
            limit=self._page_items,
            cursor=cursor.page or None,
            fields=_FIELDS,
            name=self._name,
            from_timestamp=as_datetime(cursor.since_s),
        )
        listed = _Response.model_validate(response)
        items = [parsed(_Score, item, "langfuse") for item in listed.data]
        dates = [as_seconds(item.timestamp) for item in items if isinstance(item, _Score)]
        return Page(
            items=tuple(item if isinstance(item, Skipped) else _in_our_words(item) for item in items),
            newest_s=max(dates, default=None),
            next_page=listed.meta.cursor,
        )


class _Payload(BaseModel):
    """Fields as the API spells them, or as the SDK's objects do."""

    model_config = ConfigDict(
        from_attributes=True,
        alias_generator=AliasGenerator(validation_alias=lambda name: AliasChoices(name, to_camel(name))),
    )


class _Meta(_Payload):
    cursor: str | None = None


class _Response(_Payload):
    data: list[Any]
    meta: _Meta


class _Subject(_Payload):
    kind: str
    id: str
    trace_id: str | None = None


class _Score(_Payload):
    """Either shape: ``subject`` and one typed value (v3), or flat ids and ``stringValue`` (v2)."""

    id: str
    name: str
    timestamp: datetime
    updated_at: datetime | None = None
    data_type: str
    value: bool | float | str | None = None
    string_value: str | None = None
    comment: str | None = None
    source: str = "API"
    subject: _Subject | None = None
    trace_id: str | None = None
    session_id: str | None = None

    @property
    def item(self) -> str:
        return f"langfuse:{self.id}"

    @property
    def trace(self) -> str | None:
        """The trace that it is about."""
        if self.subject is None:
            return self.trace_id
        return self.subject.id if self.subject.kind == "trace" else self.subject.trace_id

    @property
    def kind(self) -> str:
        """What it is about."""
        if self.subject is not None:
            return self.subject.kind
        return "trace" if self.trace_id or not self.session_id else "session"


def _in_our_words(score: _Score) -> ImportedFeedback | Skipped:
    if score.kind not in ("trace", "observation"):
        return Skipped(item=score.item, reason=f"about a whole {score.kind}, not about one run")
    if score.data_type not in (*_NUMBERS, *_LABELS):
        return Skipped(item=score.item, reason=f"scores of type {score.data_type} are not taken over")
    is_number = score.data_type in _NUMBERS
    if is_number and not isinstance(score.value, (bool, int, float)):
        return Skipped(item=score.item, reason=f"a {score.data_type} score without a number")
    # A category's own number is its place in a configuration, and 0 without one: it says nothing here.
    label = score.string_value if score.string_value is not None else score.value
    return imported(
        score.item,
        references=trace_reference(score.trace),
        at=score.updated_at or score.timestamp,
        key=score.name,
        source=f"langfuse:{score.source.lower()}",
        score=float(score.value or 0) if is_number else None,
        value=None if is_number else label,
        comment=score.comment,
    )
