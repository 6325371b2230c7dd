"""How runs turned out, as far as it is known."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import pytest
from typer.testing import CliRunner

from inframind.plugin.cli import app
from inframind.plugin.commands.outcomes import heard_of
from inframind.traces.records import SOLVED_ONLY, Outcome, Trajectory
from inframind.traces.store import open_store


def run(n: int, ended_s: float, score: float | None = None, said_s: float = 0.0) -> Trajectory:
    outcomes = (
        () if score is None else (Outcome(feedback_id="f", key="solved", score=score, recorded_at_s=said_s),)
    )
    return Trajectory(
        trace_id=f"{n:032x}",
        question="q",
        arrived_at_s=ended_s - 1.0,
        budget_s=9.0,
        latency_s=1.0,
        outcomes=outcomes,
    )


def test_young_runs_are_waited_for_and_old_ones_are_not() -> None:
    """Feedback takes 10 s here; of the runs that are too young, as many are expected as came of the old ones."""
    old = [run(n, 0.0, 1.0, 10.0) for n in range(4)] + [run(n, 0.0) for n in range(4, 8)]
    young = [run(n, 95.0) for n in range(8, 12)]
    heard = heard_of([*old, *young], SOLVED_ONLY, now_s=100.0)
    assert (heard.runs, heard.heard, heard.median_s, heard.late_s) == (12, 4, 10.0, 10.0)
    assert heard.expected == pytest.approx(2.0)
    assert heard.solved == heard.corrected == 1.0


def test_late_praise_is_made_up_for() -> None:
    """Of the old runs half are solved; of the young ones only complaints have come so far."""
    old = [run(n, 0.0, 1.0, 10.0) for n in range(10)] + [run(n, 0.0, 0.0, 0.0) for n in range(10, 20)]
    young = [run(n, 99.0, 0.0, 99.0) for n in range(20, 30)] + [run(n, 99.0) for n in range(30, 40)]
    heard = heard_of([*old, *young], SOLVED_ONLY, now_s=100.0)
    assert heard.solved == pytest.approx(1 / 3)
    assert heard.solved <= heard.corrected <= 0.5


def test_without_a_verdict_nothing_is_claimed() -> None:
    heard = heard_of([run(1, 0.0)], SOLVED_ONLY, now_s=1.0)
    assert (heard.heard, heard.expected) == (0, 0.0)
    assert math.isnan(heard.solved) and math.isnan(heard.corrected)


def test_the_command_shows_it(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"

    async def fill() -> None:
        async with open_store(f"sqlite:///{path}") as store:
            await store.put(run(1, 0.0, 1.0, 60.0))
            await store.put(run(2, 0.0))

    asyncio.run(fill())
    shown = CliRunner().invoke(app, ["traces", "outcomes", "--store", str(path)])
    assert shown.exit_code == 0, shown.stderr
    assert "100%" in shown.stdout.replace(" ", "") and "corrected" in shown.stdout
