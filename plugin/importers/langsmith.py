"""Feedback from LangSmith. Its client is handed in; nothing of LangSmith is imported here."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from pydantic import BaseModel, ConfigDict

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
from inframind.traces.aliases import run_alias

_PAGE_ITEMS = 100


class LangSmithClient(Protocol):
    """What is needed of `langsmith.Client`."""

    def list_feedback(self, *, limit: int | None = None, **kwargs: Any) -> Iterable[Any]:
        """Feedback objects, or mappings of the same fields, that the query parameters select."""
        ...


class LangSmithFeedback:
    """Feedback of the projects that a LangSmith key may read.

    LangSmith selects by creation date: what is edited later is found by importing again from before it was made.
    Feedback is found by the run that it is on, then by the root of that run. Corrections are not taken over.

    Args:
        client: a `langsmith.Client`; its calls block, and are made on a thread.
        keys: only feedback under these keys; none: every key.
        projects: only feedback in these projects, by their ids; none: every project.
        page_items: how many to ask for at once, 1 to 100.
    """

    def __init__(
        self,
        client: LangSmithClient,
        *,
        keys: Sequence[str] = (),
        projects: Sequence[UUID] = (),
        page_items: int = _PAGE_ITEMS,
    ) -> None:
        self._client, self._page_items = client, page_items
        self._only: dict[str, Any] = {}
        if keys:
            self._only["feedback_key"] = list(keys)
        if projects:
            self._only["session"] = [str(project) for project in projects]

    async def read(self, cursor: Cursor) -> Page:
        """The page that begins at the offset ``cursor.page``."""
        offset = int(cursor.page or 0)
        found = await asyncio.to_thread(self._fetch, offset, cursor.since_s)
        items = [parsed(_Feedback, item, "langsmith") for item in found]
        dates = [as_seconds(item.created_at) for item in items if isinstance(item, _Feedback)]
        is_full = len(found) >= self._page_items
        return Page(
            items=tuple(item if isinstance(item, Skipped) else _in_our_words(item) for item in items),
            newest_s=max(dates, default=None),
            next_page=str(offset + len(found)) if is_full else None,
        )

    def _fetch(self, offset: int, since_s: float | None) -> list[Any]:
        since = as_datetime(since_s)
        only = self._only if since is None else {**self._only, "min_created_at": since.isoformat()}
        return list(self._client.list_feedback(limit=self._page_items, offset=offset, **only))


class _Source(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    type: str = "api"


class _Feedback(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: UUID
    created_at: datetime
    modified_at: datetime
    run_id: UUID | None = None
    trace_id: UUID | None = None
    key: str
    score: bool | float | None = None
    value: str | bool | int | float | dict[str, Any] | None = None
    comment: str | None = None
    feedback_source: _Source | None = None


def _in_our_words(feedback: _Feedback) -> ImportedFeedback | Skipped:
    run = (run_alias(feedback.run_id),) if feedback.run_id else ()
    root = trace_reference(feedback.trace_id)
    return imported(
        f"langsmith:{feedback.id}",
        references=(*run, *root),
        at=feedback.modified_at,
        key=feedback.key,
        source=f"langsmith:{feedback.feedback_source.type if feedback.feedback_source else 'api'}",
        score=feedback.score,
        value=feedback.value,
        comment=feedback.comment,
    )
