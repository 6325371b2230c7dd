"""``inframind traces`` and ``explain``: what the store holds, for people."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import typer
from rich.console import Console
from rich.text import Text

from inframind.errors import ConfigError
from inframind.fleet.clock import Clock
from inframind.plugin.config import load_settings
from inframind.plugin.explain import explanation
from inframind.plugin.fitted_table import Column, FittedTable, Row
from inframind.plugin.terminal import latency_text, one_line, safe, seconds, solved_text
from inframind.traces.codec import encode
from inframind.traces.content import HashedContent
from inframind.traces.export import Exported, export_jsonl, export_rows
from inframind.traces.mishaps import ErrorEvent, errors_of
from inframind.traces.query import TraceQuery, TraceSummary
from inframind.traces.records import SOLVED_ONLY, SolvedKeys, Step, Trajectory
from inframind.traces.store import POSTGRES_PREFIXES, TraceStore, open_store
from inframind.traces.training_rows import TrainingRows

SOURCE = "cli"
_AGO = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_UNIT_S: Mapping[str, float] = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class StorePlace:
    """Where to find the store: ``store`` (a URL or a ``.db`` path) or else what the configuration says."""

    config: Path
    store: str | None = None

    def content(self) -> HashedContent | None:
        """Who leaves texts out of what is written, where the configuration wants that."""
        if self.store is not None:
            return None
        settings = load_settings(self.config)
        if settings.traces.content == "store":
            return None
        from inframind.plugin.build import content_of

        return content_of(settings)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[TraceStore]:
        """The store, open.

        Raises:
            ConfigError: a file that does not exist; a reader must not create it.
        """
        if self.store is None:
            url = load_settings(self.config).traces.url
        else:
            url = self.store
            path = Path(url.removeprefix("sqlite:///"))
            is_file = url != "memory:" and not url.startswith(POSTGRES_PREFIXES)
            if is_file and not await asyncio.to_thread(path.exists):
                raise ConfigError("store", str(path), "no such file; give the one that --config names")
        async with open_store(url) as store:
            yield store


def by_our_keys(place: StorePlace, query: TraceQuery) -> TraceQuery:
    """The query, with the configuration's word on what says that a run was solved."""
    return query if place.store is not None else replace(query, solved_keys=solved_keys_of(place))


def solved_keys_of(place: StorePlace) -> SolvedKeys:
    """What says that a run was solved: by the configuration, or where none is read, ``solved`` alone."""
    if place.store is not None:
        return SOLVED_ONLY
    return SolvedKeys(load_settings(place.config).feedback.solved_keys)


def since(text: str, clock: Clock) -> float:
    """An instant in seconds since the Unix epoch from ``90s``, ``15m``, ``2h``, ``7d`` (ago) or an ISO time.

    Raises:
        ConfigError: neither.
    """
    ago = _AGO.fullmatch(text.strip())
    if ago:
        return clock.wall_s() - float(ago[1]) * _UNIT_S[ago[2]]
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise ConfigError(
            "since", text, "write 90s, 15m, 2h, 7d, or a time such as 2026-01-31T09:00"
        ) from None


def list_traces(place: StorePlace, query: TraceQuery, *, as_json: bool, console: Console) -> None:
    """Print a table, or one JSON object a line."""
    if as_json:
        for line in asyncio.run(_encoded(place, by_our_keys(place, query))):
            typer.echo(line)
        return
    listing = asyncio.run(_list(place, by_our_keys(place, query)))
    if not listing.summaries:
        has_others = listing.stored > 0
        console.print("no traces match" if has_others else "no traces yet; `inframind run` makes one")
        return
    console.print(_listing(listing.summaries))
    if listing.has_more:
        shown = len(listing.summaries)
        console.print(Text(f"the newest {shown:,}; there are more, which a higher --limit shows", "dim"))


def show_trace(place: StorePlace, trace_id: str, *, as_json: bool, console: Console) -> None:
    """Print one trace: as it is stored, or its steps as a table."""
    trajectory = asyncio.run(_fetch(place, trace_id))
    if as_json:
        typer.echo(encode(trajectory))
        return
    for line in _facts(trajectory):
        console.print(line)
    console.print(_steps(trajectory))


def explain_trace(place: StorePlace, trace_id: str, *, show_all: bool, console: Console) -> None:
    """Print why a run went the way it went."""
    console.print(explanation(asyncio.run(_fetch(place, trace_id)), show_all=show_all))


def prune_traces(
    place: StorePlace, before: str | None, clock: Clock, *, dry_run: bool, console: Console
) -> None:
    """Forget old traces, by ``before`` or by the configuration's ``retention_days``, and say how many.

    Raises:
        ConfigError: neither says what is old.
    """
    before_s = since(before, clock) if before else _retained_since_s(place, clock)

    async def prune() -> int:
        async with place.opened() as store:
            return await store.prune(before_s=before_s, dry_run=dry_run)

    words = "traces that would be forgotten" if dry_run else "traces forgotten"
    console.print(f"{words}: {asyncio.run(prune()):,}")


def _retained_since_s(place: StorePlace, clock: Clock) -> float:
    days = None if place.store is not None else load_settings(place.config).traces.retention_days
    if days is None:
        raise ConfigError("before", None, "say --before 90d, or set retention_days under [traces]")
    return clock.wall_s() - days * _UNIT_S["d"]


def close_traces(place: StorePlace, before: str, clock: Clock, *, console: Console) -> None:
    """Close open runs that nobody resumes, and say how many."""
    before_s = since(before, clock)

    async def close() -> int:
        async with place.opened() as store:
            return await store.close_abandoned(before_s=before_s)

    console.print(f"open traces closed as cancelled: {asyncio.run(close()):,}")


def export_traces(
    place: StorePlace, target: Path, query: TraceQuery, *, force: bool, console: Console
) -> None:
    """Write traces to a JSON Lines file.

    Raises:
        ConfigError: the file exists and ``force`` is not given.
    """
    _require_free(target, force)
    count = asyncio.run(_export(place, target, by_our_keys(place, query)))
    console.print(f"{count:,} traces written to {target}")


def export_training(
    place: StorePlace, target: Path, rows: TrainingRows, query: TraceQuery, *, force: bool, console: Console
) -> None:
    """Write rows to train on to a JSON Lines or Parquet file.

    Raises:
        ConfigError: the file exists and ``force`` is not given, or its name ends otherwise.
    """
    _require_free(target, force)
    if target.suffix not in (".jsonl", ".parquet"):
        raise ConfigError("file", str(target), "end the name in .jsonl or .parquet")
    query = by_our_keys(place, query)
    rows = replace(rows, solved_keys=query.solved_keys)
    done = asyncio.run(_export_rows(place, target, rows, query))
    console.print(f"{done.rows:,} rows written to {target}")
    if done.without_texts:
        console.print(f"{done.without_texts:,} traces without texts (content = hash) left out")
    if not done.rows:
        console.print(Text(_why_empty(rows), "dim"))


def _why_empty(rows: TrainingRows) -> str:
    if rows.shape == "pairs":
        return "a pair needs two answers to the same question, one with a better verdict than the other"
    if rows.reward.startswith("key:"):
        return f"only runs with a score under {rows.reward.removeprefix('key:')!r} make rows"
    return "only runs with an answer and a verdict make rows; --unlabelled takes the others too"


def _require_free(target: Path, force: bool) -> None:
    if target.exists() and not force:
        raise ConfigError("file", str(target), "the file exists; --force replaces it")


# Reading ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Listing:
    """The traces of one page, whether others match too, and how many the store holds in all."""

    summaries: list[TraceSummary]
    has_more: bool
    stored: int


async def _list(place: StorePlace, query: TraceQuery) -> _Listing:
    """One trace more than asked for tells whether there are others, at no cost of counting them."""
    limit = query.limit
    one_more = query if limit is None else replace(query, limit=limit + 1)
    async with place.opened() as store:
        found = await store.list(one_more)
        summaries = found[:limit]
        return _Listing(summaries, len(found) > len(summaries), await store.count())


async def _encoded(place: StorePlace, query: TraceQuery) -> list[bytes]:
    async with place.opened() as store:
        return [encode(trajectory) async for trajectory in store.iter(query)]


async def _fetch(place: StorePlace, trace_id: str) -> Trajectory:
    async with place.opened() as store:
        return await store.get(await store.resolve(trace_id))


async def _export(place: StorePlace, target: Path, query: TraceQuery) -> int:
    async with place.opened() as store:
        return await export_jsonl(store, target, query)


async def _export_rows(place: StorePlace, target: Path, rows: TrainingRows, query: TraceQuery) -> Exported:
    async with place.opened() as store:
        return await export_rows(store, target, rows, query)


# Showing ---------------------------------------------------------------------------------------------------


_LISTING_COLUMNS = (
    Column(name="trace"),
    Column(name="arrived", leave_out=4),
    Column(name="status"),
    Column(name="topology", leave_out=3),
    Column(name="latency", leave_out=5),
    Column(name="verdict", leave_out=2),
    Column(name="question", leave_out=1, may_cut=True),
)


def _listing(summaries: list[TraceSummary]) -> FittedTable:
    return FittedTable(_LISTING_COLUMNS, [_listing_row(summary) for summary in summaries])


def _listing_row(summary: TraceSummary) -> Row:
    is_late = summary.status not in ("ok", "open") or summary.latency_s > summary.budget_s
    cells = (
        Text(summary.trace_id[:12]),
        Text(_local_minute(summary.arrived_at_s)),
        Text(summary.status, {"ok": "green", "open": "yellow"}.get(summary.status, "red")),
        Text(summary.topology or "-"),
        latency_text(summary.latency_s, summary.budget_s, is_late=is_late),
        solved_text(summary.solved),
        Text(one_line(summary.question, 60)),
    )
    return Row(cells)


def _facts(trajectory: Trajectory) -> list[Text]:
    is_late = not trajectory.on_time and (
        trajectory.status != "open" or trajectory.latency_s > trajectory.budget_s
    )
    status = Text(f"{trajectory.status}: ")
    status.append_text(latency_text(trajectory.latency_s, trajectory.budget_s, is_late=is_late))
    status.append(f"; {trajectory.topology or 'no plan'} ({', '.join(trajectory.team)}); ")
    status.append_text(solved_text(trajectory.solved))
    lines = [
        Text(f"{trajectory.trace_id}  {_local_time(trajectory.arrived_at_s)}", "bold"),
        status,
        Text(f"question: {one_line(trajectory.question, 400)}"),
        Text(f"answer: {one_line(trajectory.answer, 400) or 'none'}"),
    ]
    if trajectory.tools:
        told = [
            f"{tool.name or 'a tool'} {seconds(tool.finished_s - tool.started_s)}"
            + (f" failed ({tool.error})" if tool.error else "")
            for tool in trajectory.tools
        ]
        lines.append(Text(f"tools: {one_line(', '.join(told), 400)}"))
    lines += [Text(_mishap(event), "yellow" if event.recovered else "red") for event in errors_of(trajectory)]
    return lines


def _mishap(event: ErrorEvent) -> str:
    where = f" at {event.where}" if event.where else ""
    recovered = " (recovered)" if event.recovered else ""
    detail = f": {one_line(event.detail, 400)}" if event.detail else ""
    return f"{event.error}{where}{recovered}{detail}"


_STEP_COLUMNS = (
    Column(name="step"),
    Column(name="who", leave_out=6),
    Column(name="model"),
    Column(name="strategy"),
    Column(name="endpoint", leave_out=3),
    Column(name="started", leave_out=1),
    Column(name="ttft", leave_out=2),
    Column(name="latency", leave_out=7),
    Column(name="tokens", leave_out=5),
    Column(name="answer", leave_out=4, may_cut=True),
)


def _steps(trajectory: Trajectory) -> FittedTable:
    steps = sorted(trajectory.steps, key=lambda step: step.step_id)
    return FittedTable(_STEP_COLUMNS, [_step_row(step) for step in steps])


def _step_row(step: Step) -> Row:
    cells = (
        str(step.step_id),
        "judge" if step.kind == "judge" else f"{safe(step.role)} {step.position + 1}, round {step.round}",
        safe(step.served_model or step.model),
        step.strategy,
        step.endpoint or "-",
        seconds(step.started_s),
        seconds(step.ttft_s),
        seconds(step.latency_s),
        "-" if step.completion_tokens is None else str(step.completion_tokens),
        _outcome_of(step),
    )
    return Row(tuple(Text(cell) for cell in cells), style="red" if step.error else "")


def _outcome_of(step: Step) -> str:
    failovers = f" ({len(step.attempts)} failed over)" if step.attempts else ""
    return f"{one_line(step.error or step.answer, 50)}{failovers}"


def _local_time(wall_s: float) -> str:
    return datetime.fromtimestamp(wall_s).strftime("%Y-%m-%d %H:%M:%S")


def _local_minute(wall_s: float) -> str:
    return datetime.fromtimestamp(wall_s).strftime("%Y-%m-%d %H:%M")
