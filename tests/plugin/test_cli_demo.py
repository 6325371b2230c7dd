"""`inframind demo`, end to end, with few questions and fast servers."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

from typer.testing import CliRunner

from inframind.plugin.cli import app
from inframind.traces.records import Trajectory
from inframind.traces.sqlite import SqliteStore

FAST = ("--rate", "1200", "--speed", "40", "--budget-min", "20", "--budget-max", "30")


def stored(out: Path) -> list[Trajectory]:
    async def read() -> list[Trajectory]:
        async with SqliteStore(out / "traces.db") as store:
            return [trajectory async for trajectory in store.iter()]

    return asyncio.run(read())


def test_the_demo_routes_grades_and_keeps_every_question(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["demo", "--questions", "8", *FAST, "--out", str(tmp_path / "out")])

    assert result.exit_code == 0, result.output
    assert re.search(r"8 of 8 sent, 8 ended", result.stdout)
    assert re.search(r"\nall +8 ", result.stdout)
    assert "on-time success" in result.stdout
    traces = stored(tmp_path / "out")
    assert len(traces) == 8
    assert all(trace.solved is not None for trace in traces)
    assert all(20 <= trace.budget_s <= 30 for trace in traces)
    solved_in_time = sum(bool(trace.solved) and trace.on_time for trace in traces)
    assert f"({solved_in_time} of 8 offered;" in result.stdout


def test_the_command_that_the_demo_suggests_works(tmp_path: Path) -> None:
    out = tmp_path / "out"
    shown = CliRunner().invoke(
        app, ["demo", "--questions", "3", *FAST, "--topology", "Chain", "--out", str(out)]
    )
    suggested = re.search(r"  inframind (explain [0-9a-f]+ --store .*)", shown.stdout)
    assert suggested is not None, shown.output

    explained = CliRunner().invoke(app, suggested[1].split())

    assert explained.exit_code == 0, explained.output
    assert "Topology and team: Chain/" in explained.stdout


def test_questions_of_a_file_are_asked_with_their_own_answers(tmp_path: Path) -> None:
    items = tmp_path / "items.jsonl"
    lines = [{"problem": f"What is ${n} + {n}$?", "answer": str(2 * n), "level": 1} for n in (3, 4, 5)]
    items.write_text("\n".join(map(json.dumps, lines)))

    result = CliRunner().invoke(
        app, ["demo", "--items", str(items), *FAST, "--policy", "uniform", "--out", str(tmp_path / "out")]
    )

    assert result.exit_code == 0, result.output
    asked = {trace.question for trace in stored(tmp_path / "out")}
    assert asked == {line["problem"] for line in lines}


def test_late_questions_are_counted_and_no_failure(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app,
        [
            "demo", "--questions", "4", "--rate", "1200", "--speed", "0.2", "--topology", "IO",
            "--budget-min", "0.3", "--budget-max", "0.5", "--out", str(tmp_path / "out"),
        ],
    )  # fmt: skip

    assert result.exit_code == 0, result.output
    assert "0 solved in time, 0 wrong, 4 late, 0 failed" in result.stdout
    assert [trace.solved for trace in stored(tmp_path / "out")] == [False] * 4
