"""What every importer promises, run over each with payloads that tell the same story in its vendor's words."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from langsmith.schemas import Feedback

from inframind.errors import ConfigError
from inframind.fleet.clock import SystemClock
from inframind.plugin.importers.langfuse import LangfuseFeedback
from inframind.plugin.importers.langsmith import LangSmithFeedback
from inframind.plugin.importers.otel import Document, OtelEvaluations
from inframind.plugin.importers.source import (
    START,
    Cursor,
    FeedbackSource,
    ImportReport,
    import_feedback,
    import_pages,
)
from inframind.traces.aliases import run_alias
from inframind.traces.records import Trajectory
from inframind.traces.store import TraceStore, open_store

PAYLOADS = Path(__file__).parent / "payloads"
CLOCK = SystemClock()

# The story: T1 has one model's run, L1. Said are thumbs on T1, correctness on L1, tone and helpful on T2, and
# something that cannot be taken over.
T1, L1, T2 = (
    "1" * 8 + "111141118111" + "1" * 12,
    "2" * 8 + "222242228222" + "2" * 12,
    "3" * 8 + "333343338333" + "3" * 12,
)
AT_S = 1772359200.5
MINUTE_S = 60.0


class RecordedLangSmith:
    """Answers from recorded items as the service does: filtered by creation, from an offset on."""

    def __init__(self, items: list[dict[str, Any]]) -> None:
        self._items = items

    def list_feedback(
        self, *, limit: int | None = None, offset: int = 0, min_created_at: str | None = None
    ) -> list[Feedback]:
        found = [Feedback(**item) for item in self._items]
        if min_created_at is not None:
            found = [item for item in found if item.created_at >= datetime.fromisoformat(min_created_at)]
        return found[offset:][:limit]


class RecordedLangfuse:
    """Answers from recorded items as the service does: filtered by time, page by page behind an opaque cursor."""

    def __init__(self, items: list[dict[str, Any]]) -> None:
        self._items = items

    def get_many(
        self,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        fields: str | None = None,
        name: str | None = None,
        from_timestamp: datetime | None = None,
    ) -> dict[str, Any]:
        assert fields is not None and {"details", "subject"} <= set(fields.split(","))
        found = [
            item
            for item in self._items
            if from_timestamp is None or datetime.fromisoformat(item["timestamp"]) >= from_timestamp
        ]
        start = int(cursor.removeprefix("opaque-")) if cursor else 0
        end = start + (limit or 50)
        meta = {"limit": limit} | ({"cursor": f"opaque-{end}"} if end < len(found) else {})
        return {"data": found[start:end], "meta": meta}


class RecordedDocuments:
    """Recorded export requests."""

    def __init__(self, documents: list[dict[str, Any]]) -> None:
        self._documents = documents

    def read(self, place: int, limit: int) -> tuple[Sequence[Document], int | None]:
        end = place + limit
        return self._documents[place:end], end if end < len(self._documents) else None


@dataclass(frozen=True)
class Vendor:
    name: str
    open: Callable[[list[dict[str, Any]], int], FeedbackSource]

    def source(self, payload: str = "", *, page: int = 100, reverse: bool = False) -> FeedbackSource:
        items = json.loads((PAYLOADS / f"{self.name}{payload}.json").read_text())
        return self.open(items[::-1] if reverse else items, page)


VENDORS = (
    Vendor("langsmith", lambda items, page: LangSmithFeedback(RecordedLangSmith(items), page_items=page)),
    Vendor("langfuse", lambda items, page: LangfuseFeedback(RecordedLangfuse(items), page_items=page)),
    Vendor("otel", lambda items, page: OtelEvaluations(RecordedDocuments(items), page_documents=page)),
)


@pytest.fixture(params=VENDORS, ids=lambda vendor: vendor.name)
def vendor(request: pytest.FixtureRequest) -> Vendor:
    found: Vendor = request.param
    return found


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[TraceStore]:
    url = {"memory": "memory:", "sqlite": f"sqlite:///{tmp_path / 'traces.db'}"}[request.param]
    async with open_store(url) as opened:
        yield opened


async def put_run(store: TraceStore, trace_id: str) -> None:
    await store.put(Trajectory(trace_id=trace_id, question="q", arrived_at_s=AT_S, budget_s=9.0))
    if trace_id == T1:
        await store.add_alias(run_alias(uuid.UUID(L1)), T1)


async def said(store: TraceStore, trace_id: str) -> list[tuple[str, float | None, str | None, str, float]]:
    outcomes = (await store.get(trace_id)).outcomes
    return [(o.key, o.score, o.value, o.comment, (o.recorded_at_s - AT_S) / MINUTE_S) for o in outcomes]


def counts(report: ImportReport) -> tuple[int, int, int]:
    return report.joined, report.pending, len(report.skipped)


ON_T1 = [("thumbs", 1.0, None, "", 1.0), ("correctness", 0.25, None, "wrong unit", 3.0)]
ON_T2 = [("tone", None, "rude", "", 5.0), ("helpful", 1.0, None, "", 7.0)]


async def test_feedback_joins_its_runs(vendor: Vendor, store: TraceStore) -> None:
    await put_run(store, T1)
    await put_run(store, T2)
    report = await import_feedback(vendor.source(), store, clock=CLOCK)
    assert counts(report) == (4, 0, 1)
    assert (await said(store, T1), await said(store, T2)) == (ON_T1, ON_T2)
    assert await store.count_pending() == 0


async def test_outcomes_say_where_they_come_from(vendor: Vendor, store: TraceStore) -> None:
    await put_run(store, T1)
    await import_feedback(vendor.source(), store, clock=CLOCK)
    outcomes = (await store.get(T1)).outcomes
    assert all(
        o.source.startswith(vendor.name) and o.feedback_id.startswith(f"{vendor.name}:") for o in outcomes
    )


async def test_early_feedback_joins_when_its_runs_come(vendor: Vendor, store: TraceStore) -> None:
    report = await import_feedback(vendor.source(), store, clock=CLOCK)
    assert counts(report) == (0, 4, 1)
    await put_run(store, T1)
    await put_run(store, T2)
    assert (await said(store, T1), await said(store, T2)) == (ON_T1, ON_T2)


async def test_importing_again_changes_nothing(vendor: Vendor, store: TraceStore) -> None:
    await put_run(store, T1)
    await import_feedback(vendor.source(), store, clock=CLOCK)
    await put_run(store, T2)
    for _ in range(2):
        assert counts(await import_feedback(vendor.source(), store, clock=CLOCK)) == (4, 0, 1)
    assert (await said(store, T1), await said(store, T2)) == (ON_T1, ON_T2)


async def test_an_edit_replaces_whatever_the_order_of_the_imports(vendor: Vendor, store: TraceStore) -> None:
    await put_run(store, T1)
    for payload in ("_edited", "", "_edited", ""):
        await import_feedback(vendor.source(payload), store, clock=CLOCK)
    assert await said(store, T1) == [ON_T1[1], ("thumbs", 0.0, None, "on reflection, no", 30.0)]


@pytest.mark.parametrize("page", [1, 2, 100])
@pytest.mark.parametrize("reverse", [False, True])
async def test_neither_pages_nor_their_order_matter(
    vendor: Vendor, store: TraceStore, page: int, reverse: bool
) -> None:
    await put_run(store, T1)
    await put_run(store, T2)
    report = await import_feedback(vendor.source(page=page, reverse=reverse), store, clock=CLOCK)
    assert counts(report) == (4, 0, 1)
    assert (await said(store, T1), await said(store, T2)) == (ON_T1, ON_T2)


async def test_an_interrupted_import_goes_on_from_its_last_page(vendor: Vendor, store: TraceStore) -> None:
    await put_run(store, T1)
    await put_run(store, T2)
    pages = import_pages(vendor.source(page=2), store, clock=CLOCK)
    interrupted = await anext(pages)
    await pages.aclose()
    resumed_at = Cursor.from_text(interrupted.cursor.to_text())
    rest = await import_feedback(vendor.source(page=2), store, clock=CLOCK, since=resumed_at)
    assert rest.joined == 4 - interrupted.joined
    assert (await said(store, T1), await said(store, T2)) == (ON_T1, ON_T2)


async def test_a_finished_import_goes_on_with_what_is_new(vendor: Vendor, store: TraceStore) -> None:
    await put_run(store, T2)
    first = await import_feedback(vendor.source(page=2), store, clock=CLOCK)
    assert first.cursor.page == ""
    assert first.cursor.since_s is not None
    again = await import_feedback(vendor.source(page=2), store, clock=CLOCK, since=first.cursor)
    assert again.joined + again.pending + len(again.skipped) == 1
    assert again.cursor == first.cursor


async def test_a_time_leaves_out_what_is_older(vendor: Vendor, store: TraceStore) -> None:
    await put_run(store, T1)
    await put_run(store, T2)
    since = Cursor(since_s=AT_S + 5 * MINUTE_S)
    report = await import_feedback(vendor.source(), store, clock=CLOCK, since=since)
    assert counts(report) == (2, 0, 1)
    assert (await said(store, T1), await said(store, T2)) == ([], ON_T2)


class Early:
    """A clock behind the vendor's dates."""

    def now_s(self) -> float:
        return 0.0

    def wall_s(self) -> float:
        return AT_S


async def test_dates_in_the_future_do_not_hide_what_comes_before_them(
    vendor: Vendor, store: TraceStore
) -> None:
    report = await import_feedback(vendor.source(), store, clock=Early())
    assert report.cursor == Cursor(since_s=AT_S)


async def test_an_empty_list_leaves_the_cursor_where_it_was(vendor: Vendor, store: TraceStore) -> None:
    for since in (START, Cursor(since_s=5.0)):
        report = await import_feedback(vendor.open([], 100), store, clock=CLOCK, since=since)
        assert report == ImportReport(cursor=since)


@pytest.mark.parametrize("text", ["", "{", '{"since_s": "soon"}', '"7"'])
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="cursor"):
        Cursor.from_text(text)
