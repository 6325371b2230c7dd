"""``inframind feedback`` and ``inframind traces import``: how runs turned out, said here or brought from elsewhere."""

from __future__ import annotations

import asyncio
import importlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING
from uuid import UUID

from rich.console import Console
from rich.text import Text

from inframind.errors import ConfigError
from inframind.fleet.clock import Clock
from inframind.plugin.commands.traces import SOURCE, StorePlace, solved_keys_of
from inframind.plugin.feedback import outcome_of
from inframind.plugin.importers.source import START, Cursor, FeedbackSource, ImportReport, import_pages
from inframind.plugin.references import FeedbackTarget
from inframind.plugin.terminal import safe
from inframind.traces.records import Outcome, SolvedKeys

if TYPE_CHECKING:
    from inframind.plugin.importers.langfuse import LangfuseFeedback
    from inframind.plugin.importers.langsmith import LangSmithFeedback
    from inframind.plugin.importers.otel import OtelEvaluations

_FEW = 5


def give_feedback(
    place: StorePlace,
    about: str | None,
    *,
    thread: str | None,
    solved: bool | None,
    key: str | None,
    score: float | None,
    value: str | None,
    comment: str,
    clock: Clock,
    console: Console,
) -> None:
    """Record an outcome on a run: by its trace id or the beginning of it, a message's or run's id, or a thread.

    Raises:
        ConfigError: not exactly one of ``about`` and ``thread``, or of no known form.
        UnknownTrace: the beginning of no stored trace's id, or a thread without a known run.
    """
    if (about is None) == (thread is None):
        raise ConfigError("feedback", about, "say which run: its trace, message or run id, or --thread")
    target = FeedbackTarget(thread_id=thread) if about is None else FeedbackTarget.of(about)
    outcome = outcome_of(
        recorded_at_s=clock.wall_s(),
        solved=solved,
        key=key,
        score=score,
        value=value,
        comment=comment,
        source=SOURCE,
    )
    console.print(Text(safe(asyncio.run(_record(place, target, outcome)))))
    if hint := _says_nothing_of_solved(outcome, solved_keys_of(place)):
        console.print(Text(safe(hint), "dim"))


def _says_nothing_of_solved(outcome: Outcome, keys: SolvedKeys) -> str:
    """Why the run's verdict is what it was, and what would change it; "" where feedback counts, or only comments."""
    if outcome.score is None and outcome.value is None:
        return ""
    if outcome.score is None:
        return "whether the run was solved is not said by labels: give a score, or --solved"
    if any(key == outcome.key for key, _ in keys.thresholds):
        return ""
    counts = ", ".join(key for key, _ in keys.thresholds)
    example = f"[feedback] solved_keys = {{{json.dumps(outcome.key)} = 0.5}}"
    return (
        f"whether the run was solved is not said by it, but by {counts}: with {example} in the configuration, "
        "scores from 0.5 on would say so"
    )


async def _record(place: StorePlace, target: FeedbackTarget, outcome: Outcome) -> str:
    async with place.opened() as store:
        reference = await target.resolve(store)
        content = place.content()
        await store.add_outcome(reference, outcome if content is None else content.outcome(outcome))
        is_known = await store.trace_of(reference) is not None
    said = outcome.value if outcome.score is None else f"{outcome.score:g}"
    what = outcome.key if said is None else f"{outcome.key} = {said}"
    where = (
        f"on {reference}" if is_known else f"for {reference}, which is not known yet: it waits for that run"
    )
    return f"{what} recorded {where}"


# Importing -------------------------------------------------------------------------------------------------


def import_feedback_from(
    place: StorePlace,
    source: FeedbackSource,
    *,
    since_s: float | None,
    cursor_file: Path | None,
    clock: Clock,
    console: Console,
) -> None:
    """Bring a source's feedback to the traces, and say what became of it.

    Args:
        place: the store.
        source: where the feedback is.
        since_s: Unix seconds; wins over the file's cursor, to read again what was edited meanwhile.
        cursor_file: where the last import ended, written after each page; made when there is none.
        clock: time.
        console: where to print.

    Raises:
        ConfigError: a cursor file that no import wrote.
    """
    start = (
        START
        if cursor_file is None or not cursor_file.exists()
        else Cursor.from_text(cursor_file.read_text())
    )
    if since_s is not None:
        start = Cursor(since_s=since_s)
    report, pending = asyncio.run(_import(place, source, start, cursor_file, clock))
    for line in _report_lines(report, pending):
        console.print(safe(line))


async def _import(
    place: StorePlace, source: FeedbackSource, start: Cursor, cursor_file: Path | None, clock: Clock
) -> tuple[ImportReport, int]:
    report = ImportReport(cursor=start)
    async with place.opened() as store:
        async for latest in import_pages(source, store, clock=clock, since=start, content=place.content()):
            report = latest
            if cursor_file is not None:
                await asyncio.to_thread(_write_whole, cursor_file, report.cursor.to_text() + "\n")
        return report, await store.count_pending()


def _write_whole(path: Path, text: str) -> None:
    """Never half of it, whenever the process ends."""
    beside = path.with_name(path.name + ".new")
    beside.write_text(text)
    beside.replace(path)


def _report_lines(report: ImportReport, pending: int) -> list[str]:
    lines = [
        f"{report.joined:,} joined their traces, {report.pending:,} wait for runs that are not known yet "
        f"({pending:,} outcomes wait in all), {len(report.skipped):,} skipped"
    ]
    reasons = Counter(skipped.reason for skipped in report.skipped)
    lines += [f"skipped {count:,}: {reason}" for reason, count in reasons.most_common(_FEW)]
    if len(reasons) > _FEW:
        lines.append(f"skipped for {len(reasons) - _FEW:,} further reasons")
    return lines


def langsmith_source(*, keys: Sequence[str] = (), projects: Sequence[UUID] = ()) -> LangSmithFeedback:
    """Feedback that LangSmith's own environment variables give access to."""
    from inframind.plugin.importers.langsmith import LangSmithFeedback

    return LangSmithFeedback(_module("langsmith").Client(), keys=keys, projects=projects)


def langfuse_source(*, names: Sequence[str] = ()) -> LangfuseFeedback:
    """Scores that Langfuse's own environment variables give access to."""
    from inframind.plugin.importers.langfuse import LangfuseFeedback

    return LangfuseFeedback(_module("langfuse").get_client().api.scores, names=names)


def otel_source(path: Path) -> OtelEvaluations:
    """Evaluation events in a file of OTLP/JSON lines.

    Raises:
        ConfigError: there is no such file.
    """
    from inframind.plugin.importers.otel import OtelEvaluations, OtlpJsonFile

    return OtelEvaluations(OtlpJsonFile(path))


def prune_pending(place: StorePlace, *, before_s: float, console: Console) -> None:
    """Forget feedback recorded before a time (Unix seconds) whose run never came."""

    async def prune() -> int:
        async with place.opened() as store:
            before = await store.count_pending()
            await store.prune_pending(before_s=before_s)
            return before - await store.count_pending()

    console.print(f"outcomes forgotten, as their run never came: {asyncio.run(prune()):,}")


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        raise ConfigError("source", name, f"its client is missing: pip install 'inframind[{name}]'") from None
