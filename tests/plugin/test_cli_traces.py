"""Listing, showing and exporting a store of known traces."""

from __future__ import annotations

import asyncio
import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from inframind.plugin.cli import app
from inframind.plugin.commands.traces import StorePlace, list_traces, show_trace
from inframind.traces.query import TraceQuery
from inframind.traces.records import Step, Trajectory
from inframind.traces.store import open_store

CLI = CliRunner()
STEP = Step(
    step_id=0,
    node="agent",
    kind="agent",
    position=0,
    round=1,
    role="MathSolver",
    parents=(),
    decision_id="",
    model="qwen2.5-coder-14b",
    strategy="DeepThink",
    endpoint="qwen2.5-coder-14b-0",
    started_s=0.25,
    finished_s=12.25,
    completion_tokens=1234,
    answer="25, as the sieve of Eratosthenes says",
)
TRACE = Trajectory(
    trace_id="f" * 32,
    question="How many primes are there below one hundred, and why?",
    arrived_at_s=1e9,
    budget_s=20.0,
    topology="FullConnected",
    team=("MathSolver",),
    steps=(STEP,),
    answer="25",
    latency_s=12.5,
)


def trace_id(number: int) -> str:
    return f"{number:012x}" + 20 * "0"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Three traces in time and one late one, which is the newest."""
    path = tmp_path / "traces.db"
    traces = [replace(TRACE, trace_id=trace_id(n), arrived_at_s=1e9 + n) for n in range(3)]
    traces.append(replace(TRACE, trace_id=trace_id(3), arrived_at_s=1e9 + 3, status="late", latency_s=21.5))

    async def fill() -> None:
        async with open_store(f"sqlite:///{path}") as opened:
            for trace in traces:
                await opened.put(trace)

    asyncio.run(fill())
    return path


def traces(store: Path, *arguments: str) -> Result:
    return CLI.invoke(app, ["traces", *arguments, "--store", str(store)])


def at_80_columns() -> tuple[Console, io.StringIO]:
    page = io.StringIO()
    return Console(file=page, width=80, color_system=None), page


def test_a_list_of_all_that_match_promises_no_more(store: Path) -> None:
    listed = traces(store, "list", "--status", "late").stdout

    assert trace_id(3)[:12] in listed
    assert "more" not in listed


@pytest.mark.parametrize(("limit", "has_more"), [("1", True), ("2", True), ("3", False)])
def test_a_cut_list_says_whether_more_traces_match_the_filter(
    store: Path, limit: str, has_more: bool
) -> None:
    lines = traces(store, "list", "--status", "ok", "--limit", limit).stdout.splitlines()

    note = f"the newest {limit}; there are more, which a higher --limit shows"
    assert len([line for line in lines if "FullConnected" in line]) == int(limit)
    assert (lines[-1] == note) == has_more


def test_a_list_keeps_ids_and_figures_whole_at_80_columns(store: Path) -> None:
    console, page = at_80_columns()

    query = TraceQuery(limit=20)
    list_traces(StorePlace(config=Path(), store=str(store)), query, as_json=False, console=console)

    lines = page.getvalue().splitlines()
    assert len(lines) == 6
    assert lines[1].startswith(trace_id(3)[:12])
    assert lines[1].split()[3:] == ["late", "FullConnected", "21.5", "s", "of", "20.0", "s", "unknown"]
    assert lines[-1] == "a wider terminal also shows: question"


def test_a_shown_trace_keeps_names_whole_at_80_columns(store: Path) -> None:
    console, page = at_80_columns()

    show_trace(StorePlace(config=Path(), store=str(store)), trace_id(0), as_json=False, console=console)

    row = next(line for line in page.getvalue().splitlines() if line.startswith("0  "))
    assert row.rstrip().endswith("qwen2.5-coder-14b  DeepThink  12.0 s   1234")
    assert "MathSolver 1, round 1" in row


def test_an_export_does_not_replace_a_file_unasked(store: Path, tmp_path: Path) -> None:
    target = tmp_path / "kept.jsonl"
    target.write_text("precious\n")

    result = traces(store, "export", str(target))

    assert result.exit_code == 2
    assert "kept.jsonl" in result.stderr
    assert "the file exists; --force replaces it" in result.stderr
    assert target.read_text() == "precious\n"


def test_a_forced_export_replaces_the_file(store: Path, tmp_path: Path) -> None:
    target = tmp_path / "old.jsonl"
    target.write_text("old\n")

    result = traces(store, "export", str(target), "--force")

    assert result.exit_code == 0, result.stderr
    assert len(target.read_text().splitlines()) == 4
    assert "old" not in target.read_text()


def test_rows_to_train_on_need_a_verdict_or_say_what_to_do(store: Path, tmp_path: Path) -> None:
    target = tmp_path / "rows.jsonl"

    result = traces(store, "export", str(target), "--shape", "runs", "--policy", "nobody")

    assert result.exit_code == 0, result.stderr
    assert "0 rows written" in result.stdout
    assert "--unlabelled" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("rows.csv", "--shape", "runs"), ".parquet"),
        (("all.parquet",), "--shape"),
        (("all.jsonl", "--min-reward", "1"), "--min-reward"),
    ],
)
def test_an_export_that_contradicts_itself_is_refused(
    store: Path, tmp_path: Path, arguments: tuple[str, ...], named: str
) -> None:
    file, *options = arguments

    result = traces(store, "export", str(tmp_path / file), *options)

    assert result.exit_code == 2
    assert named in result.stderr
    assert not (tmp_path / file).exists()


def test_prune_counts_first_and_then_forgets_what_is_old(store: Path) -> None:
    before = ["--before", "2001-09-09T01:46:42+00:00"]
    assert "traces that would be forgotten: 2" in traces(store, "prune", *before, "--dry-run").output
    assert "traces forgotten: 2" in traces(store, "prune", *before).output
    assert "traces that would be forgotten: 2" in traces(store, "prune", "--before", "1s", "--dry-run").output


def test_prune_needs_to_be_told_what_is_old(store: Path) -> None:
    done = traces(store, "prune")
    assert done.exit_code != 0
    assert "retention_days" in done.output + str(done.exception)


def test_runs_that_nobody_resumes_are_closed(store: Path) -> None:
    async def fill() -> None:
        async with open_store(f"sqlite:///{store}") as opened:
            await opened.put(replace(TRACE, trace_id=trace_id(7), arrived_at_s=1e9, status="open"))

    asyncio.run(fill())
    assert "closed as cancelled: 1" in traces(store, "close-abandoned", "--before", "7d").output
    assert "closed as cancelled: 0" in traces(store, "close-abandoned").output
