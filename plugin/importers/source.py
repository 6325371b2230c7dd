"""What an importer reads, and how what it reads reaches the trace store.

An import may be repeated, interrupted and overlap with others: an outcome's id comes from the vendor's own, so
that reading it again says the same again. What was deleted at the vendor's is not taken back, and a run's
feedback that the vendor lists too late for the cursor is found by importing again from an earlier time.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from inframind.errors import ConfigError, StoreError
from inframind.fleet.clock import Clock
from inframind.plugin.feedback import Value, outcome_of
from inframind.traces.aliases import otel_alias
from inframind.traces.codec import check_outcome
from inframind.traces.content import HashedContent
from inframind.traces.records import Outcome
from inframind.traces.store import TraceStore

Payload = TypeVar("Payload", bound=BaseModel)

_TRACE_ID = re.compile(r"[0-9a-fA-F]{32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedFeedback:
    """One piece of feedback, in our words.

    Attributes:
        references: names of the run that it is about, most exact first. The first that the store knows is taken;
            while it knows none, the feedback waits under each of them.
        outcome: what was said.
    """

    references: tuple[str, ...]
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """Something that cannot be taken over.

    Attributes:
        item: the vendor's id of it.
        reason: why not, for people.
    """

    item: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """Where an import goes on.

    Attributes:
        since_s: read what the vendor dates at this time (Unix seconds) or later; None: everything.
        newest_s: newest date read so far, where the next import begins.
        page: where in the list to go on, in the source's own words; "": at its beginning.
    """

    since_s: float | None = None
    newest_s: float | None = None
    page: str = ""

    def to_text(self) -> str:
        """One line of JSON, to keep between imports."""
        return _CURSOR.dump_json(self).decode()

    @classmethod
    def from_text(cls, text: str) -> Cursor:
        """The cursor that `to_text` wrote.

        Raises:
            ConfigError: it did not write this.
        """
        try:
            return _CURSOR.validate_json(text)
        except ValidationError:
            raise ConfigError("cursor", text[:80], "give the cursor that an import reported") from None


_CURSOR = TypeAdapter(Cursor)
START = Cursor()


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Part of a source's list.

    Attributes:
        items: in any order.
        newest_s: latest of the dates by which the source selects, in Unix seconds; None for an empty page.
        next_page: where the list goes on, or None at its end.
    """

    items: tuple[ImportedFeedback | Skipped, ...]
    newest_s: float | None
    next_page: str | None


class FeedbackSource(Protocol):
    """A list of feedback that can be read page by page, from any page on."""

    async def read(self, cursor: Cursor) -> Page:
        """The page that the cursor points to; what the vendor's client raises is raised as it is."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What an import did so far.

    Attributes:
        joined: pieces of feedback that are on their trace now.
        pending: those whose run is not known here; they join when it comes, see `TraceStore.prune_pending`.
        skipped: those that could not be taken over, with the reason.
        cursor: where to go on: with the next page, or at the end of the list with what is new by then.
    """

    joined: int = 0
    pending: int = 0
    skipped: tuple[Skipped, ...] = ()
    cursor: Cursor = START


async def import_feedback(
    source: FeedbackSource, store: TraceStore, *, clock: Clock, since: Cursor = START
) -> ImportReport:
    """Bring a source's feedback to its traces.

    Args:
        source: where it is.
        store: where the traces are.
        clock: bounds the next import's beginning: a date in the future must not hide what comes before it.
        since: where to begin: a time, or the cursor of an earlier import's report.
    """
    report = ImportReport(cursor=since)
    async for latest in import_pages(source, store, clock=clock, since=since):
        report = latest
    return report


async def import_pages(
    source: FeedbackSource,
    store: TraceStore,
    *,
    clock: Clock,
    since: Cursor = START,
    content: HashedContent | None = None,
) -> AsyncIterator[ImportReport]:
    """`import_feedback`, telling after each page what was done so far: keep its cursor to go on from there.

    ``content`` leaves comments out, where texts are not kept.
    """
    report = ImportReport(cursor=since)
    is_last = False
    while not is_last:
        page = _kept(await source.read(report.cursor), content)
        report = await _record(page, store, report)
        report = replace(report, cursor=_after(page, report.cursor, clock))
        is_last = page.next_page is None
        yield report


def _kept(page: Page, content: HashedContent | None) -> Page:
    if content is None:
        return page
    items = [
        replace(item, outcome=content.outcome(item.outcome)) if isinstance(item, ImportedFeedback) else item
        for item in page.items
    ]
    return replace(page, items=tuple(items))


async def _record(page: Page, store: TraceStore, report: ImportReport) -> ImportReport:
    found = [item for item in page.items if isinstance(item, ImportedFeedback)]
    skipped = tuple(item for item in page.items if isinstance(item, Skipped))
    joined = sum([await _join(item, store) for item in found])
    return replace(
        report,
        joined=report.joined + joined,
        pending=report.pending + len(found) - joined,
        skipped=report.skipped + skipped,
    )


async def _join(item: ImportedFeedback, store: TraceStore) -> bool:
    """Whether the run is known; a name that comes to be known meanwhile takes the outcome all the same."""
    for reference in item.references:
        if await store.trace_of(reference) is not None:
            await store.add_outcome(reference, item.outcome)
            return True
    for reference in item.references:
        await store.add_outcome(reference, item.outcome)
    return False


def _after(page: Page, cursor: Cursor, clock: Clock) -> Cursor:
    dates = [date for date in (cursor.newest_s, page.newest_s) if date is not None]
    newest_s = min(max(dates), clock.wall_s()) if dates else None
    if page.next_page is not None:
        return replace(cursor, newest_s=newest_s, page=page.next_page)
    return Cursor(since_s=cursor.since_s if newest_s is None else newest_s)


# For sources ---------------------------------------------------------------------------------------------------


def imported(
    item: str,
    *,
    references: tuple[str, ...],
    at: datetime | float,
    key: str,
    source: str,
    score: float | None = None,
    value: Value | None = None,
    comment: str | None = None,
) -> ImportedFeedback | Skipped:
    """A piece of feedback in our words, or why there is none.

    Args:
        item: the vendor's id with the vendor's name before it, such as ``langsmith:<id>``; the feedback's id here.
        references: see `ImportedFeedback`; none: it is about no run.
        at: when it was said, or last changed.
        key: what is judged.
        source: who says so.
        score: a number.
        value: a label or plain data.
        comment: free text.
    """
    if not references:
        return Skipped(item=item, reason="names no run: neither a trace of 32 hex digits nor a run's UUID")
    try:
        outcome = outcome_of(
            recorded_at_s=as_seconds(at),
            key=key,
            score=score,
            value=value,
            comment=comment,
            feedback_id=item,
            source=source,
        )
        return ImportedFeedback(references=references, outcome=check_outcome(outcome))
    except (ValueError, ConfigError, StoreError) as error:
        return Skipped(item=item, reason=str(error))


def trace_reference(trace_id: str | uuid.UUID | None) -> tuple[str, ...]:
    """A tracker's trace id as a reference, if it is 32 hex digits or a UUID."""
    digits = str(trace_id or "").replace("-", "")
    return (otel_alias(digits),) if _TRACE_ID.fullmatch(digits) else ()


def as_seconds(at: datetime | float) -> float:
    """Unix seconds; a time without a zone is UTC, as vendors mean it."""
    if not isinstance(at, datetime):
        return at
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def as_datetime(at_s: float | None) -> datetime | None:
    """The same instant as vendors' clients take it."""
    return None if at_s is None else datetime.fromtimestamp(at_s, UTC)


def parsed(model: type[Payload], item: Any, vendor: str) -> Payload | Skipped:
    """A vendor's object, or a mapping of the same fields, as the model of it; or why it is none."""
    try:
        return model.model_validate(item)
    except ValidationError as error:
        own_id = item.get("id") if isinstance(item, Mapping) else getattr(item, "id", None)
        return Skipped(item=f"{vendor}:{own_id}", reason=first_problem(error))


def first_problem(error: ValidationError) -> str:
    """What is wrong with a payload, in a line."""
    first: Any = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
