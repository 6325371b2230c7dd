"""``inframind traces``, ``explain`` and ``feedback``: what the store holds, for people."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from inframind.errors import ConfigError
from inframind.fleet.clock import Clock
from inframind.plugin.config import load_settings
from inframind.plugin.explain import explanation
from inframind.plugin.feedback import feedback_outcome
from inframind.plugin.terminal import latency_text, one_line, safe, seconds, solved_text
from inframind.traces.codec import encode
from inframind.traces.export import export_jsonl
from inframind.traces.query import TraceQuery, TraceSummary
from inframind.traces.records import Step, Trajectory
from inframind.traces.store import TraceStore, open_store

SOURCE = "cli"
_AGO = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_UNIT_S: Mapping[str, float] = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class StorePlace:
    """Where to find the store: ``store`` (a URL or a ``.db`` path) or else what the configuration says."""

    config: Path
    store: str | None = None

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
            if url != "memory:" and not await asyncio.to_thread(path.exists):
                raise ConfigError("store", str(path), "no such file; give the one that --config names")
        async with open_store(url) as store:
            yield store


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
        for line in asyncio.run(_encoded(place, query)):
            typer.echo(line)
        return
    summaries, total = asyncio.run(_summaries(place, query))
    if not summaries:
        console.print("no traces match" if total else "no traces yet; `inframind run` makes one")
        return
    console.print(_listing(summaries))
    if len(summaries) < total:
        console.print(Text(f"{len(summaries)} of {total:,} traces; --limit shows more", "dim"))


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


def export_traces(place: StorePlace, target: Path, query: TraceQuery, *, console: Console) -> None:
    """Write traces to a JSON Lines file."""
    count = asyncio.run(_export(place, target, query))
    console.print(f"{count:,} traces written to {target}")


def give_feedback(
    place: StorePlace,
    trace_id: str,
    *,
    solved: bool | None,
    key: str | None,
    score: float | None,
    value: str | None,
    comment: str,
    clock: Clock,
    console: Console,
) -> None:
    """Record an outcome on a trace that exists."""

    async def record() -> str:
        async with place.opened() as store:
            whole_id = await store.resolve(trace_id)
            outcome = feedback_outcome(
                whole_id,
                recorded_at_s=clock.wall_s(),
                solved=solved,
                key=key,
                score=score,
                value=value,
                comment=comment,
                source=SOURCE,
            )
            await store.add_outcome(whole_id, outcome)
        said = outcome.value if outcome.score is None else f"{outcome.score:g}"
        return f"{outcome.key} = {said} recorded on {whole_id}"

    console.print(safe(asyncio.run(record())))


# Reading ---------------------------------------------------------------------------------------------------


async def _summaries(place: StorePlace, query: TraceQuery) -> tuple[list[TraceSummary], int]:
    async with place.opened() as store:
        return await store.list(query), await store.count()


async def _encoded(place: StorePlace, query: TraceQuery) -> list[bytes]:
    async with place.opened() as store:
        return [encode(trajectory) async for trajectory in store.iter(query)]


async def _fetch(place: StorePlace, trace_id: str) -> Trajectory:
    async with place.opened() as store:
        return await store.get(await store.resolve(trace_id))


async def _export(place: StorePlace, target: Path, query: TraceQuery) -> int:
    async with place.opened() as store:
        return await export_jsonl(store, target, query)


# Showing ---------------------------------------------------------------------------------------------------


def _listing(summaries: list[TraceSummary]) -> Table:
    table = _table("trace", "arrived", "status", "topology", "latency", "verdict", "question")
    for summary in summaries:
        is_late = summary.status != "ok" or summary.latency_s > summary.budget_s
        table.add_row(
            Text(summary.trace_id[:12]),
            Text(_local_time(summary.arrived_at_s)),
            Text(summary.status, "green" if summary.status == "ok" else "red"),
            Text(summary.topology or "-"),
            latency_text(summary.latency_s, summary.budget_s, is_late=is_late),
            solved_text(summary.solved),
            Text(one_line(summary.question, 60)),
        )
    return table


def _facts(trajectory: Trajectory) -> list[Text]:
    is_late = not trajectory.on_time
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
    if trajectory.error:
        lines.append(Text(f"{trajectory.error}: {one_line(trajectory.error_detail, 400)}", "red"))
    return lines


def _steps(trajectory: Trajectory) -> Table:
    table = _table(
        "step", "who", "model", "strategy", "endpoint", "started", "ttft", "latency", "tokens", "answer"
    )
    for step in sorted(trajectory.steps, key=lambda step: step.step_id):
        cells = (
            str(step.step_id),
            "judge" if step.kind == "judge" else f"{step.role} {step.position + 1}, round {step.round}",
            step.served_model or step.model,
            step.strategy,
            step.endpoint or "-",
            seconds(step.started_s),
            seconds(step.ttft_s),
            seconds(step.latency_s),
            "-" if step.completion_tokens is None else str(step.completion_tokens),
            _outcome_of(step),
        )
        table.add_row(*(Text(cell) for cell in cells), style="red" if step.error else "")
    return table


def _outcome_of(step: Step) -> str:
    failovers = f" ({len(step.attempts)} failed over)" if step.attempts else ""
    return f"{one_line(step.error or step.answer, 50)}{failovers}"


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in names:
        table.add_column(name, overflow="fold")
    return table


def _local_time(wall_s: float) -> str:
    return datetime.fromtimestamp(wall_s).strftime("%Y-%m-%d %H:%M:%S")
